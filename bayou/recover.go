package bayou

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// Kinds of records in the node's log.
const (
	recordMark   = 1 // whose the records are, which of them are void, and whether the replica is suspect
	recordWrites = 2
	recordCuts   = 3
)

// markVersion 2 was written where all of the write log lay in the state: such a log is a log of today. The reverse is not so, and
// a program that knows no other refuses it.
const markVersion = 3

// posBits is how much of a log position counts; above are those of the replica's id. So the records of two replicas that
// lived on one disk one after the other are not taken for each other's.
const posBits = 40

// firstPos precedes the positions of this replica's records.
func (r *Replica) firstPos() uint64 { return uint64(r.self) << posBits }

// void is a stretch of the log's positions that a damaged disk made useless: after <= pos < before is as if never written.
type void struct{ after, before uint64 }

// voidsMax bounds how many of them are remembered; the records of older ones are gone from the log.
const voidsMax = 8

// mark is what must survive besides writes.
type mark struct {
	self    core.ReplicaID
	suspect bool
	voids   []void
	// config is the latest word of the catalog; empty: none came yet.
	config []byte
	sealed bool
}

func (m *mark) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(append(b, markVersion), uint64(m.self))
	b = wire.AppendBool(b, m.suspect)
	b = binary.AppendUvarint(b, uint64(len(m.voids)))
	for _, v := range m.voids {
		b = binary.AppendUvarint(binary.AppendUvarint(b, v.after), v.before)
	}
	return wire.AppendBool(wire.AppendBytes(b, m.config), m.sealed)
}

var errMark = errors.New("malformed mark")

func decodeMark(b []byte) (m mark, err error) {
	r := reader{wire.Reader{B: b}}
	version := r.Byte()
	m.self, m.suspect = r.replica(), r.Bool()
	for n := r.Count(2); n > 0 && !r.Bad; n-- {
		m.voids = append(m.voids, void{r.Uint(), r.Uint()})
	}
	m.config, m.sealed = r.Bytes(), r.Bool()
	if r.Bad || len(r.B) > 0 || version != markVersion && version != markVersion-1 {
		return mark{}, errMark
	}
	return m, nil
}

func (r *Replica) writeMark() {
	m := mark{self: r.self, suspect: r.suspect, voids: r.voids, sealed: r.sealed}
	if r.config.Epoch > 0 {
		m.config = r.config.AppendTo(nil)
	}
	r.out.Write(core.Record{Kind: recordMark, Body: m.appendTo(nil)})
}

// configure takes the configuration that every run is begun with.
func (r *Replica) configure(config []byte) {
	c, err := DecodeConfig(config)
	if err != nil {
		panic("bayou: " + err.Error())
	}
	r.config = c
	for _, id := range c.Members {
		r.meta.members = append(r.meta.members, membership{id: id})
	}
	r.cells.mutation = r.options.Mutation
	// A number that grows from run to run, for the clock's bound does; and if the bound was lost, too, it is another one.
	r.life = uint64(r.in.Stamp)&^0xffff | r.in.Rand.Uint64N(1<<16-1) + 1
	r.nextChore = r.in.Now + r.options.Interval
	r.meta.binding = c.Binding
	r.metaChanged = true
	r.meta.ordered, r.ordering.on = c.Ordered, c.Ordered
	r.ordering.load(r.in.View)
	if r.options.Mutation == CommitTwice {
		r.ordering.state.done = Dot{}
	}
}

func (r *Replica) start(config []byte) {
	r.configure(config)
	r.pos, r.applied, r.durable = r.firstPos(), r.firstPos(), r.firstPos()
	r.met = true
	r.meet()
	// Not before: while the log is replayed nobody is known who may still have something older.
	r.cells.settled = r.settled
	r.writeMark()
}

