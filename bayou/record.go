package bayou

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// record is what the state holds for a key: the newest of its sets and deletions, its base, and what was added since, a sum
// for each replica that added. What was added without knowledge of the base is overwritten by it: so the record is the same
// whatever the order in which writes arrive, as long as each arrives after those that its writer had seen (rule B4).
type record struct {
	base     Dot  // zero: the key was never set, or what removed it is forgotten everywhere
	gone     bool // the base says that there is no value
	expireAt int64
	flags    uint32
	value    []byte
	sums     []sum // by replica
}

// sum is all that one replica has added, and its last addition.
type sum struct {
	last  Dot
	total int64
}

const recordVersion = 1

const (
	recordBase = 1 << iota
	recordGone
	recordExpires
	recordFlagged
	recordSums
	recordBits
)

var errRecord = errors.New("malformed record")

func (r *record) appendTo(b []byte) []byte {
	var bit byte
	set := func(mask byte, on bool) {
		if on {
			bit |= mask
		}
	}
	set(recordBase, !r.base.IsZero())
	set(recordGone, r.gone)
	set(recordExpires, r.expireAt != 0)
	set(recordFlagged, r.flags != 0)
	set(recordSums, len(r.sums) > 0)
	b = append(b, recordVersion, bit)
	if bit&recordBase != 0 {
		b = appendDot(b, r.base)
	}
	if bit&recordExpires != 0 {
		b = binary.AppendVarint(b, r.expireAt)
	}
	if bit&recordFlagged != 0 {
		b = binary.AppendUvarint(b, uint64(r.flags))
	}
	if bit&recordSums != 0 {
		b = binary.AppendUvarint(b, uint64(len(r.sums)))
		for _, s := range r.sums {
			b = binary.AppendVarint(appendDot(b, s.last), s.total)
		}
	}
	return append(b, r.value...)
}

// decodeRecord decodes a record; its value points into b.
func decodeRecord(b []byte) (rec record, err error) {
	r := reader{wire.Reader{B: b}}
	version, bit := r.Byte(), r.Byte()
	if version != recordVersion || bit >= recordBits {
		return rec, errRecord
	}
	rec.gone = bit&recordGone != 0
	if bit&recordBase != 0 {
		rec.base = r.dot()
	}
	if bit&recordExpires != 0 {
		rec.expireAt = r.Int()
	}
	if bit&recordFlagged != 0 {
		rec.flags = uint32(r.Uint())
	}
	if bit&recordSums != 0 {
		for n := r.Count(10); n > 0 && !r.Bad; n-- {
			rec.sums = append(rec.sums, sum{r.dot(), r.Int()})
		}
	}
	rec.value = r.B
	if r.Bad {
		return record{}, errRecord
	}
	return rec, nil
}

func mustDecodeRecord(key, b []byte) record {
	rec, err := decodeRecord(b)
	if err != nil {
		panic(fmt.Sprintf("bayou: the record at key %q cannot be decoded: %v", key, err))
	}
	return rec
}

// dot is the newest write of those that the record shows.
func (r *record) dot() Dot {
	d := r.base
	for _, s := range r.sums {
		if s.last.Compare(d) > 0 {
			d = s.last
		}
	}
	return d
}

// set lets a set or a deletion take effect if no newer one has. The one that wins clears the sums: had any addition seen
// it, that would have come later.
func (r *record) set(d Dot, next record) bool {
	if d.Compare(r.base) < 0 {
		return false
	}
	*r = next
	r.base = d
	return true
}

// add lets an addition of somebody who had seen so much take effect.
func (r *record) add(d Dot, seen Vector, delta int64) bool {
	if !r.base.IsZero() && r.base != d && !seen.Has(r.base) {
		return false
	}
	if r.expireAt != 0 {
		// Its writer had seen the value end: nobody adds to one that still has a time to live.
		r.gone, r.expireAt, r.flags, r.value = true, 0, 0, nil
	}
	i, ok := slices.BinarySearchFunc(r.sums, d.Replica, func(s sum, id core.ReplicaID) int { return cmp.Compare(s.last.Replica, id) })
	if !ok {
		r.sums = slices.Insert(r.sums, i, sum{last: d})
	}
	r.sums[i].last, r.sums[i].total = d, saturate(r.sums[i].total, delta)
	return true
}

