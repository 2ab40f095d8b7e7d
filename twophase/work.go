package twophase

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// heeds says that a message comes from the coordinator of the epoch that this replica obeys (rule W1).
func (r *Replica) heeds(from core.ReplicaID, epoch uint64) bool {
	if r.options.Mutation == ObeyAll && epoch <= r.fenced.Epoch && epoch > 0 {
		return true
	}
	if epoch != r.fenced.Epoch || from != r.fenced.Coordinator {
		return false
	}
	r.heard = r.in.Now
	return true
}

// onFence obeys a new epoch, and tells its coordinator what is in doubt here. What comes of earlier epochs from now on is not
// heeded, so what is told stays true.
func (r *Replica) onFence(from core.ReplicaID, m Fence) {
	c := m.Config
	if c.Epoch < r.fenced.Epoch || from != c.Coordinator || (c.Epoch == r.fenced.Epoch && from != r.fenced.Coordinator) {
		return
	}
	if c.Epoch > r.fenced.Epoch {
		r.fence(c)
	}
	r.heard = r.in.Now
	if r.suspect {
		r.out.Send(from, Alive{Epoch: c.Epoch, Sick: true})
		return
	}
	r.out.Send(from, r.inDoubt())
}

// fence obeys an epoch from now on.
func (r *Replica) fence(c Config) {
	r.stepDown()
	r.fenced = c
	r.heard, r.patience = r.in.Now, r.drawPatience()
	r.writeHard()
	r.out.Note(FencedNote{c.Epoch, c.Coordinator})
}

// inDoubt is what this replica knows of slots that are not final.
func (r *Replica) inDoubt() FenceOK {
	m := FenceOK{Epoch: r.fenced.Epoch, Resolved: r.resolved, Time: r.latestTime()}
	for n := r.resolved + 1; n <= r.slots.last(); n++ {
		if s := r.slots.at(n); s != nil {
			m.Open = append(m.Open, OpenSlot{N: n, Aborted: s.aborted, Digest: s.digest()})
		}
	}
	return m
}

func (s *slot) digest() uint64 {
	if s.aborted {
		return 0
	}
	return xxhash.Sum64(s.batch.raw)
}

// latestTime is that of the latest batch that this replica knows of.
func (r *Replica) latestTime() kv.HLC {
	latest := r.time
	for _, s := range r.slots.list {
		if s != nil {
			latest = max(latest, s.batch.time)
		}
	}
	return latest
}

// filled says that what the slots hold counts: this replica is a member of its epoch, or was filled in it.
func (r *Replica) filled() bool {
	return !r.suspect && (r.fenced.has(r.self) || r.joined == r.fenced.Epoch)
}

// onPrepare writes a batch to disk, and votes when it is there. After a yes it never aborts by itself (rule W1).
func (r *Replica) onPrepare(from core.ReplicaID, m Prepare) {
	if !r.heeds(from, m.Epoch) || !r.filled() || m.N > r.applied+slotsMax {
		return
	}
	if m.N > r.applied {
		r.prepare(from, m)
	}
	r.resolve(m.Resolved)
}

func (r *Replica) prepare(from core.ReplicaID, m Prepare) {
	s := r.slots.at(m.N)
	vote := Vote{Epoch: m.Epoch, N: m.N, Yes: true}
	switch {
	case s == nil, s.aborted && r.options.Mutation == PrepareAnew, r.options.Mutation == KeepEpoch && !bytes.Equal(s.batch.raw, m.Batch):
		b, err := decodeBatch(m.Batch)
		if err != nil {
			panic("twophase: prepare: " + err.Error()) // it was looked at when it was decoded
		}
		r.write(&slot{n: m.N, batch: b}, r.resolved)
	case s.aborted:
		vote.Yes = false // rule W2: the batch comes late
	case !bytes.Equal(s.batch.raw, m.Batch):
		r.distrust("slot %d holds another batch than the coordinator of epoch %d asks to prepare", m.N, m.Epoch)
		return
	}
	if r.options.Mutation == VoteBeforeSync {
		// Early: this is the planted bug.
		r.out.SendEarly(from, vote)
		return
	}
	r.out.Send(from, vote)
}

