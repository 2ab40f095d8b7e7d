package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/quorum"
	"github.com/gamutdb/gamut/referee"
)

// DrawQuorum draws the settings of a run: hints that are dropped soon or never, comparisons and repairs often or hardly ever.
func DrawQuorum(seed uint64, mutation quorum.Mutation, atomic bool) Protocol {
	return drawQuorum(seed, mutation, atomic, 0)
}

func drawQuorum(seed uint64, mutation quorum.Mutation, atomic bool, insideMax int) Protocol {
	rng := stream(seed, "quorum", 0)
	span := func(low, high core.Time) core.Time { return low + core.Time(rng.Int64N(int64(high-low))) }
	o := quorum.Options{Mutation: mutation, RecentKeys: 3, WriteWithin: span(200*Millisecond, Second), ReadWithin: span(200*Millisecond, Second),
		Hedge: span(5*Millisecond, 100*Millisecond), EntropyEvery: span(300*Millisecond, 2*Second), RepairEvery: span(600*Millisecond, 3*Second),
		RepairLag: span(100*Millisecond, 2*Second), HintWindow: span(100*Millisecond, 4*Second), HintBytes: 200 << rng.IntN(10), HintRate: 1 << 20,
		InsideMax: insideMax}
	return Quorum(o, atomic)
}

// Quorum runs leaderless groups.
func Quorum(options quorum.Options, atomic bool) Protocol {
	p := Protocol{
		Name: fmt.Sprintf("quorum (atomic %v, hints for %s and %d bytes, compared every %s, repaired every %s behind %s)", atomic,
			clockText(options.HintWindow), options.HintBytes, clockText(options.EntropyEvery), clockText(options.RepairEvery), clockText(options.RepairLag)),
		New: func(self core.ReplicaID) core.Replica { return &watched{Replica: quorum.New(self, options)} },
		Config: func(members []core.ReplicaID) []byte {
			c := quorum.Config{Members: members, Atomic: atomic}
			return c.AppendTo(nil)
		},
		Decode: quorum.DecodeMessage,
		Read: func(v core.View, c *kv.Command, wall int64) (kv.Result, bool) {
			if wall == 0 { // what is left at the end
				c.Level = kv.LevelOne
			}
			if !quorum.ReadsOne(c) {
				return kv.Result{}, true
			}
			return quorum.ReadOne(v, c, kv.HLCOf(wall)), false
		},
		Digest:   quorum.Digest,
		Families: quorumFamilies, Sessionless: true,
		// Clocks that are further apart than the limit are refused, and then nobody can write through them.
		Bear: func(f *Faults) { f.JumpMax = 200 },
		Describe: func() *keyspace.Descriptor {
			return &keyspace.Descriptor{Consistency: kv.Quorum, Terms: keyspace.Terms{Atomic: atomic}}
		},
		Judge: judgeQuorum,
	}
	if atomic {
		p.Judge = judgeAtomic
	} else {
		p.Level = drawLevel
	}
	return p
}

var quorumFamilies = []Family{
	{Letter: "r", Kinds: []referee.Kind{referee.Set, referee.Set, referee.Delete, referee.Get, referee.Get, referee.Get}},
	{Letter: "s", Kinds: []referee.Kind{referee.Set, referee.Delete, referee.Delete, referee.Get, referee.Get}},
	{Letter: "t", Kinds: []referee.Kind{referee.Set, referee.Get}, Mortal: true},
}

func drawLevel(rng *rand.Rand, _ bool) kv.Level {
	return []kv.Level{kv.LevelDefault, kv.LevelDefault, kv.LevelQuorum, kv.LevelOne, kv.LevelEventual, kv.LevelTwo, kv.LevelAll}[rng.IntN(7)]
}

// judgeAtomic: one register a key. Nobody can say whether a deleted key was there before, so a deletion is a write of
// nothing, and a missing key holds nothing.
func judgeAtomic(h referee.History, final referee.Final) []referee.Verdict {
	var plain referee.History
	ends := referee.Final{}
	for _, o := range h {
		if o.Kind == referee.Delete {
			o.Kind, o.Value = referee.Set, "nothing"
		}
		if o.Kind == referee.Get && o.Outcome == referee.Done && o.Code == kv.NotFound {
			o.Code, o.Got = kv.OK, "nothing"
		}
		o.Version, o.Stamp = 0, referee.Stamp{}
		if _, known := ends[o.Key]; !known {
			ends[o.Key] = "nothing"
			plain = append(plain, referee.Op{Client: -1, Key: o.Key, Kind: referee.Set, Value: "nothing", Call: -2, Return: -1, Outcome: referee.Done})
		}
		plain = append(plain, o)
	}
	plain.Sort()
	// order does not matter: one map becomes another.
	for key, value := range final {
		ends[key] = value
	}
	return append(judgeQuorum(h, final), referee.CheckLinearizable(plain, 60*1e9), referee.CheckDurable(plain, ends))
}

// watched is a replica whose state is looked at with every change: the stamp of a key never decreases on a replica, and only
// what is dead below its purge line goes.
type watched struct{ *quorum.Replica }

// Unwrap is the replica itself.
func (w *watched) Unwrap() core.Replica { return w.Replica }

// Step takes one event.
func (w *watched) Step(in *core.Input, out *core.Effects) {
	w.Replica.Step(in, out)
	for i := range out.State {
		c := &out.State[i]
		if len(c.Key) == 0 || c.Key[0] != quorum.DataKind {
			continue
		}
		old, had := in.View.Get(c.Key)
		if c.Kind == core.Put && had && !bytes.Equal(old, c.Value) && quorum.StampOf(c.Value).Compare(quorum.StampOf(old)) < 0 {
			panic(fmt.Sprintf("stamp of key %q goes back from %v to %v", c.Key[1:], quorum.StampOf(old), quorum.StampOf(c.Value)))
		}
		if c.Kind == core.Delete && had && quorum.StampOf(old).Time >= w.Status().PurgeBelow {
			panic(fmt.Sprintf("key %q of stamp %v is forgotten, the line is at %v", c.Key[1:], quorum.StampOf(old), w.Status().PurgeBelow))
		}
	}
}
