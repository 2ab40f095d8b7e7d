package referee

import (
	"fmt"
	"sort"
)

// clocksMax bounds the memory of the causal past: one number for each operation and each session.
const clocksMax = 128 << 20

// CheckCausal judges whether what clients saw respects cause and effect: the order of each session and reads-from,
// together and transitively. It looks for the bad patterns of Bouajjani and others (POPL 2017), which decide it when
// values are unique: CyclicCO, ThinAirRead, WriteCOInitRead and WriteCORead for causal consistency, CyclicCF for
// convergence on top of it, for which the order of versions or stamps counts too.
func CheckCausal(h History) Verdict {
	const check = "causal"
	l := newLedger(h, strong)
	if v, found := l.faulty(check, "ThinAirRead", "G1a", "G1b"); found {
		return v
	}
	c := causal{ledger: l, g: newGraph(len(l.ops))}
	l.data(c.g, rf|ww)
	l.program(c.g)
	c.g.freeze()
	if cycle := c.g.cycle(po | rf); cycle != nil {
		return l.verdict(check, "CyclicCO", cycle, "an effect comes before its cause: each of these led to the next, and the last to the first")
	}
	c.chain()
	if n := len(l.ops) * c.width; n > clocksMax {
		v := undecided(check, "", "%d operations of %d sessions are too many to follow what each of them knew", len(l.ops), c.width)
		v.Judged = len(l.ops)
		return v
	}
	c.tick()
	if v, found := c.judge(); found {
		return v
	}
	if cycle := c.convergence().cycle(po | rf | ww | cf); cycle != nil {
		return l.verdict(check, "CyclicCF", cycle, "replicas that saw these cannot agree on one order of the writes: each must come before the next, and the last before the first")
	}
	if l.blind() > 0 {
		v := undecided(check, "", "%d reads do not tell which write they saw", l.blind())
		v.Judged = len(l.ops)
		return v
	}
	return Verdict{Check: check, Decision: Holds, Judged: len(l.ops)}
}

// causal knows of each operation what came before it, as a vector clock: sessions are chains, so the past of an
// operation is how far it reaches into each of them.
type causal struct {
	*ledger
	g *graph
	// chainOf and placeIn are each operation's chain and its place in it, from 1; width is how many chains there are.
	chainOf, placeIn []int32
	width            int
	clocks           []int32
	// written are the writes of each key by chain, in the order of their places.
	written []map[int32][]int32
	// conflicts are the CF edges found on the way.
	conflicts []edge
}

// chain spreads each session over chains of operations that certainly came one after another: one, if it waits for each
// answer. What has an unknown outcome is followed by nothing, so it ends its chain.
func (c *causal) chain() {
	c.chainOf, c.placeIn = make([]int32, len(c.ops)), make([]int32, len(c.ops))
	names, of := c.sessions()
	for _, s := range names {
		var last []int32 // the last operation of each chain of this session
		first := c.width
		for _, i := range of[s] {
			at := 0
			for at < len(last) && (c.ops[last[at]].end() > c.ops[i].Call || c.ops[i].Outcome == Unknown) {
				at++
			}
			if at == len(last) {
				last = append(last, i)
				c.width++
				c.placeIn[i] = 1
			} else {
				c.placeIn[i] = c.placeIn[last[at]] + 1
				last[at] = i
			}
			c.chainOf[i] = int32(first + at)
		}
	}
}

func (c *causal) clock(i int32) []int32 { return c.clocks[int(i)*c.width : int(i+1)*c.width] }

// knows reports whether b has a in its causal past, or is a.
func (c *causal) knows(b, a int32) bool { return c.clock(b)[c.chainOf[a]] >= c.placeIn[a] }

// tick computes all clocks, causes first.
func (c *causal) tick() {
	c.clocks = make([]int32, len(c.ops)*c.width)
	waits := make([]int32, len(c.ops))
	for _, e := range c.g.out {
		if e.relation&(po|rf) != 0 {
			waits[e.to]++
		}
	}
	var ready []int32
	for i := range waits {
		if waits[i] == 0 {
			ready = append(ready, int32(i))
		}
	}
	for len(ready) > 0 {
		i := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		mine := c.clock(i)
		mine[c.chainOf[i]] = max(mine[c.chainOf[i]], c.placeIn[i])
		for _, e := range c.g.edges(i) {
			if e.relation&(po|rf) == 0 {
				continue
			}
			theirs := c.clock(e.to)
			for j, v := range mine {
				theirs[j] = max(theirs[j], v)
			}
			if waits[e.to]--; waits[e.to] == 0 {
				ready = append(ready, e.to)
			}
		}
	}
}

