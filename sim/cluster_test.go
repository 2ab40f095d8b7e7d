package sim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
)

// driven is a cluster with one keyspace whose mistakes end the test.
type driven struct {
	*testing.T
	c *Cluster
	d *keyspace.Descriptor
}

func drive(t *testing.T, o ClusterOptions) *driven {
	c, err := NewCluster(o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.CreateKeyspace(kv.CreateKeyspace{Name: "default", Replicas: o.Nodes})
	if err != nil {
		t.Fatal(err)
	}
	x := &driven{t, c, d}
	x.until(func() bool { return c.Ready(d) })
	if r := x.put(1, "first", ""); r.Code != kv.OK {
		t.Fatal(r)
	}
	return x
}

func (x *driven) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

func (x *driven) until(done func() bool) {
	x.Helper()
	met, err := x.c.Until(10*Second, done)
	x.must(err)
	if !met {
		x.Fatal("not within 10 s")
	}
}

func (x *driven) do(node core.NodeID, op kv.Op) (r kv.Result) {
	x.Helper()
	answered := false
	x.c.Submit(node, x.d, 0, &kv.Command{Ops: []kv.Op{op}}, 2*Second, func(got kv.Result) { r, answered = got, true })
	x.until(func() bool { return answered })
	return r
}

func (x *driven) put(node core.NodeID, key, value string) kv.Result {
	return x.do(node, kv.Op{Kind: kv.OpSet, Key: []byte(key), Value: []byte(value)})
}

func (x *driven) get(node core.NodeID, key string) string {
	r := x.do(node, kv.Op{Kind: kv.OpGet, Key: []byte(key)})
	return fmt.Sprintf("%s %s", r.Value, r.Code)
}

func (x *driven) leader() core.NodeID {
	x.until(func() bool { return x.c.leader(x.c.w.groups[0]) != nil })
	return x.c.leader(x.c.w.groups[0]).id
}

func TestClusterServesAndSurvives(t *testing.T) {
	x := drive(t, ClusterOptions{Nodes: 5, Seed: 1})
	leader := x.leader()
	if r := x.put(1, "k", "v"); r.Code != kv.OK {
		t.Fatal(r)
	}
	x.must(x.c.Crash(TailLost, leader))
	other := leader%5 + 1
	if r := x.put(leader, "k", "w"); r.Code != kv.Unavailable {
		t.Errorf("a dead node answers %v", r)
	}
	if got := x.get(other, "k"); got != "v ok" {
		t.Errorf("after the leader's crash: %s", got)
	}
	x.must(x.c.Start(leader))
	if got := x.get(leader, "k"); got != "v ok" {
		t.Errorf("after its start: %s", got)
	}
	x.must(x.c.Crash(TailKept, 1, 2, 3, 4, 5))
	for id := core.NodeID(1); id <= 5; id++ {
		x.must(x.c.Start(id))
	}
	if got := x.get(2, "k"); got != "v ok" {
		t.Errorf("after all lost their power: %s", got)
	}
}

func TestClusterCutFromTheMajoritySaysUnknown(t *testing.T) {
	x := drive(t, ClusterOptions{Nodes: 3, Seed: 2})
	leader := x.leader()
	for id := core.NodeID(1); id <= 3; id++ {
		if id != leader {
			x.c.SetLink(leader, id, Link{Down: true})
			x.c.SetLink(id, leader, Link{Down: true})
		}
	}
	if r := x.put(leader, "k", "v"); r.Code != kv.Unknown {
		t.Errorf("a leader that is cut off answers %v", r)
	}
	if r := x.put(leader%3+1, "k", "w"); r.Code != kv.OK {
		t.Errorf("the majority answers %v", r)
	}
}

func TestClusterFaultsOfNodes(t *testing.T) {
	x := drive(t, ClusterOptions{Nodes: 3, Seed: 3})
	leader := x.leader()
	x.must(x.c.Pause(leader))
	if r := x.put(leader%3+1, "k", "forwarded"); r.Code != kv.Unknown {
		t.Errorf("what was forwarded to a paused leader: %v", r)
	}
	if r := x.put(leader%3+1, "k", "paused"); r.Code != kv.OK {
		t.Errorf("while the leader is paused: %v", r)
	}
	x.must(x.c.Resume(leader))
	leader = x.leader()
	x.c.SetDisk(leader, Disk{Full: true})
	if r := x.put(leader, "k", "full"); r.Code != kv.DiskFull {
		t.Errorf("a node with a full disk answers %v", r)
	}
	x.until(func() bool { l := x.c.leader(x.c.w.groups[0]); return l != nil && l.id != leader })
	x.c.SetDisk(leader, Disk{})
	leader = x.leader()
	x.c.SetClock(leader, time.Hour, 0)
	x.until(func() bool { l := x.c.leader(x.c.w.groups[0]); return l != nil && l.id != leader })
	x.c.SetClock(leader, 0, 0)
	other := leader%3 + 1
	x.c.SetDisk(other, Disk{SyncError: true})
	x.put(leader, "k", "sync error")
	x.until(func() bool { return !x.c.Up(other) })
	x.must(x.c.Damage(other, 1))
	x.must(x.c.Start(other))
	x.until(func() bool { return x.c.Status(other, x.d, 0).Commit > 0 && !x.c.Status(other, x.d, 0).Suspect })
	if got := x.get(other, "k"); got != "sync error ok" {
		t.Errorf("after damage: %s", got)
	}
}

func TestClusterRefuses(t *testing.T) {
	x := drive(t, ClusterOptions{Nodes: 3, Seed: 4, Absent: nil})
	for name, err := range map[string]error{
		"start a running node": x.c.Start(1), "wipe a running node": x.c.Wipe(1), "damage a running node": x.c.Damage(1, 1),
		"resume": x.c.Resume(1),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	x.must(x.c.Crash(TailKept, 1))
	x.must(x.c.Wipe(1))
	if err := x.c.Start(1); err == nil || !strings.Contains(err.Error(), "new disk") {
		t.Errorf("a wiped node starts: %v", err)
	}
	if _, err := x.c.CreateKeyspace(kv.CreateKeyspace{Name: "q", Consistency: "nonsense"}); err == nil {
		t.Error("a keyspace of nonsense was made")
	}
	if _, err := NewCluster(ClusterOptions{Nodes: NodesMax + 1}); err == nil {
		t.Error("a cluster that is too large")
	}
	if understood, err := x.c.Inject(2, []byte("prepare-1")); understood || err != nil {
		t.Error("a garbage message was understood", err)
	}
}

func TestClusterSameCallsSameTrace(t *testing.T) {
	run := func(seed uint64) uint64 {
		x := drive(t, ClusterOptions{Nodes: 3, Seed: seed})
		x.c.SetLink(1, 2, Link{Loss: 0.3, Duplicate: 0.3, Reorder: 0.3, Delay: time.Millisecond, Jitter: time.Millisecond})
		x.c.SetLink(2, 1, Link{Down: true, Flap: 20 * time.Millisecond})
		for i := range 20 {
			x.put(core.NodeID(i%3+1), "k", fmt.Sprint(i))
		}
		x.must(x.c.Crash(TailLost, 2))
		x.must(x.c.Advance(3 * Second))
		return x.c.TraceHash()
	}
	if a, b := run(5), run(5); a != b {
		t.Errorf("two traces of one seed: %x and %x", a, b)
	}
	if run(5) == run(6) {
		t.Error("two seeds, one trace")
	}
}

// counted counts the steps of a replica.
type counted struct {
	core.Replica
	steps *int
}

func (c counted) Step(in *core.Input, out *core.Effects) {
	*c.steps++
	c.Replica.Step(in, out)
}

func (c counted) Unwrap() core.Replica   { return c.Replica }
func (c counted) Leader() core.ReplicaID { return c.Replica.(core.Led).Leader() }
func (c counted) ReadUntil() core.Time   { return c.Replica.(core.Leased).ReadUntil() }

// BenchmarkSwarm runs seeds under faults, all checks on, and counts the steps of replicas and the events of the world.
func BenchmarkSwarm(b *testing.B) {
	steps, events, virtual := 0, 0, core.Time(0)
	for i := range b.N {
		seed := uint64(i%100 + 1)
		r := Run(Options{Seed: seed, Protocol: DrawPaxos(seed, paxos.NoMutation),
			Mutate: func(r core.Replica) core.Replica { return counted{r, &steps} }})
		events, virtual = events+r.Stats.Events, virtual+r.Stats.End
	}
	perSecond := func(n float64, unit string) { b.ReportMetric(n/b.Elapsed().Seconds(), unit+"/s") }
	perSecond(float64(steps), "steps")
	perSecond(float64(events), "events")
	perSecond(float64(virtual)/1e9, "virtual-s")
}

// TestTornCrashLeavesAPart: a node loses its power in the middle of a write. Some of it is on the disk, none of it is believed, and
// what was acknowledged before is there.
func TestTornCrashLeavesAPart(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		x := drive(t, ClusterOptions{Nodes: 1, Seed: seed})
		if r := x.put(1, "before", "v"); r.Code != kv.OK {
			t.Fatal(r)
		}
		var r kv.Result
		x.c.Submit(1, x.d, 0, &kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("torn"), Value: bytes.Repeat([]byte("x"), 50_000)}}}, 2*Second,
			func(got kv.Result) { r = got })
		n := x.c.node(1)
		x.until(func() bool { return n.writing && n.batch.Bytes > 50_000 })
		x.must(x.c.Crash(TailTorn, 1))
		x.must(x.c.Start(1))
		if got := x.get(1, "before"); got != "v ok" {
			t.Errorf("seed %d: what was acknowledged before: %s", seed, got)
		}
		if got := x.get(1, "torn"); got != " not found" || r.Code != kv.Unknown {
			t.Errorf("seed %d: what was being written: %s; its client was told %v", seed, got, r.Code)
		}
		if x.c.w.hits["torn-write"] != 1 {
			t.Errorf("seed %d: nothing of the write was on the disk", seed)
		}
	}
}

