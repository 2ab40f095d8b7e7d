package kv

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// InsideMax is the longest value in bytes that always lies in a replica's own state: one that is kept elsewhere leaves a
// reference of almost that size behind. Counters are shorter, so they never leave.
const InsideMax = 64

// referenceMark begins every reference. No value that a client may write is taken for one (Command.Validate refuses those).
var referenceMark = [16]byte{0xc7, 'g', 'a', 'm', 'u', 't', 0x9e, 0x03, 0xf1, 0x5a, 0x80, 0x1d, 0xb6, 0x44, 0xe9, 0x72}

// ReferenceSize is the length of an encoded reference in bytes.
const ReferenceSize = len(referenceMark) + 8 + sha256.Size

// Reference stands in a replica's state in the place of a value that is kept elsewhere: what the value is, not where. It is
// the same on all replicas, so they stay comparable, and whoever fetches the value can tell it from any other.
type Reference struct {
	// Size is the length of the value in bytes.
	Size uint64
	// Sum is its SHA-256.
	Sum [sha256.Size]byte
}

// Refer makes the reference to a value.
func Refer(value []byte) Reference { return Reference{uint64(len(value)), sha256.Sum256(value)} }

// Names reports whether the reference is to this very value.
func (r Reference) Names(value []byte) bool {
	return r.Size == uint64(len(value)) && r.Sum == sha256.Sum256(value)
}

// AppendTo encodes the reference.
func (r Reference) AppendTo(b []byte) []byte {
	b = append(b, referenceMark[:]...)
	b = binary.BigEndian.AppendUint64(b, r.Size)
	return append(b, r.Sum[:]...)
}

// String is the reference in words.
func (r Reference) String() string {
	return fmt.Sprintf("(a value of %d bytes kept elsewhere, sha256 %x)", r.Size, r.Sum)
}

// Shown is a value of a replica's state for those who look into one: a reference in words.
func Shown(stored []byte) []byte {
	if r, ok := ParseReference(stored); ok {
		return []byte(r.String())
	}
	return stored
}

// ParseReference reads what AppendTo wrote; ok is false for any other value.
func ParseReference(value []byte) (r Reference, ok bool) {
	if len(value) != ReferenceSize || !bytes.HasPrefix(value, referenceMark[:]) {
		return r, false
	}
	r.Size = binary.BigEndian.Uint64(value[len(referenceMark):])
	copy(r.Sum[:], value[len(referenceMark)+8:])
	return r, true
}

// ValueSize is the length in bytes of a value of a replica's state, wherever it is kept.
func ValueSize(stored []byte) int {
	if r, ok := ParseReference(stored); ok {
		return int(r.Size)
	}
	return len(stored)
}

// SameValue compares a value of a replica's state, wherever it is kept, with one at hand.
func SameValue(stored, value []byte) bool {
	if r, ok := ParseReference(stored); ok {
		return r.Names(value)
	}
	return bytes.Equal(stored, value)
}

// Kept is a value as a replica's state holds it whose values longer than insideMax are kept elsewhere.
func Kept(value []byte, insideMax int) []byte {
	if _, is := ParseReference(value); is || len(value) <= insideMax {
		return value
	}
	return Refer(value).AppendTo(make([]byte, 0, ReferenceSize))
}
