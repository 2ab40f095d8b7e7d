package sim

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/quorum"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/values"
)

// Values makes the replicas of a run keep all but the shortest values outside.
type Values struct {
	// Consistency says what their records look like.
	Consistency kv.Consistency
	Mutation    values.Mutation
	// Victim is the node whose store loses and damages what it has; those of the others keep it, so nothing may get lost.
	Victim int
	// Strike is the mean time between two of its losses, Pump the longest that a node leaves its store alone.
	Strike, Pump core.Time
	// Grace and Inside are those of values.Options.
	Grace, Inside core.Time
}

// simInsideMax is shorter than any value that clients of the simulator set, and longer than most counters.
const simInsideMax = 4

// valueFamilies are without counters: their numbers would leave the state, where they must not.
var valueFamilies = []Family{
	{Letter: "v", Kinds: []referee.Kind{referee.Get, referee.Get, referee.Set, referee.Create, referee.Cas, referee.Delete}},
	{Letter: "r", Kinds: []referee.Kind{referee.Get, referee.Set}},
	{Letter: "t", Kinds: []referee.Kind{referee.Get, referee.Set}, Mortal: true},
}

// DrawValues draws a run of a protocol whose values lie outside.
func DrawValues(seed uint64, c kv.Consistency, mutation values.Mutation) Protocol {
	rng := stream(seed, "values", 0)
	var p Protocol
	switch c {
	case kv.Quorum:
		p = drawQuorum(seed, quorum.NoMutation, false, simInsideMax)
		p.Level = nil // what one replica has acknowledged has one copy
	case kv.Causal:
		p = DrawBayou(seed, 0)
		p.Rosters = false
	default:
		p = DrawPaxos(seed, 0)
		p.Families = valueFamilies
	}
	p.Name += ", values outside"
	p.Values = &Values{Consistency: c, Mutation: mutation, Victim: rng.IntN(3), Strike: 20*Millisecond + core.Time(rng.Int64N(int64(500*Millisecond))),
		Pump: Millisecond + core.Time(rng.Int64N(int64(100*Millisecond))), Grace: 100*Millisecond + core.Time(rng.Int64N(int64(2*Second))),
		Inside: Millisecond + core.Time(rng.Int64N(int64(500*Millisecond)))}
	bear := p.Bear
	p.Bear = func(f *Faults) {
		if bear != nil {
			bear(f)
		}
		f.Wipe, f.Change = 0, 0 // who loses a disk, or is new, has no copies
	}
	return p
}

// outsideStore is a store outside of a node, which goes on when that dies. It is a values.Store.
type outsideStore struct {
	rng    *rand.Rand
	values map[string][]byte
	away   bool
	full   bool
}

var errAway = errors.New("connection refused")

func (s *outsideStore) Get(name string) ([]byte, error) {
	v, ok := s.values[name]
	switch {
	case s.away:
		return nil, errAway
	case !ok:
		return nil, values.ErrMissing
	}
	return bytes.Clone(v), nil
}

func (s *outsideStore) Put(name string, value []byte) error {
	switch {
	case s.away:
		return errAway
	case s.full:
		return values.ErrFull
	}
	s.values[name] = bytes.Clone(value)
	return nil
}

func (s *outsideStore) Delete(name string) error {
	if s.away {
		return errAway
	}
	delete(s.values, name)
	return nil
}

// strike lets the store lose or damage something.
func (s *outsideStore) strike(w *world) {
	names := slices.Sorted(maps.Keys(s.values))
	what := s.rng.IntN(8)
	switch {
	case what == 0:
		s.away = !s.away
	case what == 1:
		s.full = !s.full
	case what == 2:
		clear(s.values)
	case len(names) == 0:
		return
	case what <= 4:
		delete(s.values, names[s.rng.IntN(len(names))])
	case what == 5: // a store that gives what was put under another name
		s.values[names[s.rng.IntN(len(names))]] = bytes.Clone(s.values[names[s.rng.IntN(len(names))]])
	default:
		if v := s.values[names[s.rng.IntN(len(names))]]; len(v) > 0 {
			v[s.rng.IntN(len(v))] ^= 1 << s.rng.IntN(8)
		}
	}
	w.hit("store")
}

// strikeShelf goes on until the heal.
func (w *world) strikeShelf() {
	v, s := w.options.Protocol.Values, w.nodes[w.options.Protocol.Values.Victim].shelf
	w.after(core.Time(s.rng.ExpFloat64()*float64(v.Strike)), func() {
		if w.faults.over {
			s.away, s.full = false, false
			return
		}
		s.strike(w)
		w.strikeShelf()
	})
}

// bootValues begins a life of the node with its store.
func (n *node) bootValues() {
	v := n.w.options.Protocol.Values
	if v == nil {
		return
	}
	if n.shelf == nil {
		n.shelf = &outsideStore{rng: stream(n.w.options.Seed, "shelf", n.index), values: map[string][]byte{}}
	}
	n.keeper = values.NewKeeper(values.Options{Store: n.shelf, Scope: fmt.Sprint("n", n.id), InsideMax: simInsideMax, Grace: v.Grace, Inside: v.Inside, Again: 100 * Millisecond, Pause: 20 * Millisecond,
		Now: func() core.Time { return n.w.now }, Mutation: v.Mutation})
	n.pumpLater()
}

