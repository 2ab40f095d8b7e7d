package sim

import (
	"flag"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/paxos"
)

var canaryFlag = flag.Int("canary", 150, "within how many seeds a planted bug must be found")

// caught runs seeds until one fails, and tells how many it took; 0: none did.
func caught(mutation paxos.Mutation, mutate func(core.Replica) core.Replica) (seeds int, failure string) {
	for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
		r := Run(Options{Seed: seed, Protocol: DrawPaxos(seed, mutation), Mutate: mutate})
		if r.Failure != "" {
			return int(seed), r.Failure
		}
	}
	return 0, ""
}

// TestCanaries plants each bug; a checker that lets one pass is broken.
func TestCanaries(t *testing.T) {
	for _, b := range Bugs() {
		t.Run(b.String(), func(t *testing.T) {
			seeds, failure := caught(paxos.NoMutation, b.Plant)
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
			seeds, failure := caught(m, nil)
			if seeds == 0 {
				t.Fatalf("not found within %d seeds", *canaryFlag)
			}
			t.Logf("seed %d: %.300s", seeds, failure)
		})
	}
}
