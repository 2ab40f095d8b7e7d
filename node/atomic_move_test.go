package node

import (
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/kv"
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
