package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// TestNodesThatNobodyAsksWriteNothing counts the syncs of three nodes with a keyspace of each kind that was written to and read. A node whose
// clock ran on would sync five times a second, and one whose lease was renewed once. Most of the test waits for leases to rest.
func TestNodesThatNobodyAsksWriteNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	specs := []kv.CreateKeyspace{{Name: "linearizable"}, {Name: "sequential", Consistency: kv.Sequential}, {Name: "atomic", Consistency: kv.Atomic},
		{Name: "quorum", Consistency: kv.Quorum}, {Name: "causal", Consistency: kv.Causal},
		{Name: "ordered", Consistency: kv.Causal, CommitOrder: true}, {Name: "eventual", Consistency: kv.Eventual}}
	for _, spec := range specs {
		c.create(1, spec)
	}
	use := func() {
		for _, spec := range specs {
			for id, n := range c.nodes {
				eventually(t, fmt.Sprintf("keyspace %s at node %d", spec.Name, id), func() error {
					for _, r := range submit(n, spec.Name, set("k", "v"), get("k")) {
						if r.Code != kv.OK {
							return r.Err()
						}
					}
					return nil
				})
			}
		}
	}
	use()
	c.rests()
	use() // whoever rests wakes
}

// rests waits for two seconds in which no node syncs its log.
func (c *cluster) rests() {
	c.t.Helper()
	syncs := map[core.NodeID]uint64{}
	since := time.Now()
	eventually(c.t, "two seconds without a sync", func() error {
		for id, n := range c.nodes {
			if now := n.counters.syncs.Load(); now != syncs[id] {
				syncs[id], since = now, time.Now()
			}
		}
		if rest := time.Since(since); rest < 2*time.Second {
			return fmt.Errorf("the last one was %v ago; %v", rest, syncs)
		}
		return nil
	})
}
