package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
)

// strikes lets the faults of a run happen.
type strikes struct {
	w    *world
	rng  *rand.Rand
	f    *Faults
	over bool
	// undo ends each fault that lasts, in the order in which they began.
	undo []func()
	// frail are the nodes whose logs may be damaged: never so many that an acknowledged write could be lost.
	frail []int
	// endCoup ends the cuts of the latest coup.
	endCoup func()
}

func newStrikes(w *world) *strikes {
	s := &strikes{w: w, rng: stream(w.options.Seed, "faults", 0), f: w.options.Faults}
	s.frail = s.rng.Perm(w.options.Nodes)[:(w.options.Nodes-1)/2]
	if s.f.Change > 0 {
		s.frail = s.frail[:1] // which three of the nodes vote changes
	}
	return s
}

func (s *strikes) start() {
	for _, k := range s.f.kinds() {
		if *k.every > 0 {
			s.next(k)
		}
	}
}

func (s *strikes) next(k kind) {
	s.w.after(core.Time(s.rng.ExpFloat64()*float64(*k.every)), func() {
		if s.over && !k.chore {
			return
		}
		if !k.chore {
			s.w.stats.Strikes++
		}
		k.strike(s)
		s.next(k)
	})
}

// heal ends everything that lasts, restarts everyone and lets nothing strike again.
func (s *strikes) heal() {
	s.over = true
	for _, u := range s.undo {
		u()
	}
	s.undo = nil
	for _, n := range s.w.nodes {
		n.syncExtra, n.failSync = 0, false
		if n.hung {
			n.unhang()
		}
		if n.paused {
			n.unpause()
		}
		n.start()
	}
	if s.f.Watched {
		for _, n := range s.w.nodes {
			n.clock.wall = 0
		}
		s.w.fitness()
	}
	switch {
	case s.f.Change > 0 && s.w.options.Protocol.Describe != nil:
		s.replace()
	case s.f.Change > 0 && !s.w.options.Protocol.Rosters:
		s.gather()
	}
}

// gather makes all replicas voters, so that in the end all can be held to the same.
func (s *strikes) gather() {
	for _, g := range s.w.groups {
		s.reconfigure(g, votersOf(g, s.rng.Perm(len(s.w.nodes))))
	}
	s.w.after(300*Millisecond, s.gather)
}

// change asks for other voters, three or more.
func (s *strikes) change() {
	s.w.hit("members")
	g := s.w.served[s.rng.IntN(len(s.w.served))]
	if g.truth != nil {
		if s.rng.IntN(16) == 0 {
			s.wipe() // one disk may be lost; its node is replaced
		}
		s.move(g)
		return
	}
	if g.roster != nil {
		s.reseat(g)
		return
	}
	s.reconfigure(g, votersOf(g, s.rng.Perm(len(s.w.nodes))[:3+s.rng.IntN(len(s.w.nodes)-2)]))
	if s.rng.IntN(2) == 0 && s.seldom(10) {
		s.w.after(s.span(0, 20*Millisecond), s.tear)
	}
}

// seldom is true once in a while where many changes of members are wanted, and always elsewhere: what disturbs each of them would
// let none come about.
func (s *strikes) seldom(times int) bool { return s.w.options.Changes == 0 || s.rng.IntN(times) == 0 }

// tear parts two nodes from the rest: a majority of the old voters from one of the new ones, with luck.
func (s *strikes) tear() {
	if s.over {
		return
	}
	order := s.rng.Perm(len(s.w.nodes))
	var cuts [][2]*node
	for _, a := range order[:2] {
		for _, b := range order[2:] {
			cuts = append(cuts, [2]*node{s.w.nodes[a], s.w.nodes[b]}, [2]*node{s.w.nodes[b], s.w.nodes[a]})
		}
	}
	s.sever(s.span(300*Millisecond, 1500*Millisecond), "tear", cuts)
}

// reconfigure asks all: whoever leads will heed it.
func (s *strikes) reconfigure(g *group, voters []core.ReplicaID) {
	s.w.trace.line("g%d: voters %d are asked for", g.id, voters)
	for _, n := range s.w.nodes {
		if n.up {
			n.arrive(func(now host.Now) { n.host.Event(now, g.id, core.Reconfigure{Voters: voters}) })
		}
	}
}

