package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/txn"
)

func (c *cluster) split(at core.NodeID, name, key string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[at].SplitShard(ctx, name, []byte(key)); err != nil {
		c.t.Fatalf("split %s at %s: %v", name, key, err)
	}
}

func incr(key string) kv.Command {
	return kv.Command{Ops: []kv.Op{{Kind: kv.OpIncr, Key: []byte(key), Delta: 1}}}
}

// scanAll reads all keys of a keyspace as doors do: shard by shard of the map at hand, page by page.
func scanAll(n *Node, name string, page uint32) (keys []string, err error) {
	ks := n.Keyspace(name)
	for shard := range ks.Shards {
		for next, more := []byte(nil), true; more; {
			var b kv.Batch
			b.Reset(time.Now().Add(patience))
			call := b.Add()
			call.Keyspace, call.Shard, call.Command.Level = ks, shard, kv.LevelLinearizable
			call.Command.Ops = []kv.Op{{Kind: kv.OpScan, Key: next, Limit: page, KeysOnly: true}}
			n.Submit(&b)
			b.Wait()
			if err := call.Result.Err(); err != nil {
				return nil, err
			}
			for i := range call.Result.Items {
				keys = append(keys, string(call.Result.Items[i].Key))
			}
			next, more = call.Result.Key, call.Result.Key != nil
		}
	}
	return keys, nil
}

// TestSplitUnderLoad splits a shard again and again while clients count at all nodes: no request fails, no increment is lost or
// counted twice, no scan skips a key or shows one twice.
func TestSplitUnderLoad(t *testing.T) {
	for _, consistency := range []kv.Consistency{kv.Linearizable, kv.Sequential} {
		t.Run(string(consistency), func(t *testing.T) { splitUnderLoad(t, consistency) })
	}
}

func splitUnderLoad(t *testing.T, consistency kv.Consistency) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Consistency: consistency, Partitioner: "ordered"})
	counts, judge := c.countInOrder(t)
	for i, at := range []string{"k20", "k10", "k30", "k31"} {
		awaitMore(t, counts, 100)
		c.split(core.NodeID(i%3+1), "o", at)
	}
	awaitMore(t, counts, 100)
	judge()
	if got := c.nodes[1].Keyspace("o").Shards; got != 5 {
		t.Errorf("%d shards, not 5", got)
	}
	for i, g := range c.nodes[1].DescribeKeyspaces()[1].Groups {
		want := []string{"", "k10", "k20", "k30", "k31", ""}
		if !bytes.Equal(g.From, []byte(want[i])) || !bytes.Equal(g.To, []byte(want[i+1])) {
			t.Errorf("shard %d has %q to %q", i, g.From, g.To)
		}
	}
}

// countInOrder lets clients of each node add to the keys of o, and list them all, until judge is called: then no addition is lost or made twice.
// counts are the additions so far.
func (c *cluster) countInOrder(t *testing.T) (counts *atomic.Int64, judge func()) {
	key := func(i int) string { return fmt.Sprintf("k%02d", i) }
	const keys = 40
	for i := range keys {
		submit(c.nodes[1], "o", set(key(i), "0"))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	counted := map[string]int{}
	counts = new(atomic.Int64)
	for id, n := range c.nodes {
		wg.Add(2)
		go func() {
			defer wg.Done()
			for i := int(id); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k := key(i * 7 % keys)
				r := submit(n, "o", incr(k))[0]
				if r.Code != kv.OK {
					t.Errorf("incr %s at node %d: %v %s", k, id, r.Code, r.Detail)
					return
				}
				mu.Lock()
				counted[k]++
				mu.Unlock()
				counts.Add(1)
			}
		}()
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				list, err := scanAll(n, "o", 7)
				if err != nil || len(list) != keys {
					t.Errorf("a scan at node %d shows %d keys: %v %q", id, len(list), err, list)
					return
				}
			}
		}()
	}
	return counts, func() {
		close(stop)
		wg.Wait()
		for i := range keys {
			r := submit(c.nodes[2], "o", kv.Command{Level: kv.LevelLinearizable, Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte(key(i))}}})[0]
			if want := fmt.Sprint(counted[key(i)]); string(r.Value) != want {
				t.Errorf("%s is %q after %s increments", key(i), r.Value, want)
			}
		}
	}
}

