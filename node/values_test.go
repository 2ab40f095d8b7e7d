package node

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/values"
)

// liar is an outside store that can be told to give wrong bytes, to take its time, and to forget.
type liar struct {
	*values.Memory
	mu    sync.Mutex
	lies  bool
	away  bool
	empty bool
}

func (l *liar) set(change func(*liar)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *liar) Get(name string) ([]byte, error) {
	l.mu.Lock()
	lies, away, empty := l.lies, l.away, l.empty
	l.mu.Unlock()
	v, err := l.Memory.Get(name)
	switch {
	case away:
		return nil, errors.New("no route")
	case empty:
		return nil, values.ErrMissing
	case lies && err == nil:
		v[len(v)/2] ^= 0x20
	}
	return v, err
}

func (l *liar) Address() string { return "liar://here" }
func (l *liar) Evicts() string  { return "" }

// outsideNodes are three nodes with a liar each, and a keyspace whose values lie there.
func outsideNodes(t *testing.T, spec kv.CreateKeyspace) (*cluster, map[core.NodeID]*liar) {
	c, liars := newCluster(t, 3), map[core.NodeID]*liar{}
	for id, config := range c.configs {
		liars[id] = &liar{Memory: values.NewMemory(1 << 20)}
		config.ValueStore = liars[id]
		c.configs[id] = config
	}
	c.start(1, 2, 3)
	c.ready()
	spec.Store = "node"
	c.create(1, spec)
	return c, liars
}

// outOfTheDisks waits until all replicas of pages have a key, and the stores alone have the values.
func outOfTheDisks(t *testing.T, c *cluster, key string) {
	t.Helper()
	weak := op(kv.OpGet, key, "")
	weak.Level = kv.LevelEventual
	for id, n := range c.nodes {
		eventually(t, "values outside", func() error {
			if r := submit(n, "pages", weak)[0]; r.Code != kv.OK {
				return fmt.Errorf("node %d has no %s: %w", id, key, r.Err())
			}
			if s := n.values.node.Stats(); s.Waiting+s.Settling > 0 || s.Stored == 0 || anterooms(n) > 0 {
				return fmt.Errorf("node %d: %+v", id, s)
			}
			return nil
		})
	}
}

// anterooms counts the values on a node's disk.
func anterooms(n *Node) (count int) {
	for g := range n.table.Load().groups {
		n.disk.Group(values.Anteroom(g)).Scan(nil, nil, func(_, _ []byte) bool { count++; return true })
	}
	return count
}

var tale = strings.Repeat("once upon a time ", 40)

func op(kind kv.OpKind, key, value string) kv.Command {
	return kv.Command{Ops: []kv.Op{{Kind: kind, Key: []byte(key), Value: []byte(value)}}}
}

// must submits commands until the cluster can execute them.
func must(t *testing.T, n *Node, keyspace string, c kv.Command) kv.Result {
	t.Helper()
	var r kv.Result
	eventually(t, "command", func() error {
		r = submit(n, keyspace, c)[0]
		return r.Err()
	})
	return r
}

func TestStoreThatLiesIsNotBelieved(t *testing.T) {
	c, liars := outsideNodes(t, kv.CreateKeyspace{Name: "pages"})
	must(t, c.nodes[1], "pages", op(kv.OpSet, "k", tale))
	outOfTheDisks(t, c, "k")
	liars[2].set(func(l *liar) { l.lies = true })
	for id, n := range c.nodes {
		if r := must(t, n, "pages", op(kv.OpGet, "k", "")); string(r.Value) != tale || r.Int != int64(len(tale)) {
			t.Errorf("node %d reads %.40q, %d", id, r.Value, r.Int)
		}
		list := must(t, n, "pages", kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}}})
		if len(list.Items) != 1 || string(list.Items[0].Value) != tale {
			t.Errorf("node %d lists %d items", id, len(list.Items))
		}
	}
	liars[2].set(func(l *liar) { l.lies = false })
	must(t, c.nodes[1], "pages", op(kv.OpDelete, "k", ""))
	must(t, c.nodes[1], "pages", op(kv.OpSet, "k2", tale))
	outOfTheDisks(t, c, "k2")
	for id, l := range liars {
		l.set(func(l *liar) { l.lies, l.away = true, id == 3 })
	}
	eventually(t, "a store that cannot be asked", func() error {
		r := submit(c.nodes[1], "pages", op(kv.OpGet, "k2", ""))[0]
		if r.Code == kv.ValueLost {
			t.Fatalf("a value that the store of node 3 may have is answered %+v", r)
		}
		if r.Code != kv.Unavailable || !strings.Contains(r.Detail, "cannot be asked") {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	liars[3].set(func(l *liar) { l.away = false })
	for id, n := range c.nodes {
		eventually(t, "loss", func() error {
			r := submit(n, "pages", op(kv.OpGet, "k2", ""))[0]
			if r.Code == kv.OK || r.Code == kv.Unavailable {
				return fmt.Errorf("node %d still has a copy, or leaves its store alone: %s", id, r.Code)
			}
			if r.Code != kv.ValueLost || len(r.Value) > 0 {
				t.Fatalf("node %d answers %+v", id, r)
			}
			return nil
		})
	}
	list := submit(c.nodes[1], "pages", kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}}})[0]
	if list.Code != kv.ValueLost || len(list.Items) > 0 {
		t.Errorf("a scan over a lost value is answered %+v", list)
	}
	must(t, c.nodes[1], "pages", op(kv.OpSet, "k2", "short"))
	if r := must(t, c.nodes[2], "pages", op(kv.OpGet, "k2", "")); string(r.Value) != "short" {
		t.Errorf("%+v", r)
	}
}

