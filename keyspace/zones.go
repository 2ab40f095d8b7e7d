package keyspace

import (
	"slices"

	"github.com/gamutdb/gamut/core"
)

// Zones say what may fail at once: a rack, a building. Nodes that are not named are in one zone together.
type Zones map[core.NodeID]string

// Zones are those of the catalog's nodes.
func (c *Catalog) Zones() Zones {
	z := Zones{}
	// order does not matter: it makes a map of a map.
	for id, n := range c.Nodes {
		z[id] = n.Zone
	}
	return z
}

// crowd is how many members a shard has, or will have, in the zone of a node, but for the one that goes; 0: none goes.
func (z Zones) crowd(s *Shard, node, goes core.NodeID) (n int) {
	for _, m := range s.Ends() {
		if m.Node != goes && z[m.Node] == z[node] {
			n++
		}
	}
	return n
}

// interleave takes one node of each zone in turn, so that those that follow each other are in different ones as long as may be.
func (z Zones) interleave(nodes []core.NodeID) []core.NodeID {
	rank, before := map[core.NodeID]int{}, map[string]int{}
	for _, n := range nodes {
		rank[n] = before[z[n]]
		before[z[n]]++
	}
	if len(before) < 2 {
		return nodes
	}
	nodes = slices.Clone(nodes)
	slices.SortStableFunc(nodes, func(a, b core.NodeID) int { return rank[a] - rank[b] })
	return nodes
}
