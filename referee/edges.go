package referee

import (
	"fmt"
	"slices"
	"sort"
)

// data adds what reads and writes say: RF from each write to its readers, WW along the order of each key's writes, RW
// from each read to the writes that follow what it saw.
func (l *ledger) data(g *graph, over relation) {
	for key, k := range l.keys {
		if over&ww != 0 {
			l.chain(g, k, int32(key))
		}
		for _, i := range k.reads {
			r := &l.reads[i]
			if over&rf != 0 && r.source >= 0 {
				g.add(l.writes[r.source].op, r.op, rf, r.key)
			}
			if over&rw != 0 {
				l.before(g, k, r)
			}
		}
	}
}

func (l *ledger) chain(g *graph, k *item, key int32) {
	for i := 1; i < len(k.steps); i++ {
		for _, a := range k.steps[i-1].writes {
			for _, b := range k.steps[i].writes {
				g.add(l.writes[a].op, l.writes[b].op, ww, key)
			}
		}
	}
}

// before adds that a read comes before whatever overwrote what it saw.
func (l *ledger) before(g *graph, k *item, r *read) {
	next := sort.Search(len(k.steps), func(i int) bool { return k.steps[i].pos > r.high })
	if next < len(k.steps) {
		for _, w := range k.steps[next].writes {
			g.add(r.op, l.writes[w].op, rw, r.key)
		}
	}
	if r.high == posStart {
		for _, w := range k.loose {
			g.add(r.op, l.writes[w].op, rw, r.key)
		}
	}
}

// sessions are the operations of each session in the order of their calls.
func (l *ledger) sessions() (names []string, of map[string][]int32) {
	of = map[string][]int32{}
	for i, o := range l.ops {
		s := o.session()
		if _, ok := of[s]; !ok {
			names = append(names, s)
		}
		of[s] = append(of[s], int32(i))
	}
	return names, of
}

// program adds the order of each session: an operation comes before those that it called later. Of an operation of
// unknown outcome only the beginning is known, so nothing comes after it.
func (l *ledger) program(g *graph) {
	names, of := l.sessions()
	for _, s := range names {
		l.intervals(of[s], 1, func(a, b int32) { g.add(a, b, po, -1) })
	}
}

// realTime adds that an operation comes before those called after its return.
func (l *ledger) realTime(g *graph) {
	all := make([]int32, len(l.ops))
	for i := range all {
		all[i] = int32(i)
	}
	l.intervals(all, 0, func(a, b int32) { g.add(a, b, rt, -1) })
}

// intervals tells which of some operations, in the order of their calls, had returned before which were called, without
// what follows from the rest: only the frontier of completed operations is kept, so that n operations of p sessions give n
// times p pairs. slack 1 lets an operation that returns at an instant come before one that is called at the same.
func (l *ledger) intervals(list []int32, slack int64, before func(a, b int32)) {
	byEnd := slices.Clone(list)
	slices.SortStableFunc(byEnd, func(a, b int32) int {
		switch x, y := l.ops[a].end(), l.ops[b].end(); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return int(a - b)
	})
	var frontier []int32
	next := 0
	for _, b := range list {
		for next < len(byEnd) && l.ops[byEnd[next]].Outcome != Unknown && byEnd[next] != b && l.ops[byEnd[next]].end() < l.ops[b].Call+slack {
			done := byEnd[next]
			// What had returned before done was called is behind done already.
			frontier = slices.DeleteFunc(frontier, func(a int32) bool { return a != done && l.precedes(a, done, slack) })
			frontier = append(frontier, done)
			next++
		}
		for _, a := range frontier {
			before(a, b)
		}
	}
}

func (l *ledger) precedes(a, b int32, slack int64) bool {
	return a < b && l.ops[a].Outcome != Unknown && l.ops[a].end() < l.ops[b].Call+slack
}

