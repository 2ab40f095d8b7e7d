package referee

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// ambiguous stands for a value that was written more than once.
const ambiguous = int32(-2)

// order finds the order of a key's writes: from versions or stamps, or from what reads of a list have shown.
func (b *builder) order(k *item) {
	k.writes = slices.DeleteFunc(k.writes, func(w int32) bool {
		if b.writes[w].inner {
			k.note(b.writes[w].value, w)
		}
		return b.writes[w].inner
	})
	for _, w := range k.writes {
		if v := &b.writes[w]; !v.gone {
			k.note(v.value, w)
		}
	}
	for _, i := range k.reads {
		if got := b.reads[i].got; len(got) > len(k.longest) {
			k.longest = got
		}
	}
	b.learn(k)
	if !b.byRank(k) && k.list {
		b.byElements(k)
	}
	for _, w := range k.writes {
		v := &b.writes[w]
		if v.pos == posStart && len(k.writes) == 1 {
			v.pos = 2
			k.steps = []step{{2, []int32{w}}}
		}
		// An unknown append to a key of all kinds of use may have been seen as a part of a value, which tells nothing of its
		// place: it stays open.
		if v.pos == posStart && (k.plain || b.ops[v.op].Outcome == Done) {
			k.loose = append(k.loose, w)
		}
		if v.gone || v.fades {
			k.gone = append(k.gone, w)
		}
	}
}

func (k *item) note(value string, w int32) {
	if _, ok := k.byValue[value]; ok {
		w = ambiguous
	}
	k.byValue[value] = w
}

// learn takes the rank of a write of unknown outcome from a read that saw it. Where stamps are used, versions do not count.
func (b *builder) learn(k *item) {
	stamps := false
	for _, w := range k.writes {
		stamps = stamps || b.writes[w].rank.low != 0
	}
	for _, i := range k.reads {
		r := &b.reads[i]
		if w, ok := k.byValue[r.got]; ok && w >= 0 && !r.absent && r.rank != (rank{}) && b.writes[w].rank == (rank{}) {
			b.writes[w].rank = r.rank
		}
	}
	for _, w := range k.writes {
		if v := &b.writes[w]; stamps && v.rank.low == 0 {
			v.rank = rank{}
		}
	}
	for again := true; again; {
		again = false
		for _, i := range k.reads {
			again = b.preceded(k, &b.reads[i]) || again
		}
	}
}

// preceded places a write that only a compare-and-set has seen: nothing stands between the two.
func (b *builder) preceded(k *item, r *read) bool {
	w, ok := k.byValue[r.got]
	if !ok || w < 0 || r.absent || b.writes[w].rank != (rank{}) {
		return false
	}
	for _, n := range b.writesOf[r.op] {
		if next := b.writes[n].rank; b.writes[n].key == r.key && n != w && next != (rank{}) {
			b.writes[w].rank = next.before()
			return true
		}
	}
	return false
}

// byRank puts the writes that have a rank into their order, and reports whether all have.
func (b *builder) byRank(k *item) bool {
	var ranked []int32
	for _, w := range k.writes {
		if b.writes[w].rank != (rank{}) {
			ranked = append(ranked, w)
		}
	}
	if k.list && len(ranked) < len(k.writes) {
		return false
	}
	sort.SliceStable(ranked, func(i, j int) bool { return b.writes[ranked[i]].rank.less(b.writes[ranked[j]].rank) })
	for _, w := range ranked {
		v := &b.writes[w]
		last := len(k.steps) - 1
		if last >= 0 && b.writes[k.steps[last].writes[0]].rank == v.rank {
			k.steps[last].writes = append(k.steps[last].writes, w)
		} else {
			k.steps = append(k.steps, step{int32(2 * (len(k.steps) + 1)), []int32{w}})
		}
		v.pos = k.steps[len(k.steps)-1].pos
		k.byRank[v.rank] = w
	}
	return len(ranked) == len(k.writes)
}

// byElements orders the appends of a list as its longest read shows them. What that one does not show was appended
// later, since a list only grows.
func (b *builder) byElements(k *item) {
	k.steps = nil
	for _, e := range Elements(k.longest) {
		if w, ok := k.byValue[e]; ok && w >= 0 && b.writes[w].pos == posStart && !b.writes[w].inner {
			b.writes[w].pos = int32(2 * (len(k.steps) + 1))
			k.steps = append(k.steps, step{b.writes[w].pos, []int32{w}})
		}
	}
	var rest []int32
	for _, w := range k.writes {
		if b.writes[w].pos == posStart {
			b.writes[w].pos = posLast
			rest = append(rest, w)
		}
	}
	if len(rest) > 0 {
		k.steps = append(k.steps, step{posLast, rest})
	}
}

// resolve finds what a read saw.
func (b *builder) resolve(r *read) {
	k := b.keys[r.key]
	r.low, r.high = posStart, posOpen
	switch {
	case r.absent:
		b.missing(k, r)
	case k.list:
		b.listRead(k, r)
	default:
		w, ok := k.byValue[r.got]
		if ok && w >= 0 && k.plain {
			b.saw(r, w)
			return
		}
		if k.plain && !ok {
			b.thinAir(k, r, r.got)
			return
		}
		b.ranked(k, r)
	}
}

