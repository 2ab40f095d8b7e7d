package keyspace

import (
	"slices"
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

func allUp(core.NodeID) bool { return true }

// carryOut does what is planned until nothing is, and returns how many moves that took.
func carryOut(t *testing.T, c *Catalog, nodes []core.NodeID) (moves int, stuck []string) {
	t.Helper()
	for {
		plans, stuck := c.Balance(nodes, allUp, 2)
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

// TestAMoveToANodeThatIsLostIsTurnedElsewhere begins a move to a node that then dies: it is told of, nothing more is moved
// there, and once that node is drained the move goes elsewhere, here back to where it came from.
func TestAMoveToANodeThatIsLostIsTurnedElsewhere(t *testing.T) {
	nodes := []core.NodeID{1, 2, 3, 4}
	c := catalogOf(t, three, kv.CreateKeyspace{Name: "a", Shards: 4})
	began, err := c.Keyspaces["a"].Move(0, []core.NodeID{1, 2, 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Keyspaces["a"] = began
	lost := func(n core.NodeID) bool { return n != 4 }
	moves, stuck := c.Balance(nodes, lost, 2)
	if len(moves) != 0 || len(stuck) != 1 || !strings.Contains(stuck[0], "node 4") {
		t.Errorf("with node 4 down: %+v, stuck %q", moves, stuck)
	}
	c.Nodes[4] = Node{State: NodeLeaving}
	moves, _ = c.Balance(nodes, lost, 0)
	if len(moves) != 1 || moves[0].To != 3 || !slices.Equal(moves[0].Nodes, []uint32{1, 2, 3}) {
		t.Fatalf("with node 4 leaving: %+v", moves)
	}
	turned, err := began.Halted(0).Move(0, []core.NodeID{1, 2, 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := turned.Shards[0]; len(s.Replicas) != 4 || len(s.Target) != 3 || slices.Contains(s.Target, s.On(4)) || s.Epoch != 2 {
		t.Errorf("turned: %+v", s)
	}
	if over := turned.Moved(0).Shards[0]; over.On(4) != 0 || over.On(3) != began.Shards[0].On(3) || over.Last != 4 {
		t.Errorf("over: %+v", over)
	}
	c.Keyspaces["a"] = turned
	if moves, _ := c.Balance(nodes, lost, 2); len(moves) != 0 {
		t.Errorf("turned once more: %+v", moves)
	}
}

func TestAMoveThatIsTurnedAgainAndAgainIsRefused(t *testing.T) {
	d := catalogOf(t, three, kv.CreateKeyspace{Name: "a"}).Keyspaces["a"]
	var err error
	for n := core.NodeID(4); err == nil; n++ {
		if d, err = d.Halted(0).Move(0, []core.NodeID{n}, nil); err == nil {
			if _, broken := DecodeDescriptor(d.Encode()); broken != nil {
				t.Fatal(broken)
			}
		}
	}
	if !isCode(err, kv.Busy) {
		t.Error(err)
	}
}

// TestLeadersAreSpread takes a node out and another one in: the one that came has no leaders at first, since replicas are moved
// where they are followed; in the end each node should lead as many shards as the others, give or take one.
func TestLeadersAreSpread(t *testing.T) {
	nodes := []core.NodeID{1, 2, 3, 4}
	c := catalogOf(t, three, kv.CreateKeyspace{Name: "a", Shards: 8}, kv.CreateKeyspace{Name: "b", Shards: 4, Consistency: kv.Sequential})
	c.Nodes[1] = Node{State: NodeLeaving}
	if _, stuck := carryOut(t, c, nodes); len(stuck) > 0 {
		t.Fatalf("stuck %q", stuck)
	}
	counts := map[core.NodeID]int{}
	for _, d := range c.Keyspaces {
		for i := range d.Shards {
			counts[d.Shards[i].leads()]++
		}
	}
	if counts[2] != 4 || counts[3] != 4 || counts[4] != 4 {
		t.Errorf("leaders by node: %v", counts)
	}
}

// TestWhatIsLeftOfAMajorityIsCopied takes two of three nodes away at once. Nothing moves to one new node, since the other lost
// replica would still be waited for; with two, each shard is whole again by one move.
func TestWhatIsLeftOfAMajorityIsCopied(t *testing.T) {
	c := catalogOf(t, three, kv.CreateKeyspace{Name: "a", Shards: 4})
	c.Nodes[2], c.Nodes[3] = Node{State: NodeRemoved}, Node{State: NodeRemoved}
	if moves, stuck := carryOut(t, c, []core.NodeID{1, 4}); moves != 0 || len(stuck) != 4 || !strings.Contains(stuck[0], "let a node join") {
		t.Errorf("with one new node: %d moves, stuck %q", moves, stuck)
	}
	moves, stuck := carryOut(t, c, []core.NodeID{1, 4, 5})
	if counts := held(c); len(stuck) > 0 || counts[1] != 4 || counts[4] != 4 || counts[5] != 4 || counts[2]+counts[3] != 0 {
		t.Errorf("%d moves, replicas by node %v, stuck %q", moves, counts, stuck)
	}
}
