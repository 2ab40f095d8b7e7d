package sim

import (
	"testing"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/quorum"
	"github.com/gamutdb/gamut/twophase"
)

// resting are small clusters whose clients pause for longer than a group takes to rest, under every fault: leaders of groups at
// rest die and are cut off, and commands meet clocks that stood still.
func resting(seed uint64) Options {
	options, lease := drawPaxos(seed, paxos.NoMutation)
	options.Heartbeat, options.ElectionMin, options.ElectionMax = quick.Heartbeat, quick.ElectionMin, quick.ElectionMax
	return Options{Seed: seed, Protocol: Paxos(options, lease), Clients: 2, Groups: 2, Think: Second, Faulty: 8 * Second,
		HealMax: 120 * Second}
}

// TestRestingSeeds lets groups rest between the commands of few and slow clients.
func TestRestingSeeds(t *testing.T) { runAll(t, resting) }

// TestRestingSeedsOfEachKind lets replicas of all other kinds rest, whose clients come back after most have fallen asleep.
func TestRestingSeedsOfEachKind(t *testing.T) {
	for name, draw := range map[string]func(seed uint64) Protocol{
		"sequential": func(seed uint64) Protocol { return DrawSequential(seed, paxos.NoMutation) },
		"quorum":     func(seed uint64) Protocol { return DrawQuorum(seed, quorum.NoMutation, false) },
		"atomic":     func(seed uint64) Protocol { return DrawTwophase(seed, twophase.NoMutation) },
		"causal":     func(seed uint64) Protocol { return DrawBayou(seed, bayou.NoMutation) },
	} {
		t.Run(name, func(t *testing.T) {
			runAll(t, func(seed uint64) Options {
				return Options{Seed: seed, Protocol: draw(seed), Clients: 2, Groups: 2, Think: 4 * Second, Faulty: 12 * Second, HealMax: 3600 * Second}
			})
		})
	}
}

// kindsOfKeyspace is one keyspace of each kind.
var kindsOfKeyspace = []kv.CreateKeyspace{
	{Name: "linearizable"}, {Name: "sequential", Consistency: kv.Sequential}, {Name: "atomic", Consistency: kv.Atomic},
	{Name: "quorum", Consistency: kv.Quorum}, {Name: "latched", Consistency: kv.Quorum, Atomic: true},
	{Name: "causal", Consistency: kv.Causal}, {Name: "siblings", Consistency: kv.Causal, Conflict: "siblings"},
	{Name: "ordered", Consistency: kv.Causal, CommitOrder: true}, {Name: "eventual", Consistency: kv.Eventual},
}

// TestNothingIsWrittenWhereNobodyAsks counts the syncs of a cluster with a keyspace of each kind: each was written to, and all rest. When
// somebody asks one of them for something, only that is written; and the others are asked, all answer by the time of now.
func TestNothingIsWrittenWhereNobodyAsks(t *testing.T) {
	x := drive(t, ClusterOptions{Nodes: 3, Seed: 1})
	for _, spec := range kindsOfKeyspace {
		spec.Replicas = 3
		d, err := x.c.CreateKeyspace(spec)
		x.must(err)
		x.until(func() bool { return x.c.Ready(d) })
		x.d = d
		x.put(1, "first", "k")
	}
	x.c.w.options.Faults.Roll = 3600 * Second // which the world does to its logs, whether they are long or not
	syncs := func(during core.Time) int {
		before := x.c.Stats().Syncs
		x.must(x.c.Advance(during))
		return x.c.Stats().Syncs - before
	}
	syncs(20 * Second)
	if n := syncs(60 * Second); n != 0 {
		t.Errorf("%d syncs in a minute in which nobody asked for anything", n)
	}
	for _, spec := range kindsOfKeyspace {
		x.d = x.c.Keyspace(spec.Name)
		for node := range core.NodeID(3) {
			if r := x.put(node+1, "k", spec.Name); r.Code != kv.OK {
				t.Errorf("a write after the rest, %s at node %d: %+v", spec.Name, node+1, r)
			}
		}
		if n := syncs(10 * Second); n < 3 {
			t.Errorf("%d syncs after three writes to keyspace %s", n, spec.Name)
		}
		if n := syncs(20 * Second); n != 0 {
			t.Errorf("%d syncs while keyspace %s rests again", n, spec.Name)
		}
	}
}

// TestASessionWakesAGroupWhoseTimeStoodStill carries what it has seen in one group of a sequential keyspace to another one that has
// rested for long: it is answered, and wakes the group whose time stood still.
func TestASessionWakesAGroupWhoseTimeStoodStill(t *testing.T) {
	x := drive(t, ClusterOptions{Nodes: 3, Seed: 1})
	d, err := x.c.CreateKeyspace(kv.CreateKeyspace{Name: "s", Consistency: kv.Sequential, Replicas: 3, Shards: 2})
	x.must(err)
	x.until(func() bool { return x.c.Ready(d) })
	ask := func(node core.NodeID, shard int, op kv.Op, token []byte) (r kv.Result) {
		answered := false
		x.c.Submit(node, d, shard, &kv.Command{Ops: []kv.Op{op}, Token: token}, 2*Second, func(got kv.Result) { r, answered = got, true })
		x.until(func() bool { return answered })
		return r
	}
	ask(1, 1, kv.Op{Kind: kv.OpSet, Key: []byte("b"), Value: []byte("old")}, nil)
	x.must(x.c.Advance(120 * Second))
	seen := ask(1, 0, kv.Op{Kind: kv.OpSet, Key: []byte("a"), Value: []byte("new")}, nil)
	for _, node := range []core.NodeID{2, 3, 1} {
		if r := ask(node, 1, kv.Op{Kind: kv.OpGet, Key: []byte("b")}, seen.Token); r.Code != kv.OK || string(r.Value) != "old" {
			t.Errorf("at node %d: %+v", node, r)
		}
	}
}

// TestGroupsAtRestCostLittle counts what a calm cluster says and writes while one client asks for something twice a minute.
func TestGroupsAtRestCostLittle(t *testing.T) {
	r := Run(Options{Seed: 1, Protocol: Paxos(paxos.Options{}, 500*Millisecond), Nodes: 3, Groups: 3, Clients: 1, Think: 30 * Second, Faults: Calm(),
		Faulty: 60 * Second, HealMax: 3600 * Second})
	if r.Failure != "" {
		t.Fatal(r.Failure)
	}
	// Three groups, two followers each, a heartbeat and its answer every 150 ms, which makes 80 messages a second.
	seconds := int(r.Stats.End / Second)
	if most := 100 * seconds; r.Stats.Messages > most {
		t.Errorf("%d messages in %d s at rest, more than %d", r.Stats.Messages, seconds, most)
	}
	// Clocks that ran on would take fifteen syncs a second.
	if r.Stats.Syncs > 3*seconds {
		t.Errorf("%d syncs in %d s at rest", r.Stats.Syncs, seconds)
	}
	t.Logf("at rest: %s", r.Stats)
}
