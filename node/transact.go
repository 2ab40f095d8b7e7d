package node

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/txn"
)

const (
	// transactionsMax bounds the transactions over several shards that are under way on this node.
	transactionsMax = 4096
	// againMin and againMax bound the pause before the next attempt of a transaction that lost against others.
	againMin, againMax = time.Millisecond, 32 * time.Millisecond
)

// Transact executes a transaction: in one shard as one command, else by the votes of all its groups.
func (n *Node) Transact(t *kv.Txn, deadline time.Time) kv.TxnResult {
	return n.transact(t, deadline, &routes{node: n})
}

func (n *Node) transact(t *kv.Txn, deadline time.Time, by *routes) kv.TxnResult {
	limit := time.Now().Add(kv.TxnTimeMax)
	if deadline.IsZero() || deadline.After(limit) {
		deadline = limit
	}
	if alone, err := by.oneShard(t); err == nil && !t.ID.IsZero() {
		// Under its id it can only be asked for as one that has been voted for, be it in one shard.
	} else if err != nil {
		return failedTxn(err)
	} else if alone {
		res := n.transactAlone(t, deadline)
		if alone, err = by.oneShard(t); res.Code != kv.CrossShard || err != nil || alone {
			return res
		}
		// Its shard was split meanwhile.
	}
	if err := txn.Check(t); err != nil {
		return failedTxn(err)
	}
	if n.skewed.Load() {
		return kv.TxnResult{Code: kv.ClockSkew, Detail: "this node's clock is far from the others', which would take its transactions for old ones; ask another node"}
	}
	if n.transactions.Add(1) > transactionsMax {
		n.transactions.Add(-1)
		return kv.TxnResult{Code: kv.Busy, Detail: "too many transactions under way on this node; retry after a pause"}
	}
	defer n.transactions.Add(-1)
	id := t.ID
	if id.IsZero() {
		id = n.newTxID()
	}
	a, err := txn.NewAttempts(t, id, by.groupOf)
	if err == nil && !t.ID.IsZero() {
		err = n.checkOwnID(t, a)
	}
	if err != nil {
		return failedTxn(err)
	}
	if t.ReadOnly() && t.ID.IsZero() {
		if r, ok := n.snapshot(t, deadline, by); ok && r.Code != kv.Moved {
			return r
		} else if r.Code == kv.Moved && a.Divide() != nil {
			return r
		}
	}
	return n.attempt(a, deadline, by, !t.ID.IsZero())
}

// checkOwnID judges an id that a client made up.
func (n *Node) checkOwnID(t *kv.Txn, a *txn.Attempts) error {
	away := t.ID.Age.UnixMilli() - n.clocks.millis(n.clocks.mono())
	switch {
	case len(t.Else) > 0:
		return kv.Errorf(kv.Unsupported, "a transaction with else may take several attempts, and so no id of its client's")
	case away > txAheadMillis || -away > txAheadMillis:
		return kv.Errorf(kv.ClockSkew, "the transaction's id is of a time that is %d s away from this node's; nothing was executed", away/1000)
	case a.ID() != t.ID:
		return kv.Errorf(kv.Moved, "the transaction's id names group %d, and the lowest of its groups is %d; nothing was executed", t.ID.Anchor, a.ID().Anchor)
	}
	return nil
}

func failedTxn(err error) kv.TxnResult {
	r := kv.Failed(err)
	return kv.TxnResult{Code: r.Code, Detail: r.Detail}
}

// newTxID names a transaction that begins now.
func (n *Node) newTxID() kv.TxID {
	var nonce [8]byte
	rand.Read(nonce[:]) // it never fails
	return kv.TxID{Age: n.clocks.stamp(n.clocks.mono()), Nonce: binary.BigEndian.Uint64(nonce[:])}
}

