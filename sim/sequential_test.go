package sim

import (
	"testing"

	"github.com/gamutdb/gamut/paxos"
)

// TestSequentialSeeds runs sequential keyspaces of several shards under every fault, with clients that carry their tokens from
// node to node.
func TestSequentialSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawSequential(seed, paxos.NoMutation) })
}
