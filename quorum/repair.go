package quorum

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Phases of a repair.
const (
	idle     = 0
	drawing  = 1 // all replicas promise to take nothing older than the line any more but from anti-entropy
	first    = 2 // this replica collects what the others have, and gives them what it has
	second   = 3 // it gives each what it collected from the others behind it
	allowing = 4 // all replicas may forget what is dead below the line
)

// repairRetry is when a repair that could not be completed is tried again.
const repairRetry = core.Time(1e9)

// repair makes all replicas equal below a line, so that tombstones below it can go (rule Q9). It needs every replica: one that
// is away may hold what a tombstone hides. Without its first phase, a write that is older than the line could still slip in
// from a slow network behind the comparison, and live on when its tombstone is gone (trap T3.14).
type repair struct {
	wanted  bool
	at      core.Time
	phase   int
	session uint64
	line    kv.HLC
	drawn   Line // what all are asked to draw
	ready   mask
	peer    int
	until   core.Time
	why     Saying // it waits
}

func (p *repair) deadline() core.Time {
	switch {
	case p.phase == drawing || p.phase == allowing:
		return p.until
	case p.phase != idle:
		return never // the comparison has its own
	case p.wanted:
		return min(p.at, p.until)
	}
	return p.at
}

func (p *repair) describe(r *Replica) Saying {
	switch p.phase {
	case drawing:
		return Saying{Words: "1 of 4: all replicas draw the line"}
	case first:
		return Saying{"2 of 4: compares with %s", []core.ReplicaID{r.places[p.peer]}}
	case second:
		return Saying{"3 of 4: compares again with %s", []core.ReplicaID{r.places[p.peer]}}
	case allowing:
		return Saying{Words: "4 of 4: all replicas may forget what was deleted"}
	}
	return p.why
}

// repairTick begins a repair when it is time, or asked for, and ends one that does not get on.
func (r *Replica) repairTick() {
	p := &r.repair
	if r.options.Mutation == PurgeByAge {
		r.sweepTo(kv.HLCOf(r.in.Wall - int64(r.options.RepairEvery/1e6)))
	}
	switch {
	case p.phase == drawing || p.phase == allowing:
		if p.until <= r.in.Now {
			r.endRepair(false)
		}
		return
	case p.phase != idle:
		return
	case p.wanted && p.until <= r.in.Now:
	case p.at > r.in.Now:
		return
	case r.self != slices.Min(r.config.Members): // one replica conducts the scheduled ones
		p.at = r.in.Now + r.options.RepairEvery
		return
	}
	r.startRepair()
}

func (r *Replica) startRepair() {
	p := &r.repair
	switch {
	case r.config.moving():
		p.why = Saying{Words: "waits until the members have changed"}
	case r.up != r.all:
		p.why = Saying{"waits for what cannot be reached: %s", r.members(r.all.less(r.up))}
	case r.in.Unfit && r.options.Mutation != DrawAnyLine:
		p.why = Saying{Words: "waits until this node's clock is near the others' again, or its disk works"}
	case r.in.Stamp == 0 || r.disk.meta.Suspect:
		p.why = Saying{Words: "waits until this replica has got back what its disk lost"}
	case r.entropy.session != nil:
		p.why = Saying{Words: "waits for another comparison to end"}
	default:
		*p = repair{wanted: p.wanted, at: p.at, phase: drawing, session: r.next(), until: r.in.Now + answerWithin,
			line: kv.HLCOf(r.in.Wall - int64(r.options.RepairLag/1e6))}
		p.line = max(p.line, r.disk.meta.Purge)
		if r.options.Mutation == PurgeWithoutRefusal {
			r.comparePeers(first)
			return
		}
		r.drawLine(Line{Session: p.session, Refuse: p.line})
		return
	}
	p.until = r.in.Now + repairRetry
	if !p.wanted {
		p.at = p.until
	}
}

// drawLine asks all others to draw a line. This replica draws it when they have: it is not to be alone with one that nobody else
// takes, since its clock is wrong. What follows, and leaves when that is durable here, does not mind the order.
func (r *Replica) drawLine(m Line) {
	p := &r.repair
	m.Epoch = r.config.Epoch
	p.drawn, p.ready, p.until = m, mask(0).with(r.me), r.in.Now+answerWithin
	for _, id := range r.members(r.all) {
		if id != r.self {
			r.out.Send(id, m)
		}
	}
	r.allReady()
}

func (r *Replica) raise(m Line) {
	r.setMeta(func(d *meta) {
		d.Purge = max(d.Purge, m.Purge)
		d.Refuse = max(d.Refuse, m.Refuse, d.Purge)
	})
}

// onLine draws a line for good. The answer waits until it is durable, and with it all that was taken before.
func (r *Replica) onLine(from core.ReplicaID, m Line) {
	if r.tooFarAhead(max(m.Refuse, m.Purge)) && r.options.Mutation != DrawAnyLine {
		return // by this clock: whoever conducts is ahead, and all would refuse what is written until then (trap T3.9)
	}
	r.raise(m)
	r.out.Send(from, LineSet{m.Session})
}

func (r *Replica) onLineSet(i int, m LineSet) {
	p := &r.repair
	if m.Session != p.session || p.phase != drawing && p.phase != allowing {
		return
	}
	p.ready = p.ready.with(i)
	r.allReady()
}

func (r *Replica) allReady() {
	p := &r.repair
	if p.ready != r.all {
		return
	}
	r.raise(p.drawn)
	switch p.phase {
	case drawing:
		r.comparePeers(first)
	case allowing:
		r.out.Note(RepairedNote{p.line})
		r.endRepair(true)
	}
}

// comparePeers begins one of the two passes over all others.
func (r *Replica) comparePeers(phase int) {
	r.repair.phase, r.repair.peer = phase, -1
	r.nextPeer()
}

func (r *Replica) nextPeer() {
	p := &r.repair
	p.peer++
	for p.peer < len(r.places) && (p.peer == r.me || !r.all.has(p.peer)) {
		p.peer++
	}
	switch {
	case p.peer < len(r.places):
		if r.entropy.session != nil {
			r.endRepair(false)
			return
		}
		r.startSession(p.peer, false, true)
	case p.phase == first:
		r.comparePeers(second)
	default:
		p.phase = allowing
		p.session = r.next()
		r.drawLine(Line{Session: p.session, Purge: p.line})
	}
}

func (r *Replica) repairOn(whole bool) {
	if p := &r.repair; p.phase != first && p.phase != second {
		return
	}
	if !whole {
		r.endRepair(false)
		return
	}
	r.nextPeer()
}

func (r *Replica) endRepair(done bool) {
	p := &r.repair
	next := repair{wanted: p.wanted, at: r.in.Now + r.options.RepairEvery}
	if done {
		next.wanted = false
	} else {
		next.until, next.at = r.in.Now+repairRetry, r.in.Now+repairRetry
		next.why = Saying{Words: "was interrupted; it begins anew"}
	}
	*p = next
}