// transactAlone executes a transaction in one shard: a command there is atomic by itself. Else is a second command, under the
// condition that the one which did not hold still does not.
func (n *Node) transactAlone(t *kv.Txn, deadline time.Time) kv.TxnResult {
	ks, conds, ops, failed := keyspaceOf(t), t.Conds, t.Then, -1
	for time.Now().Before(deadline) {
		r, group, alone, request := n.command(ks, conds, ops, deadline)
		switch {
		case r.Code == kv.ConditionFailed && len(conds) > 0 && failed >= 0:
			conds, ops, failed = t.Conds, t.Then, -1 // it holds by now
		case r.Code == kv.ConditionFailed && len(conds) > 0 && len(t.Else) > 0:
			failed = int(r.Int)
			c := t.Conds[failed]
			conds, ops = []kv.TxnCond{{Keyspace: c.Keyspace, Cond: c.Negation()}}, t.Else
		case r.Code == kv.ConditionFailed && len(conds) > 0:
			return kv.TxnResult{Code: r.Code, Cond: int(r.Int), Detail: "a condition does not hold; nothing was executed"}
		case r.Code.Refused() || r.Code == kv.Unknown || r.Code == kv.Aborted: // the last if a split has parted the keys
			return kv.TxnResult{Code: r.Code, Detail: r.Detail, Request: request}
		case alone:
			return kv.TxnResult{Items: []kv.Result{r}, Else: failed >= 0, Cond: max(0, failed), Groups: []uint64{group}}
		default:
			return kv.TxnResult{Items: r.Items[:len(ops)], Else: failed >= 0, Cond: max(0, failed), Groups: []uint64{group}}
		}
	}
	return kv.TxnResult{Code: kv.Aborted, Detail: "a condition changed again and again; nothing was executed"}
}

func keyspaceOf(t *kv.Txn) *kv.Keyspace { return t.Then[0].Keyspace }

// command executes conditions and operations of one shard, by its group. alone says that the result is that of the only operation,
// request is the id of one of unknown outcome.
func (n *Node) command(ks *kv.Keyspace, conds []kv.TxnCond, ops []kv.TxnOp, deadline time.Time) (r kv.Result, group uint64, alone bool, request string) {
	var c kv.Command
	for i := range conds {
		c.Conds = append(c.Conds, conds[i].Cond)
	}
	for i := range ops {
		c.Ops = append(c.Ops, ops[i].Op)
	}
	if alone = len(ops) == 1 && len(conds) == 0; !alone && len(ops) == 1 {
		// The result of a single operation could not be told from that of the conditions.
		c.Ops = append(c.Ops, kv.Op{Kind: kv.OpNone})
	}
	var b kv.Batch
	b.Reset(deadline)
	call := b.Add()
	call.Keyspace, call.Command = ks, c
	n.Submit(&b)
	b.Wait()
	if id, ok := call.RequestID(); ok {
		request = id.String()
	}
	return call.Result, call.Group, alone, request
}

// attempt makes attempts of a transaction until one is committed, or there is no more sense in it; or one alone.
func (n *Node) attempt(a *txn.Attempts, deadline time.Time, by *routes, once bool) kv.TxnResult {
	for pause := againMin; ; pause = min(2*pause, againMax) {
		c, sends := txn.Begin(a.ID(), a.Parts(), txn.NoMutation)
		// What is left when the votes do not come must do for the recovery.
		votes := time.Now().Add(2 * time.Until(deadline) / 3)
		sends = n.round(c, sends, votes)
		for c.Outcome() == txn.Open && len(sends) > 0 {
			sends = n.round(c, sends, deadline)
		}
		n.finishLater(c, sends)
		switch c.Outcome() {
		case txn.Open:
			n.counters.unknown.Add(1)
			return a.Unknown()
		case txn.Committed:
			return a.Succeeded(c)
		}
		why := c.Refusal()
		if why.Result.Code == kv.Moved {
			by.given(why.Group)
		}
		res, again := a.Next(why)
		if left := time.Until(deadline); !again || once || left < 2*pause {
			return res
		}
		time.Sleep(pause/2 + time.Duration(mathrand.Int64N(int64(pause))))
	}
}

// snapshot reads without locks, if that will do.
func (n *Node) snapshot(t *kv.Txn, deadline time.Time, by *routes) (res kv.TxnResult, ok bool) {
	s, err := txn.NewSnapshot(t, by.groupOf, txn.NoMutation)
	if err != nil {
		return failedTxn(err), true
	}
	for done := false; !done; done = s.Round() {
		n.ask(s.Reads(), deadline, func(at *txn.Send, r *kv.Result) { s.Answer(at.Group, r) })
	}
	return s.Result()
}

// finishLater carries the outcome to the participants after the client has its answer. What does not arrive is found by the
// sweeps of their leaders.
func (n *Node) finishLater(c *txn.Coordinator, sends []txn.Send) {
	n.serving.RLock()
	defer n.serving.RUnlock()
	if n.closing || len(sends) == 0 {
		return
	}
	n.workers.Add(1)
	go func() {
		defer n.workers.Done()
		n.finish(c, sends)
	}()
}

func (n *Node) finish(c *txn.Coordinator, sends []txn.Send) {
	for sends = n.forgets.later(sends); len(sends) > 0; sends = n.forgets.later(sends) {
		sends = n.round(c, sends, time.Now().Add(n.config.Timing.Request))
	}
}

