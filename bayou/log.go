package bayou

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// writeLog is the part of the write log that is in memory alone: what was applied in the last seconds. Most of it is known to be
// everywhere before it is older, and is never written to the state, where the rest of the write log lies. The node's log has it
// as long: the state counts records as covered only up to the first of which something is here (see covered), so after a crash
// it is read from there again.
//
// A group with a commit order keeps all of its write log in the state, as it executes writes anew from there.
type writeLog struct {
	tails []tail // by replica
	// records are those of which something is here, by position.
	records []*logRecord
	count   uint64
	bytes   uint64
}

// tail is what is here of one replica, in the order of its stamps; it is older than nothing of that replica in the state.
type tail struct {
	replica core.ReplicaID
	writes  []logEntry
}

type logEntry struct {
	stamp  kv.HLC
	raw    []byte
	record *logRecord
}

// logRecord is a record of the node's log.
type logRecord struct {
	pos  uint64
	at   core.Time // when it was applied
	left int       // of its writes, those that are here
}

// add takes a write that was applied; of one replica they come in the order of its stamps.
func (l *writeLog) add(w *Write, pos uint64, now core.Time) {
	if n := len(l.records); n == 0 || l.records[n-1].pos != pos {
		l.records = append(l.records, &logRecord{pos: pos, at: now})
	}
	record := l.records[len(l.records)-1]
	record.left++
	i, ok := slices.BinarySearchFunc(l.tails, w.Replica, func(t tail, id core.ReplicaID) int { return cmp.Compare(t.replica, id) })
	if !ok {
		l.tails = slices.Insert(l.tails, i, tail{replica: w.Replica})
	}
	l.tails[i].writes = append(l.tails[i].writes, logEntry{w.Stamp, w.raw, record})
	l.count++
	l.bytes += uint64(len(w.raw))
}

// take takes the first write of a tail away.
func (l *writeLog) take(t *tail) (e logEntry) {
	e, t.writes[0] = t.writes[0], logEntry{}
	t.writes = t.writes[1:]
	e.record.left--
	for len(l.records) > 0 && l.records[0].left == 0 {
		l.records[0] = nil
		l.records = l.records[1:]
	}
	l.count--
	l.bytes -= uint64(len(e.raw))
	return e
}

// covered is the position up to which the node's log is not needed any more, where the state is a fold of it up to applied.
func (l *writeLog) covered(applied uint64) uint64 {
	if len(l.records) > 0 {
		return l.records[0].pos - 1
	}
	return applied
}

// cursor walks through writes in memory, in the order of writes.
type cursor struct{ rest []tail }

// from is a cursor at the first write at or behind a dot.
func (l *writeLog) from(d Dot) (c cursor) {
	for _, t := range l.tails {
		i, _ := slices.BinarySearchFunc(t.writes, d, func(e logEntry, d Dot) int { return Dot{e.stamp, t.replica}.Compare(d) })
		if i < len(t.writes) {
			c.rest = append(c.rest, tail{t.replica, t.writes[i:]})
		}
	}
	return c
}

// peek is the next write; false: there is none.
func (c *cursor) peek() (d Dot, raw []byte, ok bool) {
	for i := range c.rest {
		t := &c.rest[i]
		if len(t.writes) == 0 {
			continue
		}
		if one := (Dot{t.writes[0].stamp, t.replica}); !ok || one.Compare(d) < 0 {
			d, raw, ok = one, t.writes[0].raw, true
		}
	}
	return d, raw, ok
}

// skip goes behind the write that peek has shown.
func (c *cursor) skip(d Dot) {
	for i := range c.rest {
		if t := &c.rest[i]; t.replica == d.Replica {
			t.writes = t.writes[1:]
		}
	}
}

// eachLogged calls f with the writes of the log at and behind a dot, in the order of writes, until f returns false. What is not in
// memory is borrowed for the call.
func (r *Replica) eachLogged(from Dot, f func(d Dot, raw []byte) bool) {
	c := r.log.from(from)
	more := true
	upTo := func(end Dot) {
		for d, raw, ok := c.peek(); more && ok && d.Compare(end) < 0; d, raw, ok = c.peek() {
			c.skip(d)
			more = f(d, raw)
		}
	}
	if r.meta.logCount > 0 {
		r.in.View.Scan(dotKey(logKind, from, nil), []byte{logKind + 1}, func(key, raw []byte) bool {
			d := dotOfKey(key)
			upTo(d)
			more = more && f(d, raw)
			return more
		})
	}
	upTo(Dot{Stamp: ^kv.HLC(0)})
}

