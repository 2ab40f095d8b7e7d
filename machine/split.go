package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// The part of a split that a group's state machine does (rules P1 to P7 of docs/PAXOS.md). An entry of the log divides the
// group's keys at one of them: from that entry on they are not the group's any more, and whatever names one is answered Moved. What
// the other group begins with, its child, is laid aside in the same entry: all but the records, which stay where they are until the
// child has them (Birth), for nothing changes them any more.

const (
	// boundsKind is the key of the bounds; a group that was never split has none.
	boundsKind = 'b'
	// birthKind precedes a child's group number, 8 bytes big endian: its bounds; and that and a state key of the child: its value.
	birthKind = 'c'
)

var boundsKey = []byte{boundsKind}

// dividedKey holds the number of the group for which the keys were divided last, 8 bytes big endian.
var dividedKey = []byte{'v'}

// Bounds are the keys of a group: From <= key < To. To nil: there is no end. A nil *Bounds holds all keys.
type Bounds struct{ From, To []byte }

var errBounds = errors.New("malformed bounds")

// Holds reports whether a key is the group's.
func (b *Bounds) Holds(key []byte) bool {
	return b == nil || bytes.Compare(key, b.From) >= 0 && (b.To == nil || bytes.Compare(key, b.To) < 0)
}

// Divides reports whether the group can be split at a key: on either side there may be keys then.
func (b *Bounds) Divides(key []byte) bool {
	return len(key) > 0 && b.Holds(key) && (b == nil || !bytes.Equal(key, b.From))
}

// Has reports whether all keys of a command are the group's, and the first of each range that it scans or clears.
func (b *Bounds) Has(c *kv.Command) bool {
	if b == nil {
		return true
	}
	has := true
	c.Keys(func(key []byte) { has = has && b.Holds(key) })
	for i := range c.Ops {
		if o := &c.Ops[i]; o.Kind == kv.OpScan || o.Kind == kv.OpClear {
			has = has && b.Holds(o.Key)
		}
	}
	return has
}

// Whole reports whether all that a command reads is the group's, the ends of its scans included.
func (b *Bounds) Whole(c *kv.Command) bool {
	if b == nil {
		return true
	}
	for i := range c.Ops {
		if c.Ops[i].Kind == kv.OpScan && b.ends(&c.Ops[i]) {
			return false
		}
	}
	return b.Has(c)
}

// ends reports whether the range of an operation goes on behind the group's keys.
func (b *Bounds) ends(o *kv.Op) bool {
	return b != nil && b.To != nil && (len(o.End) == 0 || bytes.Compare(o.End, b.To) > 0)
}

// Within makes a scan one of the group's keys. next is where it goes on behind them, nil if it does not.
func (b *Bounds) Within(o kv.Op) (within kv.Op, next []byte) {
	if !b.ends(&o) {
		return o, nil
	}
	o.End = b.To
	return o, b.To
}

// AppendTo encodes the bounds.
func (b *Bounds) AppendTo(buf []byte) []byte {
	buf = binary.AppendUvarint(append(buf, recordVersion), uint64(len(b.From)))
	buf = append(buf, b.From...)
	if b.To == nil {
		return append(buf, 0)
	}
	return append(append(buf, 1), b.To...)
}

// DecodeBounds decodes what the state holds.
func DecodeBounds(b []byte) (*Bounds, error) {
	if len(b) < 3 || b[0] != recordVersion {
		return nil, errBounds
	}
	n, used := binary.Uvarint(b[1:])
	rest := b[1+max(used, 0):]
	if used <= 0 || n >= uint64(len(rest)) || rest[n] > 1 || (rest[n] == 0 && uint64(len(rest)) != n+1) {
		return nil, errBounds
	}
	bounds := &Bounds{From: bytes.Clone(rest[:n])}
	if rest[n] == 1 {
		bounds.To = append([]byte{}, rest[n+1:]...)
	}
	return bounds, nil
}

func mustDecodeBounds(b []byte) *Bounds {
	bounds, err := DecodeBounds(b)
	if err != nil {
		panic("machine: " + err.Error())
	}
	return bounds
}

// BoundsOf are those of a state; nil: the group was never split.
func BoundsOf(view reader) *Bounds {
	b, ok := view.Get(boundsKey)
	if !ok {
		return nil
	}
	return mustDecodeBounds(b)
}

