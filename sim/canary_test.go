package sim

import (
	"flag"
	"testing"

	"github.com/gamutdb/gamut/paxos"
)

var canaryFlag = flag.Int("canary", 150, "within how many seeds a planted bug must be found")

// caught runs seeds until one fails, and tells how many it took; 0: none did.
func caught(o Options) (seeds int, failure string) {
	for seed := range *canaryFlag {
		o.Seed = uint64(seed + 1)
		if r := Run(o); r.Failure != "" {
			return seed + 1, r.Failure
		}
	}
	return 0, ""
}

// TestCanaries plants each bug; a checker that lets one pass is broken.
func TestCanaries(t *testing.T) {
	for _, b := range Bugs() {
		t.Run(b.String(), func(t *testing.T) {
			seeds, failure := caught(Options{Protocol: Paxos(paxos.Options{}, 500*Millisecond), Without: []string{"damage"}, Mutate: b.Plant})
			if seeds == 0 {
				t.Fatalf("not found within %d seeds", *canaryFlag)
			}
			t.Logf("seed %d: %.300s", seeds, failure)
		})
	}
}

// TestMutations plants each bug that package paxos knows.
func TestMutations(t *testing.T) {
	for _, m := range paxos.Mutations() {
		t.Run(m.String(), func(t *testing.T) {
			seeds, failure := caught(Options{Protocol: Paxos(paxos.Options{Mutation: m}, 500*Millisecond), Without: []string{"damage"}})
			if seeds == 0 {
				t.Fatalf("not found within %d seeds", *canaryFlag)
			}
			t.Logf("seed %d: %.300s", seeds, failure)
		})
	}
}
