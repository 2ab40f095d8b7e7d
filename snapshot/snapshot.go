// Package snapshot is the records of a keyspace in a file.
//
// The file begins with a line that says what it is, then has frames: a head that says of which keyspace it is and as of when, frames
// of records, and an end that counts the records and holds the SHA-256 of all before it. Each frame has a checksum of its own, so
// that damage is named where it lies, and what is cut has no end.
//
// Others rely on this: a Reader that came to the end without an error has given every record that was written, each as it was, and
// nothing else. What it gave before that proves nothing, so whoever loads a file reads it through to the end first (Verify).
//
// Start with Writer, then Reader.
package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// magic is the first line; the number is the version of the format.
const (
	magic       = "gamut snapshot 1\n"
	magicPrefix = "gamut snapshot "
)

// Kinds of frames: kind u8, length u32, crc32c u32 of kind, length and body, body.
const (
	frameHead    = 1
	frameRecords = 2
	frameEnd     = 3
)

const (
	headerSize = 1 + 4 + 4
	// frameFill is where a frame of records is closed. One record may be longer.
	frameFill = 256 << 10
	// frameMax bounds what a file can make its reader allocate: the longest record, and what fits before it.
	frameMax = frameFill + kv.KeyMax + kv.ValueMax + 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Head says of what the records are.
type Head struct {
	// Keyspace is what the keyspace was made with.
	Keyspace kv.CreateKeyspace `json:"keyspace"`
	// Taken is when it was begun, by the clock of whoever did.
	Taken time.Time `json:"taken"`
	// Shards are how far each shard had come: each is complete as of its own position.
	Shards []Shard `json:"shards"`
}

// Shard is one shard's group and the position of its log as of which its records are.
type Shard struct {
	Group uint64 `json:"group"`
	Index uint64 `json:"index"`
}

// Record is one key of the keyspace.
type Record struct {
	Key, Value []byte
	Flags      uint32
	ExpireAt   int64 // Unix milliseconds; 0: never
}

// end is the last frame.
type end struct {
	Records uint64 `json:"records"`
	SHA256  []byte `json:"sha256"`
}

// Writer writes one file.
type Writer struct {
	out     *bufio.Writer
	sum     hash.Hash
	body    []byte
	records uint64
}

// NewWriter begins a file.
func NewWriter(w io.Writer, head Head) (*Writer, error) {
	s := &Writer{sum: sha256.New()}
	s.out = bufio.NewWriterSize(io.MultiWriter(w, s.sum), 64<<10)
	if _, err := s.out.WriteString(magic); err != nil {
		return nil, err
	}
	body, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	return s, s.frame(frameHead, body)
}

func (w *Writer) frame(kind byte, body []byte) error {
	header := append(make([]byte, 0, headerSize), kind)
	header = binary.BigEndian.AppendUint32(header, uint32(len(body)))
	header = binary.BigEndian.AppendUint32(header, crc32.Update(crc32.Checksum(header, castagnoli), castagnoli, body))
	if _, err := w.out.Write(header); err != nil {
		return err
	}
	_, err := w.out.Write(body)
	return err
}

// Add writes a record.
func (w *Writer) Add(r Record) error {
	w.body = appendSized(appendSized(w.body, r.Key), r.Value)
	w.body = binary.AppendUvarint(w.body, uint64(r.Flags))
	w.body = binary.AppendUvarint(w.body, uint64(r.ExpireAt))
	w.records++
	if len(w.body) < frameFill {
		return nil
	}
	return w.flush()
}

func (w *Writer) flush() error {
	if len(w.body) == 0 {
		return nil
	}
	err := w.frame(frameRecords, w.body)
	w.body = w.body[:0]
	return err
}

// Close writes the end, without which the file counts as cut. It returns how many records there are.
func (w *Writer) Close() (records uint64, err error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	if err := w.out.Flush(); err != nil { // now the sum is that of all before the end
		return 0, err
	}
	body, err := json.Marshal(end{w.records, w.sum.Sum(nil)})
	if err != nil {
		return 0, err
	}
	if err := w.frame(frameEnd, body); err != nil {
		return 0, err
	}
	return w.records, w.out.Flush()
}

func appendSized(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

// Reader reads one file.
type Reader struct {
	Head Head

	in  *bufio.Reader
	sum hash.Hash
	at  int64
	// rest are the records of the frame at hand that were not given yet.
	rest    []byte
	records uint64
	err     error
}

// NewReader begins to read. A file that is none, or one of a newer format, is refused by what it says of itself.
func NewReader(r io.Reader) (*Reader, error) {
	s := &Reader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	first := make([]byte, len(magic))
	n, err := io.ReadFull(s.in, first)
	switch {
	case n < len(magicPrefix) || string(first[:len(magicPrefix)]) != magicPrefix:
		return nil, kv.Errorf(kv.Invalid, "this is no snapshot of a keyspace")
	case err != nil:
		return nil, s.cut()
	case string(first) != magic:
		return nil, kv.Errorf(kv.Unsupported, "the snapshot begins with %q; this program reads %q", first, magic)
	}
	s.sum.Write(first)
	s.at = int64(len(magic))
	kind, body, err := s.frame()
	if err != nil {
		return nil, err
	}
	if kind != frameHead || json.Unmarshal(body, &s.Head) != nil {
		return nil, kv.Errorf(kv.Invalid, "the snapshot is damaged: it has no head")
	}
	return s, nil
}

func (r *Reader) cut() error {
	return kv.Errorf(kv.Invalid, "the snapshot is cut: it ends at byte %d, after %d records, without its end", r.at, r.records)
}

func (r *Reader) damaged(what string) error {
	return kv.Errorf(kv.Invalid, "the snapshot is damaged at byte %d, after %d records: %s", r.at, r.records, what)
}

// frame reads one frame, whose body is valid until the next.
func (r *Reader) frame() (kind byte, body []byte, err error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r.in, header[:]); err != nil {
		return 0, nil, r.missing(err)
	}
	size := binary.BigEndian.Uint32(header[1:])
	if size > frameMax {
		return 0, nil, r.damaged(fmt.Sprintf("a frame of %d bytes", size))
	}
	// No more is allocated than the file holds, whatever it says.
	var b bytes.Buffer
	if n, err := io.CopyN(&b, r.in, int64(size)); n < int64(size) {
		return 0, nil, r.missing(err)
	}
	body = b.Bytes()
	if crc32.Update(crc32.Checksum(header[:5], castagnoli), castagnoli, body) != binary.BigEndian.Uint32(header[5:]) {
		return 0, nil, r.damaged("a frame does not match its checksum")
	}
	if header[0] != frameEnd {
		r.sum.Write(header[:])
		r.sum.Write(body)
	}
	r.at += int64(headerSize + len(body))
	return header[0], body, nil
}

// missing tells a file that ends from one that cannot be read.
func (r *Reader) missing(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return r.cut()
	}
	return fmt.Errorf("read the snapshot at byte %d: %w", r.at, err)
}

