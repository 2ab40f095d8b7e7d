package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// TestColdForHowLong is a table of what two neighbours have executed, look by look, and after which look they are merged.
func TestColdForHowLong(t *testing.T) {
	for _, c := range []struct {
		name        string
		left, right []uint64
		want        int
	}{
		{"nothing is done", []uint64{5, 5, 5, 5}, []uint64{900, 900, 900, 900}, 3},
		{"a little is done", []uint64{5, 8, 11, 14}, []uint64{900, 909, 918, 927}, 3},
		{"the left one is busy", []uint64{5, 25, 25, 25}, []uint64{900, 900, 900, 900}, -1},
		{"the right one is busy in between", []uint64{5, 5, 5, 5, 5, 5}, []uint64{9, 9, 99, 99, 99, 99}, 5},
		{"the node has started again", []uint64{5, 5, 1, 1, 1, 1}, []uint64{9, 9, 9, 9, 9, 9}, 5},
	} {
		var cold coldness
		got := -1
		for i := range c.left {
			if cold.note(7, c.left[i], c.right[i], 10, 3) && got < 0 {
				got = i
			}
		}
		if got != c.want {
			t.Errorf("%s: at look %d, not %d", c.name, got, c.want)
		}
	}
}

// TestColdShardsAreMerged divides a shard by its load, and lets it rest: it is one again, and stays so. What an operator has divided stays
// divided.
func TestColdShardsAreMerged(t *testing.T) {
	c := newCluster(t, 1)
	config := c.configs[1]
	config.coldLooks = 2
	c.configs[1] = config
	c.start(1)
	c.ready()
	n := c.nodes[1]
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered", Splits: []string{"t"}})
	for i := range 100 {
		submit(n, "o", set(fmt.Sprintf("k%03d", i), "x"))
	}
	eventually(t, "the node knows of merges", func() error {
		if level := n.table.Load().catalog.Level; level < keyspace.LevelMerges {
			return fmt.Errorf("feature level %d", level)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	child, err := n.beginSplit(ctx, "o", []byte("k050"), true) // as a node does that finds the shard too hot
	if err == nil {
		err = n.waitSplit(ctx, "o", child)
	}
	if err != nil {
		t.Fatal(err)
	}
	splits := func() string {
		return fmt.Sprintf("%q", n.table.Load().byName["o"].descriptor.Terms.Splits)
	}
	eventually(t, "the shards are merged", func() error {
		d := n.table.Load().byName["o"].descriptor
		if got := splits(); got != `["t"]` || d.Merges() || d.Splitting() {
			return fmt.Errorf("split at %s", got)
		}
		return nil
	})
	for i := range 100 {
		if r := submit(n, "o", get(fmt.Sprintf("k%03d", i)))[0]; string(r.Value) != "x" {
			t.Fatalf("k%03d is %+v", i, r)
		}
	}
}
