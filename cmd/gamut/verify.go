package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/audit"
)

func verifyCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Read every value on every replica and name the first key that differs",
		Long: "Let all replicas of each group keep their state as of one position of the log and compare what they hold there: all keys\n" +
			"with their values, versions and expiry and, as a whole, what clients do not see, such as sessions. A replica that was not\n" +
			"compared is named with the reason. The blocks of the log are not looked at: gamut audit does that.\n" +
			"All keyspaces, unless --keyspace is given.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), auditTimeout)
			defer cancel()
			tasks, err := g.tasks(ctx, c)
			if err != nil {
				return err
			}
			p, err := g.printer(c, "KEYSPACE", "SHARD", "GROUP", "AS OF", "RECORDS", "REPLICAS", "RESULT")
			if err != nil {
				return err
			}
			var result verdict
			for _, task := range tasks {
				r, err := audit.State(ctx, task.Group, task.Replicas)
				if err != nil {
					return fmt.Errorf("keyspace %s, shard %d: %w", task.Keyspace, task.Shard, err)
				}
				keys := int64(0)
				for _, d := range r.Digests {
					keys = max(keys, d.Keys)
				}
				text := result.judge(task, r.Compared(), r.Unchecked, r.Finding)
				if err := p.Row(r, r.Keyspace, fmt.Sprint(r.Shard), fmt.Sprint(r.Group.Group), fmt.Sprint(r.Index), fmt.Sprint(keys), fmt.Sprint(r.Compared()), text); err != nil {
					return err
				}
			}
			if err := p.Close(); err != nil {
				return err
			}
			return result.err("verify")
		},
	}
}
