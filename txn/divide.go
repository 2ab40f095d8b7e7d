package txn

import (
	"cmp"
	"slices"

	"github.com/gamutdb/gamut/kv"
)

// Check says what is wrong with a transaction, whatever shards its keys lie in.
func Check(t *kv.Txn) error {
	if len(t.Then) == 0 {
		return kv.Errorf(kv.Invalid, "a transaction needs at least one operation")
	}
	if n := max(len(t.Conds), len(t.Then), len(t.Else)); n > kv.OpsMax {
		return kv.Errorf(kv.Invalid, "a transaction of %d operations or conditions; the limit is %d", n, kv.OpsMax)
	}
	for i := range t.Conds {
		if ks := t.Conds[i].Keyspace; ks.Consistency != kv.Linearizable {
			return cannotTakePart(ks)
		}
	}
	bytes := 0
	for _, branch := range [][]kv.TxnOp{t.Then, t.Else} {
		n, err := checkOps(branch)
		if err != nil {
			return err
		}
		bytes = max(bytes, n)
	}
	for i := range t.Conds {
		bytes += len(t.Conds[i].Key) + len(t.Conds[i].Value)
	}
	if bytes > kv.TxnBytesMax {
		return kv.Errorf(kv.Invalid, "a transaction over several shards of %d bytes; the limit is %d", bytes, kv.TxnBytesMax)
	}
	return nil
}

func checkOps(ops []kv.TxnOp) (bytes int, err error) {
	for i := range ops {
		o := &ops[i]
		if o.Keyspace.Consistency != kv.Linearizable {
			return 0, cannotTakePart(o.Keyspace)
		}
		switch o.Kind {
		case kv.OpNone, kv.OpScan, kv.OpClear:
			return 0, kv.Errorf(kv.Unsupported, "a transaction over several shards names each key: scans, and clearing a keyspace, cannot be part of one")
		}
		bytes += len(o.Key) + len(o.Key2) + len(o.Value) + len(o.Expect)
	}
	return bytes, nil
}

// cannotTakePart is rule V8, and its reason for each consistency.
func cannotTakePart(ks *kv.Keyspace) error {
	why := "its replicas take writes without a leader that could lock a key"
	switch ks.Consistency {
	case kv.Sequential:
		why = "its replicas answer reads from their own states, and would show one part of a transaction before the other"
	case kv.Atomic:
		why = "its writes are decided by all replicas together, and a vote among other groups has no place in that"
	}
	return kv.Errorf(kv.Unsupported, "keyspace %s is %s and cannot take part in a transaction over several shards: %s; linearizable keyspaces can",
		ks.Name, ks.Consistency, why)
}

// place is where an operation or a condition of a transaction stands: in a group's part.
type place struct {
	group uint64
	index int
}

// Division is a transaction in parts.
type Division struct {
	Parts      []Part
	ops, conds []place
}

// Divide makes the parts of a transaction, in the order of their groups. groupOf tells 0 of a keyspace that was dropped.
func Divide(conds []kv.TxnCond, ops []kv.TxnOp, groupOf func(ks *kv.Keyspace, key []byte) uint64) (*Division, error) {
	d := &Division{}
	for i := range conds {
		g := groupOf(conds[i].Keyspace, conds[i].Key)
		if g == 0 {
			return nil, dropped(conds[i].Keyspace)
		}
		p := d.part(g)
		d.conds = append(d.conds, place{p.Group, len(p.Conds)})
		p.Conds = append(p.Conds, conds[i].Cond)
	}
	for i := range ops {
		o := &ops[i]
		g := groupOf(o.Keyspace, o.Key)
		if g == 0 {
			return nil, dropped(o.Keyspace)
		}
		if (o.Kind == kv.OpRename || o.Kind == kv.OpCopy) && groupOf(o.Keyspace, o.Key2) != g {
			return nil, kv.Errorf(kv.CrossShard, "keys %q and %q lie in different shards, and a record is renamed or copied within one", o.Key, o.Key2)
		}
		p := d.part(g)
		d.ops = append(d.ops, place{g, len(p.Ops)})
		p.Ops = append(p.Ops, o.Op)
	}
	if len(d.Parts) > kv.TxnGroupsMax {
		return nil, kv.Errorf(kv.Invalid, "a transaction over %d shards; the limit is %d", len(d.Parts), kv.TxnGroupsMax)
	}
	slices.SortFunc(d.Parts, func(a, b Part) int { return cmp.Compare(a.Group, b.Group) })
	return d, d.validate()
}

func dropped(ks *kv.Keyspace) error {
	return kv.Errorf(kv.NoKeyspace, "keyspace %s was dropped", ks.Name)
}

func (d *Division) part(group uint64) *Part {
	for i := range d.Parts {
		if d.Parts[i].Group == group {
			return &d.Parts[i]
		}
	}
	d.Parts = append(d.Parts, Part{Group: group})
	return &d.Parts[len(d.Parts)-1]
}

func (d *Division) validate() error {
	for i := range d.Parts {
		c := kv.Command{Conds: d.Parts[i].Conds, Ops: d.Parts[i].Ops}
		if len(c.Ops) == 0 {
			c.Ops = []kv.Op{{Kind: kv.OpNone}}
		}
		if err := c.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// Gather puts the results of all groups into the order of the operations; ok is false if some are lost.
func (d *Division) Gather(results func(group uint64) []kv.Result) (items []kv.Result, ok bool) {
	items = make([]kv.Result, len(d.ops))
	for i, at := range d.ops {
		of := results(at.group)
		if at.index >= len(of) {
			return nil, false
		}
		items[i] = of[at.index]
	}
	return items, true
}

// Cond is the place in the transaction of a condition of a group's part.
func (d *Division) Cond(group uint64, index int) int {
	return max(0, slices.Index(d.conds, place{group, index}))
}
