package paxos

import (
	"cmp"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// leadership is what a leader knows, and forgets when it leads no more.
type leadership struct {
	peers []*peer
	// first is the first block of the leader's own ballot; nothing is read before it is applied (rule R1).
	first uint64
	// seq numbers what is sent, so that an answer tells when its question left; sentAt keeps the latest of them.
	seq    uint64
	sentAt [seqRing]core.Time
	// leaseFrom: a majority granted the lease on a message sent no earlier than this.
	leaseFrom core.Time
	reads     []waitingRead
	readSeq   uint64 // the round that is under way for reads; 0: none
	// handoffTo: the leadership is being handed over. Under this ballot nothing is proposed or read any more (rule E8).
	handoffTo    core.ReplicaID
	handoffUntil core.Time
	handoffSent  bool
	preferSince  core.Time
	expiryIndex  uint64 // the latest Expiry block
	due          dueMark
	// busy is when there was last something to do, asked when commands came last. timeless is what the latest tick found (see Rests).
	busy, asked core.Time
	timeless    bool
	safe        SafeTime
	// waits are requests that transactions are in the way of; unlocked says that locks have changed since they were looked at.
	// claims are the keys of waits and of lockers.
	waits    []lockWait
	lockers  []locker
	claims   machine.Claims
	unlocked bool
	fresh    freshRound
	// split is wanted; nil: none is.
	split *splitWish
	// retire is wanted; nil: it is not.
	retire *retireWish
	// weaned is the latest Weaned block.
	weaned uint64
	// target are the members that were asked for; nil: no change is wanted.
	target *members
}

const seqRing = 1024

// never is a time before every other.
const never = core.Time(-1 << 62)

// peerState is how a leader sends to a peer.
type peerState uint8

const (
	probing     peerState = iota // one message, then wait: it is not known where the logs agree
	replicating                  // a pipeline behind next
	snapshotting
)

// peer is what a leader knows of another member.
type peer struct {
	id    core.ReplicaID
	state peerState
	// match: the peer's log agrees with ours up to here, durably.
	match uint64
	next  uint64
	asked bool // probing: a message is under way
	// acked is when the newest message that the peer answered was sent, ackedSeq its number.
	acked    core.Time
	ackedSeq uint64
	heard    core.Time
	// told: every promise that the peer gives from now on tells a time no earlier.
	told kv.HLC
	// beat is the number of the newest heartbeat that the peer answered, asOf what it was when the round under way for the age
	// of states was sent, fresh what the peer may be told of that age.
	beat, asOf uint64
	fresh      FreshPoint
	moved      core.Time // when match last grew, or sending began
	// suspect: the peer's disk is damaged; it counts for nothing until a block behind cureAt is committed without it.
	suspect bool
	cureAt  uint64
	// unwilling: the peer said that it should not be handed the leadership.
	unwilling bool
	sending   *sending
}

func (p *peer) probe(next uint64) {
	if p.state != snapshotting {
		p.state, p.next, p.asked = probing, max(next, 1), false
	}
}

func (l *leadership) peer(id core.ReplicaID) *peer {
	for _, p := range l.peers {
		if p.id == id {
			return p
		}
	}
	return nil
}

func (r *Replica) startLeading() {
	r.lead = leadership{leaseFrom: never, busy: r.in.Now, asked: r.in.Now}
	for _, id := range r.config.members() {
		if id != r.self {
			r.addPeer(id)
		}
	}
}

func (r *Replica) addPeer(id core.ReplicaID) {
	p := &peer{id: id, acked: never, heard: r.in.Now, moved: r.in.Now}
	p.probe(r.log.last().Index + 1)
	r.lead.peers = append(r.lead.peers, p)
}

// stepDown ends a leadership: what was never proposed is refused; what was proposed waits to see what is committed in its
// place (rule E9).
func (r *Replica) stepDown(reason string) {
	if r.role != Leader {
		return
	}
	r.out.Note(SteppedDownNote{r.promised, reason})
	r.role, r.leader = Follower, 0
	for _, p := range r.lead.peers {
		p.stopSending()
	}
	for _, w := range r.lead.reads {
		r.refuse(w.request.ID)
	}
	r.refuseWaits()
	r.lead = leadership{}
	r.refusePending()
	r.resetDeadline()
}

func (r *Replica) refuse(id core.RequestID) {
	// Early: nothing was recorded of the request, here or elsewhere.
	r.out.ReplyEarly(id, kv.Result{Code: kv.NotLeader})
}

// nextSeq numbers a message that leaves now.
func (r *Replica) nextSeq() uint64 {
	r.lead.seq++
	r.lead.sentAt[r.lead.seq%seqRing] = r.in.Now
	return r.lead.seq
}

// answered takes note that a peer answered a message of this ballot.
func (r *Replica) answered(p *peer, seq uint64, suspect bool) {
	p.heard = r.in.Now
	if suspect && !p.suspect {
		// It may have lost what it held for us: where the logs agree has to be found anew, and what it told.
		p.suspect, p.cureAt, p.match, p.told = true, 0, 0, 0
		p.probe(r.log.last().Index + 1)
	}
	if seq <= p.ackedSeq || seq > r.lead.seq || r.lead.seq-seq >= seqRing {
		return
	}
	p.ackedSeq, p.acked = seq, r.lead.sentAt[seq%seqRing]
	if r.options.Mutation == LeaseFromReceipt {
		p.acked = r.in.Now
	}
	r.lead.leaseFrom = majority(r, r.in.Now, never, func(p *peer) core.Time { return p.acked })
	r.confirmFresh()
}

// majority is the highest value that a majority reached, of the voters and of the outgoing ones, if any: own for this
// replica, f for a peer, none for one that is suspect.
func majority[T cmp.Ordered](r *Replica, own, none T, f func(*peer) T) T {
	reached := majorityOf(r, r.config.Voters, own, none, f)
	if r.config.joint() && r.options.Mutation != IgnoreOutgoing {
		reached = min(reached, majorityOf(r, r.config.Outgoing, own, none, f))
	}
	return reached
}

func majorityOf[T cmp.Ordered](r *Replica, voters []core.ReplicaID, own, none T, f func(*peer) T) T {
	values := make([]T, 0, 8)
	for _, id := range voters {
		p := r.lead.peer(id)
		switch {
		case id == r.self:
			values = append(values, own)
		case p == nil || p.suspect:
			values = append(values, none)
		default:
			values = append(values, f(p))
		}
	}
	slices.Sort(values)
	return values[len(values)-quorum(len(values))]
}

// advanceCommit commits what a majority holds durably, through a block of the own ballot only (rule C1). The leader
// counts itself when it is durable, and commits no further than that, so that what is committed here can be applied here.
func (r *Replica) advanceCommit() {
	index := min(majority(r, r.log.durable, 0, func(p *peer) uint64 { return p.match }), r.log.durable)
	if index > r.commit {
		if b := r.log.at(index); b != nil && (b.Ballot == r.promised || r.options.Mutation == CommitOlderBallot) {
			r.commit = index
		}
	}
	r.cure()
}

// cure frees suspect peers that hold all that a majority without them committed after they were found out. What such a
// peer forgot to have accepted, that majority knew of. What it forgot to have promised may still be counted by its
// candidate, so every other voter must have accepted under this ballot first: a candidate of a higher one would refuse.
func (r *Replica) cure() {
	for _, p := range r.lead.peers {
		if p.suspect && p.cureAt != 0 && r.commit >= p.cureAt && r.allHold(p.cureAt) {
			p.suspect = false
			// Early: committed blocks stay committed whatever this node forgets.
			r.out.SendEarly(p.id, Cured{Ballot: r.promised, Index: p.cureAt})
		}
	}
}

// allHold reports whether all voters hold the log up to an index durably.
func (r *Replica) allHold(index uint64) bool {
	for _, p := range r.lead.peers {
		if p.match < index && r.config.votes(p.id) {
			return false
		}
	}
	return r.log.durable >= index
}

func (r *Replica) onCured(m Cured) {
	if r.suspect && m.Ballot == r.promised && r.log.durable >= m.Index {
		r.suspect = false
		r.writeHard()
		r.out.Note(SuspectNote{false})
	}
}

// leaderTick keeps a leadership alive, or ends it.
func (r *Replica) leaderTick() {
	r.deadline = r.nextBeat()
	heard := majority(r, r.in.Now, never, func(p *peer) core.Time { return p.heard })
	if r.in.Now-heard > r.options.ElectionMin {
		// Check-quorum: nobody need wait for a leader that can commit nothing.
		r.stepDown("heard no majority")
		return
	}
	if r.lead.handoffTo != 0 && r.in.Now > r.lead.handoffUntil {
		// A delayed order to take over could bypass grants given later, so this ballot is over either way (rule E8).
		r.stepDown("the handoff did not succeed")
		return
	}
	r.beat()
	r.resend()
	r.markSuspects()
	r.expireDue()
	r.endWaits()
	r.yield()
}

// beat sends a heartbeat to every peer under one number, which it returns.
func (r *Replica) beat() uint64 {
	seq := r.nextSeq()
	for _, p := range r.lead.peers {
		commit := min(r.commit, p.match)
		if r.options.Mutation == CommitBeyondMatch {
			commit = r.commit
		}
		// Early: a heartbeat tells of what is committed, which stays so, and of times that every later leader begins above.
		r.out.SendEarly(p.id, r.heartbeat(p, commit, seq))
	}
	r.noteFresh(seq)
	r.confirmFresh() // a leader without peers hears of nobody
	return seq
}

// resend starts over with peers that have not moved for long: a message may have been lost.
func (r *Replica) resend() {
	for _, p := range r.lead.peers {
		switch {
		case p.match < r.log.last().Index && r.in.Now-p.moved > 4*r.options.Heartbeat:
			p.moved = r.in.Now
			p.probe(p.match + 1)
			p.resendChunk(r)
		case p.match == r.log.last().Index && p.suspect && p.cureAt != 0 && r.commit >= p.cureAt:
			// Another voter is away, so it is not cured yet, and takes no heartbeat's word for what is committed (rule L2):
			// an Accept of nothing tells it.
			p.probe(p.match + 1)
		}
	}
}

// markSuspects places a block behind which a suspect peer can be trusted again.
func (r *Replica) markSuspects() {
	for _, p := range r.lead.peers {
		if p.suspect && p.cureAt == 0 && r.applied.Index >= r.lead.first {
			r.appendBlock(Noop, nil, r.stamp())
			p.cureAt = r.log.last().Index
		}
	}
}

// yieldAfter is how long a preferred peer must have been fit before it is handed the leadership.
const yieldAfter = core.Time(5e9)

// yield hands over when this node should not lead, or when the preferred replica has been fit to lead for a while.
func (r *Replica) yield() {
	if r.lead.handoffTo != 0 || r.applied.Index < r.lead.first {
		return
	}
	if r.in.Unfit || r.in.Reluctant {
		if p := r.fittest(); p != nil {
			r.handoff(p.id)
		}
		return
	}
	p := r.lead.peer(r.config.Preferred)
	if p == nil || !r.fit(p) || p.match+CommandsMax < r.commit {
		r.lead.preferSince = r.in.Now
		return
	}
	if r.in.Now-r.lead.preferSince > yieldAfter && r.lead.preferSince != 0 {
		r.handoff(p.id)
	} else if r.lead.preferSince == 0 {
		r.lead.preferSince = r.in.Now
	}
}

func (r *Replica) fit(p *peer) bool { return !p.unwilling && r.reachable(p) }

// reachable says that a voter that stays keeps up.
func (r *Replica) reachable(p *peer) bool {
	return r.config.stays(p.id) && !p.suspect && p.state == replicating && r.in.Now-p.heard < 4*r.options.Heartbeat
}

func (r *Replica) fittest() (best *peer) {
	for _, p := range r.lead.peers {
		if r.fit(p) && (best == nil || p.match > best.match) {
			best = p
		}
	}
	return best
}

// handoff stops proposing and reading under this ballot for ever, and waits until the peer has all that we have (rule E8).
func (r *Replica) handoff(to core.ReplicaID) {
	if r.role != Leader || r.lead.handoffTo != 0 || r.lead.peer(to) == nil || !r.config.votes(to) {
		return
	}
	r.lead.handoffTo, r.lead.handoffUntil = to, r.in.Now+r.options.ElectionMin
	r.refusePending()
	r.refuseWaits()
	for _, w := range r.lead.reads {
		r.refuse(w.request.ID)
	}
	r.lead.reads = nil
}

// tryHandoff tells the peer to take over once it has the whole log.
func (r *Replica) tryHandoff() {
	l := &r.lead
	if l.handoffTo == 0 || l.handoffSent || l.peer(l.handoffTo).match != r.log.last().Index {
		return
	}
	l.handoffSent = true
	// Early: it gives up what this leader holds, and a leader that forgot it would hold nothing either.
	r.out.SendEarly(l.handoffTo, HandoffNow{Ballot: r.promised})
}
