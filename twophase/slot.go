package twophase

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// batchKind says what a batch holds.
type batchKind byte

// Kinds of batches. The numbers are on disk and on the wire.
const (
	commands batchKind = 1
	expiry   batchKind = 2
	mark     batchKind = 3 // a position at which every replica keeps its state
)

// Bounds of a batch: what is sent and written at once.
const (
	batchMax    = 1 << 20 // bytes, unless one command alone is larger
	commandsMax = 4096
)

// batch is commands that are prepared together. Its encoding is kept as it is, and is what members compare.
type batch struct {
	kind    batchKind
	time    kv.HLC
	payload []byte
	raw     []byte
}

const batchHeader = 1 + 8

var errBatch = errors.New("malformed batch")

// newBatch makes a batch; raw has the payload behind room for the header.
func newBatch(kind batchKind, time kv.HLC, raw []byte) batch {
	raw[0] = byte(kind)
	binary.BigEndian.PutUint64(raw[1:], uint64(time))
	return batch{kind, time, raw[batchHeader:], raw}
}

func decodeBatch(raw []byte) (batch, error) {
	if len(raw) < batchHeader || raw[0] < byte(commands) || raw[0] > byte(mark) {
		return batch{}, errBatch
	}
	b := batch{batchKind(raw[0]), kv.HLC(binary.BigEndian.Uint64(raw[1:])), raw[batchHeader:], raw}
	if b.kind == commands {
		return b, b.each(func(int, []byte) {})
	}
	return b, nil
}

// each calls f with each command.
func (b *batch) each(f func(i int, command []byte)) error {
	rest := b.payload
	for i := 0; len(rest) > 0; i++ {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return errBatch
		}
		f(i, rest[n:n+int(size)])
		rest = rest[n+int(size):]
	}
	return nil
}

// slot is a number and what this replica has durably done about it: prepared a batch, or aborted whatever may come.
type slot struct {
	n       uint64
	aborted bool
	batch   batch
	// keys are those that the batch reads or writes; all: it may be any. Neither is known before somebody asks.
	keys  map[uint64]struct{}
	all   bool
	known bool

	// The coordinator's: who has to vote, who has voted yes, who has aborted, and since when it waits.
	need, yes, gone uint64
	since           core.Time
}

// touches says whether a key's value may hang on the outcome of the slot.
func (s *slot) touches(key []byte) bool {
	if s.aborted || s.batch.kind != commands {
		return false
	}
	s.learn()
	_, ok := s.keys[xxhash.Sum64(key)]
	return ok || s.all
}

// learn finds the keys of the batch.
func (s *slot) learn() {
	if s.known {
		return
	}
	s.known, s.keys = true, map[uint64]struct{}{}
	var c kv.Command
	_ = s.batch.each(func(_ int, encoded []byte) { // it was read before
		if kv.DecodeCommand(encoded, &c) != nil {
			return // it is answered as invalid, and changes nothing
		}
		s.all = s.all || wide(&c)
		c.Keys(func(key []byte) { s.keys[xxhash.Sum64(key)] = struct{}{} })
	})
}

// wide says that a command is not about certain keys.
func wide(c *kv.Command) bool {
	return slices.ContainsFunc(c.Ops, func(o kv.Op) bool { return o.Kind == kv.OpScan || o.Kind == kv.OpClear })
}

// slots are those behind the state, by number; there may be holes.
type slots struct {
	base uint64 // applied
	list []*slot
}

// at finds a slot; nil: nothing is known of the number, or it was applied.
func (l *slots) at(n uint64) *slot {
	if n <= l.base || n > l.base+uint64(len(l.list)) {
		return nil
	}
	return l.list[n-l.base-1]
}

// put sets a slot behind the state.
func (l *slots) put(s *slot) {
	for l.base+uint64(len(l.list)) < s.n {
		l.list = append(l.list, nil)
	}
	l.list[s.n-l.base-1] = s
}

// last is the highest number known of.
func (l *slots) last() uint64 { return l.base + uint64(len(l.list)) }

// drop forgets the lowest slot.
func (l *slots) drop() {
	l.base++
	if len(l.list) > 0 {
		l.list[0] = nil
		l.list = l.list[1:]
	}
}

// reset forgets all.
func (l *slots) reset(base uint64) { l.base, l.list = base, nil }

// slotsMax bounds how far ahead of the state a number may be: a coordinator has few batches under way, so more is a lie.
const slotsMax = 1 << 16

// sums remembers the sum of what was applied, for the latest positions, so that replicas can be compared.
type sums struct {
	latest [sumsKept]uint64
	index  uint64
}

const sumsKept = 64

// at is the sum at a position; 0: it is not kept.
func (s *sums) at(n uint64) uint64 {
	if n > s.index || n+sumsKept <= s.index {
		return 0
	}
	return s.latest[n%sumsKept]
}

func (s *sums) set(n, sum uint64) { s.index, s.latest[n%sumsKept] = n, sum }

// reset begins anew at a position.
func (s *sums) reset(n, sum uint64) {
	*s = sums{}
	s.set(n, sum)
}
