package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
)

// partsOracle knows, of all replicas of a world together, who put what into sets and beside siblings, and what its writer had seen.
// So it can say of any vector what a record must hold: what was put there, but for what something took away that had seen it.
type partsOracle struct {
	// touched are the writes to each key, in the order in which they were accepted.
	touched map[string][]bayou.Dot
	writes  map[bayou.Dot]partWrite
	// contexts are what clients had read who wrote a value with a context; values are never used twice.
	contexts map[string]bayou.Vector
}

// partWrite is a write and what it takes the place of.
type partWrite struct {
	*bayou.Write
	past bayou.Vector
}

func newPartsOracle() *partsOracle {
	return &partsOracle{touched: map[string][]bayou.Dot{}, writes: map[bayou.Dot]partWrite{}, contexts: map[string]bayou.Vector{}}
}

// accepted takes a write in, as its replica accepted it over what it had.
func (p *partsOracle) accepted(w *bayou.Write, past bayou.Vector) {
	for i := range w.Ops {
		key := string(w.Ops[i].Key)
		if context, ok := p.contexts[string(w.Ops[i].Value)]; ok && w.Ops[i].Kind == bayou.Sibling {
			past = context
		}
		if list := p.touched[key]; len(list) == 0 || list[len(list)-1] != w.Dot {
			p.touched[key] = append(list, w.Dot)
		}
	}
	p.writes[w.Dot] = partWrite{w, slices.Clone(past)}
	if w.Ops[0].Kind == bayou.Lost {
		p.lost(w)
	}
}

// lost forgets the writes of which their replica says that nobody has them any more: vectors go over them from here on.
func (p *partsOracle) lost(w *bayou.Write) {
	gone := func(d bayou.Dot) bool { return d.Replica == w.Replica && d.Stamp > w.Ops[0].Since && d.Stamp < w.Stamp }
	for key, list := range p.touched { // order does not matter: each key for itself
		p.touched[key] = slices.DeleteFunc(list, gone)
	}
	maps.DeleteFunc(p.writes, func(d bayou.Dot, _ partWrite) bool { return gone(d) })
}

// want is what a record must hold where so much is seen.
func (p *partsOracle) want(key string, seen bayou.Vector) (list []bayou.Part) {
	var known []partWrite
	for _, d := range p.touched[key] {
		if seen.Has(d) {
			known = append(known, p.writes[d])
		}
	}
	for _, w := range known {
		for i := range w.Ops {
			o := &w.Ops[i]
			if string(o.Key) != key || o.Kind != bayou.Include && o.Kind != bayou.Sibling {
				continue
			}
			one := bayou.Part{Dot: w.Dot, Member: o.Kind == bayou.Include, Value: o.Value}
			if !slices.ContainsFunc(known, func(later partWrite) bool { return later.past.Has(w.Dot) && later.takes(key, &one) }) {
				list = append(list, one)
			}
		}
	}
	slices.SortFunc(list, func(a, b bayou.Part) int { return a.Dot.Compare(b.Dot) })
	return list
}

// takes says that a write takes the place of a part that it had seen.
func (w *partWrite) takes(key string, p *bayou.Part) bool {
	return slices.ContainsFunc(w.Ops, func(o bayou.Op) bool {
		switch {
		case string(o.Key) != key:
			return false
		case o.Kind == bayou.Include || o.Kind == bayou.Exclude:
			return p.Member && bytes.Equal(o.Value, p.Value)
		}
		return o.Kind == bayou.Set || o.Kind == bayou.Delete || o.Kind == bayou.Sibling
	})
}

// check compares what a state holds with what it must.
func (p *partsOracle) check(view core.View, seen bayou.Vector, keys []string) {
	for _, key := range keys {
		got, want := bayou.Parts(view, []byte(key)), p.want(key, seen)
		slices.SortFunc(got, func(a, b bayou.Part) int { return a.Dot.Compare(b.Dot) })
		if !slices.EqualFunc(got, want, func(a, b bayou.Part) bool {
			return a.Dot == b.Dot && a.Member == b.Member && bytes.Equal(a.Value, b.Value)
		}) {
			panic(fmt.Sprintf("over %v key %q holds %v, want %v", seen, key, got, want))
		}
	}
}

// all are the keys that were ever touched.
func (p *partsOracle) all() []string { return slices.Sorted(maps.Keys(p.touched)) }