// links explains a cycle or a chain.
func (l *ledger) links(path []edge) (proof []Op, links []Link) {
	for _, e := range path {
		a, b := l.ops[e.from], l.ops[e.to]
		links = append(links, Link{a.ID, b.ID, relationNames[e.relation], l.why(e)})
		if !slices.ContainsFunc(proof, func(o Op) bool { return o.ID == a.ID }) {
			proof = append(proof, *a)
		}
		if !slices.ContainsFunc(proof, func(o Op) bool { return o.ID == b.ID }) {
			proof = append(proof, *b)
		}
	}
	return proof, links
}

// why is the reason of an edge in a sentence.
func (l *ledger) why(e edge) string {
	a, b := l.ops[e.from], l.ops[e.to]
	switch e.relation {
	case po:
		return fmt.Sprintf("%s called #%d after #%d had returned", a.session(), b.ID, a.ID)
	case rt:
		return fmt.Sprintf("#%d had returned before #%d was called", a.ID, b.ID)
	}
	key := l.keys[e.key].name
	switch e.relation {
	case rf:
		return fmt.Sprintf("#%d read from key %q what #%d wrote (%s)", b.ID, key, a.ID, l.written(e.from, e.key))
	case ww:
		return fmt.Sprintf("#%d wrote key %q next after #%d (%s, then %s)", b.ID, key, a.ID, l.written(e.from, e.key), l.written(e.to, e.key))
	case cf:
		return fmt.Sprintf("a read that follows #%d saw key %q as #%d left it, so #%d overwrote #%d", a.ID, key, b.ID, b.ID, a.ID)
	}
	return fmt.Sprintf("#%d read key %q (%s) without what #%d wrote (%s)", a.ID, key, l.shown(e.from, e.key), b.ID, l.written(e.to, e.key))
}

// written is what an operation wrote to a key, in words.
func (l *ledger) written(op, key int32) string {
	for _, w := range l.writesOf[op] {
		v := &l.writes[w]
		if v.key != key || v.inner {
			continue
		}
		text := fmt.Sprintf("%q", v.value)
		if v.gone {
			text = "a delete"
		}
		if v.rank != (rank{}) {
			text += ", " + v.rank.String()
		}
		return text
	}
	return "nothing"
}

// shown is what an operation read from a key, in words.
func (l *ledger) shown(op, key int32) string {
	for _, i := range l.readsOf[op] {
		r := &l.reads[i]
		switch {
		case r.key != key:
		case r.absent:
			return "missing"
		case r.rank != (rank{}):
			return fmt.Sprintf("%q, %s", r.got, r.rank)
		default:
			return fmt.Sprintf("%q", r.got)
		}
	}
	return "nothing"
}

// unordered says what could not be judged because answers did not tell the order of writes; empty if all could.
func (l *ledger) unordered() string {
	keys, loose := 0, 0
	for _, k := range l.keys {
		if len(k.loose) > 0 {
			keys++
			loose += len(k.loose)
		}
	}
	if loose == 0 {
		return ""
	}
	return fmt.Sprintf("the place of %d writes among those of their keys (%d keys) is not known: no answer told their version", loose, keys)
}

// verdict judges by a cycle, if one was found, else by what is not known.
func (l *ledger) verdict(check, pattern string, cycle []edge, why string) Verdict {
	v := Verdict{Check: check, Decision: Holds, Judged: len(l.ops)}
	if cycle != nil {
		v.Decision, v.Pattern, v.Why = Broken, pattern, why
		v.Proof, v.Links = l.links(cycle)
		for _, e := range cycle {
			if e.key >= 0 {
				v.Key = l.keys[e.key].name
			}
		}
		return v
	}
	if text := l.unordered(); text != "" {
		v.Decision, v.Why = Undecided, text
	}
	return v
}

// faulty is the verdict on the first read that no order explains, among some patterns (none: all).
func (l *ledger) faulty(check string, patterns ...string) (Verdict, bool) {
	for _, f := range l.faults {
		if len(patterns) > 0 && !slices.Contains(patterns, f.pattern) {
			continue
		}
		v := Verdict{Check: check, Decision: Broken, Judged: len(l.ops), Pattern: f.pattern, Key: l.keys[f.key].name, Why: f.why}
		for _, o := range f.proof {
			v.Proof = append(v.Proof, *o)
		}
		return v, true
	}
	return Verdict{}, false
}
