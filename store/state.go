package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
)

// prefixSize is the group's number before each key, big endian: a group's keys are one span, so one excise drops a group
// or installs a snapshot.
const prefixSize = 8

// ownGroup holds what the store itself keeps in the state; it is no group's number.
const ownGroup = core.GroupID(math.MaxUint64)

var markKey = append(groupPrefix(ownGroup), "log"...)

func groupPrefix(g core.GroupID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(g)) }

// state is the groups' keys in one Pebble.
type state struct {
	db      *pebble.DB
	fs      vfs.FS
	staging string
	write   *pebble.WriteOptions
	// found is told of errors of reading, before whoever reads is.
	found func(error)

	recent recent

	mu     sync.Mutex
	staged map[core.GroupID]*stage
}

// openState opens Pebble with its write-ahead log off or, for the oracle, on. Errors of reading are told to found, those
// that Pebble meets by itself included.
func openState(o Options, dir, staging string, wal bool, found func(error)) (*state, error) {
	// Pebble takes the room of its memtables out of the cache: without this, two large ones would leave no cache at all.
	cache := pebble.NewCache(o.CacheBytes + 2*int64(o.MemTableBytes))
	defer cache.Unref()
	options := &pebble.Options{
		FS:           o.FS,
		Cache:        cache,
		DisableWAL:   !wal,
		MemTableSize: o.MemTableBytes,
		// One memtable is written while the one before it is flushed.
		MemTableStopWritesThreshold: 2,
		MaxOpenFiles:                1000,
		// Half of these memtables may lie in the first level before they are merged into the next, which is rewritten each time.
		L0CompactionThreshold: 8,
		FormatMajorVersion:    pebble.FormatWALSyncChunks,
		Logger:                quietLogger{o.Logger},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				if !isDamage(err) { // found has more to say of that
					o.Logger(fmt.Sprintf("the state in %s: %v", dir, err))
				}
				found(fmt.Errorf("%s: %w", dir, err))
			},
			// Without a listener Pebble ends the process.
			DataCorruption: func(info pebble.DataCorruptionInfo) { found(fmt.Errorf("%s: %w", info.Path, info.Details)) },
		},
	}
	for i := range options.Levels {
		// An index in one piece: a table of 2 MiB has one of about 10 KiB, and an index of the index costs each read a block more.
		options.Levels[i].IndexBlockSize = 256 << 10
		// Most reads find the key's newest version in one of several tables; the filters spare them the others.
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	options.CompactionConcurrencyRange = func() (int, int) { return 1, 1 }
	// An ingest that is queued behind a memtable would not be durable when it returns.
	options.Experimental.DisableIngestAsFlushable = func() bool { return true }
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("open the state in %s: %w", dir, err)
	}
	s := &state{db: db, fs: o.FS, staging: staging, write: pebble.NoSync, found: found, staged: map[core.GroupID]*stage{}}
	s.recent.max = int(min(recentMax, o.MemTableBytes/8))
	if wal {
		s.write, s.recent.max = pebble.Sync, 0 // each change is durable when Apply returns
	}
	if err := resetStaging(o.FS, staging); err != nil {
		return nil, errors.Join(fmt.Errorf("empty %s: %w", staging, err), db.Close())
	}
	return s, nil
}

// quietLogger passes on only what Pebble calls an error.
type quietLogger struct{ log func(string) }

func (quietLogger) Infof(string, ...any)           {}
func (l quietLogger) Errorf(f string, args ...any) { l.log(fmt.Sprintf(f, args...)) }
func (l quietLogger) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func (s *state) group(g core.GroupID) *diskGroup {
	return &diskGroup{s: s, id: g, prefix: groupPrefix(g)}
}

func (s *state) span(g core.GroupID) pebble.KeyRange {
	return pebble.KeyRange{Start: groupPrefix(g), End: groupPrefix(g + 1)}
}

// groups lists the groups that hold a key.
func (s *state) groups() (list []core.GroupID, err error) {
	if err := s.settle(); err != nil {
		return nil, fmt.Errorf("list the groups: %w", err)
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return nil, fmt.Errorf("list the groups: %w", err)
	}
	for ok := it.First(); ok; {
		g := core.GroupID(binary.BigEndian.Uint64(it.Key()))
		if g == ownGroup {
			break
		}
		list = append(list, g)
		ok = it.SeekGE(groupPrefix(g + 1))
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("list the groups: %w", err)
	}
	return list, nil
}