// saw notes the write that was read.
func (b *builder) saw(r *read, w int32) {
	v := &b.writes[w]
	if v.inner {
		b.intermediate(r, v)
		return
	}
	if from, o := b.ops[v.op], b.ops[r.op]; from.Call > o.Return && o.Outcome == Done {
		b.fault("ThinAirRead", r, from, fmt.Sprintf("#%d had returned %q before #%d was called to write it", o.ID, v.value, from.ID))
		return
	}
	r.source = w
	if v.pos != posStart {
		r.low, r.high = v.pos, v.pos
	}
}

// ranked places a read by its version where its value does not tell the write.
func (b *builder) ranked(k *item, r *read) {
	if r.rank == (rank{}) {
		return
	}
	if w, ok := k.byRank[r.rank]; ok {
		b.saw(r, w)
		return
	}
	n := sort.Search(len(k.steps), func(i int) bool { return r.rank.less(b.writes[k.steps[i].writes[0]].rank) })
	r.low, r.high = int32(2*n+1), int32(2*n+1)
}

// missing places a read that found nothing: at the beginning, or behind a delete or a write that faded, which of them is
// not known.
func (b *builder) missing(k *item, r *read) {
	if r.rank != (rank{}) {
		b.ranked(k, r) // a tombstone's stamp names it
		return
	}
	if k.open {
		return
	}
	r.high = posStart
	for _, w := range k.gone {
		if b.writes[w].pos == posStart {
			r.high = posOpen
			return
		}
		r.high = max(r.high, b.writes[w].pos)
	}
}

// listRead finds what a read of a list shows. One that shows the beginning of the longest, if that one was in order, is
// settled by where it ends.
func (b *builder) listRead(k *item, r *read) {
	if k.ends == nil {
		k.ends = map[int]int32{}
		whole := read{op: r.op, key: r.key, got: k.longest, source: -1}
		faults := len(b.faults)
		b.listParts(k, &whole, k.ends)
		if len(b.faults) > faults {
			b.faults, k.ends = b.faults[:faults], map[int]int32{}
		}
	}
	w, ok := k.ends[len(r.got)]
	if !ok || !strings.HasPrefix(k.longest, r.got) || b.writes[w].inner {
		b.listParts(k, r, nil)
		return
	}
	b.saw(r, w)
}

// listParts checks a list element by element, and notes in ends where each one ends.
func (b *builder) listParts(k *item, r *read, ends map[int]int32) {
	before, length := posStart, 0
	seen := map[string]bool{}
	var last *write
	for _, e := range Elements(r.got) {
		w, ok := k.byValue[e]
		if !ok || w < 0 {
			b.thinAir(k, r, e)
			return
		}
		v := &b.writes[w]
		if seen[e] {
			b.fault("duplicate", r, b.ops[v.op], fmt.Sprintf("#%d read %q twice, which #%d appended once", b.ops[r.op].ID, e, b.ops[v.op].ID))
			return
		}
		seen[e], last = true, v
		if length += len(e); ends != nil {
			ends[length] = w
		}
		if v.inner {
			continue
		}
		if v.pos <= before {
			b.fault("incompatible order", r, b.ops[v.op], fmt.Sprintf("#%d read %q in another order than others did", b.ops[r.op].ID, r.got))
			return
		}
		if nextOf(k, before) != v.pos {
			b.fault("incompatible order", r, b.ops[v.op], fmt.Sprintf("#%d read %q without what stands before %q", b.ops[r.op].ID, r.got, e))
			return
		}
		before, r.source = v.pos, w
	}
	if last != nil && last.inner {
		b.intermediate(r, last)
		return
	}
	r.low, r.high = before, before
}

// nextOf is the place behind another.
func nextOf(k *item, pos int32) int32 {
	i := sort.Search(len(k.steps), func(i int) bool { return k.steps[i].pos > pos })
	if i == len(k.steps) {
		return posOpen
	}
	return k.steps[i].pos
}

func (b *builder) intermediate(r *read, v *write) {
	b.fault("G1b", r, b.ops[v.op], fmt.Sprintf("#%d read %q, which #%d changed again before it was done", b.ops[r.op].ID, v.value, b.ops[v.op].ID))
}

func (b *builder) fault(pattern string, r *read, other *Op, why string) {
	r.source = -1
	b.faults = append(b.faults, fault{pattern, r.key, []*Op{other, b.ops[r.op]}, why})
}

// thinAir is a read of what nobody wrote, or only somebody who was told that it did not happen.
func (b *builder) thinAir(k *item, r *read, value string) {
	if b.refused == nil {
		b.findRefused()
	}
	o := b.ops[r.op]
	if from := b.refused[keyed{k.name, value}]; from != nil {
		b.faults = append(b.faults, fault{"G1a", r.key, []*Op{from, o}, fmt.Sprintf("#%d read %q, but #%d, which wrote that, was not executed", o.ID, value, from.ID)})
		return
	}
	b.faults = append(b.faults, fault{"ThinAirRead", r.key, []*Op{o}, fmt.Sprintf("#%d read %q, which nobody wrote", o.ID, value)})
}

func (b *builder) findRefused() {
	b.refused = map[keyed]*Op{}
	for i := range b.history {
		o := &b.history[i]
		for _, s := range o.accesses() {
			if s.Kind.Writes() && o.Outcome != Unknown && (!o.Executed() || s.Code != 0) {
				b.refused[keyed{s.Key, s.Value}] = o
			}
		}
	}
}
