package sim

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/txn"
)

// dropping is a keyspace of one shard, the last group, that is dropped in the middle of a run (rule V9): its group is sealed until nothing
// is open in it, then the catalog forgets it, and nodes hear of that one by one.
type dropping struct {
	spare *kv.Keyspace
	// dropped says that the catalog has forgotten it, heard which nodes know.
	dropped bool
	heard   []bool
}

// spareGroup is the group of the keyspace that is dropped.
func (w *txnWorld) spareGroup() *group { return w.roots()[len(w.roots())-1] }

// keyspaceOf is the keyspace of a key.
func (w *txnWorld) keyspaceOf(key string) *kv.Keyspace {
	if _, drops := w.workload.(txnDrops); drops && w.rootOf([]byte(key)) == w.spareGroup() {
		return w.spare
	}
	return w.keyspace
}

// gone reports whether a group was dropped.
func (w *txnWorld) gone(id core.GroupID) bool {
	return w.dropped && w.root(w.byID[id]) == w.spareGroup()
}

// knowsDrop reports whether a node has heard of the drop.
func (w *txnWorld) knowsDrop(n *node) bool { return w.dropped && w.heard[n.index] }

// absent answers in the place of a group that was dropped, as package node does; t is the step of a transaction, nil: it is none.
// A node that has not heard of it finds its replicas, or does not: they go one by one.
func (w *txnWorld) absent(n *node, id core.GroupID, t *kv.Tx) (r kv.Result, gone bool) {
	switch {
	case !w.gone(id):
		return r, false
	case !w.knowsDrop(n):
		return kv.Result{Code: kv.Unknown, Detail: "the replicas are gone"}, n.rng.IntN(2) == 0
	case t == nil || t.Step == kv.TxPrepare:
		return kv.Result{Code: kv.NoKeyspace, Detail: "the keyspace was dropped"}, true
	}
	return txn.Gone(t.Step, t.Commit, w.options.Coordinator), true
}

// dropLater drops the spare keyspace some time in the run.
func (w *txnWorld) dropLater() {
	if _, drops := w.workload.(txnDrops); drops {
		w.undivided = w.spareGroup() // what is being split is not dropped
		w.after(w.options.Faulty/6+core.Time(w.rng.Int64N(int64(w.options.Faulty/2))), func() { w.tryDrop(kv.TxID{}, 0) })
	}
}

// sealTries is how often a group is asked whether anything is open in it, before the seal is taken off and put on anew.
const sealTries = 40

// tryDrop seals the group and drops the keyspace when nothing is open in it.
func (w *txnWorld) tryDrop(id kv.TxID, tries int) {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch {
	case w.draining:
		return
	case w.options.DropUnsealed:
		w.drop()
		return
	case !n.up || n.paused:
		w.after(50*Millisecond, func() { w.tryDrop(id, tries) })
		return
	case tries == 0:
		id = w.newID(n, w.rng)
	}
	c := kv.Command{Tx: &kv.Tx{Step: kv.TxSeal, ID: id, Commit: tries < sealTries}}
	answered := false
	answer := func(r kv.Result) {
		switch {
		case answered:
			return
		case c.Tx.Commit && r.Code == kv.OK && r.Int == 0:
			w.drop()
		default:
			w.after(50*Millisecond, func() { w.tryDrop(id, (tries+1)%(sealTries+1)) })
		}
		answered = true
	}
	w.after(requestTimeout+Second, func() { answer(kv.Result{Code: kv.Unknown}) }) // the node may have died
	n.submit(w.spareGroup(), kv.AppendCommand(nil, &c), false, true, requestTimeout, answer)
}

// drop has the catalog forget the keyspace.
func (w *txnWorld) drop() {
	w.trace.line("keyspace %s is dropped", w.spare.Name)
	w.hit("drop")
	w.dropped, w.heard = true, make([]bool, len(w.nodes))
	for i := range w.nodes {
		w.after(core.Time(w.rng.Int64N(int64(500*Millisecond))), func() { w.heard[i] = true })
	}
}

// txnDrops appends to lists of two keyspaces, of which one goes.
type txnDrops struct{}

func (txnDrops) name() string                   { return "drops" }
func (txnDrops) keys(w *txnWorld) []string      { return keysOf(w, "l") }
func (txnDrops) bank(w *txnWorld) *referee.Bank { return nil }

func (d txnDrops) next(w *txnWorld, c *txnClient) *txnStep {
	if c.rng.IntN(3) > 0 {
		return txnLists{}.next(w, c)
	}
	s := newTxnStep()
	keys := append(some(c.rng, d.keys(w), 2), fmt.Sprintf("l%d", w.spareGroup().id))
	for i, key := range some(c.rng, keys, 3) {
		element := fmt.Sprintf("<%d.%d.%d>", c.id, c.count, i)
		s.add(w, referee.Sub{Kind: referee.Append, Key: key, Value: element}, kv.Op{Kind: kv.OpAppend, Value: []byte(element)})
	}
	return s
}
