package sim

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/values"
)

// TestValuesSeeds keeps the values of replicas in stores outside, one of which evicts, starts empty, gives wrong bytes, is away or
// full, beside all other faults: what clients see must not differ from values that lie inside, and nothing gets lost.
func TestValuesSeeds(t *testing.T) {
	for _, c := range []kv.Consistency{kv.Linearizable, kv.Quorum, kv.Causal} {
		t.Run(string(c), func(t *testing.T) {
			runSeeds(t, func(seed uint64) Protocol { return DrawValues(seed, c, 0) })
		})
	}
}

// TestValuesStrike shows that the stores do lose values, which are had from others, and that all of it hangs on the seed alone.
func TestValuesStrike(t *testing.T) {
	hits := map[string]int{}
	for seed := uint64(1); seed <= 5; seed++ {
		o := Options{Seed: seed, Protocol: DrawValues(seed, kv.Linearizable, 0)}
		a, b := Run(o), Run(o)
		if a.TraceHash != b.TraceHash || a.Stats != b.Stats {
			t.Errorf("seed %d: traces %x and %x", seed, a.TraceHash, b.TraceHash)
		}
		for what, n := range a.Hits {
			hits[what] += n
		}
	}
	if hits["store"] == 0 || hits["refetch"] == 0 {
		t.Errorf("%d strikes on stores, %d values refetched", hits["store"], hits["refetch"])
	}
	t.Logf("%d strikes on stores, %d values refetched", hits["store"], hits["refetch"])
}

// TestValuesCanaries serves what a store gives without a look at the hash, and removes values without a look at the state. The
// referee must see the one, and readers the other.
func TestValuesCanaries(t *testing.T) {
	for planted, name := range map[values.Mutation]string{values.TrustStore: "trust the store", values.RemoveBlindly: "remove blindly"} {
		for _, c := range []kv.Consistency{kv.Linearizable, kv.Quorum} {
			t.Run(name+" "+string(c), func(t *testing.T) {
				for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
					if r := Run(Options{Seed: seed, Protocol: DrawValues(seed, c, planted)}); r.Failure != "" {
						t.Logf("seed %d: %.300s", seed, r.Failure)
						return
					}
				}
				t.Fatalf("not found within %d seeds", *canaryFlag)
			})
		}
	}
}
