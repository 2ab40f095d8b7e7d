package main

import (
	"errors"
	"net/url"

	"github.com/spf13/cobra"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
)

func waitCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "wait",
		Short: "Wait until all that a session has written to a keyspace with a commit order is committed",
		Long: "Wait until all that a session has written to a keyspace with a commit order is committed: has its final place, and is on the\n" +
			"disks of a majority. It ends with 7 if it is tentative still when the time is over; then it will be committed later.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if g.sessionFile == "" {
				return usage(errors.New("whose writes? give --session, as to the commands that wrote"))
			}
			ctx, cancel := bounded(c)
			defer cancel()
			var answer doorhttp.WaitBody
			q := remote.Request{Method: "POST", Path: "/v1/keyspaces/" + url.PathEscape(g.keyspace) + "/wait"}
			if err := g.cluster().JSON(ctx, q, &answer); err != nil {
				return err
			}
			return g.only(c, []string{"LEVEL"}, answer, answer.Level)
		},
	}
}