// awaitMore waits until clients have got so many more things done.
func awaitMore(t *testing.T, done *atomic.Int64, more int64) {
	t.Helper()
	from := done.Load()
	eventually(t, "clients get on", func() error {
		if n := done.Load() - from; n < more {
			return fmt.Errorf("%d of %d", n, more)
		}
		return nil
	})
}

// TestTransfersThroughSplits: the total of all accounts is the same at every instant, while the shard that holds them is split.
func TestTransfersThroughSplits(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "bank", Partitioner: "ordered"})
	const accounts = 8
	old := c.nodes[1].Keyspace("bank") // what a door that does not look again has in hand
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var rounds atomic.Int64
	for id, n := range c.nodes {
		clients.Add(1)
		go func() {
			defer clients.Done()
			for i := int(id); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				from, to := fmt.Sprint("a", i%accounts), fmt.Sprint("a", (i*3+1)%accounts)
				if from != to {
					r := n.Transact(&kv.Txn{Then: []kv.TxnOp{addTo(old, from, -1), addTo(old, to, 1)}}, time.Now().Add(patience))
					if r.Code != kv.OK && r.Code != kv.Aborted {
						t.Errorf("transfer: %v %s", r.Code, r.Detail)
					}
				}
				if total := readAll(t, n, old, accounts); total != 0 {
					t.Errorf("the total is %d", total)
				}
				rounds.Add(1)
			}
		}()
	}
	for i, at := range []string{"a4", "a2", "a6"} {
		awaitMore(t, &rounds, 10)
		c.split(core.NodeID(i+1), "bank", at)
	}
	awaitMore(t, &rounds, 10)
	close(stop)
	clients.Wait()
	locksGone(c, c.nodes[1].Keyspace("bank"))
}

// TestOldMapsStillServe: a command of keys that lay in one shard when its caller looked is executed all the same, and so is a clear.
func TestOldMapsStillServe(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered"})
	old := c.nodes[2].Keyspace("o")
	submit(c.nodes[1], "o", set("a", "1"), set("m", "2"), set("z", "3"))
	c.split(1, "o", "k")
	c.split(1, "o", "p")
	ask := func(command kv.Command) kv.Result {
		var b kv.Batch
		b.Reset(time.Now().Add(patience))
		call := b.Add()
		call.Keyspace, call.Command = old, command
		c.nodes[2].Submit(&b)
		b.Wait()
		return call.Result
	}
	eventually(t, "node 2 knows of the splits", func() error {
		if n := c.nodes[2].Keyspace("o").Shards; n != 3 {
			return fmt.Errorf("%d shards", n)
		}
		return nil
	})
	several := ask(kv.Command{Conds: []kv.Cond{{Key: []byte("a"), Kind: kv.CondPresent}}, Ops: []kv.Op{get("a").Ops[0], get("m").Ops[0], set("z", "4").Ops[0]}})
	if several.Code != kv.OK || len(several.Items) != 3 || string(several.Items[1].Value) != "2" {
		t.Errorf("three keys: %+v", several)
	}
	alone := ask(kv.Command{Conds: []kv.Cond{{Key: []byte("a"), Kind: kv.CondPresent}}, Ops: []kv.Op{set("z", "6").Ops[0], {Kind: kv.OpNone}}})
	if alone.Code != kv.OK || len(alone.Items) != 2 || alone.Items[0].Version == 0 {
		t.Errorf("an operation beside one that does nothing: %+v", alone)
	}
	none := ask(kv.Command{Conds: []kv.Cond{{Key: []byte("a"), Kind: kv.CondPresent}, {Key: []byte("z"), Kind: kv.CondPresent}}, Ops: []kv.Op{{Kind: kv.OpNone}}})
	if none.Code != kv.OK || none.Items != nil {
		t.Errorf("conditions alone: %+v", none)
	}
	failed := ask(kv.Command{Conds: []kv.Cond{{Key: []byte("a"), Kind: kv.CondPresent}, {Key: []byte("z"), Kind: kv.CondAbsent}}, Ops: []kv.Op{set("m", "5").Ops[0]}})
	if failed.Code != kv.ConditionFailed || failed.Int != 1 {
		t.Errorf("a condition that does not hold: %+v", failed)
	}
	if r := ask(kv.Command{Ops: []kv.Op{{Kind: kv.OpRename, Key: []byte("a"), Key2: []byte("z")}}}); r.Code != kv.CrossShard {
		t.Errorf("a rename from one shard to another: %v", r.Code)
	}
	if r := ask(kv.Command{Ops: []kv.Op{{Kind: kv.OpClear}}}); r.Code != kv.OK {
		t.Errorf("a clear: %+v", r)
	}
	if list, err := scanAll(c.nodes[3], "o", 10); err != nil || len(list) != 0 {
		t.Errorf("a clear of the only shard that there was has left %q, %v", list, err)
	}
}

