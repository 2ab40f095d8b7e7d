package main

import (
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
)

func incrCommand(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incr KEY [BY]",
		Short: "Add to a counter and print it; -- goes before a negative BY",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			by := append(args, "1")[1]
			if _, err := strconv.ParseInt(by, 10, 64); err != nil {
				return usage(fmt.Errorf("%q is not a 64-bit integer", by))
			}
			ctx, cancel := bounded(c)
			defer cancel()
			resp, err := g.ask(ctx, args[0], remote.Request{Method: "POST", Query: url.Values{"op": {"incr"}, "by": {by}}})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				return fmt.Errorf("counter %q: %w", args[0], err)
			}
			value, err := strconv.ParseInt(string(text), 10, 64)
			if err != nil {
				return fmt.Errorf("counter %q: %w", args[0], err)
			}
			return g.only(c, []string{"VALUE"}, map[string]any{"key": args[0], "value": value}, string(text))
		},
	}
	return g.receiptFlag(cmd)
}