// Next returns the next record, which is valid until the one after it; io.EOF says that the file was whole and ends here. Any other
// error stays.
func (r *Reader) Next() (Record, error) {
	for len(r.rest) == 0 && r.err == nil {
		r.err = r.nextFrame()
	}
	if r.err != nil {
		return Record{}, r.err
	}
	record, rest, ok := readRecord(r.rest)
	if !ok {
		r.err = r.damaged("a malformed record")
		return Record{}, r.err
	}
	r.rest = rest
	r.records++
	return record, nil
}

func (r *Reader) nextFrame() error {
	kind, body, err := r.frame()
	if err != nil {
		return err
	}
	switch kind {
	case frameRecords:
		r.rest = body
		return nil
	case frameEnd:
		return r.finish(body)
	}
	return r.damaged(fmt.Sprintf("a frame of kind %d", kind))
}

// finish holds what was read against what the end says.
func (r *Reader) finish(body []byte) error {
	var e end
	switch err := json.Unmarshal(body, &e); {
	case err != nil:
		return r.damaged("a malformed end")
	case e.Records != r.records:
		return r.damaged(fmt.Sprintf("its end counts %d records", e.Records))
	case !bytes.Equal(e.SHA256, r.sum.Sum(nil)):
		return r.damaged("it does not match the SHA-256 in its end")
	}
	if _, err := r.in.ReadByte(); err != io.EOF {
		return r.damaged("something follows its end")
	}
	return io.EOF
}

func readRecord(b []byte) (r Record, rest []byte, ok bool) {
	if r.Key, b, ok = readSized(b); !ok || len(r.Key) > kv.KeyMax {
		return r, nil, false
	}
	if r.Value, b, ok = readSized(b); !ok || len(r.Value) > kv.ValueMax {
		return r, nil, false
	}
	flags, n := binary.Uvarint(b)
	if n <= 0 || flags > 1<<32-1 {
		return r, nil, false
	}
	expire, m := binary.Uvarint(b[n:])
	if m <= 0 || expire > 1<<62 {
		return r, nil, false
	}
	r.Flags, r.ExpireAt = uint32(flags), int64(expire)
	return r, b[n+m:], true
}

func readSized(b []byte) (part, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(size) : n+int(size)], b[n+int(size):], true
}

// Verify reads a file to its end, and says of what it is and how many records it holds.
func Verify(in io.Reader) (head Head, records uint64, err error) {
	r, err := NewReader(in)
	if err != nil {
		return head, 0, err
	}
	for {
		if _, err := r.Next(); err == io.EOF {
			return r.Head, r.records, nil
		} else if err != nil {
			return r.Head, r.records, err
		}
	}
}