// TestTies: two nodes that do not hear each other count their next writes alike, and the lower or the higher one wins.
func TestTies(t *testing.T) {
	for tie, want := range map[Tie]string{TieLow: "one ok", TieHigh: "two ok"} {
		c, err := NewCluster(ClusterOptions{Nodes: 7, Seed: 1, Tie: tie})
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.CreateKeyspace(kv.CreateKeyspace{Name: "default", Consistency: kv.Causal, Replicas: 7})
		if err != nil {
			t.Fatal(err)
		}
		x := &driven{t, c, d}
		c.SetLink(2, 6, Link{Down: true})
		c.SetLink(6, 2, Link{Down: true})
		for id := core.NodeID(1); id <= 7; id++ {
			if id != 2 && id != 6 {
				x.must(c.Crash(TailKept, id))
			}
		}
		x.put(6, "k", "two")
		x.must(c.Advance(Second)) // by the clock it is later, by its count it is not
		x.put(2, "k", "one")
		c.SetLink(2, 6, Link{})
		c.SetLink(6, 2, Link{})
		x.must(c.Advance(2 * Second))
		if a, b := x.get(2, "k"), x.get(6, "k"); a != want || b != want {
			t.Errorf("tie %d: node 2 has %s, node 6 has %s, want %s", tie, a, b, want)
		}
	}
}

