package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
)

// Faults are what may go wrong in a run and how often: a swarm, drawn anew for each run, because a bug often needs some
// faults to be frequent and others to be absent. The intervals are the mean times between two strikes anywhere in the
// cluster; 0 means never.
type Faults struct {
	// Drop, Duplicate, Reorder and Straggle are chances of each message; a straggler comes up to 300 ms late.
	Drop, Duplicate, Reorder, Straggle float64
	DelayMin, DelayMax                 core.Time
	SyncMin, SyncMax                   core.Time

	Crash, CrashAll, Pause         core.Time
	Cut, Partition, Flap, SlowLink core.Time
	SyncSlow, SyncHang, SyncError  core.Time
	Unfit, Damage, Flush, Roll     core.Time
	WallJump, RateChange, Handoff  core.Time
	// Keep says what a crash does to the batch being written: 0 loses it, 1 keeps it, 2 tosses a coin.
	Keep int
	// RateMax is the greatest error of a monotonic clock in millionths.
	RateMax int64
	// SegmentBytes and MemTableBytes are when the disk wants a new segment of the log, and makes the state durable by itself.
	SegmentBytes, MemTableBytes int64
}

// Calm is a cluster in which nothing goes wrong.
func Calm() *Faults {
	return &Faults{DelayMin: 100 * Microsecond, DelayMax: 400 * Microsecond, SyncMin: 200 * Microsecond, SyncMax: Millisecond,
		Flush: Second, Roll: 2 * Second, SegmentBytes: 64 << 10, MemTableBytes: 1 << 20}
}

// drawFaults takes each fault into the swarm with a chance of a third, and draws its intensity.
func drawFaults(rng *rand.Rand, nodes int) Faults {
	f := *Calm()
	chance := func(highest float64) float64 {
		if rng.IntN(3) > 0 {
			return 0
		}
		return highest * rng.Float64() * rng.Float64()
	}
	every := func(low, high core.Time) core.Time {
		if rng.IntN(3) > 0 {
			return 0
		}
		return low + core.Time(rng.Int64N(int64(high-low)))
	}
	f.Drop, f.Duplicate, f.Reorder, f.Straggle = chance(0.2), chance(0.3), chance(0.5), chance(0.1)
	if rng.IntN(3) == 0 {
		f.DelayMax = core.Time(1+rng.Int64N(20)) * Millisecond
	}
	if rng.IntN(3) == 0 {
		f.SyncMax = core.Time(2+rng.Int64N(30)) * Millisecond
	}
	f.Crash, f.CrashAll = every(300*Millisecond, 3*Second), every(2*Second, 6*Second)
	f.Pause = every(300*Millisecond, 3*Second)
	f.Cut, f.Partition = every(300*Millisecond, 3*Second), every(500*Millisecond, 3*Second)
	f.Flap, f.SlowLink = every(Second, 4*Second), every(Second, 4*Second)
	f.SyncSlow, f.SyncHang = every(Second, 4*Second), every(2*Second, 5*Second)
	f.SyncError, f.Unfit, f.Damage = every(Second, 5*Second), every(Second, 5*Second), every(2*Second, 5*Second)
	f.WallJump, f.RateChange, f.Handoff = every(500*Millisecond, 3*Second), every(Second, 3*Second), every(300*Millisecond, 3*Second)
	f.Flush, f.Roll = 50*Millisecond+core.Time(rng.Int64N(int64(3*Second))), 100*Millisecond+core.Time(rng.Int64N(int64(3*Second)))
	f.Keep, f.RateMax = rng.IntN(3), 25_000
	f.SegmentBytes, f.MemTableBytes = 512<<rng.IntN(8), 256<<rng.IntN(12)
	return f
}

func (f *Faults) drawRate(rng *rand.Rand) int64 {
	if f.RateMax == 0 {
		return 0
	}
	return rng.Int64N(2*f.RateMax+1) - f.RateMax
}

func (f *Faults) drawSync(rng *rand.Rand) core.Time {
	return f.SyncMin + core.Time(rng.Int64N(int64(f.SyncMax-f.SyncMin+1)))
}

