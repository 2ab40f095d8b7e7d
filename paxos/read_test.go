package paxos

import (
	"testing"

	"github.com/gamutdb/gamut/core"
)

// TestOnlyTheOneVoterItselfReadsForEver: a leader that found in the best log that another replica is the only voter from now
// on reads under that one's grants, like every other leader, until it has handed over.
func TestOnlyTheOneVoterItselfReadsForEver(t *testing.T) {
	const forEver = core.Time(1<<63 - 1)
	for _, c := range []struct {
		config  Config
		endless bool
	}{
		{Config{Voters: []core.ReplicaID{1}}, true},
		{Config{Voters: []core.ReplicaID{1}, Learners: []core.ReplicaID{2}}, true},
		{Config{Voters: []core.ReplicaID{2}}, false},
		{Config{Voters: []core.ReplicaID{2}, Learners: []core.ReplicaID{1}}, false},
		{Config{Voters: []core.ReplicaID{2}, Outgoing: []core.ReplicaID{1}}, false},
		{Config{Voters: []core.ReplicaID{1, 2}}, false},
	} {
		c.config.LeaseMillis = 500
		r := New(1, Options{})
		r.role, r.config, r.lead.leaseFrom = Leader, c.config, never
		if until := r.ReadUntil(); until == forEver != c.endless {
			t.Errorf("replica 1 leads %+v and reads until %d", c.config, until)
		}
	}
}
