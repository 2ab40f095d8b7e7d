package twophase

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/transfer"
)

// A joiner is filled in three steps (rule W7). It is sent the state as of some batch x. It is fed every slot behind x once
// that is final, in order. When it has almost come up it enters: from then on every batch that is not final needs its vote, those
// in flight included, or one that waits for a member which never comes back would keep it out. When it has all that was final
// before it entered, it holds whatever the members hold, and the catalog is asked to make it one. The votes of one that entered
// stay needed for the rest of the epoch, for nobody knows whether what was asked of the catalog is still to come (trap T2.8).

const (
	// feedMax is how many slots are on their way to a joiner.
	feedMax = 64
	// enterLag is how many slots a joiner may lack when it enters.
	enterLag = 32
)

// joining is how far a joiner is, as its coordinator sees it.
type joining struct {
	sending *sending
	moved   core.Time // when it last came further
	joined  bool      // it has a snapshot of this epoch
	// match is up to where all slots are final on its disk, sent up to where it was fed.
	match, sent uint64
	// entered: every batch beyond from needs its vote.
	entered bool
	from    uint64
	// lost: what it lacks is no longer kept, and it entered.
	lost bool
}

// ready says that it holds all that the members hold.
func (j *joining) ready() bool { return j.entered && j.match >= j.from }

// sending is the state as of some position on its way.
type sending struct {
	*transfer.Sending
	at position
}

func (p *peer) stopSending() {
	if p.sending != nil {
		p.sending.Close()
		p.sending = nil
	}
}

// onAlive hears that a replica lives, and how far a joiner is.
func (r *Replica) onAlive(from core.ReplicaID, m Alive) {
	l := r.lead
	if l == nil || m.Epoch != l.epoch {
		return
	}
	p := l.peer(from)
	if p == nil {
		return
	}
	p.heard = r.in.Now
	p.sick, p.held = m.Sick, m.Held
	if m.Sick && p.joined {
		return // the next epoch begins anew with it: no word from before the loss must count
	}
	if p.member || l.opening || r.applied < l.found {
		return // what a joiner knows to be final is among what was found
	}
	if !m.Joined {
		if !p.joined && p.sending == nil && len(r.out.State) == 0 {
			r.startSnapshot(p)
		}
		return
	}
	if p.sending != nil && m.Resolved < p.sending.at.n {
		return // it tells what it has from an earlier snapshot
	}
	if !p.joined || m.Resolved > p.match {
		p.moved = r.in.Now
	}
	p.joined = true
	p.stopSending()
	p.match = max(p.match, m.Resolved)
	p.sent = max(p.sent, p.match)
	r.fill(p)
}

// startSnapshot begins to send the state as it is now.
func (r *Replica) startSnapshot(p *peer) {
	p.stopSending()
	p.moved = r.in.Now
	s := &sending{Sending: transfer.Send(r.in.View)} // of an empty state: at its beginning
	if b, ok := s.Applied(); ok {
		s.at = decodeMeta(b)
	}
	p.sending = s
	r.sendChunk(p)
}

func (r *Replica) sendChunk(p *peer) {
	// Early: a snapshot holds only what is final.
	r.out.SendEarly(p.id, SnapshotChunk{r.lead.epoch, p.sending.at, p.sending.Part})
}

func (r *Replica) onSnapshotReply(from core.ReplicaID, m SnapshotReply) {
	l := r.lead
	if l == nil || m.Epoch != l.epoch {
		return
	}
	p := l.peer(from)
	if p == nil || p.sending == nil {
		return
	}
	p.heard = r.in.Now
	switch made, lost := p.sending.Next(m.N); {
	case made:
		p.moved = r.in.Now
		r.sendChunk(p)
	case lost:
		p.stopSending() // its next word begins a new one
	}
}

// keepFed keeps a final slot while a joiner may lack it.
func (r *Replica) keepFed(s *slot) {
	l := r.lead
	if l == nil {
		return
	}
	wanted := false
	for _, p := range l.peers {
		wanted = wanted || (!p.member && (p.sending != nil || p.joined))
	}
	if !wanted {
		l.fed, l.fedBytes = nil, 0
		return
	}
	l.fed = append(l.fed, s)
	l.fedBytes += len(s.batch.raw)
	for l.fedBytes > r.options.RetainBytes && len(l.fed) > 1 {
		l.fedBytes -= len(l.fed[0].batch.raw)
		l.fed = l.fed[1:]
	}
	for _, p := range l.peers {
		r.fill(p)
	}
}

