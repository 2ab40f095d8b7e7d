package keyspace

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Balance says which replicas should move, so that nodes that leave end up empty, the replicas of a shard are in as many zones as
// can be, and the nodes hold equally many, give or take one; and when none has to move, which leaders, so that each node should
// lead equally many. At most budget shards are on their way at a time, those that are already included: catching up costs the
// others. stuck are sentences about what cannot be moved. nodes are all nodes of the cluster; nothing is moved to one that is not
// up. A move under way to a node that leaves is turned elsewhere.
func (c *Catalog) Balance(nodes []core.NodeID, up func(core.NodeID) bool, budget int) (moves []kv.Move, stuck []string) {
	b := newBalance(c, nodes, up, budget)
	for _, name := range slices.Sorted(maps.Keys(c.Keyspaces)) {
		b.empty(c.Keyspaces[name])
	}
	for _, step := range []func(ready []core.NodeID) bool{b.spread, b.even, b.evenLeaders} {
		if len(b.moves) == 0 && b.budget > 0 {
			step(b.ready())
		}
	}
	return b.moves, b.stuck
}

// balance is a plan in the making.
type balance struct {
	c     *Catalog
	zones Zones
	// open are the nodes that may be given replicas, in order; held is how many each of them has, or will have, and led how
	// many shards it should lead.
	open   []core.NodeID
	up     func(core.NodeID) bool
	held   map[core.NodeID]int
	led    map[core.NodeID]int
	budget int
	moves  []kv.Move
	stuck  []string
}

func newBalance(c *Catalog, nodes []core.NodeID, up func(core.NodeID) bool, budget int) *balance {
	b := &balance{c: c, zones: c.Zones(), up: up, held: map[core.NodeID]int{}, led: map[core.NodeID]int{}, budget: budget}
	for _, n := range nodes {
		if c.Nodes[n].State == "" {
			b.open = append(b.open, n)
		}
	}
	// order does not matter: it only counts.
	for _, d := range c.Keyspaces {
		for i := range d.Shards {
			for _, m := range d.Shards[i].Ends() {
				b.held[m.Node]++
			}
			if onPaxos(d.Consistency) {
				b.led[d.Shards[i].leads()]++
			}
			if len(d.Shards[i].Target) > 0 {
				b.budget--
			}
		}
	}
	return b
}

// empty plans moves away from the nodes that leave.
func (b *balance) empty(d *Descriptor) {
	for i := range d.Shards {
		for _, m := range d.Shards[i].Ends() {
			if slices.Contains(b.open, m.Node) {
				if len(d.Shards[i].Target) > 0 && !b.up(m.Node) {
					b.stuck = append(b.stuck, fmt.Sprintf("keyspace %s shard %d is moving, and node %d of those that shall have it is down; start that node, or drain it", d.Name, i, m.Node))
				}
				continue
			}
			why := fmt.Sprintf("node %d leaves", m.Node)
			switch to := b.instead(d, i, m.Node); {
			case to == nil:
				b.stuck = append(b.stuck, fmt.Sprintf("keyspace %s shard %d: %s, and every other node that is up has a replica already; let a node join", d.Name, i, why))
			default:
				b.plan(d, i, m.Node, to, why)
			}
			break // one member of a shard at a time
		}
	}
}

// ready are the nodes that can be given something now.
func (b *balance) ready() []core.NodeID {
	return slices.DeleteFunc(slices.Clone(b.open), func(n core.NodeID) bool { return !b.up(n) })
}

// resting are the shards whose members need not change: none of them is changing, and none leaves.
func (b *balance) resting() iter.Seq2[*Descriptor, int] {
	return func(yield func(*Descriptor, int) bool) {
		for _, name := range slices.Sorted(maps.Keys(b.c.Keyspaces)) {
			d := b.c.Keyspaces[name]
			for i := range d.Shards {
				s := &d.Shards[i]
				leaves := slices.ContainsFunc(s.Replicas, func(m Member) bool { return !slices.Contains(b.open, m.Node) })
				if len(s.Target) == 0 && !leaves && !yield(d, i) {
					return
				}
			}
		}
	}
}

// spread plans one move of a replica out of a zone that would take several of a shard with it; false: there is none to plan.
func (b *balance) spread(ready []core.NodeID) bool {
	for d, i := range b.resting() {
		s := &d.Shards[i]
		for _, m := range s.Replicas {
			for _, to := range ready {
				if s.On(to) == 0 && b.zones.crowd(s, to, m.Node) < b.zones.crowd(s, m.Node, m.Node) {
					b.plan(d, i, m.Node, b.instead(d, i, m.Node), fmt.Sprintf("zone %q holds %d replicas of the shard", b.zones[m.Node], b.zones.crowd(s, m.Node, 0)))
					return true
				}
			}
		}
	}
	return false
}

// even plans one move from a fuller node to an emptier one, of the two that are furthest apart and can; false: there is none to
// plan. No zone comes to hold more of a shard by it.
func (b *balance) even(ready []core.NodeID) bool {
	var best, gap = func() {}, 1
	for d, i := range b.resting() {
		s := &d.Shards[i]
		for _, m := range s.Replicas {
			for _, to := range ready {
				apart := b.held[m.Node] - b.held[to]
				if apart > gap && s.On(to) == 0 && b.zones.crowd(s, to, m.Node) <= b.zones.crowd(s, m.Node, m.Node) {
					gap, best = apart, func() {
						b.plan(d, i, m.Node, []core.NodeID{to}, fmt.Sprintf("node %d holds %d replicas, node %d only %d", m.Node, b.held[m.Node], to, b.held[to]))
					}
				}
			}
		}
	}
	best()
	return gap > 1
}

