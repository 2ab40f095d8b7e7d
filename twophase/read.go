package twophase

import (
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// permitted says that this replica may answer reads alone (rule W8): it is a member, and until the lease of its node is over no
// configuration leaves it out; so whatever was committed anywhere is prepared here.
func (r *Replica) permitted() bool {
	return r.member() && !r.staging.Ready() && (r.lease > r.now || r.options.Mutation == IgnoreLease)
}

// Reads says that this replica takes reads although another one may coordinate.
func (r *Replica) Reads() bool { return r.permitted() }

// ReadUntil is until when the state may be read without a Step: not while anything is in flight, for a batch that is prepared
// here may be committed, and then shown by others, before this replica hears of it.
func (r *Replica) ReadUntil() core.Time {
	if !r.member() || r.staging.Ready() || (r.slots.open() && r.options.Mutation != ReadInFlight) {
		return 0
	}
	if r.options.Mutation == IgnoreLease {
		return r.now + 3600e9
	}
	return r.lease
}

// open says whether a slot behind the state may still change it.
func (l *slots) open() bool {
	for _, s := range l.list {
		if s != nil && !s.aborted {
			return true
		}
	}
	return false
}

// read answers a read from the state, if this replica may and nothing that it reads is in flight; it waits for what is. Without a
// lease, and where a key may have ended, it takes a place among the writes.
func (r *Replica) read(q core.Request) {
	var c kv.Command
	if err := kv.DecodeCommand(q.Command, &c); err != nil {
		// Early: it answers the request itself, whatever the state.
		r.out.ReplyEarly(q.ID, kv.Result{Code: kv.Invalid, Detail: "command: " + err.Error()})
		return
	}
	if c.Level == kv.LevelEventual && !r.suspect {
		result, _, needsLog := machine.ReadAt(r.in.View, &c, 0)
		if result.Level = c.Level; !needsLog {
			r.reply(q, result)
			return
		}
	}
	if len(r.out.State) > 0 {
		r.reads = append(r.reads, q) // what this Step changes is not in view yet
		return
	}
	if !r.tryRead(q, &c) {
		r.reads = append(r.reads, q)
	}
}

func (r *Replica) reply(q core.Request, result kv.Result) {
	// Early: the state that was read is final; the answer promises nothing about this node's memory.
	r.out.ReplyEarly(q.ID, result)
}

// tryRead ends a read unless it has to wait.
func (r *Replica) tryRead(q core.Request, c *kv.Command) (ended bool) {
	result, how := r.look(c)
	switch how {
	case waits:
		return false
	case answered:
		r.reply(q, result)
	default:
		r.enqueue(q)
	}
	return true
}

// How a read goes.
type how uint8

const (
	answered how = iota
	waits        // for the outcome of a batch
	ordered      // it needs a place among the writes
)

// look answers a read from the state, if it may be answered so. It changes nothing.
func (r *Replica) look(c *kv.Command) (kv.Result, how) {
	switch {
	case !r.permitted():
		return kv.Result{}, ordered
	case r.inFlight(c) && r.options.Mutation != ReadInFlight:
		return kv.Result{}, waits
	}
	result, ok := Read(r.in.View, c, max(r.in.Stamp, r.latestTime()))
	if r.options.Mutation == ExpireByLogTime {
		result, needsLog := machine.Read(r.in.View, c, max(r.in.Stamp, r.latestTime()))
		return result, map[bool]how{true: ordered, false: answered}[needsLog]
	}
	if !ok {
		return kv.Result{}, ordered
	}
	return result, answered
}

// Read answers a command that changes nothing from a state that may be read (core.Leased), from any goroutine. ok is false if it
// needs a place among the writes: a key has ended by the reader's clock, or by the time of a batch here. Elsewhere that batch
// may not be applied, and the key would be found there after it was missing here; only a batch that touches the key may end it.
func Read(view core.View, c *kv.Command, now kv.HLC) (r kv.Result, ok bool) {
	r, needsLog := machine.Read(timeless{view}, c, max(now, machine.LogTime(view)))
	return r, !needsLog
}

// timeless is a state that says nothing about the time of the log.
type timeless struct{ core.View }

// Get reads a key.
func (v timeless) Get(key []byte) ([]byte, bool) { return timelessValue(v.View, key) }

// Snapshot keeps the state as it is now.
func (v timeless) Snapshot() core.Snapshot { return timelessSnapshot{v.View.Snapshot()} }

type timelessSnapshot struct{ kept core.Snapshot }

// Get reads a key.
func (v timelessSnapshot) Get(key []byte) ([]byte, bool) { return timelessValue(v.kept, key) }

// Scan calls f with each pair of from <= key < to.
func (v timelessSnapshot) Scan(from, to []byte, f func(key, value []byte) bool) {
	v.kept.Scan(from, to, f)
}

// Snapshot keeps the same state.
func (v timelessSnapshot) Snapshot() core.Snapshot { return timelessSnapshot{v.kept.Snapshot()} }

// Close ends it.
func (v timelessSnapshot) Close() { v.kept.Close() }

func timelessValue(view core.View, key []byte) ([]byte, bool) {
	b, ok := view.Get(key)
	if ok && len(b) == metaSize && string(key) == string(core.AppliedKey) {
		b = binary.BigEndian.AppendUint64(append([]byte{}, b[:8]...), 0)
	}
	return b, ok
}

// serveReads tries again what waits. What this Step changes is not in view yet.
func (r *Replica) serveReads() {
	if len(r.reads) == 0 {
		return
	}
	if len(r.out.State) > 0 {
		r.out.Again = true
		return
	}
	kept := r.reads[:0]
	for _, q := range r.reads {
		var c kv.Command
		if err := kv.DecodeCommand(q.Command, &c); err != nil {
			panic("twophase: a read that waited does not decode: " + err.Error())
		}
		if !r.tryRead(q, &c) {
			kept = append(kept, q)
		}
	}
	clear(r.reads[len(kept):])
	r.reads = kept
}

// forgetReads forgets those whose clients have been answered by their nodes.
func (r *Replica) forgetReads() {
	kept := r.reads[:0]
	for _, q := range r.reads {
		if q.Deadline == 0 || q.Deadline > r.in.Now {
			kept = append(kept, q)
		}
	}
	clear(r.reads[len(kept):])
	r.reads = kept
}