func TestNodeWithoutCopiesDoesNotCallThemLost(t *testing.T) {
	c, liars := outsideNodes(t, kv.CreateKeyspace{Name: "pages"})
	must(t, c.nodes[1], "pages", op(kv.OpSet, "k", tale))
	outOfTheDisks(t, c, "k")
	c.close(3)
	liars[1].set(func(l *liar) { l.empty = true })
	liars[2].set(func(l *liar) { l.empty = true })
	eventually(t, "refusal", func() error {
		r := submit(c.nodes[1], "pages", op(kv.OpGet, "k", ""))[0]
		if r.Code == kv.OK || r.Code == kv.ValueLost {
			t.Fatalf("a value that node 3 may have is answered %+v", r)
		}
		if r.Code != kv.Unavailable || !strings.Contains(r.Detail, "cannot be asked") {
			return r.Err()
		}
		return nil
	})
	c.start(3)
	c.ready()
	if r := must(t, c.nodes[1], "pages", op(kv.OpGet, "k", "")); string(r.Value) != tale {
		t.Errorf("%+v", r)
	}
}

// TestOperationsThatNeedTheValue are executed as a read and a conditional write, and answered like any others.
func TestOperationsThatNeedTheValue(t *testing.T) {
	c, _ := outsideNodes(t, kv.CreateKeyspace{Name: "pages"})
	n := c.nodes[1]
	must(t, n, "pages", op(kv.OpSet, "k", tale))
	must(t, n, "pages", op(kv.OpSet, "short", strings.Repeat("s", 60)))
	value := func(key, want string) {
		t.Helper()
		if r := must(t, c.nodes[2], "pages", op(kv.OpGet, key, "")); string(r.Value) != want {
			t.Errorf("%s is %.60q; want %.60q", key, r.Value, want)
		}
	}
	if r := must(t, n, "pages", op(kv.OpAppend, "k", "end")); r.Int != int64(len(tale)+3) {
		t.Errorf("append answers %+v", r)
	}
	value("k", tale+"end")
	must(t, n, "pages", op(kv.OpPrepend, "k", "begin "))
	value("k", "begin "+tale+"end")
	must(t, n, "pages", op(kv.OpAppend, "short", "sssss")) // it grows out of the state
	must(t, n, "pages", op(kv.OpAppend, "short", "t"))
	value("short", strings.Repeat("s", 65)+"t")
	must(t, n, "pages", kv.Command{Ops: []kv.Op{{Kind: kv.OpSetRange, Key: []byte("k"), Offset: 2, Value: []byte("GIN")}}})
	value("k", "beGIN "+tale+"end")
	must(t, n, "pages", kv.Command{Ops: []kv.Op{{Kind: kv.OpCopy, Key: []byte("k"), Key2: []byte("copy")}}})
	if r := must(t, n, "pages", kv.Command{Ops: []kv.Op{{Kind: kv.OpRename, Key: []byte("k"), Key2: []byte("copy")}}}); !r.Existed {
		t.Errorf("rename to what was there answers %+v", r)
	}
	value("copy", "beGIN "+tale+"end")
	if r := submit(n, "pages", op(kv.OpGet, "k", ""))[0]; r.Code != kv.NotFound {
		t.Errorf("what was renamed is %+v", r)
	}
	r := submit(n, "pages", kv.Command{Ops: []kv.Op{{Kind: kv.OpCopy, Key: []byte("copy"), Key2: []byte("short"), When: kv.IfAbsent}}})[0]
	if r.Code != kv.ConditionFailed || !r.Existed {
		t.Errorf("copy to what is there answers %+v", r)
	}
	old := must(t, n, "pages", kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("copy"), Value: []byte("new"), Old: true}}})
	if string(old.Value) != "beGIN "+tale+"end" {
		t.Errorf("the value before is %.60q", old.Value)
	}
	several := kv.Command{Ops: []kv.Op{{Kind: kv.OpAppend, Key: []byte("short"), Value: []byte("x")}, {Kind: kv.OpGet, Key: []byte("copy")}}}
	if r := submit(n, "pages", several)[0]; r.Code != kv.OK || !machine.Elsewhere(&r.Items[0]) || string(r.Items[1].Value) != "new" {
		t.Errorf("an append among others answers %+v", r)
	}
}

