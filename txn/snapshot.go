package txn

import "github.com/gamutdb/gamut/kv"

// snapshotTries is how often a snapshot is read without locks; then it takes some.
const snapshotTries = 3

// Snapshot reads keys of several groups as of one instant without a lock (rule V7): twice, and if no key has changed in
// between, all of them were so at the instant between the two. Reads wait for transactions that are about to write, so a key
// that one has locked counts as changed (trap T2.10). A key that is missing both times may have come and gone, and needs locks.
type Snapshot struct {
	division *Division
	mutation Mutation
	tries    int
	first    []kv.Result
	answers  map[uint64][]kv.Result
	bad      *kv.Result
	done     bool
	items    []kv.Result
}

// NewSnapshot begins to read what a transaction of nothing but reads asks for.
func NewSnapshot(t *kv.Txn, groupOf func(ks *kv.Keyspace, key []byte) uint64, m Mutation) (*Snapshot, error) {
	d, err := Divide(nil, t.Then, groupOf)
	return &Snapshot{division: d, mutation: m, answers: map[uint64][]kv.Result{}}, err
}

// Reads are the commands of the next round; each group's answer goes to Answer, then Round is over.
func (s *Snapshot) Reads() (out []Send) {
	for i := range s.division.Parts {
		p := &s.division.Parts[i]
		var c kv.Command
		for _, o := range p.Ops {
			o.Quiet = o.Quiet || s.first != nil // the second time it is the versions that count
			c.Ops = append(c.Ops, o)
		}
		out = append(out, Send{Group: p.Group, Command: c})
	}
	return out
}

// Answer takes a group's answer.
func (s *Snapshot) Answer(group uint64, r *kv.Result) {
	switch {
	case r.Code.Refused() || r.Code == kv.Unknown || r.Code == kv.TooLong:
		if s.bad == nil {
			s.bad = r
		}
	case len(r.Items) == 0:
		s.answers[group] = []kv.Result{*r}
	default:
		s.answers[group] = r.Items
	}
}

// Round ends a round of reads. done says that there is no other: Result tells what came of it.
func (s *Snapshot) Round() (done bool) {
	items, ok := s.division.Gather(func(g uint64) []kv.Result { return s.answers[g] })
	clear(s.answers)
	switch {
	case s.bad != nil || !ok:
		s.done = true
	case s.first == nil:
		s.first = items
		if s.mutation == ReadOnce {
			s.done, s.items = true, items
		}
	default:
		s.compare(items)
	}
	return s.done
}

func (s *Snapshot) compare(second []kv.Result) {
	same, present := true, true
	for i := range second {
		a, b := &s.first[i], &second[i]
		present = present && a.Code == kv.OK && b.Code == kv.OK
		same = same && a.Version == b.Version && a.Int == b.Int && a.ExpireAt == b.ExpireAt && a.Flags == b.Flags
	}
	s.tries++
	switch {
	case present && same:
		s.done, s.items = true, s.first
	case !present || s.tries == snapshotTries:
		s.done = true
	}
	s.first = nil
}

// Result is what was read; ok is false if it takes locks to find out.
func (s *Snapshot) Result() (res kv.TxnResult, ok bool) {
	if s.bad != nil {
		return kv.TxnResult{Code: s.bad.Code, Detail: s.bad.Detail}, true
	}
	res.Items = s.items
	for i := range s.division.Parts {
		res.Groups = append(res.Groups, s.division.Parts[i].Group)
	}
	return res, s.items != nil
}
