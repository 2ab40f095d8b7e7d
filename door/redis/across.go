package redis

import (
	"slices"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// across reports whether the planned command has keys in several shards of a keyspace that has transactions over them. Others
// are split, where the command allows it, or refused.
func (c *conn) across(watched []watch) bool {
	ks, fault := c.selected()
	if fault != "" || ks.Consistency != kv.Linearizable || c.level != kv.LevelDefault && c.level != kv.LevelLinearizable {
		return false // a weaker level is for single reads, which ask nobody
	}
	_, one := oneShard(ks, &c.scratch)
	for _, w := range watched {
		one = one && w.keyspace == ks.Name
	}
	for i := range c.scratch.Ops {
		o := &c.scratch.Ops[i]
		if o.Kind == kv.OpClear || o.Kind == kv.OpScan || len(o.Key2) > 0 && ks.ShardOf(o.Key) != ks.ShardOf(o.Key2) {
			return false
		}
	}
	return !one
}

// transactAcross executes the planned command as a transaction over several shards. It is no part of a batch: what came before
// it is answered first, and what comes after it waits.
func (c *conn) transactAcross(o reply, watched []watch) {
	literals := slices.Clone(c.literals.buf) // the parts of a MULTI that are known already stand there
	reads := c.batchReads
	c.batchReads = 0
	c.flush()
	if c.writeFailed {
		return
	}
	c.literals.buf, c.batchReads = append(c.literals.buf[:0], literals...), reads
	call := c.batch.Add()
	call.Keyspace = c.keyspace
	call.Command.Ops = append(call.Command.Ops, c.scratch.Ops...)
	o.from, o.to, o.withConds = 0, 1, len(watched)+len(c.scratch.Conds) > 0
	var receipt *kv.Receipt
	call.Result, receipt = c.transactNow(watched)
	c.weighOutput()
	if c.out.resp3 = o.resp3; o.resp3 && receipt != nil && !o.mute {
		c.out.receipt(c.out.attributes, receipt)
	}
	c.renderOwed(&o, c.batch.Calls())
	if len(c.out.buf) > outputFlush {
		c.write()
	}
	c.settle()
	c.batch.Reset(time.Time{})
	c.literals.buf, c.batchReads = c.literals.buf[:0], 0
}

// transactNow runs the planned command, under the condition that no watched key has changed. Its receipt is there if the
// connection wants them and it was executed.
func (c *conn) transactNow(watched []watch) (out kv.Result, receipt *kv.Receipt) {
	t := &kv.Txn{}
	for _, w := range watched {
		ks := c.server.db.Keyspace(w.keyspace)
		if ks == nil {
			return kv.Result{Code: kv.ConditionFailed}, nil // it was dropped, and with it the watched key
		}
		t.Conds = append(t.Conds, kv.TxnCond{Keyspace: ks, Cond: kv.Cond{Key: w.key, Kind: kv.CondVersion, Version: w.version}})
	}
	for i := range c.scratch.Conds {
		t.Conds = append(t.Conds, kv.TxnCond{Keyspace: c.keyspace, Cond: c.scratch.Conds[i]})
	}
	for i := range c.scratch.Ops {
		t.Then = append(t.Then, kv.TxnOp{Keyspace: c.keyspace, Op: c.scratch.Ops[i]})
	}
	if !c.takeOutput() {
		return kv.Result{Code: kv.Busy, Detail: busyOutput}, nil
	}
	began := time.Now()
	res := c.server.db.Transact(t, began.Add(c.server.options.RequestDeadline))
	out = kv.Result{Code: res.Code, Detail: res.Detail, Items: res.Items}
	if len(res.Items) == 1 {
		out = res.Items[0]
	}
	if c.receipt && res.Code == kv.OK {
		r := kv.NewTxnReceipt(t, &res, c.level)
		receipt = &r
	}
	return out, receipt
}
