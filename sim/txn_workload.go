package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// txnStep is what a client asks for next, and how the referee knows it.
type txnStep struct {
	op referee.Op
	// txn is the transaction; nil: single is one operation.
	txn    *kv.Txn
	single kv.Op
	// known are the conditions of the transaction as the reads that they are if it is executed: the first of the Subs.
	known []kv.Result
	// pipeline are operations that are sent one after the other without waiting, by one connection; then there is nothing else.
	pipeline []*txnStep
}

// result is the end of a transaction as a command's, with an item for each Sub.
func (s *txnStep) result(r *kv.TxnResult) kv.Result {
	out := kv.Result{Code: r.Code, Detail: r.Detail, Items: append(append([]kv.Result{}, s.known...), r.Items...)}
	if len(s.op.Subs) == 1 && r.Code == kv.OK {
		return out.Items[0]
	}
	return out
}

// txnWorkload draws transactions.
type txnWorkload interface {
	name() string
	next(w *txnWorld, c *txnClient) *txnStep
	keys(w *txnWorld) []string
	bank(w *txnWorld) *referee.Bank
}

func drawTxnWorkload(name string, rng *rand.Rand) txnWorkload {
	all := []txnWorkload{txnBank{}, txnLists{}, txnSkew{}, txnScans{}, txnMortal{}, txnPipelines{}, txnDrops{}}
	for _, one := range all {
		if one.name() == name {
			return one
		}
	}
	return all[rng.IntN(len(all))]
}

func keysOf(w *txnWorld, letter string) (list []string) {
	for _, g := range w.roots() {
		list = append(list, fmt.Sprintf("%s%d", letter, g.id), fmt.Sprintf("%s%dx", letter, g.id))
	}
	return list
}

// some draws n different keys.
func some(rng *rand.Rand, keys []string, n int) (list []string) {
	for _, i := range rng.Perm(len(keys))[:min(n, len(keys))] {
		list = append(list, keys[i])
	}
	return list
}

func (s *txnStep) add(w *txnWorld, sub referee.Sub, op kv.Op) {
	op.Key = []byte(sub.Key)
	s.op.Subs = append(s.op.Subs, sub)
	s.txn.Then = append(s.txn.Then, kv.TxnOp{Keyspace: w.keyspaceOf(sub.Key), Op: op})
}

func (s *txnStep) addGet(w *txnWorld, key string) {
	s.add(w, referee.Sub{Kind: referee.Get, Key: key}, kv.Op{Kind: kv.OpGet})
}

func newTxnStep() *txnStep { return &txnStep{op: referee.Op{Kind: referee.Txn}, txn: &kv.Txn{}} }

// singleStep is one operation that is no transaction.
func singleStep(kind referee.Kind, key, value string) *txnStep {
	s := &txnStep{op: referee.Op{Kind: kind, Key: key, Value: value}, single: kv.Op{Kind: kv.OpGet, Key: []byte(key)}}
	switch kind {
	case referee.Set:
		s.single.Kind, s.single.Value = kv.OpSet, []byte(value)
	case referee.Append:
		s.single.Kind, s.single.Value = kv.OpAppend, []byte(value)
	}
	return s
}

// scanStep reads all keys of a range that lies in one group to begin with. The referee is told of it as reads of the keys that may be there.
func scanStep(from, end string, keys []string) *txnStep {
	s := &txnStep{op: referee.Op{Kind: referee.Txn}, single: kv.Op{Kind: kv.OpScan, Key: []byte(from), End: []byte(end)}}
	for _, key := range keys {
		if from <= key && key < end {
			s.op.Subs = append(s.op.Subs, referee.Sub{Kind: referee.Get, Key: key})
		}
	}
	return s
}

