package twophase

import (
	"errors"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
)

// Kinds of records in the node's log.
const (
	recordHard     = 1 // what must survive besides slots
	recordPrepared = 2
	recordAborted  = 3
)

const recordVersion = 1

// hard is what must survive besides slots.
type hard struct {
	// self is the replica that wrote it: another one of the same group may have lived on this disk before (rule M5).
	self    core.ReplicaID
	suspect bool
	joined  uint64
	fenced  Config
}

func appendHard(b []byte, h hard) []byte {
	w := wire.Writer{B: append(b, recordVersion)}
	w.Uint(uint64(h.self))
	w.Bool(h.suspect)
	w.Uint(h.joined)
	w.Bool(h.fenced.Epoch > 0)
	if h.fenced.Epoch > 0 {
		w.B = h.fenced.AppendTo(w.B)
	}
	return w.B
}

var errRecord = errors.New("malformed record")

func decodeHard(b []byte) (h hard, err error) {
	r := wire.Reader{B: b}
	version := r.Byte()
	h.self, h.suspect, h.joined = core.ReplicaID(r.Uint()), r.Bool(), r.Uint()
	fenced := r.Bool()
	if r.Bad || version != recordVersion {
		return h, errRecord
	}
	if fenced {
		h.fenced, err = DecodeConfig(r.B)
	} else if len(r.B) > 0 {
		err = errRecord
	}
	return h, err
}

// era is the replica that wrote a slot, and the epoch in which it was filled last by then: what it held before that counts no more,
// whatever becomes of the record that says so.
type era struct {
	self   core.ReplicaID
	joined uint64
}

// appendSlot encodes a slot: up to where slots are final, and the batch.
func appendSlot(b []byte, e era, resolved uint64, batch []byte) []byte {
	w := wire.Writer{B: append(b, recordVersion)}
	w.Uint(uint64(e.self))
	w.Uint(e.joined)
	w.Uint(resolved)
	w.B = append(w.B, batch...)
	return w.B
}

func decodeSlot(rec core.Record) (s *slot, e era, resolved uint64, err error) {
	r := wire.Reader{B: rec.Body}
	version := r.Byte()
	e.self, e.joined, resolved = core.ReplicaID(r.Uint()), r.Uint(), r.Uint()
	if r.Bad || version != recordVersion {
		return nil, e, 0, errRecord
	}
	s = &slot{n: rec.Pos, aborted: rec.Kind == recordAborted}
	if !s.aborted {
		s.batch, err = decodeBatch(r.B)
	}
	return s, e, resolved, err
}

// Writer is the replica that wrote the last of the records that say whose they are; 0: none does.
func Writer(records []core.Record) core.ReplicaID {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].Kind == recordHard {
			if h, err := decodeHard(records[i].Body); err == nil {
				return h.self
			}
		}
	}
	return 0
}

// start begins with nothing. What it is started with is the catalog's first word.
func (r *Replica) start(config []byte) {
	r.deadline = r.in.Now + r.options.Heartbeat
	r.writeHard()
	r.configured(config)
}

// recover folds the records of the log over what the state holds.
func (r *Replica) recover(e core.Recover) {
	r.deadline = r.in.Now + r.options.Heartbeat
	if b, ok := r.in.View.Get(core.AppliedKey); ok {
		at := decodeMeta(b)
		r.applied, r.time = at.n, at.time
		r.sums.reset(at.n, at.sum)
	}
	r.resolved = r.applied
	r.slots.reset(r.applied)
	final, lost := r.applied, e.Suspect || !r.replayHard(e.Records)
	for _, rec := range e.Records {
		resolved, err := r.replay(rec)
		lost = lost || err != nil
		final = max(final, resolved)
	}
	r.resolve(final)
	if r.options.Mutation == ForgetAtRestart {
		r.forgetDoubts()
	}
	if lost && !r.suspect {
		r.suspect = true
		r.out.Note(SuspectNote{})
	}
	r.heard, r.patience = r.in.Now, r.drawPatience()
	r.writeHard()
	r.out.Again = r.applied < r.resolved
}

// replayHard takes the last record of its kind back; whole is false if it is not what was written. What another replica wrote on
// this disk before is none of this one's (rule M5).
func (r *Replica) replayHard(records []core.Record) (whole bool) {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].Kind != recordHard {
			continue
		}
		h, err := decodeHard(records[i].Body)
		if err == nil && h.self == r.self {
			r.fenced, r.suspect, r.joined = h.fenced, h.suspect, h.joined
		}
		return err == nil
	}
	return true
}

// replay puts a slot back, unless it was written before this replica was filled anew.
func (r *Replica) replay(rec core.Record) (resolved uint64, err error) {
	if rec.Kind == recordHard {
		return 0, nil
	}
	r.held = max(r.held, rec.Pos)
	if rec.Kind != recordPrepared && rec.Kind != recordAborted {
		panic(fmt.Sprintf("twophase: log record of kind %d", rec.Kind))
	}
	s, written, resolved, err := decodeSlot(rec)
	if err != nil || written != (era{r.self, r.joined}) {
		return 0, err
	}
	if s.n > r.applied {
		r.slots.put(s)
	}
	return resolved, nil
}

// forgetDoubts is what ForgetAtRestart does.
func (r *Replica) forgetDoubts() {
	for n := r.resolved + 1; n <= r.slots.last(); n++ {
		r.abortHere(n)
	}
}

// SuspectNote tells that the replica found its disk damaged.
type SuspectNote struct{}

// String is a line of a trace.
func (SuspectNote) String() string { return "is suspect" }