// recover folds the records of the log over what the state holds.
func (r *Replica) recover(e core.Recover) {
	r.configure(e.Config)
	if b, ok := r.in.View.Get(metaKey); ok {
		r.meta = decodeMeta(b)
	}
	covered := r.firstPos()
	r.applied = covered
	if b, ok := r.in.View.Get(core.AppliedKey); ok {
		covered = max(covered, binary.BigEndian.Uint64(b))
		r.applied = max(covered, binary.BigEndian.Uint64(b[len(b)-8:]))
	}
	r.held, r.last = slices.Clone(r.meta.vector), r.meta.vector.Last()
	r.recent.reset(r.last)
	r.pos, r.durable = r.applied, r.applied
	records, end := r.ownRecords(e.Records)
	r.relog(records, covered)
	whole := r.replay(records)
	r.pos = max(r.pos, end)
	for _, v := range r.voids {
		r.pos = max(r.pos, v.before-1) // what was made void must not come to life as something new
	}
	if lost := e.Suspect || !whole; lost && r.options.Mutation != ReuseStamps {
		// What lies beyond the hole may follow what was lost, so it is not taken; peers that have it will send it.
		r.voids = append(r.voids, void{r.nextPos(r.applied), r.pos + 1})
		r.voids = r.voids[max(0, len(r.voids)-voidsMax):]
		r.suspect = true
		r.out.Note(SuspectNote{true})
	}
	r.durable, r.ownLast = r.pos, r.held.At(r.self)
	r.told, r.configPos = r.config.Epoch, r.pos
	r.met = true
	r.meet()
	// Not before: while the log is replayed nobody is known who may still have something older.
	r.cells.settled = r.settled
	r.writeMark()
}

// ownRecords are the records of writes that count, with the highest position that was ever given.
func (r *Replica) ownRecords(all []core.Record) (list []core.Record, end uint64) {
	for _, rec := range all {
		if rec.Kind != recordMark {
			if rec.Pos>>posBits == uint64(r.self) { // another replica of the group may have lived on this disk before
				list, end = append(list, rec), max(end, rec.Pos)
			}
			continue
		}
		m, err := decodeMark(rec.Body)
		switch {
		case err != nil:
			panic("bayou: " + err.Error())
		case m.self != r.self:
			r.suspect, r.voids, r.sealed = false, nil, false
		default:
			r.suspect, r.voids = m.suspect, m.voids
			r.sealed = m.sealed
			r.recall(m.config)
		}
	}
	list = slices.DeleteFunc(list, func(rec core.Record) bool {
		return slices.ContainsFunc(r.voids, func(v void) bool { return v.after <= rec.Pos && rec.Pos < v.before })
	})
	return list, end
}

// Writer is the replica that wrote the last of the records that say whose they are; 0: none does.
func Writer(records []core.Record) (self core.ReplicaID) {
	for _, rec := range records {
		if rec.Kind != recordMark {
			continue
		}
		if m, err := decodeMark(rec.Body); err == nil {
			self = m.self
		}
	}
	return self
}

// recall takes the configuration that this replica went by before.
func (r *Replica) recall(config []byte) {
	if len(config) == 0 {
		return
	}
	c, err := DecodeConfig(config)
	if err != nil {
		panic("bayou: " + err.Error())
	}
	if c.Epoch > r.config.Epoch {
		r.config = c
	}
}

// replay applies the records that the state does not hold, as far as there is no hole; whole is false if there is one.
func (r *Replica) replay(records []core.Record) (whole bool) {
	for _, rec := range records {
		if rec.Pos <= r.applied {
			continue
		}
		if rec.Kind == recordCuts {
			if rec.Pos != r.nextPos(r.applied) || !r.replayCuts(rec.Body) {
				return false
			}
			r.applied, r.pos = rec.Pos, rec.Pos
			continue
		}
		list, ok := decodeRecordWrites(rec.Body)
		if !ok || rec.Pos != r.nextPos(r.applied) {
			return false
		}
		r.applied, r.pos = rec.Pos, rec.Pos
		r.ordering.state.stale = r.ordering.on
		for _, w := range list {
			if !r.meta.vector.Has(w.Dot) {
				r.applyWrite(w)
			}
		}
	}
	return true
}

