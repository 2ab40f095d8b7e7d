package quorum

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// bytesMax bounds the writes that a coordinator holds because some replica has not taken them yet.
const bytesMax = 64 << 20

// writes is what this replica coordinates and has not ended. Commands that arrive while its own disk works on earlier ones go
// out together: one record of the log and one message to each replica.
type writes struct {
	gathered items
	ops      []writeOp
	count    int
	// lastBytes and lastCount are those of the batch before.
	lastBytes, lastCount int

	batches map[uint64]*batch
	// order are the batches by the time at which they end.
	order []uint64
	// own are the batches that wait for this replica's disk.
	own   []uint64
	bytes int
	// under are the clients' writes that are not answered.
	under int
	// retryAt is when those are stamped that were gathered while the clock stood at its bound.
	retryAt core.Time
}

// batch is records on their way to some replicas.
type batch struct {
	id     uint64
	source Source
	items  items
	// targets are who must have it, acked who has: a set, so that an answer that comes twice counts once (trap T3.7).
	targets, acked mask
	// later are those who answered that they cannot take some of it yet, for a clock that is ahead or a line that they forgot.
	later mask
	// again are those to whom the batch is sent once more.
	again   mask
	answers int
	at      core.Time
	times   sample
	ownPos  uint64
	ops     []writeOp
	open    int
	hint    *replay
}

// writeOp waits for enough replicas to have an item: a client, or a read that must not answer before.
type writeOp struct {
	item    int
	need    rank
	refused mask
	why     Reason
	done    bool
	// end is where the gathered item ends that has no stamp yet, size that of its record; 0: it has one.
	end, size int
	key       string // the client's, whose latch it holds
	free      bool   // it does not any more

	request core.RequestID
	part    *multi
	result  kv.Result
	read    *read
	scan    *scan
	session *session
}

func (w *writes) deadline() core.Time {
	if w.retryAt != 0 && len(w.own) == 0 {
		return w.retryAt
	}
	if len(w.order) > 0 {
		if b := w.batches[w.order[0]]; b != nil {
			return b.at
		}
		return 0
	}
	return never
}

// put gathers a client's write of one key. It gets its stamp when it is sent, unless it brings one.
func (r *Replica) put(o *kv.Op, w writeOp) {
	record := Record{Deleted: o.Kind == kv.OpDelete, Flags: o.Flags, Value: o.Value}
	if record.Deleted {
		record.Flags, record.Value = 0, nil
	}
	err := r.stamps()
	if o.NewVersion != 0 {
		record.Stamp, err = r.clientStamp(o)
	}
	if err != nil {
		r.answer(&w, kv.Failed(err))
		r.unlatch(w.key, false)
		return
	}
	switch o.Expiry {
	case kv.ExpireAt:
		record.ExpireAt = max(o.Expire, 1)
	case kv.ExpireIn:
		record.ExpireAt = max(r.in.Wall+o.Expire, 1)
	}
	g := &r.writes
	if g.count == 0 {
		// As much as the batch before: under load they are alike.
		g.gathered, g.ops = make(items, 0, max(g.lastBytes, 64+len(o.Key)+len(o.Value))), make([]writeOp, 0, max(g.lastCount, 1))
	}
	w.item = g.count
	w.result = kv.Result{Version: uint64(record.Stamp.Time), Origin: uint32(record.Stamp.Origin), ExpireAt: record.ExpireAt,
		Level: w.result.Level, AsOf: r.in.Wall}
	g.gathered = appendPut(g.gathered, o.Key, &record)
	if o.NewVersion == 0 {
		w.end, w.size = len(g.gathered), recordSize(&record)
	}
	g.ops = append(g.ops, w)
	g.count++
}

// flush sends what was gathered, unless this replica's own disk is still busy with the batch before.
func (r *Replica) flush() {
	w := &r.writes
	switch {
	case w.count == 0 || len(w.own) > 0:
		return
	case r.outside():
		r.refuseGathered(errOutside)
		return
	case !r.stampGathered():
		return
	}
	b := &batch{source: FromClient, items: w.gathered, targets: r.up, ops: w.ops}
	w.lastBytes, w.lastCount = len(w.gathered), w.count
	w.gathered, w.ops, w.count = nil, nil, 0
	r.coordinate(b, r.keepsHints(r.all.less(r.up)))
}

// refuseGathered answers what was gathered and cannot be sent.
func (r *Replica) refuseGathered(err error) {
	w := &r.writes
	ops := w.ops
	w.gathered, w.ops, w.count, w.retryAt = nil, nil, 0, 0
	for i := range ops {
		r.answer(&ops[i], kv.Failed(err))
		r.unlatch(ops[i].key, false)
	}
}

// coordinate stores a batch here, if this replica is one of its targets, and sends it to the others.
func (r *Replica) coordinate(b *batch, hints mask) {
	var refused []Refusal
	if b.targets.has(r.me) {
		refused = r.accept(b.items, b.source, r.disk.shown.Purge, hints)
		b.ownPos = r.disk.pos
	}
	r.send(b)
	for _, f := range refused {
		r.refusedBy(b, r.me, f)
	}
	r.count(b)
	r.countOwn(r.disk.applied)
}