// durableOrNone is 0 for a group whose state cannot be read: it needs all of its records.
func (s *state) durableOrNone(g core.GroupID) uint64 {
	pos, err := s.group(g).durableApplied()
	if err != nil {
		return 0
	}
	return pos
}

// drop removes a group's keys, durably.
func (s *state) drop(g core.GroupID) error {
	s.unstage(g)
	if err := s.settle(); err != nil {
		return err
	}
	return s.db.Excise(context.Background(), s.span(g))
}

// mark and setMark keep the second witness of the log.
func (s *state) mark() (m logMark, err error) {
	v, closer, err := s.db.Get(markKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return logMark{}, nil
	}
	if err != nil {
		return m, fmt.Errorf("read the state: %w", err)
	}
	if len(v) != 16 {
		return m, fmt.Errorf("read the state: the log's mark has %d bytes: %w", len(v), pebble.ErrCorruption)
	}
	m.seq, m.oldest = binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])
	return m, closer.Close()
}

func (s *state) setMark(m logMark) error {
	v := binary.BigEndian.AppendUint64(nil, m.seq)
	return s.db.Set(markKey, binary.BigEndian.AppendUint64(v, m.oldest), pebble.NoSync)
}

func (s *state) close() error {
	for g := range s.staged {
		s.unstage(g)
	}
	return s.db.Close()
}

// diskGroup is one group's span of the state.
type diskGroup struct {
	s      *state
	id     core.GroupID
	prefix []byte
}

// keys lends buffers for a prefix and a key: a key on the stack would escape into Pebble.
var keys = sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }}

func (g *diskGroup) GetInto(buf, key []byte) (value []byte, ok bool, err error) {
	// Behind this look the key may come to be held back, and be in Pebble: then what is read is what came later.
	if e, ok := g.s.recent.get(g.id, key); ok {
		return append(buf, e.value...), !e.gone, nil
	}
	k := keys.Get().(*[]byte)
	defer keys.Put(k)
	*k = append(append((*k)[:0], g.prefix...), key...)
	v, closer, err := g.s.db.Get(*k)
	if errors.Is(err, pebble.ErrNotFound) {
		return buf, false, nil
	}
	if err != nil {
		return buf, false, g.damaged(err)
	}
	buf = append(buf, v...)
	return buf, true, closer.Close()
}

func (g *diskGroup) Get(key []byte) (value []byte, ok bool) {
	value, ok, err := g.GetInto(nil, key)
	if err != nil {
		panic(err)
	}
	return present(value, ok)
}

// present makes an empty value differ from a missing one.
func present(value []byte, ok bool) ([]byte, bool) {
	if ok && value == nil {
		value = []byte{}
	}
	return value, ok
}

// damaged tells of the error and wraps it. A value that cannot be read must never look like a missing one.
func (g *diskGroup) damaged(err error) error {
	g.s.found(err)
	return &ReadError{Group: g.id, Err: err}
}

// bounds are the span of from <= key < to within the group.
func (g *diskGroup) bounds(from, to []byte) (lower, upper []byte) {
	lower = append(slices.Clone(g.prefix), from...)
	if to == nil {
		return lower, groupPrefix(g.id + 1)
	}
	return lower, append(slices.Clone(g.prefix), to...)
}

func (g *diskGroup) ScanErr(from, to []byte, f func(key, value []byte) bool) error {
	lower, upper := g.bounds(from, to)
	r := &g.s.recent
	// Together: what is held back and Pebble are of one moment.
	r.mu.Lock()
	cursors := r.cursors(g.id, from, to)
	it, err := g.s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	r.mu.Unlock()
	if err != nil {
		return g.damaged(err)
	}
	return g.walk(it, cursors, f)
}

// walk calls f with each pair of it and of what is held back, and closes it.
func (g *diskGroup) walk(it *pebble.Iterator, cursors []*cursor, f func(key, value []byte) bool) error {
	// Closing again after the close below would panic; a panic of f must not leave the iterator open.
	done := false
	defer func() {
		if !done {
			it.Close()
		}
	}()
	err := merge(it, cursors, f)
	err = firstError(err, it.Error())
	done = true
	if err = firstError(err, it.Close()); err != nil {
		return g.damaged(err)
	}
	return nil
}

func (g *diskGroup) Scan(from, to []byte, f func(key, value []byte) bool) {
	if err := g.ScanErr(from, to, f); err != nil {
		panic(err)
	}
}

func (g *diskGroup) Applied() uint64 {
	v, _ := g.Get(core.AppliedKey)
	return appliedOf(v)
}

