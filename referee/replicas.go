package referee

import (
	"fmt"
	"slices"
	"strings"
)

// checkConvergence judges whether the replicas of each group hold the same at the end.
func checkConvergence(r *Run) Verdict {
	const check = "convergence"
	compared := 0
	for _, group := range r.groups() {
		first := group[0]
		for _, other := range group[1:] {
			compared++
			for _, key := range bothKeys(first, other) {
				if a, b := first.Records[key], other.Records[key]; !a.same(b) {
					return broken(check, key, nil, "group %d differs at the end: node %d holds %s, node %d holds %s", first.Group, first.Node, a, other.Node, b)
				}
			}
		}
	}
	if compared == 0 {
		return undecided(check, "", "the states of no two replicas of a group were looked at")
	}
	return Verdict{Check: check, Decision: Holds, Judged: len(r.History)}
}

// groups are the replicas by group, both in order.
func (r *Run) groups() (list [][]*Replica) {
	by := map[uint64][]*Replica{}
	var ids []uint64
	for i := range r.Replicas {
		p := &r.Replicas[i]
		if by[p.Group] == nil {
			ids = append(ids, p.Group)
		}
		by[p.Group] = append(by[p.Group], p)
	}
	slices.Sort(ids)
	for _, id := range ids {
		list = append(list, by[id])
	}
	return list
}

func bothKeys(a, b *Replica) []string {
	var keys []string
	for k := range a.Records {
		keys = append(keys, k)
	}
	for k := range b.Records {
		if _, ok := a.Records[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// same reports whether two records are one to a reader. A tombstone equals nothing: when it is purged is each replica's affair.
func (a Record) same(b Record) bool {
	none := func(r Record) bool { return r.Deleted || r == Record{} }
	if none(a) || none(b) {
		return none(a) && none(b)
	}
	return a == b
}

// String is the record in words.
func (a Record) String() string {
	switch {
	case a == Record{}:
		return "nothing"
	case a.Deleted:
		return "a tombstone of stamp " + a.Stamp.String()
	}
	text := fmt.Sprintf("%q", a.Value)
	if r := rankOf(a.Version, a.Stamp); r != (rank{}) {
		text += ", " + r.String()
	}
	return text
}

// checkAtomic judges whether every write was made on all replicas or on none: what was refused shows nowhere, what is
// left is the same on all, and nobody saw a part of a transaction.
func checkAtomic(r *Run) Verdict {
	const check = "atomic"
	l := newLedger(r.History, strong)
	if v, found := l.faulty(check, "G1a", "G1b"); found {
		return v
	}
	if v, found := l.refusedLeft(check, r); found {
		return v
	}
	if v, found := l.fractured(check); found {
		return v
	}
	v := checkConvergence(r)
	if v.Check = check; v.OK() {
		v.Judged = len(l.ops)
	}
	return v
}

// refusedLeft looks for what a refused operation wrote on some replica. Values tell it only where nobody else wrote the same.
func (l *ledger) refusedLeft(check string, r *Run) (Verdict, bool) {
	tried := map[keyed]bool{}
	for i := range r.History {
		if o := &r.History[i]; o.Outcome == Unknown || o.Executed() {
			for _, s := range o.accesses() {
				tried[keyed{s.Key, s.Value}] = true
			}
		}
	}
	for i := range r.History {
		o := &r.History[i]
		if o.Outcome == Unknown || o.Executed() {
			continue
		}
		for _, s := range o.accesses() {
			if node := r.holder(&s); node != 0 && !tried[keyed{s.Key, s.Value}] {
				v := broken(check, s.Key, []Op{*o}, "#%d was refused, but node %d holds what it would have written", o.ID, node)
				v.Judged = len(l.ops)
				return v, true
			}
		}
	}
	return Verdict{}, false
}

// holder is a node that holds what a sub-operation writes; 0: none.
func (r *Run) holder(s *Sub) uint32 {
	if !s.Kind.Writes() || s.Value == "" {
		return 0
	}
	for i := range r.Replicas {
		p := &r.Replicas[i]
		if rec, ok := p.Records[s.Key]; ok && (rec.Value == s.Value || s.Kind == Append && strings.Contains(rec.Value, s.Value)) {
			return p.Node
		}
	}
	return 0
}

// fractured looks for a transaction that saw what another one wrote to one key, and less than it wrote to another.
func (l *ledger) fractured(check string) (Verdict, bool) {
	for i := range l.ops {
		if len(l.readsOf[i]) < 2 {
			continue
		}
		for _, n := range l.readsOf[i] {
			from := l.reads[n].source
			if from < 0 {
				continue
			}
			if v, found := l.part(check, int32(i), l.writes[from].op); found {
				return v, true
			}
		}
	}
	return Verdict{}, false
}

func (l *ledger) part(check string, reader, writer int32) (Verdict, bool) {
	for _, w := range l.writesOf[writer] {
		v := &l.writes[w]
		for _, n := range l.readsOf[reader] {
			if r := &l.reads[n]; r.key == v.key && !v.inner && v.pos != posStart && r.high < v.pos {
				a, b := l.ops[writer], l.ops[reader]
				found := broken(check, l.keys[v.key].name, []Op{*a, *b}, "#%d saw a part of what #%d wrote: at key %q it read something older", b.ID, a.ID, l.keys[v.key].name)
				found.Judged, found.Pattern = len(l.ops), "fractured read"
				found.Links = []Link{{a.ID, b.ID, RF, l.why(edge{writer, reader, rf, v.key})}, {b.ID, a.ID, RW, l.why(edge{reader, writer, rw, v.key})}}
				return found, true
			}
		}
	}
	return Verdict{}, false
}
