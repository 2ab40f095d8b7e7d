package store

import (
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// sectorSize is what a disk writes whole or not at all.
const sectorSize = 512

// Tail says what a crash leaves of the batch that was being written.
type Tail uint8

// Tails. TailLost: nothing. TailTorn: some of its sectors, as the power left them; its bytes are laid out and read as those of
// a segment file are, so that the reader has to find out that they are no batch. TailKept: all of it. TailChance: all or
// nothing.
const (
	TailLost Tail = iota
	TailTorn
	TailKept
	TailChance
)

// torn are the bytes that a crash left behind the last batch of a segment.
type torn struct {
	offset int64 // in the segment's file
	// number is what the chunks of the segment carry: recycled files are told apart by it.
	number uint32
	bytes  []byte
}

// tear leaves a part of the batch that was being written in its segment, and reports whether that is some of it but not all.
func (m *Memory) tear(rng *rand.Rand) bool {
	b := m.pending
	m.pending = nil
	if b.Roll {
		// The segment's name is durable before anything is written to it.
		m.segments = append(m.segments, &memorySegment{segment: segment{maxPos: map[core.GroupID]uint64{}}})
	}
	s := m.segments[len(m.segments)-1]
	logged := loggedBatch{seq: m.seq + 1, upper: b.HLCUpper, roll: b.Roll, items: b.Items, previous: m.previous, previousUnlisted: m.previousUnlisted}
	t := torn{offset: s.bytes, number: uint32(len(m.segments))}
	t.bytes = appendChunks(nil, appendBatch(nil, &logged), t.offset, t.number)
	sectors := cutSectors(t.bytes, t.offset)
	missing := drawMissing(rng, len(sectors))
	for i, sector := range sectors {
		if missing(i) {
			clear(sector)
		}
	}
	s.torn = &t
	return slices.ContainsFunc(t.bytes, func(b byte) bool { return b != 0 })
}

// drawMissing draws which of so many sectors did not arrive: all behind one, a stretch of them, or any; at least one.
func drawMissing(rng *rand.Rand, count int) func(sector int) bool {
	from := rng.IntN(count)
	to := from + 1 + rng.IntN(count-from)
	switch rng.IntN(3) {
	case 0:
		to = count
	case 1:
		lost := rng.Uint64()
		return func(i int) bool { return i == from || lost>>(i%64)&1 == 1 }
	}
	return func(i int) bool { return from <= i && i < to }
}

// cutSectors cuts bytes that lie at an offset of their file where the sectors of the disk end.
func cutSectors(b []byte, offset int64) (sectors [][]byte) {
	for len(b) > 0 {
		n := min(len(b), sectorSize-int(offset%sectorSize))
		sectors = append(sectors, b[:n])
		b, offset = b[n:], offset+int64(n)
	}
	return sectors
}

// reader reads the bytes as those of a file. What precedes them in their block are batches: it passes over their place.
func (t *torn) reader() *segmentReader {
	return &segmentReader{data: append(make([]byte, t.offset%blockSize), t.bytes...), number: t.number}
}

// recoverTorn reads what a crash left behind the batches of a segment.
func (s *memorySegment) recoverTorn(r *recovery, rebuilt *segment) {
	if s.torn == nil {
		return
	}
	for reader := s.torn.reader(); ; {
		record, _, _, ok := reader.next()
		if !ok {
			return
		}
		if b, err := decodeBatch(record); err == nil {
			r.batch(rebuilt, &b) // what was cut off held nothing but zeros
		}
	}
}
