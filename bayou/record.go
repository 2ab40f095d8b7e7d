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

// record is what the state holds for a key: the newest of its sets and deletions, its base, and what replicas have added, in runs.
// It is the same whatever the order in which writes arrive, as long as each arrives after those that its writer had seen (rule B4).
type record struct {
	base     Dot  // zero: the key was never set, or what removed it is forgotten everywhere
	gone     bool // the base says that there is no value
	expireAt int64
	flags    uint32
	value    []byte
	runs     []run  // by replica, then id
	parts    []part // of sets and siblings, in their order
}

// run is what one replica has added to a key between two bases that it saw. A base that comes later takes away what its writer
// had seen of the run. If the run's last addition is older than that base, the rest of it is overwritten, too; if it is newer,
// the rest counts: so no session loses an addition of its own to something older. Runs that do not count are kept as long as
// they may grow.
type run struct {
	replica core.ReplicaID
	// id is the stamp of the first addition, last that of the last.
	id, last kv.HLC
	// total is all of it, less what the writer of the base had seen.
	total, less int64
}

// Sum says how much of a run the writer of a set or a deletion had seen.
type Sum struct {
	Replica core.ReplicaID
	Run     kv.HLC
	Total   int64
}

func (r *run) compare(o *run) int {
	return cmp.Or(cmp.Compare(r.replica, o.replica), cmp.Compare(r.id, o.id))
}

// counts says that a run is shown.
func (r *record) counts(o *run) bool { return Dot{o.last, o.replica}.Compare(r.base) > 0 }

// counter says that additions are shown.
func (r *record) counter() bool {
	return slices.ContainsFunc(r.runs, func(o run) bool { return r.counts(&o) })
}

// ends is when the value ends; 0: never.
func (r *record) ends() int64 {
	if r.expireAt != 0 && r.counter() {
		return 0
	}
	return r.expireAt
}

// sums are what a set or a deletion of now would have seen.
func (r *record) sums() (list []Sum) {
	for i := range r.runs {
		o := &r.runs[i]
		list = append(list, Sum{o.replica, o.id, o.total})
	}
	return list
}

// runOf is the run that an addition of a replica continues; 0: none.
func (r *record) runOf(self core.ReplicaID) (id kv.HLC) {
	for i := range r.runs {
		if o := &r.runs[i]; o.replica == self && (Dot{o.id, self}).Compare(r.base) > 0 {
			id = o.id
		}
	}
	return id
}

const recordVersion = 2

const (
	recordBase = 1 << iota
	recordGone
	recordExpires
	recordFlagged
	recordRuns
	recordParts
	recordBits
)

// sizeMax bounds the encoding in bytes.
func (r *record) sizeMax() int {
	return 64 + len(r.value) + 50*len(r.runs) + r.bytesOf(true) + r.bytesOf(false) + 16*len(r.parts)
}

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
	set(recordRuns, len(r.runs) > 0)
	set(recordParts, len(r.parts) > 0)
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
	if bit&recordRuns != 0 {
		b = binary.AppendUvarint(b, uint64(len(r.runs)))
		for i := range r.runs {
			o := &r.runs[i]
			b = appendDot(b, Dot{o.id, o.replica})
			b = binary.BigEndian.AppendUint64(b, uint64(o.last))
			b = binary.AppendVarint(binary.AppendVarint(b, o.total), o.less)
		}
	}
	if bit&recordParts != 0 {
		b = appendParts(b, r.parts)
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
	if bit&recordRuns != 0 {
		for n := r.Count(19); n > 0 && !r.Bad; n-- {
			d := r.dot()
			rec.runs = append(rec.runs, run{d.Replica, d.Stamp, r.stamp(), r.Int(), r.Int()})
		}
	}
	if bit&recordParts != 0 {
		rec.parts = r.parts()
	}
	rec.value = r.B
	if r.Bad {
		return record{}, errRecord
	}
	return rec, nil
}

// ValueSize is how many bytes at the end of an encoded record are the value that was set.
func ValueSize(record []byte) (int, error) {
	r, err := decodeRecord(record)
	return len(r.value), err
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
	if len(r.parts) > 0 {
		newest := slices.MaxFunc(r.parts, func(a, b part) int { return a.Compare(b.Dot) })
		return newest.Dot
	}
	d := r.base
	for i := range r.runs {
		if last := (Dot{r.runs[i].last, r.runs[i].replica}); last.Compare(d) > 0 {
			d = last
		}
	}
	return d
}

// set lets a set or a deletion take effect if no newer one has. Its writer had seen so much of the runs.
func (r *record) set(d Dot, next record, seen []Sum) bool {
	if d.Compare(r.base) < 0 {
		return false
	}
	next.base, next.runs, next.parts = d, slices.Clone(r.runs), r.parts
	for i := range next.runs {
		o := &next.runs[i]
		o.less = 0
		for _, s := range seen {
			if s.Replica == o.replica && s.Run == o.id {
				o.less = s.Total
			}
		}
	}
	*r = next
	return true
}