// TestAppendsRace lets several clients append: none is lost, none counted twice.
func TestAppendsRace(t *testing.T) {
	c, _ := outsideNodes(t, kv.CreateKeyspace{Name: "pages"})
	must(t, c.nodes[1], "pages", op(kv.OpSet, "k", tale))
	const each = 10
	var group sync.WaitGroup
	for _, n := range c.nodes {
		group.Go(func() {
			for range each {
				if r := submit(n, "pages", op(kv.OpAppend, "k", "+"))[0]; r.Code != kv.OK {
					t.Errorf("append answers %+v", r)
				}
			}
		})
	}
	group.Wait()
	r := must(t, c.nodes[1], "pages", op(kv.OpGet, "k", ""))
	if got := bytes.Count(r.Value, []byte("+")); got != 3*each {
		t.Errorf("%d of %d appends are there", got, 3*each)
	}
}

// Stores of the nodes' own: one on the disk, one in memory, and a node that was told none, which refuses such keyspaces and serves
// those that others have made.
func TestStoresOfTheNodesOwn(t *testing.T) {
	c := newCluster(t, 3)
	for id, s := range map[core.NodeID]ValueStore{1: Pebble, 2: Memory} {
		config := c.configs[id]
		config.ValueStore = s
		c.configs[id] = config
	}
	c.start(1, 2, 3)
	c.ready()
	spec := kv.CreateKeyspace{Name: "pages", Store: "node"}
	if err := c.nodes[3].CreateKeyspace(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "started without a store") {
		t.Errorf("a node without a store answers %v", err)
	}
	c.create(1, spec)
	must(t, c.nodes[1], "pages", op(kv.OpSet, "k", tale))
	for id, want := range map[core.NodeID]kv.StoreStatus{1: {Store: "pebble"}, 2: {Store: "memory"}, 3: {Store: "none", Trouble: errUntold.Error()}} {
		n := c.nodes[id]
		if r := must(t, n, "pages", op(kv.OpGet, "k", "")); string(r.Value) != tale {
			t.Errorf("node %d reads %.40q", id, r.Value)
		}
		eventually(t, "the store", func() error {
			list := n.values.status()
			if len(list) != 1 || list[0].Store != want.Store || list[0].Trouble != want.Trouble || (list[0].Stored > 0) != (id == 2) || list[0].Refilling {
				return fmt.Errorf("node %d has stores %+v", id, list)
			}
			return nil
		})
	}
}

// TestRewriteAtAReplicaThatIsBehind: a node whose replica lacks the latest writes must not judge a condition by what it has.
func TestRewriteAtAReplicaThatIsBehind(t *testing.T) {
	c := newCluster(t, 3)
	all := c.attackable()
	for id, config := range c.configs {
		config.ValueStore = &liar{Memory: values.NewMemory(1 << 20)}
		c.configs[id] = config
	}
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "pages", Consistency: kv.Sequential, Store: "node"})
	c.hasKeyspace("pages")
	for peer := range 2 {
		hurt(t, all[3], fmt.Sprintf("links/%d/in", peer+1), `{"loss":0.7}`)
	}
	for i := range 20 {
		now := must(t, c.nodes[1], "pages", op(kv.OpSet, "k", tale+fmt.Sprint(i)))
		extend := op(kv.OpAppend, "k", "+")
		extend.Ops[0].When, extend.Ops[0].Version = kv.IfVersion, now.Version
		if r := submit(c.nodes[3], "pages", extend)[0]; r.Code != kv.OK && !r.Code.Refused() && r.Code != kv.Unknown {
			t.Fatalf("an append to the version that is there answers %+v", r)
		}
	}
}

func TestRewritten(t *testing.T) {
	o := kv.Op{Kind: kv.OpAppend, Key: []byte("k"), Value: []byte("x")}
	old := kv.Result{Value: []byte(tale), Version: 7}
	next, done := rewriteOp(&kv.Command{Ops: []kv.Op{o}}, &old)
	if done != nil || next.Ops[0].When != kv.IfVersion || next.Ops[0].Version != 7 || string(next.Ops[0].Value) != tale+"x" {
		t.Errorf("%+v, %+v", next, done)
	}
	cas := o
	cas.When, cas.Version = kv.IfVersion, 6
	if _, done := rewriteOp(&kv.Command{Ops: []kv.Op{cas}}, &old); done == nil || done.Code != kv.ConditionFailed {
		t.Errorf("an append to another version: %+v", done)
	}
	huge := kv.Result{Value: make([]byte, kv.ValueMax), Version: 7}
	if _, done := rewriteOp(&kv.Command{Ops: []kv.Op{o}}, &huge); done == nil || done.Code != kv.TooLong {
		t.Errorf("an append to the longest value: %+v", done)
	}
	for _, c := range []struct {
		r    kv.Result
		over bool
	}{{kv.Result{Code: kv.OK}, true}, {kv.Result{Code: kv.ConditionFailed}, false}, {kv.Result{Code: kv.NotFound}, false},
		{kv.Result{Code: kv.Unknown}, true}, {kv.Result{Code: kv.Busy}, true}} {
		if _, over := rewritten(&o, &next, &c.r); over != c.over {
			t.Errorf("%s is the end: %v", c.r.Code, over)
		}
	}
}
