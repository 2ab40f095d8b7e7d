package twophase

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// position is how far a state has come: the number of a batch, the time of the latest one applied, and the sum of all.
type position struct {
	n    uint64
	time kv.HLC
	sum  uint64
}

// Position is the batch in which a version was given.
func Position(version uint64) uint64 { return machine.Position(version) }

// metaSize is the size of the value at core.AppliedKey.
const metaSize = 8 + 8 + 8

func appendMeta(b []byte, p position) []byte {
	b = binary.BigEndian.AppendUint64(b, p.n)
	b = binary.BigEndian.AppendUint64(b, uint64(p.time))
	return binary.BigEndian.AppendUint64(b, p.sum)
}

func decodeMeta(b []byte) (p position) {
	if len(b) != metaSize {
		panic(fmt.Sprintf("twophase: the applied position takes %d bytes instead of %d", len(b), metaSize))
	}
	return position{binary.BigEndian.Uint64(b), kv.HLC(binary.BigEndian.Uint64(b[8:])), binary.BigEndian.Uint64(b[16:])}
}

// apply applies one slot that is final, and asks for another Step if there are more: each must see the state as the one before
// left it.
func (r *Replica) apply() {
	if r.staging.Ready() || len(r.out.State) > 0 || r.applied >= r.resolved {
		return
	}
	s := r.slots.at(r.applied + 1)
	if s == nil {
		panic(fmt.Sprintf("twophase: slot %d is final but not held", r.applied+1))
	}
	if !s.aborted {
		r.applyBatch(s)
		r.time = s.batch.time
	}
	w := r.takeWaiter(s.n)
	if w != nil && s.aborted {
		r.refuseAll(w)
	}
	sum := r.sumUp(s)
	r.applied = s.n
	r.sums.set(s.n, sum)
	r.meta = appendMeta(r.meta[:0], position{s.n, r.time, sum})
	r.out.State = append(r.out.State, core.Change{Kind: core.Put, Key: core.AppliedKey, Value: r.meta})
	r.slots.drop()
	r.keepFed(s)
	r.out.Note(AppliedNote{s.n, s.aborted, sum})
	r.out.Again = r.out.Again || r.applied < r.resolved
}

func (r *Replica) applyBatch(s *slot) {
	w := r.waiterOf(s.n)
	r.machine.Begin(r.in.View, s.n, s.batch.time)
	switch s.batch.kind {
	case commands:
		r.applyCommands(s, w)
	case expiry:
		r.machine.Expire()
	case mark:
		r.out.Note(core.CheckpointNote{Index: s.n})
		if w != nil {
			r.answer(w.ids[0], kv.Result{Version: s.n})
		}
	}
	r.out.State = append(r.out.State, r.machine.Finish()...)
}

func (r *Replica) applyCommands(s *slot, w *waiter) {
	err := s.batch.each(func(i int, command []byte) {
		result := r.machine.Apply(command, w != nil)
		if w != nil {
			r.answer(w.ids[i], result)
		}
	})
	if err != nil {
		panic(fmt.Sprintf("twophase: batch %d: %v", s.n, err)) // it was read before it was written
	}
	if w != nil && r.lead != nil {
		r.lead.queue.cohort = len(w.ids)
	}
}

func (r *Replica) answer(id core.RequestID, result kv.Result) {
	// Early: the batch is on the disks of all members, this one's among them; later writes of this replica are no concern of this
	// client.
	r.out.ReplyEarly(id, result)
}

// sumUp sums what was applied: equal sums at a position mean equal histories and equal effects (rule W9).
func (r *Replica) sumUp(s *slot) uint64 {
	b := binary.BigEndian.AppendUint64(nil, r.sums.at(r.applied))
	b = binary.BigEndian.AppendUint64(b, s.n)
	if s.aborted {
		b = append(b, 1)
	}
	for i := range r.out.State {
		c := &r.out.State[i]
		b = append(b, byte(c.Kind))
		b = binary.BigEndian.AppendUint64(b, xxhash.Sum64(c.Key))
		b = binary.BigEndian.AppendUint64(b, xxhash.Sum64(c.Value))
	}
	return max(1, xxhash.Sum64(b)) // 0 says that nothing is known
}

// waiterOf finds who waits for a batch.
func (r *Replica) waiterOf(n uint64) *waiter {
	for i := range r.waiting {
		if r.waiting[i].n == n {
			return &r.waiting[i]
		}
	}
	return nil
}

// takeWaiter forgets who waits for a batch, and returns them.
func (r *Replica) takeWaiter(n uint64) *waiter {
	for i := range r.waiting {
		if r.waiting[i].n == n {
			w := r.waiting[i]
			r.waiting = append(r.waiting[:i:i], r.waiting[i+1:]...)
			return &w
		}
	}
	return nil
}

// refuseAll tells the clients of a batch that is final and aborted: all members have written that down, so it never happens.
func (r *Replica) refuseAll(w *waiter) {
	for _, id := range w.ids {
		r.answer(id, kv.Result{Code: kv.Unavailable,
			Detail: "not every member of the group prepared the write in time; it was aborted on all of them. Retry after some seconds"})
	}
}

// refuseWaiter is what FailAtTimeout does.
func (r *Replica) refuseWaiter(n uint64) {
	if w := r.takeWaiter(n); w != nil {
		r.refuseAll(w)
	}
}

// loseWaiters tells all clients who wait that the outcome will not be known here.
func (r *Replica) loseWaiters(why string) {
	for _, w := range r.waiting {
		for _, id := range w.ids {
			// Early: it tells only that nothing is known here.
			r.out.ReplyEarly(id, kv.Result{Code: kv.Unknown, Detail: why})
		}
	}
	r.waiting = nil
}
