package paxos

import "github.com/gamutdb/gamut/core"

// A node has a thousand groups and more, and most of them have nothing to do. The leader of one that rests sends heartbeats only
// as often as leases and elections need them, looks at the state only when that has changed, and has no use for the clock, so
// that its node need not renew the clock's durable bound (rules I1, I2). The first command wakes it. The time of a group that keeps a
// common one stands still while it rests, and with it what each replica may be read by: a session that has seen more, in another
// group, is sent to the leader, which wakes, and reads when its heartbeats have found the time of now (rule I3).

// restBeat is the time between the heartbeats of a group that rests: at least two may be lost before a voter misses the leader,
// or the leader its lease. It is less than four heartbeats, after which a peer that has not answered ends the rest.
func (r *Replica) restBeat() core.Time {
	beat := min(3*r.options.Heartbeat, r.options.ElectionMin/3)
	if lease := r.config.lease(); lease > 0 {
		beat = min(beat, lease*3/10)
	}
	return max(beat, r.options.Heartbeat)
}

// wake notes that there is something to do.
func (r *Replica) wake() {
	if r.role == Leader {
		r.lead.busy = r.in.Now
		r.deadline = min(r.deadline, r.in.Now+r.options.Heartbeat)
	}
}

// settled says that every member answers and holds all of the log, and that nobody waits for anything.
func (r *Replica) settled() bool {
	l := &r.lead
	if r.keepsTime() || l.handoffTo != 0 || l.target != nil || r.config.joint() || r.applied.Index < r.log.last().Index ||
		len(l.reads)+len(l.waits)+len(r.pending.list) > 0 {
		return false
	}
	for _, p := range l.peers {
		if p.suspect || p.state != replicating || p.match < r.log.last().Index || r.in.Now-p.heard >= 4*r.options.Heartbeat {
			return false
		}
	}
	return true
}

// nextBeat is when the leader's next heartbeat is due. Those of groups that rest are due at one moment for all groups of a node,
// so that they leave in one frame for each peer, and wake each node once.
func (r *Replica) nextBeat() core.Time {
	if !r.settled() {
		r.lead.busy = r.in.Now
	}
	if r.in.Now-r.lead.busy < r.options.ElectionMax {
		return r.in.Now + r.options.Heartbeat
	}
	beat := r.restBeat()
	return (r.in.Now/beat + 1) * beat
}

// dueMark is the earliest time at which something of the state ends, as of an index of the log.
type dueMark struct {
	index     uint64
	unixMilli int64
	ok        bool
	// soon is up to when it was asked for exactly.
	soon int64
}

// nextDue looks at the state once for each state that there is, and once more if what was far away may be near.
func (r *Replica) nextDue() (unixMilli int64, ok bool) {
	d := &r.lead.due
	soon := max(r.in.Wall, r.stamp().UnixMilli()) + dueSoon
	if d.index != r.applied.Index || d.ok && d.soon < d.unixMilli && d.unixMilli <= soon {
		d.index, d.soon = r.applied.Index, soon
		d.unixMilli, d.ok = r.machine.Next(r.in.View, soon)
	}
	return d.unixMilli, d.ok
}

const (
	// dueSoon is how long before something ends the clock is wanted again, in milliseconds.
	dueSoon = 1000
	// askedFor is for how many election time-outs after commands the next ones need not wait for the clock.
	askedFor = 5
)

// keepsTime says that the leader goes on finding the group's time.
func (r *Replica) keepsTime() bool {
	return r.options.GroupTime && !r.lead.timeless
}

// Rests says that the replica has no use for the time of the clock until it is stepped with commands (core.Resting). A follower of a
// leader that keeps the group's time tells it its own.
func (r *Replica) Rests() bool {
	if r.role != Leader {
		return !r.time.kept
	}
	return r.lead.timeless
}