// TestSplitGoesOnAfterRestarts: nodes that end at any moment of a split go on with it, and hold all that was written.
func TestSplitGoesOnAfterRestarts(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered"})
	for i := range 200 {
		submit(c.nodes[1], "o", set(fmt.Sprintf("k%03d", i), fmt.Sprint(i)))
	}
	for round, at := range []string{"k100", "k050", "k150"} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if _, err := c.nodes[1].beginSplit(ctx, "o", []byte(at), false); err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(time.Duration(round) * 25 * time.Millisecond)
		id := core.NodeID(round%3 + 1)
		c.close(id)
		c.start(id)
		c.ready()
		eventually(t, "the split is over", func() error {
			if n := c.nodes[1].Keyspace("o").Shards; n != round+2 {
				return fmt.Errorf("%d shards", n)
			}
			return nil
		})
	}
	for _, id := range []core.NodeID{1, 2, 3} {
		for i := range 200 {
			if r := submit(c.nodes[id], "o", get(fmt.Sprintf("k%03d", i)))[0]; string(r.Value) != fmt.Sprint(i) {
				t.Fatalf("node %d: k%03d is %+v", id, i, r)
			}
		}
	}
}

func TestSplitsThatCannotBeAreRefused(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered", Splits: []string{"m"}})
	c.create(1, kv.CreateKeyspace{Name: "h"})
	c.create(1, kv.CreateKeyspace{Name: "q", Consistency: kv.Quorum, Partitioner: "ordered", Splits: []string{"m"}})
	for _, s := range []struct {
		name, key string
		want      kv.Code
	}{{"o", "m", kv.Exists}, {"o", "", kv.Invalid}, {"h", "m", kv.Unsupported}, {"q", "x", kv.Unsupported}, {"nobody", "m", kv.NoKeyspace}} {
		err := c.nodes[2].SplitShard(context.Background(), s.name, []byte(s.key))
		var e *kv.Error
		if !errors.As(err, &e) || e.Code != s.want || e.Detail == "" {
			t.Errorf("%s at %q: %v", s.name, s.key, err)
		}
	}
}

