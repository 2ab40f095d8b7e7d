package store

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"

	"github.com/gamutdb/gamut/core"
)

type memoryPair struct{ key, value []byte }

func (p memoryPair) hash() uint64 {
	h := (xxhash.Sum64(p.key) ^ bits.RotateLeft64(xxhash.Sum64(p.value), 31)) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// memoryTree is a state in the order of its keys. digest is the sum of its pairs' hashes, so that each change keeps it up.
type memoryTree struct {
	pairs  *btree.BTreeG[memoryPair]
	digest uint64
}

func newMemoryTree() *memoryTree {
	return &memoryTree{pairs: btree.NewBTreeGOptions(func(a, b memoryPair) bool { return bytes.Compare(a.key, b.key) < 0 },
		btree.Options{NoLocks: true, Degree: 16})}
}

// copy shares the nodes of the tree until one of them is written.
func (t *memoryTree) copy() *memoryTree { return &memoryTree{t.pairs.Copy(), t.digest} }

func (t *memoryTree) set(p memoryPair) {
	if old, had := t.pairs.Set(p); had {
		t.digest -= old.hash()
	}
	t.digest += p.hash()
}

func (t *memoryTree) remove(key []byte) {
	if old, had := t.pairs.Delete(memoryPair{key: key}); had {
		t.digest -= old.hash()
	}
}

// treeOf returns a group's tree in m, which it makes if there is none.
func treeOf(m map[core.GroupID]*memoryTree, g core.GroupID) *memoryTree {
	t := m[g]
	if t == nil {
		t = newMemoryTree()
		m[g] = t
	}
	return t
}

// changeTree makes changes; the tree keeps their slices.
func changeTree(t *memoryTree, changes []core.Change) {
	for _, c := range changes {
		switch c.Kind {
		case core.Put:
			if _, had := t.pairs.Get(memoryPair{key: c.Key}); had && c.Fresh {
				panic(fmt.Sprintf("store: %q is not fresh", c.Key))
			}
			t.set(memoryPair{c.Key, c.Value})
		case core.Delete:
			t.remove(c.Key)
		case core.DeleteRange:
			var keys [][]byte
			scanTree(t, c.Key, c.End, func(k, _ []byte) bool { keys = append(keys, k); return true })
			for _, k := range keys {
				t.remove(k)
			}
		default:
			panic(fmt.Sprintf("store: change of kind %d", c.Kind))
		}
	}
}

func scanTree(t *memoryTree, from, to []byte, f func(key, value []byte) bool) {
	if t == nil {
		return
	}
	t.pairs.Ascend(memoryPair{key: from}, func(p memoryPair) bool {
		return (to == nil || bytes.Compare(p.key, to) < 0) && f(p.key, p.value)
	})
}

// memoryGroup is one group of a Memory.
type memoryGroup struct {
	m  *Memory
	id core.GroupID
}

func (g *memoryGroup) view() *memoryView { return &memoryView{g.m.state[g.id]} }

func (g *memoryGroup) Get(key []byte) ([]byte, bool) { return g.view().Get(key) }

func (g *memoryGroup) Scan(from, to []byte, f func(key, value []byte) bool) {
	g.view().Scan(from, to, f)
}

func (g *memoryGroup) Snapshot() core.Snapshot {
	if t := g.m.state[g.id]; t != nil {
		return &memoryView{t.copy()}
	}
	return &memoryView{}
}

func (g *memoryGroup) GetInto(buf, key []byte) ([]byte, bool, error) {
	v, ok := g.view().find(key)
	return append(buf, v...), ok, nil
}

func (g *memoryGroup) ScanErr(from, to []byte, f func(key, value []byte) bool) error {
	g.Scan(from, to, f)
	return nil
}

func (g *memoryGroup) Applied() uint64 {
	v, _ := g.view().find(core.AppliedKey)
	return appliedOf(v)
}

func (g *memoryGroup) DurableApplied() uint64 {
	v, _ := (&memoryView{g.m.durable[g.id]}).find(core.AppliedKey)
	return appliedOf(v)
}

func (g *memoryGroup) Apply(changes []core.Change) error {
	var kept []core.Change
	var size int64
	for _, c := range changes {
		switch c.Kind {
		case core.Stage:
			if err := g.stage(c); err != nil {
				return err
			}
		case core.Unstage:
			delete(g.m.staged, g.id)
		case core.Install:
			if len(changes) != 1 {
				panic(fmt.Sprintf("group %d: Install among %d changes; it must come alone", g.id, len(changes)))
			}
			g.m.replace(g.id, g.m.staged[g.id])
			delete(g.m.staged, g.id)
		default:
			kept = append(kept, core.Change{Kind: c.Kind, Key: clonePresent(c.Key), Value: clonePresent(c.Value), End: bytes.Clone(c.End), Fresh: c.Fresh})
			size += int64(len(c.Key) + len(c.Value) + 16)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	changeTree(treeOf(g.m.state, g.id), kept)
	g.m.unflushed = append(g.m.unflushed, memoryChange{g.id, kept})
	if g.m.unflushedBytes += size; g.m.unflushedBytes > g.m.opts.MemTableBytes {
		g.m.settle()
	}
	return nil
}

// clonePresent copies p; a copy of nothing is not nil.
func clonePresent(p []byte) []byte { return append([]byte{}, p...) }

func (g *memoryGroup) stage(c core.Change) error {
	t := treeOf(g.m.staged, g.id)
	if last, ok := t.pairs.Max(); ok && bytes.Compare(last.key, c.Key) >= 0 {
		return fmt.Errorf("apply to the state of group %d: stage: key %q does not follow %q", g.id, c.Key, last.key)
	}
	t.set(memoryPair{clonePresent(c.Key), clonePresent(c.Value)})
	return nil
}

// memoryView reads a tree, which may be nil.
type memoryView struct{ tree *memoryTree }

func (v *memoryView) find(key []byte) ([]byte, bool) {
	if v.tree == nil {
		return nil, false
	}
	p, ok := v.tree.pairs.Get(memoryPair{key: key})
	return p.value, ok
}

func (v *memoryView) Get(key []byte) ([]byte, bool) {
	value, ok := v.find(key)
	if !ok {
		return nil, false
	}
	return clonePresent(value), true
}

func (v *memoryView) Scan(from, to []byte, f func(key, value []byte) bool) {
	scanTree(v.tree, from, to, f)
}

func (v *memoryView) Snapshot() core.Snapshot { return &memoryView{v.tree} }
func (v *memoryView) Close()                  {}
