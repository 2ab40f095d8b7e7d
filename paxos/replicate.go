package paxos

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
)

const (
	// acceptBytes bounds the blocks of one Accept; a single block may be longer.
	acceptBytes = 1 << 20
	// pipelineBlocks and pipelineBytes bound what is under way to one peer (rule F1).
	pipelineBlocks = 256
	pipelineBytes  = 16 << 20
)

// replicate sends each peer what it lacks.
func (r *Replica) replicate() {
	for _, p := range r.lead.peers {
		switch p.state {
		case probing:
			if !p.asked {
				p.asked = true
				r.sendBehind(p)
			}
		case replicating:
			for p.next <= r.log.last().Index && p.state == replicating && !r.pipelineFull(p) {
				r.sendBehind(p)
			}
		}
	}
	r.tryHandoff()
}

func (r *Replica) pipelineFull(p *peer) bool {
	if p.next-p.match > pipelineBlocks {
		return true
	}
	bytes := 0
	for i := p.match + 1; i < p.next; i++ {
		if b := r.log.at(i); b != nil {
			bytes += len(b.raw)
		}
	}
	return bytes > pipelineBytes
}

// sendBehind sends the blocks from p.next on, or begins a snapshot if they are no longer held.
func (r *Replica) sendBehind(p *peer) {
	prev, ok := r.log.position(p.next - 1)
	if !ok {
		r.startSnapshot(p)
		return
	}
	m := Accept{Ballot: r.promised, PrevIndex: prev.Index, PrevHash: prev.Hash, Commit: r.commit, Seq: r.nextSeq()}
	bytes := 0
	for i := p.next; i <= r.log.last().Index && bytes < acceptBytes; i++ {
		b := r.log.at(i)
		m.Blocks = append(m.Blocks, b)
		bytes += len(b.raw)
	}
	if p.match+1 == p.next {
		p.moved = r.in.Now
	}
	if p.state == replicating {
		p.next += uint64(len(m.Blocks))
	}
	// Early: it asks others to store; this leader counts itself only when its own write is durable (rule D4).
	r.out.SendEarly(p.id, m)
}

// heed takes a message of a leader under a ballot at least as high as the promised one: it follows it, and grants it the
// lease (rule A1). It reports whether the promise changed, and so must be durable before anything is answered.
func (r *Replica) heed(from core.ReplicaID, ballot Ballot) (changed bool) {
	if r.promised.Less(ballot) {
		r.stepDown("another leads under a higher ballot")
		r.promise(ballot)
		changed = true
	}
	if r.role == Leader {
		panic(fmt.Sprintf("paxos: replica %d also leads ballot %v", from, ballot))
	}
	if r.role != Follower || r.leader != from {
		r.follow(from)
	}
	r.leaderDown, r.heard, r.reluctance = false, r.in.Now, 0
	r.grantUntil, r.grantBallot = r.in.Now+r.config.lease(), ballot
	r.resetDeadline()
	return changed
}

// onAccept stores what a leader sends (rules A1 to A5).
func (r *Replica) onAccept(from core.ReplicaID, m Accept) {
	if m.Ballot.Less(r.promised) {
		// Early: a refusal binds to nothing.
		r.out.SendEarly(from, Accepted{Ballot: m.Ballot, Promised: r.promised, Seq: m.Seq})
		return
	}
	r.heed(from, m.Ballot)
	reply := Accepted{Ballot: m.Ballot, Promised: r.promised, Seq: m.Seq, Suspect: r.suspect, Match: r.commit}
	if !r.agrees(m.PrevIndex, m.PrevHash) {
		r.out.Send(from, reply)
		return
	}
	verified, ok := r.accept(&m)
	if !ok {
		r.out.Send(from, reply)
		return
	}
	r.commit = max(r.commit, min(m.Commit, verified))
	reply.OK, reply.Match = true, verified
	r.out.Send(from, reply)
}

// agrees checks that the log holds what the leader builds on (rule A2). What is committed here is part of every leader's log.
func (r *Replica) agrees(index uint64, hash Hash) bool {
	if index <= r.commit {
		return true
	}
	p, ok := r.log.position(index)
	return ok && p.Hash == hash
}

// accept stores the blocks that are not there yet and returns up to where the log agrees with the leader's.
func (r *Replica) accept(m *Accept) (verified uint64, ok bool) {
	prev := position{Index: m.PrevIndex, Hash: m.PrevHash}
	wrote := false
	for _, b := range m.Blocks {
		if b.Index != prev.Index+1 || b.Prev != prev.Hash {
			return 0, false // not a chain: the sender is at fault, and nothing of it is believed
		}
		prev = b.position()
	}
	if r.contradicted(m) {
		return 0, false
	}
	for _, b := range m.Blocks {
		if b.Index <= r.log.base.Index {
			continue
		}
		if mine := r.log.at(b.Index); mine == nil || mine.Hash != b.Hash {
			wrote = true
		}
		r.store(b)
	}
	if r.options.Mutation == TruncateBeyond && prev.Index < r.log.last().Index && prev.Index >= r.commit {
		r.log.truncate(prev.Index + 1)
		r.revertConfigs()
	}
	if wrote {
		r.askStored()
	}
	return prev.Index, true
}

