package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// DrawBayou draws the settings of a run: peers that are asked often or seldom, logs that are cut at once or hardly ever,
// messages that hold a few writes or many; a disk may be damaged, or stay whole, so that nothing may be lost.
func DrawBayou(seed uint64, mutation bayou.Mutation) Protocol {
	o, damage, moves, rng := drawBayou(seed, mutation)
	p := Bayou(o, damage, moves)
	if rng.IntN(3) == 0 { // where nothing is ever added, sets take a shorter way
		p.Families = slices.DeleteFunc(p.Families, func(f Family) bool { return slices.Contains(f.Kinds, referee.Incr) || f.White })
	}
	return p
}

func drawBayou(seed uint64, mutation bayou.Mutation) (o bayou.Options, damage, moves bool, rng *rand.Rand) {
	rng = stream(seed, "bayou", 0)
	o = bayou.Options{Mutation: mutation, Interval: core.Time(20+rng.Int64N(400)) * Millisecond, LogBytes: 300 << rng.IntN(14),
		KeepWrites: 1 << rng.IntN(9), ChunkBytes: 100 << rng.IntN(12)}
	o.MemoryTime, o.MemoryBytes = core.Time(1+rng.Int64N(3000))*Millisecond, 100<<rng.IntN(12)
	return o, rng.IntN(4) == 0, rng.IntN(2) == 0, rng
}

// DrawEventual draws the settings of a run of eventual groups.
func DrawEventual(seed uint64, mutation bayou.Mutation) Protocol {
	o, damage, moves, _ := drawBayou(seed, mutation)
	return Eventual(o, damage, moves)
}

// Eventual runs groups without sessions: replicas converge, and what was acknowledged is kept or surpassed.
func Eventual(options bayou.Options, damage, moves bool) Protocol {
	p := Bayou(options, damage, moves)
	p.Name = "eventual, " + p.Name
	p.Config = func(members []core.ReplicaID) []byte {
		c := bayou.Config{Members: members, Binding: uint64(members[0]), Eventual: true}
		return c.AppendTo(nil)
	}
	p.MergeTokens = nil
	p.Judge = func(h referee.History, final referee.Final) []referee.Verdict {
		if damage {
			return nil
		}
		return []referee.Verdict{judgeKept(h, final)}
	}
	return p
}

// Bayou runs causal groups. With damage, logs are damaged and disks are lost; with moves, members come and go.
func Bayou(options bayou.Options, damage, moves bool) Protocol {
	past, parts := map[bayou.Dot]written{}, newPartsOracle()
	p := Protocol{
		Name: fmt.Sprintf("bayou (asked every %s, logs of %d bytes and %d writes, in memory for %s and up to %d bytes, messages of %d, damage %v, moves %v)", clockText(options.Interval),
			options.LogBytes, options.KeepWrites, clockText(options.MemoryTime), options.MemoryBytes, options.ChunkBytes, damage, moves),
		New: func(self core.ReplicaID) core.Replica {
			return &causal{Replica: bayou.New(self, options), self: self, past: past, parts: parts}
		},
		Config: func(members []core.ReplicaID) []byte {
			c := bayou.Config{Members: members, Binding: uint64(members[0])}
			return c.AppendTo(nil)
		},
		Decode: bayou.DecodeMessage,
		Read: func(v core.View, c *kv.Command, wall int64) (kv.Result, bool) {
			return bayou.Read(v, c, kv.HLCOf(wall))
		},
		Digest: bayou.Digest, MergeTokens: bayou.MergeTokens, Sessionless: true, Rosters: moves,
		Families: []Family{
			{Letter: "r", Kinds: []referee.Kind{referee.Set, referee.Set, referee.Delete, referee.Get, referee.Get, referee.Get}},
			{Letter: "s", Kinds: []referee.Kind{referee.Set, referee.Delete, referee.Delete, referee.Get, referee.Get}},
			{Letter: "c", Kinds: []referee.Kind{referee.Incr, referee.Incr, referee.Get}},
			{Letter: "d", Kinds: []referee.Kind{referee.Incr, referee.Incr, referee.Delete, referee.Get}},
			{Letter: "t", Kinds: []referee.Kind{referee.Set, referee.Get}, Mortal: true},
			{Letter: "e", Kinds: []referee.Kind{referee.Include, referee.Include, referee.Exclude, referee.Members}, White: true},
			{Letter: "f", Kinds: []referee.Kind{referee.Include, referee.Include, referee.Exclude, referee.Set, referee.Delete, referee.Members}, White: true},
		},
		// What only a lost disk had is lost: that is no bug.
		Bear: func(f *Faults) {
			f.Change = 0
			if moves && f.may("members") {
				f.Change = 400 * Millisecond
			}
			if !damage {
				f.Damage = 0
			}
			if !damage || !moves {
				f.Wipe = 0
			}
		},
		Judge: func(h referee.History, final referee.Final) []referee.Verdict {
			if damage {
				return []referee.Verdict{judgeSessions(h)}
			}
			return append(judgeCausal(h, final), judgeCounters(h, final), judgeSessions(h))
		},
	}
	return p
}

