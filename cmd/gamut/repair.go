package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// repairLook is how often the progress is looked at.
const repairLook = 200 * time.Millisecond

func repairCommand(g *global) *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "repair KEYSPACE",
		Short: "Make all replicas of a quorum keyspace equal now, and let deleted keys go",
		Long: "Make all replicas of a quorum keyspace equal now, and let deleted keys go. It happens by itself every day; nothing is\n" +
			"wrong without it. It needs every replica, and says for whom it waits.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), within)
			defer cancel()
			info, err := g.cluster().Keyspace(ctx, args[0])
			if err != nil {
				return err
			}
			for _, group := range info.Groups {
				if err := g.repairGroup(ctx, c, &info, group); err != nil {
					return err
				}
			}
			return g.only(c, []string{"REPAIRED"}, map[string]any{"keyspace": args[0], "shards": len(info.Groups)}, args[0])
		},
	}
	cmd.Flags().DurationVar(&within, "within", time.Hour, "how long to wait for it")
	return cmd
}

// repairGroup asks one replica of a shard to conduct a repair and follows it.
func (g *global) repairGroup(ctx context.Context, c *cobra.Command, info *kv.KeyspaceInfo, group kv.GroupInfo) error {
	conductor, before, err := g.conductor(ctx, group)
	if err != nil {
		return err
	}
	if err := conductor.Repair(ctx, group.Group); err != nil {
		return err
	}
	said := ""
	for {
		st, err := conductor.Status(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		q := quorumOf(&st, group.Group)
		if q != nil && q.RepairedAt.After(before) {
			return nil
		}
		if q != nil && q.Repair != said && q.Repair != "" {
			said = q.Repair
			fmt.Fprintf(c.ErrOrStderr(), "%s, shard %d: %s\n", info.Name, group.Shard, said)
		}
		select {
		case <-ctx.Done():
			return kv.Errorf(kv.Unavailable, "shard %d of %s is not repaired yet: %s; it goes on when it can", group.Shard, info.Name, said)
		case <-time.After(repairLook):
		}
	}
}

// conductor is a node with a replica of the group, and up to when that was repaired.
func (g *global) conductor(ctx context.Context, group kv.GroupInfo) (*remote.Node, time.Time, error) {
	members, err := g.cluster().Members(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	for _, m := range members {
		if q := quorumOf(&m.Status, group.Group); m.Err == nil && q != nil {
			return m.Node, q.RepairedAt, nil
		}
	}
	return nil, time.Time{}, coded{exitTooFew, errors.New("no node that answers has a replica without a leader of this keyspace; only quorum keyspaces are repaired")}
}

func quorumOf(st *kv.Status, group uint64) *kv.QuorumStatus {
	for i := range st.Groups {
		if st.Groups[i].Group == group {
			return st.Groups[i].Quorum
		}
	}
	return nil
}
