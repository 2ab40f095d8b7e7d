package sim

import (
	"testing"

	"github.com/gamutdb/gamut/twophase"
)

// TestTwophaseSeeds runs the protocol of atomic keyspaces under every fault that it promises to bear.
func TestTwophaseSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawTwophase(seed, twophase.NoMutation) })
}