// String names what is in the swarm.
func (f *Faults) String() string {
	var b strings.Builder
	for _, c := range []struct {
		name string
		v    float64
	}{{"drop", f.Drop}, {"duplicate", f.Duplicate}, {"reorder", f.Reorder}, {"straggle", f.Straggle}} {
		if c.v > 0 {
			fmt.Fprintf(&b, "%s %.3f, ", c.name, c.v)
		}
	}
	for _, k := range f.kinds() {
		if *k.every > 0 {
			fmt.Fprintf(&b, "%s every %s, ", k.name, clockText(*k.every))
		}
	}
	fmt.Fprintf(&b, "delay to %s, sync to %s, keep %d, clocks +-%d ppm", clockText(f.DelayMax), clockText(f.SyncMax), f.Keep, f.RateMax)
	return b.String()
}

// leaveOut takes timed faults out of the swarm by their names.
func (f *Faults) leaveOut(names []string) {
	for _, k := range f.kinds() {
		if slices.Contains(names, k.name) {
			*k.every = 0
		}
	}
}

// kind is a fault that strikes from time to time.
type kind struct {
	name   string
	every  *core.Time
	strike func(*strikes)
	// chore says that it is no fault: it goes on after the heal.
	chore bool
}

func (f *Faults) kinds() []kind {
	return []kind{
		{name: "crash", every: &f.Crash, strike: (*strikes).crash},
		{name: "crash-all", every: &f.CrashAll, strike: (*strikes).crashAll},
		{name: "pause", every: &f.Pause, strike: (*strikes).pause},
		{name: "cut", every: &f.Cut, strike: (*strikes).cutOne},
		{name: "partition", every: &f.Partition, strike: (*strikes).partition},
		{name: "flap", every: &f.Flap, strike: (*strikes).flap},
		{name: "slow-link", every: &f.SlowLink, strike: (*strikes).slowLink},
		{name: "sync-slow", every: &f.SyncSlow, strike: (*strikes).syncSlow},
		{name: "sync-hang", every: &f.SyncHang, strike: (*strikes).syncHang},
		{name: "sync-error", every: &f.SyncError, strike: (*strikes).syncError},
		{name: "unfit", every: &f.Unfit, strike: (*strikes).unfit},
		{name: "damage", every: &f.Damage, strike: (*strikes).damage},
		{name: "wall-jump", every: &f.WallJump, strike: (*strikes).wallJump},
		{name: "rate-change", every: &f.RateChange, strike: (*strikes).rateChange},
		{name: "handoff", every: &f.Handoff, strike: (*strikes).handoff},
		{name: "flush", every: &f.Flush, strike: (*strikes).flush, chore: true},
		{name: "roll", every: &f.Roll, strike: (*strikes).roll, chore: true},
	}
}

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
}

func newStrikes(w *world) *strikes {
	s := &strikes{w: w, rng: stream(w.options.Seed, "faults", 0), f: w.options.Faults}
	s.frail = s.rng.Perm(w.options.Nodes)[:(w.options.Nodes-1)/2]
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
		if !n.up {
			n.boot()
		}
	}
}

// lasting begins something and ends it after a while, or at the heal.
func (s *strikes) lasting(d core.Time, end func()) {
	ended := false
	once := func() {
		if !ended {
			ended = true
			end()
		}
	}
	s.undo = append(s.undo, once)
	s.w.after(d, once)
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
					return s.w.nodes[g.nodes[led.Leader()]-1]
				}
			}
		}
	}
	return s.anyNode()
}

func (s *strikes) keep() bool { return s.f.Keep == 1 || (s.f.Keep == 2 && s.rng.IntN(2) == 0) }

func (s *strikes) crash() {
	n := s.victim()
	if s.rng.IntN(4) == 0 {
		n.flush()
	}
	n.crash(s.keep(), "killed")
	s.restartLater(n)
	// What only this node and one other have is at stake when the other is out of reach meanwhile.
	if other := s.anyNode(); other != n && s.rng.IntN(3) == 0 {
		s.isolate(other, s.span(500*Millisecond, 3*Second))
	}
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
	s.w.after(d, func() {
		if !n.up {
			n.boot()
		}
	})
}

// crashAll takes the power from all, or from all but the leader, which is cut off: its lease must still be honoured.
func (s *strikes) crashAll() {
	if s.rng.IntN(2) == 0 {
		leader := s.victim()
		s.isolate(leader, s.span(500*Millisecond, 3*Second))
		for _, n := range s.w.nodes {
			if n != leader {
				n.crash(s.keep(), "power loss around the leader")
				s.w.after(s.span(5*Millisecond, 20*Millisecond), func() {
					if !n.up {
						n.boot()
					}
				})
			}
		}
		return
	}
	for _, n := range s.w.nodes {
		n.crash(s.keep(), "power loss")
		s.restartLater(n)
	}
}

