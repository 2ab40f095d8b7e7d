package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/referee"
)

// DrawOrdered draws the settings of a run of causal groups with a commit order: those of causal groups, and how many writes are
// committed in a Step.
func DrawOrdered(seed uint64, mutation bayou.Mutation) Protocol {
	o, damage, moves, rng := drawBayou(seed, mutation)
	o.CommitMax, o.CommitInterval = 1<<rng.IntN(8), core.Time(5+rng.Int64N(200))*Millisecond
	if !damage {
		o.KeepCuts = 1 << rng.IntN(5)
	}
	return Ordered(o, damage, moves)
}

// Ordered runs causal groups with a commit order, each with a companion of package paxos.
func Ordered(options bayou.Options, damage, moves bool) Protocol {
	p := Bayou(options, damage, moves)
	companion := Paxos(paxos.Options{}, 0)
	orders := map[core.ReplicaID]*order{}
	past, parts := map[bayou.Dot]written{}, newPartsOracle()
	p.Name, p.Companion = "commit order, "+p.Name, &companion
	p.New = func(self core.ReplicaID) core.Replica {
		group := self / 1000
		if group == 0 {
			group = self / 10
		}
		if orders[group] == nil {
			orders[group] = newOrder()
		}
		return &ordered{causal: &causal{Replica: bayou.New(self, options), self: self, past: past, parts: parts}, order: orders[group]}
	}
	p.Config = func(members []core.ReplicaID) []byte {
		c := bayou.Config{Members: members, Binding: uint64(members[0]), Ordered: true}
		return c.AppendTo(nil)
	}
	p.Families = []Family{
		{Letter: "r", Kinds: []referee.Kind{referee.Set, referee.Set, referee.Delete, referee.Get, referee.Get}},
		{Letter: "a", Kinds: []referee.Kind{referee.Append, referee.Append, referee.Get}},
		{Letter: "c", Kinds: []referee.Kind{referee.Incr, referee.Incr, referee.Get}},
		{Letter: "m", Kinds: []referee.Kind{referee.Set, referee.Incr, referee.Append, referee.Cas, referee.Create, referee.Delete, referee.Get}},
	}
	p.Level = func(rng *rand.Rand, read bool) kv.Level {
		switch n := rng.IntN(8); {
		case n == 0, n < 3 && read:
			return kv.LevelCommitted
		case n == 3:
			return kv.LevelEventual
		}
		return kv.LevelDefault
	}
	p.Dress = dressOrdered
	bear := p.Bear
	p.Bear = func(f *Faults) {
		bear(f)
		f.Wipe = 0 // the companion's members stay where they are
	}
	p.Rests = func(r core.Replica) bool {
		o := r.(*bayou.Replica).Status().Order
		return o.Tentative == 0 && o.Cut == o.Known && o.Waiting == 0
	}
	p.Judge = func(h referee.History, final referee.Final) []referee.Verdict {
		if damage {
			return nil
		}
		return []referee.Verdict{judgeAdded(h, final), judgePlaced(h, orders)}
	}
	return p
}

// dressOrdered gives some sets of keys of the letter m conditions and merge procedures, which name a key of the letter r, too.
func dressOrdered(rng *rand.Rand, c *kv.Command) {
	o := &c.Ops[0]
	if o.Kind != kv.OpSet || o.Key[0] != 'm' || o.When != kv.Always || rng.IntN(2) == 0 {
		return
	}
	other := append([]byte{'r'}, o.Key[1:]...)
	c.Conds = []kv.Cond{{Kind: []kv.CondKind{kv.CondAbsent, kv.CondPresent, kv.CondValue}[rng.IntN(3)], Key: [][]byte{o.Key, other}[rng.IntN(2)], Value: []byte("1")}}
	switch kind := kv.MergeKind(rng.IntN(7)); kind {
	case 0:
	case kv.MergeAlternatives:
		c.Merge = &kv.Merge{Kind: kind, Alternatives: []kv.Alternative{
			{Conds: []kv.Cond{{Kind: kv.CondAbsent, Key: other}}, Ops: []kv.Op{{Kind: kv.OpSet, Key: other, Value: o.Value}}},
			{Ops: []kv.Op{{Kind: kv.OpAppend, Key: o.Key, Value: o.Value}}}}}
	case kv.MergeCopy: // copies would fill the state
		c.Merge = &kv.Merge{Kind: kv.MergeAppend}
	default:
		c.Merge = &kv.Merge{Kind: kind}
	}
}