// send starts a batch. Its records leave before they are on this disk: they are true of themselves, and this replica counts
// itself only when its own disk has them.
func (r *Replica) send(b *batch) {
	b.id, b.at, b.open = r.next(), r.in.Now+r.options.WriteWithin, len(b.ops)
	w := &r.writes
	w.batches[b.id] = b
	w.order = append(w.order, b.id)
	w.bytes += len(b.items)
	if b.targets.has(r.me) {
		w.own = append(w.own, b.id)
	}
	r.sendTo(b, b.targets)
}

// sendTo sends a batch to others.
func (r *Replica) sendTo(b *batch, others mask) {
	m := Write{Epoch: r.config.Epoch, Batch: b.id, Source: b.source, Purge: r.disk.shown.Purge, Items: b.items}
	for rest := others &^ (1 << r.me); rest != 0; rest &= rest - 1 {
		// Early: a record means the same whether its coordinator remembers it or not; the client is told nothing yet.
		r.out.SendEarly(r.places[rest.first()], m)
	}
}

// countOwn counts this replica for the batches that its disk has.
func (r *Replica) countOwn(pos uint64) {
	w := &r.writes
	n := 0
	for ; n < len(w.own); n++ {
		b := w.batches[w.own[n]]
		if b == nil {
			continue
		}
		if b.ownPos > pos {
			break
		}
		r.acked(b, r.me, nil)
	}
	w.own = append(w.own[:0], w.own[n:]...)
}

// onWrite stores what another replica coordinates. The answer waits until what stands now is durable, whichever record that
// is (rule Q3, trap T3.12): it is held behind all that was written so far.
func (r *Replica) onWrite(from core.ReplicaID, m Write) {
	refused := r.accept(m.Items, m.Source, m.Purge, 0)
	m.Items.each(func(_ int, _, record []byte) { r.see(StampOf(record).Time) })
	answer := Written{m.Batch, refused}
	if r.options.Mutation == AckBeforeDurable {
		// Early: a planted bug.
		r.out.SendEarly(from, answer)
		return
	}
	r.out.Send(from, answer)
}

func (r *Replica) onWritten(i int, m Written) {
	b := r.writes.batches[m.Batch]
	switch {
	case b == nil || !b.targets.has(i):
	case b.source == FromClient && r.config.moving() && slices.ContainsFunc(m.Refused, func(f Refusal) bool { return f.Reason == Doubtful }):
		b.again = b.again.with(i) // it joins, and will soon know what it must refuse
		r.change.at = min(r.change.at, r.in.Now+joinerPause)
	default:
		r.acked(b, i, m.Refused)
	}
}

// acked counts a replica that has the items of a batch, but for those that it refused.
func (r *Replica) acked(b *batch, i int, refused []Refusal) {
	if b.acked.has(i) && r.options.Mutation != CountTwice {
		return
	}
	b.acked = b.acked.with(i)
	b.answers++
	r.noteWritten(b, i)
	for _, f := range refused {
		r.refusedBy(b, i, f)
	}
	if b.hint != nil {
		r.hintsAnswered(b, refused)
	}
	r.count(b)
	r.letGo(b, false)
	if b.acked == b.targets {
		r.noteWrittenByAll(b)
		if b.later != 0 && b.source == FromClient {
			r.keepHints(b)
		}
		r.endBatch(b)
	}
}

func (r *Replica) refusedBy(b *batch, i int, f Refusal) {
	// Below the line all replicas have held what was newest: whoever refuses a read's repair for that had it, or something newer.
	if b.source == FromRead && f.Reason == BelowLine {
		return
	}
	for at := range b.ops {
		o := &b.ops[at]
		if o.item == int(f.Item) {
			o.refused, o.why = o.refused.with(i), f.Reason
		}
		if o.session != nil {
			r.pushRefused(o.session, b.items, int(f.Item))
		}
	}
	if f.Reason == TooFarAhead || f.Reason == Doubtful {
		b.later = b.later.with(i)
	}
}

// count ends the operations of a batch that have enough replicas.
func (r *Replica) count(b *batch) {
	if b.open == 0 {
		return
	}
	for at := range b.ops {
		o := &b.ops[at]
		if o.done {
			continue
		}
		if o.need == needOne && b.source == FromClient && b.targets.has(r.me) && !b.acked.has(r.me) {
			continue // so that who goes on to read one replica, here, sees what was written
		}
		switch {
		case r.enough(b, o):
			r.endOp(b, o, kv.Result{})
		case b.acked == b.targets:
			r.endOp(b, o, r.missed(b, o))
		}
	}
}

// enough reports whether as many replicas as an operation asks for have its item.
func (r *Replica) enough(b *batch, o *writeOp) bool {
	have := b.acked.less(o.refused)
	switch {
	case r.options.Mutation == CountTwice:
		return b.answers >= r.required(b, o)
	case o.need == needEvery:
		return b.targets.less(have) == 0
	case r.options.Mutation == CountHints && b.source == FromClient:
		have |= r.all.less(b.targets)
	}
	return o.need.met(have, r.writers())
}

