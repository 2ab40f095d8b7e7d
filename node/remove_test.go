package node

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// TestALiveNodeIsRemoved removes a node that runs and is connected: the others go on, and the removed one ends, now and
// whenever it is started again, for its replica of the catalog must never be started with nothing.
func TestALiveNodeIsRemoved(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default", Replicas: 2})
	c.hasKeyspace("default")
	mustSet(t, c.nodes[1], "default", "k", "v")
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	eventually(t, "drain", func() error { return c.nodes[1].DrainNode(ctx, 3) })
	eventually(t, "remove", func() error { return c.nodes[1].RemoveNode(ctx, 3) })
	if err := <-c.fatal; !errors.Is(err, errRemoved) {
		t.Errorf("the removed node ended with %v", err)
	}
	for id := range c.nodes {
		if id != 3 {
			eventually(t, fmt.Sprintf("node %d forgets it", id), func() error {
				if got := c.nodes[id].nodes(); len(got) != 2 {
					return fmt.Errorf("it knows %v", got)
				}
				return nil
			})
			mustGet(t, c.nodes[id], "default", "k", "v")
		}
	}
	c.close(3)
	if n, err := Start(c.configs[3]); err == nil {
		if err := <-c.fatal; !errors.Is(err, errRemoved) {
			t.Errorf("the removed node came back and ended with %v", err)
		}
		if r := n.table.Load().groups[keyspace.SystemGroup]; r.self == 0 || !n.hadState[keyspace.SystemGroup] {
			t.Errorf("it came back with a blank replica %d of the catalog", r.self)
		}
		c.nodes[3] = n
	}
}

// TestTheLastButOneNodeIsRemovedAtOnce drains a node and removes it as soon as that is allowed: it must not be while the
// catalog still needs its vote.
func TestTheLastButOneNodeIsRemovedAtOnce(t *testing.T) {
	for range 3 {
		c := newCluster(t, 2)
		c.start(1, 2)
		c.ready()
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		eventually(t, "drain", func() error { return c.nodes[1].DrainNode(ctx, 2) })
		eventually(t, "remove", func() error { return c.nodes[1].RemoveNode(ctx, 2) })
		<-c.fatal
		c.create(1, kv.CreateKeyspace{Name: "alone"})
		cancel()
		c.closeAll()
	}
}