// judgeAdded: counters stand at the sum, and lists hold each element once, on every replica alike.
func judgeAdded(h referee.History, final referee.Final) referee.Verdict {
	added := slices.DeleteFunc(slices.Clone(h), func(o referee.Op) bool { return o.Key[0] != 'c' && o.Key[0] != 'a' })
	return referee.CheckDurable(added, final)
}

// judgePlaced: every acknowledged write has its place when all is quiet.
func judgePlaced(h referee.History, orders map[core.ReplicaID]*order) referee.Verdict {
	v := referee.Verdict{Check: "placed", Decision: referee.Holds}
	placed := map[bayou.Dot]bool{}
	// order does not matter: one map becomes another.
	for _, o := range orders {
		for _, d := range o.dots {
			placed[d] = true
		}
	}
	for _, o := range h {
		d := bayou.Dot{Stamp: o.Stamp.Time, Replica: core.ReplicaID(o.Stamp.Origin)}
		if o.Kind.Writes() && o.Outcome == referee.Done && d.Replica != 0 && !placed[d] {
			v.Decision, v.Key, v.Proof = referee.Broken, o.Key, []referee.Op{o}
			v.Why = fmt.Sprintf("#%d was acknowledged and never committed", o.ID)
			return v
		}
	}
	return v
}

// order is the commit order of a group as all its replicas together have shown it. A run has one for each group.
type order struct {
	// dots are the committed writes, places the inverse.
	dots   []bayou.Dot
	places map[bayou.Dot]uint64
	// chains are the sums of so many of them.
	chains map[uint64]uint64
	vector bayou.Vector
	writes map[bayou.Dot]*bayou.Write
	// lost are the writes that say what their replicas have lost.
	lost []*bayou.Write
}

// isLost says that a write went with a disk, as a later one of its replica says.
func (o *order) isLost(d bayou.Dot) bool {
	return slices.ContainsFunc(o.lost, func(w *bayou.Write) bool {
		return w.Replica == d.Replica && w.Ops[0].Since < d.Stamp && d.Stamp < w.Stamp
	})
}

// lose takes back the places of what is lost with all disks that had it, and of what was behind it: nobody holds them any more.
func (o *order) lose(w *bayou.Write) {
	o.lost = append(o.lost, w)
	at := slices.IndexFunc(o.dots, o.isLost)
	if at < 0 {
		return
	}
	for _, d := range o.dots[at:] {
		delete(o.places, d)
	}
	o.dots, o.vector = o.dots[:at], nil
	for _, d := range o.dots {
		o.vector.Raise(d.Replica, d.Stamp)
	}
	maps.DeleteFunc(o.chains, func(count, _ uint64) bool { return count > uint64(at) })
}

func newOrder() *order {
	return &order{places: map[bayou.Dot]uint64{}, chains: map[uint64]uint64{}, writes: map[bayou.Dot]*bayou.Write{}}
}

// ordered is a replica whose every Step is checked against what all replicas have committed so far: a place is given once, to
// one write, behind all that led to it; and against a replay from the beginning: what it shows is what the committed writes in
// their places make of nothing, and the tentative ones behind them in the order of writes.
type ordered struct {
	*causal
	order *order
	ticks int
	// committing are the writes whose clients want them committed.
	committing map[core.RequestID]bool
}

func (o *ordered) Step(in *core.Input, out *core.Effects) {
	switch e := in.Event.(type) {
	case core.Tick:
		if o.ticks++; o.ticks%16 == 0 {
			o.replay(in.View)
		}
	case core.Requests:
		o.askCommitted(e.List)
	}
	o.causal.Step(in, out)
	for _, n := range out.Notes {
		switch n := n.(type) {
		case bayou.AppliedNote:
			o.order.writes[n.Write.Dot] = n.Write
			if n.Write.Ops[0].Kind == bayou.Lost {
				o.order.lose(n.Write)
			}
		case bayou.CommitNote:
			o.commit(n.Place, n.Dot)
		}
	}
	status := o.Status().Order
	if chain, known := o.order.chains[status.Committed]; known && chain != status.Chain {
		panic(fmt.Sprintf("replica %d has committed %d writes with chain %x, another one with %x", o.self, status.Committed, status.Chain, chain))
	}
	o.order.chains[status.Committed] = status.Chain
	for i := range out.Early {
		if q := &out.Early[i]; q.To == 0 {
			o.answered(q)
		}
	}
}

