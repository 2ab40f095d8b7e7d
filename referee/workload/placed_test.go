package workload

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// placed is a store with a commit order: nodes execute all commands, the committed ones in their places and behind them those that
// they hold beside, by their stamps. Node 0 gives the places.
type placed struct {
	rng    *rand.Rand
	bug    bug
	nodes  [modelNodes]placedNode
	writes []*placedWrite
	order  []*placedWrite
	tokens map[string][]bool
}

type placedNode struct {
	clock uint64
	// has says which writes the node holds, loose are those without a place that it knows.
	has   []bool
	loose []*placedWrite
	// committed is how many places it knows, values what the writes there have made.
	committed int
	values    map[string]string
}

type placedWrite struct {
	number, node int
	clock        uint64
	command      *kv.Command
	result       kv.Result // of the last execution at its place
}

func newPlaced(b bug) func(*rand.Rand) store {
	return func(rng *rand.Rand) store {
		s := &placed{rng: rng, bug: b, tokens: map[string][]bool{}}
		for i := range s.nodes {
			s.nodes[i].values = map[string]string{}
		}
		return s
	}
}

func (s *placed) seldom() bool { return s.rng.IntN(15) == 0 }

func (n *placedNode) hold(w *placedWrite) {
	if n.has = append(n.has, make([]bool, max(0, w.number+1-len(n.has)))...); !n.has[w.number] {
		n.has[w.number], n.loose = true, append(n.loose, w)
	}
}

func (n *placedNode) holds(what []bool) bool {
	for i, want := range what {
		if want && (i >= len(n.has) || !n.has[i]) {
			return false
		}
	}
	return true
}

// pull takes over what another node holds, writes and places.
func (s *placed) pull(node, from int) {
	n, m := &s.nodes[node], &s.nodes[from]
	n.clock = max(n.clock, m.clock)
	for i, has := range m.has {
		if has {
			n.hold(s.writes[i])
		}
	}
	s.place(node, max(n.committed, m.committed))
}

// place has a node execute the writes up to a place.
func (s *placed) place(node, to int) {
	n := &s.nodes[node]
	for ; n.committed < to; n.committed++ {
		w := s.order[n.committed]
		w.result = execute(n.values, w.command)
		n.loose = slices.DeleteFunc(n.loose, func(x *placedWrite) bool { return x == w })
	}
}

// commit gives places to what node 0 holds.
func (s *placed) commit() {
	n := &s.nodes[0]
	rest := slices.Clone(n.loose)
	slices.SortFunc(rest, byClock)
	if s.bug == "commit by arrival" {
		s.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	}
	if last := len(s.order) - 1; s.bug == "move what is committed" && s.seldom() && last > 0 {
		s.order[last-1], s.order[last] = s.order[last], s.order[last-1]
	}
	s.order = append(s.order, rest...)
	s.place(0, len(s.order))
}

func byClock(a, b *placedWrite) int {
	if a.clock != b.clock {
		return int(a.clock) - int(b.clock)
	}
	return a.node - b.node
}

func (s *placed) do(node int, session string, c *kv.Command) kv.Result {
	if s.rng.IntN(3) == 0 {
		s.pull(node, s.rng.IntN(modelNodes))
	}
	if s.rng.IntN(4) == 0 {
		s.commit()
	}
	n := &s.nodes[node]
	if seen := s.tokens[strings.TrimPrefix(session, unanswered)]; !n.holds(seen) && s.bug != "forget the token" {
		for from := range modelNodes {
			s.pull(node, from)
		}
	}
	committed := c.Level == kv.LevelCommitted
	defer func() { s.tokens[session] = slices.Clone(n.has) }()
	if c.ReadOnly() {
		values := maps.Clone(n.values)
		if !committed || s.bug == "call it committed" {
			s.tentative(n, values, nil)
		}
		return execute(values, c)
	}
	n.clock++
	w := &placedWrite{number: len(s.writes), node: node, clock: n.clock, command: c}
	s.writes = append(s.writes, w)
	if s.bug == "lose a write" && s.seldom() {
		return execute(maps.Clone(n.values), c)
	}
	n.hold(w)
	if !committed || s.bug == "call it committed" {
		return s.tentative(n, maps.Clone(n.values), w)
	}
	s.pull(0, node)
	s.commit()
	s.pull(node, 0)
	return w.result
}

// tentative executes what a node holds beside what is committed, and tells what one of these writes did.
func (s *placed) tentative(n *placedNode, values map[string]string, which *placedWrite) (result kv.Result) {
	slices.SortFunc(n.loose, byClock)
	for _, w := range n.loose {
		if r := execute(values, w.command); w == which {
			result = r
		}
	}
	return result
}

func execute(values map[string]string, c *kv.Command) kv.Result {
	var items []kv.Result
	for i := range c.Ops {
		o := &c.Ops[i]
		key := string(o.Key)
		now, present := values[key]
		var r kv.Result
		switch o.Kind {
		case kv.OpAppend:
			values[key] = now + string(o.Value)
			r.Int = int64(len(values[key]))
		case kv.OpIncr:
			n, _ := strconv.ParseInt(now, 10, 64)
			r.Int = n + o.Delta
			values[key] = strconv.FormatInt(r.Int, 10)
		default:
			if r.Value = []byte(now); !present {
				r.Code = kv.NotFound
			}
		}
		items = append(items, r)
	}
	if len(items) == 1 {
		return items[0]
	}
	return kv.Result{Items: items}
}

func (s *placed) settle() (list []referee.Replica) {
	for range 2 {
		for n := range modelNodes {
			s.pull(0, n)
		}
		s.commit()
		for n := range modelNodes {
			s.pull(n, 0)
		}
	}
	for n := range modelNodes {
		p := referee.Replica{Node: uint32(n + 1), Group: 1, Records: map[string]referee.Record{}}
		for key, value := range s.nodes[n].values {
			p.Records[key] = referee.Record{Value: value}
		}
		list = append(list, p)
	}
	return list
}
