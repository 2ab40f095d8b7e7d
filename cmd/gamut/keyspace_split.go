package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// splitLimit reads when a shard is split by itself: a number, with KiB, MiB or GiB behind it, or off; 0: nothing was said.
func splitLimit(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if text == "off" {
		return -1, nil
	}
	digits, unit := text, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			digits, unit = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > (1<<62)/unit {
		return 0, usage(fmt.Errorf("--%s %q is neither a number from 1 nor off", flag, text))
	}
	return n * unit, nil
}

func keyspaceSplit(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "split NAME KEY",
		Short: "Make the keys from KEY on, to the end of their shard, a shard of their own",
		Long: "Make the keys from KEY on, to the end of their shard, a shard of their own, with replicas on the same nodes. Keyspaces that are\n" +
			"linearizable or sequential can be split, if they were made with --partitioner ordered. Clients go on meanwhile: those of the\n" +
			"keys that go wait until they are copied.",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			if err := g.cluster().SplitShard(ctx, args[0], []byte(args[1])); err != nil {
				return err
			}
			return g.only(c, []string{"SPLIT"}, map[string]string{"keyspace": args[0], "split": args[1]}, args[1])
		},
	}
}

func keyspaceMerge(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "merge NAME KEY",
		Short: "Make the shard that begins at KEY one with the shard before it",
		Long: "Make the shard that begins at KEY one with the shard before it. Keyspaces that can be split can be merged. Clients go on meanwhile:\n" +
			"those of the shard that begins at KEY wait until its records have been carried into the other one's log.",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			if err := g.cluster().MergeShards(ctx, args[0], []byte(args[1])); err != nil {
				return err
			}
			return g.only(c, []string{"MERGED"}, map[string]string{"keyspace": args[0], "merged": args[1]}, args[1])
		},
	}
}

// shownKey is a key in a table: as it is, or in base64 if it is no text.
func shownKey(key []byte) string {
	if utf8.Valid(key) {
		return string(key)
	}
	return "base64:" + base64.StdEncoding.EncodeToString(key)
}

// plannedSplits asks every node: each knows those of the shards that it leads.
func (g *global) plannedSplits(ctx context.Context) (list []kv.Split, err error) {
	members, err := g.cluster().Members(ctx)
	for _, m := range members {
		if m.Err != nil {
			continue // what it leads is led elsewhere soon
		}
		plan, err := remote.New([]string{m.Address}, requestTimeout).Balance(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range plan.Splits {
			same := func(o kv.Split) bool { return o.Keyspace == s.Keyspace && o.Shard == s.Shard }
			if !slices.ContainsFunc(list, same) {
				list = append(list, s)
			}
		}
	}
	return list, err
}

// splitText says in a table where a shard is to be split.
func splitText(s *kv.Split) string {
	switch {
	case len(s.Key64) > 0:
		return "split at " + shownKey(s.Key64)
	case s.Key != "":
		return "split at " + s.Key
	}
	return "no split"
}

func keyspaceDescribe(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME",
		Short: "Show the shards of a keyspace: their keys, where they are ranges, and their nodes",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			info, err := g.cluster().Keyspace(ctx, args[0])
			if err != nil {
				return err
			}
			p, err := g.printer(c, "SHARD", "GROUP", "FROM", "TO", "NODES", "SPLITS AT")
			if err != nil {
				return err
			}
			for _, s := range info.Groups {
				var nodes []int
				for _, n := range s.Replicas {
					nodes = append(nodes, int(n))
				}
				slices.Sort(nodes)
				if err := p.Row(s, strconv.Itoa(s.Shard), strconv.FormatUint(s.Group, 10), shownKey(s.From), shownKey(s.To),
					strings.Trim(fmt.Sprint(nodes), "[]"), shownKey(s.SplitAt)); err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
}
