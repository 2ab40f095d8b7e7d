package main

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
)

func casCommand(g *global) *cobra.Command {
	return g.receiptFlag(&cobra.Command{
		Use:   "cas KEY VERSION [VALUE]",
		Short: "Store a value only if the key has this version; 0: only if it does not exist",
		Args:  cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			version, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil {
				return usage(fmt.Errorf("version %q is not a number; get -o json and put print them", args[1]))
			}
			value, err := valueArgument(c, args[2:])
			if err != nil {
				return err
			}
			q := remote.Request{Method: "PUT", Header: http.Header{}, Body: value}
			if version == 0 {
				q.Header.Set("If-None-Match", "*")
			} else {
				q.Header.Set("If-Match", args[1])
			}
			return g.write(c, args[0], q)
		},
	})
}
