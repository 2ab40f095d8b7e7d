package bayou

import (
	"bytes"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// transferMax is how long a replica waits for the next part of a state before it begins anew.
const transferMax = 5000 * millisecond

// sending is the state that a peer is being sent, as it was at one moment.
type sending struct {
	snapshot core.Snapshot
	meta     []byte
	vector   Vector
	// order is how far the commit order is, if there is one: of the log only what is tentative is sent.
	order *orderState
}

func (p *peer) stopSending() {
	if p.sending != nil {
		p.sending.snapshot.Close()
		p.sending = nil
	}
}

// transferEnd is the first key behind what a transfer carries: the records and the two indices; in a group with a commit order also
// the log, and before that the cuts.
func (r *Replica) transferEnd() []byte {
	if r.ordering.on {
		return []byte{logKind + 1}
	}
	return []byte{expiryKind + 1}
}

// startSending begins to send the state to a peer that lacks writes which the log has no more (rule B7).
func (r *Replica) startSending(p *peer, m Pull) {
	p.stopSending()
	s := &sending{snapshot: r.in.View.Snapshot(), vector: slices.Clone(r.meta.vector)}
	raw, ok := s.snapshot.Get(metaKey)
	if !ok {
		s.snapshot.Close()
		return
	}
	s.meta = raw
	if r.ordering.on {
		o := readOrder(s.snapshot)
		s.order = &o
	}
	p.sending = s
	r.page(p, m.Life, []byte{dataKind})
}

// sendPage sends the part that is asked for, of the same state as the parts before, or the first part of another one.
func (r *Replica) sendPage(p *peer, m Pull) {
	if p.sending == nil || !p.sending.vector.Equal(m.At) {
		r.startSending(p, m)
		return
	}
	r.page(p, m.Life, m.Page)
}

func (r *Replica) page(p *peer, answer uint64, from []byte) {
	m := Page{Answer: answer, Meta: p.sending.meta, From: from}
	order := p.sending.order
	if order != nil {
		m.Order = order.appendTo(nil)
	}
	size := 0
	p.sending.snapshot.Scan(from, r.transferEnd(), func(key, value []byte) bool {
		if key[0] == core.AppliedKey[0] || order != nil && key[0] == logKind && order.base.Has(dotOfKey(key)) {
			return true
		}
		if size >= r.options.ChunkBytes {
			m.Next = slices.Clone(key)
			return false
		}
		m.Pairs = append(m.Pairs, Pair{slices.Clone(key), slices.Clone(value)})
		size += len(key) + len(value)
		return true
	})
	// Early: the state shows only what is durable.
	r.out.SendEarly(p.id, m)
	if len(m.Next) == 0 && len(from) > 1 {
		p.stopSending()
	}
}

// transfer is a state that is being received. What this replica holds and what the peer sends are merged beside the state,
// which is read meanwhile and replaced by the result at once; until then nothing is written here.
type transfer struct {
	from  *peer
	phase transferPhase
	meta  meta // the peer's
	order orderState
	next  []byte // the key at which the next part begins, or the place in this replica's log
	moved core.Time
}

type transferPhase uint8

const (
	idle transferPhase = iota
	receiving
	keeping // what is in the log of this replica
	installing
	installed
)

func (t *transfer) running() bool { return t.phase != idle }

// lose ends a transfer whose sender is gone, if that matters any more.
func (t *transfer) lose(p *peer) {
	if t.from == p && t.phase == receiving {
		*t = transfer{}
	}
}

// onPage merges a part of a peer's state with what this replica has between the same keys.
func (r *Replica) onPage(p *peer, m Page) {
	t := &r.transfer
	theirs, _ := parseMeta(m.Meta)
	order, ordered := parseOrder(m.Order)
	if m.Answer != r.life || theirs.binding != r.meta.binding || ordered != r.ordering.on {
		return
	}
	if first := len(m.From) == 1 && m.From[0] == dataKind; first && (t.phase == idle || t.phase == receiving && t.from == p && !t.same(theirs.vector, &order)) {
		if r.underWay() || !r.gains(theirs.vector, &order) {
			return
		}
		r.spillAll()
		*t = transfer{from: p, phase: receiving, meta: theirs, order: order, next: m.From}
		r.out.State = append(r.out.State, core.Change{Kind: core.Unstage})
	}
	if t.phase != receiving || t.from != p || !bytes.Equal(t.next, m.From) {
		return
	}
	if !t.same(theirs.vector, &order) {
		if r.ordering.on {
			*t = transfer{} // the peer has begun anew, with as many writes and more of them committed
		}
		return
	}
	r.hear(p, theirs.vector)
	r.stage(m)
	t.next, t.moved = m.Next, r.in.Now
	if len(m.Next) > 0 {
		r.askPage()
		return
	}
	t.phase, t.next = keeping, []byte{logKind}
	if r.ordering.on { // the log came with the rest
		t.phase = installing
	}
	r.out.Again = true
}

// same says that a part is of the state that the parts before were of.
func (t *transfer) same(theirs Vector, order *orderState) bool {
	return t.meta.vector.Equal(theirs) && t.order.cut == order.cut && t.order.count == order.count
}

// gains says that a peer's state has something that this replica lacks: writes, or cuts. In the commit order it must not be behind.
func (r *Replica) gains(theirs Vector, order *orderState) bool {
	more := !r.held.Covers(theirs)
	if !r.ordering.on {
		return more
	}
	mine := &r.ordering.state
	if order.stale || order.cut < mine.cut || order.cut == mine.cut && order.done.Compare(mine.done) < 0 {
		return false
	}
	return more || order.cut > r.ordering.known()
}

func (r *Replica) askPage() {
	t := &r.transfer
	t.from.pulled = r.in.Now
	// Early: the vector tells only what is durable here.
	r.out.SendEarly(t.from.id, Pull{Vector: r.meta.briefFor(r.meta.vector, t.from.known), Life: r.life, Suspect: r.suspect, Epoch: r.obeyed, Clocks: r.clocks(t.from), Page: t.next, At: t.meta.briefFor(t.meta.vector, t.from.known)})
}

// stage puts the merged pairs of a part beside the state, in the order of their keys.
func (r *Replica) stage(m Page) {
	end := r.transferEnd()
	if len(m.Next) > 0 {
		end = m.Next
	}
	theirs := m.Pairs
	metaDue := m.From[0] < core.AppliedKey[0]
	put := func(key, value []byte) {
		if metaDue && key[0] > core.AppliedKey[0] {
			metaDue = false
			r.stageMeta()
		}
		r.out.State = append(r.out.State, core.Change{Kind: core.Stage, Key: key, Value: value})
	}
	r.in.View.Scan(m.From, end, func(key, value []byte) bool {
		if key[0] == core.AppliedKey[0] {
			return true
		}
		for len(theirs) > 0 && bytes.Compare(theirs[0].Key, key) < 0 {
			r.stageOne(put, theirs[0].Key, nil, theirs[0].Value)
			theirs = theirs[1:]
		}
		var other []byte
		if len(theirs) > 0 && bytes.Equal(theirs[0].Key, key) {
			other, theirs = theirs[0].Value, theirs[1:]
		}
		r.stageOne(put, slices.Clone(key), slices.Clone(value), other)
		return true
	})
	for _, p := range theirs {
		r.stageOne(put, p.Key, nil, p.Value)
	}
	if metaDue && end[0] > core.AppliedKey[0] {
		r.stageMeta()
	}
}

// stageOne stages what both have at a key; nil: nothing.
func (r *Replica) stageOne(put func(key, value []byte), key, mine, theirs []byte) {
	switch {
	case r.ordering.on:
		r.stageOrdered(put, key, mine, theirs)
		return
	case key[0] != dataKind:
		put(key, mine)
		return
	}
	var rec, other record
	if mine != nil {
		rec = mustDecodeRecord(key[1:], mine)
	}
	if theirs != nil {
		other = mustDecodeRecord(key[1:], theirs)
	}
	switch r.options.Mutation {
	case ReplaceState:
		rec = other
	case ReviveParts:
		both := mergeParts(rec.parts, nil, other.parts, nil)
		rec.merge(r.meta.vector, &other, r.transfer.meta.vector)
		rec.parts = both
	default:
		rec.merge(r.meta.vector, &other, r.transfer.meta.vector)
	}
	if !rec.empty() {
		put(key, rec.appendTo(nil))
	}
}

// stageOrdered is stageOne in a group with a commit order: the records are the peer's, with what is tentative there, and what is
// tentative here is executed behind what is committed there when the log is there.
func (r *Replica) stageOrdered(put func(key, value []byte), key, mine, theirs []byte) {
	switch kept := key[0] == cutKind || key[0] == logKind; {
	case theirs != nil:
		put(key, theirs)
	case kept:
		put(key, mine)
	}
}

// stageMeta stages the meta record of the merged state. The log of this replica lacks what only the peer held.
func (r *Replica) stageMeta() {
	m, t := r.meta, &r.transfer.meta
	m.vector, m.dropped = slices.Clone(m.vector), slices.Clone(m.dropped)
	m.vector.Merge(t.vector)
	if r.ordering.on {
		m.dropped.Merge(r.transfer.order.base)
	} else {
		m.dropped.Merge(t.vector)
	}
	for _, g := range t.gaps {
		if !slices.Contains(m.gaps, g) {
			m.gaps = append(slices.Clone(m.gaps), g)
		}
	}
	m.added = m.added || t.added
	for _, o := range t.members {
		m.join(o)
	}
	for _, o := range t.formers {
		m.retire(o)
	}
	stage := func(key, value []byte) {
		r.out.State = append(r.out.State, core.Change{Kind: core.Stage, Key: key, Value: value})
	}
	stage(core.AppliedKey, r.position())
	if r.ordering.on {
		o := r.transfer.order
		o.stale = true
		stage(orderKey, o.appendTo(nil))
	}
	stage(metaKey, m.appendTo(nil))
}

// keepMax bounds the writes of this replica's log that are staged in one Step.
const keepMax = 1000

// proceedTransfer goes on with a transfer whose parts are all there; it reports whether that takes this Step.
func (r *Replica) proceedTransfer() bool {
	t := &r.transfer
	switch {
	case t.phase == receiving && len(r.out.State) == 0:
		if r.in.Now >= t.moved+transferMax {
			*t = transfer{}
		} else if r.in.Now >= t.from.pulled+r.options.Interval {
			r.askPage()
		}
	case len(r.out.State) > 0:
		r.out.Again = r.out.Again || t.phase > receiving
		return t.running()
	case t.phase == keeping:
		r.keepLog()
		return true
	case t.phase == installing:
		t.phase = installed
		r.out.State = append(r.out.State, core.Change{Kind: core.Install})
		r.out.Again = true
		return true
	case t.phase == installed:
		r.finishTransfer()
	}
	return false
}

func (r *Replica) keepLog() {
	t := &r.transfer
	t.phase = installing
	kept := 0
	r.in.View.Scan(t.next, []byte{logKind + 1}, func(key, raw []byte) bool {
		if kept++; kept > keepMax {
			t.phase, t.next = keeping, slices.Clone(key)
			return false
		}
		r.out.State = append(r.out.State, core.Change{Kind: core.Stage, Key: slices.Clone(key), Value: slices.Clone(raw)})
		return true
	})
	r.out.Again = true
}

// finishTransfer goes on from the state that was installed, durably.
func (r *Replica) finishTransfer() {
	raw, ok := r.in.View.Get(metaKey)
	if !ok {
		panic("bayou: the installed state has no meta record")
	}
	r.meta = decodeMeta(raw)
	if r.ordering.on {
		r.ordering.load(r.in.View)
	}
	r.held.Merge(r.meta.vector)
	r.last = max(r.last, r.meta.vector.Last())
	r.recent.reset(r.meta.vector.Last())
	r.out.Note(MergedNote{r.transfer.from.id, r.transfer.meta.vector})
	r.transfer.from.nextPull = r.in.Now
	r.transfer = transfer{}
	r.meet()
	r.out.Again = r.out.Again || len(r.queue) > 0
}
