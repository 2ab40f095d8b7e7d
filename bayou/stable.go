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
	if r.transfer.running() || r.suspect || r.cells.changed() || len(r.out.State) > 0 {
		return
	}
	r.truncate()
	settled := r.settled()
	r.forgetRemoved(settled)
	r.forgetExpired(settled)
	r.forgetCuts()
}

// truncate drops writes that every member holds, beyond some for people to look at, and the oldest ones if there are too many.
func (r *Replica) truncate() {
	stable := r.stable()
	full := r.meta.logBytes > r.options.LogBytes
	if !full && stable.Equal(r.chores.truncated) || r.meta.logCount <= r.options.KeepWrites {
		return
	}
	looked := 0
	var run, end []byte // from the beginning of the log to a write that stays
	unbroken := true
	r.in.View.Scan(r.logFrom(), []byte{logKind + 1}, func(key, raw []byte) bool {
		d := dotOfKey(key)
		full = r.meta.logBytes > r.options.LogBytes
		if looked++; looked > truncateMax || r.meta.logCount <= r.options.KeepWrites {
			return false
		}
		if !full && !stable.Has(d) || r.ordering.on && !r.ordering.state.base.Has(d) {
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
	if r.chores.behind = looked > truncateMax; !r.chores.behind {
		r.chores.truncated = stable
	}
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
