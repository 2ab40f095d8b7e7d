package node

import (
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/txn"
)

// snapshot reads keys of several shards as of one instant without a lock (rule V7): twice, and if no key has changed in
// between, all of them were so at the instant between the two. Reads wait for transactions that are about to write, so a key
// that one has locked counts as changed. A key that is missing both times may have come and gone, so it needs locks.
func (n *Node) snapshot(t *kv.Txn, deadline time.Time) (res kv.TxnResult, ok bool) {
	d, err := txn.Divide(nil, t.Then, n.groupOf)
	if err != nil {
		return failedTxn(err), true
	}
	for range snapshotTries {
		first, bad := n.collect(d, false, deadline)
		if bad != nil {
			return kv.TxnResult{Code: bad.Code, Detail: bad.Detail}, true
		}
		second, bad := n.collect(d, true, deadline)
		if bad != nil {
			return kv.TxnResult{Code: bad.Code, Detail: bad.Detail}, true
		}
		same, present := compare(first, second)
		if !present {
			return res, false
		}
		if same {
			return kv.TxnResult{Items: first}, true
		}
	}
	return res, false
}

// compare reports whether two readings of some keys are the same, and whether all were there.
func compare(first, second []kv.Result) (same, present bool) {
	same = true
	for i := range first {
		a, b := &first[i], &second[i]
		if a.Code != kv.OK || b.Code != kv.OK {
			return false, false
		}
		same = same && a.Version == b.Version && a.Int == b.Int && a.ExpireAt == b.ExpireAt && a.Flags == b.Flags
	}
	return same, true
}

// collect reads the keys of all parts; quiet leaves the values out. bad is the first answer that is none.
func (n *Node) collect(d *txn.Division, quiet bool, deadline time.Time) (items []kv.Result, bad *kv.Result) {
	var b kv.Batch
	b.Reset(deadline)
	for i := range d.Parts {
		call := b.Add()
		sh := n.table.Load().groups[core.GroupID(d.Parts[i].Group)]
		if sh == nil {
			call.Keyspace = &kv.Keyspace{}
			continue
		}
		call.Keyspace = sh.space.keyspace
		for _, o := range d.Parts[i].Ops {
			o.Quiet = o.Quiet || quiet
			call.Command.Ops = append(call.Command.Ops, o)
		}
	}
	n.Submit(&b)
	b.Wait()
	of := map[uint64][]kv.Result{}
	for i, call := range b.Calls() {
		if call.Result.Code.Refused() || call.Result.Code == kv.Unknown {
			return nil, &call.Result
		}
		of[d.Parts[i].Group] = call.Result.Items
		if len(d.Parts[i].Ops) == 1 {
			of[d.Parts[i].Group] = []kv.Result{call.Result}
		}
	}
	items, ok := d.Gather(func(g uint64) []kv.Result { return of[g] })
	if !ok {
		return nil, &kv.Result{Code: kv.TooLong, Detail: "the answers are too large together; ask for fewer keys at once"}
	}
	return items, nil
}
