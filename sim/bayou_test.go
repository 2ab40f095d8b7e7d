package sim

import (
	"slices"
	"testing"

	"github.com/gamutdb/gamut/bayou"
)

// TestBayouSeeds runs the protocol of causal keyspaces under every fault.
func TestBayouSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawBayou(seed, bayou.NoMutation) })
}

// TestSiblingSeeds runs causal groups that keep siblings.
func TestSiblingSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawSiblings(seed, bayou.NoMutation) })
}

// bayouSwarm draws the options of a run in which a bug shows.
type bayouSwarm func(seed uint64, planted bayou.Mutation) Options

func anyBayou(seed uint64, planted bayou.Mutation) Options {
	return Options{Seed: seed, Protocol: DrawBayou(seed, planted)}
}

// directedBayou is one group, eight clients and the faults that a bug needs, on top of a calm world.
func directedBayou(damage bool, needs func(*Faults)) bayouSwarm {
	return func(seed uint64, planted bayou.Mutation) Options {
		f := Calm()
		needs(f)
		return Options{Seed: seed, Protocol: Bayou(bayou.Options{Mutation: planted}, damage, false), Nodes: 3, Groups: 1, Clients: 8, Faults: f}
	}
}

// movingBayou is a world in which members come and go all the time.
func movingBayou(damage bool, needs func(*Faults)) bayouSwarm {
	return func(seed uint64, planted bayou.Mutation) Options {
		f := Calm()
		f.Change = 200 * Millisecond
		needs(f)
		o := bayou.Options{Mutation: planted, Interval: 50 * Millisecond, KeepWrites: 1, LogBytes: 2000}
		return Options{Seed: seed, Protocol: Bayou(o, damage, true), Nodes: 5, Groups: 1, Clients: 8, Faults: f}
	}
}

// bayouMutations says where each bug of package bayou shows, and which checkers must find it there.
var bayouMutations = map[bayou.Mutation]struct {
	by    []Kind
	swarm bayouSwarm
}{
	bayou.OfferUnsynced: {[]Kind{Invariant}, anyBayou},
	bayou.CopyVector:    {[]Kind{Invariant}, anyBayou},
	bayou.ForgetMerge:   {[]Kind{Invariant}, anyBayou},
	// Clients move between nodes whose links are cut.
	bayou.ReadsOnly: {[]Kind{Invariant}, directedBayou(false, func(f *Faults) {
		f.Cut, f.Partition = 300*Millisecond, 500*Millisecond
	})},
	bayou.TrustReports: {[]Kind{Staleness}, anyBayou},
	bayou.SmallestWins: {[]Kind{Liveness}, anyBayou},
	bayou.ReuseStamps:  {[]Kind{Invariant, Liveness}, anyBayou},
	// Whoever lacks what the log lacks is sent the state: no client can see it. Its script in package bayou shows it.
	bayou.TruncateEarly:  {nil, anyBayou},
	bayou.ReplaceState:   {[]Kind{Liveness}, anyBayou},
	bayou.IgnoreBase:     {[]Kind{Invariant}, anyBayou},
	bayou.ArrivalOrder:   {[]Kind{Liveness}, anyBayou},
	bayou.DropTombstones: {[]Kind{Liveness}, anyBayou},
	bayou.DropUnsettled:  {[]Kind{Liveness}, anyBayou},
	// What a node accepted alone is damaged, and whoever saw it comes back.
	bayou.IgnoreLost: {[]Kind{Invariant}, directedBayou(true, func(f *Faults) {
		f.Damage, f.Cut, f.Partition = 600*Millisecond, 300*Millisecond, 300*Millisecond
	})},
	bayou.LoseAdditions: {[]Kind{Liveness, Linearizability}, anyBayou},
	bayou.DropEntry:     {[]Kind{Invariant}, movingBayou(false, func(f *Faults) { f.Cut = 300 * Millisecond })},
	bayou.RetireEarly:   {[]Kind{Invariant, Liveness, Durability}, movingBayou(false, func(f *Faults) { f.Cut = 300 * Millisecond })},
	bayou.ServeUnjoined: {[]Kind{Invariant}, movingBayou(false, func(f *Faults) { f.Cut = 300 * Millisecond })},
	bayou.TakeUnseen:    {[]Kind{Invariant}, anyBayou},
	bayou.LateVector:    {[]Kind{Invariant}, anyBayou},
	bayou.ReviveParts:   {[]Kind{Invariant}, anyBayou},
	bayou.WidenContext: {[]Kind{Invariant}, func(seed uint64, planted bayou.Mutation) Options {
		return Options{Seed: seed, Protocol: DrawSiblings(seed, planted)}
	}},
	bayou.CoverMemory:  {[]Kind{Invariant, Liveness}, anyBayou},
	bayou.IgnoreFormer: {[]Kind{Invariant}, movingBayou(true, func(f *Faults) { f.Wipe, f.Cut = 500*Millisecond, 300*Millisecond })},
}

// TestBayouMutations plants each bug that package bayou knows; a checker that lets one pass is broken.
func TestBayouMutations(t *testing.T) {
	for _, m := range bayou.Mutations() {
		c := bayouMutations[m]
		if c.by == nil {
			continue
		}
		t.Run(m.String(), func(t *testing.T) {
			for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
				if r := Run(c.swarm(seed, m)); r.Failure != "" && slices.Contains(c.by, r.Kind) {
					t.Logf("seed %d: %.200s", seed, r.Failure)
					return
				}
			}
			t.Errorf("not found by %v within %d seeds", c.by, *canaryFlag)
		})
	}
}

// TestBayouSwarmsAreBearable runs what the bugs are looked for in without a bug.
func TestBayouSwarmsAreBearable(t *testing.T) {
	for _, m := range bayou.Mutations() {
		if bayouMutations[m].swarm == nil {
			continue // a script finds that bug, or it is one of the commit order
		}
		for seed := uint64(1); seed <= 10; seed++ {
			if r := Run(bayouMutations[m].swarm(seed, bayou.NoMutation)); r.Failure != "" {
				t.Errorf("swarm for %s, seed %d: %s", m, seed, r.Failure)
			}
		}
	}
}

// TestBayouSameSeedSameTrace: a run is a function of its seed.
func TestBayouSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := Run(anyBayou(seed, bayou.NoMutation)), Run(anyBayou(seed, bayou.NoMutation))
		if a.TraceHash != b.TraceHash || a.Stats != b.Stats {
			t.Errorf("seed %d: traces %x and %x", seed, a.TraceHash, b.TraceHash)
		}
	}
}

// TestAgesAreJudged: what replicas say of the age of their states is held against what clients were told.
func TestAgesAreJudged(t *testing.T) {
	judged := 0
	for seed := uint64(1); seed <= 5; seed++ {
		judged += Run(anyBayou(seed, bayou.NoMutation)).Hits["age"]
	}
	if judged < 100 {
		t.Errorf("ages were judged %d times in five runs", judged)
	}
}
