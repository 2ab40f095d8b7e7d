package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// stabilizePause is between two looks at the vectors.
const stabilizePause = 50 * time.Millisecond

func stabilizeCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "stabilize",
		Short: "Wait until all replicas of a causal or eventual keyspace that answer hold the same",
		Long: "Wait until all replicas of a causal or eventual keyspace that answer hold the same, and show what that is: a vector of\n" +
			"stamps, one for each replica, up to which its writes are held. It ends with 5 if they do not become equal in time, as when\n" +
			"nodes that answer here cannot reach each other.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			for {
				members, err := g.cluster().Members(ctx)
				if err != nil {
					return err
				}
				replicas, err := g.causalReplicas(members)
				if err != nil {
					return err
				}
				if equal(replicas) {
					return g.vectorStatus(c, members)
				}
				if !pauseFor(ctx, stabilizePause) {
					if err := g.vectorStatus(c, members); err != nil {
						return err
					}
					return coded{exitTooFew, fmt.Errorf("the replicas of %s that answer did not become equal in time", g.keyspace)}
				}
			}
		},
	}
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// causalReplicas are the replicas of the keyspace on the nodes that answered.
func (g *global) causalReplicas(members []remote.Member) (list []kv.GroupStatus, err error) {
	known := false
	for _, m := range members {
		for _, s := range m.Status.Groups {
			if s.Keyspace != g.keyspace {
				continue
			}
			known = true
			if s.Causal == nil {
				return nil, fmt.Errorf("keyspace %s has a leader and no vectors; stabilize is for causal and eventual keyspaces", g.keyspace)
			}
			list = append(list, s)
		}
	}
	if !known {
		return nil, noKeyspace(g.keyspace)
	}
	return list, nil
}

func equal(replicas []kv.GroupStatus) bool {
	for _, r := range replicas[1:] {
		if !maps.Equal(r.Causal.Vector, replicas[0].Causal.Vector) {
			return false
		}
	}
	return true
}

// vectorStatus shows what each replica holds and what it knows of the others; of all such keyspaces unless one was named.
func (g *global) vectorStatus(c *cobra.Command, members []remote.Member) error {
	p, err := g.printer(c, "KEYSPACE", "NODE", "REPLICA", "HOLDS", "STABLE", "LOG", "WAITING", "PEERS")
	if err != nil {
		return err
	}
	one := c.Flags().Changed("keyspace") || c.Name() == "stabilize"
	for _, m := range members {
		if m.Err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "node %d: %v\n", m.ID, m.Err)
		}
		for _, s := range m.Status.Groups {
			if s.Causal == nil || one && s.Keyspace != g.keyspace {
				continue
			}
			if err := p.Row(map[string]any{"node": m.ID, "replica": s}, s.Keyspace, fmt.Sprint(m.ID), fmt.Sprint(s.Replica), vectorText(s.Causal.Vector),
				vectorText(s.Causal.Stable), fmt.Sprintf("%d writes", s.Causal.LogWrites), fmt.Sprint(s.Causal.Waiting), peersText(s.Causal.Peers)); err != nil {
				return err
			}
		}
	}
	return p.Close()
}

func vectorText(v map[string]string) string {
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(v)) {
		parts = append(parts, id+":"+v[id])
	}
	return strings.Join(parts, " ")
}

func peersText(peers []kv.CausalPeer) string {
	var parts []string
	for _, p := range peers {
		state := map[bool]string{true: "up", false: "down"}[p.Up]
		switch {
		case p.HeardMillis < 0:
			parts = append(parts, fmt.Sprintf("%d not heard", p.Replica))
		case p.LagMillis < 0:
			parts = append(parts, fmt.Sprintf("%d %s, lacks all", p.Replica, state))
		default:
			parts = append(parts, fmt.Sprintf("%d %s, lag %d ms", p.Replica, state, p.LagMillis))
		}
	}
	return strings.Join(parts, ", ")
}
