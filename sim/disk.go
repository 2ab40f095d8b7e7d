package sim

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
)

// disk is what a node finds again after a crash: the batches of its log that were synced, in segments, and each group's
// state as of some earlier moment. As in the real store, a state may be flushed at any moment, also ahead of the log,
// and an installed state is durable at once.
type disk struct {
	segments [][]logged
	upper    kv.HLC
	groups   map[core.GroupID]*state
	order    []core.GroupID
	// damaged says that the log was found damaged at the last start: replicas may have lost records.
	damaged bool
}

// logged is a batch as it stands in the log.
type logged struct {
	upper kv.HLC
	items []core.Item
}

func newDisk(w *world, node int) *disk {
	d := &disk{groups: map[core.GroupID]*state{}, segments: [][]logged{nil}}
	for _, g := range w.groups {
		s := &state{}
		s.set(newTree(), 0)
		s.keep()
		s.applying = func() { w.checks.applied(g.id, node, s.applied, s.digest) }
		d.groups[g.id] = s
		d.order = append(d.order, g.id)
	}
	return d
}

func (d *disk) group(g core.GroupID) *state { return d.groups[g] }

// append makes a batch durable.
func (d *disk) append(b host.Batch) {
	if b.Roll {
		d.segments = append(d.segments, nil)
	}
	last := len(d.segments) - 1
	d.segments[last] = append(d.segments[last], copyBatch(b))
	d.upper = max(d.upper, b.HLCUpper)
	d.trim()
}

func copyBatch(b host.Batch) logged {
	l := logged{upper: b.HLCUpper, items: make([]core.Item, len(b.Items))}
	for i, it := range b.Items {
		it.Record.Body = bytes.Clone(it.Record.Body)
		l.items[i] = it
	}
	return l
}

// trim deletes the oldest segments that no group needs.
func (d *disk) trim() {
	for len(d.segments) > 1 && d.disposable(d.segments[0]) {
		d.segments = d.segments[1:]
	}
}

func (d *disk) disposable(segment []logged) bool {
	for _, l := range segment {
		for _, it := range l.items {
			if it.Record.Pos > d.groups[it.Group].durable.applied {
				return false
			}
		}
	}
	return true
}

// flush makes the state durable as it is now.
func (d *disk) flush() {
	for _, g := range d.order {
		s := d.groups[g]
		s.keep()
	}
	d.trim()
}

// crash lets the state fall back to what was flushed.
func (d *disk) crash() {
	for _, g := range d.order {
		s := d.groups[g]
		s.version = s.durable.copy()
		s.staged = nil
	}
}

// damage makes one synced batch before the last unreadable; what follows it in the log is lost too, or is not.
func (d *disk) damage(rng *rand.Rand) bool {
	segment := rng.IntN(len(d.segments))
	batches := d.segments[segment]
	if len(batches) == 0 || (segment == len(d.segments)-1 && len(batches) < 2) {
		return false
	}
	at := rng.IntN(len(batches))
	if segment == len(d.segments)-1 {
		at = rng.IntN(len(batches) - 1)
	}
	kept := append([]logged{}, batches[:at]...)
	if rng.IntN(2) == 0 {
		kept = append(kept, batches[at+1:]...)
	} else {
		d.segments = d.segments[:segment+1]
	}
	d.segments[segment] = kept
	d.damaged = true
	return true
}

// records are a group's records in the order of writing.
func (d *disk) records(g core.GroupID) (list []core.Record) {
	for _, segment := range d.segments {
		for _, l := range segment {
			for _, it := range l.items {
				if it.Group == g {
					list = append(list, it.Record)
				}
			}
		}
	}
	return list
}

// pair is one key of a state.
type pair struct{ key, value []byte }

func newTree() *btree.BTreeG[pair] {
	return btree.NewBTreeGOptions(func(a, b pair) bool { return bytes.Compare(a.key, b.key) < 0 }, btree.Options{NoLocks: true})
}

// version is a state at one moment. digest is the sum of the hashes of its pairs, so that it can be kept up by change.
type version struct {
	tree    *btree.BTreeG[pair]
	digest  uint64
	applied uint64
}

func (v version) copy() version { v.tree = v.tree.Copy(); return v }

// state is one group's state: host.State.
type state struct {
	version
	durable  version
	staged   *version
	applying func()
}

func (s *state) set(t *btree.BTreeG[pair], digest uint64) {
	s.version = version{tree: t, digest: digest}
}

func (s *state) keep() { s.durable = s.version.copy() }

func hashPair(p pair) uint64 {
	h := (xxhash.Sum64(p.key) ^ bits.RotateLeft64(xxhash.Sum64(p.value), 31)) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func (v *version) put(p pair) {
	if old, had := v.tree.Set(p); had {
		v.digest -= hashPair(old)
	}
	v.digest += hashPair(p)
}

func (v *version) remove(key []byte) {
	if old, had := v.tree.Delete(pair{key: key}); had {
		v.digest -= hashPair(old)
	}
}

func (v *version) removeRange(from, to []byte) {
	var keys [][]byte
	v.Scan(from, to, func(key, _ []byte) bool { keys = append(keys, key); return true })
	for _, k := range keys {
		v.remove(k)
	}
}

func (v *version) readApplied() {
	v.applied = 0
	if p, ok := v.tree.Get(pair{key: core.AppliedKey}); ok && len(p.value) >= 8 {
		v.applied = binary.BigEndian.Uint64(p.value)
	}
}

// Apply makes the changes together.
func (s *state) Apply(changes []core.Change) error {
	installed := false
	for _, c := range changes {
		switch c.Kind {
		case core.Put:
			s.put(pair{bytes.Clone(c.Key), bytes.Clone(c.Value)})
		case core.Delete:
			s.remove(c.Key)
		case core.DeleteRange:
			s.removeRange(c.Key, c.End)
		case core.Stage:
			if s.staged == nil {
				s.staged = &version{tree: newTree()}
			}
			s.staged.put(pair{bytes.Clone(c.Key), bytes.Clone(c.Value)})
		case core.Unstage:
			s.staged = nil
		case core.Install:
			if s.staged == nil {
				s.staged = &version{tree: newTree()}
			}
			s.version, s.staged, installed = *s.staged, nil, true
		}
	}
	s.readApplied()
	if installed {
		s.keep()
	}
	s.applying()
	return nil
}

func (v *version) Get(key []byte) ([]byte, bool) {
	p, ok := v.tree.Get(pair{key: key})
	if !ok {
		return nil, false
	}
	return bytes.Clone(p.value), true
}

func (v *version) Scan(from, to []byte, f func(key, value []byte) bool) {
	v.tree.Ascend(pair{key: from}, func(p pair) bool {
		if to != nil && bytes.Compare(p.key, to) >= 0 {
			return false
		}
		return f(p.key, p.value)
	})
}

// Snapshot keeps the state as it is now.
func (v *version) Snapshot() core.Snapshot {
	c := v.copy()
	return &snapshot{c}
}

type snapshot struct{ version }

func (*snapshot) Close() {}
