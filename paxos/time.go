package paxos

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// SafeTime says: no block of the group with a time up to Time lies behind Index, nor ever will (rule R4). That stays true
// whoever leads, so whoever has applied Index holds all that the group has up to Time.
type SafeTime struct {
	Time  kv.HLC
	Index uint64
}

// groupTime is what a replica knows of its group's time.
type groupTime struct {
	// told: every promise that this replica gives from now on tells a time no earlier.
	told kv.HLC
	// safe: all blocks up to this time are applied here, those to come included. next becomes so when its index is applied.
	safe kv.HLC
	next SafeTime
	// kept: the leader that was heard last finds the group's time, and asks for this node's.
	kept bool
}

// SafeTime is the time up to which the state holds all writes of the group, those to come included. It never decreases
// while the process lives. 0: nothing was applied yet, or not all keys that the catalog gives the group (rule G8).
func (r *Replica) SafeTime() kv.HLC {
	if r.lacks() {
		return 0
	}
	return r.holdsUpTo()
}

// holdsUpTo is the time up to which the state holds all writes of the group, be it of all keys that the catalog gives it or not.
func (r *Replica) holdsUpTo() kv.HLC { return max(r.applied.Time, r.time.safe) }

// tell is how late a voter lets it be: it answers with the leader's time, or with its own if that is earlier, and every
// promise that it gives later tells no less. A crash does not undo this: the answer is no later than the node's clock, which
// goes on from a durable bound above all that it ever showed (rule H3).
func (r *Replica) tell(time kv.HLC) kv.HLC {
	told := min(time, r.in.Stamp)
	r.time.told = max(r.time.told, told)
	return told
}

// promisedTime is the earliest time at which the blocks of a new leader may begin as far as this replica knows: later than
// its log, and than what it told a leader. The clock counts, too, unless the node itself does not trust it, or its stamps are
// far ahead of it: they would set the group's time for ever. A replica that has started since it told something has nothing
// but its clock to know what that was.
func (r *Replica) promisedTime() kv.HLC {
	latest := r.log.last().Time
	if r.options.Mutation == ForgetTime {
		return latest
	}
	latest = max(latest, r.time.told)
	if (!r.in.Unfit && !r.in.Reluctant) || (r.options.GroupTime && r.time.told == 0) {
		latest = max(latest, r.in.Stamp)
	}
	return latest
}

// takeSafe takes a pair over when it is of use here.
func (r *Replica) takeSafe(s SafeTime) {
	if s.Time > r.holdsUpTo() {
		r.time.next = s
	}
	r.settleTime()
}

// settleTime looks whether what the pair at hand waits for is applied.
func (r *Replica) settleTime() {
	if t := &r.time; t.next.Time != 0 && r.applied.Index >= t.next.Index {
		t.safe, t.next = max(t.safe, t.next.Time), SafeTime{}
	}
}

// advanceSafe finds the time that a majority has told, so that every later leader begins above it, as this one does from
// now on. Its own blocks up to that time end with the log as it is now: not with what is committed, for blocks that are on
// their way may be earlier (trap T1.9). What earlier leaders left counts once a block of the own ballot is committed, for
// then no later leader can bring back anything else.
func (r *Replica) advanceSafe() {
	if r.role != Leader || !r.options.GroupTime || r.commit < r.lead.first {
		return
	}
	told := majority(r, r.in.Stamp, 0, func(p *peer) kv.HLC { return p.told })
	if told <= r.lead.safe.Time {
		return
	}
	index := r.log.last().Index
	if r.options.Mutation == SafeByCommit {
		index = r.commit
	}
	r.lead.safe = SafeTime{told, index}
	r.time.told = max(r.time.told, told)
	r.takeSafe(r.lead.safe)
}

// heartbeat is what a leader sends to say that it lives: with the group's time, where that is wanted and the group does not rest.
func (r *Replica) heartbeat(to *peer, commit, seq uint64) core.Message {
	h := Heartbeat{Ballot: r.promised, Commit: commit, Seq: seq, Fresh: to.fresh}
	if !r.keepsTime() {
		return h
	}
	return TimedHeartbeat{h, r.in.Stamp, r.lead.safe}
}

func (r *Replica) onTimedHeartbeat(from core.ReplicaID, m TimedHeartbeat) {
	if m.Ballot.Less(r.promised) {
		r.onHeartbeat(from, m.Heartbeat)
		return
	}
	reply, changed := r.heedHeartbeat(from, m.Heartbeat)
	r.time.kept = true
	r.takeSafe(m.Safe)
	r.answerHeartbeat(from, TimedReply{reply, r.tell(m.Time)}, changed)
}

func (r *Replica) onTimedReply(from core.ReplicaID, m TimedReply) {
	r.onHeartbeatReply(from, m.HeartbeatReply)
	if r.role != Leader || m.Ballot != r.promised || !m.OK {
		return
	}
	if p := r.lead.peer(from); p != nil {
		p.told = max(p.told, m.Time)
		r.advanceSafe()
	}
}

// aheadMax is how far a token may be ahead of a leader's clock, in milliseconds: a node whose stamps are 6 s ahead of its clock
// leads what nobody else can, and no more, and clocks differ by up to half a second (rules H2, H3). What lies further ahead
// would take the group's time with it.
const aheadMax = 7000

// reached opens a command's token and refuses one from too far ahead.
func (r *Replica) reached(token []byte) (kv.HLC, error) {
	at, err := OpenToken(r.options.Binding, token)
	if err == nil && at > max(r.in.Stamp+kv.HLCOf(aheadMax), r.holdsUpTo(), r.log.last().Time) {
		err = kv.Errorf(kv.ClockSkew, "the session token is more than %d s ahead of the leader's clock; wait until clocks agree, or begin a new session", aheadMax/1000)
	}
	return at, err
}
