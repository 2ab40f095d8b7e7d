package sim

import (
	"maps"
	"slices"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/store"
)

// word is what the catalog says of the members of a group at one time.
type word struct {
	epoch uint64
	// last is the highest id that was ever given.
	last    core.ReplicaID
	where   map[core.ReplicaID]core.NodeID
	leaving []core.ReplicaID
	// moving says that a change is under way.
	moving bool
	// ordered says that the group has a commit order.
	ordered bool
	// config is what a replica is told.
	config []byte
}

// roster is the part of a catalog that speaks of one group: all its words, and which of them each node has heard last.
type roster struct {
	words []*word
	told  []int // by node
	// atOnce says that all nodes which run hear of a word at once, and the others when they start.
	atOnce bool
	// over makes the word that says that a change is over.
	over func() *word
}

func (r *roster) latest() *word { return r.words[len(r.words)-1] }

func (w *word) next() *word {
	return &word{epoch: w.epoch + 1, last: w.last, where: maps.Clone(w.where), leaving: slices.Clone(w.leaving), moving: true, ordered: w.ordered}
}

func (w *word) on(id core.NodeID) core.ReplicaID {
	for _, r := range slices.Sorted(maps.Keys(w.where)) {
		if w.where[r] == id {
			return r
		}
	}
	return 0
}

// stays are the nodes of the members that shall remain, in order.
func (w *word) stays() (list []core.NodeID) {
	for _, r := range slices.Sorted(maps.Keys(w.where)) {
		if !slices.Contains(w.leaving, r) {
			list = append(list, w.where[r])
		}
	}
	return list
}

func (w *word) encode() []byte {
	c := bayou.Config{Binding: 77, Epoch: w.epoch, Last: w.last, Members: slices.Sorted(maps.Keys(w.where)), Leaving: w.leaving, Settled: !w.moving, Ordered: w.ordered}
	return c.AppendTo(nil)
}

// ended is the word that says that the change is over.
func (w *word) ended() *word {
	next := w.next()
	for _, id := range next.leaving {
		delete(next.where, id)
	}
	next.leaving, next.moving = nil, false
	next.config = next.encode()
	return next
}

// seat is what a node knows of a group: its replica there, where the replicas live, and whom to ask who has none.
func (g *group) seat(n *node) (self core.ReplicaID, nodes map[core.ReplicaID]core.NodeID, homes []core.NodeID) {
	if g.roster == nil {
		nodes, homes = n.where(g)
		return n.self(g), nodes, homes
	}
	w := g.roster.words[g.roster.told[n.index]]
	return w.on(n.id), w.where, w.stays()
}

// seated says that a node has a replica of the group, as the catalog has it.
func (g *group) seated(n *node) bool {
	return g.roster.latest().on(n.id) != 0
}

// heard says that the replica which runs on a node is the one that is to be there, and none of before.
func (g *group) heard(n *node) bool {
	return g.roster.words[g.roster.told[n.index]].on(n.id) == g.roster.latest().on(n.id)
}

// found makes a group whose members will change: some nodes have a replica, others none.
func (w *world) found(g *group) {
	// No id is that of a replica of another group: the past of all is one.
	first := &word{last: core.ReplicaID(1000 * g.id), where: map[core.ReplicaID]core.NodeID{}, ordered: g.protocol.Companion != nil}
	for _, i := range w.rng.Perm(w.options.Nodes)[:1+w.rng.IntN(w.options.Nodes)] {
		first.last++
		first.where[first.last] = core.NodeID(i + 1)
	}
	g.roster = &roster{words: []*word{first}, told: make([]int, w.options.Nodes)}
	g.roster.over = func() *word { return g.roster.latest().ended() }
	g.config = first.encode()
	w.after(watchEvery, func() { w.watch(g) })
}

// watchEvery is how often the catalog looks whether a change is over.
const watchEvery = 100 * Millisecond

// watch notes that a change of members is over when a member says so.
func (w *world) watch(g *group) {
	latest := g.roster.latest()
	for _, n := range w.nodes {
		if !latest.moving || !n.up || n.paused || latest.on(n.id) == 0 {
			continue
		}
		if b := causalReplica(n.host.Replica(g.id)); b != nil && b.Moved(latest.epoch) {
			w.say(g, g.roster.over())
			w.stats.Changes++
			break
		}
	}
	w.after(watchEvery, func() { w.watch(g) })
}

// causalReplica is the replica inside what is around it; nil: there is none.
func causalReplica(r core.Replica) *bayou.Replica {
	for {
		switch inner := r.(type) {
		case *bayou.Replica:
			return inner
		case unwrapper:
			r = inner.Unwrap()
		default:
			return nil
		}
	}
}

// say lets the catalog have another word, which the nodes hear some time.
func (w *world) say(g *group, next *word) {
	w.trace.line("g%d: epoch %d: members %v, leaving %d", g.id, next.epoch, next.where, next.leaving)
	g.roster.words = append(g.roster.words, next)
	for _, n := range w.nodes {
		if g.roster.atOnce && n.up {
			n.learn(n.now(), g)
			n.schedulePass()
		} else {
			n.learnLater(g)
		}
	}
}

