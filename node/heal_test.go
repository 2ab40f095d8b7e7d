package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

// spoilState flips bytes all over the tables of a node's state, where they are: a running node has them open.
func (c *cluster) spoilState(id core.NodeID, fs vfs.FS, from int) {
	c.t.Helper()
	dir := fs.PathJoin(c.configs[id].Dir, "state")
	names, err := fs.List(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	spoiled := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		f, err := fs.OpenReadWrite(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			c.t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			c.t.Fatal(err)
		}
		data := make([]byte, info.Size())
		if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF {
			c.t.Fatal(err)
		}
		for at := from; at < len(data); at += 500 {
			data[at] ^= 1
		}
		if _, err := f.WriteAt(data, 0); err != nil {
			c.t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			c.t.Fatal(err)
		}
		spoiled++
	}
	if spoiled == 0 {
		c.t.Fatal("there is no table to spoil")
	}
}

// healingCluster is three nodes on disks in memory, with a keyspace that holds some keys.
func healingCluster(t *testing.T) (c *cluster, disks map[core.NodeID]*vfs.MemFS, written *int) {
	c = newCluster(t, 3)
	disks = c.inMemory()
	for id, config := range c.configs {
		config.Store.SegmentBytes = 1 << 10 // so that the log does not reach back to the beginning
		c.configs[id] = config
	}
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default", Shards: 2})
	c.hasKeyspace("default")
	written = new(int)
	c.write(written, 1, 30)
	for id := range c.configs { // nor does what the replicas have in memory, so that they need snapshots
		c.close(id)
	}
	c.start(1, 2, 3)
	c.hasKeyspace("default")
	c.ready()
	return c, disks, written
}

func (c *cluster) write(written *int, at core.NodeID, count int) {
	c.t.Helper()
	for range count {
		mustSet(c.t, c.nodes[at], "default", fmt.Sprint("k", *written), fmt.Sprint("v", *written))
		*written++
	}
}

// sameEverywhere checks that every node is well, answers for all that was written, and holds the same state.
func (c *cluster) sameEverywhere(written int) {
	c.t.Helper()
	c.ready()
	c.hasKeyspace("default")
	for id, n := range c.nodes {
		s := n.Status()
		if strings.Contains(strings.Join(s.Alarms, "\n"), "damaged") || len(s.Groups) != 3 || slices.ContainsFunc(s.Groups, func(g kv.GroupStatus) bool { return g.Suspect }) {
			c.t.Errorf("node %d: %+v", id, s)
		}
		for i := range written {
			mustGet(c.t, n, "default", fmt.Sprint("k", i), fmt.Sprint("v", i))
		}
	}
	for _, g := range c.nodes[1].DescribeKeyspaces()[1].Groups {
		c.sameDigest(g.Group)
	}
}

func (c *cluster) sameDigest(group uint64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var index uint64
	eventually(c.t, "a checkpoint at the leader", func() (err error) {
		for _, n := range c.nodes {
			if index, err = n.Checkpoint(ctx, group); err == nil {
				return nil
			}
		}
		return err
	})
	digests := map[string]bool{}
	for id, n := range c.nodes {
		eventually(c.t, fmt.Sprintf("node %d digests", id), func() error {
			d, err := n.StateDigest(ctx, group, index)
			digests[d.Digest+d.Rest] = err == nil
			return err
		})
	}
	delete(digests, "")
	if len(digests) != 1 {
		c.t.Errorf("group %d: digests %v", group, digests)
	}
}

// suspects checks that a node that was just started says what it is about.
func (c *cluster) suspects(id core.NodeID) {
	c.t.Helper()
	n := c.nodes[id]
	if err := n.Ready(); err == nil || !strings.Contains(err.Error(), "refilled from peers") {
		c.t.Errorf("node %d, just started on damaged state, is ready: %v", id, err)
	}
}

func (c *cluster) marked(id core.NodeID, fs vfs.FS) bool {
	_, err := fs.Stat(fs.PathJoin(c.configs[id].Dir, "DAMAGED"))
	return err == nil
}

// settled waits until a node needs the mark on its disk no more.
func (c *cluster) settled(id core.NodeID, fs vfs.FS) {
	c.t.Helper()
	eventually(c.t, "the mark goes", func() error {
		if c.marked(id, fs) {
			return errors.New("the disk is marked")
		}
		return nil
	})
}

func TestDamagedStateIsRefilledFromPeers(t *testing.T) {
	c, disks, written := healingCluster(t)
	for id := core.NodeID(1); id <= 3; id++ {
		c.close(id)
		c.write(written, id%3+1, 5)
		c.spoilState(id, disks[id], 20)
		config, said := c.configs[id], bytes.Buffer{}
		config.Logger = slog.New(slog.NewTextHandler(&said, nil))
		c.configs[id] = config
		c.start(id)
		c.suspects(id)
		c.write(written, id%3+1, 5)
		c.sameEverywhere(*written)
		c.settled(id, disks[id])
		c.close(id)
		// None may vote before it is refilled, those of the keyspace included, which only the catalog names.
		if n := strings.Count(said.String(), "note=\"suspect true\""); n != 3 {
			t.Errorf("%d of 3 replicas began as suspect:\n%s", n, said.String())
		}
		c.start(id) // again, from what it was refilled with
		c.sameEverywhere(*written)
	}
}

