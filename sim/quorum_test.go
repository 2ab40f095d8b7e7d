package sim

import (
	"testing"

	"github.com/gamutdb/gamut/quorum"
)

// TestQuorumSeeds runs the leaderless protocol under every fault that it promises to bear.
func TestQuorumSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawQuorum(seed, quorum.NoMutation, false) })
}

// TestAtomicSeeds runs the same with linearizable gets, puts and deletions.
func TestAtomicSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawQuorum(seed, quorum.NoMutation, true) })
}

// quorumSwarm draws the options of a run of the leaderless protocol in which a bug shows.
type quorumSwarm func(seed uint64, planted quorum.Mutation) Options

func anyQuorum(seed uint64, planted quorum.Mutation) Options {
	return Options{Seed: seed, Protocol: DrawQuorum(seed, planted, false)}
}

func anyAtomic(seed uint64, planted quorum.Mutation) Options {
	return Options{Seed: seed, Protocol: DrawQuorum(seed, planted, true)}
}

func TestExplore(t *testing.T) {
	for _, m := range quorum.Mutations() {
		for _, s := range []quorumSwarm{anyQuorum, anyAtomic} {
			found := 0
			for seed := uint64(1); seed <= 150; seed++ {
				if r := Run(s(seed, m)); r.Failure != "" {
					t.Logf("%s: seed %d: %.220s", m, seed, r.Failure)
					found = 1
					break
				}
			}
			if found == 0 {
				t.Logf("%s: NOT FOUND", m)
			}
		}
	}
}