// lasting ends something after a while, at the heal, or when once is called.
func (s *strikes) lasting(d core.Time, end func()) (once func()) {
	ended := false
	once = func() {
		if !ended {
			ended = true
			end()
		}
	}
	s.undo = append(s.undo, once)
	s.w.after(d, once)
	return once
}

func (s *strikes) span(low, high core.Time) core.Time {
	return low + core.Time(s.rng.Int64N(int64(high-low+1)))
}

func (s *strikes) anyNode() *node { return s.w.nodes[s.rng.IntN(len(s.w.nodes))] }

// victim prefers leaders: that is where crashes hurt.
func (s *strikes) victim() *node {
	if s.rng.IntN(2) == 0 {
		g := s.w.groups[s.rng.IntN(len(s.w.groups))]
		for _, n := range s.w.nodes {
			if n.up {
				if led, ok := n.host.Replica(g.id).(core.Led); ok && led.Leader() != 0 {
					if nodes, _ := n.where(g); nodes[led.Leader()] != 0 {
						return s.w.nodes[nodes[led.Leader()]-1]
					}
				}
			}
		}
	}
	return s.anyNode()
}

// tail is what a crash leaves of what was being written.
func (s *strikes) tail() Tail {
	kept := s.f.Keep == 1 || (s.f.Keep == 2 && s.rng.IntN(2) == 0)
	var list []Tail
	for tail, class := range tailClasses {
		if s.f.may(class) {
			list = append(list, Tail(tail))
		}
	}
	switch {
	case s.f.shapes != nil && len(list) > 0:
		return list[s.rng.IntN(len(list))]
	case !kept && s.f.Torn && s.f.may("torn-write") && s.rng.IntN(2) == 0:
		return TailTorn
	}
	return keptIf(kept)
}

// tailClasses are the words for crashes, by their tails.
var tailClasses = [...]string{TailKept: "kill", TailLost: "power-loss", TailTorn: "torn-write"}

func (s *strikes) crash() {
	n := s.victim()
	if s.rng.IntN(4) == 0 {
		n.flush()
	}
	s.hitCrash(n, "killed")
	s.restartLater(n)
	// What only this node and one other have is at stake when the other is out of reach meanwhile.
	if other := s.anyNode(); other != n && s.rng.IntN(3) == 0 {
		s.isolate(other, s.span(500*Millisecond, 3*Second))
	}
}

// hitCrash ends a node in one of the ways that there are. To tear a write it waits for one; that is counted where it happens.
func (s *strikes) hitCrash(n *node, why string) {
	tail := s.tail()
	switch {
	case tail != TailTorn && n.up:
		s.w.hit(tailClasses[tail])
	case tail == TailTorn && n.up && !n.writing:
		n.tear = func() {
			if !s.over {
				n.crash(TailTorn, why)
				s.restartLater(n)
			}
		}
		return
	}
	n.crash(tail, why)
}

// isolate cuts a node off from all others.
func (s *strikes) isolate(n *node, d core.Time) {
	var cuts [][2]*node
	for _, peer := range s.w.nodes {
		if peer != n {
			cuts = append(cuts, [2]*node{n, peer}, [2]*node{peer, n})
		}
	}
	s.sever(d, "isolation", cuts)
}

func (s *strikes) restartLater(n *node) {
	d := s.span(5*Millisecond, 100*Millisecond)
	if s.rng.IntN(3) == 0 {
		d = s.span(100*Millisecond, 2*Second)
	}
	s.w.after(d, n.start)
}

// crashAll takes the power from all, or from all but the leader, which is cut off: its lease must still be honoured.
func (s *strikes) crashAll() {
	s.w.hit("restart-all")
	if s.rng.IntN(2) == 0 {
		leader := s.victim()
		s.isolate(leader, s.span(500*Millisecond, 3*Second))
		for _, n := range s.w.nodes {
			if n != leader {
				n.crash(s.tail(), "power loss around the leader")
				s.w.after(s.span(5*Millisecond, 20*Millisecond), n.start)
			}
		}
		return
	}
	for _, n := range s.w.nodes {
		n.crash(s.tail(), "power loss")
		s.restartLater(n)
	}
}

