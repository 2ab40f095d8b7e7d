package twophase

import (
	"github.com/gamutdb/gamut/core"
)

// onVote counts a vote. A no ends the batch (rule W4).
func (r *Replica) onVote(from core.ReplicaID, m Vote) {
	s, bit := r.voter(from, m.Epoch, m.N)
	switch {
	case s == nil || s.aborted:
	case m.Yes:
		s.yes |= bit
	default:
		r.startAbort(m.N, s.need)
	}
}

func (r *Replica) onAbortOK(from core.ReplicaID, m AbortOK) {
	if s, bit := r.voter(from, m.Epoch, m.N); s != nil && s.aborted {
		s.gone |= bit
	}
}

// voter finds what an answer is about, and who gives it.
func (r *Replica) voter(from core.ReplicaID, epoch, n uint64) (*slot, uint64) {
	l := r.lead
	if l == nil || epoch != l.epoch {
		return nil, 0
	}
	bit := l.own
	if from != r.self {
		p := l.peer(from)
		if p == nil {
			return nil, 0
		}
		p.heard = r.in.Now
		bit = p.bit
	}
	if n <= r.resolved {
		return nil, 0
	}
	return r.slots.at(n), bit
}

// startAbort decides that a batch is not to be: this replica and all who may have prepared it write that down. It is final,
// and its clients are told, when all have (rule W4).
func (r *Replica) startAbort(n uint64, need uint64) {
	s := r.abortHere(n)
	s.need, s.yes, s.gone, s.since = need, 0, 0, r.in.Now
	r.out.Send(r.self, AbortOK{r.lead.epoch, n})
	r.askAbort(s)
	if r.options.Mutation == FailAtTimeout {
		r.refuseWaiter(n)
	}
}

func (r *Replica) askAbort(s *slot) {
	for _, p := range r.lead.peers {
		if s.need&p.bit&^s.gone != 0 {
			r.out.Send(p.id, Abort{r.lead.epoch, s.n})
		}
	}
}

// decide is rule W3: a batch is committed when everyone who has to has it on disk. Batches become final in the order of
// their numbers.
func (r *Replica) decide() {
	l := r.lead
	if l == nil || l.opening {
		return
	}
	for {
		s := r.slots.at(r.resolved + 1)
		if s == nil || !r.decided(s) {
			return
		}
		r.resolved++
	}
}

func (r *Replica) decided(s *slot) bool {
	given := s.yes
	if s.aborted {
		given = s.gone
	}
	if r.options.Mutation == CommitUnvoted && !s.aborted && given&(given-1) != 0 {
		return true
	}
	return s.need != 0 && given&s.need == s.need
}

// announce tells the members how far slots are final, unless a batch has just told them.
func (r *Replica) announce() {
	l := r.lead
	if l == nil || l.opening || l.announced >= r.resolved {
		return
	}
	for _, p := range l.peers {
		// Early: what is final stays so whatever this node forgets, since all members have it on disk.
		r.out.SendEarly(p.id, Resolved{l.epoch, r.resolved})
	}
	l.announced = r.resolved
}

// beat sends a heartbeat to all.
func (r *Replica) beat() {
	l := r.lead
	beat := Heartbeat{Epoch: l.epoch, Resolved: r.resolved, Applied: r.applied, Sum: r.sums.at(r.applied)}
	for _, p := range l.peers {
		// Early: what is final stays so whatever this node forgets, since all members have it on disk.
		r.out.SendEarly(p.id, beat)
	}
	l.announced = r.resolved
}

// leadTick is what a coordinator does by the clock: it is heard of, asks again for what was not answered, and aborts
// what takes too long.
func (r *Replica) leadTick() {
	l := r.lead
	if l == nil {
		return
	}
	for _, p := range l.peers {
		if p.fenced == nil {
			r.out.Send(p.id, Fence{r.fenced})
		}
	}
	r.refuseOverdue()
	if l.opening {
		return
	}
	r.beat()
	for n := r.resolved + 1; n <= r.slots.last(); n++ {
		r.pursue(r.slots.at(n))
	}
	r.fillTick()
	r.expireDue()
	r.passHeld()
}

// passHeld lets go of what some replica prepared and nobody else knows of: a record stays in its node's log until the state has come
// to its number, which in a group at rest would be when somebody writes again. Batches without a command bring the others there.
func (r *Replica) passHeld() {
	l, held := r.lead, r.held
	for _, p := range l.peers {
		held = max(held, p.held)
	}
	if l.next <= held && held-l.next < slotsMax && r.applied == r.slots.last() && r.enough() && r.options.Mutation != LeavePinned {
		r.begin(commands, make([]byte, batchHeader), nil)
	}
}

// pursue asks again about a slot, or gives it up. Half a second must be enough for a disk and a message; more is asked rarely.
func (r *Replica) pursue(s *slot) {
	switch {
	case s == nil || s.need == 0 || r.decided(s):
	case s.aborted:
		r.askAbort(s)
	case r.in.Now-s.since >= r.options.VoteWithin:
		r.startAbort(s.n, s.need)
	case r.in.Now-s.since >= r.options.Heartbeat:
		for _, p := range r.lead.peers {
			if s.need&p.bit&^s.yes != 0 {
				// Early: it asks, and promises nothing about this node's memory.
				r.out.SendEarly(p.id, r.prepareOf(s))
			}
		}
	}
}

func (r *Replica) prepareOf(s *slot) Prepare {
	return Prepare{Epoch: r.lead.epoch, N: s.n, Resolved: r.resolved, Batch: s.batch.raw}
}
