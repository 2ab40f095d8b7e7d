package store

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/tidwall/btree"

	"github.com/gamutdb/gamut/core"
)

// recentMax is how many bytes of changes are held back before they go to Pebble together, at most an eighth of a memtable.
const recentMax = 1 << 20

// entryBytes is what a change costs beside its key and value.
const entryBytes = 64

// recent is what Apply has changed and Pebble has not been told: it keeps the latest change of each key, so what is written and soon
// written over, or taken away again, as locks and votes of transactions are, never reaches a memtable, a table or a compaction.
//
// The log holds it all, so a crash loses nothing that the state promises: it goes to Pebble in one batch, all groups together, and
// after a crash the state is of one earlier moment as before.
type recent struct {
	// settling is held by who writes to Pebble; mu guards what follows, and is held while a reader takes hold of a moment.
	settling sync.Mutex
	mu       sync.RWMutex
	// now is changed by Apply. before is on its way to Pebble, not changed any more, and nil if there is none.
	now, before map[core.GroupID]*entries
	bytes, max  int
	// failed is why before could not be written; the node ends.
	failed error
}

// entries are in the order of their keys.
type entries = btree.BTreeG[*entry]

// entry is the latest change of a key. Once in a tree it does not change: copies of the tree share it.
type entry struct {
	key, value []byte
	gone       bool
	// fresh says that Pebble has nothing at the key, so that nothing is left of it when it goes.
	fresh bool
}

func (e *entry) bytes() int { return len(e.key) + len(e.value) + entryBytes }

func newEntries() *entries {
	return btree.NewBTreeGOptions(func(a, b *entry) bool { return bytes.Compare(a.key, b.key) < 0 }, btree.Options{NoLocks: true, Degree: 16})
}

// plain reports whether changes only put and delete single keys.
func plain(changes []core.Change) bool {
	for i := range changes {
		if k := changes[i].Kind; k != core.Put && k != core.Delete {
			return false
		}
	}
	return true
}

// add takes changes up, all at once for those who read. It reports whether it is time to settle.
func (r *recent) add(g core.GroupID, changes []core.Change) (full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.now[g]
	if t == nil {
		if r.now == nil {
			r.now = map[core.GroupID]*entries{}
		}
		t = newEntries()
		r.now[g] = t
	}
	for i := range changes {
		r.bytes += change(t, &changes[i])
	}
	return r.bytes >= r.max
}

// change makes one change and returns how many bytes more are held.
func change(t *entries, c *core.Change) int {
	kept := make([]byte, len(c.Key)+len(c.Value))
	n := copy(kept, c.Key)
	copy(kept[n:], c.Value)
	e := &entry{key: kept[:n:n], value: kept[n:], gone: c.Kind == core.Delete, fresh: c.Fresh}
	freed := 0
	if e.gone {
		old, had := t.Delete(e)
		if had {
			freed = old.bytes()
		}
		if had && old.fresh {
			return -freed
		}
	}
	old, had := t.Set(e)
	if !had {
		return e.bytes() - freed
	}
	e.fresh = old.fresh // what Pebble has did not change; mu is held, so nobody has seen e
	return e.bytes() - old.bytes()
}

// get finds the latest change of a key; ok is false if Pebble has to be asked.
func (r *recent) get(g core.GroupID, key []byte) (e *entry, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return find(key, r.now[g], r.before[g])
}

// probes are lent to look for a key: one on the stack would escape into the tree.
var probes = sync.Pool{New: func() any { return new(entry) }}

// find looks for a key in layers of what is held back, the newest first; a layer may be nil.
func find(key []byte, layers ...*entries) (e *entry, ok bool) {
	probe := probes.Get().(*entry)
	defer probes.Put(probe)
	probe.key = key
	for _, t := range layers {
		if t != nil {
			if e, ok = t.Get(probe); ok {
				break
			}
		}
	}
	probe.key = nil
	return e, ok
}

// layers are what is held back of a group, the newest first, as it is now for ever. r.mu is held for writing: a copy marks the tree
// that it is taken of.
func (r *recent) layers(g core.GroupID) (list []*entries) {
	if t := r.now[g]; t != nil {
		list = append(list, t.Copy())
	}
	if t := r.before[g]; t != nil {
		list = append(list, t)
	}
	return list
}