// TestKeyspaceIsDroppedWhileItIsSplit leaves nothing behind.
func TestKeyspaceIsDroppedWhileItIsSplit(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered"})
	submit(c.nodes[1], "o", set("a", "1"), set("z", "1"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	child, err := c.nodes[1].beginSplit(ctx, "o", []byte("m"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.nodes[2].DropKeyspace(ctx, "o", false); err != nil {
		t.Fatal(err)
	}
	for id, n := range c.nodes {
		eventually(t, "the states are gone", func() error {
			for _, g := range n.disk.GroupsWithState() {
				if g == child || g == child-1 {
					return fmt.Errorf("node %d has a state of group %d", id, g)
				}
			}
			return nil
		})
	}
}

// TestReadBesideASplitIsNotAnsweredLate: a read that found its permit before the split, and is held up until the parent's state has let
// go of the key, must not find it missing.
func TestReadBesideASplitIsNotAnsweredLate(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered"})
	n := c.nodes[1]
	submit(n, "o", set("a", "1"), set("z", "1"))
	before := n.table.Load().byName["o"].shards[0]
	call := &kv.Call{Keyspace: n.Keyspace("o"), Command: get("z")}
	permit := keyspace.Permit{Lease: true, Safe: 1 << 62, Now: n.clocks.stamp(n.clocks.mono()), Unlocked: true}
	if r, ok, _ := n.read(before, call, permit); !ok || string(r.Value) != "1" {
		t.Fatalf("before the split: %+v, %v", r, ok)
	}
	c.split(1, "o", "m")
	eventually(t, "the parent has let go", func() error {
		if machine.Births(before.state) != nil {
			return errors.New("it has not")
		}
		return nil
	})
	if r, ok, _ := n.read(before, call, permit); ok {
		t.Errorf("answered from a state that has given the key away: %+v", r)
	}
	all := &kv.Call{Keyspace: n.Keyspace("o"), Command: kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}}}}
	if r, ok, _ := n.read(before, all, permit); ok {
		t.Errorf("a scan is answered from such a state: %+v", r)
	}
}

// TestShardMovesAfterItsSplit: both halves can leave a node, and take their keys along.
func TestShardMovesAfterItsSplit(t *testing.T) {
	c := newCluster(t, 4)
	c.start(1, 2, 3, 4)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered"})
	for i := range 100 {
		submit(c.nodes[1], "o", set(fmt.Sprintf("k%03d", i), fmt.Sprint(i)))
	}
	c.split(1, "o", "k050")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	away := uint32(c.nodes[1].table.Load().byName["o"].shards[1].nodes[0])
	if err := c.nodes[1].DrainNode(ctx, away); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node is empty", func() error {
		if at := c.nodes[1].table.Load().catalog; at.Holds(core.NodeID(away)) || at.Nodes[core.NodeID(away)].State != keyspace.NodeDrained {
			return errors.New("it is not")
		}
		return nil
	})
	for i := range 100 {
		if r := submit(c.nodes[1], "o", get(fmt.Sprintf("k%03d", i)))[0]; string(r.Value) != fmt.Sprint(i) {
			t.Fatalf("k%03d is %+v", i, r)
		}
	}
}

// wall is a link that can be cut between nodes of two sides, at once.
type wall struct {
	up   *atomic.Bool
	self core.NodeID
	few  func(core.NodeID) bool
}

func (w *wall) FS(disk vfs.FS) vfs.FS { return disk }

func (w *wall) Clocks(mono func() core.Time, wall func() time.Time) (func() core.Time, func() time.Time) {
	return mono, wall
}

func (w *wall) Cut(peer core.NodeID, _ bool) bool { return w.up.Load() && w.few(peer) != w.few(w.self) }

func (w *wall) Arrive(from core.NodeID, _ bool, deliver func()) {
	if !w.Cut(from, false) {
		deliver()
	}
}

func (w *wall) String() string { return "" }

