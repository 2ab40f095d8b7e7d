package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The chunk format of Pebble's record package, as LogWriter writes it. We read it ourselves, because record.Reader ends at
// the first invalid chunk (after trying every bit flip, a second of work at each torn tail), looks for evidence of
// corruption only from the next 32 KiB on, and cannot go on behind the damage to save what is readable.
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

// segmentFile is the file under a LogWriter: its Sync is fdatasync, and it overwrites instead of growing.
//
// A sync that also has to record a new file size costs twice as much. A recycled file has its size already; a new one is
// filled with zeros a step ahead of the writer, so that only one sync per step pays.
type segmentFile struct {
	vfs.File
	size    int64 // of the file
	written int64
	step    int64
	zeros   []byte
	syncs   int64
}

func (f *segmentFile) Write(p []byte) (int, error) {
	end := f.written + int64(len(p))
	if end > f.size && f.step > 0 {
		if err := f.extend(end); err != nil {
			return 0, err
		}
	}
	n, err := f.File.Write(p)
	f.written += int64(n)
	return n, err
}

// extend writes zeros from where p will end, or the file ends, to the next step.
func (f *segmentFile) extend(end int64) error {
	from, to := max(end, f.size), (end/f.step+1)*f.step
	if int64(len(f.zeros)) < to-from {
		f.zeros = make([]byte, to-from)
	}
	if _, err := f.File.WriteAt(f.zeros[:to-from], from); err != nil {
		return err
	}
	f.size = to
	return nil
}

func (f *segmentFile) Sync() error {
	f.syncs++
	return f.SyncData()
}

// newLogWriter starts a LogWriter. The type of its log number cannot be named outside of Pebble, only inferred.
//
// WAL sync offsets are left out: with one batch in flight the head of a later batch is the same promise, and v2.1.7 counts
// only the bytes of partly filled blocks into its offsets.
func newLogWriter(f *segmentFile, number uint64) *record.LogWriter {
	return startLogWriter(record.NewLogWriter, f, number)
}

func startLogWriter[N ~uint64](
	start func(io.Writer, N, record.LogWriterConfig) *record.LogWriter, f *segmentFile, number uint64,
) *record.LogWriter {
	return start(f, N(number), record.LogWriterConfig{WriteWALSyncOffsets: func() bool { return false }})
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
		case !open || c.skipped:
			open = false
		default:
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
	skipped  bool // something unreadable stands before it
}

// chunk returns the next valid chunk of this segment, passing over whatever is none.
func (r *segmentReader) chunk() (c chunk, ok bool) {
	skipped := false
	for r.at < len(r.data) {
		end := min(r.at-r.at%blockSize+blockSize, len(r.data))
		if end-r.at < recyclableChunkHead {
			r.at = end // the writer leaves so short a rest empty
			continue
		}
		if c, size, ok := parseChunk(r.data[r.at:end], r.number); ok {
			c.at, c.skipped = r.at, skipped
			r.at += size
			return c, true
		}
		r.skip(end, &skipped)
	}
	return chunk{}, false
}

// skip goes to the next place in the block where a chunk of this segment may begin, or to the next block.
func (r *segmentReader) skip(end int, skipped *bool) {
	if !(end-r.at < syncChunkHead && allZero(r.data[r.at:end])) {
		*skipped = true
	}
	var number [4]byte
	binary.LittleEndian.PutUint32(number[:], r.number)
	const numberAt = 7
	if i := bytes.Index(r.data[r.at+1+numberAt:end], number[:]); i >= 0 {
		r.at += 1 + i
		return
	}
	r.at = end
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
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
