package quorum

import (
	"encoding/binary"
	"errors"
	"github.com/gamutdb/gamut/core/wire"
)

// items are keys with their records, encoded as they are sent, logged and kept as hints: one copy serves all. A key stands as
// in the state, its kind first.
type items []byte

func appendItem(b items, key, record []byte) items {
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	b = binary.AppendUvarint(b, uint64(len(record)))
	return append(b, record...)
}

// appendPut appends a client's key with a record that is encoded in place.
func appendPut(b items, key []byte, r *Record) items {
	b = binary.AppendUvarint(b, uint64(len(key)+1))
	b = append(append(b, DataKind), key...)
	b = binary.AppendUvarint(b, uint64(recordSize(r)))
	return appendRecord(b, r)
}

// stampLast gives a stamp to the item that ends at a place; its record has that size.
func (b items) stampLast(end, size int, s Stamp) {
	at := b[end-size+stampFrom:]
	binary.BigEndian.PutUint64(at, uint64(s.Time))
	binary.BigEndian.PutUint32(at[8:], uint32(s.Origin))
}

var errItems = errors.New("malformed items")

// next takes the first item off; ok is false at the end, or where the encoding is not ours.
func (b items) next() (key, record []byte, rest items, ok bool) {
	r := reader{wire.Reader{B: b}}
	key, record = r.Bytes(), r.Bytes()
	if r.Bad {
		return nil, nil, nil, false
	}
	return key, record, r.B, true
}

// check reports whether all of the items are well formed, so that nothing else is ever logged.
func (b items) check() error {
	for len(b) > 0 {
		key, record, rest, ok := b.next()
		if !ok || len(key) == 0 || key[0] != DataKind {
			return errItems
		}
		if _, err := DecodeRecord(record); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// each calls f with each item and its place.
func (b items) each(f func(i int, key, record []byte)) {
	for i := 0; len(b) > 0; i++ {
		key, record, rest, ok := b.next()
		if !ok {
			panic("quorum: items that were checked are malformed")
		}
		f(i, key, record)
		b = rest
	}
}

// count is how many there are.
func (b items) count() (n int) {
	b.each(func(int, []byte, []byte) { n++ })
	return n
}
