package machine

import (
	"encoding/binary"
	"errors"

	"github.com/gamutdb/gamut/kv"
)

// Kinds of state keys: the first byte of each key of a group's state. 'm' is the protocol's own.
const (
	// DataKind precedes a client's key.
	DataKind = 'd'
	// expiryKind precedes 8 bytes of Unix milliseconds, then the client's key: what ends when. Entries may be out of
	// date: a write does not look for the entry of the record that it replaces.
	expiryKind = 't'
	// sessionKind precedes a client id.
	sessionKind = 's'
	// idleKind precedes 8 bytes of Unix milliseconds, then a client id: which session to look at when.
	idleKind = 'q'
	// lockKind precedes a client's key: who has locked it.
	lockKind = 'l'
	// openKind and closedKind precede a transaction's id, which begins with its age.
	openKind   = 'o'
	closedKind = 'x'
	// 'b' and 'c' are those of splits, see split.go; 'j', 'p' and 'r' those of merges, see merge.go.
)

const recordVersion = 1

const (
	recordExpires = 1 << iota
	recordFlagged
	recordStale
	recordSent
	recordBits
)

var errRecord = errors.New("malformed record")

// Record is what the state holds for a key.
type Record struct {
	Version  uint64
	ExpireAt int64 // Unix milliseconds; 0: never
	Flags    uint32
	Stale    bool // see kv.OpInvalidate
	Sent     bool // somebody was told to recache
	Value    []byte
}

func (r *Record) expired(at kv.HLC) bool { return r.ExpireAt != 0 && r.ExpireAt <= at.UnixMilli() }

func (r *Record) marks() (m kv.Mark) {
	if r.Stale {
		m |= kv.MarkStale
	}
	if r.Sent {
		m |= kv.MarkSent
	}
	return m
}

// appendRecord encodes a record.
func appendRecord(b []byte, r *Record) []byte {
	var bits byte
	if r.ExpireAt != 0 {
		bits |= recordExpires
	}
	if r.Flags != 0 {
		bits |= recordFlagged
	}
	if r.Stale {
		bits |= recordStale
	}
	if r.Sent {
		bits |= recordSent
	}
	b = append(b, recordVersion, bits)
	b = binary.AppendUvarint(b, r.Version)
	if r.ExpireAt != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(r.ExpireAt))
	}
	if r.Flags != 0 {
		b = binary.BigEndian.AppendUint32(b, r.Flags)
	}
	return append(b, r.Value...)
}

// DecodeRecord decodes a record of the state. Value points into b.
func DecodeRecord(b []byte) (r Record, err error) {
	if len(b) < 3 || b[0] != recordVersion || b[1] >= recordBits {
		return r, errRecord
	}
	bits := b[1]
	version, n := binary.Uvarint(b[2:])
	if n <= 0 {
		return r, errRecord
	}
	r.Version, b = version, b[2+n:]
	if bits&recordExpires != 0 {
		if len(b) < 8 {
			return r, errRecord
		}
		r.ExpireAt, b = int64(binary.BigEndian.Uint64(b)), b[8:]
	}
	if bits&recordFlagged != 0 {
		if len(b) < 4 {
			return r, errRecord
		}
		r.Flags, b = binary.BigEndian.Uint32(b), b[4:]
	}
	r.Stale, r.Sent = bits&recordStale != 0, bits&recordSent != 0
	r.Value = b
	return r, nil
}

// mustDecode is for records that this replica wrote: one that cannot be read is a broken invariant.
func mustDecode(key, b []byte) Record {
	r, err := DecodeRecord(b)
	if err != nil {
		panic("machine: the record at key " + string(key) + " cannot be decoded: " + err.Error())
	}
	return r
}
