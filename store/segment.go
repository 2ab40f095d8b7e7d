package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A segment is a file in the recyclable chunk format of Pebble's record package, as its LogWriter writes it byte for byte
// and its Reader reads it; the tests hold both against ours.
//
// We write it ourselves because LogWriter hands each batch to its own goroutine and back, which costs a sixth to a third of
// an Append on a fast disk, and writes each 32 KiB by itself. We read it ourselves because Reader ends at the first invalid
// chunk (after trying every bit flip, a second of work at a torn tail), looks for evidence of corruption only from the next
// 32 KiB on, and cannot go on behind the damage to save what is readable. WAL sync offsets are left out: with one batch in
// flight, the head of a later batch is the same promise.
const (
	blockSize           = 32 << 10
	recyclableChunkHead = 4 + 2 + 1 + 4
	syncChunkHead       = recyclableChunkHead + 8

	chunkRecyclableFull = 5 // then first, middle, last
	chunkSyncFull       = 9
	chunkKindEnd        = 13
)

// Positions of a chunk in its record.
const (
	chunkFull = iota
	chunkFirst
	chunkMiddle
	chunkLast
)

// segmentFile is the segment being written. It overwrites instead of growing: a sync that also has to record a new file size
// costs twice as much. A recycled file has its size already; a new one is filled with zeros a step ahead of the writer, so
// that only one sync per step pays.
type segmentFile struct {
	vfs.File
	number  uint32
	size    int64 // of the file
	written int64
	step    int64
	chunks  []byte
}

// append makes a record durable with one write and one fdatasync.
func (f *segmentFile) append(record []byte) error {
	f.chunks = appendChunks(f.chunks[:0], record, f.written, f.number)
	end := f.written + int64(len(f.chunks))
	if end > f.size {
		if err := f.extend(end); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(f.chunks, f.written); err != nil {
		return err
	}
	f.written = end
	if cap(f.chunks) > encodeKeep {
		f.chunks = nil
	}
	return f.SyncData()
}

const stepMax = 1 << 20

var zeros [stepMax]byte

// extend writes zeros from where the next record ends, which is past the end of the file, up to the next step.
func (f *segmentFile) extend(end int64) error {
	to := (end/f.step + 1) * f.step
	if _, err := f.WriteAt(zeros[:to-end], end); err != nil {
		return err
	}
	f.size = to
	return nil
}

// appendChunks encodes a record that will stand at offset in its file. No chunk crosses a block's end, and a rest of a block
// that is too short for a chunk's head is zero.
func appendChunks(buf, record []byte, offset int64, number uint32) []byte {
	for first := true; first || len(record) > 0; first = false {
		room := blockSize - int(offset%blockSize)
		if room < recyclableChunkHead {
			buf = append(buf, make([]byte, room)...)
			offset += int64(room)
			room = blockSize
		}
		n := min(len(record), room-recyclableChunkHead)
		position := chunkMiddle
		switch last := n == len(record); {
		case first && last:
			position = chunkFull
		case first:
			position = chunkFirst
		case last:
			position = chunkLast
		}
		at := len(buf)
		buf = append(buf, 0, 0, 0, 0)
		buf = binary.LittleEndian.AppendUint16(buf, uint16(n))
		buf = append(buf, byte(chunkRecyclableFull+position))
		buf = binary.LittleEndian.AppendUint32(buf, number)
		buf = append(buf, record[:n]...)
		binary.LittleEndian.PutUint32(buf[at:], chunkSum(buf[at+6:]))
		record, offset = record[n:], offset+int64(n+recyclableChunkHead)
	}
	return buf
}

// segmentReader finds the records of one segment, also behind damage.
type segmentReader struct {
	data   []byte
	number uint32
	at     int
	record []byte // of a record in several chunks
}

// next returns the next whole record and where it begins and ends; ok is false at the end. The record is borrowed until next.
func (r *segmentReader) next() (rec []byte, from, to int, ok bool) {
	open, start := false, 0
	for {
		c, found := r.chunk()
		if !found {
			return nil, 0, 0, false
		}
		switch {
		case c.position == chunkFull:
			return c.payload, c.at, r.at, true
		case c.position == chunkFirst:
			open, start = true, c.at
			r.record = append(r.record[:0], c.payload...)
		case open:
			// What was passed over since the first chunk is missed by the batch's own checksum.
			r.record = append(r.record, c.payload...)
			if c.position == chunkLast {
				return r.record, start, r.at, true
			}
		}
	}
}

type chunk struct {
	at       int
	position int
	payload  []byte
}

// chunk returns the next valid chunk of this segment, passing over whatever is none.
func (r *segmentReader) chunk() (c chunk, ok bool) {
	for r.at < len(r.data) {
		end := min(r.at-r.at%blockSize+blockSize, len(r.data))
		if end-r.at < recyclableChunkHead {
			r.at = end // the writer leaves so short a rest empty
			continue
		}
		if c, size, ok := parseChunk(r.data[r.at:end], r.number); ok {
			c.at = r.at
			r.at += size
			return c, true
		}
		r.skip(end)
	}
	return chunk{}, false
}

// skip goes to the next place in the block where a chunk of this segment may begin, or to the next block.
func (r *segmentReader) skip(end int) {
	var number [4]byte
	binary.LittleEndian.PutUint32(number[:], r.number)
	const numberAt = 7
	if i := bytes.Index(r.data[r.at+1+numberAt:end], number[:]); i >= 0 {
		r.at += 1 + i
		return
	}
	r.at = end
}

// parseChunk reads one chunk at the start of p, the rest of its block.
func parseChunk(p []byte, number uint32) (c chunk, size int, ok bool) {
	kind := p[6]
	head := recyclableChunkHead
	switch {
	case kind < chunkRecyclableFull || kind >= chunkKindEnd:
		return c, 0, false
	case kind >= chunkSyncFull:
		head = syncChunkHead
		c.position = int(kind - chunkSyncFull)
	default:
		c.position = int(kind - chunkRecyclableFull)
	}
	size = head + int(binary.LittleEndian.Uint16(p[4:]))
	if size > len(p) || binary.LittleEndian.Uint32(p[7:]) != number {
		return c, 0, false
	}
	if binary.LittleEndian.Uint32(p) != chunkSum(p[6:size]) {
		return c, 0, false
	}
	c.payload = p[head:size:size]
	return c, size, true
}

// chunkSum is the masked crc32c of Pebble's chunks.
func chunkSum(p []byte) uint32 {
	c := crc32.Checksum(p, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