// contradicted says that the leader's log is not the one that is committed here. No leader that was elected rightly has
// such a log, so a disk does not hold what was written to it: this one's or the leader's (rule L5).
func (r *Replica) contradicted(m *Accept) bool {
	index, hash := m.PrevIndex, m.PrevHash
	for i := 0; ; i++ {
		if index > r.commit {
			return false
		}
		if mine, ok := r.log.position(index); ok && mine.Hash != hash {
			r.out.Note(core.DamageNote{Text: fmt.Sprintf("replica %d leads with another block %d than the one that is committed at replica %d",
				r.leader, index, r.self)})
			return true
		}
		if i == len(m.Blocks) {
			return false
		}
		index, hash = m.Blocks[i].Index, m.Blocks[i].Hash
	}
}

func (r *Replica) onAccepted(from core.ReplicaID, m Accepted) {
	if r.refused(m.Ballot, m.Promised) {
		return
	}
	p := r.lead.peer(from)
	if p == nil {
		return
	}
	r.answered(p, m.Seq, m.Suspect)
	switch {
	case m.OK && m.Match > r.log.last().Index:
		panic(fmt.Sprintf("paxos: replica %d agrees up to %d, the log ends at %d", from, m.Match, r.log.last().Index))
	case m.OK:
		r.advancePeer(p, m.Match)
	case p.state != snapshotting:
		if p.suspect {
			p.match = 0 // it was damaged once more
		}
		p.match = max(p.match, min(m.Match, r.commit))
		if next := max(p.match, m.Match) + 1; p.state != probing || p.next != next {
			p.probe(next)
		}
		// Else the refusal says nothing new. The next heartbeat that gets through asks again: no two messages may answer
		// each other without end.
	}
}

func (r *Replica) advancePeer(p *peer, match uint64) {
	if match > p.match {
		p.match, p.moved = match, r.in.Now
	}
	if p.state == probing {
		p.state = replicating
		p.next = p.match + 1
	}
	p.next = max(p.next, p.match+1)
}

// refused tells whether an answer is not for this leadership; one that names a higher ballot ends it.
func (r *Replica) refused(ballot, promised Ballot) bool {
	r.maxRound = max(r.maxRound, promised.Round)
	if r.role != Leader || ballot != r.promised {
		return true
	}
	if r.promised.Less(promised) {
		r.stepDown("a peer promised a higher ballot")
		r.follow(0)
		return true
	}
	return false
}

func (r *Replica) onHeartbeat(from core.ReplicaID, m Heartbeat) {
	if m.Ballot.Less(r.promised) {
		// Early: a refusal binds to nothing.
		r.out.SendEarly(from, HeartbeatReply{Ballot: m.Ballot, Promised: r.promised, Seq: m.Seq})
		return
	}
	reply, changed := r.heedHeartbeat(from, m)
	r.time.kept = false
	r.answerHeartbeat(from, reply, changed)
}

func (r *Replica) heedHeartbeat(from core.ReplicaID, m Heartbeat) (reply HeartbeatReply, changed bool) {
	changed = r.heed(from, m.Ballot)
	if !r.suspect {
		// A suspect replica may have lost what the leader believes it to hold; it hears of commits with an Accept.
		r.commit = max(r.commit, min(m.Commit, r.log.last().Index))
	}
	r.takeBeat(m)
	return HeartbeatReply{Ballot: m.Ballot, OK: true, Promised: r.promised, Seq: m.Seq, Suspect: r.suspect,
		Unwilling: r.in.Unfit || r.in.Reluctant}, changed
}

func (r *Replica) answerHeartbeat(from core.ReplicaID, reply core.Message, changed bool) {
	if changed {
		r.out.Send(from, reply)
		return
	}
	// Early: it grants a lease, and a replica that forgets its grants promises nothing for as long after a start (rule R2).
	r.out.SendEarly(from, reply)
}

func (r *Replica) onHeartbeatReply(from core.ReplicaID, m HeartbeatReply) {
	if r.refused(m.Ballot, m.Promised) || !m.OK {
		return
	}
	if p := r.lead.peer(from); p != nil {
		r.answered(p, m.Seq, m.Suspect)
		p.unwilling = m.Unwilling
		p.beat = max(p.beat, min(m.Seq, r.lead.seq))
		// A probe, or its answer, may have been lost: one more for every heartbeat that gets through.
		p.asked = false
	}
}
