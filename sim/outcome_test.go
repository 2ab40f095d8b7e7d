package sim

import (
	"testing"

	"github.com/gamutdb/gamut/paxos"
)

// TestOutcomesAreAskedFor: clients are told both things, or the checkers that hold the cluster to it would judge nothing.
func TestOutcomesAreAskedFor(t *testing.T) {
	for name, draw := range map[string]func(seed uint64) Protocol{
		"paxos":    func(seed uint64) Protocol { return DrawPaxos(seed, paxos.NoMutation) },
		"twophase": func(seed uint64) Protocol { return DrawTwophase(seed, 0) },
	} {
		var total Stats
		for seed := uint64(1); seed <= 40; seed++ {
			r := Run(Options{Seed: seed, Protocol: draw(seed)})
			if r.Failure != "" {
				t.Fatalf("%s, seed %d: %s", name, seed, r.Failure)
			}
			total.add(r.Stats)
		}
		if total.ToldDone == 0 || total.ToldNotDone == 0 {
			t.Errorf("%s: %d writes of unknown outcome were told to be done, %d not", name, total.ToldDone, total.ToldNotDone)
		}
		t.Logf("%s: %d done, %d not done", name, total.ToldDone, total.ToldNotDone)
	}
}