// logSize is how many writes the log holds, and their bytes.
func (r *Replica) logSize() (count, bytes uint64) {
	return r.meta.logCount + r.log.count, r.meta.logBytes + r.log.bytes
}

// logFull says that writes leave the log although some member may lack them.
func (r *Replica) logFull() bool {
	_, bytes := r.logSize()
	return bytes > r.options.LogBytes
}

// longLog says that the log holds more writes than it keeps for people to look at.
func (r *Replica) longLog() bool {
	count, _ := r.logSize()
	return count > r.options.KeepWrites
}

// logInState puts a write of the log into the state.
func (r *Replica) logInState(d Dot, raw []byte) {
	key := dotKey(logKind, d, nil)
	if bytes.Compare(key, r.chores.logFrom) < 0 {
		r.chores.logFrom = key
	}
	r.cells.put(key, raw)
	r.meta.logCount++
	r.meta.logBytes += uint64(len(raw))
	r.metaChanged = true
}

// spillMax bounds the bytes that are moved to the state in a Step.
const spillMax = 1 << 20

// spill moves what was in memory for long to the state, record by record: some member is away, or nothing more is written. It reports
// whether that is all.
func (r *Replica) spill() (all bool) {
	for moved := 0; len(r.log.records) > 0; {
		oldest := r.log.records[0]
		switch {
		case r.in.Now < oldest.at+r.options.MemoryTime && r.log.bytes <= r.options.MemoryBytes:
			return true
		case moved >= spillMax:
			return false
		}
		moved += r.spillRecord(oldest)
	}
	return true
}

// spillRecord moves what is here of the oldest record: it comes first in each tail.
func (r *Replica) spillRecord(oldest *logRecord) (moved int) {
	for i := range r.log.tails {
		t := &r.log.tails[i]
		for len(t.writes) > 0 && t.writes[0].record == oldest {
			e := r.log.take(t)
			r.logInState(Dot{e.stamp, t.replica}, e.raw)
			moved += len(e.raw)
		}
	}
	return moved
}

// spillAll moves all to the state, which is about to be replaced.
func (r *Replica) spillAll() {
	for len(r.log.records) > 0 {
		r.spillRecord(r.log.records[0])
	}
}

// dropFromMemory lets writes leave that every member holds, the oldest first, or any while the log is full.
func (r *Replica) dropFromMemory(stable Vector) {
	for r.longLog() {
		full := r.logFull()
		var oldest *tail
		for i := range r.log.tails {
			t := &r.log.tails[i]
			if len(t.writes) == 0 || !full && !stable.Has(Dot{t.writes[0].stamp, t.replica}) {
				continue
			}
			if oldest == nil || t.first().Compare(oldest.first()) < 0 {
				oldest = t
			}
		}
		if oldest == nil {
			return
		}
		e := r.log.take(oldest)
		r.meta.dropped.Raise(oldest.replica, e.stamp)
		r.metaChanged = true
	}
}

func (t *tail) first() Dot { return Dot{t.writes[0].stamp, t.replica} }

// Newest takes hold of the writes in the log that are in memory. The function that it returns may be called later and elsewhere, with
// the replica's state: it returns the last writes of the log, at most limit, in the order of writes.
func (r *Replica) Newest(limit int) func(view core.View) []*Write {
	var held []tail
	for _, t := range r.log.tails {
		held = append(held, tail{t.replica, slices.Clone(t.writes[max(0, len(t.writes)-limit):])})
	}
	return func(view core.View) []*Write { return newest(view, held, limit) }
}

func newest(view core.View, held []tail, limit int) (list []*Write) {
	s := view.Snapshot()
	defer s.Close()
	raws := map[Dot][]byte{} // some may have been moved to the state meanwhile
	for _, t := range held {
		for _, e := range t.writes {
			raws[Dot{e.stamp, t.replica}] = e.raw
		}
	}
	var dots []Dot
	s.Scan([]byte{logKind}, []byte{logKind + 1}, func(key, raw []byte) bool {
		dots = append(dots, dotOfKey(key))
		raws[dots[len(dots)-1]] = slices.Clone(raw)
		if len(dots) == 2*limit {
			for _, d := range dots[:limit] {
				delete(raws, d)
			}
			dots = append(dots[:0], dots[limit:]...)
		}
		return true
	})
	dots = dots[:0]
	for d := range raws { // order does not matter: they are sorted
		dots = append(dots, d)
	}
	slices.SortFunc(dots, Dot.Compare)
	for _, d := range dots[max(0, len(dots)-limit):] {
		if w, err := decodeWrite(raws[d]); err == nil {
			list = append(list, w)
		}
	}
	return list
}
