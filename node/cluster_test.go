package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen eventually; nothing is judged by how long it took.
const patience = 60 * time.Second

// cluster is some nodes in this process, on loopback and temporary folders.
type cluster struct {
	t       testing.TB
	configs map[core.NodeID]Config
	nodes   map[core.NodeID]*Node
	fatal   chan error
}

func newCluster(t testing.TB, size int) *cluster {
	t.Helper()
	c := &cluster{t: t, configs: map[core.NodeID]Config{}, nodes: map[core.NodeID]*Node{}, fatal: make(chan error, 16)}
	addresses := map[core.NodeID]string{}
	for i := range size {
		addresses[core.NodeID(i+1)] = freeport.Address(t)
	}
	dir := t.TempDir()
	for id := range addresses {
		c.configs[id] = Config{Dir: filepath.Join(dir, fmt.Sprint("n", id)), Node: id, Cluster: addresses,
			DiskReserveBytes: 1, Logger: testLogger(t), Fatal: func(err error) { c.fatal <- err },
			Timing: Timing{Heartbeat: 20 * time.Millisecond, ElectionMin: 200 * time.Millisecond}}
	}
	t.Cleanup(c.closeAll)
	return c
}

func testLogger(testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func (c *cluster) start(ids ...core.NodeID) {
	c.t.Helper()
	for _, id := range ids {
		n, err := Start(c.configs[id])
		if err != nil {
			c.t.Fatal(err)
		}
		c.nodes[id] = n
	}
}

func (c *cluster) close(id core.NodeID) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[id].Close(ctx); err != nil {
		c.t.Error(err)
	}
	delete(c.nodes, id)
}

func (c *cluster) closeAll() {
	for id := range c.nodes {
		c.close(id)
	}
	select {
	case err := <-c.fatal:
		c.t.Errorf("a node failed: %v", err)
	default:
	}
}

// eventually waits until f is nil.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func (c *cluster) ready() {
	c.t.Helper()
	for id, n := range c.nodes {
		eventually(c.t, fmt.Sprintf("node %d ready", id), n.Ready)
	}
}

func (c *cluster) create(at core.NodeID, spec kv.CreateKeyspace) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := c.nodes[at].CreateKeyspace(ctx, spec)
	for isCode(err, kv.ClockSkew) && ctx.Err() == nil { // on a machine that is held up; nothing was executed
		err = c.nodes[at].CreateKeyspace(ctx, spec)
	}
	if err != nil {
		c.t.Fatalf("create %s: %v", spec.Name, err)
	}
}

// submit sends commands in one batch and returns the results.
func submit(n *Node, name string, commands ...kv.Command) []kv.Result {
	var b kv.Batch
	b.Reset(time.Now().Add(patience))
	ks := n.Keyspace(name)
	for _, c := range commands {
		call := b.Add()
		call.Keyspace, call.Command = ks, c
	}
	n.Submit(&b)
	b.Wait()
	var results []kv.Result
	for _, call := range b.Calls() {
		results = append(results, call.Result)
	}
	return results
}

func set(key, value string) kv.Command {
	return kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(key), Value: []byte(value)}}}
}

func get(key string) kv.Command {
	return kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte(key)}}}
}