// relog puts into memory what was in the write log and there alone: the writes of records that the state holds, behind those that are
// covered. If one of these is damaged, who lacks any of it is sent the state.
func (r *Replica) relog(records []core.Record, covered uint64) {
	for _, rec := range records {
		if rec.Pos <= covered || rec.Pos > r.applied {
			continue
		}
		list, ok := decodeRecordWrites(rec.Body)
		if !ok || rec.Pos != r.nextPos(covered) {
			break
		}
		covered = rec.Pos
		for _, w := range list {
			if r.meta.vector.Has(w.Dot) && !r.meta.dropped.Has(w.Dot) {
				r.log.add(w, rec.Pos, r.in.Now)
			}
		}
	}
	if r.nextPos(covered) <= r.applied {
		r.log = writeLog{}
		r.meta.dropped.Merge(r.meta.vector)
	}
}

// nextPos is the position that follows another one: the next that was not made void.
func (r *Replica) nextPos(pos uint64) uint64 {
	next := pos + 1
	for again := true; again; {
		again = false
		for _, v := range r.voids {
			if v.after <= next && next < v.before {
				next, again = v.before, true
			}
		}
	}
	return next
}

// replayCuts takes the cuts of a record that the state does not hold.
func (r *Replica) replayCuts(body []byte) (ok bool) {
	in := reader{wire.Reader{B: body}}
	list := in.cuts()
	if in.Bad || len(in.B) > 0 {
		return false
	}
	for _, c := range list {
		r.enterCut(c)
	}
	return true
}

func decodeRecordWrites(b []byte) (list []*Write, ok bool) {
	in := reader{wire.Reader{B: b}}
	for len(in.B) > 0 && !in.Bad {
		w, err := decodeWrite(in.Bytes())
		if err != nil {
			return nil, false
		}
		list = append(list, w)
	}
	return list, !in.Bad
}

// becomeSuspect stops this replica from giving stamps: its disk has lost writes that others have.
func (r *Replica) becomeSuspect() {
	r.flyArrived()
	r.suspect = true
	r.life = max(r.life+1, uint64(r.in.Stamp))
	r.out.Note(SuspectNote{true})
	r.writeMark()
	r.refuseAll("this replica's disk has lost something; use another one")
	for _, p := range r.peers {
		p.surveyed = false
		if p.up && !p.gone {
			r.pull(p)
		}
	}
}

// refuseAll ends the commands that wait.
func (r *Replica) refuseAll(why string) {
	for _, q := range append(r.queue, r.behind...) {
		// Early: nothing was done.
		r.out.ReplyEarly(q.id, kv.Result{Code: kv.Unavailable, Detail: why})
	}
	r.under -= len(r.queue)
	r.queue, r.behind = nil, nil
	r.giveUpAll(why)
}

// cure lets a suspect replica work again once it holds all that any other member has of it, and everything else that they
// said they hold. Its next stamp is later than any that it can have given, and says what is lost in between (rule B8).
func (r *Replica) cure() {
	if !r.suspect || !r.joined() && !r.config.Settled || r.underWay() || r.cells.changed() || len(r.out.State) > 0 {
		return
	}
	for _, p := range r.peers {
		if p.gone {
			continue // it is gone, and what it held is with the others
		}
		if !p.surveyed || !r.meta.vector.Covers(p.known) {
			return
		}
	}
	r.suspect = false
	if r.leaving() && r.options.Mutation != StampSealed { // it gives no stamp any more; what it lost lies beyond the last one that the others note
		r.writeMark()
		r.out.Note(SuspectNote{false})
		return
	}
	w := &Write{Dot: Dot{r.nextStamp(&Token{}), r.self}, Ops: []Op{{Kind: Lost, Since: r.meta.vector.At(r.self)}}}
	if !r.joined() { // it had, and nobody is left who knows
		w.Ops = append(w.Ops, Op{Kind: Join, Member: r.self})
	}
	w.seal()
	r.base = slices.Clone(r.meta.vector)
	f := &flight{}
	f.add(w)
	r.fly(f)
	r.writeMark()
	r.out.Note(SuspectNote{false})
}
