package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/twophase"
)

// TestAtomicShardsMoveWhileTheyServe moves the replicas of atomic shards, one at a time and all at once, and back to nodes that had
// one before, while clients write and read at every node: no acknowledged write is lost, and no read goes back.
func TestAtomicShardsMoveWhileTheyServe(t *testing.T) {
	c := newCluster(t, 5)
	c.start(1, 2, 3, 4, 5)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "all", Consistency: kv.Atomic, Shards: 2, Replicas: 3})
	c.hasKeyspace("all")
	for i := range 50 {
		mustSet(t, c.nodes[1], "all", fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	stop := c.climb("all", true)
	for round, to := range [][]uint32{{2, 3, 4}, {1, 4, 5}, {1, 2, 3, 4, 5}, {1, 2, 3}} {
		for shard := range 2 {
			c.move("all", shard, to)
		}
		if round == 1 {
			c.close(4)
			c.start(4)
		}
	}
	stop()
	for _, n := range c.nodes {
		for i := range 50 {
			mustGet(t, n, "all", fmt.Sprint("k", i), fmt.Sprint("v", i))
		}
	}
}

// TestAViewNamesReplicasOfItsShard: a wish of a replica that goes by an older word is refused, and a view that was read before the
// shard's record changed is not written.
func TestAViewNamesReplicasOfItsShard(t *testing.T) {
	c, _ := newAtomic(t, kv.CreateKeyspace{})
	n, ctx := c.nodes[1], context.Background()
	sh := n.table.Load().byName["config"].shards[0]
	told := n.table.Load().views[sh.group].record.Config
	epoch := func() uint64 { return n.table.Load().views[sh.group].members.Epoch }
	before := epoch()
	for name, change := range map[string]func(*twophase.Config){
		"one that the shard does not have joins": func(w *twophase.Config) { w.Joiners = append(w.Joiners, 9) },
		"one that is to stay goes":               func(w *twophase.Config) { w.Members = []core.ReplicaID{w.Coordinator} },
	} {
		wanted, err := twophase.DecodeConfig(told)
		if err != nil {
			t.Fatal(err)
		}
		wanted.Epoch++
		change(&wanted)
		if over, err := n.changeView(ctx, sh.group, host.Wish{Told: told, Wanted: wanted.AppendTo(nil)}); !over || err != nil || epoch() != before {
			t.Errorf("%s: over %t, %v, epoch %d after %d", name, over, err, epoch(), before)
		}
	}
	read, err := n.readView(ctx, sh.group)
	if err != nil {
		t.Fatal(err)
	}
	err = n.alter(ctx, "config", func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
		return d.Move(0, []core.NodeID{1, 2}, d.FirstConfig(n.identity.Cluster, 0, n.config.protocolOptions()))
	})
	if err != nil {
		t.Fatal(err)
	}
	if over, err := n.writeView(ctx, read, read.record, nil); over || err != nil {
		t.Errorf("a view that was read before its shard changed was written: %t, %v", over, err)
	}
	c.members(1, 2)
}
