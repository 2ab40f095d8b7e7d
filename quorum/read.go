package quorum

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// reads is what this replica reads for clients and has not answered.
type reads struct {
	// begun waits for the end of the Step: reads that ask the same replicas share a message.
	begun  []*read
	rounds map[uint64]*round
	// order are the rounds by the time at which they end.
	order   []uint64
	turn    int
	repairs uint64
}

// read is one key that is read from several replicas.
type read struct {
	key     []byte // of the state
	name    string // the client's key, whose latch it holds
	request core.RequestID
	part    *multi
	quiet   bool
	level   kv.Level
	need    rank
	then    *then

	asked, answered mask
	records         [MembersMax][]byte
	newest          []byte
	over            bool
}

// round is one message to some replicas about some reads.
type round struct {
	id     uint64
	asked  mask
	reads  []*read
	own    [][]byte // this replica's records, which others may call the same
	at     core.Time
	hedge  core.Time
	hedged bool
	// heard are those who have answered, and when.
	heard mask
	times sample
}

func (rs *reads) deadline() core.Time {
	at := never
	for _, id := range rs.order {
		if q := rs.rounds[id]; q != nil {
			at = min(at, q.at)
			if !q.hedged {
				return min(at, q.hedge)
			}
		}
	}
	return at
}

// beginRead reads a key. A client that asks for one replica is answered from this one, which shows only what is durable.
func (r *Replica) beginRead(q *read, key []byte) {
	q.key = append([]byte{DataKind}, key...)
	r.askFor(q)
}

// askFor begins with what is here.
func (r *Replica) askFor(q *read) {
	if r.outside() {
		q.over = true
		r.endRead(q, kv.Failed(errOutside))
		return
	}
	if !r.disk.meta.Suspect {
		q.answer(r.me, r.shownRecord(q.key))
		if r.answered(q) {
			r.complete(q)
			return
		}
	}
	r.reads.begun = append(r.reads.begun, q)
}

func (q *read) answer(i int, record []byte) {
	q.answered = q.answered.with(i)
	q.records[i] = record
	if compare(record, q.newest) > 0 {
		q.newest = record
	}
}

// answered reports whether as many replicas have answered as the read asks for.
func (r *Replica) answered(q *read) bool { return q.need.met(q.answered, r.readers()) }

// sendReads asks the replicas that the reads of this Step need, the same ones for all that need as many.
func (r *Replica) sendReads() {
	rs := &r.reads
	for len(rs.begun) > 0 {
		first := rs.begun[0]
		var list, rest []*read
		for _, q := range rs.begun {
			if q.need == first.need && q.answered == first.answered {
				list = append(list, q)
			} else {
				rest = append(rest, q)
			}
		}
		rs.begun = rest
		r.ask(list, r.choose(first.need, first.answered))
	}
}

// choose picks some of the replicas that can be reached, in turn, so that all share the reading: who with those that have answered
// makes enough.
func (r *Replica) choose(need rank, have mask) (m mask) {
	r.reads.turn++
	for i := range r.places {
		at := (r.reads.turn + i) % len(r.places)
		if at != r.me && r.up.has(at) && need.wants(have|m, at, r.readers()) {
			m = m.with(at)
		}
	}
	return m
}

func (r *Replica) ask(list []*read, whom mask) {
	q := &round{id: r.next(), asked: whom, reads: list, at: r.in.Now + r.options.ReadWithin, hedge: r.in.Now + r.options.Hedge}
	m := Read{Epoch: r.config.Epoch, Batch: q.id, Keys: make([]ReadKey, len(list))}
	for i, one := range list {
		own := one.records[r.me]
		q.own = append(q.own, own)
		m.Keys[i] = ReadKey{Key: one.key, Hash: xxhash.Sum64(own)}
		one.asked |= whom
	}
	r.reads.rounds[q.id] = q
	r.reads.order = append(r.reads.order, q.id)
	for rest := whom; rest != 0; rest &= rest - 1 {
		// Early: a question promises nothing.
		r.out.SendEarly(r.places[rest.first()], m)
	}
}

// onRead answers from the state, which shows only what is durable (rule Q4, trap T3.12).
func (r *Replica) onRead(from core.ReplicaID, m Read) {
	v := Values{Batch: m.Batch, Suspect: r.disk.meta.Suspect, Records: make([]Value, len(m.Keys))}
	for i := range m.Keys {
		record := r.shownRecord(m.Keys[i].Key)
		if xxhash.Sum64(record) == m.Keys[i].Hash {
			v.Records[i].Same = true
		} else {
			v.Records[i].Record = record
		}
	}
	// Early: what the state shows is durable; what is still on its way to the disk is not in the answer.
	r.out.SendEarly(from, v)
}

func (r *Replica) onValues(i int, m Values) {
	q := r.reads.rounds[m.Batch]
	if q == nil || !q.asked.has(i) || len(m.Records) != len(q.reads) {
		return
	}
	q.asked &^= 1 << i
	if m.Suspect {
		r.hedgeRound(q)
		return
	}
	r.noteRead(q, i)
	for at, one := range q.reads {
		if one.over || one.answered.has(i) {
			continue
		}
		record := m.Records[at].Record
		if m.Records[at].Same {
			record = q.own[at]
		}
		one.answer(i, record)
		if len(record) > 0 {
			r.see(StampOf(record).Time)
		}
		if r.answered(one) {
			r.complete(one)
		}
	}
	// A read that still needs somebody ends with the time of its round.
	if q.asked == 0 && !slices.ContainsFunc(q.reads, func(one *read) bool { return !one.over }) {
		r.endRound(q)
	}
}