// appliedOf reads the position in the value at core.AppliedKey; a shorter one is none.
func appliedOf(v []byte) uint64 {
	if len(v) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(v)
}

func (g *diskGroup) DurableApplied() uint64 {
	pos, err := g.durableApplied()
	if err != nil {
		panic(err)
	}
	return pos
}

func (g *diskGroup) durableApplied() (pos uint64, err error) {
	lower, upper := g.bounds(core.AppliedKey, append(slices.Clone(core.AppliedKey), 0))
	it, err := g.s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper, OnlyReadGuaranteedDurable: g.s.write == pebble.NoSync})
	if err != nil {
		return 0, g.damaged(err)
	}
	return pos, g.walk(it, nil, func(_, v []byte) bool { pos = appliedOf(v); return false })
}

func (g *diskGroup) Apply(changes []core.Change) error {
	if len(changes) == 0 {
		return nil
	}
	if err := g.apply(changes); err != nil {
		if isDamage(err) {
			err = g.damaged(err)
		}
		return fmt.Errorf("apply to the state of group %d: %w", g.id, err)
	}
	return nil
}

func (g *diskGroup) apply(changes []core.Change) error {
	if plain(changes) {
		if g.s.recent.add(g.id, changes) {
			return g.s.settle()
		}
		return nil
	}
	// In order: what was held back is older than these.
	if err := g.s.settle(); err != nil {
		return err
	}
	batch := g.s.db.NewBatch()
	defer batch.Close()
	for i := range changes {
		if err := g.change(batch, &changes[i], len(changes)); err != nil {
			return err
		}
	}
	if batch.Empty() {
		return nil
	}
	return batch.Commit(g.s.write)
}

func (g *diskGroup) change(batch *pebble.Batch, c *core.Change, count int) error {
	switch c.Kind {
	case core.Put, core.Delete:
		e := entry{key: c.Key, value: c.Value, gone: c.Kind == core.Delete}
		return e.write(batch, g.prefix)
	case core.DeleteRange:
		lower, upper := g.bounds(c.Key, c.End)
		if bytes.Compare(lower, upper) >= 0 {
			return nil
		}
		return batch.DeleteRange(lower, upper, nil)
	case core.Stage:
		return g.s.stage(g.id, c.Key, c.Value)
	case core.Unstage:
		g.s.unstage(g.id)
		return nil
	case core.Install:
		if count != 1 {
			panic(fmt.Sprintf("group %d: Install among %d changes; it must come alone", g.id, count))
		}
		return g.s.install(g.id)
	}
	panic(fmt.Sprintf("group %d: change of kind %d", g.id, c.Kind))
}

func (g *diskGroup) Snapshot() core.Snapshot {
	r := &g.s.recent
	r.mu.Lock()
	layers := r.layers(g.id)
	// An iterator, not pebble.Snapshot: an excise takes the keys away under a Snapshot, never under an open iterator.
	it, err := g.s.db.NewIter(&pebble.IterOptions{LowerBound: g.prefix, UpperBound: groupPrefix(g.id + 1)})
	r.mu.Unlock()
	if err != nil {
		panic(g.damaged(err))
	}
	return &diskSnapshot{g: g, it: it, layers: layers, owned: true}
}

// diskSnapshot is an iterator that pins one moment, with what was held back then; each read walks a clone of it.
type diskSnapshot struct {
	g      *diskGroup
	it     *pebble.Iterator
	layers []*entries
	owned  bool
}

func (s *diskSnapshot) Get(key []byte) (value []byte, ok bool) {
	if e, ok := find(key, s.layers...); ok {
		return present(bytes.Clone(e.value), !e.gone)
	}
	s.Scan(key, append(slices.Clone(key), 0), func(_, v []byte) bool {
		value, ok = bytes.Clone(v), true
		return false
	})
	return present(value, ok)
}

func (s *diskSnapshot) Scan(from, to []byte, f func(key, value []byte) bool) {
	lower, upper := s.g.bounds(from, to)
	it, err := s.it.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{LowerBound: lower, UpperBound: upper}})
	if err == nil {
		err = s.g.walk(it, cursorsIn(s.layers, from, to), f)
	} else {
		err = s.g.damaged(err)
	}
	if err != nil {
		panic(err)
	}
}

// Snapshot of a snapshot is the same moment; the first one must stay open as long.
func (s *diskSnapshot) Snapshot() core.Snapshot {
	return &diskSnapshot{g: s.g, it: s.it, layers: s.layers}
}

func (s *diskSnapshot) Close() {
	if s.owned {
		s.it.Close()
	}
}
