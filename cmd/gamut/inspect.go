package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/audit"
	"github.com/gamutdb/gamut/kv"
)

func inspectCommand(g *global) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "inspect KEY",
		Short: "Show what every replica holds for a key, side by side; --all shows every key of the keyspace",
		Long: "Show what every replica holds for a key, side by side: value, version or stamp, whether it is deleted, and for which\n" +
			"nodes hints about it are kept. It is each replica's own view, not an answer at any level. Where replicas differ it says so.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return usage(fmt.Errorf("give a key or --all"))
			}
			ctx, cancel := context.WithTimeout(c.Context(), auditTimeout)
			defer cancel()
			tasks, err := g.tasksOf(ctx, false)
			if err != nil {
				return err
			}
			p, err := g.printer(c, "KEY", "NODE", "VERSION", "EXPIRES", "HINTS FOR", "VALUE")
			if err != nil {
				return err
			}
			found := false
			for _, task := range tasks {
				from := []byte(nil)
				if !all {
					from = []byte(args[0])
				}
				err := audit.SideBySide(ctx, task.Group, task.Replicas, from, !all, func(k audit.Key) error {
					found = true
					return g.printKey(c, p.Row, k)
				})
				if err != nil {
					return fmt.Errorf("keyspace %s, shard %d: %w", task.Keyspace, task.Shard, err)
				}
			}
			if err := p.Close(); err != nil {
				return err
			}
			if !found && !all {
				return coded{exitNotFound, fmt.Errorf("no replica of keyspace %q holds the key %q", g.keyspace, args[0])}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every key of the keyspace")
	return cmd
}

// printKey prints a row for each replica, and on standard error what is wrong.
func (g *global) printKey(c *cobra.Command, row func(v any, cells ...string) error, k audit.Key) error {
	for _, h := range k.Held {
		version, expires, value := "missing", "", ""
		if h.Item != nil {
			version, expires, value = itemText(h.Item)
		}
		if h.Why != "" {
			version = "not asked: " + h.Why
		}
		if err := row(map[string]any{"key": string(k.Key), "node": h.Node, "item": h.Item, "hints": h.Hints}, string(k.Key), fmt.Sprint(h.Node), version,
			expires, numbers(h.Hints), value); err != nil {
			return err
		}
	}
	if k.Differs {
		fmt.Fprintf(c.ErrOrStderr(), ">>>>>> the replicas differ on key %q\n", k.Key)
	}
	return nil
}

func itemText(item *kv.InspectItem) (version, expires, value string) {
	version = item.Stamp
	if version == "" {
		version = fmt.Sprint(item.Version)
	}
	if item.ExpireAt != 0 {
		expires = time.UnixMilli(item.ExpireAt).UTC().Format(time.RFC3339)
	}
	value = strings.ToValidUTF8(string(item.Value[:min(len(item.Value), 80)]), "?")
	if item.Deleted {
		version, value = version+" deleted", ""
	}
	return version, expires, value
}
