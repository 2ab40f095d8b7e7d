package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// The part of a merge that the state machines of two groups do (rules G1 to G8 of docs/PAXOS.md). The right one retires by an entry
// of its log: it has no keys any more, and what it holds never changes again. The left one absorbs that part by part, by commands of its
// own log, and has the keys from the last part on.

var (
	// absorbKey holds how far the group is with what it absorbs, or was when it did so last.
	absorbKey = []byte{'j'}
	// liftKey holds by how much versions run ahead of the log; a group that has absorbed nothing has none.
	liftKey = []byte{'p'}
	// retiredKey holds what the group was when it retired.
	retiredKey = []byte{'r'}
)

var errMerge = errors.New("malformed part of a merge")

// Retired is what a group was when it gave up its keys.
type Retired struct {
	Bounds
	// Place is where its versions end, Time the time of the entry, Newest the highest number of a group that is in this one.
	Place  uint64
	Time   kv.HLC
	Newest uint64
}

func (r *Retired) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, recordVersion), r.Place)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time))
	b = binary.BigEndian.AppendUint64(b, r.Newest)
	return r.Bounds.AppendTo(b)
}

// RetiredOf is what a group was that has retired; nil: it has not.
func RetiredOf(view reader) *Retired {
	b, ok := view.Get(retiredKey)
	if !ok {
		return nil
	}
	r, err := decodeRetired(b)
	if err != nil {
		panic("machine: " + err.Error())
	}
	return r
}

func decodeRetired(b []byte) (*Retired, error) {
	if len(b) < 25 || b[0] != recordVersion {
		return nil, errMerge
	}
	bounds, err := DecodeBounds(b[25:])
	if err != nil {
		return nil, err
	}
	return &Retired{*bounds, binary.BigEndian.Uint64(b[1:]), kv.HLC(binary.BigEndian.Uint64(b[9:])), binary.BigEndian.Uint64(b[17:])}, nil
}

// Retire ends the group's time as the one that has the keys within some bounds (rule G2). It does nothing, and says so, while
// transactions hold locks, or while something is laid aside for a child. It comes alone in its entry.
func (m *Machine) Retire(was Bounds) (done bool) {
	if _, again := m.view.Get(retiredKey); again || m.heldLocks() > 0 && m.MergeMutation != MergeOverLocks || len(Births(m.view)) > 0 {
		return false
	}
	r := Retired{Bounds: was, Place: m.index + m.Lift, Time: m.now}
	if row := m.absorbing(); row != nil {
		r.Newest = row.newest
	}
	m.put(retiredKey, r.appendTo(nil))
	if m.MergeMutation == MergeWithoutFreeze {
		return true
	}
	m.Bounds = &Bounds{From: was.From, To: was.From}
	m.put(boundsKey, m.Bounds.AppendTo(nil))
	// Nothing ends here any more, neither records nor sessions: who absorbs them makes both indexes anew.
	for _, kind := range []byte{expiryKind, idleKind} {
		m.changes = append(m.changes, core.Change{Kind: core.DeleteRange, Key: []byte{kind}, End: []byte{kind + 1}})
	}
	return true
}

// Unasked reports whether nobody can have anything to ask a group that has retired: it remembers no transaction (rule G4).
func Unasked(view reader) bool {
	none := true
	for _, kind := range []byte{openKind, closedKind} {
		view.Scan([]byte{kind}, []byte{kind + 1}, func(_, _ []byte) bool {
			none = false
			return false
		})
	}
	return none
}

// Part is some of what a group held when it retired, on its way into its neighbour's log.
type Part struct {
	// Merge numbers the merges of the absorbing group upwards, Group is the one that retired.
	Merge, Group uint64
	Was          Retired
	// Start is the state key behind which the part begins, Next that behind which the one after it does; empty: the first and the last.
	Start, Next []byte
	pairs       []core.Change
}

// partOverhead is what a pair takes beside its bytes at most.
const partOverhead = 2 * binary.MaxVarintLen32

// PartOf reads a part of at most so many bytes, if that is more than one pair, from the state of a group that has retired.
func PartOf(view reader, was *Retired, start []byte, limit int) (p Part) {
	p.Was, p.Start = *was, start
	room := limit
	from, to := was.records()
	for _, span := range [][2][]byte{{from, to}, {{sessionKind}, {sessionKind + 1}}} {
		if bytes.Compare(span[1], start) <= 0 {
			continue
		}
		if len(start) > 0 && bytes.Compare(span[0], start) <= 0 {
			span[0] = append(slices.Clone(start), 0)
		}
		view.Scan(span[0], span[1], func(k, v []byte) bool {
			if room -= len(k) + len(v) + partOverhead; room < 0 && len(p.pairs) > 0 {
				p.Next = p.pairs[len(p.pairs)-1].Key
				return false
			}
			p.pairs = append(p.pairs, core.Change{Kind: core.Put, Key: bytes.Clone(k), Value: bytes.Clone(v)})
			return true
		})
		if p.Next != nil {
			break
		}
	}
	return p
}

