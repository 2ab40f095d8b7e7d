package bayou

import (
	"cmp"
	"math"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

const (
	// flightBytes and flightCommands bound what is accepted for one sync; the rest waits for the next.
	flightBytes    = 1 << 20
	flightCommands = 4096
	// behindMax bounds the commands that wait for their sessions.
	behindMax = 4096
	// queueMin writes may always be under way.
	queueMin = 512
)

// Room is how many more writes this replica takes (rule F2). What waits for its session takes no room: it waits for peers.
func (r *Replica) Room() int { return r.load.Limit(queueMin) - r.under }

// request is a command of a client on its way.
type request struct {
	id      core.RequestID
	command kv.Command
	token   Token
	// context is what the command replaces of siblings; nil: what this replica holds.
	context Vector
	// growth is by how much the operations that are not judged yet let sets grow, at most.
	growth int
	// read says that it changes nothing and needs no place among the writes; late that one that changes nothing does.
	read, late bool
	// until is when it ends unless it was executed: in time for the client to hear of it.
	until core.Time
}

// flight is a record on its way to the disk: writes of peers, or of clients here, and the reads that follow them.
type flight struct {
	pos    uint64
	writes []*Write
	// size bounds the bytes of the record.
	size  int
	calls []call
	reads []*request
	// done says that the writes are applied and only the reads are left.
	done bool
	// own says that the write is one of this replica, of which no client asked for.
	own bool
	// cuts are those of the commit order; a flight has these or writes.
	cuts []cut
	// copied is a vector that is taken over with the writes: the bug that CopyVector plants.
	copied Vector
}

// call is a command and the write that it became; results that were settled when it was accepted have a code.
type call struct {
	request *request
	write   *Write
	results []kv.Result
}

// take judges what has arrived. Reads that can be served are served, the rest waits for the Flush, in order.
func (r *Replica) take(list []core.Request) {
	for i := range list {
		q := &request{id: list[i].ID, read: list[i].Read, until: r.in.Now + (list[i].Deadline-r.in.Now)/5*4}
		if res, ok := r.open(q, list[i].Command); !ok {
			// Early: the refusal speaks of the request itself, whatever this replica forgets.
			r.out.ReplyEarly(q.id, res)
			continue
		}
		r.behind = append(r.behind, q)
	}
}

// open decodes a command and refuses what cannot be served.
func (r *Replica) open(q *request, encoded []byte) (res kv.Result, ok bool) {
	if err := kv.DecodeCommand(encoded, &q.command); err != nil {
		return kv.Result{Code: kv.Invalid, Detail: "command: " + err.Error()}, false
	}
	offers := Offers
	if r.ordering.on {
		offers = OffersOrdered
	}
	if err := offers(&q.command); err != nil {
		return kv.Failed(err), false
	}
	if r.config.Eventual && q.command.Level == kv.LevelDefault {
		q.command.Level, q.command.Token = kv.LevelEventual, nil
	}
	var err error
	if q.token, err = openToken(r.config.Binding, q.command.Token); err != nil {
		return kv.Failed(err), false
	}
	if err = r.openContext(q); err != nil {
		return kv.Failed(err), false
	}
	q.late = !q.read && q.command.ReadOnly() || barrier(&q.command)
	switch {
	case !r.joined():
		return kv.Result{Code: kv.Unavailable, Detail: "this replica is joining the group and does not hold all of it yet; use another one"}, false
	case r.leaving() && !q.read:
		return kv.Result{Code: kv.Unavailable, Detail: "this replica is leaving the group; use another one"}, false
	case r.suspect:
		return kv.Result{Code: kv.Unavailable, Detail: "this replica's disk has lost something, and it asks its peers what it held; use another one"}, false
	case !q.read && !q.late && r.in.Unfit:
		return kv.Result{Code: kv.Unavailable, Detail: "this node's clock is far from the others', or its disk is full or does not answer; write through another one"}, false
	case len(r.behind) >= behindMax:
		return kv.Result{Code: kv.Busy, Detail: "too many commands wait for what their sessions have seen; retry after a pause"}, false
	}
	return res, true
}

func barrier(c *kv.Command) bool {
	for i := range c.Ops {
		if c.Ops[i].Kind != kv.OpNone {
			return false
		}
	}
	return true
}

// serveBehind lets those commands go on whose sessions this replica has caught up with. It asks the peers for what the
// others lack, and gives up on them when their time is over, or at once if there is nobody to ask.
func (r *Replica) serveBehind() {
	if len(r.behind) == 0 || len(r.out.State) > 0 || r.cells.changed() {
		r.out.Again = r.out.Again || len(r.behind) > 0
		return
	}
	kept := r.behind[:0]
	for _, q := range r.behind {
		if !r.ready(q) {
			kept = append(kept, q)
		}
	}
	clear(r.behind[len(kept):])
	r.behind = kept
}

// ready answers or queues one command, unless it has to wait.
func (r *Replica) ready(q *request) bool {
	read, written := q.token.needs(q.command.Level, !q.command.ReadOnly())
	if r.options.Mutation == ReadsOnly && !q.command.ReadOnly() {
		read, written = nil, nil
	}
	behind, err := r.judge(read, written)
	switch {
	case err != nil:
		// Early: nothing was done, and what is lost stays lost.
		r.out.ReplyEarly(q.id, kv.Failed(err))
	case behind && r.in.Now < q.until && r.pullAll():
		return false
	case behind:
		// Early: nothing was done.
		r.out.ReplyEarly(q.id, kv.Result{Code: kv.BehindSession, Detail: "this replica has not seen yet what the session has; ask the one that served it before, or retry"})
	case q.read:
		// Early: the state shows only what is durable.
		r.out.ReplyEarly(q.id, r.answer(q))
	case !q.late && r.Room() <= 0:
		// Early: nothing was done.
		r.out.ReplyEarly(q.id, kv.Result{Code: kv.Busy, Detail: "there is more to write than can be written soon; retry after a pause"})
	default:
		r.enqueue(q)
	}
	return true
}

func (r *Replica) enqueue(q *request) {
	r.queue = append(r.queue, q)
	r.under++
	r.load.Observe(r.in.Now)
}

// answer reads for a command; the state shows all that its session has seen.
func (r *Replica) answer(q *request) kv.Result {
	if r.ordering.on {
		return answerOrdered(r.in.View, &r.meta, &r.ordering.state, r.ordering.shown(), &q.command, r.in.Stamp)
	}
	res := r.meta.answer(r.in.View, &q.command, r.in.Stamp)
	if r.config.Eventual {
		res.Token = nil
	}
	return res
}

// judge is meta.judge, and one thing more: nobody can have seen a write of this replica that it has not made.
func (r *Replica) judge(read, written Vector) (behind bool, err error) {
	own := max(read.At(r.self), written.At(r.self))
	switch m := r.meta; r.options.Mutation {
	case IgnoreLost:
		m.gaps = nil
		return m.judge(read, written)
	case IgnoreFormer:
		m.formers = slices.Clone(m.formers)
		for i := range m.formers {
			m.formers[i].last = math.MaxUint64
		}
		return m.judge(read, written)
	}
	if own > r.held.At(r.self) {
		return false, kv.Errorf(kv.SessionLost, "the session has seen a write of replica %d that its disk has no more; begin a new session", r.self)
	}
	return r.meta.judge(read, written)
}

// pullAll asks all peers for what they have; false: there is none to ask.
func (r *Replica) pullAll() (any bool) {
	for _, p := range r.peers {
		if p.up && !p.gone {
			any = true
			r.pullSoon(p)
		}
	}
	return any
}

// accept stamps what waits and writes it to the log, all for one sync. The next round waits until this one is applied: so
// every command is judged by a state that holds all that was accepted before it.
func (r *Replica) accept() {
	if r.accepting || r.suspect || r.transfer.running() || r.leaving() || len(r.queue) == 0 {
		return
	}
	if len(r.out.State) > 0 || r.cells.changed() {
		r.out.Again = true
		return
	}
	if r.gathers() {
		return
	}
	r.flyArrived()
	r.base = slices.Clone(r.held)
	judged := r.foresee()
	f := &flight{}
	bytes, n := 0, 0
	for ; n < len(r.queue) && n < flightCommands && bytes < flightBytes; n++ {
		q := r.queue[n]
		if q.late {
			f.reads = append(f.reads, q)
			continue
		}
		if len(f.reads) > 0 {
			r.launch(f)
			f = &flight{}
		}
		c := r.stampCommand(q, judged)
		if c.write != nil {
			f.add(c.write)
			bytes += len(c.write.raw)
		}
		f.calls = append(f.calls, c)
	}
	r.queue = append(r.queue[:0], r.queue[n:]...)
	r.launch(f)
}

// gather is how long a record waits for company, and only while fewer commands are there than half of those that were just
// answered: their clients are about to ask again, and a record for each of the first few would keep the disk busy.
const gather = millisecond

// gathers tells whether the next record waits for more commands, and until when.
func (r *Replica) gathers() bool {
	if r.gatherUntil = r.answeredAt + gather; 2*len(r.queue) >= r.answered || r.in.Now >= r.gatherUntil {
		r.gatherUntil = 0
	}
	return r.gatherUntil != 0
}

// foresee is the state as it will be when all that is in the log is applied.
func (r *Replica) foresee() *cells {
	judged := &r.judged
	judged.mutation = r.options.Mutation
	judged.begin(r.in.View)
	r.adds = r.meta.added
	for _, f := range r.flight {
		for _, w := range f.writes {
			for i := range w.Ops {
				if o := &w.Ops[i]; !f.done && o.onData() {
					judged.later(w, o)
					r.adds = r.adds || o.Kind.merges()
				}
			}
		}
	}
	return judged
}

// launch writes a record of this replica's own writes. One without any needs no record, only its turn.
func (r *Replica) launch(f *flight) {
	r.accepting = true
	r.fly(f)
	if r.options.Mutation == OfferUnsynced && len(f.writes) > 0 {
		for _, p := range r.peers {
			// Early: it is not safe. This is the bug that the mutation plants.
			r.out.SendEarly(p.id, Writes{Base: r.base, Vector: r.meta.vector, Life: r.life, List: f.writes, Clocks: r.clocks(p)})
		}
	}
}

// stampCommand makes a write of a command, or only an answer if there is nothing to change.
func (r *Replica) stampCommand(q *request, judged *cells) call {
	if r.ordering.on {
		return r.stampOrdered(q)
	}
	c := call{request: q, results: make([]kv.Result, len(q.command.Ops))}
	w := &Write{Dot: Dot{r.nextStamp(&q.token), r.self}}
	for i := range q.command.Ops {
		o := &q.command.Ops[i]
		op, code := r.judgeOp(q, o, judged, w)
		c.results[i].Existed = op.Kind == Include && judged.at(o.Key).has(o.Value)
		if c.results[i].Code = code; code != kv.OK || op.Kind == 0 {
			continue
		}
		w.Ops = append(w.Ops, op)
		judged.later(w, &w.Ops[len(w.Ops)-1])
		r.adds = r.adds || op.Kind.merges()
	}
	if len(w.Ops) == 0 {
		return c
	}
	r.last, r.ownLast = max(r.last, w.Stamp), w.Stamp
	w.seal()
	c.write = w
	return c
}

// nextStamp is later than all that this replica has seen, of which every session that it serves has seen no more (rule B1).
func (r *Replica) nextStamp(session *Token) kv.HLC {
	switch {
	case r.options.Mutation == ForgetMerge:
		return max(r.in.Stamp, r.ownLast+1)
	case r.options.Counting:
		return max(r.last, session.Read.Last(), session.Written.Last()) + 1
	}
	return max(r.in.Stamp, r.last+1)
}

// judgeOp says what an operation changes, by what this replica has accepted so far; Kind 0: nothing.
func (r *Replica) judgeOp(q *request, o *kv.Op, judged *cells, w *Write) (op Op, code kv.Code) {
	now := r.in.Stamp
	switch o.Kind {
	case kv.OpInclude, kv.OpExclude:
		return r.judgeMember(q, o, judged.at(o.Key), w)
	case kv.OpSet:
		if r.config.Siblings {
			return r.judgeSibling(q, o, judged.at(o.Key), w)
		}
		op = Op{Kind: Set, Key: o.Key, Value: o.Value, Flags: o.Flags}
		if r.adds {
			rec := judged.at(o.Key)
			op.Sums = rec.sums()
			r.looksAt(q, rec, w)
		}
		switch o.Expiry {
		case kv.ExpireAt:
			op.ExpireAt = max(o.Expire, 1)
		case kv.ExpireIn:
			op.ExpireAt = max(now.UnixMilli()+o.Expire, 1)
		}
		return op, kv.OK
	case kv.OpDelete:
		rec := judged.at(o.Key)
		if _, ok := rec.show(now); !ok {
			return op, kv.NotFound
		}
		r.looksAt(q, rec, w)
		return Op{Kind: Delete, Key: o.Key, Sums: rec.sums()}, kv.OK
	case kv.OpIncr:
		return r.judgeAdd(judged.at(o.Key), w, o.Key, o.Delta)
	case kv.OpCounter:
		rec := judged.at(o.Key)
		if _, ok := rec.show(now); !ok {
			return op, kv.NotFound
		}
		return r.judgeAdd(rec, w, o.Key, int64(o.Magnitude))
	}
	return op, kv.OK
}

// judgeAdd says whether an addition can be made to a record as it is seen here.
func (r *Replica) judgeAdd(rec *record, w *Write, key []byte, delta int64) (op Op, code kv.Code) {
	now := r.in.Stamp
	switch {
	case len(rec.parts) > 0:
		return op, kv.WrongType
	case rec.live(now) && rec.ends() != 0:
		return op, kv.Unsupported
	}
	n, ok := rec.number(now)
	switch {
	case !ok:
		return op, kv.NotInteger
	case delta > 0 && n > math.MaxInt64-delta, delta < 0 && n < math.MinInt64-delta:
		return op, kv.Overflow
	}
	return Op{Kind: Add, Key: key, Delta: delta, Run: cmp.Or(rec.runOf(r.self), w.Stamp)}, kv.OK
}
