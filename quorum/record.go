package quorum

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// DataKind precedes a client's key in the state.
const DataKind = 'd'

// Stamp orders the writes of a key: the hybrid clock of the replica that coordinated it, then that replica (rule Q1). A
// stamp that a client gave has origin 0.
type Stamp struct {
	Time   kv.HLC
	Origin core.ReplicaID
}

// Compare is negative if s is older than t, positive if it is newer.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.Time, t.Time), cmp.Compare(s.Origin, t.Origin))
}

// String is the stamp as milliseconds, counter within one, and origin.
func (s Stamp) String() string {
	return fmt.Sprintf("%d.%d@%d", s.Time.UnixMilli(), uint16(s.Time), s.Origin)
}

// Record is what a replica holds for a key. A deleted key is a tombstone: a record like any other, without a value.
type Record struct {
	Stamp   Stamp
	Deleted bool
	// ExpireAt is in Unix milliseconds; 0: never. From then on the record is a tombstone at its own stamp (rule Q11).
	ExpireAt int64
	Flags    uint32
	Value    []byte
}

const recordVersion = 1

const (
	recordDeleted = 1 << iota
	recordExpires
	recordFlagged
	recordBits
)

// stampFrom and stampTo are where the stamp stands in an encoded record, so that two records are compared without decoding.
const stampFrom, stampTo = 2, 2 + 8 + 4

var errRecord = errors.New("malformed record of a quorum keyspace")

func appendRecord(b []byte, r *Record) []byte {
	var bits byte
	if r.Deleted {
		bits |= recordDeleted
	}
	if r.ExpireAt != 0 {
		bits |= recordExpires
	}
	if r.Flags != 0 {
		bits |= recordFlagged
	}
	b = append(b, recordVersion, bits)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Stamp.Time))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Stamp.Origin))
	if r.ExpireAt != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(r.ExpireAt))
	}
	if r.Flags != 0 {
		b = binary.BigEndian.AppendUint32(b, r.Flags)
	}
	return append(b, r.Value...)
}

// recordSize is how long an encoded record is.
func recordSize(r *Record) int {
	size := stampTo + len(r.Value)
	if r.ExpireAt != 0 {
		size += 8
	}
	if r.Flags != 0 {
		size += 4
	}
	return size
}

// DecodeRecord reads a record of the state. Value points into b.
func DecodeRecord(b []byte) (r Record, err error) {
	if len(b) < stampTo || b[0] != recordVersion || b[1] >= recordBits {
		return r, errRecord
	}
	bits := b[1]
	r.Stamp, r.Deleted = StampOf(b), bits&recordDeleted != 0
	b = b[stampTo:]
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
	r.Value = b
	return r, nil
}

// mustDecode is for records that were checked when they came in: one that cannot be read is a broken invariant.
func mustDecode(b []byte) Record {
	r, err := DecodeRecord(b)
	if err != nil {
		panic(fmt.Sprintf("quorum: record %x: %v", b[:min(len(b), 32)], err))
	}
	return r
}

// StampOf is the stamp of an encoded record.
func StampOf(raw []byte) Stamp {
	return Stamp{kv.HLC(binary.BigEndian.Uint64(raw[stampFrom:])), core.ReplicaID(binary.BigEndian.Uint32(raw[stampTo-4:]))}
}

// kept is an encoded record as the state holds it.
func (o *Options) kept(raw []byte) []byte {
	if o.InsideMax == 0 || len(raw) <= stampTo+o.InsideMax {
		return raw
	}
	r := mustDecode(raw)
	value := kv.Kept(r.Value, o.InsideMax)
	return append(slices.Clone(raw[:len(raw)-len(r.Value)]), value...)
}

// compare says which of two encoded records stands (rule Q2): the newer stamp; at equal stamps, which only clients can give,
// a tombstone, then what ends later, then the larger bytes, so that all replicas choose alike. None is older than any.
func compare(a, b []byte) int {
	switch {
	case len(a) == 0 || len(b) == 0:
		return cmp.Compare(len(a), len(b))
	}
	if c := bytes.Compare(a[stampFrom:stampTo], b[stampFrom:stampTo]); c != 0 || bytes.Equal(a, b) {
		return c
	}
	x, y := mustDecode(a), mustDecode(b)
	return cmp.Or(truth(x.Deleted)-truth(y.Deleted), cmp.Compare(ends(&x), ends(&y)), bytes.Compare(x.Value, y.Value), cmp.Compare(x.Flags, y.Flags))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ends is when a record ends; never is later than any time.
func ends(r *Record) uint64 { return uint64(r.ExpireAt) - 1 }

// visible reports whether a reader at a time sees the record.
func (r *Record) visible(now kv.HLC) bool {
	return !r.Deleted && (r.ExpireAt == 0 || r.ExpireAt > now.UnixMilli())
}

// dead reports whether an encoded record may be forgotten below a purge line: it hides what is older, and nothing older is
// left anywhere (rule Q9). It is a function of the record and the line, so that all replicas forget the same.
func dead(raw []byte, line kv.HLC) bool {
	if StampOf(raw).Time >= line || raw[1]&(recordDeleted|recordExpires) == 0 {
		return false
	}
	r := mustDecode(raw)
	return r.Deleted || r.ExpireAt != 0 && kv.HLCOf(r.ExpireAt) < line
}

// Digest sums up what a replica holds, without what it may forget: replicas that are equal have the same.
func Digest(view core.View) uint64 {
	line := kv.HLC(0)
	if b, ok := view.Get(metaKey); ok {
		line = decodeMeta(b).Purge
	}
	var all sum
	view.Scan([]byte{DataKind}, []byte{DataKind + 1}, func(key, record []byte) bool {
		if !dead(record, line) {
			all.add(hashOf(xxhash.Sum64(key), xxhash.Sum64(record)))
		}
		return true
	})
	return all[0] ^ all[1]
}

// ReadsOne reports whether a command asks for one replica only, so that its state may be read without a step (rule Q4).
func ReadsOne(c *kv.Command) bool {
	return (c.Level == kv.LevelOne || c.Level == kv.LevelEventual) && len(c.Ops) == 1 && c.Ops[0].Kind == kv.OpGet && len(c.Conds) == 0
}

// ReadOne answers such a command from one replica's state, which shows only what is durable.
func ReadOne(view core.View, c *kv.Command, now kv.HLC) kv.Result {
	var space [256]byte
	key := append(append(space[:0], DataKind), c.Ops[0].Key...)
	record, _ := view.Get(key)
	return result(record, c.Ops[0].Quiet, c.Level, now)
}
