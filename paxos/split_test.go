package paxos

import (
	"testing"

	"github.com/gamutdb/gamut/machine"
)

// TestBlankReplicasWouldElectOneOfThem plants the bug that rule P5 is about: two replicas of a child that know nothing are a majority.
func TestBlankReplicasWouldElectOneOfThem(t *testing.T) {
	for _, bug := range []machine.SplitMutation{machine.NoSplitMutation, machine.SplitBlankLeads} {
		c := emptyCluster(3, Config{Split: true}, Options{Split: bug})
		c.bear(1)
		c.Run("crash", []string{"1"})
		for range 3 {
			c.Run("tick", []string{"2", "1100ms"})
			c.Run("settle", nil)
		}
		leads := c.At("2").Replica.Status().Role == Leader
		if leads != (bug == machine.SplitBlankLeads) {
			t.Errorf("%v: a replica that knows nothing leads: %v", bug, leads)
		}
	}
}
