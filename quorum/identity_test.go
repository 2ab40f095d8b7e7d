package quorum

import (
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
)

// TestWhatAnotherReplicaLeftIsThrownAway starts a replica of the group on a disk that brings back what another one, which lived there
// before, has written (rule C7).
func TestWhatAnotherReplicaLeftIsThrownAway(t *testing.T) {
	c := newCluster(3, Config{}, Options{})
	old := c.Member(3)
	c.configure(old, Config{Epoch: 1, Members: []core.ReplicaID{1, 2, 3}, Next: []core.ReplicaID{1, 2, 4}})
	c.Step(old, core.Requests{List: writesOf(1)})
	c.Settle()
	if got := Writer(old.Durable); got != 3 || len(old.State.Pairs) == 0 {
		t.Fatalf("the log is said to be of replica %d, and holds %d pairs", got, len(old.State.Pairs))
	}
	boot := func(durable []core.Record, state *coretest.State) *member {
		m := coretest.NewMember[*Replica](7)
		m.State, m.Durable = state, durable
		c.Members = append(c.Members[:3:3], m)
		c.Boot(m, core.Recover{Config: c.Config, Records: m.Durable})
		return m
	}
	for name, left := range map[string]struct {
		log   []core.Record
		state *coretest.State
	}{"log and state": {old.Durable, old.State}, "log": {old.Durable, coretest.NewState()}, "state": {nil, old.State}} {
		m := boot(left.log, left.state)
		if _, held := m.State.Get([]byte("dk0")); held || !m.Replica.blank() || !m.Replica.Status().Suspect || m.Replica.Suspect() {
			t.Errorf("%s: replica 7 begins with %d pairs, %+v", name, len(m.State.Pairs), m.Replica.Status())
		}
		// What it writes itself it finds again, behind what is still there of the other one.
		again := boot(append(left.log[:len(left.log):len(left.log)], m.Open...), coretest.NewState())
		if _, held := again.State.Get([]byte("dk0")); held || Writer(again.Durable) != 7 || !again.Replica.Status().Suspect {
			t.Errorf("%s: after a restart %d pairs, %+v", name, len(again.State.Pairs), again.Replica.Status())
		}
	}
}