// TestReplicasJoinAndAreLostUnderOneNumber kills and joins the same server again and again, as scripts of Bayou do.
func TestReplicasJoinAndAreLostUnderOneNumber(t *testing.T) {
	c := newCausalCluster(t)
	for i := range 8 {
		value := fmt.Sprint("v", i)
		mustPut(t, c, 1, value)
		if err := c.LoseReplica("c", 3); err != nil {
			t.Fatal(err)
		}
		if err := c.JoinReplica("c", 3); err != nil {
			t.Fatal(err)
		}
		met, err := c.Until(20*Second, func() bool { return shows(c, 3, value) })
		if err != nil || !met {
			t.Fatalf("round %d: %v; %+v", i, err, c.Status(3, c.Keyspace("c"), 0))
		}
	}
	if err := c.LoseReplica("c", 9); err == nil {
		t.Error("what is not there is lost")
	}
}

func newCausalCluster(t *testing.T) *Cluster {
	c, err := NewCluster(ClusterOptions{Nodes: 3, Seed: 1})
	if err == nil {
		_, err = c.CreateKeyspace(kv.CreateKeyspace{Name: "c", Consistency: kv.Causal})
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustPut(t *testing.T, c *Cluster, at core.NodeID, value string) {
	t.Helper()
	done := false
	c.Submit(at, c.Keyspace("c"), 0, &kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k"), Value: []byte(value)}}}, Second, func(r kv.Result) { done = r.Code == kv.OK })
	if met, err := c.Until(2*Second, func() bool { return done }); err != nil || !met {
		t.Fatal("put", value, err)
	}
}

func shows(c *Cluster, at core.NodeID, value string) (same bool) {
	if c.Status(at, c.Keyspace("c"), 0).Role != "replica" {
		return false
	}
	err := c.State(at, c.Keyspace("c"), 0, func(r kv.Result) { same = same || string(r.Value) == value })
	return same && err == nil
}
