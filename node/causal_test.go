package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

// TestCausalReplicasMoveWhileTheyServe moves the replicas of a causal keyspace from node to node while clients count: every
// acknowledged increment is in the end on every replica.
func TestCausalReplicasMoveWhileTheyServe(t *testing.T) {
	c := newCluster(t, 5)
	c.start(1, 2, 3, 4, 5)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "moving", Consistency: kv.Causal, Replicas: 3})
	c.hasKeyspace("moving")
	for i := range 50 {
		mustSet(t, c.nodes[1], "moving", fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	stop, counted := c.count("moving")
	for round, to := range [][]uint32{{3, 4, 5}, {1, 2, 3}, {2, 4, 5}, {1}, {1, 2, 3, 4, 5}} {
		c.move("moving", 0, to)
		if round == 1 {
			c.close(4)
			c.start(4)
		}
	}
	stop()
	least, most := counted()
	for client := range 2 {
		c.everywhere("moving", fmt.Sprint("count", client), func(value string) error {
			got := 0
			if _, err := fmt.Sscan(value, &got); err != nil || got < least[client] || got > most[client] {
				return fmt.Errorf("client %d counted %q, of which %d to %d were acknowledged", client, value, least[client], most[client])
			}
			return nil
		})
	}
	for i := range 50 {
		c.everywhere("moving", fmt.Sprint("k", i), func(value string) error {
			if want := fmt.Sprint("v", i); value != want {
				return fmt.Errorf("k%d is %q, not %q", i, value, want)
			}
			return nil
		})
	}
}

// everywhere waits until every node shows a value that will do.
func (c *cluster) everywhere(name, key string, judge func(value string) error) {
	c.t.Helper()
	for id, n := range c.nodes {
		eventually(c.t, fmt.Sprintf("%s on node %d", key, id), func() error { return judge(string(submit(n, name, get(key))[0].Value)) })
	}
}

// TestACausalReplicaOfALostDiskIsReplaced loses a disk with a write that nobody else has: another node takes the replica's place,
// what others hold of it stays, and the session that saw the lost write is told.
func TestACausalReplicaOfALostDiskIsReplaced(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "carts", Consistency: kv.Causal})
	c.hasKeyspace("carts")
	seen := submit(c.nodes[3], "carts", set("k", "v"))[0]
	c.everywhere("carts", "k", func(value string) error {
		if value != "v" {
			return errors.New(value)
		}
		return nil
	})
	// What the lost disk held alone cannot be made up here, but its token can.
	token, err := bayou.DecodeToken(seen.Token)
	if err != nil {
		t.Fatal(err)
	}
	token.Read.Raise(token.Written[0].Replica, token.Written[0].Stamp+1<<16)
	c.close(3)
	c.join(1, filepath.Join(t.TempDir(), "new"), freeport.Address(t))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[1].ReplaceNode(ctx, 2); kv.Failed(err).Code != kv.Invalid {
		t.Errorf("a node that runs is taken for lost: %v", err)
	}
	eventually(t, "node 3 is given up", func() error { return c.nodes[1].ReplaceNode(ctx, 3) })
	eventually(t, "node 3 is removed", func() error { return c.nodes[1].RemoveNode(ctx, 3) })
	for _, id := range []core.NodeID{1, 2, 4} {
		eventually(t, fmt.Sprintf("node %d tells the session", id), func() error {
			lost := get("k")
			lost.Token = token.AppendTo(nil)
			if r := submit(c.nodes[id], "carts", lost)[0]; r.Code != kv.SessionLost {
				return fmt.Errorf("%v: %s", r.Code, r.Detail)
			}
			return nil
		})
		whole := get("k")
		whole.Token = seen.Token
		if r := submit(c.nodes[id], "carts", whole)[0]; string(r.Value) != "v" {
			t.Errorf("node %d: %v %q", id, r.Code, r.Value)
		}
	}
}

// TestACausalReplicaServesAloneAfterAPowerCut: what a node knows of the catalog outlives a crash, so that it serves a keyspace which
// needs no other replica before it hears from any other node.
func TestACausalReplicaServesAloneAfterAPowerCut(t *testing.T) {
	c := newCluster(t, 3)
	disks := c.inMemory()
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "carts", Consistency: kv.Causal})
	c.hasKeyspace("carts")
	mustSet(t, c.nodes[2], "carts", "k", "v")
	eventually(t, "the keyspace is on the disk", func() error {
		fs := disks[2].CrashClone(vfs.CrashCloneCfg{})
		disk, _, err := store.Open(c.configs[2].Dir, c.nodes[2].identity, store.Options{FS: fs})
		if err != nil {
			return err
		}
		catalog, err := readCatalog(disk.Group(keyspace.SystemGroup))
		if err == nil && len(catalog.Keyspaces) == 0 {
			err = errors.New("the catalog is empty")
		}
		return errors.Join(err, disk.Close())
	})
	config := c.configs[2]
	config.Store.FS = disks[2].CrashClone(vfs.CrashCloneCfg{})
	c.configs[2] = config
	c.closeAll()
	c.start(2)
	mustGet(t, c.nodes[2], "carts", "k", "v")
	mustSet(t, c.nodes[2], "carts", "k", "alone")
	mustGet(t, c.nodes[2], "carts", "k", "alone")
}
