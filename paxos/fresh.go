package paxos

import (
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Rule R6 without a clock that two nodes would have to share: a follower remembers when it answered a heartbeat, by its own
// clock. The leader hears the answer, notes what is committed, sends another round, and once a majority has answered that one
// it knows that nobody else had committed anything more when the note was taken. It tells the follower so with its next
// heartbeat, by the number of the heartbeat that was answered.

// FreshPoint says: all that was committed when the receiver answered the heartbeat of that number lies at or before Index. 0:
// nothing is said.
type FreshPoint struct{ Seq, Index uint64 }

// point is the same by this replica's own clock.
type point struct {
	at    core.Time
	index uint64
}

// freshness is what a replica knows of the age of its state. What is known stays true whoever leads.
type freshness struct {
	// answered are the latest heartbeats of a ballot, by number, and when the first copy of each was answered here.
	ballot   Ballot
	answered [freshRing]answeredBeat
	turn     int
	// whole: all that was committed then is applied here. waits becomes so when its index is applied; newest is the latest
	// point of all.
	whole         core.Time
	waits, newest point
}

// freshRing is how many heartbeats may be on their way before what a leader says of one comes too late.
const freshRing = 32

type answeredBeat struct {
	seq uint64
	at  core.Time
}

// freshRound is the round of heartbeats that is to confirm what was committed when it was sent; seq 0: none is under way.
type freshRound struct {
	seq uint64
	point
}

// Freshness says how old the state may be (core.Fresh).
func (r *Replica) Freshness() core.Freshness {
	f := core.Freshness{Whole: r.fresh.whole}
	// One of the blocks that are missing may be a split, behind which another group writes these keys.
	if n := r.fresh.newest; n.at > f.Whole && !r.options.Divisible {
		f.Recent, f.Lacking = n.at, n.index-min(n.index, r.applied.Index)
	}
	return f
}

// takeBeat takes note that a leader's heartbeat is answered now, and of what it says of an earlier one.
func (r *Replica) takeBeat(m Heartbeat) {
	f := &r.fresh
	if f.ballot != m.Ballot {
		f.ballot, f.answered = m.Ballot, [freshRing]answeredBeat{}
	}
	known := false
	for _, a := range f.answered {
		known = known || a.seq == m.Seq
		if m.Fresh.Seq != 0 && a.seq == m.Fresh.Seq {
			r.takePoint(point{a.at, m.Fresh.Index})
		}
	}
	if !known {
		f.answered[f.turn] = answeredBeat{m.Seq, r.in.Now}
		f.turn = (f.turn + 1) % freshRing
	}
}

func (r *Replica) takePoint(p point) {
	f := &r.fresh
	if p.at > f.newest.at {
		f.newest = p
	}
	if f.waits.at == 0 {
		f.waits = f.newest
	}
	r.settleFresh()
}

// settleFresh looks whether what the points at hand wait for is applied. A replica that lags waits for one point until it is
// reached, however many come after it.
func (r *Replica) settleFresh() {
	f := &r.fresh
	for f.waits.at != 0 && r.applied.Index >= f.waits.index {
		f.whole = max(f.whole, f.waits.at)
		if f.waits = (point{}); f.newest.at > f.whole {
			f.waits = f.newest
		}
	}
}

// noteFresh begins a round, unless one is under way: what is committed now, and which heartbeats were answered before.
// Nothing is known before a block of the own ballot is committed (rule R1).
func (r *Replica) noteFresh(seq uint64) {
	l := &r.lead
	if l.fresh.seq != 0 || r.commit < l.first {
		return
	}
	l.fresh = freshRound{seq, point{r.in.Now, r.commit}}
	for _, p := range l.peers {
		p.asOf = p.beat
	}
}

// confirmFresh ends a round that a majority has answered: no other leader had been elected when it was sent, so what was
// committed then is all that was. A deposed leader hears no majority, and says no more.
func (r *Replica) confirmFresh() {
	l := &r.lead
	if l.fresh.seq == 0 || (r.confirmedSeq() < l.fresh.seq && r.options.Mutation != FreshUnconfirmed) {
		return
	}
	for _, p := range l.peers {
		if p.asOf != 0 {
			p.fresh = FreshPoint{p.asOf, l.fresh.index}
		}
	}
	at := l.fresh.point
	l.fresh = freshRound{}
	r.takePoint(at)
}

// recent is how old a point may be by which versions are counted.
const recent = time.Second

// covers says that a state of this freshness is within a level's bound. A node's clock may run slow by as much as a lease
// allows for.
func covers(l kv.Level, f core.Freshness, now core.Time) bool {
	age, versions := l.Bound()
	within := func(at core.Time, age time.Duration) bool {
		return at != 0 && now-at <= core.Time(age)/leaseDriftDen*leaseDriftNum
	}
	if versions == 0 {
		return age > 0 && within(f.Whole, age)
	}
	return within(f.Whole, recent) || f.Lacking <= versions && within(f.Recent, recent)
}