// saturate adds and stops at the ends.
func saturate(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

// live reports whether the base has a value at a time.
func (r *record) live(now kv.HLC) bool {
	return !r.base.IsZero() && !r.gone && (r.expireAt == 0 || r.expireAt > now.UnixMilli())
}

// show is the value that readers get; false: the key is missing.
func (r *record) show(now kv.HLC) (value []byte, ok bool) {
	if len(r.sums) == 0 {
		return r.value, r.live(now)
	}
	n, _ := r.number(now)
	return strconv.AppendInt(nil, n, 10), true
}

// number is the value as a counter: 0 if the key is missing; false: it is no integer.
func (r *record) number(now kv.HLC) (int64, bool) {
	base, ok := int64(0), true
	if r.live(now) {
		base, ok = parseInteger(r.value)
	}
	// The sum is exact in 128 bits, and stops at the ends of 64.
	hi, lo := uint64(base>>63), uint64(base)
	for _, s := range r.sums {
		var carry uint64
		lo, carry = bits.Add64(lo, uint64(s.total), 0)
		hi, _ = bits.Add64(hi, uint64(s.total>>63), carry)
	}
	switch n := int64(lo); {
	case int64(hi) == n>>63:
		return n, ok
	case int64(hi) < 0:
		return math.MinInt64, ok
	}
	return math.MaxInt64, ok
}

// parseInteger accepts what Redis calls an integer: no sign but a minus, no leading zero, no space.
func parseInteger(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == string(b)
}

// result is what a read of the record answers.
func (r *record) result(o *kv.Op, now kv.HLC) kv.Result {
	value, ok := r.show(now)
	if !ok {
		return kv.Result{Code: kv.NotFound}
	}
	d := r.dot()
	out := kv.Result{Existed: true, Flags: r.flags, Version: uint64(d.Stamp), Origin: uint32(d.Replica), ExpireAt: r.expireAt,
		Int: int64(len(value))}
	if !o.Quiet {
		out.Value = value
	}
	return out
}

// merge joins the records that two replicas hold for a key, each with what it has seen. A part that one lacks although it
// had seen it was removed there for good (rule B7).
func (r *record) merge(seen Vector, other *record, otherSeen Vector) {
	mine, theirs := r.forgotten(other, otherSeen), other.forgotten(r, seen)
	if c := mine.base.Compare(theirs.base); c < 0 {
		mine, theirs = theirs, mine
	} else if c > 0 {
		*r = mine
		return
	}
	if mine.base == theirs.base {
		mine.sums = mergeSums(mine.sums, theirs.sums)
		if theirs.gone && !mine.gone {
			mine.gone, mine.expireAt, mine.flags, mine.value = true, 0, 0, nil
		}
	}
	*r = mine
}

// forgotten is the record without what the other side has seen and has no more.
func (r *record) forgotten(other *record, otherSeen Vector) record {
	c := *r
	c.sums = slices.DeleteFunc(slices.Clone(r.sums), func(s sum) bool { return otherSeen.Has(s.last) && !other.sumOf(s.last.Replica) })
	if !r.base.IsZero() && other.base.IsZero() && otherSeen.Has(r.base) {
		c.base, c.gone, c.expireAt, c.flags, c.value = Dot{}, false, 0, 0, nil
	}
	return c
}

func (r *record) sumOf(id core.ReplicaID) bool {
	return slices.ContainsFunc(r.sums, func(s sum) bool { return s.last.Replica == id })
}

func mergeSums(a, b []sum) (all []sum) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].last.Replica < b[0].last.Replica:
			all, a = append(all, a[0]), a[1:]
		case len(a) == 0 || b[0].last.Replica < a[0].last.Replica:
			all, b = append(all, b[0]), b[1:]
		case a[0].last.Compare(b[0].last) >= 0:
			all, a, b = append(all, a[0]), a[1:], b[1:]
		default:
			all, a, b = append(all, b[0]), a[1:], b[1:]
		}
	}
	return all
}

// empty reports whether the record says nothing: nobody need keep it.
func (r *record) empty() bool { return r.base.IsZero() && len(r.sums) == 0 }
