package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/audit"
	"github.com/gamutdb/gamut/kv"
)

func logCommand(g *global) *cobra.Command {
	var shard int
	var node uint32
	var from uint64
	var limit int
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show the blocks of a shard's log as one replica still holds them",
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 || limit > 4096 {
				return usage(fmt.Errorf("--limit %d is not from 1 to 4096", limit))
			}
			ctx, cancel := bounded(c)
			defer cancel()
			if err := c.Flags().Set("keyspace", g.keyspace); err != nil {
				return err
			}
			tasks, err := g.tasks(ctx, c)
			if err != nil {
				return err
			}
			task, replica, err := pick(tasks, shard, node)
			if err != nil {
				return err
			}
			blocks, err := replica.Reader.Blocks(ctx, task.Group.Group, from, limit, true)
			if err != nil {
				return fmt.Errorf("blocks of node %d: %w", replica.Node, err)
			}
			return g.printBlocks(c, blocks)
		},
	}
	cmd.Flags().IntVar(&shard, "shard", 0, "shard of the keyspace")
	cmd.Flags().Uint32Var(&node, "node", 0, "node whose replica is asked (default: any)")
	cmd.Flags().Uint64Var(&from, "from", 0, "first index (default: the oldest block held)")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many blocks at most")
	return cmd
}

// pick finds a replica that can be asked.
func pick(tasks []audit.Task, shard int, node uint32) (audit.Task, audit.Replica, error) {
	for _, task := range tasks {
		if task.Shard != shard {
			continue
		}
		why := []string{}
		for _, r := range task.Replicas {
			if node != 0 && r.Node != node {
				continue
			}
			if r.Reader != nil {
				return task, r, nil
			}
			why = append(why, fmt.Sprintf("node %d: %s", r.Node, r.Why))
		}
		return task, audit.Replica{}, fmt.Errorf("no replica of shard %d can be asked: %s", shard, strings.Join(why, "; "))
	}
	return audit.Task{}, audit.Replica{}, coded{exitNotFound, fmt.Errorf("there is no shard %d", shard)}
}

func (g *global) printBlocks(c *cobra.Command, blocks []kv.BlockInfo) error {
	p, err := g.printer(c, "INDEX", "BALLOT", "TIME", "KIND", "BYTES", "HASH", "PREVIOUS", "INTACT", "SUMMARY")
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if err := p.Row(b, fmt.Sprint(b.Index), b.Ballot, b.Time.UTC().Format(time.RFC3339Nano), b.Kind, fmt.Sprint(b.Bytes),
			fmt.Sprintf("%.16s", b.Hash), fmt.Sprintf("%.16s", b.Prev), fmt.Sprint(b.Intact), strings.Join(b.Summary, "; ")); err != nil {
			return err
		}
	}
	return p.Close()
}
