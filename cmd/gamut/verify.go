package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/audit"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

func verifyCommand(g *global) *cobra.Command {
	var rate string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read every value on every replica and name the first key that differs",
		Long: "Let all replicas of each group keep their state as of one position of the log and compare what they hold there: all keys\n" +
			"with their values, versions and expiry and, as a whole, what clients do not see, such as sessions. A replica that was not\n" +
			"compared is named with the reason. The blocks of the log are not looked at: gamut audit does that.\n" +
			"Replicas of quorum keyspaces have no position in common: they are compared as they go on, and what is still on its way to\n" +
			"some of them is counted as not yet repaired.\n" +
			"Values that are kept in memory or in a store beside each node are read there and held against their hashes, --rate bytes a\n" +
			"second: what one store lacks is had from another node and counted, what all lack is lost. All keyspaces, unless --keyspace is given.",
		RunE: func(c *cobra.Command, _ []string) error {
			most, err := splitLimit("rate", rate)
			if err != nil {
				return err
			}
			pace := &audit.Pace{Rate: max(most, 0)}
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
					if err := verifyApart(ctx, p.Row, task, &result, pace); err != nil {
						return err
					}
					continue
				}
				r, err := audit.State(ctx, task.Group, task.Replicas)
				if err != nil {
					return fmt.Errorf("keyspace %s, shard %d: %w", task.Keyspace, task.Shard, err)
				}
				if r.Values, err = verifyValues(ctx, task, pace); err != nil {
					return err
				}
				keys := int64(0)
				for _, d := range r.Digests {
					keys = max(keys, d.Keys)
				}
				text := result.judge(task, r.Compared(), r.Unchecked, r.Finding) + result.judgeValues(task, r.Values)
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
	cmd.Flags().StringVar(&rate, "rate", "64MiB", "most bytes of values a second that are read from stores, of all nodes together, or off")
	return cmd
}

// verifyValues reads what a group keeps in stores; nil: nothing.
func verifyValues(ctx context.Context, task audit.Task, pace *audit.Pace) (*audit.ValuesReport, error) {
	if task.Store == keyspace.StorePebble {
		return nil, nil
	}
	report, err := audit.Values(ctx, task.Group, task.Replicas, pace)
	if err != nil {
		return nil, fmt.Errorf("keyspace %s, shard %d: %w", task.Keyspace, task.Shard, err)
	}
	return &report, nil
}

// judgeValues goes on with judge for what is kept in stores.
func (v *verdict) judgeValues(task audit.Task, r *audit.ValuesReport) string {
	if r == nil {
		return ""
	}
	text := fmt.Sprintf("; %d values read from stores", r.Values)
	for i := range r.Stores {
		text += ", " + r.Stores[i].String()
	}
	if r.LostCount > 0 && task.Evictable {
		return text + fmt.Sprintf("; %d of them are lost on all replicas, and are misses, such as %s", r.LostCount, strings.Join(r.Lost, ", "))
	}
	if r.LostCount > 0 {
		lost := fmt.Sprintf("%d values are lost on all replicas, of keys such as %s", r.LostCount, strings.Join(r.Lost, ", "))
		text += "; BROKEN: " + lost
		v.broken = append(v.broken, fmt.Sprintf("group %d (keyspace %s, shard %d): %s", task.Group.Group, task.Keyspace, task.Shard, lost))
	}
	return text
}

// verifyApart compares the replicas of a group without a leader.
func verifyApart(ctx context.Context, row func(v any, cells ...string) error, task audit.Task, result *verdict, pace *audit.Pace) error {
	r, err := audit.Apart(ctx, task.Group, task.Replicas)
	if err != nil {
		return fmt.Errorf("keyspace %s, shard %d: %w", task.Keyspace, task.Shard, err)
	}
	if r.Values, err = verifyValues(ctx, task, pace); err != nil {
		return err
	}
	text := result.judge(task, r.Replicas, r.Unchecked, r.Finding)
	if r.Apart > 0 && r.Finding == nil {
		text = fmt.Sprintf("not yet repaired: %d keys, such as %s; gamut repair %s makes them equal now", r.Apart, r.Example, task.Keyspace)
		if task.Consistency != kv.Quorum {
			text = fmt.Sprintf("not yet equal: %d keys, such as %s; gamut stabilize --keyspace %s waits until they are", r.Apart, r.Example, task.Keyspace)
		}
	}
	text += result.judgeValues(task, r.Values)
	return row(r, task.Keyspace, fmt.Sprint(task.Shard), fmt.Sprint(task.Group.Group), "now", fmt.Sprint(r.Keys), fmt.Sprint(r.Replicas), text)
}
