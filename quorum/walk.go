package quorum

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// walkRecords is how many records one Step of a walk looks at, walkPause how long it leaves the node to others afterwards.
const (
	walkRecords = 1000
	walkPause   = core.Time(2e6)
)

// walk goes over the whole state, a part at a time: after a start to sum it up, later to forget what is dead.
type walk struct {
	at       core.Time // 0: nothing to do
	snapshot core.Snapshot
	from     []byte
	// line is that of the sweep under way, swept that of the last one.
	line, swept kv.HLC
}

func (w *walk) deadline() core.Time {
	if w.at == 0 {
		return never
	}
	return w.at
}

// walkOn does a part of what there is to do.
func (r *Replica) walkOn() {
	w := &r.walk
	if w.at == 0 || w.at > r.in.Now {
		return
	}
	w.at = r.in.Now + walkPause
	switch {
	case !r.tree.built:
		r.sumUp()
	case w.line > w.swept:
		r.sweep()
	default:
		w.at = 0
	}
}

// sumUp builds the tree from a snapshot; whatever changes meanwhile is added to it and taken from it as it changes.
func (r *Replica) sumUp() {
	w := &r.walk
	if w.snapshot == nil {
		w.snapshot, w.from = r.in.View.Snapshot(), []byte{DataKind}
		r.tree = tree{}
	}
	n := 0
	more := false
	w.snapshot.Scan(w.from, []byte{DataKind + 1}, func(key, record []byte) bool {
		if n == walkRecords {
			more, w.from = true, bytes.Clone(key)
			return false
		}
		r.tree.change(xxhash.Sum64(key), gist{}, gistOf(key, record))
		n++
		return true
	})
	if !more {
		w.snapshot.Close()
		w.snapshot, r.tree.built = nil, true
		r.sweepTo(r.disk.shown.Purge)
	}
}

// sweepTo begins to forget what is dead below a line.
func (r *Replica) sweepTo(line kv.HLC) {
	w := &r.walk
	if r.tree.built && line > w.line {
		w.line, w.from, w.at = line, []byte{DataKind}, r.in.Now
	}
}

// sweep forgets a part of what is dead. It is not logged: the line is, and after a crash the sweep begins anew.
func (r *Replica) sweep() {
	w := &r.walk
	n, more := 0, false
	r.in.View.Scan(w.from, []byte{DataKind + 1}, func(key, record []byte) bool {
		if n == walkRecords {
			more, w.from = true, bytes.Clone(key)
			return false
		}
		n++
		if _, busy := r.disk.pending[string(key)]; !busy && dead(record, w.line) {
			gone := bytes.Clone(key)
			r.out.State = append(r.out.State, core.Change{Kind: core.Delete, Key: gone})
			hash := xxhash.Sum64(gone)
			r.tree.change(hash, gistOf(gone, record), gist{})
			r.recent.put(gone, hash, gist{}, r.options.RecentKeys)
		}
		return true
	})
	if !more {
		w.swept = w.line
	}
}
