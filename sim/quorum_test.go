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
