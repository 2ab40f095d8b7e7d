package keyspace

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Balance says which replicas should move, so that nodes that leave end up empty and the others hold equally many, give or take
// one; and when none has to, which leaders, so that each node should lead equally many. At most budget shards are on their way at a time, those that are already included: catching up costs the others. stuck
// are sentences about what cannot be moved. nodes are all nodes of the cluster; nothing is moved to one that is not up. A move
// under way to a node that leaves is turned elsewhere.
func (c *Catalog) Balance(nodes []core.NodeID, up func(core.NodeID) bool, budget int) (moves []kv.Move, stuck []string) {
	b := newBalance(c, nodes, up, budget)
	for _, name := range slices.Sorted(maps.Keys(c.Keyspaces)) {
		b.empty(c.Keyspaces[name])
	}
	for len(b.moves) == 0 && b.even() {
	}
	for len(b.moves) == 0 && b.evenLeaders() {
	}
	return b.moves, b.stuck
}

// balance is a plan in the making.
type balance struct {
	c *Catalog
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
	b := &balance{c: c, up: up, held: map[core.NodeID]int{}, led: map[core.NodeID]int{}, budget: budget}
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
			if Led(d.Consistency) {
				b.led[d.Shards[i].leads()]++
			}
			if len(d.Shards[i].Target) > 0 {
				b.budget--
			}
		}
	}
	return b
}

// Movable says whether the members of a keyspace's shards can change.
func Movable(d *Descriptor) bool { return onPaxos(d.Consistency) }

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
			switch to := b.emptiest(&d.Shards[i]); {
			case !Movable(d):
				b.stuck = append(b.stuck, fmt.Sprintf("keyspace %s shard %d: %s, but the members of %s keyspaces cannot change yet", d.Name, i, why, d.Consistency))
			case to == 0:
				b.stuck = append(b.stuck, fmt.Sprintf("keyspace %s shard %d: %s, and every other node that is up has a replica already; let a node join", d.Name, i, why))
			default:
				b.plan(d, i, m.Node, to, why)
			}
			break // one member of a shard at a time
		}
	}
}

// even plans one move from the fullest node to the emptiest; false: there is none to plan.
func (b *balance) even() bool {
	ready := slices.DeleteFunc(slices.Clone(b.open), func(n core.NodeID) bool { return !b.up(n) })
	if len(ready) == 0 || b.budget <= 0 {
		return false
	}
	least := slices.MinFunc(ready, func(x, y core.NodeID) int { return b.held[x] - b.held[y] })
	most := slices.MaxFunc(b.open, func(x, y core.NodeID) int { return b.held[x] - b.held[y] })
	if b.held[most]-b.held[least] < 2 {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(b.c.Keyspaces)) {
		d := b.c.Keyspaces[name]
		for i := range d.Shards {
			s := &d.Shards[i]
			if Movable(d) && len(s.Target) == 0 && s.On(most) != 0 && s.On(least) == 0 {
				b.plan(d, i, most, least, fmt.Sprintf("node %d holds %d replicas, node %d only %d", most, b.held[most], least, b.held[least]))
				return true
			}
		}
	}
	return false
}

// emptiest is the node with the fewest replicas that shall have none of the shard; 0: there is none.
func (b *balance) emptiest(s *Shard) (best core.NodeID) {
	ends := s.Ends()
	for _, n := range b.open {
		has := slices.ContainsFunc(ends, func(m Member) bool { return m.Node == n })
		if !has && b.up(n) && (best == 0 || b.held[n] < b.held[best]) {
			best = n
		}
	}
	return best
}

func (b *balance) plan(d *Descriptor, shard int, from, to core.NodeID, why string) {
	if len(d.Shards[shard].Target) == 0 { // a move that is turned elsewhere costs no more than it did
		if b.budget <= 0 {
			return
		}
		b.budget--
	}
	b.held[from]--
	b.held[to]++
	s := &d.Shards[shard]
	var nodes []core.NodeID
	for _, m := range s.Ends() {
		if m.Node != from {
			nodes = append(nodes, m.Node)
		}
	}
	b.propose(d, shard, kv.Move{From: uint32(from), To: uint32(to), Why: why}, append(nodes, to))
}

// evenLeaders plans one change of leader, from the node that should lead most shards to the one that should lead fewest; false:
// there is none to plan.
func (b *balance) evenLeaders() bool {
	ready := slices.DeleteFunc(slices.Clone(b.open), func(n core.NodeID) bool { return !b.up(n) })
	if b.budget <= 0 {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(b.c.Keyspaces)) {
		d := b.c.Keyspaces[name]
		for i := range d.Shards {
			s := &d.Shards[i]
			if !Led(d.Consistency) || !Movable(d) || len(s.Target) > 0 {
				continue
			}
			from, to := s.leads(), s.leads()
			for _, n := range ready {
				if s.On(n) != 0 && b.led[n] < b.led[to] {
					to = n
				}
			}
			if b.led[from]-b.led[to] >= 2 {
				why := fmt.Sprintf("node %d should lead %d shards, node %d only %d", from, b.led[from], to, b.led[to])
				b.budget--
				b.leadBy(d, i, to, why)
				return true
			}
		}
	}
	return false
}

// leadBy plans that a node which has a replica of a shard should lead it.
func (b *balance) leadBy(d *Descriptor, shard int, to core.NodeID, why string) {
	s := &d.Shards[shard]
	from := s.leads()
	b.led[from]--
	b.led[to]++
	nodes := []core.NodeID{to}
	for _, m := range s.Replicas {
		if m.Node != to {
			nodes = append(nodes, m.Node)
		}
	}
	b.add(kv.Move{Keyspace: d.Name, Shard: shard, From: uint32(from), To: uint32(to), Why: why}, nodes)
}

// propose plans that a shard's replicas live on these nodes. Who should lead goes on, if it stays; else it is the one that should
// lead fewest others.
func (b *balance) propose(d *Descriptor, shard int, move kv.Move, nodes []core.NodeID) {
	move.Keyspace, move.Shard = d.Name, shard
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
	if Led(d.Consistency) {
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
