package sim

import (
	"flag"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/quorum"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/twophase"
)

var changesFlag = flag.Int("changes", 500, "how often the members of groups change in a run of TestChanges")

// distinct are families whose values are all different. The history of a key is that of minutes: the search for its order is short so,
// and would not be over additions of unknown outcome.
var distinct = []Family{
	{Letter: "r", Kinds: []referee.Kind{referee.Set, referee.Get, referee.Get}},
	{Letter: "a", Kinds: []referee.Kind{referee.Append, referee.Get, referee.Get}},
	{Letter: "t", Kinds: []referee.Kind{referee.Set, referee.Get}, Mortal: true},
}

// changeful are the protocols whose members change, by name.
var changeful = []struct {
	name string
	draw func(seed uint64, f *Faults) Protocol
}{
	{"linearizable", func(seed uint64, f *Faults) Protocol {
		options, lease := changingPaxos(seed, f)
		p := Paxos(options, lease)
		p.Families = distinct
		return p
	}},
	{"sequential", func(seed uint64, f *Faults) Protocol {
		p := Sequential(changingPaxos(seed, f))
		p.Families = distinct
		return p
	}},
	{"quorum", func(seed uint64, f *Faults) Protocol {
		f.Wipe, f.Damage = 0, 0
		return DrawQuorum(seed, quorum.NoMutation, false)
	}},
	{"quorum atomic", func(seed uint64, f *Faults) Protocol {
		f.Wipe, f.Damage = 0, 0
		return DrawQuorum(seed, quorum.NoMutation, true)
	}},
	{"atomic", func(seed uint64, f *Faults) Protocol {
		f.Wipe, f.Damage = 0, 0
		p := drawTwophase(seed, twophase.NoMutation, 3)
		p.Families = distinct
		return p
	}},
	{"causal", func(seed uint64, f *Faults) Protocol {
		f.Damage = 0
		options := bayou.Options{Interval: 50 * Millisecond, KeepWrites: 1 + seed%50, LogBytes: 1000 + seed%4*2000}
		return Bayou(options, false, true)
	}},
}

// changingPaxos draws settings with quick elections.
func changingPaxos(seed uint64, f *Faults) (options paxos.Options, lease core.Time) {
	f.Wipe = 0 // which of five disks may be lost for good changes with the voters
	options, lease = drawPaxos(seed, paxos.NoMutation)
	options.Heartbeat, options.ElectionMin, options.ElectionMax = quick.Heartbeat, quick.ElectionMin, quick.ElectionMax
	return options, min(lease, 500*Millisecond)
}

// changes is a cluster of five whose members change again and again under load, while nodes crash and part.
func changes(which int, seed uint64) Options {
	rng := stream(seed, "changes", which)
	f := Calm()
	every := func(low, high core.Time) core.Time { return low + core.Time(rng.Int64N(int64(high-low))) }
	f.Drop, f.Duplicate, f.Reorder, f.Straggle = 0.02*rng.Float64(), 0.05*rng.Float64(), 0.2*rng.Float64(), 0.01*rng.Float64()
	f.Change = 50 * Millisecond
	f.Crash, f.CrashAll = every(Second, 4*Second), every(10*Second, 30*Second)
	f.Partition, f.Cut, f.Flap = every(2*Second, 6*Second), every(2*Second, 6*Second), every(4*Second, 8*Second)
	f.Pause, f.SyncSlow, f.Handoff = every(3*Second, 9*Second), every(3*Second, 9*Second), every(2*Second, 6*Second)
	f.Keep, f.RateMax, f.Torn, f.JumpMax = rng.IntN(3), 25_000, rng.IntN(2) == 0, 200
	p := changeful[which].draw(seed, f)
	groups := 2
	if p.Rosters {
		groups = 4 // each group of these remembers all members that it ever had
	}
	return Options{Seed: seed, Protocol: p, Nodes: 5, Groups: groups, Clients: 4, Think: 100 * Millisecond, Faults: f,
		Faulty: 1000 * Second, Changes: *changesFlag, HealMax: 30 * Second}
}

// TestChanges lets members change five hundred times in a run, for each protocol that has them: one such run for each two hundred
// seeds that are asked for. TestSoak runs others without end.
func TestChanges(t *testing.T) {
	for i, c := range changeful {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			for seed := *firstFlag; seed <= *firstFlag+uint64(*seedsFlag-1)/200; seed++ {
				r := RunTold(changes(i, max(seed, *seedFlag)))
				if r.Failure != "" || r.Stats.Changes < *changesFlag {
					t.Fatalf("%s\nreplay: go test ./sim -run '^%s$' -seed=%d -seeds=1 -v\n%d changes, %s\n%s", r.Failure, t.Name(), r.Seed, r.Stats.Changes,
						r.Parameters, strings.Join(r.Trace, "\n"))
				}
				t.Logf("seed %d: %s", r.Seed, r.Stats)
			}
		})
	}
}
