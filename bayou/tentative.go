package bayou

import (
	"cmp"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// What clients meet in a group with a commit order: commands that are written as they are, answers that say whether they may
// still change, and waiting until they cannot.

// orderedLevels are those that a group with a commit order can give.
var orderedLevels = append(slices.Clone(levels), kv.LevelTentative, kv.LevelCommitted)

// OffersOrdered is Offers for a group with a commit order: since all replicas execute its writes in one order in the end, a write may
// depend on what it finds.
func OffersOrdered(c *kv.Command) error {
	if !slices.Contains(orderedLevels, c.Level) {
		return kv.Errorf(kv.Unsupported, "level %s cannot be given here; the levels are tentative, committed, session, each of its guarantees alone, and eventual", c.Level)
	}
	if len(c.Conds) > 0 && c.ReadOnly() {
		return unsupported("a condition on a command that changes nothing would need a place in the order")
	}
	if len(c.Context) > 0 {
		return kv.Errorf(kv.Unsupported, "a context is of no use where writes have an order: a condition on what was read says the same; a causal keyspace with --conflict siblings takes contexts")
	}
	plain := len(c.Conds) == 0
	ops := c.Ops
	if c.Merge != nil {
		for i := range c.Merge.Alternatives {
			ops = slices.Concat(ops, c.Merge.Alternatives[i].Ops)
		}
	}
	for i := range ops {
		if err := offersOrdered(&ops[i]); err != nil {
			return err
		}
		k := ops[i].Kind
		plain = plain && ops[i].When == kv.Always && (k.ReadOnly() || k == kv.OpSet || k == kv.OpDelete)
	}
	if !plain && !c.Session.IsZero() {
		return kv.Errorf(kv.Unsupported, "a write that is sent again to another replica would be executed twice, so one that depends on what it finds must not carry a request id; leave it out, give the write a condition that holds once, or use a linearizable keyspace")
	}
	return nil
}

func offersOrdered(o *kv.Op) error {
	switch {
	case o.Kind.Merges():
		return kv.Errorf(kv.Unsupported, "a keyspace with a commit order has no sets and no siblings, since its writes have an order: a value that is appended to, or a merge procedure, keeps what several have written; a causal keyspace without a commit order has sets and siblings")
	case o.Kind == kv.OpClear:
		return unsupported("clearing a keyspace touches all keys, and so would hold up the order of all writes; drop it and make it anew, or delete key by key")
	case o.Kind == kv.OpExpire, o.Kind == kv.OpRecache, o.Kind == kv.OpInvalidate, o.Expiry == kv.ExpireAt, o.Expiry == kv.ExpireIn:
		return kv.Errorf(kv.Unsupported, "a time to live would have ended for some writes and not for others, whose order is not known yet; delete the key, or use a linearizable keyspace, or a causal one without a commit order")
	case o.NewVersion != 0:
		return unsupported("versions are stamps here and cannot be chosen")
	}
	return nil
}

// stampOrdered makes a write of a command as it is: what it does is known when it is executed.
func (r *Replica) stampOrdered(q *request) call {
	w := &Write{Dot: Dot{r.nextStamp(&q.token), r.self}}
	command := kv.Command{Conds: q.command.Conds, Ops: q.command.Ops, Merge: q.command.Merge}
	w.Ops = []Op{{Kind: Execute, Value: kv.AppendCommand(nil, &command)}}
	r.last, r.ownLast = max(r.last, w.Stamp), w.Stamp
	w.seal()
	return call{request: q, write: w}
}

// applyOrdered takes the cuts of a flight, or executes its writes as tentative ones.
func (r *Replica) applyOrdered(f *flight) {
	for _, c := range f.cuts {
		r.enterCut(c)
	}
	fresh := slices.DeleteFunc(slices.Clone(f.writes), func(w *Write) bool { return r.ordering.committed(w.Dot) })
	slices.SortFunc(fresh, func(a, b *Write) int { return a.Compare(b.Dot) })
	results := r.insert(fresh)
	for _, w := range f.writes {
		r.applyWrite(w)
		if f.own {
			r.fresh = append(r.fresh, w)
		}
	}
	for i := range f.calls {
		c := &f.calls[i]
		r.fresh = append(r.fresh, c.write)
		r.answerTentative(c, results[c.write.Dot])
	}
	if f.copied != nil {
		r.meta.vector.Merge(f.copied)
	}
	if len(f.writes) > 0 && !f.local() {
		r.reportSoon()
	}
}

// reportSoon tells the member that mostly asks for cuts that there is something new here: it waits for a majority.
func (r *Replica) reportSoon() {
	for _, p := range r.peers {
		if p.up && !p.gone && p.id < r.self {
			r.pullSoon(p)
			return
		}
	}
}

// answerTentative answers a write that was executed, unless its client waits until it is committed.
func (r *Replica) answerTentative(c *call, res kv.Result) {
	if c.request.command.Level == kv.LevelCommitted && r.options.Mutation != ReplyTentative {
		r.wait(c.request, c.write.Dot)
		return
	}
	r.replyOrdered(c.request, c.write.Dot, res, orderedLevel(c.request.command.Level))
}

// replyOrdered answers a write. What it says may change while it is tentative.
func (r *Replica) replyOrdered(q *request, d Dot, res kv.Result, level kv.Level) {
	seen := Token{Binding: r.meta.binding, Written: Vector{{d.Replica, d.Stamp}}}
	if !blind(&q.command) {
		seen.Read = r.meta.brief(r.meta.vector)
	}
	name(&res, d)
	for i := range res.Items {
		name(&res.Items[i], d)
	}
	if q.command.Receipt {
		res.Position = r.ordering.state.count
	}
	res.Level, res.AsOf, res.Token = level, r.in.Stamp.UnixMilli(), seen.AppendTo(nil)
	// Early: the write is on this disk; that it is committed, if this says so, is on the disks of a majority.
	r.out.ReplyEarly(q.id, res)
}

// name says in a result whose write gave the version.
func name(res *kv.Result, d Dot) {
	if res.Version == uint64(d.Stamp) {
		res.Origin = uint32(d.Replica)
	}
}

// blind says that the answer to a command tells nothing of what was there before.
func blind(c *kv.Command) bool {
	return len(c.Conds) == 0 && !slices.ContainsFunc(c.Ops, func(o kv.Op) bool { return o.Kind != kv.OpSet || o.When != kv.Always || o.Old })
}

// orderedLevel is what an answer met: tentative, unless it is only a part of a session's guarantees that was asked for.
func orderedLevel(asked kv.Level) kv.Level {
	switch asked {
	case kv.LevelDefault, kv.LevelSession, kv.LevelCommitted:
		return kv.LevelTentative
	}
	return asked
}

// waiter is a client that waits until writes are committed: its own one, or all that its session has written.
type waiter struct {
	request *request
	dot     Dot    // zero: what its session has written
	session Vector //
}

func (r *Replica) wait(q *request, d Dot) {
	r.ordering.waiting = append(r.ordering.waiting, waiter{q, d, q.token.Written})
}

// answerCommitted answers who waits for a write, which has its place now.
func (r *Replica) answerCommitted(d Dot, results map[Dot]kv.Result) {
	o := &r.ordering
	o.waiting = slices.DeleteFunc(o.waiting, func(w waiter) bool {
		if w.dot != d {
			return false
		}
		r.replyOrdered(w.request, d, results[d], kv.LevelCommitted)
		return true
	})
}

// serveWaiting answers those whose sessions' writes are committed, and those whose time is over.
func (r *Replica) serveWaiting() {
	o := &r.ordering
	if len(o.waiting) == 0 || o.state.stale {
		return
	}
	o.waiting = slices.DeleteFunc(o.waiting, func(w waiter) bool {
		switch {
		case w.dot.IsZero() && r.allCommitted(w.session):
			res := kv.Result{Level: kv.LevelCommitted, AsOf: r.in.Stamp.UnixMilli()}
			if w.request.command.Receipt {
				res.Position = o.state.count
			}
			// Early: that they are committed is on the disks of a majority.
			r.out.ReplyEarly(w.request.id, res)
		case !w.dot.IsZero() && o.committed(w.dot):
			// The state that says so came from a peer, which executed it.
			r.giveUp(w, "the write is committed, but what it did there is not known here; read it back")
		case r.in.Now >= w.request.until:
			r.giveUp(w, "what was written is tentative: it is on disk here, and will be committed when a majority of the replicas can be reached; what it does may change until then")
		default:
			return false
		}
		return true
	})
}

// giveUp ends the waiting of a client. What it waits for may still come.
func (r *Replica) giveUp(w waiter, why string) {
	// Early: it promises nothing.
	r.out.ReplyEarly(w.request.id, kv.Result{Code: kv.Unknown, Detail: why})
}

// giveUpAll ends the waiting of all.
func (r *Replica) giveUpAll(why string) {
	for _, w := range r.ordering.waiting {
		r.giveUp(w, why)
	}
	r.ordering.waiting = nil
}

func (r *Replica) allCommitted(v Vector) bool {
	return !slices.ContainsFunc(v, func(e Entry) bool { return !r.ordering.committed(Dot{e.Stamp, e.Replica}) })
}

// orderedFlag is set in the version of the meta record of a group with a commit order.
const orderedFlag = 0x80

// readOrdered is Read for a state with a commit order, over one snapshot.
func readOrdered(view core.View, c *kv.Command, now kv.HLC) (res kv.Result, needsStep bool) {
	s := view.Snapshot()
	defer s.Close()
	raw, ok := s.Get(metaKey)
	o := readOrder(s)
	if !ok || o.stale || waits(c) {
		return res, true
	}
	m := decodeMeta(raw)
	token, err := openToken(m.binding, c.Token)
	if err != nil {
		return kv.Failed(err), false
	}
	read, written := token.needs(c.Level, false)
	behind, err := m.judge(read, written)
	switch {
	case err != nil:
		return kv.Failed(err), false
	case behind:
		return res, true
	}
	seen := o.base
	if !o.done.IsZero() {
		seen = m.vector
	}
	return answerOrdered(s, &m, &o, seen, c, now), false
}

// waits says that a command is there to wait: for all that its session has written to be committed.
func waits(c *kv.Command) bool { return c.Level == kv.LevelCommitted && barrier(c) }

// answerOrdered reads what a command asks for; the session is served. committed is what the committed view has seen at most.
func answerOrdered(view core.View, m *meta, o *orderState, committed Vector, c *kv.Command, now kv.HLC) kv.Result {
	level, seen := orderedLevel(c.Level), m.vector
	var still core.View = stillView{view}
	if c.Level == kv.LevelCommitted {
		level, seen, still = kv.LevelCommitted, committed, stillView{committedView{view}}
	}
	var res kv.Result
	if !barrier(c) {
		res, _, _ = machine.ReadAt(still, c, now)
	}
	token := Token{Binding: m.binding, Read: m.brief(seen)}
	res.Token, res.Level, res.AsOf, res.Position = token.AppendTo(nil), level, now.UnixMilli(), 0
	if c.Receipt {
		res.Position = o.count
	}
	return res
}

// stillView is a view that does not change while it is looked at, so that it is its own snapshot.
type stillView struct{ core.View }

func (v stillView) Snapshot() core.Snapshot { return v }

// Close leaves the view to whom it belongs.
func (v stillView) Close() {}

// committedView shows what is committed: without what the tentative writes have changed.
type committedView struct{ core.View }

// Get reads the committed record.
func (v committedView) Get(key []byte) ([]byte, bool) {
	if key[0] == dataKind {
		if raw, ok := v.View.Get(undoKey(key[1:])); ok {
			record := undone(raw)
			return record, record != nil
		}
	}
	return v.View.Get(key)
}

// Scan merges the committed records of the keys that tentative writes touch into all others.
func (v committedView) Scan(from, to []byte, f func(key, value []byte) bool) {
	touched, goes := v.touched(from, to), true
	before := func(until []byte) {
		for goes && len(touched) > 0 && (until == nil || cmp.Compare(string(touched[0].Key), string(until)) < 0) {
			p := touched[0]
			touched = touched[1:]
			goes = p.Value == nil || f(p.Key, p.Value)
		}
	}
	v.View.Scan(from, to, func(key, value []byte) bool {
		if before(key); !goes {
			return false
		}
		if len(touched) == 0 || string(touched[0].Key) != string(key) {
			goes = f(key, value)
		}
		return goes
	})
	before(nil)
}

// touched are the committed records of a range of data that tentative writes touch; nil: there is none.
func (v committedView) touched(from, to []byte) (list []Pair) {
	end := []byte{undoKind + 1}
	if len(to) > 0 && to[0] == dataKind {
		end = undoKey(to[1:])
	}
	v.View.Scan(undoKey(from[1:]), end, func(key, raw []byte) bool {
		list = append(list, Pair{dataKey(key[1:]), undone(slices.Clone(raw))})
		return true
	})
	return list
}