// complete takes the newest of the answers. Those among them that were older are written before the read is answered: else
// the next read could ask them, and go back (rule Q7, trap T3.4).
func (r *Replica) complete(q *read) {
	q.over = true
	if q.then != nil {
		r.finish(q)
		return
	}
	var stale mask
	for m := q.answered; m != 0; m &= m - 1 {
		if i := m.first(); compare(q.records[i], q.newest) != 0 {
			stale = stale.with(i)
		}
	}
	if len(q.newest) == 0 || stale == 0 || dead(q.newest, r.disk.shown.Purge) && r.options.Mutation != RepairDead {
		r.finish(q)
		return
	}
	r.reads.repairs++
	record := q.newest
	if r.options.Mutation == RestampRepairs {
		if t, err := r.stamp(); err == nil {
			again := mustDecode(record)
			again.Stamp = Stamp{t, r.self}
			record = appendRecord(nil, &again)
			stale = q.answered
		}
	}
	b := &batch{source: FromRead, items: appendItem(nil, q.key, record), targets: stale}
	if r.options.Mutation != AnswerBeforeRepair {
		b.ops = []writeOp{{need: needEvery, read: q}}
	}
	r.coordinate(b, 0)
	if r.options.Mutation == AnswerBeforeRepair {
		r.finish(q)
	}
}

// repaired goes on with a read whose repair has ended.
func (r *Replica) repaired(q *read, bad kv.Result) {
	if bad.Code != kv.OK {
		r.failRead(q, "the newest record could not be written to the replicas that lack it")
		return
	}
	r.finish(q)
}

func (r *Replica) failRead(q *read, why string) {
	q.over = true
	r.endRead(q, kv.Result{Code: kv.Unavailable, Detail: why + "; nothing was changed by the request, it may be sent again"})
}

// finish answers a read, or goes on with the write that waited for it.
func (r *Replica) finish(q *read) {
	if q.then != nil {
		if len(q.newest) > 0 {
			newest := StampOf(q.newest).Time
			if r.see(newest); newest > r.clock.seen {
				r.endRead(q, kv.Result{Code: kv.ClockSkew, Detail: "the key's record has a stamp further ahead of this node's clock than clocks may be apart; nothing was written, check the time service and retry"})
				return
			}
		}
		r.put(&q.then.op, q.then.write)
		return
	}
	r.endRead(q, r.found(q))
}

// found is what a client is told of a record. A missing key that has a tombstone names the stamp of that.
func (r *Replica) found(q *read) kv.Result {
	return result(q.newest, q.quiet, q.level, r.now())
}

func result(raw []byte, quiet bool, level kv.Level, now kv.HLC) kv.Result {
	out := kv.Result{Level: level, AsOf: now.UnixMilli()}
	if len(raw) == 0 {
		out.Code = kv.NotFound
		return out
	}
	record := mustDecode(raw)
	out.Version, out.Origin = uint64(record.Stamp.Time), uint32(record.Stamp.Origin)
	if !record.visible(now) {
		out.Code = kv.NotFound
		return out
	}
	out.Existed, out.Flags, out.ExpireAt, out.Int = true, record.Flags, record.ExpireAt, int64(kv.ValueSize(record.Value))
	if !quiet {
		out.Value = record.Value
	}
	return out
}

func (r *Replica) endRead(q *read, result kv.Result) {
	r.unlatch(q.name, q.then == nil)
	switch {
	case q.then != nil:
		r.answer(&q.then.write, result)
	case q.part != nil:
		r.partDone(q.part, int(q.request), result)
	default:
		// Early: what was read is durable on as many replicas as were asked for.
		r.out.ReplyEarly(q.request, result)
	}
}

func (r *Replica) endRound(q *round) {
	delete(r.reads.rounds, q.id)
	rs := &r.reads
	n := 0
	for n < len(rs.order) && rs.rounds[rs.order[n]] == nil {
		n++
	}
	rs.order = append(rs.order[:0], rs.order[n:]...)
}

// hedgeNow asks others in place of a replica whose connection broke.
func (r *Replica) hedgeNow(i int) {
	for _, id := range slices.Clone(r.reads.order) {
		if q := r.reads.rounds[id]; q != nil && q.asked.has(i) {
			r.hedgeRound(q)
		}
	}
	for _, s := range r.scans.list() {
		s.hedge(r)
	}
}

// hedgeRound asks all that were not asked for the reads of a round that still need somebody.
func (r *Replica) hedgeRound(q *round) {
	if q.hedged {
		return
	}
	q.hedged = true
	var list []*read
	whom := r.up & r.readable() &^ (1 << r.me)
	for _, one := range q.reads {
		if !one.over {
			list = append(list, one)
			whom &^= one.asked
		}
	}
	if len(list) > 0 && whom != 0 {
		r.ask(list, whom)
	}
}

// endReads asks others where some are slow, and gives up the reads whose time is over.
func (r *Replica) endReads() {
	for _, id := range slices.Clone(r.reads.order) {
		q := r.reads.rounds[id]
		switch {
		case q == nil:
		case q.at <= r.in.Now:
			for _, one := range q.reads {
				if !one.over {
					r.failRead(one, "too few replicas answered in time")
				}
			}
			r.endRound(q)
		case q.hedge <= r.in.Now && !q.hedged:
			r.hedgeRound(q)
		}
	}
}