// AppendTo encodes the part, for the value of an OpAbsorb.
func (p *Part) AppendTo(b []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, p.Merge), p.Group)
	for _, field := range [][]byte{p.Was.appendTo(nil), p.Start, p.Next} {
		b = append(binary.AppendUvarint(b, uint64(len(field))), field...)
	}
	for i := range p.pairs {
		for _, field := range [][]byte{p.pairs[i].Key, p.pairs[i].Value} {
			b = append(binary.AppendUvarint(b, uint64(len(field))), field...)
		}
	}
	return b
}

// DecodePart reads what AppendTo wrote. The part keeps b.
func DecodePart(b []byte) (p Part, err error) {
	bad := false
	number := func() (v uint64) {
		v, n := binary.Uvarint(b)
		if bad = bad || n <= 0; !bad {
			b = b[n:]
		}
		return v
	}
	field := func() []byte {
		n := number()
		if bad = bad || n > uint64(len(b)); bad {
			return nil
		}
		f := b[:n:n]
		b = b[n:]
		return f
	}
	p.Merge, p.Group = number(), number()
	was := field()
	p.Start, p.Next = field(), field()
	for !bad && len(b) > 0 {
		pair := core.Change{Kind: core.Put, Key: field(), Value: field()}
		bad = bad || len(pair.Key) < 2 || pair.Key[0] != DataKind && (pair.Key[0] != sessionKind || len(pair.Key) != 17)
		p.pairs = append(p.pairs, pair)
	}
	if bad {
		return Part{}, errMerge
	}
	r, err := decodeRetired(was)
	if err != nil {
		return Part{}, err
	}
	p.Was = *r
	return p, nil
}

// absorption is how far a group is with what it absorbs.
type absorption struct {
	merge, group uint64
	// newest is the highest number of a group that is in this one.
	newest uint64
	// done is the place in the log at which the last part was taken; 0: it was not.
	done uint64
	// next is the state key behind which the next part begins.
	next   []byte
	bounds Bounds
}

func (a *absorption) appendTo(b []byte) []byte {
	b = append(b, recordVersion)
	for _, n := range []uint64{a.merge, a.group, a.newest, a.done, uint64(len(a.next))} {
		b = binary.AppendUvarint(b, n)
	}
	return a.bounds.AppendTo(append(b, a.next...))
}

func mustDecodeAbsorption(b []byte) (a absorption) {
	bad := len(b) == 0 || b[0] != recordVersion
	var length uint64
	if !bad {
		b = b[1:]
	}
	for _, at := range []*uint64{&a.merge, &a.group, &a.newest, &a.done, &length} {
		v, n := binary.Uvarint(b)
		if bad = bad || n <= 0; !bad {
			*at, b = v, b[n:]
		}
	}
	if bad || length > uint64(len(b)) {
		panic("machine: how far a merge is cannot be decoded")
	}
	a.next, a.bounds = bytes.Clone(b[:length]), *mustDecodeBounds(b[length:])
	return a
}

// absorbing is the merge under way, or the latest; nil: there was none.
func (m *Machine) absorbing() *absorption {
	b, ok := m.get(absorbKey)
	if !ok {
		return nil
	}
	a := mustDecodeAbsorption(b)
	return &a
}

// arrives reports whether a record that is not the group's yet came with a part of a merge under way: it ends as the others do.
func (m *Machine) arrives(key []byte) bool {
	a := m.absorbing()
	return a != nil && a.done == 0 && a.bounds.Holds(key)
}

// mergedBefore reports whether a group is as old as one that is in this one, or something is being absorbed: to let it begin is an order
// of a time when it was to begin first (rule G7).
func (m *Machine) mergedBefore(child uint64) bool {
	a := m.absorbing()
	return a != nil && (a.done == 0 || child <= a.newest)
}

// absorb takes a part, if it is the next one (rules G3, G5). It is safe to repeat: the answer says which part is.
func (m *Machine) absorb(b []byte) kv.Result {
	p, err := DecodePart(b)
	if err != nil {
		return kv.Result{Code: kv.Invalid, Detail: err.Error()}
	}
	a := m.absorbing()
	switch {
	case a == nil || p.Merge > a.merge && a.done != 0:
		if len(Births(m.view)) > 0 {
			return kv.Result{Code: kv.Busy, Detail: "the group keeps something for a part of it that was split off"}
		}
		a = m.beginAbsorbing(a, &p)
	case p.Merge != a.merge || p.Group != a.group:
		return kv.Result{Code: kv.Invalid, Detail: "the merge is over long since"}
	}
	switch {
	case a.done != 0:
		return kv.Result{Existed: true, Position: a.done}
	case !bytes.Equal(p.Start, a.next):
		return kv.Result{Value: a.next}
	case len(p.Next) == 0 && m.now <= p.Was.Time && m.MergeMutation != MergeAtAnyTime:
		return kv.Result{Code: kv.Busy, Detail: "the group's time is not later than that at which the other one gave up the keys"}
	}
	m.take(p.pairs)
	if a.next = p.Next; len(a.next) == 0 {
		m.endAbsorbing(a, &p.Was)
	}
	m.put(absorbKey, a.appendTo(nil))
	return kv.Result{Value: a.next, Existed: a.done != 0, Position: a.done}
}