// hasKeyspace waits until a node's copy of the catalog has a keyspace.
func (c *cluster) hasKeyspace(name string) {
	c.t.Helper()
	for id, n := range c.nodes {
		eventually(c.t, fmt.Sprintf("node %d knows %s", id, name), func() error {
			if n.Keyspace(name) == nil {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

func mustGet(t testing.TB, n *Node, name, key, want string) {
	t.Helper()
	eventually(t, "get "+key, func() error {
		r := submit(n, name, get(key))[0]
		if err := r.Err(); err != nil {
			return err
		}
		if string(r.Value) != want {
			t.Fatalf("node %d: %s is %q (%v), want %q", n.config.Node, key, r.Value, r.Code, want)
		}
		return nil
	})
}

func mustSet(t testing.TB, n *Node, name, key, value string) {
	t.Helper()
	eventually(t, "set "+key, func() error {
		r := submit(n, name, set(key, value))[0]
		return r.Err()
	})
}

func TestThreeNodesServeEachOthersClients(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(2, kv.CreateKeyspace{Name: "default", Shards: 3})
	c.hasKeyspace("default")
	for id, n := range c.nodes {
		for i := range 10 {
			key := fmt.Sprintf("k%d-%d", id, i)
			mustSet(t, n, "default", key, "v"+key)
			for _, other := range c.nodes {
				mustGet(t, other, "default", key, "v"+key)
			}
		}
	}
	for _, n := range c.nodes {
		s := n.Status()
		if !s.Ready || len(s.Groups) != 4 || len(s.Nodes) != 3 {
			t.Errorf("status %+v", s)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := c.nodes[1].CreateKeyspace(ctx, kv.CreateKeyspace{Name: "default"})
	var e *kv.Error
	if !errors.As(err, &e) || e.Code != kv.Exists {
		t.Errorf("creating it twice: %v", err)
	}
	if err := c.nodes[3].DropKeyspace(ctx, "default", false); err != nil {
		t.Fatal(err)
	}
	for id, n := range c.nodes {
		eventually(t, fmt.Sprintf("node %d has dropped it", id), func() error {
			if n.Keyspace("default") != nil || len(n.Status().Groups) != 1 {
				return errors.New("still there")
			}
			return nil
		})
	}
}

func TestAcknowledgedWritesSurviveRestartsOfAll(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default", Shards: 2})
	c.hasKeyspace("default")
	for i := range 20 {
		mustSet(t, c.nodes[core.NodeID(i%3+1)], "default", fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	for round := range 2 {
		for id := range c.configs {
			c.close(id)
		}
		c.start(3, 1, 2)
		c.ready()
		c.hasKeyspace("default")
		for i := range 20 {
			mustGet(t, c.nodes[core.NodeID((i+round)%3+1)], "default", fmt.Sprint("k", i), fmt.Sprint("v", i))
		}
	}
	if boot := c.nodes[1].Status().Boot; boot != 3 {
		t.Errorf("boot %d", boot)
	}
}

// TestAFollowerThatLagsAtACleanStopIsSentBlocks: a clean stop leaves a state that covers the whole log. A node that missed
// the last blocks must be sent those, and not the whole state.
func TestAFollowerThatLagsAtACleanStopIsSentBlocks(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default", Shards: 1})
	c.hasKeyspace("default")
	written := 0
	for range 2 { // the second stop finds segments of the log gone
		c.write(&written, 1, 5)
		had := c.log(2, "default").Last
		c.close(2)
		c.write(&written, 1, 5)
		c.close(1)
		c.close(3)
		c.start(1, 2, 3)
		c.ready()
		eventually(t, "node 2 catches up", func() error {
			if behind := c.log(3, "default").Applied - c.log(2, "default").Applied; behind != 0 {
				return fmt.Errorf("it lacks %d blocks", behind)
			}
			return nil
		})
		if first := c.log(2, "default").First; first > had+1 {
			t.Fatalf("node 2 had the blocks up to %d; now its log begins at %d, so it was sent a snapshot", had, first)
		}
	}
}

// log is what a node says of its replica of a keyspace of one shard.
func (c *cluster) log(id core.NodeID, name string) kv.GroupStatus {
	groups := c.nodes[id].Status().Groups
	return groups[slices.IndexFunc(groups, func(g kv.GroupStatus) bool { return g.Keyspace == name })]
}

func TestABatchKeepsItsOrderOnEveryNode(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	for id, n := range c.nodes {
		for i := range 50 {
			before, after := fmt.Sprint("a", i), fmt.Sprint("b", i)
			key := fmt.Sprint("k", id)
			mustSet(t, n, "default", key, before)
			r := submit(n, "default", get(key), set(key, after), get(key), get(key), set(key, "end"), get(key))
			for _, at := range r {
				if err := at.Err(); err != nil {
					t.Fatal(err)
				}
			}
			if got := [4]string{string(r[0].Value), string(r[2].Value), string(r[3].Value), string(r[5].Value)}; got != [4]string{before, after, after, "end"} {
				t.Fatalf("node %d read %v", id, got)
			}
		}
	}
}

func TestReplicasKeepTheSameStateAtACheckpoint(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	for i := range 30 {
		mustSet(t, c.nodes[1], "default", fmt.Sprintf("k%02d", i), fmt.Sprint("v", i))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	group := c.nodes[1].DescribeKeyspaces()[1].Groups[0].Group
	var index uint64
	eventually(t, "a checkpoint at the leader", func() (err error) {
		for _, n := range c.nodes {
			if index, err = n.Checkpoint(ctx, group); err == nil {
				return nil
			}
		}
		return err
	})
	digests := map[string]bool{}
	for id, n := range c.nodes {
		eventually(t, fmt.Sprintf("node %d digests", id), func() error {
			d, err := n.StateDigest(ctx, group, index)
			if err == nil {
				digests[d.Digest+d.Rest] = true
				if d.Keys != 30 {
					t.Fatalf("node %d: %+v", id, d)
				}
			}
			return err
		})
		p, err := n.StatePage(ctx, group, index, []byte("k10"), 5)
		if err != nil || len(p.Items) != 5 || !bytes.Equal(p.Items[0].Key, []byte("k10")) || !bytes.Equal(p.Next, []byte("k15")) {
			t.Errorf("node %d: page %+v, %v", id, p, err)
		}
		blocks, err := n.Blocks(ctx, group, 1, 100, true)
		if err != nil || len(blocks) == 0 {
			t.Fatalf("node %d: blocks %v, %v", id, blocks, err)
		}
		for _, b := range blocks {
			if !b.Intact {
				t.Errorf("node %d: block %d is not intact", id, b.Index)
			}
		}
	}
	if len(digests) != 1 {
		t.Errorf("digests %v", digests)
	}
}

func TestLeadershipIsHandedOver(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	group := c.nodes[1].DescribeKeyspaces()[1].Groups[0].Group
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var from core.NodeID
	eventually(t, "handoff", func() error {
		var err error
		for id, n := range c.nodes {
			to := uint32(id%3 + 1)
			if err = n.Handoff(ctx, group, to); err == nil {
				from = id
				return nil
			}
		}
		return err
	})
	mustSet(t, c.nodes[from], "default", "a", "b")
}