func (s *strikes) pause() {
	n := s.victim()
	if !n.up || n.paused {
		return
	}
	s.w.trace.line("n%d pauses", n.id)
	n.paused = true
	n.pauses++
	life := n.life
	s.lasting(s.span(10*Millisecond, 2*Second), func() {
		if n.life == life && n.paused {
			s.w.trace.line("n%d goes on", n.id)
			n.unpause()
		}
	})
}

// sever cuts directions for a while.
func (s *strikes) sever(d core.Time, what string, cuts [][2]*node) {
	s.w.trace.line("%s for %s:%s", what, clockText(d), cutText(cuts))
	for _, c := range cuts {
		s.w.network.cut(c[0], c[1], true)
	}
	s.lasting(d, func() {
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

// cutOne cuts one direction, or one link, or all that leaves or reaches one node.
func (s *strikes) cutOne() {
	a, b := s.victim(), s.anyNode()
	shape := s.rng.IntN(4)
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
		s.sever(s.span(20*Millisecond, 3*Second), "cut", cuts)
	}
}

// partition splits the cluster in two, or in two that share a bridge.
func (s *strikes) partition() {
	order := s.rng.Perm(len(s.w.nodes))
	half := 1 + s.rng.IntN(len(order)-1)
	bridge := -1
	if s.rng.IntN(3) == 0 {
		bridge = order[0]
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
		s.sever(s.span(50*Millisecond, 3*Second), "partition", cuts)
	}
}

// flap cuts and mends one link again and again.
func (s *strikes) flap() {
	a, b := s.victim(), s.anyNode()
	if a == b {
		return
	}
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

func (s *strikes) slowLink() {
	a, b := s.victim(), s.anyNode()
	l := &s.w.network.links[a.index][b.index]
	extra := s.span(5*Millisecond, 400*Millisecond)
	s.w.trace.line("link n%d -> n%d is slow by %s", a.id, b.id, clockText(extra))
	l.slow += extra
	s.lasting(s.span(100*Millisecond, 3*Second), func() { l.slow -= extra })
}

func (s *strikes) syncSlow() {
	n := s.victim()
	extra := s.span(5*Millisecond, 300*Millisecond)
	s.w.trace.line("n%d syncs slowly by %s", n.id, clockText(extra))
	n.syncExtra = extra
	s.lasting(s.span(100*Millisecond, 3*Second), func() { n.syncExtra = 0 })
	if s.rng.IntN(4) == 0 {
		s.w.after(extra/2, func() {
			if !s.over {
				n.crash(false, "killed while it syncs slowly")
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
	s.w.trace.line("n%d's disk hangs", n.id)
	n.hung = true
	s.lasting(s.span(100*Millisecond, 4*Second), func() {
		if n.hung {
			s.w.trace.line("n%d's disk goes on", n.id)
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

// damage flips bits in what was synced, on a node that may suffer it, and restarts the node on what is left.
func (s *strikes) damage() {
	n := s.w.nodes[s.frail[s.rng.IntN(len(s.frail))]]
	n.crash(s.keep(), "killed, and its log is damaged")
	if !n.up && n.disk.Corrupt(s.rng) {
		s.w.trace.line("n%d's log is damaged", n.id)
	}
	s.restartLater(n)
}

func (s *strikes) wallJump() {
	n := s.anyNode()
	n.clock.wall = s.rng.Int64N(2*3_600_000) - 3_600_000
	if s.rng.IntN(2) == 0 {
		n.clock.wall = s.rng.Int64N(2000) - 1000
	}
	s.w.trace.line("n%d's wall clock jumps to %d ms ahead", n.id, n.clock.wall)
}

func (s *strikes) rateChange() {
	n := s.anyNode()
	n.clock.setRate(s.w.now, s.f.drawRate(s.rng))
	s.w.trace.line("n%d's clock runs %d ppm fast", n.id, n.clock.rate)
}

func (s *strikes) handoff() {
	from, to := s.victim(), s.anyNode()
	g := s.w.groups[s.rng.IntN(len(s.w.groups))]
	if !from.up || from == to {
		return
	}
	s.w.trace.line("n%d is asked to hand g%d to n%d", from.id, g.id, to.id)
	from.arrive(func(now host.Now) { from.host.Event(now, g.id, core.Handoff{To: g.members[to.index]}) })
}

func (s *strikes) flush() { s.anyNode().flush() }

func (s *strikes) roll() {
	n := s.anyNode()
	if n.up {
		n.arrive(func(now host.Now) { n.host.Roll(now) })
	}
}