// TestTransactionsWithAChildWithoutTheCatalog: the catalog loses its majority after it has named a child, and before it can say that the
// child is a shard. Both groups serve, so transactions over both of them are executed, those of a caller who sees one shard included, and
// locks that a coordinator leaves in them go.
func TestTransactionsWithAChildWithoutTheCatalog(t *testing.T) {
	c := newCluster(t, 5)
	var up atomic.Bool
	var few [6]atomic.Bool
	for id, config := range c.configs {
		config.Faults = &wall{&up, id, func(n core.NodeID) bool { return few[n].Load() }}
		c.configs[id] = config
	}
	c.start(1, 2, 3, 4, 5)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered"})
	c.hasKeyspace("o")
	ks := c.nodes[1].Keyspace("o")
	members := c.nodes[1].table.Load().byName["o"].shards[0].nodes
	for _, id := range members[:2] {
		few[id].Store(true)
	}
	n := c.nodes[members[0]]
	submit(n, "o", set("a0", "1"))
	key := c.childWithoutCatalog(&up, n, c.nodes[members[1]])
	eventually(t, "the parent has given the keys away", func() error {
		if n.table.Load().byName["o"].shards[0].bounds.Load().Holds([]byte(key)) {
			return errors.New("it has not")
		}
		return nil
	})
	both := &kv.Txn{Then: []kv.TxnOp{addTo(ks, "a", 1), addTo(ks, key+"x", 1)}}
	eventually(t, "a transaction over the parent and the child", func() error {
		r := n.Transact(both, time.Now().Add(patience))
		return r.Err()
	})
	if s := n.table.Load().byName["o"]; len(s.children) == 0 {
		t.Fatal("the child is a shard: nothing was shown")
	}
	var b kv.Batch
	b.Reset(time.Now().Add(patience))
	call := b.Add()
	call.Keyspace, call.Command = ks, kv.Command{Ops: []kv.Op{addTo(ks, "a", 1).Op, addTo(ks, key+"x", 1).Op}}
	n.Submit(&b)
	b.Wait()
	if r := call.Result; r.Code != kv.OK || r.Items[0].Int != 2 || r.Items[1].Int != 2 {
		t.Errorf("as one command: %+v", r)
	}
	reads := &kv.Txn{Then: []kv.TxnOp{{Keyspace: ks, Op: get("a").Ops[0]}, {Keyspace: ks, Op: get(key + "x").Ops[0]}}}
	if r := n.Transact(reads, time.Now().Add(patience)); r.Code != kv.OK || string(r.Items[0].Value)+string(r.Items[1].Value) != "22" {
		t.Errorf("reads: %+v", r)
	}
	by := &routes{node: n}
	by.given(uint64(n.table.Load().byName["o"].shards[0].group))
	a, err := txn.NewAttempts(both, n.newTxID(), by.groupOf)
	if err != nil {
		t.Fatal(err)
	}
	_, sends := txn.Begin(a.ID(), a.Parts(), txn.NoMutation)
	n.ask(sends[1:], time.Now().Add(patience), func(*txn.Send, *kv.Result) {})
	if r := n.Transact(both, time.Now().Add(300*time.Millisecond)); len(r.Items) > 0 && r.Code != kv.OK {
		t.Errorf("a transaction that a lock is in the way of: %+v", r) // whatever comes of it, the node must bear it
	}
	eventually(t, "the lock in the child goes", func() error {
		r := n.Transact(both, time.Now().Add(patience))
		return r.Err()
	})
}

// childWithoutCatalog splits until the catalog loses its majority in time, and returns the key.
func (c *cluster) childWithoutCatalog(up *atomic.Bool, few ...*Node) (key string) {
	c.t.Helper()
	for i := range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		key = fmt.Sprintf("k%02d", 20-i)
		group, err := few[0].beginSplit(ctx, "o", []byte(key), false)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, n := range few {
			if err := n.waitTable(ctx, func(t *table) bool { return t.groups[group] != nil }); err != nil {
				c.t.Fatal(err)
			}
		}
		up.Store(true)
		if children := few[0].table.Load().byName["o"].children; len(children) > 0 {
			return key
		}
		up.Store(false)
		c.ready()
	}
	c.t.Fatal("each split was over at once")
	return ""
}
