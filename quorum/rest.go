package quorum

import "github.com/gamutdb/gamut/core"

// Only what clients ask for needs the node's clock: the stamps of their writes. All else, hints, comparisons and repairs, moves records
// that have theirs. So a replica that nobody asks for anything rests, and its node need not renew the clock's durable bound.

// rest notes whether the replica rests, and wants a Tick when it will.
func (r *Replica) rest() {
	end := r.asked + core.RestAfter
	r.rests = r.in.Now >= end && r.writes.count+r.writes.under+len(r.reads.rounds)+len(r.scans.open) == 0
	if !r.rests && r.in.Now < end {
		r.deadline = min(r.deadline, end)
	}
}

// Rests says that the replica gives no stamp before it is stepped with commands (core.Resting).
func (r *Replica) Rests() bool { return r.rests }