// instead are the nodes that shall have a replica of the shard instead of one that goes, first, and of those that are members no
// more: these must go with it, since nobody can wait for them. Of the nodes in the zone with fewest others each is the one with
// the fewest replicas; nil: there are not enough.
func (b *balance) instead(d *Descriptor, shard int, goes core.NodeID) (nodes []core.NodeID) {
	s := &d.Shards[shard]
	var taken []core.NodeID
	for _, m := range s.Replicas {
		if Causal(d.Consistency) && s.Leaves(m.Node) {
			taken = append(taken, m.Node) // it leaves for good: it can have none again before it is gone
		}
	}
	for _, m := range s.Ends() {
		if m.Node != goes && b.c.Nodes[m.Node].State != NodeRemoved {
			continue
		}
		n := b.emptiest(s, m.Node, taken)
		if n == 0 {
			return nil
		}
		nodes, taken = append(nodes, n), append(taken, n)
	}
	return nodes
}

// emptiest is a node for a replica of the shard instead of one that goes, none of those that are taken; 0: there is none.
func (b *balance) emptiest(s *Shard, goes core.NodeID, taken []core.NodeID) (best core.NodeID) {
	ends := s.Ends()
	better := func(n core.NodeID) bool {
		crowd, least := b.zones.crowd(s, n, goes), b.zones.crowd(s, best, goes)
		return best == 0 || crowd < least || crowd == least && b.held[n] < b.held[best]
	}
	for _, n := range b.open {
		has := slices.Contains(taken, n) || slices.ContainsFunc(ends, func(m Member) bool { return m.Node == n })
		if !has && b.up(n) && better(n) {
			best = n
		}
	}
	return best
}

// plan moves what one node has of a shard, and what nodes have that are members no more, to others.
func (b *balance) plan(d *Descriptor, shard int, from core.NodeID, to []core.NodeID, why string) {
	if len(d.Shards[shard].Target) == 0 { // a move that is turned elsewhere costs no more than it did
		if b.budget <= 0 {
			return
		}
		b.budget--
	}
	s := &d.Shards[shard]
	var nodes []core.NodeID
	for _, m := range s.Ends() {
		if m.Node == from || b.c.Nodes[m.Node].State == NodeRemoved {
			b.held[m.Node]--
		} else {
			nodes = append(nodes, m.Node)
		}
	}
	for _, n := range to {
		b.held[n]++
	}
	b.propose(d, shard, kv.Move{From: uint32(from), To: uint32(to[0]), Why: why}, append(nodes, to...))
}

// evenLeaders plans one change of leader, from a node that should lead more shards than another member; false: there is none to
// plan.
func (b *balance) evenLeaders(ready []core.NodeID) bool {
	for d, i := range b.resting() {
		s := &d.Shards[i]
		from, to := s.leads(), s.leads()
		for _, n := range ready {
			if s.On(n) != 0 && b.led[n] < b.led[to] {
				to = n
			}
		}
		if onPaxos(d.Consistency) && b.led[from]-b.led[to] >= 2 {
			b.leadBy(d, i, to, fmt.Sprintf("node %d should lead %d shards, node %d only %d", from, b.led[from], to, b.led[to]))
			return true
		}
	}
	return false
}

// leadBy plans that a node which has a replica of a shard should lead it.
func (b *balance) leadBy(d *Descriptor, shard int, to core.NodeID, why string) {
	s := &d.Shards[shard]
	from := s.leads()
	b.budget--
	b.led[from]--
	b.led[to]++
	nodes := []core.NodeID{to}
	for _, m := range s.Replicas {
		if m.Node != to {
			nodes = append(nodes, m.Node)
		}
	}
	b.add(kv.Move{Keyspace: d.Name, Shard: shard, Group: uint64(s.Group), From: uint32(from), To: uint32(to), Why: why}, nodes)
}

// propose plans that a shard's replicas live on these nodes. Who should lead goes on, if it stays; else it is the one that should
// lead fewest others.
func (b *balance) propose(d *Descriptor, shard int, move kv.Move, nodes []core.NodeID) {
	move.Keyspace, move.Shard, move.Group = d.Name, shard, uint64(d.Shards[shard].Group)
	old := d.Shards[shard].leads()
	first := slices.Index(nodes, old)
	if first < 0 {
		first = 0
		for i, n := range nodes {
			if b.led[n] < b.led[nodes[first]] {
				first = i
			}
		}
	}
	if onPaxos(d.Consistency) {
		b.led[old]--
		b.led[nodes[first]]++
	}
	nodes[0], nodes[first] = nodes[first], nodes[0]
	b.add(move, nodes)
}

func (b *balance) add(move kv.Move, nodes []core.NodeID) {
	for _, n := range nodes {
		move.Nodes = append(move.Nodes, uint32(n))
	}
	b.moves = append(b.moves, move)
}
