package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// Memory is a disk for the simulator: it keeps the promises of Disk and breaks, on demand, all that Disk does not promise.
// It has no goroutine and no chance but what it is handed. It is not safe for concurrent use.
//
// After Crash a new Memory stands for the disk when it is opened again; the old one must not be used any more.
type Memory struct {
	opts     MemoryOptions
	segments []*memorySegment
	seq      uint64
	rolled   bool // a segment was begun since opening
	pending  *Batch
	// previous are the groups of the last batch, as in Disk.
	previous         []core.GroupID
	previousUnlisted bool

	state map[core.GroupID]*memoryTree
	// durable is the state that no crash takes back, and unflushed what was applied since, in order: a crash keeps a prefix
	// of it, over all groups, because memtables are flushed in order.
	durable        map[core.GroupID]*memoryTree
	unflushed      []memoryChange
	unflushedBytes int64
	staged         map[core.GroupID]*memoryTree
	// mark and oldest are the second witness of the log, as in Disk.
	mark, oldest uint64
}

// MemoryOptions of a Memory. The zero value means the defaults.
type MemoryOptions struct {
	// SegmentBytes is the size at which a segment of the log is full; default 64 KiB, so that short runs see many.
	SegmentBytes int64
	// MemTableBytes is how much may be applied before it becomes durable by itself, as when Pebble's memtable is full;
	// default 1 MiB.
	MemTableBytes int64
	// OneReleases plants a bug for the simulator's canaries: a segment goes as soon as one group needs nothing of it (trap T5.11).
	OneReleases bool
}

type memorySegment struct {
	segment
	bytes   int64
	batches []memoryBatch
	// torn is what a crash left behind them; nil: nothing.
	torn *torn
}

type memoryBatch struct {
	loggedBatch
	lost bool
}