// scanned gives each key its part of a scan's answer. Where the group was split it ends early.
func (s *txnStep) scanned(r kv.Result) kv.Result {
	if s.single.Kind != kv.OpScan || r.Code != kv.OK {
		return r
	}
	if r.Key != nil {
		s.op.Subs = slices.DeleteFunc(s.op.Subs, func(sub referee.Sub) bool { return sub.Key >= string(r.Key) })
	}
	out := kv.Result{Items: make([]kv.Result, len(s.op.Subs))}
	for i := range s.op.Subs {
		out.Items[i].Code = kv.NotFound
		if at := slices.IndexFunc(r.Items, func(item kv.Result) bool { return string(item.Key) == s.op.Subs[i].Key }); at >= 0 {
			out.Items[i] = r.Items[at]
		}
	}
	if len(out.Items) == 1 {
		return out.Items[0]
	}
	return out
}

// txnBank moves money between accounts, which begin empty, and reads all of them at once.
type txnBank struct{}

func (txnBank) name() string              { return "bank" }
func (txnBank) keys(w *txnWorld) []string { return keysOf(w, "b") }

func (b txnBank) bank(w *txnWorld) *referee.Bank { return &referee.Bank{Accounts: b.keys(w)} }

func (b txnBank) next(w *txnWorld, c *txnClient) *txnStep {
	keys := b.keys(w)
	draw := c.rng.IntN(10)
	if draw == 0 {
		return singleStep(referee.Get, keys[c.rng.IntN(len(keys))], "")
	}
	s := newTxnStep()
	if draw <= 3 {
		for _, key := range keys {
			s.addGet(w, key)
		}
		return s
	}
	amount, chosen := 1+c.rng.Int64N(9), some(c.rng, keys, 3)
	move := func(key string, delta int64) {
		s.add(w, referee.Sub{Kind: referee.Incr, Key: key, Delta: delta}, kv.Op{Kind: kv.OpIncr, Delta: delta})
	}
	move(chosen[0], -amount)
	if c.rng.IntN(3) == 0 {
		s.addGet(w, chosen[2])
	}
	move(chosen[1], amount)
	return s
}

// txnLists appends to lists and reads them.
type txnLists struct{}

func (txnLists) name() string                   { return "lists" }
func (txnLists) keys(w *txnWorld) []string      { return keysOf(w, "l") }
func (txnLists) bank(w *txnWorld) *referee.Bank { return nil }

func (l txnLists) next(w *txnWorld, c *txnClient) *txnStep {
	keys := l.keys(w)
	element := func(i int) string { return fmt.Sprintf("<%d.%d.%d>", c.id, c.count, i) }
	switch c.rng.IntN(8) {
	case 0:
		return singleStep(referee.Get, keys[c.rng.IntN(len(keys))], "")
	case 1:
		return singleStep(referee.Append, keys[c.rng.IntN(len(keys))], element(0))
	}
	s := newTxnStep()
	reads := c.rng.IntN(4)
	for i, key := range some(c.rng, keys, 2+c.rng.IntN(3)) {
		if c.rng.IntN(3) < reads {
			s.addGet(w, key)
			continue
		}
		s.add(w, referee.Sub{Kind: referee.Append, Key: key, Value: element(i)}, kv.Op{Kind: kv.OpAppend, Value: []byte(element(i))})
	}
	return s
}

// txnScans appends to many lists of each group, and reads all of a group at once: some key of it is nearly always locked.
type txnScans struct{}

func (txnScans) name() string                   { return "scans" }
func (txnScans) bank(w *txnWorld) *referee.Bank { return nil }

func (txnScans) keys(w *txnWorld) (list []string) {
	for _, g := range w.roots() {
		for i := range 8 {
			list = append(list, fmt.Sprintf("r%d%c", g.id, 's'+i))
		}
	}
	return list
}

func (k txnScans) next(w *txnWorld, c *txnClient) *txnStep {
	keys := k.keys(w)
	element := func(i int) string { return fmt.Sprintf("<%d.%d.%d>", c.id, c.count, i) }
	switch c.rng.IntN(12) {
	case 0:
		return singleStep(referee.Append, keys[c.rng.IntN(len(keys))], element(0))
	case 1:
		root := w.roots()[c.rng.IntN(len(w.roots()))]
		return scanStep(fmt.Sprintf("r%d", root.id), fmt.Sprintf("r%d", root.id+1), keys)
	}
	s := newTxnStep()
	for i, key := range some(c.rng, keys, 3) {
		s.add(w, referee.Sub{Kind: referee.Append, Key: key, Value: element(i)}, kv.Op{Kind: kv.OpAppend, Value: []byte(element(i))})
	}
	return s
}