// ChangesBounds tells what a change makes of a group's bounds, for those who must know before it is made; ok is false if it leaves
// them as they are.
func ChangesBounds(c *core.Change) (b *Bounds, ok bool) {
	if c.Kind != core.Put || !bytes.Equal(c.Key, boundsKey) {
		return nil, false
	}
	return mustDecodeBounds(c.Value), true
}

// Split gives the keys from one on to a child group, which will begin with pairs beside what is taken from this state: the
// records, and the sessions, so that what was executed here is not executed there again (rule P3). It does nothing, and says so, if the
// key divides nothing, or while transactions hold locks: each of their parts is one group's (rule P4), or if the child is older than what
// the group has absorbed (rule G7). It comes alone in its entry.
func (m *Machine) Split(child uint64, key []byte, pairs []core.Change) (done bool) {
	if !m.Bounds.Divides(key) || m.heldLocks() > 0 && m.SplitMutation != SplitOverLocks || m.mergedBefore(child) {
		return false
	}
	mine, theirs := Bounds{To: key}, Bounds{From: key}
	if m.Bounds != nil {
		mine.From, theirs.To = m.Bounds.From, m.Bounds.To
	}
	m.put(boundsKey, mine.AppendTo(nil))
	m.put(birthKey(child, nil), theirs.AppendTo(nil))
	m.put(dividedKey, binary.BigEndian.AppendUint64(nil, child))
	for _, p := range pairs {
		m.put(birthKey(child, p.Key), p.Value)
	}
	if m.Lift > 0 {
		m.put(birthKey(child, liftKey), binary.BigEndian.AppendUint64(nil, m.Lift))
	}
	if m.SplitMutation != SplitForgetsSessions {
		for _, kind := range []byte{sessionKind, idleKind} {
			m.view.Scan([]byte{kind}, []byte{kind + 1}, func(k, v []byte) bool {
				m.put(birthKey(child, k), bytes.Clone(v))
				return true
			})
		}
	}
	m.Bounds = &mine
	return true
}

func birthKey(child uint64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{birthKind}, child), key...)
}

// Births are the children that a state has something laid aside for.
func Births(view reader) (children []uint64) {
	view.Scan([]byte{birthKind}, []byte{birthKind + 1}, func(k, _ []byte) bool {
		if len(k) == 9 {
			children = append(children, binary.BigEndian.Uint64(k[1:]))
		}
		return true
	})
	return children
}

// Born reports whether a state has something laid aside for a child.
func Born(view reader, child uint64) bool {
	_, ok := view.Get(birthKey(child, nil))
	return ok
}

// Divided reports whether a state is of a time after the split for a child. The bounds do not tell: its keys may have been another
// group's before, and be so again in a state that lags behind. Groups are numbered in the order in which they come to be.
func Divided(view reader, child uint64) bool {
	b, ok := view.Get(dividedKey)
	return ok && binary.BigEndian.Uint64(b) >= child
}

// Birth calls f with each pair of the state that a child begins with, in byte order, until f returns an error. The state may be of
// any time since the split, until Weaned was applied: what it is made of does not change. The index of expiries is made anew.
func Birth(view reader, child uint64, f func(key, value []byte) error) error {
	header, ok := view.Get(birthKey(child, nil))
	if !ok {
		return errors.New("there is nothing laid aside for the group")
	}
	bounds := mustDecodeBounds(header)
	err := f(boundsKey, header)
	var expiries [][]byte
	emit := func(from, to []byte, g func(k, v []byte) error) {
		if err == nil {
			view.Scan(from, to, func(k, v []byte) bool {
				err = g(k, v)
				return err == nil
			})
		}
	}
	from, to := bounds.records()
	emit(from, to, func(k, v []byte) error {
		if r := mustDecode(k[1:], v); r.ExpireAt != 0 {
			expiries = append(expiries, slices.Concat([]byte{expiryKind}, timeKey(r.ExpireAt), k[1:]))
		}
		return f(k, v)
	})
	emit(birthKey(child, []byte{0}), birthKey(child+1, nil), func(k, v []byte) error { return f(k[9:], v) })
	slices.SortFunc(expiries, bytes.Compare)
	for _, key := range expiries {
		if err == nil {
			err = f(key, nil)
		}
	}
	return err
}

