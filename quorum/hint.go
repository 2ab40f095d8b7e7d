package quorum

import (
	"bytes"
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// hintBatch bounds the hints of one message.
const hintBatch = 256 << 10

// hinted is what is kept for one member that missed writes (rule Q6). A hint is no replica: it never counts (trap T3.2).
type hinted struct {
	count    int
	bytes    int64
	oldest   kv.HLC
	sending  bool
	replayAt core.Time
}

func (h *hinted) add(created kv.HLC, size int) {
	if h.count == 0 {
		h.oldest = created
	}
	h.count++
	h.bytes += int64(size)
}

// replay is hints on their way, by the positions of the records that brought them: what is added meanwhile stays (trap T3.2).
type replay struct {
	member    int
	positions []uint64
	bytes     int64
}

// keepsHints says for whom of some members hints are kept. For who was away for too long, or missed too much, it is noted that
// anti-entropy has to do what the hints will not.
func (r *Replica) keepsHints(away mask) (keep mask) {
	drop := mask(0)
	for m := away; m != 0; m &= m - 1 {
		i := m.first()
		h := &r.hints[i]
		age := core.Time(r.in.Wall-h.oldest.UnixMilli()) * 1e6
		if h.count > 0 && (age > r.options.HintWindow || h.bytes >= r.options.HintBytes) {
			drop = drop.with(i)
		} else {
			keep = keep.with(i)
		}
	}
	r.fallBehind(drop)
	return keep
}

func (r *Replica) fallBehind(m mask) {
	for _, id := range r.members(m.less(r.disk.meta.Behind)) {
		r.out.Note(HintsDroppedNote{id})
	}
	r.setMeta(func(d *meta) { d.Behind |= m })
	r.compareSoon(m)
}

// replayHints sends to those who are back what was kept for them: in order, one message at a time, no faster than the limit.
func (r *Replica) replayHints() {
	for i := range r.places {
		if h := &r.hints[i]; r.up.has(i) && h.count > 0 && !h.sending && h.replayAt <= r.in.Now {
			r.replayTo(i, h)
		}
	}
}

func (r *Replica) replayTo(i int, h *hinted) {
	p := &replay{member: i}
	var list items
	r.in.View.Scan(hintKey(i, 0), hintKey(i+1, 0), func(key, value []byte) bool {
		if len(list) > 0 && len(list)+len(value) > hintBatch {
			return false
		}
		if len(list) == 0 {
			h.oldest = kv.HLC(binary.BigEndian.Uint64(value))
		}
		list = append(list, value[8:]...)
		p.positions = append(p.positions, binary.BigEndian.Uint64(key[2:]))
		p.bytes += int64(len(value) + 3)
		return true
	})
	if len(p.positions) == 0 { // they are not durable yet
		h.replayAt = r.in.Now + core.Time(50e6)
		return
	}
	h.sending, h.replayAt = true, never
	r.coordinate(&batch{source: FromHint, items: list, targets: mask(0).with(i), hint: p}, 0)
}

// HintsFor names the members for whom hints about a key of the state are kept here.
func (r *Replica) HintsFor(view core.View, key []byte) (list []core.ReplicaID) {
	var found mask
	view.Scan([]byte{hintKind}, []byte{hintKind + 1}, func(k, value []byte) bool {
		items(value[8:]).each(func(_ int, hinted, _ []byte) {
			if bytes.Equal(hinted, key) {
				found = found.with(int(k[1]))
			}
		})
		return true
	})
	return r.members(found)
}

// hintsAnswered takes the answer of the member that they are for. What is older than its line it does not need; whatever else
// it refuses is sent again.
func (r *Replica) hintsAnswered(b *batch, refused []Refusal) {
	for _, f := range refused {
		if f.Reason != BelowLine {
			h := &r.hints[b.hint.member]
			h.sending, h.replayAt = false, r.in.Now+r.options.WriteWithin
			return
		}
	}
	r.hintsArrived(b)
}

// hintsArrived forgets the hints that a member has on disk, or refused as older than the last repair: no others.
func (r *Replica) hintsArrived(b *batch) {
	p := b.hint
	h := &r.hints[p.member]
	h.sending = false
	h.replayAt = r.in.Now + core.Time(float64(p.bytes)/float64(r.options.HintRate)*1e9)
	w := writer{wire.Writer{B: append([]byte{logVersion}, byte(p.member))}}
	e := entry{pos: r.disk.pos + 1}
	for _, pos := range p.positions {
		w.Fixed(pos)
		e.hints = append(e.hints, core.Change{Kind: core.Delete, Key: hintKey(p.member, pos)})
	}
	h.count -= len(p.positions)
	h.bytes -= p.bytes
	if r.options.Mutation == DropByTarget {
		e.hints = append(e.hints, core.Change{Kind: core.DeleteRange, Key: hintKey(p.member, 0), End: hintKey(p.member+1, 0)})
		h.count, h.bytes = 0, 0
	}
	r.write(e, recordDone, w.B)
	if h.count == 0 {
		h.oldest, h.bytes = 0, 0
		r.out.Note(HintsReplayedNote{r.places[p.member]})
	}
}
