package sim

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/store"
)

// Where the catalog says who the members of a group are, the world has one: its word is one for all, and nodes hear of it late, and
// in a crash forget what they heard last. Who is ready for the next step asks for it, as the nodes of a cluster do.

// learnMax is how long a node may take to hear of a change, pollEvery how often somebody looks whether the next step can be taken.
const (
	learnMax  = 400 * Millisecond
	pollEvery = 20 * Millisecond
)

// described is a group as the catalog begins with it: three of the nodes have replicas.
func (w *world) described(g *group) *keyspace.Descriptor {
	s := keyspace.Shard{Group: g.id, Preferred: 1}
	for i, at := range w.rng.Perm(w.options.Nodes)[:3] {
		s.Replicas = append(s.Replicas, keyspace.Member{Replica: core.ReplicaID(10*int(g.id) + i + 1), Node: core.NodeID(at + 1)})
	}
	d := w.options.Protocol.Describe()
	d.Name, d.ID, d.Shards = fmt.Sprint("g", g.id), uint32(g.id), []keyspace.Shard{s}
	return d
}

// shard is a group as the node knows it; nil: members do not change by a catalog.
func (n *node) shard(g *group) *keyspace.Shard {
	if d := n.heard[g.id]; d != nil {
		return &d.Shards[0]
	}
	return nil
}

// self is the node's replica of a group; 0: it has none.
func (n *node) self(g *group) core.ReplicaID {
	if s := n.shard(g); s != nil {
		return s.On(n.id)
	}
	return g.members[n.index]
}

// where says where the members of a group live, as far as the node knows.
func (n *node) where(g *group) (nodes map[core.ReplicaID]core.NodeID, homes []core.NodeID) {
	s := n.shard(g)
	if s == nil {
		return g.nodes, g.homes
	}
	for _, m := range s.Replicas {
		homes = append(homes, m.Node)
	}
	return s.Nodes(), homes
}

// publish makes something the word of the catalog.
func (w *world) publish(g *group, d *keyspace.Descriptor) {
	again, err := keyspace.DecodeDescriptor(d.Encode())
	if err != nil {
		w.fail(Invariant, "a descriptor does not decode: %v", err)
		return
	}
	g.truth = again
	s := &d.Shards[0]
	w.trace.line("g%d: epoch %d, replicas %v, target %v, joining %v, filled %v", g.id, s.Epoch, s.Replicas, s.Target, s.Joining, s.Filled)
	for _, n := range w.nodes {
		n.hearLater(g)
	}
}

func (n *node) hearLater(g *group) {
	n.w.after(core.Time(n.rng.Int64N(int64(learnMax))), func() {
		if n.up {
			n.arrive(func(now host.Now) { n.hear(now, g) })
		}
	})
}

// hear brings the node's replica in line with the catalog, as far as it has not.
func (n *node) hear(now host.Now, g *group) {
	before, d := n.heard[g.id], g.truth
	if d.Shards[0].Epoch <= before.Shards[0].Epoch {
		return
	}
	n.w.trace.line("n%d hears of epoch %d of g%d", n.id, d.Shards[0].Epoch, g.id)
	old := n.self(g)
	n.heard[g.id] = d
	switch self := n.self(g); {
	case old != self && n.host.Has(g.id):
		n.host.Remove(now, g.id)
		n.w.checks.ended(n, g)
		// What the replica was dropped for must be known for ever.
		n.forgets[g.id] = d
		n.flush()
		if err := n.disk.Drop(g.id); err != nil {
			n.w.fail(Invariant, "node %d: drop: %v", n.id, err)
		}
		delete(n.hadState, g.id)
		if self != 0 {
			n.run(now, g, n.nothing())
			n.w.catalog.begin(n, g)
		}
	case self != 0 && !n.host.Has(g.id):
		n.run(now, g, &n.recovered)
		delete(n.recovered.Groups, g.id)
		n.w.catalog.begin(n, g)
	case self != 0:
		nodes, _ := n.where(g)
		n.host.SetMembers(now, g.id, nodes)
		n.tell(now, g)
	}
}

// endLeftover drops what the disk holds of a replica that has left for good: a crash may bring that back.
func (n *node) endLeftover(g *group, r *store.Recovered) {
	s := n.shard(g)
	if s == nil {
		return
	}
	if writer := keyspace.Writer(n.heard[g.id].Consistency, r.Groups[g.id]); writer == 0 || !s.Left(writer) {
		return
	}
	n.w.checks.ended(n, g)
	delete(r.Groups, g.id)
	n.erase(g)
}

// tell tells the replica what the node knows of its members.
func (n *node) tell(now host.Now, g *group) {
	if d := n.heard[g.id]; d != nil && d.Members(0) != nil {
		n.host.Event(now, g.id, core.Configured{Config: d.Members(0)})
	}
}

// forget takes from the node what it heard last, as its copy of the catalog may in a crash.
func (n *node) forget() {
	for _, g := range n.w.groups {
		if g.truth == nil {
			continue
		}
		if n.rng.IntN(3) == 0 {
			n.heard[g.id] = n.forgets[g.id]
		} else if n.rng.IntN(2) == 0 {
			n.forgets[g.id] = n.heard[g.id]
		}
	}
}

