package node

import (
	"time"

	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
)

// goesOn takes a call on whose answer is not the last one: the clearing of a range of which the group had a part, and a command whose
// keys a split has parted.
func (n *Node) goesOn(w waiting, r *kv.Result) bool {
	c := w.call
	clears := r.Code == kv.OK && r.Key != nil && clearing(&c.Command)
	if !clears && !(r.Code == kv.CrossShard && n.parted(c)) {
		return false
	}
	if clears {
		c.Command.Ops[0].Key = r.Key
	}
	deadline := time.Now().Add(time.Duration(w.submission.deadline - n.clocks.mono()))
	return n.later(func() {
		res := n.again(c, deadline)
		if !n.inbox.call(func(host.Now) { n.finished(w, res) }) {
			c.Done(res)
		}
	})
}

// later does something beside the loop, unless the node closes.
func (n *Node) later(f func()) bool {
	n.serving.RLock()
	defer n.serving.RUnlock()
	if n.closing {
		return false
	}
	n.workers.Add(1)
	go func() {
		defer n.workers.Done()
		f()
	}()
	return true
}

func clearing(c *kv.Command) bool { return len(c.Ops) == 1 && c.Ops[0].Kind == kv.OpClear }

// parted reports whether the keys of a command lay in one shard when its caller looked, and transactions do for it where they do not
// any more.
func (n *Node) parted(c *kv.Call) bool {
	if c.Keyspace.Range == nil || c.Keyspace.Consistency != kv.Linearizable || c.Fixed || !c.Command.Session.IsZero() || c.Command.Tx != nil {
		return false
	}
	at, one := -1, true
	c.Command.Keys(func(key []byte) {
		shard := c.Keyspace.ShardOf(key)
		one = one && (at < 0 || at == shard)
		at = shard
	})
	return one
}

// again executes what is left of a call.
func (n *Node) again(c *kv.Call, deadline time.Time) kv.Result {
	if clearing(&c.Command) {
		var b kv.Batch
		b.Reset(deadline)
		call := b.Add()
		call.Keyspace, call.Shard, call.Command = c.Keyspace, c.Shard, c.Command
		n.Submit(&b)
		b.Wait()
		return call.Result
	}
	s := n.table.Load().byID[c.Keyspace.ID]
	if s == nil {
		return kv.Result{Code: kv.NoKeyspace, Detail: "keyspace " + c.Keyspace.Name + " was dropped"}
	}
	t := &kv.Txn{}
	for _, cond := range c.Command.Conds {
		t.Conds = append(t.Conds, kv.TxnCond{Keyspace: s.keyspace, Cond: cond})
	}
	for _, op := range c.Command.Ops {
		if op.Kind != kv.OpNone { // it has no key, and so no place in a transaction over shards
			t.Then = append(t.Then, kv.TxnOp{Keyspace: s.keyspace, Op: op})
		}
	}
	if len(t.Then) == 0 {
		t.Then = []kv.TxnOp{{Keyspace: s.keyspace, Op: kv.Op{Kind: kv.OpGet, Key: t.Conds[0].Key, Quiet: true}}}
	}
	res := n.transact(t, deadline, n.routesBehind(c))
	if res.Code != kv.OK {
		return kv.Result{Code: res.Code, Detail: res.Detail, Int: int64(res.Cond)}
	}
	if c.Txn = res.ID; len(res.Groups) == 1 {
		c.Group = res.Groups[0]
	} else {
		c.Groups = res.Groups
	}
	items := inPlaces(c.Command.Ops, res.Items)
	if len(items) == 1 {
		return items[0]
	}
	r := kv.Result{Items: items}
	for i := range items {
		r.AsOf = max(r.AsOf, items[i].AsOf)
	}
	return r
}

// inPlaces puts the results of operations where the operations stand among those that do nothing.
func inPlaces(ops []kv.Op, results []kv.Result) []kv.Result {
	items := make([]kv.Result, len(ops))
	for i := range ops {
		if ops[i].Kind != kv.OpNone {
			items[i], results = results[0], results[1:]
		}
	}
	return items
}
