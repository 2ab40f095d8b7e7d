package sim

import (
	"slices"
	"testing"

	"github.com/gamutdb/gamut/bayou"
)

// TestOrderedSeeds runs causal groups with a commit order and their companions under every fault.
func TestOrderedSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawOrdered(seed, bayou.NoMutation) })
}

// orderedMutations says which checkers must find the bugs of the commit order.
var orderedMutations = map[bayou.Mutation][]Kind{
	bayou.CommitByArrival: {Invariant, Liveness},
	bayou.CommitTwice:     {Invariant},
	bayou.SkipRedo:        {Invariant, Liveness},
	bayou.ExecuteLast:     {Invariant, Liveness},
	bayou.MergeDiffers:    {Invariant, Liveness},
	bayou.ReplyTentative:  {Invariant},
}

// TestOrderedMutations plants each of them; a checker that lets one pass is broken.
func TestOrderedMutations(t *testing.T) {
	for _, m := range bayou.Mutations() {
		by := orderedMutations[m]
		if by == nil {
			continue
		}
		t.Run(m.String(), func(t *testing.T) {
			for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
				r := Run(Options{Seed: seed, Protocol: DrawOrdered(seed, m)})
				if r.Failure != "" && slices.Contains(by, r.Kind) {
					t.Logf("seed %d: %.200s", seed, r.Failure)
					return
				}
			}
			t.Errorf("not found by %v within %d seeds", by, *canaryFlag)
		})
	}
}

// TestOrderedSameSeedSameTrace: a run is a function of its seed.
func TestOrderedSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		run := func() Result { return Run(Options{Seed: seed, Protocol: DrawOrdered(seed, bayou.NoMutation)}) }
		a, b := run(), run()
		if a.TraceHash != b.TraceHash || a.Stats != b.Stats {
			t.Errorf("seed %d: traces %x and %x", seed, a.TraceHash, b.TraceHash)
		}
	}
}