func (n *node) learnLater(g *group) {
	n.w.after(core.Time(n.rng.Int64N(int64(600*Millisecond))), func() {
		if n.up {
			n.arrive(func(now host.Now) { n.learn(now, g) })
		}
	})
}

// learn takes the latest word of the catalog: a replica begins here, ends, or learns who the others are.
func (n *node) learn(now host.Now, g *group) {
	if g.roster.told[n.index] == len(g.roster.words)-1 {
		return
	}
	before, _, _ := g.seat(n)
	g.roster.told[n.index] = len(g.roster.words) - 1
	self, nodes, _ := g.seat(n)
	switch {
	case self == before && self != 0:
		n.host.SetMembers(now, g.id, nodes)
		n.configure(now, g)
	case self != before:
		if before != 0 {
			n.host.Remove(now, g.id)
			n.erase(g)
		}
		if self != 0 {
			n.run(now, g, n.nothing())
		}
	}
}

func (n *node) configure(now host.Now, g *group) {
	if w := g.roster.words[g.roster.told[n.index]]; w.epoch > 0 {
		n.host.Event(now, g.id, core.Configured{Config: w.config})
	}
}

// erase drops what the disk holds of a group.
func (n *node) erase(g *group) {
	n.hadState[g.id] = false
	if err := n.disk.Drop(g.id); err != nil {
		n.w.fail(Invariant, "node %d: drop group %d: %v", n.id, g.id, err)
	}
}

// reopen is what a node does about a group when it starts: its copy of the catalog may have fallen back, but not so far that it
// would bring back a replica that was dropped here; and what the disk still holds of one that was goes.
func (n *node) reopen(g *group, r *store.Recovered) {
	told := &g.roster.told[n.index]
	if g.roster.atOnce {
		*told = len(g.roster.words) - 1
	} else if *told > 0 && g.roster.words[*told-1].on(n.id) == g.roster.words[*told].on(n.id) && n.rng.IntN(3) == 0 {
		*told--
	}
	self, _, _ := g.seat(n)
	if writer := bayou.Writer(r.Groups[g.id]); writer != self {
		delete(r.Groups, g.id)
		n.erase(g)
	}
	if !g.roster.atOnce {
		n.learnLater(g)
	}
}

// reseat begins a change of a group's members: one may come, one may leave.
func (s *strikes) reseat(g *group) {
	latest := g.roster.latest()
	if latest.moving {
		return
	}
	next := latest.next()
	var free []core.NodeID
	for _, n := range s.w.nodes {
		if latest.on(n.id) == 0 {
			free = append(free, n.id)
		}
	}
	if len(free) > 0 && s.rng.IntN(3) > 0 {
		next.last++
		next.where[next.last] = free[s.rng.IntN(len(free))]
	}
	if len(next.where) > 1 && s.rng.IntN(3) > 0 {
		members := slices.Sorted(maps.Keys(latest.where))
		next.leaving = []core.ReplicaID{members[s.rng.IntN(len(members))]}
	}
	next.config = next.encode()
	s.w.say(g, next)
}

// lose takes a node's disk, and its replicas for lost, if others serve their groups. A blank one takes its place.
func (s *strikes) lose(n *node) {
	for _, g := range s.w.served {
		serves := false
		for _, id := range g.roster.latest().stays() {
			if o := s.w.nodes[id-1]; o != n && o.up {
				b := causalReplica(o.host.Replica(g.id))
				serves = serves || b != nil && g.heard(o) && !b.Status().Joining && !b.Status().Suspect
			}
		}
		if !serves {
			return
		}
	}
	n.crash(TailLost, "its disk is gone")
	n.disk.Wipe()
	s.w.event("disk", "gone", n)
	for _, g := range s.w.served {
		s.w.checks.wiped(g)
		next := g.roster.latest().next()
		if id := next.on(n.id); id != 0 {
			delete(next.where, id)
			next.leaving = slices.DeleteFunc(next.leaving, func(o core.ReplicaID) bool { return o == id })
			next.config = next.encode()
			s.w.say(g, next)
		}
		g.roster.told[n.index] = len(g.roster.words) - 1
	}
	s.restartLater(n)
}

// seatedNodes are the living nodes with a replica of a group.
func (w *world) seatedNodes(g *group) (list []*node) {
	if g.roster == nil {
		return w.resident(g)
	}
	for _, n := range w.living() {
		if g.seated(n) {
			list = append(list, n)
		}
	}
	return list
}

// rested says that no change of members is under way, and that every node knows.
func (w *world) rested(g *group) bool {
	if g.roster == nil {
		return w.moved(g)
	}
	for _, k := range g.roster.told {
		if k != len(g.roster.words)-1 {
			return false
		}
	}
	return !g.roster.latest().moving
}
