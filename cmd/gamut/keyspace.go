package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/kv"
)

func keyspaceCommand(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "keyspace", Short: "Create, list, describe, split, explain, measure, drop, snapshot and restore keyspaces"}
	cmd.AddCommand(keyspaceCreate(g), keyspaceList(g), keyspaceDescribe(g), keyspaceSplit(g), keyspaceMerge(g), keyspaceExplain(g), keyspaceStaleness(g),
		keyspaceDrop(g), keyspaceSnapshot(g), keyspaceRestore(g))
	cmd.RunE = func(c *cobra.Command, _ []string) error { return usage(c.Help()) }
	return cmd
}

func keyspaceCreate(g *global) *cobra.Command {
	var spec kv.CreateKeyspace
	var consistency, bytes, writes string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a keyspace",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			spec.Name, spec.Consistency = args[0], kv.Consistency(consistency)
			var err error
			if spec.SplitBytes, err = splitLimit("split-bytes", bytes); err != nil {
				return err
			}
			if spec.SplitWrites, err = splitLimit("split-writes", writes); err != nil {
				return err
			}
			if err := g.cluster().CreateKeyspace(ctx, spec); err != nil {
				return err
			}
			return g.only(c, []string{"CREATED"}, spec, spec.Name)
		},
	}
	cmd.Flags().StringVar(&consistency, "consistency", string(kv.Linearizable), "how its replicas agree")
	cmd.Flags().IntVar(&spec.Shards, "shards", 0, "parts of its keys, each with replicas of its own (default: 1, or as many as --splits makes)")
	cmd.Flags().IntVar(&spec.Replicas, "replicas", 0, "replicas of each shard (default: 3, or as many as there are nodes)")
	cmd.Flags().StringVar(&spec.Lease, "lease", "", "off: every read confirms the leadership instead of trusting bounded clock drift")
	cmd.Flags().StringVar(&spec.Partitioner, "partitioner", "", "how keys are spread: hash, ordered (ranges of bytes) or numeric (ranges of decimal numbers) (default hash)")
	cmd.Flags().StringSliceVar(&spec.Splits, "splits", nil, "first keys of all shards but the first, in order, of an ordered or numeric keyspace")
	cmd.Flags().BoolVar(&spec.Atomic, "atomic", false, "quorum: linearizable gets, puts and deletions, for one more round of messages a write")
	cmd.Flags().BoolVar(&spec.ClientStamps, "client-stamps", false, "quorum: a write may bring a stamp of its own")
	cmd.Flags().IntVar(&spec.MinMembers, "min-members", 0, "atomic: with fewer members left, writes wait for those that are silent (default 1)")
	cmd.Flags().StringVar(&spec.Store, "store", "", "where long values are kept: pebble (beside all else), memory, or node (the store that each node was started with) (default pebble)")
	cmd.Flags().BoolVar(&spec.Evictable, "evictable", false, "with --store: a cache, in which a value that all stores have lost is a miss, and its key deleted")
	cmd.Flags().StringVar(&spec.Conflict, "conflict", "", "atomic: what a write to a key that is being written does: wait or refuse (default wait); causal: which of concurrent writes stay: newest or siblings (default newest)")
	cmd.Flags().StringVar(&bytes, "split-bytes", "", "ordered: at how many bytes a shard is split by itself, such as 64MiB, or off (default 256MiB)")
	cmd.Flags().StringVar(&writes, "split-writes", "", "ordered: at how many writes a second a shard is split by itself, or off (default 10000)")
	cmd.Flags().BoolVar(&spec.CommitOrder, "commit-order", false, "causal: writes have final places in one order; answers say tentative or committed")
	return cmd
}

func keyspaceList(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keyspaces",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			list, err := g.cluster().Keyspaces(ctx)
			if err != nil {
				return err
			}
			p, err := g.printer(c, "NAME", "CONSISTENCY", "SHARDS", "REPLICAS")
			if err != nil {
				return err
			}
			for _, k := range list {
				if err := p.Row(k, k.Name, string(k.Consistency), strconv.Itoa(k.Shards), strconv.Itoa(k.Replicas)); err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
}

func keyspaceExplain(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "explain NAME",
		Short: "Say what a keyspace promises, what it survives and what it costs",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			info, err := g.cluster().Keyspace(ctx, args[0])
			if err != nil {
				return err
			}
			if g.output == "" || g.output == "raw" {
				// Sentences read the same with and without a terminal.
				_, err := c.OutOrStdout().Write([]byte(strings.Join(info.Explain, "\n") + "\n"))
				return err
			}
			return g.only(c, []string{"NAME", "CONSISTENCY", "EXPLAIN"}, info, info.Name, string(info.Consistency), strings.Join(info.Explain, " "))
		},
	}
}

func keyspaceDrop(g *global) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "drop NAME",
		Short: "Remove a keyspace with all its keys",
		Long: `Remove a keyspace with all its keys.

Transactions with other keyspaces come to their ends first. --force does not wait for them, for a keyspace without a majority of its
replicas: then other keyspaces may be left with a part of one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			if err := g.cluster().DropKeyspace(ctx, args[0], force); err != nil {
				return err
			}
			return g.only(c, []string{"DROPPED"}, map[string]string{"dropped": args[0]}, args[0])
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "do not wait for transactions with other keyspaces")
	return cmd
}
