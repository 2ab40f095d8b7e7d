package sim

import (
	"flag"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/paxos"
)

var canaryFlag = flag.Int("canary", 400, "within how many seeds a planted bug must be found")

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

// elusive bugs need a soak to be found, if the faults of today find them at all; each is told when it is skipped.
var elusive = map[paxos.Mutation]string{
	paxos.CommitOlderBallot:  "needs four leaders in a row with the right losses between them",
	paxos.LeaseFromReceipt:   "needs an acknowledgement that is late by most of a lease",
	paxos.PromiseDuringLease: "is covered by the refusal to nominate, which the mutation leaves in place",
	paxos.CountEarlierRound:  "needs a read at a deposed leader without leases within one round trip",
	paxos.IgnoreTruncation:   "needs a cut log, a late sync and a crash in between",
}

// soak is how many seeds it takes until elusive bugs are asked for, too.
const soak = 10_000

// TestMutations plants each bug that package paxos knows.
func TestMutations(t *testing.T) {
	for _, m := range paxos.Mutations() {
		t.Run(m.String(), func(t *testing.T) {
			if why, ok := elusive[m]; ok && *canaryFlag < soak {
				t.Skipf("run with -canary=%d: %s", soak, why)
			}
			seeds, failure := caught(m, nil)
			if seeds == 0 {
				t.Fatalf("not found within %d seeds", *canaryFlag)
			}
			t.Logf("seed %d: %.300s", seeds, failure)
		})
	}
}