// judge looks at each read by the writes in its past.
func (c *causal) judge() (Verdict, bool) {
	c.written = make([]map[int32][]int32, len(c.keys))
	for key, k := range c.keys {
		by := map[int32][]int32{}
		for _, w := range k.writes {
			chain := c.chainOf[c.writes[w].op]
			by[chain] = append(by[chain], w)
		}
		for _, list := range by {
			sort.Slice(list, func(i, j int) bool { return c.placeIn[c.writes[list[i]].op] < c.placeIn[c.writes[list[j]].op] })
		}
		c.written[key] = by
	}
	for i := range c.reads {
		if v, found := c.read(&c.reads[i]); found {
			return v, true
		}
	}
	return Verdict{}, false
}

// past are the last writes of each chain to the key of a read that the read knows of.
func (c *causal) past(r *read) (known []int32) {
	clock := c.clock(r.op)
	for chain, list := range c.written[r.key] {
		n := sort.Search(len(list), func(i int) bool { return c.placeIn[c.writes[list[i]].op] > clock[chain] })
		if n > 0 && c.writes[list[n-1]].op == r.op {
			n--
		}
		if n > 0 {
			known = append(known, list[n-1])
		}
	}
	sort.Slice(known, func(i, j int) bool { return known[i] < known[j] })
	return known
}

func (c *causal) read(r *read) (Verdict, bool) {
	known := c.past(r)
	switch {
	case r.absent:
		return c.nothing(r, known)
	case r.source < 0:
		return Verdict{}, false
	}
	from := c.writes[r.source].op
	for _, w := range known {
		writer := c.writes[w].op
		if writer == from {
			continue
		}
		if c.knows(writer, from) {
			return c.stale(r, writer, from), true
		}
		c.conflicts = append(c.conflicts, edge{writer, from, cf, r.key})
	}
	return Verdict{}, false
}

func (c *causal) stale(r *read, writer, from int32) Verdict {
	a, b, o := c.ops[from], c.ops[writer], c.ops[r.op]
	v := c.pattern("WriteCORead", r, "#%d read what #%d wrote, although it knew of #%d, which knew of #%d and overwrote it", o.ID, a.ID, b.ID, a.ID)
	v.Proof, v.Links = c.links(append(c.lineage(from, writer), c.lineage(writer, r.op)...))
	return v
}

// nothing judges a read that found no value: it must not know of a write, unless it may know of a delete behind it.
func (c *causal) nothing(r *read, known []int32) (Verdict, bool) {
	if len(known) == 0 || c.keys[r.key].open || r.source >= 0 {
		return Verdict{}, false
	}
	gone := c.keys[r.key].gone
	for i := len(gone) - 1; i >= 0; i-- {
		g := c.writes[gone[i]].op
		covered := false
		for _, w := range known {
			covered = covered || (c.writes[w].op != g && c.knows(c.writes[w].op, g))
		}
		if !covered {
			return Verdict{}, false
		}
	}
	o, w := c.ops[r.op], c.ops[c.writes[known[0]].op]
	pattern, more := "WriteCOInitRead", ""
	if len(gone) > 0 {
		pattern, more = "WriteCORead", ", which came after every delete that could explain it"
	}
	v := c.pattern(pattern, r, "#%d found nothing, although it knew of #%d%s", o.ID, w.ID, more)
	v.Proof, v.Links = c.links(c.lineage(c.writes[known[0]].op, r.op))
	return v, true
}

func (c *causal) pattern(name string, r *read, why string, args ...any) Verdict {
	return Verdict{Check: "causal", Decision: Broken, Judged: len(c.ops), Pattern: name, Key: c.keys[r.key].name, Why: fmt.Sprintf(why, args...)}
}

// lineage is a shortest chain of causes from one operation to another.
func (c *causal) lineage(from, to int32) []edge {
	in := map[int32]bool{}
	for i := range int32(len(c.ops)) {
		if c.knows(i, from) && c.knows(to, i) {
			in[i] = true
		}
	}
	return c.g.path(from, to, po|rf, in, 0)
}

// convergence is the graph with the conflicts in it.
func (c *causal) convergence() *graph {
	g := newGraph(len(c.ops))
	g.list = append(append(g.list, c.g.out...), c.conflicts...)
	g.freeze()
	return g
}

// blind counts reads of which it is not known what they saw.
func (l *ledger) blind() (n int) {
	for i := range l.reads {
		if r := &l.reads[i]; !r.absent && r.source < 0 && r.high == posOpen {
			n++
		}
	}
	return n
}
