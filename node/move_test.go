package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// TestShardsMoveWhileTheyServe moves the replicas of a shard from node to node, and back to nodes that had one before, while
// clients count; the replicas' memory of blocks is left behind on the way, since the new ones are given the whole state.
func TestShardsMoveWhileTheyServe(t *testing.T) {
	c := newCluster(t, 5)
	c.start(1, 2, 3, 4, 5)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "moving", Shards: 2})
	c.hasKeyspace("moving")
	for i := range 50 {
		mustSet(t, c.nodes[1], "moving", fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	stop, counted := c.count("moving")
	for round, to := range [][]uint32{{3, 4, 5}, {1, 2, 3}, {2, 4, 5}, {1}, {1, 2, 3, 4, 5}} {
		for shard := range 2 {
			c.move("moving", shard, to)
		}
		if round == 1 {
			c.close(4)
			c.start(4)
		}
	}
	stop()
	least, most := counted()
	for id, n := range c.nodes {
		for i := range 50 {
			mustGet(t, n, "moving", fmt.Sprint("k", i), fmt.Sprint("v", i))
		}
		for client := range 2 {
			r := submit(n, "moving", get(fmt.Sprint("count", client)))[0]
			got := 0
			if _, err := fmt.Sscan(string(r.Value), &got); err != nil || got < least[client] || got > most[client] {
				t.Errorf("node %d: client %d counted %q (%v), of which %d to %d were acknowledged", id, client, r.Value, r.Code, least[client], most[client])
			}
		}
	}
}

// count lets two clients increment their counters through changing nodes until stop; counted tells how many increments were
// acknowledged, and how many may have happened.
func (c *cluster) count(name string) (stop func(), counted func() (least, most [2]int)) {
	var wait sync.WaitGroup
	done := make(chan struct{})
	var sure, maybe [2]int
	nodes := []*Node{c.nodes[1], c.nodes[2], c.nodes[3]} // these stay up
	for client := range sure {
		wait.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				incr := kv.Command{Ops: []kv.Op{{Kind: kv.OpIncr, Key: fmt.Append(nil, "count", client), Delta: 1}}}
				switch r := submit(nodes[i%3], name, incr)[0]; r.Code {
				case kv.OK:
					sure[client]++
				case kv.Unknown:
					maybe[client]++
				}
			}
		})
	}
	return func() { close(done); wait.Wait() }, func() (least, most [2]int) {
		for i := range sure {
			most[i] = sure[i] + maybe[i]
		}
		return sure, most
	}
}

// groupOf is the group of a shard as node 1 knows it; 0: there is none.
func (c *cluster) groupOf(name string, shard int) uint64 {
	s := c.nodes[1].table.Load().byName[name]
	if s == nil || shard >= len(s.shards) {
		return 0
	}
	return uint64(s.shards[shard].group)
}

// move moves a shard and waits until it lives where it should, and the old replicas are gone.
func (c *cluster) move(name string, shard int, to []uint32) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	eventually(c.t, fmt.Sprintf("move shard %d to %v", shard, to), func() error {
		err := c.nodes[1].MoveGroup(ctx, name, c.groupOf(name, shard), to)
		var e *kv.Error
		if errors.As(err, &e) && e.Code == kv.Invalid {
			c.t.Fatal(err)
		}
		return err
	})
	for id, n := range c.nodes {
		eventually(c.t, fmt.Sprintf("node %d sees shard %d on %v", id, shard, to), func() error {
			sh := n.table.Load().byName[name].shards[shard]
			if s := sh.described(); len(s.Target) > 0 || len(s.Replicas) != len(to) {
				return fmt.Errorf("%+v", s)
			}
			wanted := sh.self != 0
			if has := n.hosts(sh.group); has != wanted {
				return fmt.Errorf("a replica here: %v", has)
			}
			return nil
		})
	}
}

func (n *Node) hosts(g core.GroupID) bool {
	for _, s := range n.Status().Groups {
		if s.Group == uint64(g) {
			return true
		}
	}
	return false
}

func TestMovesThatCannotBeAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "here"})
	c.hasKeyspace("here")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, bad := range []struct {
		name  string
		shard int
		nodes []uint32
		code  kv.Code
	}{{"here", 0, []uint32{1, 9}, kv.Invalid}, {"here", 1, []uint32{1}, kv.Invalid}, {"here", 0, nil, kv.Invalid}, {"nowhere", 0, []uint32{1}, kv.NoKeyspace}} {
		var e *kv.Error
		if err := c.nodes[1].MoveGroup(ctx, bad.name, c.groupOf(bad.name, bad.shard), bad.nodes); !errors.As(err, &e) || e.Code != bad.code {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if c.nodes[1].table.Load().byName["here"].descriptor.Shards[0].Epoch != 0 {
		t.Error("a refused move changed the shard")
	}
}

// TestWhoIsNamedFirstLeads names the members that a shard has, another one first: no replica moves, and that one leads soon.
func TestWhoIsNamedFirstLeads(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "led"})
	c.hasKeyspace("led")
	mustSet(t, c.nodes[1], "led", "k", "v")
	for _, first := range []uint32{2, 3} {
		c.move("led", 0, append([]uint32{first}, 1))
		eventually(t, fmt.Sprintf("node %d leads", first), func() error {
			if leader := c.nodes[1].table.Load().byName["led"].shards[0].leader.Load(); leader != first {
				return fmt.Errorf("node %d leads", leader)
			}
			return nil
		})
		mustGet(t, c.nodes[1], "led", "k", "v")
	}
}