func (s *strikes) pause() {
	n := s.victim()
	if !n.up || n.paused {
		return
	}
	s.w.hit("pause")
	s.w.trace.line("n%d pauses", n.id)
	place := s.w.event("pause", "", n)
	n.paused = true
	n.pauses++
	life, d := n.life, s.span(10*Millisecond, 2*Second)
	if s.rng.IntN(3) == 0 {
		// Its network goes with it and comes back later: it finds answers from before, and hears nothing of what came since.
		s.w.after(s.span(0, 5*Millisecond), func() {
			if !s.over {
				s.isolate(n, d+s.span(0, 500*Millisecond))
			}
		})
	}
	s.lasting(d, func() {
		if n.life == life && n.paused {
			s.w.trace.line("n%d goes on", n.id)
			s.w.eventEnds(place)
			n.unpause()
		}
	})
}

// led hears of each new leadership, and may let it be a short one.
func (s *strikes) led(n *node) {
	if s.f.Coup > 0 && !s.over {
		life := n.life
		s.w.after(core.Time(s.rng.Int64N(int64(s.f.Coup))), func() {
			if !s.over && n.life == life {
				s.coup(n)
			}
		})
	}
}

// coup takes the power from a young leader, or only the others, and leaves nobody but some majority connected: the next
// leader finds what the last one left on a few disks.
func (s *strikes) coup(leader *node) {
	s.w.hit("coup")
	order := s.rng.Perm(len(s.w.nodes))
	if s.rng.IntN(2) == 0 {
		leader.crash(s.tail(), "killed while it is young")
		s.w.after(s.span(5*Millisecond, 50*Millisecond), leader.start)
	} else {
		at, last := slices.Index(order, leader.index), len(order)-1
		order[at], order[last] = order[last], order[at]
	}
	if s.endCoup != nil {
		s.endCoup()
	}
	var cuts [][2]*node
	for i, a := range order {
		for j, b := range order {
			if i != j && (i > len(order)/2 || j > len(order)/2) {
				cuts = append(cuts, [2]*node{s.w.nodes[a], s.w.nodes[b]})
			}
		}
	}
	s.endCoup = s.sever(2*Second, "coup", cuts)
}

