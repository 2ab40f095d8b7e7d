package sim

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// BenchmarkSeeds tells how many steps, which are the events of a world, and how many seeds one core runs, tracing off.
func BenchmarkSeeds(b *testing.B) {
	for _, c := range []kv.Consistency{kv.Linearizable, kv.Sequential, kv.Quorum, kv.Causal, kv.Eventual} {
		b.Run(string(c), func(b *testing.B) {
			steps := 0
			for i := range b.N {
				p, err := Draw(c, false, uint64(i+1))
				if err != nil {
					b.Fatal(err)
				}
				r := Run(Options{Seed: uint64(i + 1), Protocol: p})
				if r.Failure != "" {
					b.Fatal(r.Failure)
				}
				steps += r.Stats.Events
			}
			b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
			b.ReportMetric(60*float64(b.N)/b.Elapsed().Seconds(), "seeds/min")
		})
	}
}
