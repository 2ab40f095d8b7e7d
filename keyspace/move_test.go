package keyspace

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/quorum"
)

func TestAMoveGivesNewIdsAndForgetsOldMembers(t *testing.T) {
	d, _, err := Plan(kv.CreateKeyspace{Name: "a", Shards: 2}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	before := d.Encode()
	founders := d.FirstConfig([16]byte{1}, 0, Options{LeaseMillis: 500})
	there := d.Shards[0].Replicas[0].Node
	began, err := d.Move(0, []core.NodeID{there, 7, 8}, founders)
	if err != nil {
		t.Fatal(err)
	}
	s := began.Shards[0]
	if len(s.Replicas) != 5 || !slices.Equal(s.Target, []core.ReplicaID{1, 4, 5}) || s.Epoch != 1 {
		t.Errorf("the move begins with %+v", s)
	}
	if !slices.Equal(began.FirstConfig([16]byte{2}, 0, Options{}), founders) {
		t.Error("new members are not started with what the first were")
	}
	if _, err := began.Move(0, []core.NodeID{1}, nil); !isCode(err, kv.Busy) {
		t.Errorf("a second move at once: %v", err)
	}
	over, err := DecodeDescriptor(began.Moved(0).Encode())
	if err != nil {
		t.Fatal(err)
	}
	want := []Member{{1, there}, {4, 7}, {5, 8}}
	if diff := cmp.Diff(want, over.Shards[0].Replicas); diff != "" || over.Shards[0].Target != nil || over.Shards[0].Epoch != 2 {
		t.Errorf("the move ends with %+v %s", over.Shards[0], diff)
	}
	// Who comes back is somebody new.
	back, err := over.Move(0, []core.NodeID{7, 20, 2 - there%2}, nil)
	if err != nil || !slices.Equal(back.Shards[0].Target, []core.ReplicaID{4, 6, 7}) {
		t.Errorf("back with %+v, %v", back.Shards[0], err)
	}
	if !slices.Equal(d.Encode(), before) {
		t.Error("the move changed the descriptor that it began with")
	}
}

func TestAMoveIsRefused(t *testing.T) {
	d, _, err := Plan(kv.CreateKeyspace{Name: "a"}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	for _, nodes := range [][]core.NodeID{nil, {1, 2, 1}, {1, 2, 3, 4, 5, 6}} {
		if _, err := d.Move(0, nodes, nil); !isCode(err, kv.Invalid) {
			t.Errorf("%v: %v", nodes, err)
		}
	}
}

func isCode(err error, code kv.Code) bool {
	var e *kv.Error
	return errors.As(err, &e) && e.Code == code
}

func TestOnlyWhoWasAMemberHasLeft(t *testing.T) {
	d, _, err := Plan(kv.CreateKeyspace{Name: "a"}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	if s := d.Shards[0]; s.Left(1) || s.Left(3) || s.Left(4) {
		t.Errorf("%+v", s)
	}
	began, err := d.Move(0, []core.NodeID{d.Shards[0].Replicas[0].Node, 7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := began.Shards[0]; s.Left(2) || s.Left(4) || s.Left(5) {
		t.Errorf("while it moves: %+v", s)
	}
	if s := began.Moved(0).Shards[0]; s.Left(1) || !s.Left(2) || !s.Left(3) || s.Left(4) || s.Left(5) {
		t.Errorf("then: %+v", s)
	}
}

func membersOf(t *testing.T, d *Descriptor) quorum.Config {
	t.Helper()
	again, err := DecodeDescriptor(d.Encode())
	if err != nil {
		t.Fatal(err)
	}
	c, err := quorum.DecodeConfig(again.Members(0))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheCatalogMovesAQuorumShardStepByStep(t *testing.T) {
	d, _, err := Plan(kv.CreateKeyspace{Name: "a", Consistency: kv.Quorum, Atomic: true}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	founders := d.FirstConfig([16]byte{1}, 0, Options{})
	stay := d.Shards[0].Replicas[0].Node
	check := func(d *Descriptor, want quorum.Config) {
		t.Helper()
		want.Atomic = true
		if diff := cmp.Diff(want, membersOf(t, d)); diff != "" {
			t.Error(diff)
		}
	}
	old := []core.ReplicaID{1, 2, 3}
	check(d, quorum.Config{Members: old})
	began, err := d.Move(0, []core.NodeID{stay, 7, 8}, founders)
	if err != nil {
		t.Fatal(err)
	}
	check(began, quorum.Config{Epoch: 1, Members: old, Next: []core.ReplicaID{1, 4, 5}})
	if !slices.Equal(began.FirstConfig([16]byte{1}, 0, Options{}), founders) {
		t.Error("who joins is not started with what the first were")
	}
	filled := began.Advanced(0)
	check(filled, quorum.Config{Epoch: 2, Members: old, Next: []core.ReplicaID{1, 4, 5}, Both: true})
	check(filled.Advanced(0), quorum.Config{Epoch: 3, Members: []core.ReplicaID{1, 4, 5}})
	// Until the last step it can be turned elsewhere: who was to join goes, and its id with it.
	elsewhere, err := filled.Halted(0).Move(0, []core.NodeID{stay, 8, 9}, founders)
	if err != nil {
		t.Fatal(err)
	}
	check(elsewhere, quorum.Config{Epoch: 3, Members: old, Next: []core.ReplicaID{1, 6, 7}})
	if s := elsewhere.Shards[0]; !s.Left(4) || !s.Left(5) || s.Left(6) || s.On(7) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAQuorumShardHasNoMoreReplicasThanItsMessagesCount(t *testing.T) {
	d, _, err := Plan(kv.CreateKeyspace{Name: "a", Consistency: kv.Quorum, Replicas: 5}, []core.NodeID{1, 2, 3, 4, 5}, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Move(0, []core.NodeID{1, 6, 7, 8, 9}, nil); !isCode(err, kv.Busy) {
		t.Errorf("nine at a time: %v", err)
	}
	if _, err := d.Move(0, []core.NodeID{1, 2, 6, 7, 8}, nil); err != nil {
		t.Errorf("eight at a time: %v", err)
	}
}

// TestReplicasAreGivenUpWhereNobodyCanWaitForThem removes the nodes of a shard's replicas one after the other while it is being moved
// away from them.
func TestReplicasAreGivenUpWhereNobodyCanWaitForThem(t *testing.T) {
	for _, tt := range []struct {
		consistency kv.Consistency
		// gone are how many of three nodes an operator removed, lost how many more leave with their disks lost.
		gone, lost int
		left       []core.ReplicaID
	}{
		{kv.Quorum, 0, 0, []core.ReplicaID{1, 2, 3}},
		{kv.Quorum, 1, 0, []core.ReplicaID{1, 2, 3}}, // a majority has what it took
		{kv.Quorum, 1, 1, []core.ReplicaID{1, 2, 3}}, // it may still come back
		{kv.Quorum, 2, 0, []core.ReplicaID{1}},
		{kv.Causal, 1, 1, []core.ReplicaID{1}},
		{kv.Linearizable, 2, 0, []core.ReplicaID{1, 2, 3}}, // its own log says who is left
	} {
		d, _, err := Plan(kv.CreateKeyspace{Name: "a", Consistency: tt.consistency}, three, FirstNext())
		if err != nil {
			t.Fatal(err)
		}
		c := NewCatalog()
		before := slices.Clone(d.Shards[0].Replicas)
		for i, m := range before[1:] {
			switch {
			case i < tt.gone:
				c.Nodes[m.Node] = Node{State: NodeRemoved}
			case i < tt.gone+tt.lost:
				c.Nodes[m.Node] = Node{State: NodeLeaving, Lost: true}
			}
		}
		for _, m := range before {
			if c.GivenUp(d, 0, m) {
				t.Errorf("%s: replica %d is given up before anything takes its place", tt.consistency, m.Replica)
			}
		}
		if d, err = d.Move(0, []core.NodeID{before[0].Node, 7, 8}, nil); err != nil {
			t.Fatal(err)
		}
		for range before {
			for _, m := range before {
				if c.GivenUp(d, 0, m) {
					d = d.Lose(0, m.Node)
				}
			}
		}
		var left []core.ReplicaID
		for _, m := range d.Shards[0].without(d.Shards[0].Target[1:]) {
			left = append(left, m.Replica)
		}
		if !slices.Equal(left, tt.left) {
			t.Errorf("%s, %d removed, %d lost: %v are left of 1, 2 and 3, not %v", tt.consistency, tt.gone, tt.lost, left, tt.left)
		}
		if len(d.Shards[0].Ends()) != 3 {
			t.Errorf("%s: the shard ends with %v", tt.consistency, d.Shards[0].Ends())
		}
	}
}
