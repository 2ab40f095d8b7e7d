package node

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// merge merges the shard that begins at a key with the one before it. All nodes must know of merges first.
func (c *cluster) merge(at core.NodeID, name, key string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[at].MergeShards(ctx, name, []byte(key)); err != nil {
		c.t.Fatalf("merge %s at %s: %v", name, key, err)
	}
}

// TestMergeUnderLoad merges shards and splits them again while clients count at all nodes: no request fails, no increment is lost or
// counted twice, no scan skips a key or shows one twice.
func TestMergeUnderLoad(t *testing.T) {
	for _, consistency := range []kv.Consistency{kv.Linearizable, kv.Sequential} {
		t.Run(string(consistency), func(t *testing.T) { mergeUnderLoad(t, consistency) })
	}
}

func mergeUnderLoad(t *testing.T, consistency kv.Consistency) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Consistency: consistency, Partitioner: "ordered", Splits: []string{"k10", "k20", "k30"}})
	counts, judge := c.countInOrder(t)
	for i, step := range []struct {
		key   string
		merge bool
	}{{"k20", true}, {"k30", true}, {"k30", false}, {"k10", true}, {"k25", false}, {"k30", true}} {
		awaitMore(t, counts, 100)
		if step.merge {
			c.merge(core.NodeID(i%3+1), "o", step.key)
		} else {
			c.split(core.NodeID(i%3+1), "o", step.key)
		}
	}
	awaitMore(t, counts, 100)
	judge()
	if got := c.nodes[1].Keyspace("o").Shards; got != 2 {
		t.Errorf("%d shards", got)
	}
	c.retiredGone("o")
}

// retiredGone waits until the groups that have retired are gone, state and all.
func (c *cluster) retiredGone(name string) {
	for id, n := range c.nodes {
		eventually(c.t, fmt.Sprintf("node %d has dropped what has retired", id), func() error {
			t := n.table.Load()
			d := t.byName[name].descriptor
			if len(d.Retired) > 0 {
				return fmt.Errorf("%d groups have retired", len(d.Retired))
			}
			for _, g := range n.disk.GroupsWithState() {
				if t.groups[g] == nil && g != keyspace.SystemGroup {
					return fmt.Errorf("a state of group %d", g)
				}
			}
			return nil
		})
	}
}

// TestMergeGoesOnAfterRestarts: nodes that end at any moment of a merge go on with it, and hold all that was written.
func TestMergeGoesOnAfterRestarts(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered", Splits: []string{"k050", "k100", "k150"}})
	for i := range 200 {
		submit(c.nodes[1], "o", set(fmt.Sprintf("k%03d", i), fmt.Sprint(i)))
	}
	for round, at := range []string{"k100", "k050", "k150"} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		eventually(t, "the merge begins", func() error {
			_, err := c.nodes[1].beginMerge(ctx, "o", []byte(at))
			return err
		})
		cancel()
		time.Sleep(time.Duration(round) * 10 * time.Millisecond)
		id := core.NodeID(round%3 + 1)
		c.close(id)
		c.start(id)
		c.ready()
		eventually(t, "the merge is over", func() error {
			if n := c.nodes[1].Keyspace("o").Shards; n != 3-round {
				return fmt.Errorf("%d shards", n)
			}
			return nil
		})
	}
	for _, id := range []core.NodeID{1, 2, 3} {
		for i := range 200 {
			if r := submit(c.nodes[id], "o", get(fmt.Sprintf("k%03d", i)))[0]; string(r.Value) != fmt.Sprint(i) {
				t.Fatalf("node %d: k%03d is %+v", id, i, r)
			}
		}
	}
	c.retiredGone("o")
}

func TestMergesThatCannotBeAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered", Splits: []string{"m"}})
	c.create(1, kv.CreateKeyspace{Name: "h", Shards: 2})
	c.create(1, kv.CreateKeyspace{Name: "q", Consistency: kv.Quorum, Partitioner: "ordered", Splits: []string{"m"}})
	eventually(t, "the node knows of merges", func() error {
		if n := c.nodes[1].table.Load().catalog.Level; n < keyspace.LevelMerges {
			return fmt.Errorf("feature level %d", n)
		}
		return nil
	})
	for _, s := range []struct {
		name, key string
		want      kv.Code
	}{{"o", "x", kv.Invalid}, {"h", "m", kv.Unsupported}, {"q", "m", kv.Unsupported}, {"nobody", "m", kv.NoKeyspace}} {
		err := c.nodes[1].MergeShards(context.Background(), s.name, []byte(s.key))
		var e *kv.Error
		if !errors.As(err, &e) || e.Code != s.want || e.Detail == "" {
			t.Errorf("%s at %q: %v", s.name, s.key, err)
		}
	}
}