type memoryChange struct {
	group   core.GroupID
	changes []core.Change
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty disk.
func NewMemory(opts MemoryOptions) *Memory {
	if opts.SegmentBytes <= 0 {
		opts.SegmentBytes = 64 << 10
	}
	if opts.MemTableBytes <= 0 {
		opts.MemTableBytes = 1 << 20
	}
	m := &Memory{opts: opts}
	m.empty()
	return m
}

func (m *Memory) empty() {
	m.segments, m.seq, m.rolled, m.pending, m.mark, m.oldest = nil, 0, false, nil, 0, 0
	m.previous, m.previousUnlisted = nil, false
	m.state, m.durable = map[core.GroupID]*memoryTree{}, map[core.GroupID]*memoryTree{}
	m.staged = map[core.GroupID]*memoryTree{}
	m.unflushed, m.unflushedBytes = nil, 0
}

// Wipe makes the disk blank, as if it were replaced.
func (m *Memory) Wipe() {
	m.empty()
}

// NeedsRoll is Disk.NeedsRoll.
func (m *Memory) NeedsRoll() bool {
	return !m.rolled || m.segments[len(m.segments)-1].bytes >= m.opts.SegmentBytes
}

// Begin starts to write a batch; it is durable when Complete is called. It copies what it keeps. One at a time.
func (m *Memory) Begin(b Batch) {
	if m.pending != nil {
		panic(fmt.Sprintf("store: batch %d was begun while the one before is being written", m.seq+2))
	}
	if !m.rolled && !b.Roll {
		panic("store: the first batch after opening must have Roll set")
	}
	items := slices.Clone(b.Items)
	for i := range items {
		items[i].Record.Body = bytes.Clone(items[i].Record.Body)
	}
	b.Items = items
	m.pending = &b
}

// Complete makes the batch that was begun durable.
func (m *Memory) Complete() {
	if m.pending == nil {
		panic("store: no batch is being written")
	}
	b := m.pending
	m.pending = nil
	if b.Roll {
		m.segments = append(m.segments, &memorySegment{segment: segment{maxPos: map[core.GroupID]uint64{}}})
		m.rolled = true
	}
	m.seq++
	s := m.segments[len(m.segments)-1]
	logged := loggedBatch{seq: m.seq, upper: b.HLCUpper, roll: b.Roll, items: b.Items, previous: m.previous, previousUnlisted: m.previousUnlisted}
	m.previous, m.previousUnlisted = groupsOf(b.Items)
	s.add(&logged)
	s.batches = append(s.batches, memoryBatch{loggedBatch: logged})
	for i := range b.Items {
		s.bytes += int64(len(b.Items[i].Record.Body)) + 16
	}
}

// Crash returns the disk as it is after a power loss. Tail says what becomes of the batch that was being written, and partly
// that some of it is there but not all; the state falls back to what was durable and some prefix of what was applied after it.
func (m *Memory) Crash(rng *rand.Rand, tail Tail) (after *Memory, partly bool) {
	kept := rng.IntN(2) == 0
	prefix := rng.IntN(len(m.unflushed) + 1)
	switch {
	case m.pending == nil:
	case tail == TailKept, tail == TailChance && kept:
		m.Complete()
	case tail == TailTorn:
		partly = m.tear(rng)
	}
	n := &Memory{opts: m.opts}
	n.empty()
	n.seq, n.mark, n.oldest = m.seq, m.mark, m.oldest
	for _, s := range m.segments {
		c := &memorySegment{segment: segment{firstSeq: s.firstSeq, maxPos: map[core.GroupID]uint64{}}, bytes: s.bytes, batches: slices.Clone(s.batches), torn: s.torn}
		n.segments = append(n.segments, c)
	}
	for g, t := range m.durable {
		n.durable[g] = t.copy()
	}
	for _, c := range m.unflushed[:prefix] {
		changeTree(treeOf(n.durable, c.group), c.changes)
	}
	for g, t := range n.durable {
		n.state[g] = t.copy()
	}
	return n, partly
}

// Corrupt destroys batches in the log, of those that Disk promises to miss: one, or some in a row, with another one behind
// them, or all to the end if the state was flushed after the first of them. It says whether there was any.
func (m *Memory) Corrupt(rng *rand.Rand) bool {
	var all []*memoryBatch
	for _, s := range m.segments {
		for i := range s.batches {
			all = append(all, &s.batches[i])
		}
	}
	limit := len(all)
	if limit > 0 && all[limit-1].seq > m.mark {
		limit--
	}
	if limit == 0 {
		return false
	}
	first, end := rng.IntN(limit), len(all)
	if all[first].seq > m.mark {
		end = limit
	}
	if rng.IntN(2) == 0 {
		end = first + 1 + rng.IntN(end-first)
	} else {
		end = first + 1
	}
	for _, b := range all[first:end] {
		b.lost = true
	}
	return true
}

// Recover reads the disk after it was opened: before the first Begin.
func (m *Memory) Recover() Recovered {
	r := &recovery{
		Recovered: newRecovered(),
		covered:   map[core.GroupID]int{},
		durable:   remembered(func(g core.GroupID) uint64 { return m.Group(g).DurableApplied() }),
		expected:  max(m.oldest, 1),
	}
	for _, s := range m.segments {
		rebuilt := &segment{maxPos: map[core.GroupID]uint64{}}
		for i := range s.batches {
			if b := &s.batches[i]; !b.lost {
				r.batch(rebuilt, &b.loggedBatch)
				r.lastPath, r.lastEnd = "in memory", int(b.seq)
			}
		}
		s.recoverTorn(r, rebuilt)
		s.maxPos, s.firstSeq = rebuilt.maxPos, rebuilt.firstSeq
	}
	m.seq = 0
	if r.found {
		m.seq = r.expected - 1
	}
	m.previous, m.previousUnlisted = groupsOf(r.items)
	if m.seq < m.mark {
		r.lose(m.seq+1, m.mark, "but the state was flushed after them")
		m.seq, m.previousUnlisted = m.mark, true
	}
	return r.Recovered
}

// Group is the state of one group.
func (m *Memory) Group(g core.GroupID) Group { return &memoryGroup{m: m, id: g} }

// GroupsWithState lists the groups that hold at least one key, in order.
func (m *Memory) GroupsWithState() (list []core.GroupID) {
	for g, t := range m.state {
		if t.pairs.Len() > 0 {
			list = append(list, g)
		}
	}
	slices.Sort(list)
	return list
}

// Flush is Disk.Flush.
func (m *Memory) Flush() error {
	m.mark = m.seq
	m.settle()
	durable := func(g core.GroupID) uint64 { return m.Group(g).DurableApplied() }
	for m.rolled && len(m.segments) > 1 && (m.segments[0].reached(durable) || m.opts.OneReleases && m.segments[0].reachedByOne(durable)) {
		m.segments = m.segments[1:]
		if first := m.segments[0].firstSeq; first != 0 {
			m.oldest = first
		}
	}
	return nil
}

// reachedByOne is what a careless log takes for reached.
func (s *memorySegment) reachedByOne(durable func(core.GroupID) uint64) bool {
	for g, pos := range s.maxPos { // the order does not matter: any one will do
		if durable(g) >= pos {
			return true
		}
	}
	return false
}

// settle makes the state durable.
func (m *Memory) settle() {
	clear(m.durable)
	for g, t := range m.state {
		m.durable[g] = t.copy()
	}
	m.unflushed, m.unflushedBytes = nil, 0
}

// Drop is Disk.Drop.
func (m *Memory) Drop(g core.GroupID) error {
	m.replace(g, nil)
	delete(m.staged, g)
	for _, s := range m.segments {
		delete(s.maxPos, g)
	}
	return nil
}

// replace changes a group's whole state at once, durably.
func (m *Memory) replace(g core.GroupID, t *memoryTree) {
	m.unflushed = slices.DeleteFunc(m.unflushed, func(c memoryChange) bool { return c.group == g })
	if t == nil {
		delete(m.state, g)
		delete(m.durable, g)
		return
	}
	m.state[g], m.durable[g] = t, t.copy()
}

// Digest sums up a group's state: equal states have equal digests. It is kept up by each change, so asking costs nothing.
func (m *Memory) Digest(g core.GroupID) uint64 {
	if t := m.state[g]; t != nil {
		return t.digest
	}
	return 0
}
