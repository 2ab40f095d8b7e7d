package node

// What a split puts at another place, or in other hands, while something else is under way.

import (
	"context"
	"testing"
	"time"

	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// TestMoveEndsItsOwnShard: while the end of a move is noted in the catalog, a split puts its shard at another place, and one of the
// same epoch at its own.
func TestMoveEndsItsOwnShard(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered"})
	c.split(1, "o", "m")
	moved := c.nodes[1].table.Load().byName["o"].shards[1]
	c.split(1, "o", "c")
	var at keyspace.Shard
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := c.nodes[1].advanceMove(ctx, moved, func(d *keyspace.Descriptor, shard int) *keyspace.Descriptor {
		at = d.Shards[shard]
		return d
	})
	if err != nil || at.Group != moved.group {
		t.Errorf("the move of group %d ends that of group %d, %v", moved.group, at.Group, err)
	}
}

// TestSealIsTakenOffAfterASplit: a drop that finds the keyspace divided leaves all of its shards open to transactions, wherever they are now.
func TestSealIsTakenOffAfterASplit(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered", Splits: []string{"m"}})
	c.hasKeyspace("o")
	n := c.nodes[1]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d := n.table.Load().byName["o"].descriptor
	s := seal{node: n, keyspace: d.Keyspace(), descriptor: d, id: n.newTxID(), on: true}
	if err := s.putOn(ctx); err != nil {
		t.Fatal(err)
	}
	c.split(1, "o", "c")
	s.takeOff()
	ks := n.Keyspace("o")
	r := n.Transact(&kv.Txn{Then: []kv.TxnOp{addTo(ks, "a", 1), addTo(ks, "d", 1), addTo(ks, "z", 1)}}, time.Now().Add(patience))
	if r.Code != kv.OK {
		t.Errorf("a transaction over all shards: %v %s", r.Code, r.Detail)
	}
}

// TestNoReplicaBeginsWhileItsStateIsMade: also when what it is made of is gone from the parent's state, which a snapshot has replaced.
func TestNoReplicaBeginsWhileItsStateIsMade(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered"})
	c.split(1, "o", "m")
	n := c.nodes[1]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begins := func(under bool) (may bool) {
		err := n.onLoop(ctx, func(host.Now) {
			t := n.table.Load()
			of := t.byName["o"].shards[1]
			// An older child of the same keys, for which nothing is laid aside any more.
			const older = 1
			child := &shard{space: of.space, index: of.index, parent: of.parent, group: older, state: n.disk.Group(older)}
			if under {
				n.births.under[child.group] = true
				defer delete(n.births.under, child.group)
			}
			may = n.mayBegin(t, child)
		})
		if err != nil {
			t.Fatal(err)
		}
		return may
	}
	if begins(true) || !begins(false) {
		t.Error("a replica begins while its state is being made, or never")
	}
}

// TestWhatWasMadeForNobodyIsDropped: the keyspace goes after the state of a child's replica was made, and before that begins.
func TestWhatWasMadeForNobodyIsDropped(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered"})
	n := c.nodes[1]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	group := n.table.Load().byName["o"].shards[0].group
	if err := n.DropKeyspace(ctx, "o", false); err != nil {
		t.Fatal(err)
	}
	if err := n.onLoop(ctx, func(now host.Now) {
		n.births.ready[group] = true
		n.reconcile(now)
		if n.births.ready[group] || !n.dropping[group] {
			t.Error("it stays")
		}
	}); err != nil {
		t.Fatal(err)
	}
}