// DrawSiblings draws the settings of a run of groups that keep siblings.
func DrawSiblings(seed uint64, mutation bayou.Mutation) Protocol {
	o, damage, _, _ := drawBayou(seed, mutation)
	return Siblings(o, damage)
}

// Siblings runs causal groups that keep concurrent values side by side; half of the writes say what their client had read. What
// is there must be, on every replica after every step, what the writers' knowledge leaves of what was written.
func Siblings(options bayou.Options, damage bool) Protocol {
	p := Bayou(options, damage, false)
	p.Name, p.Siblings = "siblings, "+p.Name, true
	p.Config = func(members []core.ReplicaID) []byte {
		c := bayou.Config{Members: members, Binding: uint64(members[0]), Siblings: true}
		return c.AppendTo(nil)
	}
	p.Families = []Family{
		{Letter: "r", Kinds: []referee.Kind{referee.Set, referee.Set, referee.Get}, White: true},
		{Letter: "s", Kinds: []referee.Kind{referee.Set, referee.Set, referee.Delete, referee.Get}, White: true},
		{Letter: "e", Kinds: []referee.Kind{referee.Include, referee.Exclude, referee.Set, referee.Get}, White: true},
	}
	p.Judge = func(referee.History, referee.Final) []referee.Verdict { return nil }
	return p
}

// written is a write as its replica accepted it: what it was, and what it may depend on.
type written struct {
	text string
	past bayou.Vector
}

// causal is a replica whose every Step is checked against all others': what it shows holds all that led to it, no stamp is
// given twice, and each is later than all that its replica had shown. A world, and so a run, has one past.
type causal struct {
	*bayou.Replica
	self  core.ReplicaID
	shown bayou.Vector
	past  map[bayou.Dot]written
	parts *partsOracle
	// unchecked are the keys whose records have changed since they were looked at.
	unchecked []string
	// asked are the tokens of commands under way; lost are the writes that say what their replica has lost.
	asked map[core.RequestID]bayou.Token
	lost  []*bayou.Write
}

// Unwrap is the replica itself.
func (c *causal) Unwrap() core.Replica { return c.Replica }

func (c *causal) Step(in *core.Input, out *core.Effects) {
	if _, ok := in.Event.(core.Recover); ok {
		c.shown = slices.Clone(bayou.VectorOf(in.View))
		c.unchecked = c.parts.all()
	}
	c.parts.check(in.View, c.shown, c.unchecked)
	c.unchecked = nil
	if e, ok := in.Event.(core.Requests); ok {
		c.ask(e.List)
	}
	c.Replica.Step(in, out)
	for _, n := range out.Notes {
		switch n := n.(type) {
		case bayou.AppliedNote:
			c.applied(n.Write)
		case bayou.MergedNote:
			c.shown.Merge(n.Vector)
			c.unchecked = c.parts.all()
		}
	}
	for i := range out.Early {
		switch o := &out.Early[i]; {
		case o.To != 0:
			c.told(o.Message)
		case o.Result.Code < kv.Unavailable:
			c.answered(c.asked[o.ID])
		}
	}
	if len(out.State)+len(out.Notes) > 0 { // else neither can have changed
		if s := c.Status(); !s.Held.Equal(c.shown) {
			panic(fmt.Sprintf("the vector is %v, but %v was applied", s.Held, c.shown))
		}
	}
}

// told: a message says of no write that it is held which the state does not show.
func (c *causal) told(m core.Message) {
	var v bayou.Vector
	switch m := m.(type) {
	case bayou.Pull:
		v = m.Vector
	case bayou.Writes:
		v = m.Vector
	}
	if !c.shown.Covers(v) {
		panic(fmt.Sprintf("a message tells of %v, but %v was applied", v, c.shown))
	}
}

func (c *causal) ask(list []core.Request) {
	if c.asked == nil {
		c.asked = map[core.RequestID]bayou.Token{}
	}
	for _, q := range list {
		var command kv.Command
		if kv.DecodeCommand(q.Command, &command) == nil {
			if command.Level == kv.LevelCommitted && command.ReadOnly() || command.Level == kv.LevelEventual {
				continue // it asks for nothing that its session has seen
			}
			c.asked[q.ID], _ = bayou.DecodeToken(command.Token)
			if context, err := bayou.DecodeToken(command.Context); err == nil {
				c.parts.contexts[string(command.Ops[0].Value)] = context.Read
			}
		}
	}
}

// answered: the replica holds all that the session had seen, and nothing of it is lost.
func (c *causal) answered(t bayou.Token) {
	for _, v := range []bayou.Vector{t.Read, t.Written} {
		if !c.shown.Covers(v) {
			panic(fmt.Sprintf("a session that has seen %v is served over %v", v, c.shown))
		}
		for _, w := range c.lost {
			if at := v.At(w.Replica); at > w.Ops[0].Since && at < w.Stamp {
				panic(fmt.Sprintf("a session that has seen a lost write of %d, stamped %d, is served", w.Replica, at))
			}
		}
	}
}

