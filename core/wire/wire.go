// Package wire encodes the fields of messages for protocols that own their formats.
//
// A Writer appends numbers and byte strings, a Reader takes them apart; records on disk are made of the same fields. What a
// field means, in which order fields come and which version stands in front is the protocol's own.
//
// Others rely on this: a Reader never reads past its bytes, never believes a length that they do not bear out, and once it
// has met something malformed stays bad and returns zeros, so that a decoder looks at Bad once, at the end.
//
// Start with Reader.
package wire

import "encoding/binary"

// Reader takes an encoding apart. Byte strings point into B.
type Reader struct {
	B   []byte
	Bad bool
}

// Take reads n bytes.
func (r *Reader) Take(n uint64) []byte {
	if n > uint64(len(r.B)) {
		r.fail()
		return nil
	}
	v := r.B[:n:n]
	r.B = r.B[n:]
	return v
}

func (r *Reader) fail() { r.Bad, r.B = true, nil }

// Uint reads a number of variable length.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Int reads a number that may be negative.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.B)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Fixed reads a number of eight bytes, big endian.
func (r *Reader) Fixed() uint64 {
	if b := r.Take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if b := r.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// Bool reads a truth.
func (r *Reader) Bool() bool { return r.Byte() == 1 }

// Bytes reads a byte string behind its length.
func (r *Reader) Bytes() []byte { return r.Take(r.Uint()) }

// Count reads a number of parts of at least size bytes each, so that a lie cannot make anyone allocate.
func (r *Reader) Count(size int) int {
	n := r.Uint()
	if n > uint64(len(r.B)/size) {
		r.Bad = true
		return 0
	}
	return int(n)
}

// Writer appends to B.
type Writer struct{ B []byte }

// Uint appends a number of variable length.
func (w *Writer) Uint(v uint64) { w.B = binary.AppendUvarint(w.B, v) }

// Fixed appends a number as eight bytes, big endian.
func (w *Writer) Fixed(v uint64) { w.B = binary.BigEndian.AppendUint64(w.B, v) }

// Bool appends a truth.
func (w *Writer) Bool(v bool) { w.B = AppendBool(w.B, v) }

// Bytes appends a byte string behind its length.
func (w *Writer) Bytes(v []byte) { w.B = AppendBytes(w.B, v) }

// AppendBytes appends a byte string behind its length.
func AppendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// AppendBool appends a truth.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
