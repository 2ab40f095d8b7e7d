package bayou

import (
	"encoding/binary"
	"slices"
)

// chores is how far the looking after of what may be forgotten is.
type chores struct {
	// truncated is what was stable when the write log was last looked through to the end.
	truncated Vector
	// logFrom is a key that precedes all of the write log: what lies before it is deleted, and costs to walk over.
	logFrom []byte
	// behind says that there is more to do than was done.
	behind bool
}

// truncateMax bounds the writes that are dropped from the log in a Step.
const truncateMax = 4000

// choreMax bounds what one chore looks at in a Step.
const choreMax = 2000

// stable is what every member is known to hold: it need not be kept for any of them (rule B7).
func (r *Replica) stable() Vector {
	v := slices.Clone(r.meta.vector)
	for _, p := range r.peers {
		if p.gone {
			continue // it will never ask
		}
		if r.options.Mutation == TruncateEarly {
			v.Merge(lowest(r.meta.vector, p.known))
			continue
		}
		v = lowest(v, p.known)
	}
	return v
}

// settled is what every write that is still to come follows: its writer has seen all of it, so the write wins over it, and
// nothing that it won over can come back (rule B10).
func (r *Replica) settled() Vector {
	v := slices.Clone(r.meta.vector)
	for _, p := range r.peers {
		if _, is := r.meta.member(p.id); !is {
			continue // it has written nothing, and what it will write follows the write by which it joins
		}
		r.settle(p)
		switch r.options.Mutation {
		case DropTombstones:
		case DropUnsettled:
			v = lowest(v, p.known)
		default:
			v = lowest(v, p.settled)
		}
	}
	return v
}

// doChores forgets what nobody needs. These changes of the state are no fold of the log; should a crash take them back, they
// are made again.
func (r *Replica) doChores() {
	if r.transfer.running() || r.cells.changed() || len(r.out.State) > 0 {
		return
	}
	r.chores.behind = false
	if !r.suspect {
		r.truncate()
	}
	if !r.spill() {
		r.chores.behind = true
	}
	if r.suspect {
		return
	}
	settled := r.settled()
	r.forgetRemoved(settled)
	r.forgetExpired(settled)
	r.forgetCuts()
}

// truncate drops writes that every member holds, beyond some for people to look at, and the oldest ones if there are too many.
func (r *Replica) truncate() {
	stable := r.stable()
	if !r.logFull() && stable.Equal(r.chores.truncated) || !r.longLog() {
		return
	}
	if r.dropFromState(stable) {
		r.chores.behind = true
		return
	}
	// What is in the state is older, replica by replica.
	r.dropFromMemory(stable)
	r.chores.truncated = stable
}

// dropFromState is truncate for what is in the state; it reports whether there may be more.
func (r *Replica) dropFromState(stable Vector) (more bool) {
	if r.meta.logCount == 0 {
		return false
	}
	looked := 0
	var run, end []byte // from the beginning of the log to a write that stays
	unbroken := true
	r.in.View.Scan(r.logFrom(), []byte{logKind + 1}, func(key, raw []byte) bool {
		d := dotOfKey(key)
		if looked++; looked > truncateMax || !r.longLog() {
			return false
		}
		if !r.logFull() && !stable.Has(d) || r.ordering.on && !r.ordering.state.base.Has(d) {
			unbroken = false
			return true
		}
		if unbroken {
			if run == nil {
				run = slices.Clone(key)
			}
			end = append(append(end[:0], key...), 0)
		} else {
			r.cells.delete(slices.Clone(key))
		}
		r.meta.dropped.Raise(d.Replica, d.Stamp)
		r.meta.logCount--
		r.meta.logBytes -= uint64(len(raw))
		r.metaChanged = true
		return true
	})
	if run != nil {
		r.cells.deleteRange(run, end)
		r.chores.logFrom = end
	}
	return looked > truncateMax
}

// logFrom is where the write log begins.
func (r *Replica) logFrom() []byte {
	if r.chores.logFrom == nil {
		return []byte{logKind}
	}
	return r.chores.logFrom
}

// forgetRemoved drops deletions that nothing to come can be older than (trap T4.13).
func (r *Replica) forgetRemoved(settled Vector) {
	looked := 0
	r.in.View.Scan([]byte{removedKind}, []byte{removedKind + 1}, func(key, _ []byte) bool {
		if looked++; looked > choreMax {
			return false
		}
		if d := dotOfKey(key); settled.Has(d) {
			key = slices.Clone(key)
			r.forget(key[13:], func(rec *record) bool { return rec.base == d && rec.gone })
			r.cells.delete(key)
		}
		return true
	})
}

// forgetExpired drops what has ended by this node's clock, under the same condition. While the replica rests the clock may stand
// still: then it is wanted again.
func (r *Replica) forgetExpired(settled Vector) {
	now := r.in.Stamp.UnixMilli()
	looked := 0
	r.in.View.Scan([]byte{expiryKind}, expiryKey(max(now, r.in.Wall)+1, nil), func(key, _ []byte) bool {
		if looked++; looked > choreMax {
			return false
		}
		at, name := int64(binary.BigEndian.Uint64(key[1:])), slices.Clone(key[9:])
		rec := r.cells.at(name)
		switch due := rec.expireAt != at || settled.Has(rec.base); {
		case due && at > now:
			r.asked = r.in.Now
			return false
		case due:
			r.forget(name, func(rec *record) bool { return rec.expireAt == at })
			r.cells.delete(slices.Clone(key))
		}
		return true
	})
}

// forget takes the base of a record away.
func (r *Replica) forget(key []byte, due func(*record) bool) {
	one := r.cells.cell(key)
	if due(&one.rec) {
		one.rec.forget()
		one.touched, r.cells.touched = true, true
	}
}