// fill feeds a joiner, and lets it enter.
func (r *Replica) fill(p *peer) {
	l := r.lead
	if p.member || !p.joined {
		return
	}
	if p.match < r.applied && l.fedAt(p.match+1) == nil {
		r.refill(p)
		return
	}
	if !p.entered && p.match+enterLag >= l.next-1 && !l.opening {
		p.entered, p.from = true, r.resolved
		// Whatever of what is in flight may yet be committed is on its disk, or is not committed.
		for n := r.resolved + 1; n < l.next; n++ {
			if s := r.slots.at(n); s != nil {
				s.need |= p.bit
			}
		}
	}
	if r.options.Mutation == JoinEarly {
		p.entered, p.from = true, 0
		return
	}
	until := r.applied
	if p.entered {
		until = min(until, p.from)
	}
	for p.sent < until && p.sent < p.match+feedMax {
		s := l.fedAt(p.sent + 1)
		if s == nil {
			return
		}
		// Early: it is final.
		r.out.SendEarly(p.id, Feed{Epoch: l.epoch, N: s.n, Batch: s.batch.raw})
		p.sent++
	}
}

// refill begins anew with a joiner that lacks what is no longer kept: in the next epoch, if it entered.
func (r *Replica) refill(p *peer) {
	switch {
	case p.entered && p.match < p.from:
		p.lost = true
	case !p.entered && len(r.out.State) == 0:
		p.joined = false
		r.startSnapshot(p)
	}
}

func (l *leadership) fedAt(n uint64) *slot {
	if len(l.fed) == 0 || n < l.fed[0].n || n > l.fed[len(l.fed)-1].n {
		return nil
	}
	return l.fed[n-l.fed[0].n]
}

// fillTick asks again for what joiners have not answered.
func (r *Replica) fillTick() {
	for _, p := range r.lead.peers {
		if !p.member && !p.entered && r.in.Now-p.heard >= r.options.Suspect {
			p.stopSending() // it is gone, and a snapshot pins what it shows; its next word begins anew
			p.joined = false
			continue
		}
		if p.member || r.in.Now-p.moved < 3*r.options.Heartbeat {
			continue
		}
		p.moved = r.in.Now
		if p.sending != nil {
			r.sendChunk(p)
			continue
		}
		p.sent = p.match
		r.fill(p)
	}
}

// origin is what a received state is of.
type origin struct {
	at    position
	epoch uint64
}

// onSnapshotChunk collects a snapshot. What this replica was filled with in this epoch must not go back.
func (r *Replica) onSnapshotChunk(from core.ReplicaID, m SnapshotChunk) {
	if !r.heeds(from, m.Epoch) || r.fenced.has(r.self) || r.staging.Ready() {
		return
	}
	if r.joined == m.Epoch && m.At.n <= r.resolved && !r.suspect {
		r.out.Send(from, r.alive())
		return
	}
	if !r.staging.Take(r.out, from, origin{m.At, m.Epoch}, &m.Part) {
		r.out.Send(from, SnapshotReply{Epoch: m.Epoch, N: r.staging.Wanted})
	}
}

// finishInstall, a Step later, forgets all slots: they are of epochs that this replica had no part in. Install is durable when
// it was applied; that the slots count no more is durable before anybody hears of it.
func (r *Replica) finishInstall() {
	s := r.staging
	at := position{}
	if b, ok := r.in.View.Get(core.AppliedKey); ok {
		at = decodeMeta(b)
	}
	if at != s.Of.at {
		panic(fmt.Sprintf("twophase: the installed snapshot is not of %d", s.Of.at.n))
	}
	r.staging = transfer.Staging[origin]{}
	r.loseWaiters("this replica was given a snapshot; the write may have happened")
	r.slots.reset(at.n)
	r.applied, r.resolved, r.time = at.n, at.n, at.time
	r.sums.reset(at.n, at.sum)
	r.out.Note(InstalledNote{at.n})
	if s.Of.epoch != r.fenced.Epoch {
		return // another epoch has begun, and fills it anew
	}
	r.suspect, r.joined = false, s.Of.epoch
	r.writeHard()
	r.out.Send(s.From, r.alive())
}

// onFeed takes a final slot, in order.
func (r *Replica) onFeed(from core.ReplicaID, m Feed) {
	if !r.heeds(from, m.Epoch) || r.fenced.has(r.self) || !r.filled() {
		return
	}
	if m.N == r.resolved+1 && m.N <= r.applied+slotsMax {
		s := &slot{n: m.N, aborted: len(m.Batch) == 0}
		if !s.aborted {
			b, err := decodeBatch(m.Batch)
			if err != nil {
				panic("twophase: feed: " + err.Error()) // it was looked at when it was decoded
			}
			s.batch = b
		}
		r.write(s, m.N)
		r.resolved = m.N
	}
	r.out.Send(from, r.alive())
}
