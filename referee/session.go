package referee

import (
	"fmt"
	"sort"
)

// guarantee is one of the four of Terry and others (PDIS 1994): what a session did before binds what it does later.
type guarantee struct {
	name string
	// byWrites says that the session's own writes bind; else what its reads have shown.
	byWrites bool
	// ontoReads says that its later reads are bound, to show nothing older; else its later writes, to stand behind.
	ontoReads bool
	reason    string
}

var guarantees = []guarantee{
	{"read-your-writes", true, true, "#%[2]d does not show what its session had written by #%[1]d, nor anything newer"},
	{"monotonic-reads", false, true, "#%[2]d shows something older than its session had read by #%[1]d"},
	{"monotonic-writes", true, false, "#%[2]d stands before #%[1]d, which its session wrote earlier"},
	{"writes-follow-reads", false, false, "#%[2]d stands before what its session had read by #%[1]d"},
}

// CheckSession judges one of the guarantees: read-your-writes, monotonic-reads, monotonic-writes, writes-follow-reads.
func CheckSession(h History, name string) Verdict {
	for i := range guarantees {
		if guarantees[i].name == name {
			return guarantees[i].check(newLedger(h, strong))
		}
	}
	return undecided(name, "", "there is no session guarantee of this name")
}

func (q *guarantee) check(l *ledger) Verdict {
	s := &sessionCheck{ledger: l, guarantee: q, floor: make([]int32, len(l.ops)), bySession: map[string]*timeline{}}
	names, of := l.sessions()
	for _, name := range names {
		if v, found := s.session(name, of[name]); found {
			return v
		}
	}
	if !q.ontoReads {
		for _, name := range names {
			if v, found := s.witness(of[name]); found {
				return v
			}
		}
	}
	if text := l.unordered(); text != "" {
		v := undecided(q.name, "", "%s", text)
		v.Judged = len(l.ops)
		return v
	}
	return Verdict{Check: q.name, Decision: Holds, Judged: len(l.ops)}
}

type sessionCheck struct {
	*ledger
	*guarantee
	// floor is how many of its session's operations had returned when each one was called.
	floor     []int32
	bySession map[string]*timeline
}

// timeline is how the bounds of a session grow.
type timeline struct {
	count  int32 // operations that have returned
	bounds map[int32][]bound
}

// bound is the newest place of a key that binds since the operation numbered at.
type bound struct {
	at, pos, op int32
}

// latest is the newest bound among the first operations of the session.
func (t *timeline) latest(key, floor int32) (bound, bool) {
	list := t.bounds[key]
	i := sort.Search(len(list), func(i int) bool { return list[i].at >= floor })
	if i == 0 {
		return bound{}, false
	}
	return list[i-1], true
}

// returned notes what an operation binds its session to.
func (s *sessionCheck) returned(t *timeline, i int32) {
	grow := func(key, pos int32) {
		list := t.bounds[key]
		if pos != posStart && (len(list) == 0 || list[len(list)-1].pos < pos) {
			t.bounds[key] = append(list, bound{t.count, pos, i})
		}
	}
	if s.byWrites {
		for _, w := range s.writesOf[i] {
			grow(s.writes[w].key, s.writes[w].pos)
		}
	} else {
		for _, r := range s.readsOf[i] {
			grow(s.reads[r].key, s.reads[r].low)
		}
	}
	t.count++
}

// session follows one session through its operations.
func (s *sessionCheck) session(name string, list []int32) (Verdict, bool) {
	t := &timeline{bounds: map[int32][]bound{}}
	s.bySession[name] = t
	var found *Verdict
	s.each(list, func(i int32) {
		s.floor[i] = t.count
		if found == nil {
			found = s.bound(t, i)
		}
	}, func(i int32) { s.returned(t, i) })
	if found == nil {
		return Verdict{}, false
	}
	return *found, true
}