// required is how many replicas an operation asks for, as clients are told.
func (r *Replica) required(b *batch, o *writeOp) int {
	if o.need == needEvery {
		return b.targets.count()
	}
	return o.need.of(r.old.count())
}

// missed is the answer to a write that fewer replicas have than its level asks for. It is never taken back: a newer write may
// stand on it already, and what stands may have been read (rule Q5, traps T3.1 and T3.11).
func (r *Replica) missed(b *batch, o *writeOp) kv.Result {
	why := "the others have not answered"
	switch o.why {
	case BelowLine:
		why = "another refused it as older than the last repair"
	case Doubtful:
		why = "another lost something, and does not take what is so old"
	case TooFarAhead:
		why = "another refused its stamp as too far ahead of its own clock"
	}
	code := kv.Unknown
	if r.options.Mutation == LateUnavailable {
		code = kv.Unavailable
	}
	have, needed := r.short(b, o)
	return kv.Result{Code: code, Detail: fmt.Sprintf("%d of %d replicas have the write: %s; it may appear on all yet", have, needed, why)}
}

// short is how many replicas have an item of how many that must have it, in a set of which too few do.
func (r *Replica) short(b *batch, o *writeOp) (have, needed int) {
	some := b.acked.less(o.refused)
	for _, set := range r.writers() {
		have, needed = (some & set).count(), o.need.of(set.count())
		if have < needed {
			return have, needed
		}
	}
	return some.count(), r.required(b, o)
}

func (r *Replica) endOp(b *batch, o *writeOp, bad kv.Result) {
	o.done = true
	b.open--
	switch {
	case o.read != nil:
		r.repaired(o.read, bad)
	case o.scan != nil:
		r.scanRepaired(o.scan, bad)
	case o.session != nil:
		r.pushed(o.session, bad)
	case bad.Code != kv.OK:
		r.answer(o, bad)
	default:
		r.answer(o, o.result)
	}
}

// answer ends a client's write.
func (r *Replica) answer(o *writeOp, result kv.Result) {
	r.writes.under--
	r.load.Executed(1, r.writes.under > 0)
	if o.part != nil {
		r.partDone(o.part, int(o.request), result)
		return
	}
	// Early: as many replicas as the level asks for have it on disk, this one among them if it was counted; or it says that
	// nothing is known, or that nothing was done.
	r.out.ReplyEarly(o.request, result)
}

func (r *Replica) endBatch(b *batch) {
	delete(r.writes.batches, b.id)
	r.letGo(b, true)
	r.writes.bytes -= len(b.items)
	b.items = nil
	r.writes.trim()
}

// trim forgets the batches that have ended at the head of the order.
func (w *writes) trim() {
	n := 0
	for n < len(w.order) && w.batches[w.order[n]] == nil {
		n++
	}
	if n > 0 {
		w.order = append(w.order[:0], w.order[n:]...)
	}
}

// endWrites ends the batches whose time is over: what missed its level is unknown, and who has not answered gets a hint.
func (r *Replica) endWrites() {
	w := &r.writes
	for len(w.order) > 0 {
		b := w.batches[w.order[0]]
		if b != nil && b.at > r.in.Now {
			return
		}
		w.order = w.order[1:]
		if b != nil {
			r.endBatchLate(b)
		}
	}
}

func (r *Replica) endBatchLate(b *batch) {
	r.keepHints(b)
	if b.hint != nil {
		r.hints[b.hint.member].sending = false
		r.hints[b.hint.member].replayAt = r.in.Now
	}
	for at := range b.ops {
		if o := &b.ops[at]; !o.done {
			if r.options.Mutation == RollBack && b.source == FromClient {
				r.rollBack(b, o)
			}
			r.endOp(b, o, r.missed(b, o))
		}
	}
	r.endBatch(b)
}

// keepHints keeps a client's batch for those who do not have all of it: who has not answered, and who cannot take it yet.
func (r *Replica) keepHints(b *batch) {
	missing := (b.targets.less(b.acked) | b.later) &^ (1 << r.me)
	if hints := r.keepsHints(missing); b.source == FromClient && hints != 0 {
		r.writeItems(&entry{pos: r.disk.pos + 1}, b.items, false, hints)
	}
}

// rollBack is a planted bug: what the failed write replaced is not there any more, so it deletes.
func (r *Replica) rollBack(b *batch, o *writeOp) {
	b.items.each(func(i int, key, _ []byte) {
		if t, err := r.stamp(); i == o.item && err == nil {
			undo := Record{Stamp: Stamp{t, r.self}, Deleted: true}
			r.accept(appendPut(nil, key[1:], &undo), FromClient, 0, 0)
			for _, id := range r.members(r.all) {
				if id != r.self {
					// Early: a planted bug.
					r.out.SendEarly(id, Write{Source: FromClient, Items: appendPut(nil, key[1:], &undo)})
				}
			}
		}
	})
}