// txnSkew writes one register under the condition that others are as they were read: what two of them rely on, the other one writes.
type txnSkew struct{}

func (txnSkew) name() string                   { return "skew" }
func (txnSkew) keys(w *txnWorld) []string      { return keysOf(w, "s") }
func (txnSkew) bank(w *txnWorld) *referee.Bank { return nil }

func (k txnSkew) next(w *txnWorld, c *txnClient) *txnStep {
	keys := k.keys(w)
	if c.rng.IntN(3) == 0 {
		s := newTxnStep()
		for _, key := range some(c.rng, keys, 3) {
			s.addGet(w, key)
		}
		return s
	}
	s := newTxnStep()
	chosen := some(c.rng, keys, 3)
	for _, key := range chosen[:2] {
		if seen, known := c.seen[key]; known {
			s.rely(w, key, seen)
		}
	}
	value := fmt.Sprintf("%d.%d", c.id, c.count)
	s.add(w, referee.Sub{Kind: referee.Set, Key: chosen[2], Value: value}, kv.Op{Kind: kv.OpSet, Value: []byte(value)})
	return s
}

// rely makes what was read of a key a condition. Executed, the transaction has read it.
func (s *txnStep) rely(w *txnWorld, key, seen string) {
	cond, known := kv.Cond{Key: []byte(key), Kind: kv.CondValue, Value: []byte(seen)}, kv.Result{Value: []byte(seen)}
	if seen == "" {
		cond.Kind, known.Code = kv.CondAbsent, kv.NotFound
	}
	s.op.Subs = append(s.op.Subs, referee.Sub{Kind: referee.Get, Key: key})
	s.known = append(s.known, known)
	s.txn.Conds = append(s.txn.Conds, kv.TxnCond{Keyspace: w.keyspaceOf(key), Cond: cond})
}

// txnMortal writes keys that end, some of them while a transaction relies on them or has locked them.
type txnMortal struct{}

func (txnMortal) name() string                   { return "mortal" }
func (txnMortal) keys(w *txnWorld) []string      { return keysOf(w, "m") }
func (txnMortal) bank(w *txnWorld) *referee.Bank { return nil }

// lifetimes are in milliseconds: shorter than a transaction may take, and longer.
var lifetimes = []int64{1, 3, 10, 40, 200, 1000}

func (m txnMortal) next(w *txnWorld, c *txnClient) *txnStep {
	keys := m.keys(w)
	value := fmt.Sprintf("%d.%d", c.id, c.count)
	ttl := lifetimes[c.rng.IntN(len(lifetimes))]
	chosen := some(c.rng, keys, 4)
	switch c.rng.IntN(6) {
	case 0:
		return singleStep(referee.Get, chosen[0], "")
	case 1:
		s := singleStep(referee.Set, chosen[0], value)
		s.op.TTL, s.single.Expiry, s.single.Expire = ttl, kv.ExpireIn, ttl
		return s
	}
	s := newTxnStep()
	var relied []string
	for _, key := range chosen[:2] {
		if seen, known := c.seen[key]; known && c.rng.IntN(4) > 0 {
			s.rely(w, key, seen)
			relied = append(relied, key)
		}
	}
	for _, key := range relied {
		s.addGet(w, key) // as it was when the condition held, whatever ends meanwhile
	}
	for _, key := range chosen[2 : 3+c.rng.IntN(2)] {
		s.add(w, referee.Sub{Kind: referee.Set, Key: key, Value: value, TTL: ttl},
			kv.Op{Kind: kv.OpSet, Value: []byte(value), Expiry: kv.ExpireIn, Expire: ttl})
	}
	return s
}
