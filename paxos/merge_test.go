package paxos

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/machine"
)

// TestWhoLagsBehindAMergeIsNotRead plants the bug that rule G8 is about: a replica of a group whose bounds were never divided shows keys as
// missing which it has not absorbed.
func TestWhoLagsBehindAMergeIsNotRead(t *testing.T) {
	for _, bug := range []machine.MergeMutation{machine.NoMergeMutation, machine.MergeReadsBehind} {
		c := emptyCluster(3, Config{LeaseMillis: 1000}, Options{Merge: bug, GroupTime: true, Binding: 7})
		c.add(len(c.voters))
		for _, statement := range []string{"tick 1 1100ms", "settle", "propose 1 set a mine", "settle", "tick 1 100ms", "settle", "cut 3",
			"absorb 1 n theirs from m at 90000", "settle", "owned 3 since 3"} {
			words := strings.Fields(statement)
			c.Run(words[0], words[1:])
		}
		if shown := c.At("3").Replica.SafeTime() != 0; shown != (bug == machine.MergeReadsBehind) {
			t.Errorf("%v: a replica that lacks what was absorbed is read: %v", bug, shown)
		}
	}
}
