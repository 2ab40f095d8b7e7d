package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gamutdb/gamut/internal/freeport"
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

// TestAMoveToALostNodeIsTurnedElsewhere lets the node that a shard moves to die: drained, it stands in the way no more.
func TestAMoveToALostNodeIsTurnedElsewhere(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	mustSet(t, c.nodes[1], "default", "k", "v")
	c.join(1, filepath.Join(t.TempDir(), "new"), freeport.Address(t))
	c.ready()
	c.hasKeyspace("default")
	c.close(4)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	eventually(t, "move", func() error { return c.nodes[1].MoveGroup(ctx, "default", c.groupOf("default", 0), []uint32{1, 2, 4}) })
	var e *kv.Error
	if err := c.nodes[1].MoveGroup(ctx, "default", c.groupOf("default", 0), []uint32{1, 2, 3}); !errors.As(err, &e) || e.Code != kv.Busy {
		t.Errorf("another move while the node may come back: %v", err)
	}
	eventually(t, "the leader of the catalog tells of it", func() error {
		for id := range c.nodes {
			if c.nodes[id].alarms.raised(stuckAlarm) {
				return nil
			}
		}
		return errors.New("no alarm")
	})
	eventually(t, "drain", func() error { return c.nodes[2].DrainNode(ctx, 4) })
	eventually(t, "the shard stays where it was", func() error {
		if s := c.nodes[1].table.Load().byName["default"].shards[0].described(); len(s.Target) > 0 || s.On(3) == 0 || s.On(4) != 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	eventually(t, "remove", func() error { return c.nodes[2].RemoveNode(ctx, 4) })
	mustGet(t, c.nodes[3], "default", "k", "v")
}

// TestWhatIsLeftOfAReplicaIsDroppedAtTheNextStart: the log still has records of a replica that was moved away; they must not
// keep its segments for ever, nor be taken for those of a replica that the catalog's copy has not heard of.
func TestWhatIsLeftOfAReplicaIsDroppedAtTheNextStart(t *testing.T) {
	c := newCluster(t, 4)
	c.start(1, 2, 3, 4)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	mustSet(t, c.nodes[1], "default", "k", "v")
	c.move("default", 0, []uint32{1, 2, 3})
	c.move("default", 0, []uint32{1, 2, 4})
	c.close(3)
	c.start(3)
	group := c.nodes[3].table.Load().byName["default"].shards[0].group
	if kept := c.nodes[3].recovered.Groups; len(kept[group]) > 0 {
		t.Errorf("%d records of the group are kept", len(kept[group]))
	}
	c.ready()
	c.move("default", 0, []uint32{2, 3, 4})
	mustGet(t, c.nodes[3], "default", "k", "v")
}