// pumpLater does what goroutines of a node do beside its loop.
func (n *node) pumpLater() {
	life := n.life
	n.w.after(core.Time(1+n.shelf.rng.Int64N(int64(n.w.options.Protocol.Values.Pump))), func() {
		if n.life != life || !n.up {
			return
		}
		if !n.paused {
			if err := n.pumpValues(); err != nil {
				n.w.fail(Invariant, "node %d: %v", n.id, err)
			}
		}
		n.pumpLater()
	})
}

func (n *node) pumpValues() error {
	k := n.keeper
	k.Check()
	for p, ok := k.Next(); ok; p, ok = k.Next() {
		if err := k.Upload(p); err != nil {
			return err
		}
	}
	for p, ok := k.Due(); ok; p, ok = k.Due() {
		if err := k.Remove(p); err != nil {
			return err
		}
	}
	for p, ok := k.Stored(); ok; p, ok = k.Stored() {
		if err := k.Settle(p); err != nil {
			return err
		}
	}
	for more := true; more; {
		var err error
		if more, err = k.Sweep(); err != nil {
			return err
		}
	}
	for p, ok := k.Wanted(); ok; p, ok = k.Wanted() {
		if _, code := n.value(p); code != kv.Unavailable {
			if err := k.Ended(p); err != nil {
				return err
			}
		}
		k.Sought(p.Group)
	}
	var doubted []core.GroupID
	for id, ok := k.Anew(); ok; id, ok = k.Anew() {
		list, from := k.Missing(id, nil)
		for ; from != nil; list, from = k.Missing(id, from) {
			n.fetchAll(list)
		}
		if !n.fetchAll(list) {
			doubted = append(doubted, id)
		} else if err := k.Filled(id); err != nil {
			return err
		}
		k.Sought(id)
	}
	for _, id := range doubted {
		k.Doubt(id)
	}
	return nil
}

func (n *node) fetchAll(list []values.Place) bool {
	whole := true
	for _, p := range list {
		_, code := n.value(p)
		whole = whole && code != kv.Unavailable
	}
	return whole
}

// value finds a value here or on another node, as package node does, in no time.
func (n *node) value(p values.Place) ([]byte, kv.Code) {
	g := n.w.byID[p.Group]
	other, unheard := false, false
	if self, _, _ := g.seat(n); self != 0 {
		v, finding := n.keeper.Read(p)
		if finding == values.Found {
			return v, kv.OK
		}
		other, unheard = finding == values.Other, finding == values.Unasked
	}
	for _, peer := range n.w.nodes {
		if self, _, _ := g.seat(peer); self == 0 || peer == n {
			continue
		}
		links := n.w.network.links
		if !peer.up || peer.paused || links[n.index][peer.index].cut > 0 || links[peer.index][n.index].cut > 0 {
			unheard = true
			continue
		}
		v, finding := peer.keeper.Read(p)
		if finding == values.Found && (p.Ref.Names(v) || n.w.options.Protocol.Values.Mutation == values.TrustStore) {
			n.w.hit("refetch")
			if err := n.keeper.Restore(p, v); err != nil {
				n.w.fail(Invariant, "node %d: %v", n.id, err)
			}
			return v, kv.OK
		}
		other = other || finding == values.Other
		unheard = unheard || finding == values.Unasked
	}
	if other || unheard {
		return nil, kv.Unavailable
	}
	return nil, kv.ValueLost
}

// withValues puts values in the place of references, before an answer leaves the node.
func (n *node) withValues(g *group, encoded []byte, answer func(kv.Result)) func(kv.Result) {
	if n.keeper == nil {
		return answer
	}
	return func(r kv.Result) {
		ref, is := kv.ParseReference(r.Value)
		if !is {
			answer(r)
			return
		}
		var c kv.Command
		if err := kv.DecodeCommand(encoded, &c); err != nil {
			n.w.fail(Invariant, "command does not decode: %v", err)
			return
		}
		p := values.Place{Group: g.id, Key: string(append([]byte{machine.DataKind}, c.Ops[0].Key...)), Ref: ref}
		v, code := n.value(p)
		switch {
		case code == kv.ValueLost:
			n.w.fail(Durability, "node %d answers that the value of %q is lost, and only the store of node %d loses any", n.id, c.Ops[0].Key, n.w.options.Protocol.Values.Victim+1)
		case code != kv.OK:
			r = kv.Result{Code: code}
		}
		r.Value = v
		answer(r)
	}
}

// finalValue is the value of a key at the end of a run.
func (w *world) finalValue(g *group, key string, r kv.Result) string {
	if ref, is := kv.ParseReference(r.Value); is {
		v, code := w.seatedNodes(g)[0].value(values.Place{Group: g.id, Key: string(machine.DataKind) + key, Ref: ref})
		if code != kv.OK {
			w.fail(Durability, "the value of %q is %s in the end, and only the store of node %d loses any", key, code, w.options.Protocol.Values.Victim+1)
		}
		return string(v)
	}
	return string(r.Value)
}

// newState is the state of a group through which this life of the node sees it, with its values outside if they are to lie there.
func (n *node) newState(g *group) *state {
	group := n.disk.Group(g.id)
	changed := func() { n.w.checks.applied(g.id, n, group.Applied(), n.disk.Digest(g.id)) }
	if n.keeper == nil {
		return &state{group, changed}
	}
	c := n.w.options.Protocol.Values.Consistency
	kept := n.keeper.Group(g.id, group, n.disk.Group(values.Anteroom(g.id)), func(record []byte) int { return keyspace.ValueAt(c, record) })
	n.keeper.Open(kept)
	return &state{kept, changed}
}