// The mark outlives a start that came to nothing: which groups ran here is not known before the catalog is back.
func TestANodeThatStopsWhileItIsRefilledGoesOnWithIt(t *testing.T) {
	c, disks, written := healingCluster(t)
	for id := range c.configs {
		c.close(id)
	}
	c.spoilState(2, disks[2], 20)
	for range 3 {
		c.start(2)
		c.suspects(2)
		c.close(2)
		if !c.marked(2, disks[2]) {
			t.Fatal("the mark went although nothing was refilled")
		}
		disks[2] = disks[2].CrashClone(vfs.CrashCloneCfg{})
		config := c.configs[2]
		config.Store.FS = disks[2]
		c.configs[2] = config
	}
	c.start(2)
	c.suspects(2)
	c.start(1, 3)
	c.sameEverywhere(*written)
	c.settled(2, disks[2])
}

// Without a whole replica nothing is served: an empty state must not look like an empty keyspace.
func TestAllStatesDamagedIsToldAndNothingIsServed(t *testing.T) {
	c, disks, _ := healingCluster(t)
	ks := c.nodes[1].Keyspace("default")
	for id := range c.configs {
		c.close(id)
		c.spoilState(id, disks[id], 20)
	}
	c.start(1, 2, 3)
	for id, n := range c.nodes {
		c.suspects(id)
		eventually(t, "the peers are heard", func() error {
			for _, p := range n.Status().Nodes {
				if !p.Up {
					return fmt.Errorf("node %d is not up", p.Node)
				}
			}
			return nil
		})
	}
	for id, n := range c.nodes {
		for _, space := range []*kv.Keyspace{ks, n.system()} {
			var b kv.Batch
			b.Reset(time.Now().Add(time.Second))
			call := b.Add()
			call.Keyspace, call.Command = space, get("k0")
			n.Submit(&b)
			b.Wait()
			if r := call.Result; r.Code != kv.Unavailable && r.Code != kv.NoKeyspace {
				t.Errorf("node %d answers %+v", id, r)
			}
		}
		s := n.Status()
		if s.Ready || !strings.Contains(strings.Join(s.Alarms, "\n"), "the state was damaged") || !s.Groups[0].Suspect || s.Groups[0].Leader != 0 {
			t.Errorf("node %d: %+v", id, s)
		}
	}
}

// handTo asks all nodes to hand the leadership of the first shard to one.
func (c *cluster) handTo(id core.NodeID) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for at, n := range c.nodes {
		if at != id {
			_ = n.Handoff(ctx, n.DescribeKeyspaces()[1].Groups[0].Group, uint32(id)) // who does not lead refuses
		}
	}
}

// Damage that a running node meets, in a read under its lease or in a step of a replica, ends it with a plain error.
func TestDamageFoundWhileRunningEndsTheNodeAndIsHealed(t *testing.T) {
	for _, finder := range []string{"a read at the leader", "a step at a follower"} {
		t.Run(finder, func(t *testing.T) {
			c, disks, written := healingCluster(t)
			var hurt core.NodeID
			eventually(t, "a leader", func() error {
				hurt = core.NodeID(c.nodes[1].table.Load().byName["default"].shards[0].leader.Load())
				if hurt == 0 {
					return errors.New("none yet")
				}
				return nil
			})
			if finder == "a step at a follower" {
				hurt = hurt%3 + 1
			}
			n := c.nodes[hurt]
			first := 0
			var fatal error
			for i := 0; fatal == nil && i < 2000; i++ {
				// What was just flushed is in no cache. A compaction may save it, and the leadership may move: then once more.
				if i%200 == 0 {
					first = *written
					c.write(written, hurt, 20)
					if err := n.disk.Flush(); err != nil {
						break // the damage of the round before was found by the flush
					}
					c.spoilState(hurt, disks[hurt], 20+i/200)
					if finder == "a read at the leader" {
						c.handTo(hurt)
					}
				}
				key := fmt.Sprint("k", first+i%20)
				if finder == "a read at the leader" {
					if r := submit(n, "default", get(key))[0]; r.Code == kv.NotFound || r.Code == kv.OK && string(r.Value) != "v"+key[1:] {
						t.Fatalf("%s reads as %+v", key, r)
					}
				} else {
					// Every replica looks whether the key is there, and nobody writes it: what was not read yet stays unread.
					look := set(key, "never stored")
					look.Ops[0].When = kv.IfAbsent
					eventually(t, "look at "+key, func() error {
						r := submit(c.nodes[hurt%3+1], "default", look)[0]
						return r.Err()
					})
				}
				select {
				case fatal = <-c.fatal:
				default:
				}
			}
			var damage *store.DamageError
			if !errors.As(fatal, &damage) || !strings.Contains(fatal.Error(), ".sst") || !strings.Contains(fatal.Error(), "refill") {
				t.Fatalf("the node ends with %v", fatal)
			}
			if err := n.Ready(); err == nil {
				t.Error("a failed node is ready")
			}
			_ = n.Close(context.Background()) // it tells of the damage
			delete(c.nodes, hurt)
			c.write(written, hurt%3+1, 5)
			c.start(hurt)
			c.suspects(hurt)
			c.sameEverywhere(*written)
		})
	}
}
