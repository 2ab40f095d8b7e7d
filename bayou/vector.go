package bayou

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Dot names one write: the replica that accepted it and the stamp that it gave it. Dots are ordered by stamp, then replica;
// that order is the order of writes everywhere (trap T4.6).
type Dot struct {
	Stamp   kv.HLC
	Replica core.ReplicaID
}

// Compare is negative if d comes before e in the order of writes.
func (d Dot) Compare(e Dot) int {
	return cmp.Or(cmp.Compare(d.Stamp, e.Stamp), cmp.Compare(d.Replica, e.Replica))
}

// IsZero reports whether there is no write.
func (d Dot) IsZero() bool { return d == Dot{} }

// String is the dot as milliseconds, counter and replica.
func (d Dot) String() string {
	return fmt.Sprintf("%d.%d@%d", d.Stamp.UnixMilli(), uint16(d.Stamp), d.Replica)
}

// Vector says for each replica up to which stamp its writes are held, without a hole. It is sorted by replica; a replica
// that is missing has stamp 0.
type Vector []Entry

// Entry is one replica of a Vector.
type Entry struct {
	Replica core.ReplicaID
	Stamp   kv.HLC
}

func (v Vector) find(id core.ReplicaID) (int, bool) {
	return slices.BinarySearchFunc(v, id, func(e Entry, id core.ReplicaID) int { return cmp.Compare(e.Replica, id) })
}

// At is the stamp of a replica.
func (v Vector) At(id core.ReplicaID) kv.HLC {
	if i, ok := v.find(id); ok {
		return v[i].Stamp
	}
	return 0
}

// Has reports whether a write is among those that the vector describes.
func (v Vector) Has(d Dot) bool { return d.Stamp <= v.At(d.Replica) }

// Covers reports whether all that w describes is described by v, too.
func (v Vector) Covers(w Vector) bool {
	for _, e := range w {
		if v.At(e.Replica) < e.Stamp {
			return false
		}
	}
	return true
}

// Equal reports whether both describe the same writes.
func (v Vector) Equal(w Vector) bool { return v.Covers(w) && w.Covers(v) }

// Raise makes the vector describe a replica's writes up to a stamp. It never lowers.
func (v *Vector) Raise(id core.ReplicaID, stamp kv.HLC) {
	i, ok := v.find(id)
	if !ok {
		*v = slices.Insert(*v, i, Entry{id, stamp})
		return
	}
	(*v)[i].Stamp = max((*v)[i].Stamp, stamp)
}

// Merge makes the vector describe what w does, too.
func (v *Vector) Merge(w Vector) {
	for _, e := range w {
		v.Raise(e.Replica, e.Stamp)
	}
}

// beyond are the entries that are higher than in another vector.
func (v Vector) beyond(w Vector) (more Vector) {
	for _, e := range v {
		if e.Stamp > w.At(e.Replica) {
			more = append(more, e)
		}
	}
	return more
}

func (v Vector) without(id core.ReplicaID) Vector {
	return slices.DeleteFunc(slices.Clone(v), func(e Entry) bool { return e.Replica == id })
}

// Last is the highest stamp of all.
func (v Vector) Last() (last kv.HLC) {
	for _, e := range v {
		last = max(last, e.Stamp)
	}
	return last
}

// AppendTo encodes the vector.
func (v Vector) AppendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	for _, e := range v {
		b = binary.AppendUvarint(b, uint64(e.Replica))
		b = binary.BigEndian.AppendUint64(b, uint64(e.Stamp))
	}
	return b
}

// String is the vector as replica:stamp pairs.
func (v Vector) String() string {
	parts := make([]string, len(v))
	for i, e := range v {
		parts[i] = fmt.Sprintf("%d:%d.%d", e.Replica, e.Stamp.UnixMilli(), uint16(e.Stamp))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// lowest describes what both vectors describe.
func lowest(v, w Vector) (both Vector) {
	for _, e := range v {
		if stamp := min(e.Stamp, w.At(e.Replica)); stamp > 0 {
			both = append(both, Entry{e.Replica, stamp})
		}
	}
	return both
}
