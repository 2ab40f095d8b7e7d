package bayou

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// cells are the records that one Step looks at, through its own changes.
type cells struct {
	view  core.View
	byKey map[string]*cell
	// order is that of the first look: a map has none.
	order   []*cell
	changes []core.Change
	touched bool
	// mutation plants a bug in how records change.
	mutation Mutation
	// settled is what every write that is still to come follows.
	settled func() Vector
	// pending are operations that will have taken effect when a record is looked at, in their order, the first indexed of them by
	// key: most commands look at nothing.
	pending []pendingOp
	indexed int
	byAhead map[string][]pendingOp
}

type pendingOp struct {
	write *Write
	op    *Op
}

type cell struct {
	key     []byte
	rec     record
	present bool // in the view
	touched bool
}

func (c *cells) begin(view core.View) {
	clear(c.changes) // the host has taken them over
	c.view, c.changes, c.touched = view, c.changes[:0], false
	clear(c.order)
	c.order = c.order[:0]
	if len(c.byKey) > 0 {
		clear(c.byKey)
	}
	clear(c.pending)
	c.pending, c.indexed = c.pending[:0], 0
	if len(c.byAhead) > 0 {
		clear(c.byAhead)
	}
}

// later lets an operation take effect for whoever looks at its record from now on.
func (c *cells) later(w *Write, o *Op) {
	if one, ok := c.byKey[string(o.Key)]; ok {
		c.change(&one.rec, w, o)
		return
	}
	c.pending = append(c.pending, pendingOp{w, o})
}

// ahead are the pending operations on a key.
func (c *cells) ahead(key []byte) []pendingOp {
	if c.byAhead == nil {
		c.byAhead = map[string][]pendingOp{}
	}
	for _, p := range c.pending[c.indexed:] {
		c.byAhead[string(p.op.Key)] = append(c.byAhead[string(p.op.Key)], p)
	}
	c.indexed = len(c.pending)
	return c.byAhead[string(key)]
}

// replace lets a set take effect that is newer than all that was ever applied, where nothing was ever added: what it replaces need
// not be read.
func (c *cells) replace(w *Write, o *Op) {
	one, ok := c.byKey[string(o.Key)]
	if !ok {
		one = c.enter(o.Key)
		one.present = true // perhaps
	}
	one.rec = record{base: w.Dot, expireAt: o.ExpireAt, flags: o.Flags, value: o.Value}
	one.touched, c.touched = true, true
	if o.ExpireAt != 0 {
		c.put(expiryKey(o.ExpireAt, o.Key), nil)
	}
}

func (c *cells) changed() bool { return c.touched || len(c.changes) > 0 }

func (c *cells) cell(key []byte) *cell {
	if one, ok := c.byKey[string(key)]; ok {
		return one
	}
	one := c.enter(key)
	if b, ok := c.view.Get(dataKey(key)); ok {
		one.rec, one.present = mustDecodeRecord(key, b), true
	}
	if len(c.pending) > 0 {
		for _, p := range c.ahead(key) {
			c.change(&one.rec, p.write, p.op)
		}
	}
	return one
}

func (c *cells) enter(key []byte) *cell {
	if c.byKey == nil {
		c.byKey = map[string]*cell{}
	}
	one := &cell{key: key}
	c.byKey[string(key)] = one
	c.order = append(c.order, one)
	return one
}

// at is the record of a key as it is now.
func (c *cells) at(key []byte) *record { return &c.cell(key).rec }

func (c *cells) put(key, value []byte) {
	c.changes = append(c.changes, core.Change{Kind: core.Put, Key: key, Value: value})
}

func (c *cells) deleteRange(from, to []byte) {
	c.changes = append(c.changes, core.Change{Kind: core.DeleteRange, Key: from, End: to})
}

func (c *cells) delete(key []byte) {
	c.changes = append(c.changes, core.Change{Kind: core.Delete, Key: key})
}

// applyOp lets one operation of a write take effect. index says whether what may end or be forgotten one day is to be noted.
func (c *cells) applyOp(w *Write, o *Op, index bool) {
	one := c.cell(o.Key)
	before := one.rec
	if !c.change(&one.rec, w, o) {
		return
	}
	one.touched, c.touched = true, true
	if !index {
		return
	}
	now := &one.rec
	c.prune(now)
	if now.gone && (!before.gone || before.base != now.base) {
		c.put(dotKey(removedKind, now.base, o.Key), nil)
	}
	if now.expireAt != 0 && (before.expireAt != now.expireAt || before.base != now.base) {
		c.put(expiryKey(now.expireAt, o.Key), nil)
	}
}

// prune drops what is overwritten for good (rule B10).
func (c *cells) prune(rec *record) {
	dead := slices.ContainsFunc(rec.runs, func(o run) bool { return !rec.counts(&o) })
	if dead && c.settled != nil && c.settled().Has(rec.base) {
		rec.prune()
	}
}

func (c *cells) change(rec *record, w *Write, o *Op) bool {
	switch o.Kind {
	case Set:
		return c.overwrite(rec, w, record{expireAt: o.ExpireAt, flags: o.Flags, value: o.Value}, o.Sums)
	case Delete:
		return c.overwrite(rec, w, record{gone: true}, o.Sums)
	case Include:
		rec.include(w, o, c.saw(w))
		return true
	case Exclude:
		return rec.exclude(o, c.saw(w))
	case Sibling:
		rec.keep(w, o, c.saw(w))
		return true
	case Add:
		return rec.add(w.Dot, o.Run, o.Delta)
	}
	return false
}

// overwrite takes away the parts that the writer had seen, whether or not its set or deletion is the newest.
func (c *cells) overwrite(rec *record, w *Write, next record, seen []Sum) bool {
	taken := false
	if len(rec.parts) > 0 {
		taken = rec.takeAll(c.saw(w))
	}
	return c.set(rec, w.Dot, next, seen) || taken
}

func (c *cells) saw(w *Write) sawFunc {
	if c.mutation == TakeUnseen {
		return func(Dot) bool { return true }
	}
	return w.saw
}

func (c *cells) set(rec *record, d Dot, next record, seen []Sum) bool {
	switch {
	case c.mutation == ArrivalOrder, c.mutation == SmallestWins && d.Stamp == rec.base.Stamp && d.Replica < rec.base.Replica:
		*rec = next
		rec.base = d
		return true
	}
	won := rec.set(d, next, seen)
	if won && c.mutation == LoseAdditions {
		rec.runs = nil
	}
	return won
}

// finish returns all that was changed.
func (c *cells) finish() []core.Change {
	for _, one := range c.order {
		if !one.touched {
			continue
		}
		if !one.rec.empty() {
			c.put(dataKey(one.key), one.rec.appendTo(make([]byte, 0, one.rec.sizeMax())))
		} else if one.present {
			c.delete(dataKey(one.key))
		}
	}
	return c.changes
}

// shown is what a client sees of a key now.
func (c *cells) shown(o *kv.Op, now kv.HLC) kv.Result { return c.at(o.Key).read(o, now) }