// round sends commands to groups, waits for all answers, and returns what the coordinator wants to send next.
func (n *Node) round(c *txn.Coordinator, sends []txn.Send, deadline time.Time) (next []txn.Send) {
	n.ask(sends, deadline, func(s *txn.Send, r *kv.Result) {
		next = append(next, c.Answer(s, r)...)
	})
	return next
}

// ask sends commands to groups together and calls answered with each answer, in order.
func (n *Node) ask(sends []txn.Send, deadline time.Time, answered func(s *txn.Send, r *kv.Result)) {
	t := n.table.Load()
	b := n.asked.Get().(*kv.Batch)
	defer n.asked.Put(b)
	b.Reset(deadline)
	calls := make([]*kv.Call, len(sends))
	for i := range sends {
		if sh := t.groups[core.GroupID(sends[i].Group)]; sh != nil {
			calls[i] = b.Add()
			calls[i].Keyspace, calls[i].Group, calls[i].Fixed, calls[i].Command = sh.space.keyspace, sends[i].Group, true, sends[i].Command
		}
	}
	n.Submit(b)
	b.Wait()
	for i := range sends {
		s, call := &sends[i], calls[i]
		if call == nil {
			r := absent(t, s)
			answered(s, &r)
			continue
		}
		r := call.Result
		call.Command, call.Result = kv.Command{}, kv.Result{} // the batch must not keep what is the caller's
		answered(s, &r)
	}
}

// absent answers for a group that the catalog does not have. One that was dropped can hold nothing back; of one that this
// node has not heard of yet nothing is known.
func absent(t *table, s *txn.Send) kv.Result {
	if s.Command.Tx == nil || s.Command.Tx.Step == kv.TxPrepare {
		return kv.Result{Code: kv.NoKeyspace, Detail: "a keyspace of the transaction was dropped"}
	}
	if !t.catalog.Gone(core.GroupID(s.Group)) {
		return kv.Result{Code: kv.Unavailable, Detail: "a group of the transaction is not known here yet"}
	}
	return txn.Gone(s.Command.Tx.Step, s.Command.Tx.Commit, txn.NoMutation)
}

// Outcome finds out what became of a transaction (rule V3), beginning with its anchor, which knows the others if it has voted.
func (n *Node) Outcome(id kv.TxID, deadline time.Time) (kv.TxnOutcome, error) {
	if err := n.mayBe(id); err != nil {
		return kv.TxnOutcome{}, err
	}
	c, sends := txn.Recover(id, []uint64{id.Anchor}, txn.NoMutation)
	for c.Outcome() == txn.Open && len(sends) > 0 {
		sends = n.round(c, sends, deadline)
	}
	n.finishLater(c, sends)
	switch {
	case c.Outcome() == txn.Open && c.TooOld() && c.Refusal().Reason == kv.TxDropped:
		return kv.TxnOutcome{}, kv.Errorf(kv.TooOld, "the keyspace that knew the shards of transaction %s was dropped; the transaction has ended, but how is not known any more", id)
	case c.Outcome() == txn.Open && c.TooOld():
		return kv.TxnOutcome{}, kv.Errorf(kv.TooOld, "nobody remembers transaction %s: outcomes are kept for 10 minutes", id)
	case c.Outcome() == txn.Open:
		return kv.TxnOutcome{}, kv.Errorf(kv.Unavailable, "a shard of transaction %s did not answer, so it is not decided; ask again", id)
	}
	return kv.TxnOutcome{ID: id.String(), Outcome: c.Outcome().String(), Participants: c.Groups()}, nil
}

// mayBe is nil if some transaction can have this id. To ask for the outcome of one leaves a mark, so not anything may be asked.
func (n *Node) mayBe(id kv.TxID) error {
	sh := n.table.Load().groups[core.GroupID(id.Anchor)]
	switch {
	case core.GroupID(id.Anchor) == keyspace.SystemGroup, sh != nil && sh.space.keyspace.Consistency != kv.Linearizable:
		return kv.Errorf(kv.Invalid, "%s is not the id of a transaction", id)
	case id.Age.UnixMilli() > n.clocks.millis(n.clocks.mono())+txAheadMillis:
		return kv.Errorf(kv.Invalid, "%s is of a time to come", id)
	}
	return nil
}

// txAheadMillis is how far ahead of this node's clock the age of a transaction may be that somebody asks for.
const txAheadMillis = 60_000
