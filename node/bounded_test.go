package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// TestBoundedReadsAtEveryNode: a follower comes to know how old its state is, in both kinds of keyspace, and answers reads by
// that itself; nobody's lease is needed for it.
func TestBoundedReadsAtEveryNode(t *testing.T) {
	for _, spec := range []kv.CreateKeyspace{{Name: "l"}, {Name: "off", Lease: "off"}, {Name: "s", Consistency: kv.Sequential}} {
		t.Run(spec.Name, func(t *testing.T) {
			c := newCluster(t, 3)
			c.start(1, 2, 3)
			c.ready()
			c.create(1, spec)
			c.hasKeyspace(spec.Name)
			if r := submit(c.nodes[1], spec.Name, set("k", "v"))[0]; r.Code != kv.OK {
				t.Fatal(r)
			}
			wrote := c.nodes[1].clocks.mono()
			for id, n := range c.nodes {
				sh := n.table.Load().byName[spec.Name].shards[0]
				eventually(t, "a bound", func() error {
					if f := sh.fresh.Load(); id == 1 && f.Whole <= wrote || f.Whole == 0 {
						return fmt.Errorf("node %d knows its state as of %d", id, f.Whole)
					}
					return nil
				})
				eventually(t, "a bound", func() error {
					r := submit(n, spec.Name, at(kv.BoundedAge(time.Second), get("k")))[0]
					if r.Code != kv.OK || r.Level != kv.BoundedAge(time.Second) || r.AsOf == 0 {
						return fmt.Errorf("node %d answers %+v", id, r)
					}
					return nil
				})
			}
		})
	}
}
