package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/twophase"
)

// leaseWorld is a catalog, the node of a member, and a node that wants a view without that member, each with its own clock. What
// a node asks of the catalog takes any time on its way there, what the catalog holds takes any time on its way to a node's copy.
type leaseWorld struct {
	rng *rand.Rand
	now core.Time // true time
	log []catalogState
	// holder and asker are the nodes.
	holder, asker leaseNode
	// underway are commands on their way, answers theirs on the way back.
	underway []command
	answers  []answer
	broken   string
	left     int
	bug      leaseBug
}

// catalogState is what the catalog holds after one of its commands.
type catalogState struct {
	lease, viewVersion uint64
	record             *keyspace.View
	without            bool // the member is left out
}

type leaseNode struct {
	leases
	rate   float64
	copied int // how far its copy of the catalog has come
	view   *view
	until  core.Time // of the lease, as lent to the replica
	last   uint64    // the version of its lease that the holder renews
	asking bool
	seen   map[uint64]core.Time
}

func (n *leaseNode) clock(now core.Time) core.Time { return core.Time(float64(now) * n.rate) }

// command arrives at the catalog at some time; its answer, that of a condition that did not hold included, comes later.
type command struct {
	at   core.Time
	from *leaseNode
	try  func(s *catalogState) bool
	done func(ok bool, at *catalogState)
}

type answer struct {
	at   core.Time
	take func()
}

// leaseBug is a planted mistake that the world must find.
type leaseBug int

const (
	noLeaseBug leaseBug = iota
	// leaseFromAnswer counts a lease from the answer to its renewal.
	leaseFromAnswer
	// leaseBeforeCopy counts on a lease before the copy of the catalog has come to it.
	leaseBeforeCopy
	// leaseAnnounced takes a lease although it is announced that the member is left out.
	leaseAnnounced
	// lapsedUnconditionally leaves a member out on the word of a copy that may be old.
	lapsedUnconditionally
	// impatient leaves a member out a second too early.
	impatient
)

const (
	leaseHolder core.NodeID    = 2
	leaseMember core.ReplicaID = 2
)

func configOf(epoch uint64, members ...core.ReplicaID) []byte {
	return twophase.Config{Epoch: epoch, Coordinator: 1, Members: members}.AppendTo(nil)
}

func newLeaseWorld(seed uint64, bug leaseBug) *leaseWorld {
	w := &leaseWorld{rng: rand.New(rand.NewPCG(seed, 7)), bug: bug}
	rate := func() float64 { return 1 + 0.025*(2*w.rng.Float64()-1) }
	w.holder.rate, w.asker.rate = rate(), rate()
	w.asker.leases.seen, w.asker.seen = map[core.NodeID]seenLease{}, map[uint64]core.Time{}
	w.log = []catalogState{{viewVersion: 1, record: &keyspace.View{Config: configOf(1, 1, leaseMember)}}}
	w.copyTo(&w.holder, 0)
	w.copyTo(&w.asker, 0)
	return w
}

// within draws a time, mostly short.
func (w *leaseWorld) within(most core.Time) core.Time {
	if w.rng.IntN(3) > 0 {
		most /= 50
	}
	return core.Time(w.rng.Int64N(int64(most)))
}

// copyTo lets a node's copy of the catalog come to a position, as package node follows it.
func (w *leaseWorld) copyTo(n *leaseNode, to int) {
	n.copied = to
	s := &w.log[to]
	if !n.view.same(s.record) {
		n.view, _ = newView(s.record, n.clock(w.now))
	}
	if s.lease != 0 {
		n.note(map[core.NodeID]uint64{leaseHolder: s.lease}, n.clock(w.now))
	}
	w.count(n)
}

// count is followLeases and lend.
func (w *leaseWorld) count(n *leaseNode) {
	if n != &w.holder {
		return
	}
	n.countOn(leaseHolder)
	if w.bug == leaseBeforeCopy {
		n.leases.until = n.renewed.until
	}
	until, ok := n.lends(n.view, leaseMember)
	if w.bug == leaseAnnounced && n.view.holds(leaseMember) {
		until, ok = n.leases.until, true
	}
	if ok {
		n.until = until
	}
}

func (w *leaseWorld) send(from *leaseNode, try func(*catalogState) bool, done func(bool, *catalogState)) {
	from.asking = true
	w.underway = append(w.underway, command{at: w.now + w.within(4e9), from: from, try: try, done: done})
}

// renew is renewLease.
func (w *leaseWorld) renew() {
	h := &w.holder
	sent := h.clock(w.now)
	w.send(h, func(s *catalogState) bool {
		if s.lease != h.last {
			return false
		}
		s.lease = uint64(len(w.log)) + 1
		return true
	}, func(ok bool, at *catalogState) {
		h.last = at.lease
		if w.bug == leaseFromAnswer {
			sent = h.clock(w.now)
		}
		if ok {
			h.renewed = renewal{at.lease, good(sent)}
			w.count(h)
		}
	})
}