// settle writes all that is held back to Pebble, in one batch.
func (s *state) settle() error {
	r := &s.recent
	r.settling.Lock()
	defer r.settling.Unlock()
	if r.failed != nil {
		return r.failed
	}
	r.mu.Lock()
	r.before, r.now, r.bytes = r.now, nil, 0
	r.mu.Unlock()
	if r.failed = s.commit(r.before); r.failed != nil {
		return r.failed // before stays, and with it what is read
	}
	r.mu.Lock()
	r.before = nil
	r.mu.Unlock()
	return nil
}

// commit writes in the order of the keys, which spares Pebble most of its searching.
func (s *state) commit(held map[core.GroupID]*entries) error {
	batch := s.db.NewBatch()
	defer batch.Close()
	for _, g := range slices.Sorted(maps.Keys(held)) {
		prefix := groupPrefix(g)
		var err error
		held[g].Scan(func(e *entry) bool {
			err = e.write(batch, prefix)
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	if batch.Empty() {
		return nil
	}
	return batch.Commit(s.write)
}

func (e *entry) write(batch *pebble.Batch, prefix []byte) error {
	if e.gone {
		op := batch.DeleteDeferred(prefixSize + len(e.key))
		copy(op.Key[copy(op.Key, prefix):], e.key)
		return op.Finish()
	}
	op := batch.SetDeferred(prefixSize+len(e.key), len(e.value))
	copy(op.Key[copy(op.Key, prefix):], e.key)
	copy(op.Value, e.value)
	return op.Finish()
}

// gathered is how many entries are taken at a time from what is held back.
const gathered = 64

// cursor walks the entries of a range in one layer of what is held back, as they were when it was made.
type cursor struct {
	list []*entry
	// rest has more behind list; nil: there is no more.
	rest *entries
	to   []byte
}

// cursors begin at from, the newest layer first. r.mu is held for writing. A tree that is changed is copied only if the range has more
// than is gathered at once.
func (r *recent) cursors(g core.GroupID, from, to []byte) []*cursor {
	list := cursorsIn([]*entries{r.now[g], r.before[g]}, from, to)
	for _, c := range list {
		if c.rest != nil && c.rest == r.now[g] {
			c.rest = c.rest.Copy()
		}
	}
	return list
}

// cursorsIn begin at from in layers of which each may be nil.
func cursorsIn(layers []*entries, from, to []byte) (list []*cursor) {
	for _, t := range layers {
		if t == nil {
			continue
		}
		c := &cursor{to: to, rest: t}
		if c.gather(from, false); len(c.list) > 0 {
			list = append(list, c)
		}
	}
	return list
}

// gather takes the next entries, from a key on or behind it.
func (c *cursor) gather(from []byte, behind bool) {
	c.list = nil
	more := false
	c.rest.Ascend(&entry{key: from}, func(e *entry) bool {
		switch {
		case behind && bytes.Equal(e.key, from):
			return true
		case c.to != nil && bytes.Compare(e.key, c.to) >= 0:
			return false
		case len(c.list) == gathered:
			more = true
			return false
		}
		c.list = append(c.list, e)
		return true
	})
	if !more {
		c.rest = nil
	}
}

// peek is the entry that the cursor stands at; nil at the end.
func (c *cursor) peek() *entry {
	if len(c.list) == 0 {
		return nil
	}
	return c.list[0]
}

func (c *cursor) next() {
	last := c.list[0].key
	if c.list = c.list[1:]; len(c.list) == 0 && c.rest != nil {
		c.gather(last, true)
	}
}

// merge calls f with the pairs of a Pebble iterator, which has its group's prefix in its keys, and of what is held back in front of it.
func merge(it *pebble.Iterator, cursors []*cursor, f func(key, value []byte) bool) error {
	for ok := it.First(); ; {
		var first *entry
		for _, c := range cursors {
			if e := c.peek(); e != nil && (first == nil || bytes.Compare(e.key, first.key) < 0) {
				first = e
			}
		}
		order := -1 // of what Pebble has, beside first
		switch {
		case first == nil && !ok:
			return nil
		case first == nil:
		case !ok:
			order = 1
		default:
			order = bytes.Compare(it.Key()[prefixSize:], first.key)
		}
		if order < 0 {
			v, err := it.ValueAndErr()
			if err != nil || !f(it.Key()[prefixSize:], v) {
				return err
			}
			ok = it.Next()
			continue
		}
		e := first
		for _, c := range cursors {
			if p := c.peek(); p != nil && bytes.Equal(p.key, e.key) {
				c.next()
			}
		}
		if !e.gone && !f(e.key, e.value) {
			return nil
		}
		if order == 0 {
			ok = it.Next()
		}
	}
}
