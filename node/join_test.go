package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

// join lets a node with an empty folder, or one that has joined before, ask a member for membership, and starts it.
func (c *cluster) join(through core.NodeID, dir, address string) *Node {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var m *Membership
	eventually(c.t, "join", func() (err error) {
		m, err = Join(ctx, dir, c.configs[through].Cluster[through], address)
		return err
	})
	config := c.configs[through]
	config.Dir, config.Node, config.Joined, config.Cluster, config.Listen = dir, m.Node, m, m.Peers, ""
	c.configs[m.Node] = config
	c.start(m.Node)
	return c.nodes[m.Node]
}

// TestANodeJoinsARunningCluster lets a fourth node join three, moves a shard to it, restarts it under the same words, and
// lets it go on when the others restart.
func TestANodeJoinsARunningCluster(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	mustSet(t, c.nodes[1], "default", "k", "v")
	dir, address := filepath.Join(t.TempDir(), "new"), freeport.Address(t)
	n := c.join(2, dir, address)
	if n.config.Node != 4 {
		t.Fatalf("it is node %d", n.config.Node)
	}
	c.ready()
	c.hasKeyspace("default")
	mustGet(t, n, "default", "k", "v")
	mustSet(t, n, "default", "k", "w")
	c.move("default", 0, []uint32{2, 3, 4})
	c.votesInCatalog(4)
	for range 2 {
		c.close(4)
		c.join(2, dir, address)
		c.ready()
		mustGet(t, c.nodes[4], "default", "k", "w")
	}
	for id := range maps.Clone(c.nodes) {
		c.close(id)
	}
	c.start(4, 1, 3)
	c.ready()
	mustGet(t, c.nodes[1], "default", "k", "w")
	mustGet(t, c.nodes[4], "default", "k", "w")
}

// votesInCatalog waits until a node's replica of the catalog is a voter.
func (c *cluster) votesInCatalog(id core.NodeID) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("node %d votes", id), func() error {
		n := c.nodes[id]
		replica := n.table.Load().groups[keyspace.SystemGroup].self
		found := errors.New("not yet")
		err := n.onLoop(context.Background(), func(host.Now) {
			have, settled, _ := keyspace.Members(n.host.Replica(keyspace.SystemGroup))
			for _, v := range have.Voters {
				if v == replica && settled {
					found = nil
				}
			}
		})
		return errors.Join(err, found)
	})
}

func TestANodeIsNotAdmittedTwice(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, through := t.TempDir(), c.configs[1].Cluster[1]
	m, err := Join(ctx, dir, through, "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	// The answer was lost: the same ticket is given the same id.
	f, err := readJoinFile(filepath.Join(dir, store.MembershipName))
	if err != nil {
		t.Fatal(err)
	}
	again, err := askToJoin(ctx, through, joinRequest{f.Ticket, "127.0.0.1:9"})
	if err != nil || again.Node != m.Node {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	var e *kv.Error
	if _, err := Join(ctx, t.TempDir(), through, "127.0.0.1:9"); !errors.As(err, &e) || e.Code != kv.Invalid {
		t.Errorf("another folder at the same address: %v", err)
	}
	if _, err := Join(ctx, t.TempDir(), through, "nonsense"); !errors.As(err, &e) || e.Code != kv.Invalid {
		t.Errorf("an address that is none: %v", err)
	}
}

// TestANodeIsReplaced lets a node die for good, another one join, and the dead one drained and removed: what it held lives
// on the new one, and its id is never given again.
func TestANodeIsReplaced(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default", Shards: 3})
	c.hasKeyspace("default")
	for i := range 30 {
		mustSet(t, c.nodes[1], "default", fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var e *kv.Error
	if err := c.nodes[1].DrainNode(ctx, 3); !errors.As(err, &e) || e.Code != kv.Invalid {
		t.Errorf("draining one of three for three replicas: %v", err)
	}
	c.close(3)
	n := c.join(1, filepath.Join(t.TempDir(), "new"), freeport.Address(t))
	eventually(t, "drain", func() error { return c.nodes[1].DrainNode(ctx, 3) })
	if err := c.nodes[1].RemoveNode(ctx, 3); !errors.As(err, &e) || e.Code != kv.Busy && e.Code != kv.NotFound {
		t.Errorf("removing a node that is not empty: %v", err)
	}
	eventually(t, "remove", func() error { return c.nodes[1].RemoveNode(ctx, 3) })
	for i := range 30 {
		mustGet(t, n, "default", fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	for id := range c.nodes {
		if got := len(c.nodes[id].nodes()); got != 3 {
			eventually(t, "three nodes are left", func() error {
				if got := c.nodes[id].nodes(); len(got) != 3 {
					return fmt.Errorf("node %d knows %v", id, got)
				}
				return nil
			})
		}
	}
	if m, err := Join(ctx, t.TempDir(), c.configs[1].Cluster[1], freeport.Address(t)); err != nil || m.Node != 5 {
		t.Errorf("the next one is %+v, %v", m, err)
	}
}
