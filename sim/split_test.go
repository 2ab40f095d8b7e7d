package sim

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/paxos"
)

const splitEvery = 600 * Millisecond

// TestSplitsHappen counts what the seeds of the other tests do: groups are divided, and some replicas of children begin with nothing.
func TestSplitsHappen(t *testing.T) {
	hits := map[string]int{}
	for seed := uint64(1); seed <= 20; seed++ {
		for what, n := range Run(Options{Seed: seed, Protocol: Split(DrawPaxos(seed, paxos.NoMutation), splitEvery)}).Hits {
			hits[what] += n
		}
	}
	if hits["split-done"] < 50 || hits["split-blank"] == 0 {
		t.Errorf("in 20 seeds %d splits, and %d replicas of children that began with nothing", hits["split-done"], hits["split-blank"])
	}
	t.Log(hits)
}

// TestSplits splits linearizable groups again and again under every fault: no write is lost, doubled, or served by two groups.
func TestSplits(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return Split(DrawPaxos(seed, paxos.NoMutation), splitEvery) })
}

// TestSequentialSplits does so with the shards of a sequential keyspace: sessions never go back over a split.
func TestSequentialSplits(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return Split(DrawSequential(seed, paxos.NoMutation), splitEvery) })
}

// splittingSwarm is a swarm of groups that are split often, with a bug planted in that.
func splittingSwarm(sequential bool, bug machine.SplitMutation, lease core.Time, needs func(*Faults)) swarm {
	return func(seed uint64, _ paxos.Mutation) Options {
		f := Calm()
		f.RateMax = 25_000
		needs(f)
		options := forgetful
		options.Split = bug
		protocol := Paxos(options, lease)
		if sequential {
			protocol = Sequential(options, lease)
		}
		return Options{Seed: seed, Protocol: Split(protocol, 300*Millisecond), Nodes: 3, Groups: 1, Clients: 8, Faults: f}
	}
}

// TestSplitMutations plants each bug of splits; a checker that lets one pass is broken. What a split does while transactions hold
// locks is TestSplitOverLocksIsCaught's; that blank replicas must not lead is shown in package paxos: here they never are a majority, for
// a parent's state is freed only when a majority of its child's replicas have begun.
func TestSplitMutations(t *testing.T) {
	busy := func(f *Faults) {
		f.Crash, f.Coup, f.Drop, f.SyncMax = 500*Millisecond, 200*Millisecond, 0.05, 20*Millisecond
	}
	cases := map[machine.SplitMutation]struct {
		draw swarm
		by   []Kind
	}{
		machine.SplitForgetsSessions: {splittingSwarm(false, machine.SplitForgetsSessions, 0, busy), []Kind{Linearizability, Durability}},
		machine.SplitKeepsWriting:    {splittingSwarm(false, machine.SplitKeepsWriting, 0, busy), []Kind{Linearizability, Durability, Divergence}},
		machine.SplitKeepsReading:    {splittingSwarm(false, machine.SplitKeepsReading, 300*Millisecond, busy), []Kind{Linearizability}},
		machine.SplitTimeAnew:        {splittingSwarm(true, machine.SplitTimeAnew, 0, busy), []Kind{Linearizability, Invariant}},
		machine.SplitVersionsAnew:    {splittingSwarm(false, machine.SplitVersionsAnew, 0, busy), []Kind{Linearizability, Durability, Divergence, Invariant}},
	}
	for _, bug := range machine.SplitMutations() {
		c, here := cases[bug]
		if !here && (bug == machine.SplitOverLocks || bug == machine.SplitBlankLeads) {
			continue
		}
		t.Run(bug.String(), func(t *testing.T) { mustCatch(t, c.draw, paxos.NoMutation, nil, c.by...) })
	}
}

// splitTxn is the swarm of transactions over groups that are split.
func splitTxn(seed uint64, bug machine.SplitMutation) TxnOptions {
	options, lease := drawPaxos(seed, paxos.NoMutation)
	options.Split = bug
	o := anyTxn(seed)
	o.Protocol = Split(Transactions(options, lease), 400*Millisecond)
	return o
}

// TestTransactionsOverSplits runs bank, list-append and write-skew workloads under every fault while the groups are split.
func TestTransactionsOverSplits(t *testing.T) {
	first, count := *firstFlag, max(1, *seedsFlag/4)
	if *seedFlag != 0 {
		first, count = *seedFlag, 1
	}
	var total Stats
	splits := 0
	for seed := first; seed < first+uint64(count); seed++ {
		r := runTxnTold(splitTxn(seed, machine.NoSplitMutation))
		if r.Failure != "" {
			t.Fatalf("%s\nreplay: go test ./sim -run '^%s$' -seed=%d -v\nseed %d, %s\n%s", r.Failure, t.Name(), seed, seed, r.Parameters,
				strings.Join(r.Trace, "\n"))
		}
		total.add(r.Stats)
		splits += r.Hits["split-done"]
	}
	if splits < count {
		t.Errorf("%d splits in %d seeds", splits, count)
	}
	t.Logf("%d seeds, %d splits: %s", count, splits, total)
}

// TestSplitOverLocksIsCaught plants the bug of a split that does not wait for transactions.
func TestSplitOverLocksIsCaught(t *testing.T) {
	mustCatchTxn(t, func(seed uint64) TxnOptions { return splitTxn(seed, machine.SplitOverLocks) }, func(*TxnOptions) {},
		Linearizability, Invariant, Durability, Liveness)
}
