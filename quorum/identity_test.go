package quorum

import (
	"testing"

	"github.com/gamutdb/gamut/core"
)

// TestWhatAnotherReplicaLeftIsThrownAway starts a replica of the group on a disk that brings back what another one, which lived there
// before, has written (rule C6).
func TestWhatAnotherReplicaLeftIsThrownAway(t *testing.T) {
	c := newCluster(3, Config{}, Options{})
	old := c.member(3)
	c.configure(old, Config{Epoch: 1, Members: []core.ReplicaID{1, 2, 3}, Next: []core.ReplicaID{1, 2, 4}})
	c.step(old, core.Requests{List: writesOf(1)})
	c.settle()
	if got := Writer(old.durable); got != 3 || len(old.state.pairs) == 0 {
		t.Fatalf("the log is said to be of replica %d, and holds %d pairs", got, len(old.state.pairs))
	}
	boot := func(durable []core.Record, state *memoryState) *member {
		m := &member{id: 7, rand: old.rand, state: state, flushed: newMemoryState(), batch: 1, durable: durable}
		c.members = append(c.members[:3:3], m)
		c.boot(m, core.Recover{Config: c.config.AppendTo(nil), Records: m.durable})
		return m
	}
	for name, left := range map[string]struct {
		log   []core.Record
		state *memoryState
	}{"log and state": {old.durable, old.state}, "log": {old.durable, newMemoryState()}, "state": {nil, old.state}} {
		m := boot(left.log, left.state)
		if _, held := m.state.Get([]byte("dk0")); held || !m.replica.blank() || !m.replica.Status().Suspect || m.replica.Suspect() {
			t.Errorf("%s: replica 7 begins with %d pairs, %+v", name, len(m.state.pairs), m.replica.Status())
		}
		// What it writes itself it finds again, behind what is still there of the other one.
		again := boot(append(left.log[:len(left.log):len(left.log)], m.open...), newMemoryState())
		if _, held := again.state.Get([]byte("dk0")); held || Writer(again.durable) != 7 || !again.replica.Status().Suspect {
			t.Errorf("%s: after a restart %d pairs, %+v", name, len(again.state.pairs), again.replica.Status())
		}
	}
}
