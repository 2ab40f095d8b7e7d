package workload

import (
	"strconv"
	"testing"
	"time"

	"github.com/gamutdb/gamut/referee"
)

// BenchmarkCheckers tells how many operations a second each checker judges: on 10,000, and on 100,000 where a checker needs no search.
func BenchmarkCheckers(b *testing.B) {
	for _, c := range []struct{ consistency, workload string }{
		{"linearizable", "register"}, {"linearizable", "list-append"}, {"linearizable", "bank"}, {"sequential", "sessions"},
		{"causal", "sessions"}, {"causal", "register"}, {"quorum", "register"}, {"atomic", "multiset"},
	} {
		for _, n := range []int{10_000, 100_000} {
			d, _ := Named(c.workload)
			var r *referee.Run
			for _, name := range d.Judges(c.consistency) {
				check, _ := referee.CheckerNamed(name)
				b.Run(c.consistency+"/"+c.workload+"/"+name+"/"+strconv.Itoa(n), func(b *testing.B) {
					if r == nil {
						r = play(1, d, c.consistency, stores[c.consistency](""), n)
					}
					r.Search = 5 * time.Second
					b.ResetTimer()
					for range b.N {
						if v := check.Check(r); v.Decision == referee.Broken {
							b.Fatal(v)
						} else if !v.OK() {
							b.Skip(v.Why)
						}
					}
					b.ReportMetric(float64(len(r.History)*b.N)/b.Elapsed().Seconds(), "op/s")
				})
			}
		}
	}
}