// records are the state keys of the records within the bounds.
func (b *Bounds) records() (from, to []byte) {
	if b == nil {
		b = &Bounds{}
	}
	from, to = append([]byte{DataKind}, b.From...), []byte{DataKind + 1}
	if b.To != nil {
		to = append([]byte{DataKind}, b.To...)
	}
	return from, to
}

// Weaned are the changes that free a state of what a child has by now.
func Weaned(view reader, child uint64) []core.Change {
	header, ok := view.Get(birthKey(child, nil))
	if !ok {
		return nil
	}
	from, to := mustDecodeBounds(header).records()
	return []core.Change{{Kind: core.DeleteRange, Key: from, End: to},
		{Kind: core.DeleteRange, Key: birthKey(child, nil), End: birthKey(child+1, nil)}}
}

// Visible reports whether a pair belongs to what all replicas of a group have alike at one position of the log: not what a split
// has left behind for a child. f is for one state.
func Visible(view reader) (f func(key []byte) bool) {
	bounds := BoundsOf(view)
	return func(key []byte) bool {
		return key[0] != birthKind && (key[0] != DataKind || bounds.Holds(key[1:]))
	}
}

// EachRecord calls f with the records of a group from a key on, in order, until it returns false.
func EachRecord(view reader, from []byte, f func(key, record []byte) bool) {
	bounds := BoundsOf(view)
	start, end := bounds.records()
	if first := append([]byte{DataKind}, from...); bytes.Compare(first, start) > 0 {
		start = first
	}
	if bytes.Compare(start, end) < 0 {
		view.Scan(start, end, func(k, v []byte) bool { return f(k[1:], v) })
	}
}

// sampleBytes is how far apart the keys are that Measure remembers.
const sampleBytes = 64 << 10

// Measure reads all records of a group, counts their bytes, and finds the keys before which half of them lies, and seven eighths; nil: there
// is none. stop ends it early.
func Measure(view reader, stop func() bool) (size int64, middle, late []byte) {
	type mark struct {
		at  int64
		key []byte
	}
	var marks []mark
	var first []byte
	seen := 0
	EachRecord(view, nil, func(key, record []byte) bool {
		if seen == 0 {
			first = bytes.Clone(key)
		}
		if len(marks) == 0 || size-marks[len(marks)-1].at >= min(sampleBytes, 1+size/256) {
			marks = append(marks, mark{size, bytes.Clone(key)})
		}
		size += int64(len(key) + len(record))
		seen++
		return seen%4096 != 0 || !stop()
	})
	keyAt := func(at int64) []byte {
		i, _ := slices.BinarySearchFunc(marks, at, func(m mark, at int64) int { return int(min(1, max(-1, m.at-at))) })
		if i < len(marks) && bytes.Compare(marks[i].key, first) > 0 {
			return marks[i].key
		}
		return nil
	}
	return size, keyAt(size / 2), keyAt(size / 8 * 7)
}

// SplitMutation is a bug that can be planted in splits, for the simulator's canaries. A running cluster never sets one.
type SplitMutation uint8

// Mutations of splits, with the rule that each one breaks.
const (
	NoSplitMutation      SplitMutation = iota
	SplitForgetsSessions               // P3: a command that was executed before the split is executed again by the child
	SplitOverLocks                     // P4: a split does not wait for transactions
	SplitKeepsWriting                  // P1: the parent goes on executing writes of keys that it gave away
	SplitKeepsReading                  // P1: the parent goes on answering reads of keys that it gave away
	SplitBlankLeads                    // P5: a child's replica that has nothing yet may lead
	SplitTimeAnew                      // P6: the child's time begins anew
	SplitVersionsAnew                  // P6: the child's versions begin anew
	splitMutations
)

// SplitMutations lists all of them.
func SplitMutations() (list []SplitMutation) {
	for m := NoSplitMutation + 1; m < splitMutations; m++ {
		list = append(list, m)
	}
	return list
}

var splitMutationNames = [...]string{"none", "split forgets sessions", "split over locks", "split keeps writing", "split keeps reading",
	"split: blank leads", "split: time anew", "split: versions anew"}

// String names the mutation.
func (m SplitMutation) String() string { return splitMutationNames[m] }
