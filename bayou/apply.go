package bayou

import (
	"encoding/binary"
	"strconv"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// fly writes the writes of a flight to the log, behind those that have arrived.
func (r *Replica) fly(f *flight) {
	r.flyArrived()
	if len(f.writes) > 0 {
		r.pos++
		body := make([]byte, 0, f.size)
		for _, w := range f.writes {
			body = wire.AppendBytes(body, w.raw)
			r.hold(w)
		}
		r.untold = true
		r.out.Write(core.Record{Kind: recordWrites, Pos: r.pos, Body: body})
	}
	if len(f.cuts) > 0 {
		r.flyCuts(f.cuts)
	}
	f.pos = r.pos
	r.flight = append(r.flight, f)
	r.out.Again = r.out.Again || f.pos <= r.durable
}

// add puts a write into the flight.
func (f *flight) add(w *Write) {
	f.writes = append(f.writes, w)
	f.size += len(w.raw) + binary.MaxVarintLen32
}

// hold takes note of a write that is on its way into the log.
func (r *Replica) hold(w *Write) {
	r.held.Raise(w.Replica, w.Stamp)
	r.last = max(r.last, w.Stamp)
}

// underWay says that there are writes which are not applied yet.
func (r *Replica) underWay() bool { return len(r.flight) > 0 || r.arrived != nil }

// company says that a record is on its way to the disk, which all that arrives meanwhile would wait for, or that one is about to be
// written.
func (r *Replica) company() bool { return len(r.flight) > 0 || r.gatherUntil != 0 }

// flyArrived writes to the log what has arrived.
func (r *Replica) flyArrived() {
	if f := r.arrived; f != nil {
		r.arrived = nil
		r.fly(f)
	}
}

// flyAlone writes to the log what has arrived and has nothing to wait for.
func (r *Replica) flyAlone() {
	if !r.company() && !r.out.Again {
		r.flyArrived()
	}
}

// apply shows what is durable, in the order of the log: nothing is shown, answered or offered before it is (rules D4, B1).
func (r *Replica) apply() {
	for len(r.flight) > 0 && r.flight[0].pos <= r.durable {
		f := r.flight[0]
		if !f.done {
			if r.ordering.on && (r.cells.changed() || len(r.out.State) > 0) {
				r.out.Again = true // writes are executed on what the state shows
				return
			}
			r.applyFlight(f)
			f.done = true
		}
		if len(f.reads) > 0 {
			if r.cells.changed() || len(r.out.State) > 0 {
				r.out.Again = true // the reads must see it
				return
			}
			for _, q := range f.reads {
				if r.ordering.on && waits(&q.command) {
					r.wait(q, Dot{})
					continue
				}
				// Early: the state shows only what is durable.
				r.out.ReplyEarly(q.id, r.answer(q))
			}
			r.under -= len(f.reads)
		}
		r.flight = r.flight[1:]
	}
	if !r.met {
		r.met = true
		r.meet()
	}
	if r.accepting && !r.localInFlight() {
		r.accepting = false
		r.out.Again = r.out.Again || len(r.queue) > 0
	}
}

func (r *Replica) localInFlight() bool {
	for _, f := range r.flight {
		if f.local() {
			return true
		}
	}
	return false
}

// local reports whether the flight is of clients here.
func (f *flight) local() bool { return f.own || len(f.calls)+len(f.reads) > 0 }

func (r *Replica) applyFlight(f *flight) {
	r.applied = f.pos
	if r.ordering.on {
		r.applyOrdered(f)
	} else if len(f.calls)+len(f.reads) == 0 {
		for _, w := range f.writes {
			r.applyWrite(w)
			if f.own {
				r.fresh = append(r.fresh, w)
			}
		}
		if f.copied != nil {
			r.meta.vector.Merge(f.copied)
		}
	}
	for i := range f.calls {
		if !r.ordering.on {
			r.applyCall(&f.calls[i])
		}
	}
	if f.local() {
		r.answered, r.answeredAt = len(f.calls), r.in.Now
		r.under -= len(f.calls)
		r.load.Executed(len(f.calls), r.under > 0)
	}
	r.metaChanged = r.metaChanged || len(f.writes)+len(f.cuts) > 0
}

// applyWrite lets a write take effect here, once: its stamp is beyond the vector, which then holds it.
func (r *Replica) applyWrite(w *Write) {
	for i := range w.Ops {
		r.applyOp(w, &w.Ops[i])
	}
	r.enter(w)
}

func (r *Replica) applyOp(w *Write, o *Op) {
	switch o.Kind {
	case Execute: // it has its own way: see insert
	case Lost:
		r.meta.gaps = append(r.meta.gaps, gap{w.Replica, o.Since, w.Stamp})
	case Join:
		r.meta.join(membership{o.Member, w.Dot})
		r.met = false
	case Retire:
		r.meta.retire(former{o.Member, o.Since, []Dot{w.Dot}})
		if r.options.Mutation == DropEntry {
			r.meta.vector, r.held, r.meta.formers = r.meta.vector.without(o.Member), r.held.without(o.Member), nil
		}
		r.met = false
	case Set:
		// In a tie the replica decides, and a planted bug may decide otherwise.
		newest := r.recent.newest(o.Key, w.Stamp)
		if newest && !r.meta.added && r.options.Mutation == NoMutation {
			r.cells.replace(w, o)
			return
		}
		r.cells.applyOp(w, o, true)
	default:
		r.recent.newest(o.Key, w.Stamp)
		r.meta.added = r.meta.added || o.Kind.merges()
		r.cells.applyOp(w, o, true)
	}
}

// enter puts a write into the write log and into the vector.
func (r *Replica) enter(w *Write) {
	if r.ordering.on {
		r.logInState(w.Dot, w.raw)
	} else {
		r.log.add(w, r.applied, r.in.Now)
	}
	r.meta.vector.Raise(w.Replica, w.Stamp)
	r.held.Raise(w.Replica, w.Stamp)
	r.last = max(r.last, w.Stamp)
	r.metaChanged = true
	r.entered(w.Dot)
	r.out.Note(AppliedNote{w})
}

// applyCall executes a command of a client: each operation sees those before it.
func (r *Replica) applyCall(c *call) {
	next := 0
	pure := true
	for i := range c.results {
		o, res := &c.request.command.Ops[i], &c.results[i]
		pure = pure && o.Kind == kv.OpSet
		switch {
		case res.Code == kv.TooLong:
			*res = kv.Result{Code: kv.TooLong, Detail: tooMany(o.Kind)}
		case res.Code == kv.WrongType:
			*res = kv.Result{Code: kv.WrongType, Existed: true, Detail: wrongType(o.Kind)}
		case res.Code == kv.Unsupported:
			*res = kv.Result{Code: kv.Unsupported, Detail: "the key has a time to live, and a counter that ends cannot be merged; a linearizable keyspace can"}
		case res.Code != kv.OK:
			res.Existed = res.Code != kv.NotFound
		case o.Kind.ReadOnly():
			*res = r.cells.shown(o, r.in.Stamp)
		case o.Kind != kv.OpNone:
			r.applyOp(c.write, &c.write.Ops[next])
			existed := res.Existed
			*res = r.changedResult(o, c.write)
			res.Existed = res.Existed || existed
			next++
		}
	}
	seen := Token{Binding: r.meta.binding}
	if c.write != nil {
		r.enter(c.write)
		r.fresh = append(r.fresh, c.write)
		seen.Written = Vector{{r.self, c.write.Stamp}}
	}
	if !pure {
		seen.Read = r.meta.brief(r.meta.vector)
	}
	res := kv.Result{Items: c.results}
	if len(c.results) == 1 {
		res = c.results[0]
	}
	res.Level, res.AsOf = met(c.request.command.Level), r.in.Stamp.UnixMilli()
	if !res.Code.Refused() && !r.config.Eventual {
		res.Token = seen.AppendTo(make([]byte, 0, 32+10*len(seen.Read)))
	}
	// Early: the write is on this disk, which is all that is promised; what came later is no concern of this client.
	r.out.ReplyEarly(c.request.id, res)
}

// changedResult is the answer to an operation that took effect.
func (r *Replica) changedResult(o *kv.Op, w *Write) kv.Result {
	res := kv.Result{Version: uint64(w.Stamp), Origin: uint32(w.Replica)}
	switch o.Kind {
	case kv.OpDelete:
		res.Existed = true
	case kv.OpIncr, kv.OpCounter:
		res.Int, _ = r.cells.at(o.Key).number(r.in.Stamp)
		if o.Kind == kv.OpCounter {
			res.Value = strconv.AppendInt(nil, res.Int, 10)
		}
	}
	return res
}

// finish hands out what this Step changed, with the meta record and the position of the log that belong to it.
func (r *Replica) finish() {
	if r.untold {
		r.untold = false
		r.out.Send(r.self, stored{r.pos})
	}
	if !r.cells.changed() && !r.metaChanged && !r.ordering.changed {
		return
	}
	r.metaChanged = false
	r.out.State = append(r.out.State, r.cells.finish()...)
	if r.ordering.changed {
		r.ordering.changed = false
		r.out.State = append(r.out.State, core.Change{Kind: core.Put, Key: orderKey, Value: r.ordering.state.appendTo(nil)})
	}
	r.out.State = append(r.out.State,
		core.Change{Kind: core.Put, Key: core.AppliedKey, Value: r.position()},
		core.Change{Kind: core.Put, Key: metaKey, Value: r.meta.appendTo(nil)})
}

// position is the value at core.AppliedKey: the position up to which the node's log is not needed any more, then the one up to which
// the state is a fold of it. They differ by what is in the write log and in memory only.
func (r *Replica) position() []byte {
	covered := r.log.covered(r.applied)
	if r.options.Mutation == CoverMemory {
		covered = r.applied
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, covered), r.applied)
}