// pollMoves lets one node after the other look whether the next step of a change can be taken.
func (w *world) pollMoves() {
	for _, g := range w.groups {
		if g.truth == nil || len(g.truth.Shards[0].Target) == 0 {
			continue
		}
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		if v := w.catalog.views[g.id]; v != nil {
			n.pushView(v)
			continue
		}
		if s := n.shard(g); n.up && !n.paused && n.host.Has(g.id) && s.Ready(w.checks.unwrap(n, g)) {
			w.after(core.Time(w.rng.Int64N(int64(50*Millisecond))), func() {
				if g.truth.Shards[0].Epoch == s.Epoch {
					w.publish(g, g.truth.Advanced(0))
					if len(g.truth.Shards[0].Target) == 0 {
						w.stats.Changes++
					}
				}
			})
		}
	}
	w.after(pollEvery, w.pollMoves)
}

// pushView tells a replica whose members a view names which ones are wanted; the change is over when the view names these.
func (n *node) pushView(v *view) {
	w, g, s := n.w, v.g, n.shard(v.g)
	if !n.up || n.paused || len(s.Target) == 0 {
		return
	}
	want := core.Reconfigure{Voters: s.Target, Preferred: s.Preferred}
	for _, m := range s.Replicas {
		if w.isGone(g, m.Replica) {
			want.Lost = append(want.Lost, m.Replica)
		}
	}
	n.arrive(func(now host.Now) { n.host.Event(now, g.id, want) })
	if w.catalog.reaches(n) {
		w.after(w.catalog.travel(), func() {
			view, err := keyspace.DecodeRoster(v.word())
			if err == nil && g.truth.Shards[0].Epoch == s.Epoch && s.Reached(&view) {
				w.publish(g, g.truth.Moved(0))
				w.stats.Changes++
			}
		})
	}
}

// shard is what the catalog says of the group's replicas.
func (g *group) shard() *keyspace.Shard {
	if g.truth != nil {
		return &g.truth.Shards[0]
	}
	s := &keyspace.Shard{Group: g.id}
	for _, id := range slices.Sorted(maps.Keys(g.nodes)) {
		s.Replicas = append(s.Replicas, keyspace.Member{Replica: id, Node: g.nodes[id]})
	}
	return s
}

// isGone says that a replica's disk is lost.
func (w *world) isGone(g *group, id core.ReplicaID) bool {
	at := g.shard().Nodes()[id]
	return at != 0 && w.nodes[at-1].gone
}

// move begins a change of a group's members, or turns one elsewhere.
func (s *strikes) move(g *group) {
	d := g.truth
	if len(d.Shards[0].Target) > 0 {
		if (s.rng.IntN(4) > 0 || !s.seldom(30)) && !s.inVain(d) {
			return
		}
		d = d.Halted(0)
	}
	if moved, err := d.Move(0, s.places(d), g.config); err == nil {
		s.w.publish(g, moved)
	}
}

// places are three to five nodes, mostly those of before but for one.
func (s *strikes) places(d *keyspace.Descriptor) (list []core.NodeID) {
	for _, i := range s.rng.Perm(len(s.w.nodes)) {
		if !s.w.nodes[i].gone {
			list = append(list, core.NodeID(i+1))
		}
	}
	if s.rng.IntN(3) > 0 {
		slices.SortStableFunc(list, func(a, b core.NodeID) int { return s.rank(d, a) - s.rank(d, b) })
		if s.rng.IntN(2) == 0 { // one leaves, and another one comes
			list = append(list[1:], list[0])
		}
	}
	return list[:min(len(list), 3+s.rng.IntN(len(list)-2))]
}

// rank puts nodes that have a replica first.
func (s *strikes) rank(d *keyspace.Descriptor, n core.NodeID) int {
	if d.Shards[0].On(n) != 0 {
		return 0
	}
	return 1
}

// inVain says that a change under way is to a node that is lost.
func (s *strikes) inVain(d *keyspace.Descriptor) bool {
	return slices.ContainsFunc(d.Shards[0].Ends(), func(m keyspace.Member) bool { return s.w.nodes[m.Node-1].gone })
}

// replace moves replicas away from nodes that are lost.
func (s *strikes) replace() {
	for _, g := range s.w.groups {
		if s.inVain(g.truth) {
			s.move(g)
		}
	}
	s.w.after(300*Millisecond, s.replace)
}

// resident are the nodes that hold a group in the end, each with a disk.
func (w *world) resident(g *group) (list []*node) {
	for _, n := range w.living() {
		if g.truth == nil || g.truth.Shards[0].On(n.id) != 0 {
			list = append(list, n)
		}
	}
	return list
}

// moved says that no change of a group's members is under way, and that all nodes know.
func (w *world) moved(g *group) bool {
	if g.truth == nil {
		return true
	}
	s := &g.truth.Shards[0]
	for _, n := range w.living() {
		if n.heard[g.id].Shards[0].Epoch != s.Epoch {
			return false
		}
	}
	return len(s.Target) == 0 && !w.faults.inVain(g.truth)
}
