package sim

import (
	"math/rand/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/txn"
)

// txnTimeout is how long a node may try a transaction.
const txnTimeout = 3 * Second

// txnClient is a closed loop of transactions and single operations on the same keys.
type txnClient struct {
	w       *txnWorld
	id      int
	rng     *rand.Rand
	think   core.Time
	count   int
	history referee.History
	// seen are the values last read, which conditions build on.
	seen map[string]string

	op   *referee.Op
	done bool
}

func newTxnClient(w *txnWorld, i int) *txnClient {
	c := &txnClient{w: w, id: i, rng: stream(w.options.Seed, "txn client", i), seen: map[string]string{}}
	c.think = Millisecond * core.Time(5+c.rng.Int64N(60))
	if w.options.Think > 0 {
		c.think = w.options.Think
	}
	return c
}

// next begins an operation: a transaction, or one command to one group.
func (c *txnClient) next() {
	if c.w.draining {
		c.done = true
		return
	}
	c.count++
	step := c.w.workload.next(c.w, c)
	c.op = &step.op
	c.op.Client, c.op.Call = c.id, int64(c.w.now)
	n := c.w.nodes[c.rng.IntN(len(c.w.nodes))]
	c.op.Node = uint32(n.id)
	if len(step.pipeline) > 0 {
		c.pipe(n, step)
		return
	}
	answered := false
	answer := func(r kv.Result) {
		c.w.after(c.travel(), func() {
			if !answered {
				answered = true
				c.end(step, r)
			}
		})
	}
	c.w.after(txnTimeout+requestTimeout, func() {
		if !answered {
			answered = true
			c.end(step, kv.Result{Code: kv.Unknown, Detail: "no answer"})
		}
	})
	c.w.after(c.travel(), func() {
		switch {
		case !n.up:
			answer(kv.Result{Code: kv.Unavailable, Detail: "connection refused"})
		case step.txn == nil:
			c.single(n, step, answer)
		default:
			n.arrive(func(host.Now) { c.transact(n, step, answer) })
		}
	})
}

func (c *txnClient) travel() core.Time { return core.Time(20e3 + c.rng.Int64N(200e3)) }

// single is one operation on one key.
func (c *txnClient) single(n *node, step *txnStep, answer func(kv.Result)) {
	command := kv.Command{Ops: []kv.Op{step.single}}
	g := c.w.rootOf(step.single.Key)
	if r, gone := c.w.absent(n, g.id, nil); gone {
		answer(r)
		return
	}
	encoded := kv.AppendCommand(nil, &command)
	if command.ReadOnly() {
		n.read(g, encoded, requestTimeout, func(r kv.Result) { answer(step.scanned(r)) })
		return
	}
	n.submit(g, encoded, false, false, requestTimeout, answer)
}

// transact is what a node does of a transaction.
func (c *txnClient) transact(n *node, step *txnStep, answer func(kv.Result)) {
	a, err := txn.NewAttempts(step.txn, c.w.newID(n, c.rng), c.w.groupsOf(n))
	if e, ok := err.(*kv.Error); ok && e.Code == kv.NoKeyspace && c.w.dropped {
		answer(kv.Failed(err))
		return
	}
	if err != nil {
		c.w.fail(Invariant, "a transaction cannot be divided: %v", err)
		return
	}
	finish := func(r kv.TxnResult) { answer(step.result(&r)) }
	deadline := c.w.now + txnTimeout
	if step.txn.ReadOnly() {
		s, _ := txn.NewSnapshot(step.txn, c.w.groupsOf(n), c.w.options.Coordinator)
		c.readRound(n, n.life, s, deadline, func(r kv.TxnResult, ok bool) {
			if ok && (r.Code != kv.Moved || a.Divide() != nil) {
				finish(r)
				return
			}
			c.attempt(n, n.life, a, deadline, Millisecond, finish)
		})
		return
	}
	c.attempt(n, n.life, a, deadline, Millisecond, finish)
}

// readRound reads for a snapshot, and again until it is done.
func (c *txnClient) readRound(n *node, life int, s *txn.Snapshot, deadline core.Time, finish func(kv.TxnResult, bool)) {
	sends := s.Reads()
	left := len(sends)
	for _, at := range sends {
		answer := func(r kv.Result) {
			s.Answer(at.Group, &r)
			if left--; left > 0 || n.life != life || !n.up {
				return
			}
			if !s.Round() {
				c.readRound(n, life, s, deadline, finish)
				return
			}
			finish(s.Result())
		}
		if r, gone := c.w.absent(n, core.GroupID(at.Group), nil); gone {
			c.w.after(0, func() { answer(r) })
			continue
		}
		n.readOf(c.w.byID[core.GroupID(at.Group)], true, kv.AppendCommand(nil, &at.Command), max(deadline-c.w.now, Millisecond), answer)
	}
}

// attempt makes one attempt after the other.
func (c *txnClient) attempt(n *node, life int, a *txn.Attempts, deadline, pause core.Time, finish func(kv.TxnResult)) {
	if n.life != life || !n.up {
		return
	}
	r := &txnRun{w: c.w, node: n, life: life, timeout: max((deadline-c.w.now)*2/3, Millisecond)}
	var sends []txn.Send
	r.c, sends = txn.Begin(a.ID(), a.Parts(), c.w.options.Coordinator)
	r.decided = func() {
		r.timeout = requestTimeout
		switch r.c.Outcome() {
		case txn.Open:
			finish(a.Unknown())
			return
		case txn.Committed:
			finish(a.Succeeded(r.c))
			return
		}
		res, again := a.Next(r.c.Refusal())
		if !again || c.w.now+2*pause > deadline {
			finish(res)
			return
		}
		c.w.after(pause/2+core.Time(c.rng.Int64N(int64(pause))), func() {
			c.attempt(n, life, a, deadline, min(2*pause, 32*Millisecond), finish)
		})
	}
	r.send(sends)
}

func (c *txnClient) end(step *txnStep, r kv.Result) {
	c.finished(step, r)
	c.rest()
}

// rest lets some time pass before the next operation.
func (c *txnClient) rest() { c.w.after(core.Time(c.rng.ExpFloat64()*float64(c.think)), c.next) }

// finished takes the end of an operation.
func (c *txnClient) finished(step *txnStep, r kv.Result) {
	w := c.w
	w.trace.mix('A', uint64(c.id), uint64(r.Code), r.Value)
	step.op.Answer(int64(w.now), &r)
	w.trace.tellf("client %d: %s %s", c.id, step.op.String(), r.Detail)
	if w.options.ScansEnd && step.single.Kind == kv.OpScan && r.Code != kv.OK && !step.op.Executed() {
		w.fail(Liveness, "a scan of client %d is not answered while transactions go on: %s %s", c.id, r.Code, r.Detail)
	}
	switch {
	case step.op.Outcome == referee.Unknown:
		w.stats.Unknown++
	case step.op.Outcome == referee.Refused || !step.op.Executed():
		w.stats.Refused++
	default:
		w.stats.Acked++
		c.learn(&step.op)
	}
	c.history = append(c.history, step.op)
}

// learn keeps what was read.
func (c *txnClient) learn(o *referee.Op) {
	if o.Kind == referee.Get {
		c.saw(o.Key, o.Code, o.Got)
	}
	for _, s := range o.Subs {
		switch s.Kind {
		case referee.Get:
			c.saw(s.Key, s.Code, s.Got)
		case referee.Set:
			c.seen[s.Key] = s.Value
		}
	}
}

func (c *txnClient) saw(key string, code kv.Code, value string) {
	if code == kv.NotFound {
		value = ""
	}
	c.seen[key] = value
}
