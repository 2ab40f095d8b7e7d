package twophase

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/machine"
)

// Most groups of a node have nothing to do. The coordinator of one that rests sends heartbeats less often, its members look up as
// often, the state is looked at only when that has changed, and nobody has a use for the clock (core.Resting). The first command
// wakes it, and so does whatever a coordinator wants changed.

// restBeat is the time between the heartbeats of a group that rests: several may be lost before a silence counts (rule W6).
func (r *Replica) restBeat() core.Time {
	return max(r.options.Heartbeat, min(5*r.options.Heartbeat, r.options.Suspect/6))
}

// wake notes that there is something to do.
func (r *Replica) wake() {
	r.busy = r.in.Now
	r.deadline = min(r.deadline, r.in.Now+r.options.Heartbeat)
}

// nextBeat is when the clock is next of use here. Those of groups that rest are due at one moment for all groups of a node, so that
// they leave in one frame for each peer, and wake each node once.
func (r *Replica) nextBeat() core.Time {
	if !r.settled() {
		r.busy = r.in.Now
	}
	if r.in.Now-r.busy < r.options.VoteWithin {
		return r.in.Now + r.options.Heartbeat
	}
	beat := r.restBeat()
	return (r.in.Now/beat + 1) * beat
}

// settled says that nothing is open and nobody waits, that every member answers, and that no other view is wanted.
func (r *Replica) settled() bool {
	if r.suspect || r.in.Unfit || len(r.reads)+len(r.waiting) > 0 || r.applied < r.slots.last() {
		return false
	}
	if _, wants := r.wants(); wants {
		return false
	}
	l := r.lead
	if l == nil {
		return r.told.has(r.self) && r.in.Now-r.heard < 2*r.restBeat()
	}
	if l.opening || len(l.queue.list) > 0 || len(r.told.Joiners) > 0 {
		return false
	}
	for _, p := range l.peers {
		if p.fenced == nil || r.in.Now-p.heard >= 2*r.restBeat() || p.held >= l.next {
			return false
		}
	}
	return r.held < l.next
}

// due is the earliest time at which something of the state ends, as of a batch.
type due struct {
	applied   uint64
	unixMilli int64
	ok        bool
}

// nextDue looks at the state once for each state that there is.
func (r *Replica) nextDue() (unixMilli int64, ok bool) {
	d := &r.lead.due
	if d.applied != r.applied {
		d.applied = r.applied
		d.unixMilli, d.ok = machine.Next(r.in.View)
	}
	return d.unixMilli, d.ok
}

// dueSoon is how long before something ends the clock is wanted again, in milliseconds.
const dueSoon = 1000

// noteRest notes at each beat whether the replica has a use for the clock.
func (r *Replica) noteRest() {
	r.rests = r.in.Now-r.taken >= core.RestAfter && len(r.reads) == 0
	if r.lead != nil && r.rests {
		at, ok := r.nextDue()
		r.rests = !ok || at > max(r.in.Wall, r.in.Stamp.UnixMilli())+dueSoon
	}
}

// Rests says that the replica has no use for the time of the clock until it is stepped with commands (core.Resting).
func (r *Replica) Rests() bool { return r.rests }
