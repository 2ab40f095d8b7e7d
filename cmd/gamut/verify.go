package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/audit"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

func verifyCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Read every value on every replica and name the first key that differs",
		Long: "Let all replicas of each group keep their state as of one position of the log and compare what they hold there: all keys\n" +
			"with their values, versions and expiry and, as a whole, what clients do not see, such as sessions. A replica that was not\n" +
			"compared is named with the reason. The blocks of the log are not looked at: gamut audit does that.\n" +
			"Replicas of quorum keyspaces have no position in common: they are compared as they go on, and what is still on its way to\n" +
			"some of them is counted as not yet repaired. All keyspaces, unless --keyspace is given.",
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
				if !keyspace.Led(task.Consistency) {
					if err := verifyApart(ctx, p.Row, task, &result); err != nil {
						return err
					}
					continue
				}
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

// verifyApart compares the replicas of a group without a leader.
func verifyApart(ctx context.Context, row func(v any, cells ...string) error, task audit.Task, result *verdict) error {
	r, err := audit.Apart(ctx, task.Group, task.Replicas)
	if err != nil {
		return fmt.Errorf("keyspace %s, shard %d: %w", task.Keyspace, task.Shard, err)
	}
	text := result.judge(task, r.Replicas, r.Unchecked, r.Finding)
	if r.Apart > 0 && r.Finding == nil {
		text = fmt.Sprintf("not yet repaired: %d keys, such as %s; gamut repair %s makes them equal now", r.Apart, r.Example, task.Keyspace)
		if task.Consistency != kv.Quorum {
			text = fmt.Sprintf("not yet equal: %d keys, such as %s; gamut stabilize --keyspace %s waits until they are", r.Apart, r.Example, task.Keyspace)
		}
	}
	return row(r, task.Keyspace, fmt.Sprint(task.Shard), fmt.Sprint(task.Group.Group), "now", fmt.Sprint(r.Keys), fmt.Sprint(r.Replicas), text)
}
