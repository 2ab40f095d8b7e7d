package keyspace

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func catalogOf(t *testing.T, nodes []core.NodeID, specs ...kv.CreateKeyspace) *Catalog {
	t.Helper()
	c := NewCatalog()
	next := FirstNext()
	for _, spec := range specs {
		d, after, err := Plan(spec, nodes, next)
		if err != nil {
			t.Fatal(err)
		}
		c.Keyspaces[d.Name], next = d, after
	}
	return c
}

// carryOut does what is planned until nothing is, and returns how many moves that took.
func carryOut(t *testing.T, c *Catalog, nodes []core.NodeID) (moves int, stuck []string) {
	t.Helper()
	for {
		plans, stuck := c.Balance(nodes, 2)
		if len(plans) == 0 {
			return moves, stuck
		}
		if len(plans) > 2 {
			t.Fatalf("%d moves at once", len(plans))
		}
		for _, p := range plans {
			var to []core.NodeID
			for _, n := range p.Nodes {
				to = append(to, core.NodeID(n))
			}
			d, err := c.Keyspaces[p.Keyspace].Move(p.Shard, to, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Keyspaces[p.Keyspace] = d.Moved(p.Shard)
		}
		if moves += len(plans); moves > 1000 {
			t.Fatal("it never rests")
		}
	}
}

func held(c *Catalog) map[core.NodeID]int {
	counts := map[core.NodeID]int{}
	for _, d := range c.Keyspaces {
		for i := range d.Shards {
			for _, m := range d.Shards[i].Replicas {
				counts[m.Node]++
			}
		}
	}
	return counts
}

func TestANewNodeGetsItsShare(t *testing.T) {
	c := catalogOf(t, three, kv.CreateKeyspace{Name: "a", Shards: 8}, kv.CreateKeyspace{Name: "b", Shards: 4})
	moves, stuck := carryOut(t, c, []core.NodeID{1, 2, 3, 4})
	if counts := held(c); counts[4] != 9 || moves != 9 || len(stuck) > 0 {
		t.Errorf("%d moves, then %v, stuck %q", moves, counts, stuck)
	}
}

func TestANodeThatLeavesIsEmptied(t *testing.T) {
	c := catalogOf(t, []core.NodeID{1, 2, 3, 4}, kv.CreateKeyspace{Name: "a", Shards: 8})
	c.Nodes[2] = Node{State: NodeLeaving}
	_, stuck := carryOut(t, c, []core.NodeID{1, 2, 3, 4})
	if counts := held(c); counts[2] != 0 || counts[1] != 8 || len(stuck) > 0 {
		t.Errorf("%v, stuck %q", counts, stuck)
	}
	c.Nodes[3] = Node{State: NodeLeaving}
	if _, stuck := carryOut(t, c, []core.NodeID{1, 2, 3, 4}); len(stuck) != 8 || !strings.Contains(stuck[0], "let a node join") {
		t.Errorf("with two nodes left for three replicas: stuck %q", stuck)
	}
}
