package kv

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Merge says what becomes of a write whose conditions do not hold at its place, in a keyspace with a commit order: its merge
// procedure, out of a fixed list. It is executed like the write itself: on every replica alike, and anew when the write's place changes.
type Merge struct {
	Kind MergeKind
	// Alternatives are tried in turn by MergeAlternatives, the first whose conditions hold is executed.
	Alternatives []Alternative
}

// Alternative is what a write may do instead.
type Alternative struct {
	Conds []Cond
	Ops   []Op
}

// MergeKind names a merge procedure. The numbers are on disk and on the wire.
type MergeKind uint8

// Merge procedures. All but the first change each key that the write sets, by its present value and the one that was to be set; a key
// that is missing is set.
const (
	// MergeAlternatives executes one of several alternatives, or nothing.
	MergeAlternatives MergeKind = 1
	// MergeAppend puts the value behind the present one, in a line of its own.
	MergeAppend MergeKind = 2
	// MergeMax and MergeMin keep the larger or the smaller of two integers, MergeSum adds them up.
	MergeMax MergeKind = 3
	MergeMin MergeKind = 4
	MergeSum MergeKind = 5
	// MergeCopy keeps both: the value is stored beside the present one, at the key followed by ~ and the name of the write.
	MergeCopy  MergeKind = 6
	mergeKinds MergeKind = 7
)

var mergeNames = [mergeKinds]string{"none", "alternatives", "append", "max", "min", "sum", "copy"}

// String is the procedure as users write it.
func (k MergeKind) String() string {
	if k < mergeKinds {
		return mergeNames[k]
	}
	return "unknown merge procedure"
}

// ParseMerge reads the name of a merge procedure that takes no alternatives; "none" and the empty word are nil.
func ParseMerge(word string) (*Merge, error) {
	switch i := slices.Index(mergeNames[:], strings.ToLower(word)); {
	case word == "" || i == 0:
		return nil, nil
	case i > int(MergeAlternatives):
		return &Merge{Kind: MergeKind(i)}, nil
	}
	return nil, Errorf(Invalid, "merge procedure %q is not known; there are none, %s", word, strings.Join(mergeNames[MergeAppend:], ", "))
}

// alternativesMax bounds the alternatives of a write.
const alternativesMax = 64

// keys calls f with each key that an alternative touches.
func (m *Merge) keys(f func(key []byte)) {
	if m == nil {
		return
	}
	for i := range m.Alternatives {
		c := Command{Conds: m.Alternatives[i].Conds, Ops: m.Alternatives[i].Ops}
		c.Keys(f)
	}
}

// validate checks a merge procedure; the rest of its command is checked.
func (m *Merge) validate(c *Command) error {
	switch {
	case m == nil:
		return nil
	case m.Kind == 0 || m.Kind >= mergeKinds:
		return Errorf(Invalid, "merge procedure %d is not known", m.Kind)
	case len(c.Conds) == 0:
		return Errorf(Invalid, "a merge procedure is for writes with a condition")
	case (m.Kind == MergeAlternatives) != (len(m.Alternatives) > 0) || len(m.Alternatives) > alternativesMax:
		return Errorf(Invalid, "%d alternatives; only the merge procedure alternatives has any, 1 to %d", len(m.Alternatives), alternativesMax)
	case m.Kind != MergeAlternatives && slices.ContainsFunc(c.Ops, func(o Op) bool { return o.Kind != OpSet || o.When != Always || o.Old }):
		return Errorf(Invalid, "merge procedure %s is for writes that set keys, and do nothing else", m.Kind)
	}
	bytes := 0
	for i := range m.Alternatives {
		a := &m.Alternatives[i]
		one := Command{Conds: a.Conds, Ops: a.Ops}
		if err := one.Validate(); err != nil {
			return err
		}
		for j := range a.Ops {
			bytes += len(a.Ops[j].Value) + len(a.Ops[j].Expect)
		}
	}
	if bytes > 2*ValueMax {
		return Errorf(Invalid, "alternatives of %d bytes; the limit is %d", bytes, 2*ValueMax)
	}
	return nil
}

func appendMerge(b []byte, m *Merge) []byte {
	b = binary.AppendUvarint(append(b, byte(m.Kind)), uint64(len(m.Alternatives)))
	for i := range m.Alternatives {
		b = appendConds(b, m.Alternatives[i].Conds)
		b = appendOps(b, m.Alternatives[i].Ops)
	}
	return b
}

func (r *reader) merge() *Merge {
	m := &Merge{Kind: MergeKind(r.byte())}
	r.bad = r.bad || m.Kind == 0 || m.Kind >= mergeKinds
	for n := r.count(2); n > 0 && !r.bad; n-- {
		m.Alternatives = append(m.Alternatives, Alternative{r.conds(nil), r.ops(nil)})
	}
	return m
}

func appendConds(b []byte, conds []Cond) []byte {
	b = binary.AppendUvarint(b, uint64(len(conds)))
	for i := range conds {
		b = appendCond(b, &conds[i])
	}
	return b
}

func appendOps(b []byte, ops []Op) []byte {
	b = binary.AppendUvarint(b, uint64(len(ops)))
	for i := range ops {
		b = appendOp(b, &ops[i])
	}
	return b
}

// conds appends conditions to a list.
func (r *reader) conds(list []Cond) []Cond {
	for n := r.count(4); n > 0 && !r.bad; n-- {
		list = append(list, Cond{Kind: CondKind(r.byte()), Key: r.bytes(), Version: r.uvarint(), Value: r.bytes()})
	}
	return list
}

// ops appends operations to a list.
func (r *reader) ops(list []Op) []Op {
	for n := r.count(3); n > 0 && !r.bad; n-- {
		list = append(list, Op{})
		r.op(&list[len(list)-1])
	}
	return list
}
