package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// seen is a node as another one sees it.
type seen struct {
	Node uint32 `json:"node"`
	Sees uint32 `json:"sees"`
	kv.NodeStatus
	// LagBlocks is how many blocks the peer's disk is behind, in the shard where that is most, of those that Node leads and
	// the peer holds; -1: there is none.
	LagBlocks int64 `json:"lagBlocks"`
	// LagMillis is how much older what the peer holds of causal and eventual keyspaces is than what Node holds; -1: there is
	// none.
	LagMillis int64 `json:"lagMillis"`
}

// peerStatus shows each node as each other one sees it.
func (g *global) peerStatus(ctx context.Context, c *cobra.Command, members []remote.Member) error {
	keyspaces, err := g.cluster().Keyspaces(ctx)
	if err != nil {
		return err
	}
	homes := map[uint64]map[string]uint32{} // where the replicas of each group live
	for _, k := range keyspaces {
		for _, group := range k.Groups {
			homes[group.Group] = group.Replicas
		}
	}
	p, err := g.printer(c, "NODE", "SEES", "STATE", "RTT", "LAST SEEN", "CLOCK", "LAG")
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "node %d: %v\n", m.ID, m.Err)
		}
		for _, peer := range m.Status.Nodes {
			if peer.Node == m.ID {
				continue
			}
			s := seen{Node: m.ID, Sees: peer.Node, NodeStatus: peer}
			s.LagBlocks, s.LagMillis = lagOf(m.Status.Groups, peer.Node, homes)
			if err := p.Row(s, s.cells()...); err != nil {
				return err
			}
		}
	}
	return p.Close()
}

// lagOf is how far a peer is behind, as the replicas of a node know.
func lagOf(groups []kv.GroupStatus, peer uint32, homes map[uint64]map[string]uint32) (blocks, millis int64) {
	blocks, millis = -1, -1
	for i := range groups {
		r := &groups[i]
		for replica, match := range r.Match {
			if homes[r.Group][replica] == peer {
				blocks = max(blocks, int64(r.Last)-int64(match))
			}
		}
		if r.Causal == nil {
			continue
		}
		for _, other := range r.Causal.Peers {
			if homes[r.Group][fmt.Sprint(other.Replica)] == peer && other.HeardMillis >= 0 {
				millis = max(millis, other.LagMillis)
			}
		}
	}
	return blocks, millis
}

func (s *seen) cells() []string {
	state, last, rtt := "down", "never", ""
	if s.Up {
		state = "up"
	}
	if !s.LastSeen.IsZero() {
		last = time.Since(s.LastSeen).Round(10*time.Millisecond).String() + " ago"
		rtt = (time.Duration(s.RTTMicros) * time.Microsecond).String()
	}
	lag := ""
	if s.LagBlocks >= 0 {
		lag = strconv.FormatInt(s.LagBlocks, 10) + " blocks"
	}
	if s.LagMillis >= 0 {
		if lag != "" {
			lag += ", "
		}
		lag += (time.Duration(s.LagMillis) * time.Millisecond).String()
	}
	return []string{fmt.Sprint(s.Node), fmt.Sprint(s.Sees), state, rtt, last, (time.Duration(s.SkewMillis) * time.Millisecond).String(), lag}
}