// sever cuts directions for a while, or until end is called.
func (s *strikes) sever(d core.Time, what string, cuts [][2]*node) (end func()) {
	s.w.trace.line("%s for %s:%s", what, clockText(d), cutText(cuts))
	var nodes []*node
	for _, c := range cuts {
		s.w.network.cut(c[0], c[1], true)
		for _, n := range c {
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
	}
	place := s.w.event("cut", what+cutText(cuts), nodes...)
	return s.lasting(d, func() {
		s.w.eventEnds(place)
		s.w.trace.line("%s ends:%s", what, cutText(cuts))
		for _, c := range cuts {
			s.w.network.cut(c[0], c[1], false)
		}
	})
}

func cutText(cuts [][2]*node) (text string) {
	for _, c := range cuts {
		text += fmt.Sprintf(" n%d-/->n%d", c[0].id, c[1].id)
	}
	return text
}

// desert cuts a node off from one peer after the other, within about a lease.
func (s *strikes) desert(n *node) {
	until := s.span(500*Millisecond, 2*Second)
	for _, i := range s.rng.Perm(len(s.w.nodes)) {
		if peer := s.w.nodes[i]; peer != n {
			s.w.after(s.span(0, 500*Millisecond), func() {
				if !s.over {
					s.sever(until, "desertion", [][2]*node{{n, peer}, {peer, n}})
				}
			})
		}
	}
}

// cutOne cuts one direction, or one link, or all that leaves or reaches one node, or lets its peers desert it.
func (s *strikes) cutOne() {
	a, b := s.victim(), s.anyNode()
	shape := s.cutShape()
	if shape == 4 {
		s.w.hit("desertion")
		s.desert(a)
		return
	}
	var cuts [][2]*node
	for _, peer := range s.w.nodes {
		switch {
		case peer == a:
		case shape == 0 && peer == b:
			cuts = append(cuts, [2]*node{a, b})
		case shape == 1 && peer == b:
			cuts = append(cuts, [2]*node{a, b}, [2]*node{b, a})
		case shape == 2:
			cuts = append(cuts, [2]*node{a, peer})
		case shape == 3:
			cuts = append(cuts, [2]*node{peer, a})
		}
	}
	if len(cuts) > 0 {
		s.w.hit(cutClasses[shape])
		s.sever(s.span(20*Millisecond, 3*Second), "cut", cuts)
	}
}

// cutClasses are the words for the shapes of a cut.
var cutClasses = [...]string{"one-way", "single-link", "one-way", "one-way", "desertion"}

func (s *strikes) cutShape() int {
	var list []int
	for shape, class := range cutClasses {
		if s.f.may(class) {
			list = append(list, shape)
		}
	}
	return list[s.rng.IntN(len(list))]
}

// partition splits the cluster in two, or in two that share a bridge.
func (s *strikes) partition() {
	order := s.rng.Perm(len(s.w.nodes))
	half := 1 + s.rng.IntN(len(order)-1)
	bridge := -1
	if (s.rng.IntN(3) == 0 || !s.f.may("halves")) && s.f.may("bridge") {
		bridge, half = order[0], max(half, 2)
	}
	var cuts [][2]*node
	for i, a := range order {
		for j, b := range order {
			if (i < half) != (j < half) && a != bridge && b != bridge {
				cuts = append(cuts, [2]*node{s.w.nodes[a], s.w.nodes[b]})
			}
		}
	}
	if len(cuts) > 0 {
		s.w.hit([]string{"halves", "bridge"}[min(1, bridge+1)])
		s.sever(s.span(50*Millisecond, 3*Second), "partition", cuts)
	}
}

// flap cuts and mends one link again and again.
func (s *strikes) flap() {
	a, b := s.victim(), s.anyNode()
	if a == b {
		return
	}
	s.w.hit("flapping")
	at := core.Time(0)
	for range 5 + s.rng.IntN(10) {
		d := s.span(5*Millisecond, 150*Millisecond)
		s.w.after(at, func() {
			if !s.over {
				s.sever(d, "flap", [][2]*node{{a, b}, {b, a}})
			}
		})
		at += d + s.span(5*Millisecond, 150*Millisecond)
	}
}

// slowLink slows one direction between two nodes, or all that reaches one node.
func (s *strikes) slowLink() {
	a, b := s.victim(), s.anyNode()
	extra, d := s.span(5*Millisecond, 400*Millisecond), s.span(100*Millisecond, 3*Second)
	s.w.hit("delay")
	slow := []*link{&s.w.network.links[a.index][b.index]}
	if s.rng.IntN(2) == 0 {
		slow = slow[:0]
		for i := range s.w.nodes {
			slow = append(slow, &s.w.network.links[i][a.index])
		}
		s.w.trace.line("all links to n%d are slow by %s", a.id, clockText(extra))
	} else {
		s.w.trace.line("link n%d -> n%d is slow by %s", a.id, b.id, clockText(extra))
	}
	for _, l := range slow {
		l.slow += extra
	}
	s.lasting(d, func() {
		for _, l := range slow {
			l.slow -= extra
		}
	})
}

func (s *strikes) syncSlow() {
	n := s.victim()
	extra := s.span(5*Millisecond, 300*Millisecond)
	s.w.hit("slow-disk")
	s.w.trace.line("n%d syncs slowly by %s", n.id, clockText(extra))
	place := s.w.event("disk", "syncs slowly by "+clockText(extra), n)
	n.syncExtra = extra
	s.lasting(s.span(100*Millisecond, 3*Second), func() {
		n.syncExtra = 0
		s.w.eventEnds(place)
	})
	if s.rng.IntN(4) == 0 && s.f.may("power-loss") {
		s.w.after(extra/2, func() {
			if !s.over {
				n.crash(TailLost, "killed while it syncs slowly")
				s.restartLater(n)
			}
		})
	}
}

func (s *strikes) syncHang() {
	n := s.victim()
	if n.hung {
		return
	}
	s.w.hit("hung-disk")
	s.w.trace.line("n%d's disk hangs", n.id)
	place := s.w.event("disk", "hangs", n)
	n.hung = true
	s.lasting(s.span(100*Millisecond, 4*Second), func() {
		if n.hung {
			s.w.trace.line("n%d's disk goes on", n.id)
			s.w.eventEnds(place)
			n.unhang()
		}
	})
}

func (s *strikes) syncError() { s.victim().failSync = true }

func (s *strikes) unfit() {
	n := s.victim()
	if !n.up {
		return
	}
	s.w.hit("lead")
	s.w.trace.line("n%d is unfit to lead", n.id)
	n.host.SetUnfit(true)
	life := n.life
	s.lasting(s.span(100*Millisecond, 3*Second), func() {
		if n.up && n.life == life {
			n.host.SetUnfit(false)
			n.arrive(func(host.Now) {})
		}
	})
}

// full leaves no room on a disk for a while: the node takes no writes, and leads nothing.
func (s *strikes) full() {
	n := s.victim()
	if n.full {
		return
	}
	s.w.hit("full-disk")
	s.w.trace.line("n%d's disk is full", n.id)
	place := s.w.event("disk", "full", n)
	set := func(full bool) {
		n.full, n.unfit = full, full
		if n.up {
			n.host.SetUnfit(full)
			n.arrive(func(host.Now) {})
		}
	}
	set(true)
	s.lasting(s.span(100*Millisecond, 3*Second), func() {
		set(false)
		s.w.eventEnds(place)
	})
}

// damage flips bits in what was synced, on a node that may suffer it, and restarts the node on what is left.
func (s *strikes) damage() {
	n := s.w.nodes[s.frail[s.rng.IntN(len(s.frail))]]
	n.crash(s.tail(), "killed, and its log is damaged")
	if !n.up && n.disk.Corrupt(s.rng) {
		s.w.hit("bit-flip")
		s.w.trace.line("n%d's log is damaged", n.id)
		s.w.event("disk", "damaged in its log", n)
	}
	s.restartLater(n)
}

// wipe replaces a disk by a blank one. Nobody may speak under its old replicas' names any more (rule M5), and members do not
// change yet, so the node never comes back.
func (s *strikes) wipe() {
	if s.w.options.Protocol.Rosters {
		s.lose(s.anyNode())
		return
	}
	n := s.w.nodes[s.frail[s.rng.IntN(len(s.frail))]]
	if n.gone || !s.w.catalog.bears(n) {
		return
	}
	n.crash(TailLost, "its disk is gone")
	n.disk.Wipe()
	s.w.hit("wipe")
	s.w.event("disk", "gone", n)
	n.gone = true
}

func (s *strikes) wallJump() {
	n := s.anyNode()
	n.clock.wall = s.rng.Int64N(2*3_600_000) - 3_600_000
	if s.rng.IntN(2) == 0 {
		n.clock.wall = s.rng.Int64N(2000) - 1000
	}
	if most := s.f.JumpMax; most > 0 {
		n.clock.wall = s.rng.Int64N(2*most+1) - most
	}
	s.w.hit("clock-jump")
	s.w.trace.line("n%d's wall clock jumps to %d ms ahead", n.id, n.clock.wall)
	s.w.event("clock", fmt.Sprintf("jumps to %d ms ahead", n.clock.wall), n)
	if s.f.Watched {
		s.w.after(core.Time(s.rng.Int64N(int64(Second))), s.w.fitness)
	}
}

func (s *strikes) rateChange() {
	n := s.anyNode()
	n.clock.setRate(s.w.now, s.f.drawRate(s.rng))
	s.w.hit("clock-rate")
	s.w.trace.line("n%d's clock runs %d ppm fast", n.id, n.clock.rate)
	s.w.event("clock", fmt.Sprintf("runs %d ppm fast", n.clock.rate), n)
}

func (s *strikes) handoff() {
	from, to := s.victim(), s.anyNode()
	g := s.w.groups[s.rng.IntN(len(s.w.groups))]
	if !from.up || from == to {
		return
	}
	s.w.hit("lead")
	s.w.trace.line("n%d is asked to hand g%d to n%d", from.id, g.id, to.id)
	from.arrive(func(now host.Now) { from.host.Event(now, g.id, core.Handoff{To: to.self(g)}) })
}

func (s *strikes) flush() { s.anyNode().flush() }

func (s *strikes) roll() {
	n := s.anyNode()
	if n.up {
		n.arrive(func(now host.Now) { n.host.Roll(now) })
	}
}
