package bayou

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Digest sums up what a state shows, but for what ends one day: replicas whose vectors are equal have equal digests.
func Digest(view core.View) (sum uint64) {
	if raw, ok := view.Get(metaKey); ok {
		m := decodeMeta(raw)
		sum = xxhash.Sum64(m.brief(m.vector).AppendTo(nil))
	}
	if _, ordered := view.Get(orderKey); ordered {
		return digestOrdered(view, sum)
	}
	view.Scan([]byte{dataKind}, []byte{dataKind + 1}, func(k, v []byte) bool {
		rec := mustDecodeRecord(k, v)
		value, ok := rec.show(0)
		if !ok || rec.ends() != 0 {
			return true
		}
		var head [16]byte
		d := rec.dot()
		binary.BigEndian.PutUint64(head[:], uint64(d.Stamp))
		binary.BigEndian.PutUint32(head[8:], uint32(d.Replica))
		if !rec.counter() {
			binary.BigEndian.PutUint32(head[12:], rec.flags)
		}
		if len(rec.parts) > 0 {
			value = appendParts(nil, rec.parts)
		}
		sum += xxhash.Sum64(k)*31 ^ bits.RotateLeft64(xxhash.Sum64(value), 17) + xxhash.Sum64(head[:])
		return true
	})
	return sum
}

// Record is what a replica holds for a key, for people to look at.
type Record struct {
	Dot
	Deleted  bool
	ExpireAt int64
	Flags    uint32
	// Value is, of a set and of siblings, a list of what there is in words.
	Value []byte
}

// Inspect reads a record of the state; its value points into raw.
func Inspect(raw []byte) (Record, error) {
	if len(raw) > 0 && raw[0] != recordVersion { // a record of package machine: the group has a commit order
		rec, err := machine.DecodeRecord(raw)
		return Record{Dot: Dot{Stamp: kv.HLC(rec.Version)}, ExpireAt: rec.ExpireAt, Flags: rec.Flags, Value: rec.Value}, err
	}
	rec, err := decodeRecord(raw)
	if err != nil {
		return Record{}, err
	}
	value, ok := rec.show(0)
	if len(rec.parts) > 0 {
		value = fmt.Append(nil, rec.listParts())
	}
	return Record{Dot: rec.dot(), Deleted: !ok, ExpireAt: rec.ends(), Flags: rec.flags, Value: value}, nil
}

// VectorOf is what a state holds.
func VectorOf(view core.View) Vector {
	raw, ok := view.Get(metaKey)
	if !ok {
		return nil
	}
	return decodeMeta(raw).vector
}

// Part is a member of a set or a sibling, for people to look at; several replicas may have put the same member there.
type Part struct {
	Dot
	Member bool
	Value  []byte
}

// String is the part with its dot.
func (p Part) String() string { return fmt.Sprintf("%q by %v", p.Value, p.Dot) }

// Parts are those of a key's record.
func Parts(view core.View, key []byte) []Part {
	raw, ok := view.Get(dataKey(key))
	if !ok {
		return nil
	}
	rec := mustDecodeRecord(key, raw)
	return rec.listParts()
}

func (r *record) listParts() (list []Part) {
	for _, p := range r.parts {
		list = append(list, Part{p.Dot, p.member, slices.Clone(p.value)})
	}
	return list
}
