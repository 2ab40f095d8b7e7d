package sim

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/values"
)

// drawValues takes the protocols by turns.
func drawValues(seed uint64, planted values.Mutation) Protocol {
	return DrawValues(seed, []kv.Consistency{kv.Linearizable, kv.Quorum, kv.Causal}[seed%3], planted)
}

// TestValuesSeeds keeps the values of replicas in stores outside, one of which evicts, starts empty, gives wrong bytes, is away or
// full, beside all other faults: what clients see must not differ from values that lie inside, and nothing gets lost.
func TestValuesSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return drawValues(seed, 0) })
}

// TestValuesStrike shows that the stores do lose values, which are had from others, and that all of it hangs on the seed alone.
func TestValuesStrike(t *testing.T) {
	hits := map[string]int{}
	for seed := uint64(1); seed <= 5; seed++ {
		o := Options{Seed: seed, Protocol: drawValues(seed, 0)}
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

// TestValuesCanary serves what a store gives without a look at the hash: the referee must see it.
func TestValuesCanary(t *testing.T) {
	for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
		p := drawValues(seed, values.TrustStore)
		p.Values.Strike, p.Values.Pump, p.Values.Inside = 10*Millisecond, 10*Millisecond, Millisecond
		if r := Run(Options{Seed: seed, Protocol: p}); r.Failure != "" {
			t.Logf("seed %d: %.300s", seed, r.Failure)
			return
		}
	}
	t.Fatalf("not found within %d seeds", *canaryFlag)
}
