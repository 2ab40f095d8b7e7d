package referee

import (
	"slices"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// CommitOrder is what a causal keyspace with a commit order promises, as Run.Consistency has it, and the checker of that.
const CommitOrder = "commit-order"

// Promise is the word for what a keyspace of a consistency promises, with a commit order or without.
func Promise(c kv.Consistency, commitOrder bool) string {
	if commitOrder {
		return CommitOrder
	}
	return string(c)
}

// CheckCommitOrder judges whether committed writes have places that never change, by the lists that clients append to: what is
// read as committed is a beginning of what the list ends with, on whatever node it is read; what was answered as committed ends where
// the answer said; and there is one order of all appends, over all lists, in which each comes behind what its session had written and
// seen. A session never misses what it has appended or seen, wherever that stands. What is tentative may move otherwise.
func CheckCommitOrder(r *Run) Verdict {
	p := places{history: r.History.flat(), ends: map[string]string{}, node: map[int]int32{}}
	for i := range r.History {
		p.node[r.History[i].ID] = int32(i)
	}
	names, byKey := p.history.keys()
	for _, key := range names {
		if e := (ending{key: key, ops: byKey[key]}); e.only(Append) {
			p.ends[key] = longestCommitted(byKey[key])
			if r.Final != nil {
				p.ends[key] = r.Final[key]
			}
		}
	}
	for i := range p.history {
		if v, bad := p.committed(&p.history[i]); bad {
			return v
		}
	}
	v, bad := p.sessions()
	if !bad {
		v = p.order(names)
	}
	v.Judged = len(r.History)
	return v
}

// places is a history and where its lists end.
type places struct {
	history History
	ends    map[string]string
	// node is the place of each operation in the history by its ID, which counts those of a transaction as one.
	node map[int]int32
}

// longestCommitted is the most that anybody saw of a list's final order, where nobody looked at the end.
func longestCommitted(ops []Op) (longest string) {
	for i := range ops {
		if o := &ops[i]; o.Kind == Get && o.isCommitted() && len(o.Got) > len(longest) {
			longest = o.Got
		}
	}
	return longest
}

// isCommitted says that the client asked for what never changes, and got an answer.
func (o *Op) isCommitted() bool {
	return o.Level == kv.LevelCommitted.String() && o.Outcome == Done && o.Code < kv.Unavailable
}

// committed holds an answer that is called committed to the end of its list.
func (p *places) committed(o *Op) (Verdict, bool) {
	end, list := p.ends[o.Key]
	switch {
	case !list || !o.isCommitted():
	case o.Met != "" && o.Met != o.Level:
		return broken(CommitOrder, o.Key, []Op{*o}, "what is committed was asked for, and the answer is %s", o.Met), true
	case o.Kind == Get && !strings.HasPrefix(end, o.Got):
		return broken(CommitOrder, o.Key, []Op{*o}, "%q was read as committed, and is no beginning of what the list ends with: %q", o.Got, end), true
	case o.Kind == Append && o.Code == kv.OK && (o.Int > int64(len(end)) || !strings.HasSuffix(end[:o.Int], o.Value)):
		return broken(CommitOrder, o.Key, []Op{*o}, "%s was committed as what the first %d bytes end with, and the list ends with %q", o.Value, o.Int, end), true
	}
	return Verdict{}, false
}

// strong says that an operation goes by what its session has seen, and adds to it.
func (o *Op) strong() bool {
	return o.Level == "" || o.Level == kv.LevelSession.String() || o.Level == kv.LevelTentative.String() || o.Level == kv.LevelCommitted.String()
}

// shows says that a read saw an append.
func (o *Op) shows(put *Op) bool {
	return o.Kind == Get && o.Outcome == Done && o.Code == kv.OK && o.Key == put.Key && isElement(put.Value) && strings.Contains(o.Got, put.Value)
}

// sessions looks for reads that miss what their sessions have appended, or have seen.
func (p *places) sessions() (Verdict, bool) {
	known := map[string]map[string]*Op{} // by session and key: the append or read that is known to be shown
	byReturn := slices.Clone(p.history)
	slices.SortStableFunc(byReturn, func(a, b Op) int { return int(a.Return - b.Return) })
	next := 0
	note := func(o *Op) {
		if _, list := p.ends[o.Key]; !list || !o.strong() || o.Outcome != Done || o.Code != kv.OK {
			return
		}
		of := o.session() + "\x00" + o.Key
		if known[of] == nil {
			known[of] = map[string]*Op{}
		}
		seen := []string{o.Value}
		if o.Kind == Get {
			seen = Elements(o.Got)
		}
		for _, e := range seen {
			if isElement(e) && known[of][e] == nil {
				known[of][e] = o
			}
		}
	}
	for i := range p.history {
		o := &p.history[i]
		for ; next < len(byReturn) && byReturn[next].Return < o.Call; next++ {
			note(&byReturn[next])
		}
		_, list := p.ends[o.Key]
		if !list || o.Kind != Get || !o.strong() || o.isCommitted() || o.Outcome != Done || o.Code >= kv.Unavailable {
			continue
		}
		missing := known[o.session()+"\x00"+o.Key]
		for _, e := range sortedNames(missing) {
			if !strings.Contains(o.Got, e) {
				return broken(CommitOrder, o.Key, []Op{*missing[e], *o}, "the session had appended %s, or seen it, and does not find it", e), true
			}
		}
	}
	return Verdict{}, false
}

func sortedNames(m map[string]*Op) (names []string) {
	for name := range m { // order does not matter: they are sorted
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// order looks for one order of all appends. Operations of one command are one node.
func (p *places) order(names []string) Verdict {
	g := newGraph(len(p.history))
	for n, key := range names {
		if end, list := p.ends[key]; list {
			p.listed(g, int32(n), key, end)
		}
	}
	p.causes(g)
	g.freeze()
	if cycle := g.cycle(ww | po | rf); cycle != nil {
		var proof []Op
		for _, e := range cycle {
			proof = append(proof, p.history[slices.IndexFunc(p.history, func(o Op) bool { return p.node[o.ID] == e.from })])
		}
		return broken(CommitOrder, proof[0].Key, proof, "the places of these do not agree: each comes before the next, by its place in a list or since its session had seen it, and the last before the first")
	}
	return Verdict{Check: CommitOrder, Decision: Holds}
}

// listed takes the order of the appends to a list from its end.
func (p *places) listed(g *graph, n int32, key, end string) {
	var appends []*Op
	at := map[*Op]int{}
	for i := range p.history {
		o := &p.history[i]
		if place := strings.Index(end, o.Value); o.Kind == Append && o.Key == key && isElement(o.Value) && place >= 0 {
			appends, at[o] = append(appends, o), place
		}
	}
	slices.SortFunc(appends, func(a, b *Op) int { return at[a] - at[b] })
	for i := 1; i < len(appends); i++ {
		g.add(p.node[appends[i-1].ID], p.node[appends[i].ID], ww, n)
	}
}

// causes adds what each operation's session had done and seen before.
func (p *places) causes(g *graph) {
	of := map[string][]*Op{}
	for i := range p.history {
		o := &p.history[i]
		if _, list := p.ends[o.Key]; !list || !o.strong() || o.Outcome == Refused {
			continue
		}
		s := o.session()
		p.follows(g, o, of[s])
		of[s] = append(of[s], o)
		if o.Kind == Get {
			p.reads(g, o)
		}
	}
}

// follows adds an edge from each of a session's operations that were over when this one began, but for those before another one.
func (p *places) follows(g *graph, o *Op, before []*Op) {
	floor := int64(-1)
	for i := len(before) - 1; i >= 0; i-- {
		if b := before[i]; b.Outcome == Done && b.Return < o.Call && b.Return >= floor {
			g.add(p.node[b.ID], p.node[o.ID], po, -1)
			floor = max(floor, b.Call)
		}
	}
}

// reads adds an edge from each append that a read saw.
func (p *places) reads(g *graph, o *Op) {
	for i := range p.history {
		if put := &p.history[i]; put.Kind == Append && put.ID != o.ID && o.shows(put) {
			g.add(p.node[put.ID], p.node[o.ID], rf, -1)
		}
	}
}
