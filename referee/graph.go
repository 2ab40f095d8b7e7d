package referee

import (
	"slices"
)

// graph is operations and why one comes before another. An order of all operations exists if and only if it has no cycle.
type graph struct {
	nodes int
	list  []edge
	// out are the edges of each node, between starts.
	out    []edge
	starts []int32
}

// edge says that from comes before to. key is which key says so; -1 for time and sessions.
type edge struct {
	from, to int32
	relation relation
	key      int32
}

// relation is a Relation as a bit, so that sets of them are cheap.
type relation uint8

const (
	rf relation = 1 << iota
	ww
	rw
	cf
	po
	rt
)

var relationNames = map[relation]Relation{rf: RF, ww: WW, rw: RW, cf: CF, po: PO, rt: RT}

func newGraph(nodes int) *graph { return &graph{nodes: nodes} }

func (g *graph) add(from, to int32, why relation, key int32) {
	if from != to {
		g.list = append(g.list, edge{from, to, why, key})
	}
}

// freeze makes the edges of each node adjacent; none can be added after it.
func (g *graph) freeze() {
	g.starts = make([]int32, g.nodes+1)
	for _, e := range g.list {
		g.starts[e.from+1]++
	}
	for i := range g.nodes {
		g.starts[i+1] += g.starts[i]
	}
	at := slices.Clone(g.starts)
	g.out = make([]edge, len(g.list))
	for _, e := range g.list {
		g.out[at[e.from]] = e
		at[e.from]++
	}
	g.list = nil
}

func (g *graph) edges(n int32) []edge { return g.out[g.starts[n]:g.starts[n+1]] }

// components are the strongly connected components of more than one node over some relations, by Tarjan's algorithm
// without recursion: a history is deeper than a stack.
func (g *graph) components(over relation) (found [][]int32) {
	t := tarjan{g: g, over: over, index: make([]int32, g.nodes), low: make([]int32, g.nodes), on: make([]bool, g.nodes), at: make([]int32, g.nodes)}
	for n := range int32(g.nodes) {
		if t.index[n] == 0 {
			t.visit(n)
		}
	}
	return t.found
}

type tarjan struct {
	g          *graph
	over       relation
	index, low []int32
	on         []bool
	at         []int32 // the next edge of each node on the path
	stack      []int32
	path       []int32
	count      int32
	found      [][]int32
}

func (t *tarjan) visit(root int32) {
	t.enter(root)
	for len(t.path) > 0 {
		n := t.path[len(t.path)-1]
		edges := t.g.edges(n)
		if int(t.at[n]) < len(edges) {
			e := edges[t.at[n]]
			t.at[n]++
			switch {
			case e.relation&t.over == 0:
			case t.index[e.to] == 0:
				t.enter(e.to)
			case t.on[e.to]:
				t.low[n] = min(t.low[n], t.index[e.to])
			}
			continue
		}
		t.leave(n)
	}
}

func (t *tarjan) enter(n int32) {
	t.count++
	t.index[n], t.low[n], t.on[n] = t.count, t.count, true
	t.stack, t.path = append(t.stack, n), append(t.path, n)
}

func (t *tarjan) leave(n int32) {
	t.path = t.path[:len(t.path)-1]
	if len(t.path) > 0 {
		up := t.path[len(t.path)-1]
		t.low[up] = min(t.low[up], t.low[n])
	}
	if t.low[n] != t.index[n] {
		return
	}
	from := slices.Index(t.stack, n)
	for _, m := range t.stack[from:] {
		t.on[m] = false
	}
	if len(t.stack)-from > 1 {
		t.found = append(t.found, slices.Clone(t.stack[from:]))
	}
	t.stack = t.stack[:from]
}

// searches bounds how many starting points the search for a short cycle tries: what it finds then is short, if perhaps
// not the shortest of a very large tangle.
const searches = 256

// cycle is a shortest cycle over some relations; nil if there is none.
func (g *graph) cycle(over relation) []edge {
	var best []edge
	components := g.components(over)
	slices.SortStableFunc(components, func(a, b []int32) int { return len(a) - len(b) })
	for i, c := range components {
		if i >= searches || (best != nil && len(best) <= 2) {
			break
		}
		in := members(c)
		for _, n := range c[:min(len(c), searches)] {
			if p := g.path(n, n, over, in, len(best)); p != nil && (best == nil || len(p) < len(best)) {
				best = p
			}
		}
	}
	return best
}

// single is a shortest cycle with exactly one edge of one relation, the rest of others; nil if there is none.
func (g *graph) single(one, rest relation) []edge {
	var best []edge
	tried := 0
	for _, c := range g.components(one | rest) {
		in := members(c)
		for _, n := range c {
			for _, e := range g.edges(n) {
				if e.relation != one || !in[e.to] || tried >= 16*searches {
					continue
				}
				tried++
				if p := g.path(e.to, n, rest, in, len(best)-1); p != nil && (best == nil || len(p)+1 < len(best)) {
					best = append([]edge{e}, p...)
				}
			}
		}
	}
	return best
}

func members(c []int32) map[int32]bool {
	in := make(map[int32]bool, len(c))
	for _, n := range c {
		in[n] = true
	}
	return in
}

// path is a shortest path of at least one edge within a component, by breadth first search; nil if there is none shorter
// than limit (0: no limit).
func (g *graph) path(from, to int32, over relation, in map[int32]bool, limit int) []edge {
	by := map[int32]edge{}
	wave := []int32{from}
	for depth := 1; len(wave) > 0 && (limit <= 0 || depth < limit); depth++ {
		var next []int32
		for _, n := range wave {
			for _, e := range g.edges(n) {
				if e.relation&over == 0 || !in[e.to] {
					continue
				}
				if _, seen := by[e.to]; seen {
					continue
				}
				by[e.to] = e
				if e.to == to {
					return trace(by, from, to)
				}
				next = append(next, e.to)
			}
		}
		wave = next
	}
	return nil
}

func trace(by map[int32]edge, from, to int32) (path []edge) {
	for n := to; ; {
		e := by[n]
		path = append(path, e)
		if n = e.from; n == from {
			slices.Reverse(path)
			return path
		}
	}
}