// exclude is changeView, with the record as the catalog has it now.
func (w *leaseWorld) exclude() {
	a, s := &w.asker, w.log[len(w.log)-1]
	if s.without {
		return
	}
	now := a.clock(w.now)
	if _, known := a.seen[s.viewVersion]; !known {
		a.seen[s.viewVersion] = now
	}
	stood := now - a.seen[s.viewVersion]
	late := now
	if w.bug == impatient {
		stood, late = stood+1e9, late+1e9
	}
	conds, lapsed := a.lapsed([]core.NodeID{leaseHolder}, late)
	wanted := configOf(2, 1)
	holds := func(at *catalogState) bool {
		for _, c := range conds {
			if c.Kind == kv.CondAbsent && at.lease != 0 || c.Kind == kv.CondVersion && at.lease != c.Version {
				return w.bug == lapsedUnconditionally
			}
		}
		return true
	}
	next := &keyspace.View{Config: s.record.Config, Next: wanted}
	without := false
	switch towards(s.record, wanted, stood, lapsed) {
	case wait:
		return
	case changeAnnounced:
		conds = nil
		fallthrough
	case change:
		next, without = s.record.Changed(wanted, kv.ViewChange{Epoch: 2}), true
	case announce:
		conds = nil
	}
	w.send(a, func(at *catalogState) bool {
		if at.viewVersion != s.viewVersion || !holds(at) {
			return false
		}
		at.viewVersion, at.record, at.without = uint64(len(w.log))+1, next, without
		return true
	}, func(bool, *catalogState) {})
}

// readmit makes the node a member again, or withdraws an announcement, whichever there is.
func (w *leaseWorld) readmit() {
	s := w.log[len(w.log)-1]
	if !s.without && s.record.Next == nil {
		return
	}
	s.record, s.without, s.viewVersion = &keyspace.View{Config: configOf(1, 1, leaseMember)}, false, uint64(len(w.log))+1
	w.log = append(w.log, s)
}

// arrive lets the commands arrive whose time has come.
func (w *leaseWorld) arrive() {
	kept := w.underway[:0]
	for _, c := range w.underway {
		if c.at > w.now {
			kept = append(kept, c)
			continue
		}
		s := w.log[len(w.log)-1]
		ok := c.try(&s)
		if ok {
			w.log = append(w.log, s)
			w.judge(&s)
		}
		w.answers = append(w.answers, answer{w.now + w.within(2e9), func() { c.from.asking = false; c.done(ok, &s) }})
	}
	w.underway = kept
	w.answers = slices.DeleteFunc(w.answers, func(a answer) bool {
		if a.at <= w.now {
			a.take()
		}
		return a.at <= w.now
	})
}

// judge checks the promise at the moment at which a view without the member is committed.
func (w *leaseWorld) judge(s *catalogState) {
	if !s.without {
		return
	}
	w.left++
	if h := &w.holder; h.until > h.clock(w.now) && w.broken == "" {
		w.broken = fmt.Sprintf("left out at %v, while it counts itself a member for another %v ns", w.now, h.until-h.clock(w.now))
	}
}

// run lets half a minute pass.
func (w *leaseWorld) run() {
	for w.now < 30e9 && w.broken == "" {
		w.now += core.Time(w.rng.Int64N(100e6))
		w.arrive()
		for _, n := range []*leaseNode{&w.holder, &w.asker} {
			if w.rng.IntN(4) == 0 && n.copied < len(w.log)-1 {
				w.copyTo(n, n.copied+1+w.rng.IntN(len(w.log)-1-n.copied))
			}
		}
		if !w.holder.asking && w.rng.IntN(8) == 0 {
			w.renew()
		}
		if !w.asker.asking && w.rng.IntN(4) == 0 {
			w.exclude()
		}
		if w.rng.IntN(60) == 0 {
			w.readmit()
		}
		// What the holder counts on after a view without it was committed is as bad as what it did at that moment.
		if s := w.log[len(w.log)-1]; s.without {
			w.judge(&s)
		}
	}
}

// TestNobodyIsLeftOutWhileItsLeaseHolds plays the rule of lease.go against late commands, old copies of the catalog, and
// clocks whose rates differ by up to 5 %.
func TestNobodyIsLeftOutWhileItsLeaseHolds(t *testing.T) {
	left := 0
	for seed := range uint64(3000) {
		w := newLeaseWorld(seed, noLeaseBug)
		w.run()
		left += w.left
		if w.broken != "" {
			t.Fatalf("seed %d: %s", seed, w.broken)
		}
	}
	if left < 3000 {
		t.Errorf("only %d times was the member left out", left)
	}
}

func TestLeaseWorldFindsPlantedMistakes(t *testing.T) {
	for bug := leaseFromAnswer; bug <= impatient; bug++ {
		found := false
		for seed := uint64(0); seed < 3000 && !found; seed++ {
			w := newLeaseWorld(seed, bug)
			w.run()
			found = w.broken != ""
		}
		if !found {
			t.Errorf("mistake %d was not found", bug)
		}
	}
}