func (c *causal) applied(w *bayou.Write) {
	was, known := c.past[w.Dot]
	switch {
	case c.shown.Has(w.Dot):
		panic(fmt.Sprintf("%v is applied again over %v", w, c.shown))
	case !known && w.Replica == c.self:
		if w.Stamp <= c.shown.Last() {
			panic(fmt.Sprintf("%v is stamped earlier than its replica's state %v", w, c.shown))
		}
		if !slices.Contains(c.Status().Members, c.self) {
			panic(fmt.Sprintf("%v is accepted by a replica that has not joined", w))
		}
		c.past[w.Dot] = written{w.String(), slices.Clone(c.shown)}
		c.parts.accepted(w, c.shown)
	case !known:
		panic(fmt.Sprintf("%v comes from nowhere", w))
	case was.text != w.String():
		panic(fmt.Sprintf("one stamp was given twice: %v and %s", w, was.text))
	case !c.shown.Covers(was.past):
		panic(fmt.Sprintf("%v is shown over %v, but was written over %v", w, c.shown, was.past))
	}
	c.shown.Raise(w.Replica, w.Stamp)
	for i := range w.Ops {
		c.unchecked = append(c.unchecked, string(w.Ops[i].Key))
	}
	if w.Ops[0].Kind == bayou.Lost {
		c.lost = append(c.lost, w)
	}
}

// judgeCausal lets the referee look for cause and effect in each group, which is what a keyspace promises.
func judgeCausal(h referee.History, final referee.Final) (verdicts []referee.Verdict) {
	groups := map[uint64]referee.History{}
	for _, o := range h {
		groups[o.Group] = append(groups[o.Group], o)
	}
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		for _, v := range referee.CheckAll(&referee.Run{Consistency: string(kv.Causal), History: groups[g], Final: final}) {
			if v.Check != "convergence" { // the world has looked at the states itself
				verdicts = append(verdicts, v)
			}
		}
	}
	return verdicts
}

// judgeKept: no acknowledged write is lost but to one with a newer stamp. Where deletions compete with additions what is left
// is no sum.
func judgeKept(h referee.History, final referee.Final) referee.Verdict {
	kept := slices.DeleteFunc(slices.Clone(h), func(o referee.Op) bool { return o.Key[0] == 'd' })
	return referee.CheckDurable(kept, final)
}

// judgeCounters: what was only incremented stands at the sum, on every replica alike.
func judgeCounters(h referee.History, final referee.Final) referee.Verdict {
	var counts referee.History
	for _, o := range h {
		if o.Key[0] == 'c' {
			counts = append(counts, o)
		}
	}
	return referee.CheckDurable(counts, final)
}

// judgeSessions: no client sees less of a key than it has seen or written before, nor does what it writes come before that.
func judgeSessions(h referee.History) referee.Verdict {
	v := referee.Verdict{Check: "sessions", Decision: referee.Holds}
	type place struct {
		client int
		group  string
	}
	wrote := map[string]uint64{} // by value
	for _, o := range h {
		if o.Kind == referee.Set && o.Outcome == referee.Done {
			wrote[o.Value] = o.Version
		}
	}
	seen := map[place]uint64{}        // the highest stamp in the group
	key := map[[2]string]referee.Op{} // the newest of each client's key
	for _, o := range h {
		if o.Code == kv.SessionLost { // it began anew
			seen[place{o.Client, o.Key[1:]}] = 0
			for _, letter := range "rscdt" {
				delete(key, [2]string{fmt.Sprint(o.Client), string(letter) + o.Key[1:]})
			}
		}
		if o.Outcome != referee.Done || o.Code != kv.OK || o.Version == 0 {
			continue
		}
		p := place{o.Client, o.Key[1:]}
		if o.Kind.Writes() && o.Version <= seen[p] {
			v.Decision, v.Key, v.Proof = referee.Broken, o.Key, []referee.Op{o}
			v.Why = fmt.Sprintf("#%d was stamped %d, though its client had seen %d", o.ID, o.Version, seen[p])
			return v
		}
		k := [2]string{fmt.Sprint(o.Client), o.Key}
		if before, ok := key[k]; ok && !o.Kind.Writes() && o.Version < before.Version {
			v.Decision, v.Key, v.Proof = referee.Broken, o.Key, []referee.Op{before, o}
			v.Why = fmt.Sprintf("#%d saw an older state than #%d", o.ID, before.ID)
			return v
		}
		if o.Kind == referee.Get && o.Got != "" && wrote[o.Got] != 0 && wrote[o.Got] != o.Version && o.Key[0] != 'c' && o.Key[0] != 'd' {
			v.Decision, v.Key, v.Proof = referee.Broken, o.Key, []referee.Op{o}
			v.Why = fmt.Sprintf("#%d read a value with another stamp than it was written with", o.ID)
			return v
		}
		key[k] = o
		seen[p] = max(seen[p], o.Version)
	}
	return v
}