func (o *ordered) askCommitted(list []core.Request) {
	if o.committing == nil {
		o.committing = map[core.RequestID]bool{}
	}
	for _, q := range list {
		var c kv.Command
		if kv.DecodeCommand(q.Command, &c) == nil {
			o.committing[q.ID] = c.Level == kv.LevelCommitted && !c.ReadOnly()
		}
	}
}

// answered: who is told that a write is committed can look up its place.
func (o *ordered) answered(q *core.Output) {
	if !o.committing[q.ID] || q.Result.Code >= kv.Unavailable || q.Result.Origin == 0 {
		return
	}
	d := bayou.Dot{Stamp: kv.HLC(q.Result.Version), Replica: core.ReplicaID(q.Result.Origin)}
	if o.order.places[d] == 0 {
		panic(fmt.Sprintf("replica %d calls %v committed, which has no place", o.self, d))
	}
}

func (o *ordered) commit(place uint64, d bayou.Dot) {
	s := o.order
	switch n := uint64(len(s.dots)); {
	case place <= n && s.dots[place-1] != d:
		panic(fmt.Sprintf("replica %d commits %v at place %d, where %v is", o.self, d, place, s.dots[place-1]))
	case place <= n:
	case place > n+1:
		panic(fmt.Sprintf("replica %d commits place %d, and nobody has committed %d", o.self, place, n+1))
	case s.places[d] != 0:
		panic(fmt.Sprintf("replica %d commits %v at place %d, which has place %d", o.self, d, place, s.places[d]))
	case !s.vector.Covers(o.past[d].past):
		panic(fmt.Sprintf("%v is committed behind %v, but was written over %v", d, s.vector, o.past[d].past))
	default:
		s.dots = append(s.dots, d)
		s.places[d] = place
		s.vector.Raise(d.Replica, d.Stamp)
	}
}

// replay executes what the replica holds from the beginning, and compares.
func (o *ordered) replay(view core.View) {
	status, vector := o.Status().Order, bayou.VectorOf(view)
	committed := o.order.dots[:status.Committed]
	var rest []bayou.Dot
	for _, d := range slices.SortedFunc(maps.Keys(o.order.writes), bayou.Dot.Compare) {
		if place := o.order.places[d]; vector.Has(d) && !o.order.isLost(d) && (place == 0 || place > status.Committed) {
			rest = append(rest, d)
		}
	}
	if uint64(len(rest)) != status.Tentative {
		panic(fmt.Sprintf("replica %d counts %d tentative writes, and holds %v", o.self, status.Tentative, rest))
	}
	o.order.replayed(slices.Concat(committed, rest)).compare(view, kv.LevelEventual, o.self)
	o.order.replayed(committed).compare(view, kv.LevelCommitted, o.self)
}

// replayed is what writes make of nothing, one after the other.
func (o *order) replayed(dots []bayou.Dot) shelf {
	var writes []*bayou.Write
	for _, d := range dots {
		writes = append(writes, o.writes[d])
	}
	return bayou.Replay(writes)
}

// shelf is the values of a replay, by key.
type shelf map[string]string

// compare holds a replica's records against the replay's.
func (s shelf) compare(view core.View, level kv.Level, self core.ReplicaID) {
	c := kv.Command{Level: level, Ops: []kv.Op{{Kind: kv.OpScan}}}
	res, needsStep := bayou.Read(view, &c, kv.HLCOf(epoch))
	if needsStep {
		return
	}
	got := map[string]string{}
	for _, item := range res.Items {
		got[string(item.Key)] = string(item.Value)
	}
	if !maps.Equal(got, s) {
		panic(fmt.Sprintf("replica %d shows at level %s %q, a replay %q", self, level, got, s))
	}
}