// beginAbsorbing makes the end of the group's keys one that is its own: a group that was never split knows of none.
func (m *Machine) beginAbsorbing(before *absorption, p *Part) *absorption {
	a := &absorption{merge: p.Merge, group: p.Group, newest: max(p.Group, p.Was.Newest), bounds: p.Was.Bounds}
	if before != nil {
		a.newest = max(a.newest, before.newest)
	}
	mine := Bounds{To: p.Was.From}
	if m.Bounds != nil {
		mine.From = m.Bounds.From
	}
	m.Bounds = &mine
	m.put(boundsKey, mine.AppendTo(nil))
	m.put(absorbKey, a.appendTo(nil))
	return a
}

// endAbsorbing makes the group the one that has the keys. Its versions go on above those of both (rule G6).
func (m *Machine) endAbsorbing(a *absorption, was *Retired) {
	a.done = m.index
	mine := Bounds{From: m.Bounds.From, To: was.To}
	m.Bounds = &mine
	m.put(boundsKey, mine.AppendTo(nil))
	if lift := was.Place + 1 - min(m.index, was.Place+1); lift > m.Lift && m.MergeMutation != MergeVersionsAnew {
		m.Lift = lift
		m.put(liftKey, binary.BigEndian.AppendUint64(nil, lift))
		m.version = max(m.version, (m.index+lift)<<versionBits)
	}
}

// take puts the pairs of a part into the state.
func (m *Machine) take(pairs []core.Change) {
	for i := range pairs {
		p := &pairs[i]
		switch {
		case p.Key[0] == DataKind:
			key := p.Key[1:]
			m.put(m.stateKey(DataKind, key), bytes.Clone(p.Value))
			if r := mustDecode(key, p.Value); r.ExpireAt != 0 {
				m.put(m.stateKey(expiryKind, timeKey(r.ExpireAt), key), nil)
			}
		case m.MergeMutation != MergeForgetsSessions:
			m.takeSession([16]byte(p.Key[1:]), mustDecodeSession(p.Value))
		}
	}
}

// takeSession adds what another group has executed for a client to what this one has: each command was executed in one of them, or,
// before a split, in both as one.
func (m *Machine) takeSession(client [16]byte, theirs session) {
	s := m.session(client)
	if !s.known {
		m.put(m.stateKey(idleKind, timeKey(theirs.active+sessionIdle), client[:]), nil)
	}
	s.known, s.dirty, s.active = true, true, max(s.active, theirs.active)
	s.forget(max(s.acked, theirs.acked))
	for _, r := range theirs.results {
		if r.seq > s.acked && !slices.ContainsFunc(s.results, func(have answered) bool { return have.seq == r.seq }) {
			s.results, s.last = append(s.results, answered{r.seq, bytes.Clone(r.result)}), max(s.last, r.seq)
		}
	}
}

// LiftOf is by how much the versions of a state run ahead of its log.
func LiftOf(view reader) uint64 {
	b, ok := view.Get(liftKey)
	if !ok {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// MergeMutation is a bug that can be planted in merges, for the simulator's canaries. A running cluster never sets one.
type MergeMutation uint8

// Mutations of merges, with the rule that each one breaks.
const (
	NoMergeMutation      MergeMutation = iota
	MergeWithoutFreeze                 // G2: the group that retires goes on with its keys
	MergeKeepsReading                  // G2: the group that has retired goes on answering reads
	MergeOverLocks                     // G2: a group retires while transactions hold locks in it
	MergeForgetsSessions               // G3: a command that was executed before the merge is executed again
	MergeAtAnyTime                     // G5: the keys come to a time before that at which they were given up
	MergeVersionsAnew                  // G6: versions begin below those that there were
	MergeReadsBehind                   // G8: a replica that has not absorbed the keys is read as if it had
	mergeMutations
)

// MergeMutations lists all of them.
func MergeMutations() (list []MergeMutation) {
	for m := NoMergeMutation + 1; m < mergeMutations; m++ {
		list = append(list, m)
	}
	return list
}

var mergeMutationNames = [...]string{"none", "merge without freeze", "merge keeps reading", "merge over locks", "merge forgets sessions",
	"merge at any time", "merge: versions anew", "merge: reads behind"}

// String names the mutation.
func (m MergeMutation) String() string { return mergeMutationNames[m] }