// write puts a slot in its place, on disk and here. All slots up to resolved are final.
func (r *Replica) write(s *slot, resolved uint64) {
	r.slots.put(s)
	r.held = max(r.held, s.n)
	kind := byte(recordPrepared)
	if s.aborted {
		kind = recordAborted
	}
	r.out.Write(core.Record{Kind: kind, Pos: s.n, Body: appendSlot(nil, era{r.self, r.joined}, resolved, s.batch.raw)})
}

// onAbort aborts a slot, whatever it holds, so that no late Prepare finds it empty (rule W2).
func (r *Replica) onAbort(from core.ReplicaID, m Abort) {
	if !r.heeds(from, m.Epoch) || !r.filled() || m.N > r.applied+slotsMax {
		return
	}
	if m.N <= r.resolved && r.options.Mutation != ObeyAll {
		return // it is final, and the coordinator knows
	}
	r.abortHere(m.N)
	r.out.Send(from, AbortOK(m))
}

// abortHere writes the abortion of a slot, unless that has been done.
func (r *Replica) abortHere(n uint64) *slot {
	s := r.slots.at(n)
	if n <= r.applied || (s != nil && s.aborted) {
		return s
	}
	next := &slot{n: n, aborted: true}
	if s != nil {
		next.need, next.yes, next.gone, next.since = s.need, s.yes, s.gone, s.since
	}
	r.write(next, r.resolved)
	return next
}

// onHeartbeat hears that the coordinator lives, and how far slots are final.
func (r *Replica) onHeartbeat(from core.ReplicaID, m Heartbeat) {
	if r.suspect && m.Epoch > r.fenced.Epoch {
		// It may have lost what it obeyed, and says so to whoever seems to coordinate.
		r.out.Send(from, Alive{Epoch: m.Epoch, Sick: true})
		return
	}
	if !r.heeds(from, m.Epoch) {
		return
	}
	if r.filled() {
		r.resolve(m.Resolved)
		r.compare(m)
	}
	r.out.Send(from, r.alive())
}

// onResolved hears how far slots are final.
func (r *Replica) onResolved(from core.ReplicaID, m Resolved) {
	if r.heeds(from, m.Epoch) && r.filled() {
		r.resolve(m.UpTo)
	}
}

func (r *Replica) alive() Alive {
	return Alive{Epoch: r.fenced.Epoch, Resolved: r.resolved, Held: r.held, Joined: r.joined == r.fenced.Epoch && !r.suspect, Sick: r.suspect}
}

// resolve takes note that all slots up to n are final. A joiner has holes, and goes no further than the first.
func (r *Replica) resolve(n uint64) {
	for r.resolved < n && (r.slots.at(r.resolved+1) != nil) {
		r.resolved++
	}
	if r.resolved < n && r.fenced.has(r.self) {
		r.distrust("slot %d is final, and nothing is held here", r.resolved+1)
	}
}

// compare holds what was applied here against what the coordinator has applied (rule W9).
func (r *Replica) compare(m Heartbeat) {
	if mine := r.sums.at(m.Applied); mine != 0 && m.Sum != 0 && mine != m.Sum {
		r.distrust("what was applied up to %d sums up to %x here and to %x at the coordinator", m.Applied, mine, m.Sum)
	}
}

// workTick is what a member does by the clock, which is nothing: it waits for the outcome, however long (trap T2.4).
func (r *Replica) workTick() {
	if r.options.Mutation != AbortAlone || r.lead != nil {
		return
	}
	for n := r.resolved + 1; n <= r.slots.last(); n++ {
		if s := r.slots.at(n); s != nil && r.in.Now-r.heard > r.options.VoteWithin {
			r.abortHere(n)
		}
	}
}