// each visits operations of a session: called each of them, returned those that had returned before the next was called.
// One of unknown outcome never returns.
func (s *sessionCheck) each(list []int32, called, returned func(i int32)) {
	var pending []int32
	for _, i := range list {
		kept := pending[:0]
		for _, p := range pending {
			if s.ops[p].end() <= s.ops[i].Call {
				returned(p)
			} else {
				kept = append(kept, p)
			}
		}
		pending = kept
		called(i)
		if s.ops[i].Outcome != Unknown {
			pending = append(pending, i)
		}
	}
}

// bound looks whether an operation keeps to what its own session did before.
func (s *sessionCheck) bound(t *timeline, i int32) *Verdict {
	if s.ontoReads {
		for _, n := range s.readsOf[i] {
			r := &s.reads[n]
			if b, ok := t.latest(r.key, t.count); ok && r.high < b.pos {
				return s.contradicts(b.op, i, r.key)
			}
		}
		return nil
	}
	for _, n := range s.writesOf[i] {
		w := &s.writes[n]
		if b, ok := t.latest(w.key, t.count); ok && w.pos != posStart && w.pos < b.pos {
			return s.contradicts(b.op, i, w.key)
		}
	}
	return nil
}

func (s *sessionCheck) contradicts(before, after, key int32) *Verdict {
	a, b := s.ops[before], s.ops[after]
	v := broken(s.name, s.keys[key].name, []Op{*a, *b}, s.reason, a.ID, b.ID)
	v.Judged = len(s.ops)
	v.Links = []Link{{a.ID, b.ID, PO, s.why(edge{before, after, po, -1})}}
	return &v
}

// seen is how far a reader has come in another session: which of its writes it saw, by which read.
type seen struct{ floor, write, read int32 }

// witness follows what one session read at one node. Whoever has seen a write must, at that node, not find less than what
// bound that write: the node took them over in this order.
func (s *sessionCheck) witness(list []int32) (Verdict, bool) {
	at := map[uint32]map[string]seen{}
	var found *Verdict
	s.each(list, func(i int32) {
		if found == nil {
			found = s.less(at[s.ops[i].Node], i)
		}
	}, func(i int32) {
		node := s.ops[i].Node
		for _, n := range s.readsOf[i] {
			from := s.reads[n].source
			if from < 0 {
				continue
			}
			writer := s.writes[from].op
			name := s.ops[writer].session()
			if at[node] == nil {
				at[node] = map[string]seen{}
			}
			if s.floor[writer] > at[node][name].floor {
				at[node][name] = seen{s.floor[writer], writer, i}
			}
		}
	})
	if found == nil {
		return Verdict{}, false
	}
	return *found, true
}

// less looks for a read that shows less than what bound a write that was seen before.
func (s *sessionCheck) less(at map[string]seen, i int32) (worst *Verdict) {
	for _, n := range s.readsOf[i] {
		r := &s.reads[n]
		for name, w := range at {
			b, ok := s.bySession[name].latest(r.key, w.floor)
			if !ok || r.high >= b.pos {
				continue
			}
			if v := s.missed(b.op, w, i, r.key); worst == nil || v.Proof[0].ID < worst.Proof[0].ID {
				worst = v
			}
		}
	}
	return worst
}

func (s *sessionCheck) missed(before int32, w seen, i, key int32) *Verdict {
	a, b, c, d := s.ops[before], s.ops[w.write], s.ops[w.read], s.ops[i]
	had := "written"
	if !s.byWrites {
		had = "read"
	}
	v := broken(s.name, s.keys[key].name, []Op{*a, *b, *c, *d}, "%s",
		fmt.Sprintf("#%d saw what #%d wrote, yet #%d shows key %q as it was before what that session had %s by #%d", c.ID, b.ID, d.ID, s.keys[key].name, had, a.ID))
	v.Judged = len(s.ops)
	v.Links = []Link{
		{a.ID, b.ID, PO, s.why(edge{before, w.write, po, -1})},
		{b.ID, c.ID, RF, fmt.Sprintf("#%d read what #%d wrote", c.ID, b.ID)},
		{c.ID, d.ID, PO, s.why(edge{w.read, i, po, -1})},
	}
	return &v
}
