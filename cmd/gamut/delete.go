package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
)

func deleteCommand(g *global) *cobra.Command {
	var version, stamp, context string
	cmd := &cobra.Command{
		Use:   "delete KEY",
		Short: "Remove a key",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			q := remote.Request{Method: "DELETE", Header: http.Header{}}
			if version != "" {
				q.Header.Set("If-Match", version)
			}
			if err := setContext(q.Header, context); err != nil {
				return err
			}
			setStamp(&q, stamp)
			resp, err := g.ask(ctx, args[0], q)
			if err != nil {
				return err
			}
			resp.Body.Close()
			if g.raw(c) {
				g.tellReceipt(c)
				return nil
			}
			return g.only(c, []string{"DELETED"}, map[string]any{"key": args[0], "deleted": true}, args[0])
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "remove only if the key has this version")
	cmd.Flags().StringVar(&context, "context", "", "file of a get --context: remove what that has seen, and keep other siblings")
	stampFlag(cmd, &stamp)
	return g.receiptFlag(cmd)
}