// add lets an addition to a run take effect.
func (r *record) add(d Dot, id kv.HLC, delta int64) bool {
	one := run{replica: d.Replica, id: id}
	i, ok := slices.BinarySearchFunc(r.runs, one, func(a, b run) int { return a.compare(&b) })
	r.runs = slices.Clone(r.runs)
	if !ok {
		r.runs = slices.Insert(r.runs, i, one)
	}
	r.runs[i].last, r.runs[i].total = d.Stamp, saturate(r.runs[i].total, delta)
	return true
}

// prune drops runs that are overwritten for good: their replicas have seen the base, and none of them will grow.
func (r *record) prune() {
	r.runs = slices.DeleteFunc(slices.Clone(r.runs), func(o run) bool { return !r.counts(&o) })
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

// show is the value that readers get, of a set none, of siblings the newest; false: the key is missing.
func (r *record) show(now kv.HLC) (value []byte, ok bool) {
	if n := len(r.parts); n > 0 {
		return r.parts[n-1].shown(), true
	}
	if !r.counter() {
		return r.value, r.live(now)
	}
	n, _ := r.number(now)
	return strconv.AppendInt(nil, n, 10), true
}

// number is the value as a counter: 0 if the key is missing; false: it is no integer. What additions compete with counts as
// nothing if it is no integer, or has a time to live.
func (r *record) number(now kv.HLC) (int64, bool) {
	base, ok := int64(0), true
	counter := r.counter()
	if r.live(now) && (!counter || r.expireAt == 0) {
		if base, ok = parseInteger(r.value); !ok {
			base, ok = 0, counter
		}
	}
	// The sum is exact in 128 bits, and stops at the ends of 64.
	hi, lo := uint64(base>>63), uint64(base)
	plus := func(v int64) {
		var carry uint64
		lo, carry = bits.Add64(lo, uint64(v), 0)
		hi, _ = bits.Add64(hi, uint64(v>>63), carry)
	}
	for i := range r.runs {
		if o := &r.runs[i]; r.counts(o) {
			plus(o.total)
			plus(-o.less)
		}
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
	if len(r.parts) > 0 {
		return r.resultOfParts(o)
	}
	d := r.dot()
	out := kv.Result{Existed: true, Version: uint64(d.Stamp), Origin: uint32(d.Replica), ExpireAt: r.ends(), Int: int64(kv.ValueSize(value))}
	if !r.counter() {
		out.Flags = r.flags
	}
	if !o.Quiet {
		out.Value = value
	}
	return out
}

// merge joins the records that two replicas hold for a key, each with what it has seen. A part that one lacks although it
// had seen it was removed there for good (rule B7).
func (r *record) merge(seen Vector, other *record, otherSeen Vector) {
	mine, theirs := r.without(other, otherSeen), other.without(r, seen)
	// Whose base is shown knows best how much of each run that takes away; so does who has forgotten the base of the other.
	first := cmp.Or(mine.base.Compare(theirs.base), mine.base.Compare(r.base), other.base.Compare(theirs.base))
	if first < 0 {
		mine, theirs = theirs, mine
	}
	mine.runs = mergeRuns(mine.runs, theirs.runs, first != 0)
	mine.parts = mergeParts(r.parts, seen, other.parts, otherSeen)
	*r = mine
}

// without is the record without what the other side has seen and has no more.
func (r *record) without(other *record, otherSeen Vector) record {
	c := *r
	c.runs = slices.DeleteFunc(slices.Clone(r.runs), func(o run) bool {
		has := slices.ContainsFunc(other.runs, func(p run) bool { return o.compare(&p) == 0 })
		return !has && otherSeen.Has(Dot{o.last, o.replica})
	})
	if !r.base.IsZero() && other.base.IsZero() && otherSeen.Has(r.base) {
		c.forget()
	}
	return c
}

// forget takes the base away, with the runs that it overwrites.
func (r *record) forget() {
	r.prune()
	*r = record{runs: r.runs, parts: r.parts}
}

// mergeRuns joins the runs of two records. rule says that what the base takes away of each is as the first ones have it.
func mergeRuns(a, b []run, rule bool) (all []run) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].compare(&b[0]) < 0:
			all, a = append(all, a[0]), a[1:]
		case len(a) == 0 || b[0].compare(&a[0]) < 0:
			o := b[0]
			if rule {
				o.less = 0
			}
			all, b = append(all, o), b[1:]
		default:
			o := a[0]
			if b[0].last > o.last {
				o.last, o.total = b[0].last, b[0].total
			}
			all, a, b = append(all, o), a[1:], b[1:]
		}
	}
	return all
}

// empty reports whether the record says nothing: nobody need keep it.
func (r *record) empty() bool { return r.base.IsZero() && len(r.runs)+len(r.parts) == 0 }
