package sim

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/paxos"
)

const mergeEvery = 400 * Millisecond

// divisible are groups that are split and merged.
func divisible(p Protocol) Protocol { return Merge(Split(p, splitEvery), mergeEvery) }

// TestMergesHappen counts what the seeds of the other tests do: groups are merged that were split before, and that never were.
func TestMergesHappen(t *testing.T) {
	hits := map[string]int{}
	for seed := uint64(1); seed <= 10; seed++ {
		for what, n := range Run(Options{Seed: seed, Protocol: divisible(DrawPaxos(seed, paxos.NoMutation))}).Hits {
			hits[what] += n
		}
	}
	if hits["merge-done"] < 20 || hits["split-done"] < 20 {
		t.Errorf("in 10 seeds %d merges, %d splits", hits["merge-done"], hits["split-done"])
	}
	t.Log(hits)
}

// TestMerges merges and splits linearizable groups again and again under every fault: no write is lost, doubled, or served by two groups.
func TestMerges(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return divisible(DrawPaxos(seed, paxos.NoMutation)) })
}

// TestSequentialMerges does so with the shards of a sequential keyspace: sessions never go back over a merge.
func TestSequentialMerges(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return divisible(DrawSequential(seed, paxos.NoMutation)) })
}

// mergingSwarm is a swarm of groups that are merged often, with a bug planted in that.
func mergingSwarm(sequential bool, bug machine.MergeMutation, lease core.Time, needs func(*Faults)) swarm {
	return func(seed uint64, _ paxos.Mutation) Options {
		f := Calm()
		f.RateMax = 25_000
		needs(f)
		options := forgetful
		options.Merge = bug
		protocol := Paxos(options, lease)
		if sequential {
			protocol = Sequential(options, lease)
		}
		return Options{Seed: seed, Protocol: Merge(Split(protocol, 500*Millisecond), 300*Millisecond), Nodes: 3, Groups: 2, Clients: 8, Faults: f}
	}
}

// TestMergeMutations plants each bug of merges; a checker that lets one pass is broken. What a merge does while transactions hold locks is
// TestMergeOverLocksIsCaught's; that a replica which lags is not read for what it absorbs is shown in package paxos.
func TestMergeMutations(t *testing.T) {
	busy := func(f *Faults) {
		f.Crash, f.Coup, f.Drop, f.SyncMax = 500*Millisecond, 200*Millisecond, 0.05, 20*Millisecond
	}
	crooked := func(f *Faults) {
		busy(f)
		f.WallJump = 500 * Millisecond
	}
	cases := map[machine.MergeMutation]struct {
		draw swarm
		by   []Kind
	}{
		machine.MergeWithoutFreeze:   {mergingSwarm(false, machine.MergeWithoutFreeze, 0, busy), []Kind{Linearizability, Durability, Divergence}},
		machine.MergeKeepsReading:    {mergingSwarm(false, machine.MergeKeepsReading, 300*Millisecond, busy), []Kind{Linearizability}},
		machine.MergeForgetsSessions: {mergingSwarm(false, machine.MergeForgetsSessions, 0, busy), []Kind{Linearizability, Durability}},
		machine.MergeAtAnyTime:       {mergingSwarm(true, machine.MergeAtAnyTime, 0, crooked), []Kind{Linearizability, Invariant}},
		machine.MergeVersionsAnew:    {mergingSwarm(false, machine.MergeVersionsAnew, 0, busy), []Kind{Linearizability, Durability, Divergence, Invariant}},
	}
	for _, bug := range machine.MergeMutations() {
		c, here := cases[bug]
		if !here && (bug == machine.MergeOverLocks || bug == machine.MergeReadsBehind) {
			continue
		}
		t.Run(bug.String(), func(t *testing.T) { mustCatch(t, c.draw, paxos.NoMutation, nil, c.by...) })
	}
}

// mergeTxn is the swarm of transactions over groups that are split and merged.
func mergeTxn(seed uint64, bug machine.MergeMutation) TxnOptions {
	options, lease := drawPaxos(seed, paxos.NoMutation)
	options.Merge = bug
	o := anyTxn(seed)
	o.Protocol = Merge(Split(Transactions(options, lease), 600*Millisecond), mergeEvery)
	return o
}

// TestTransactionsOverMerges runs bank, list-append and write-skew workloads under every fault while groups are split and merged.
func TestTransactionsOverMerges(t *testing.T) {
	first, count := *firstFlag, max(1, *seedsFlag/4)
	if *seedFlag != 0 {
		first, count = *seedFlag, 1
	}
	var total Stats
	merges := 0
	for seed := first; seed < first+uint64(count); seed++ {
		r := runTxnTold(mergeTxn(seed, machine.NoMergeMutation))
		if r.Failure != "" {
			t.Fatalf("%s\nreplay: go test ./sim -run '^%s$' -seed=%d -v\nseed %d, %s\n%s", r.Failure, t.Name(), seed, seed, r.Parameters,
				strings.Join(r.Trace, "\n"))
		}
		total.add(r.Stats)
		merges += r.Hits["merge-done"]
	}
	if merges < count {
		t.Errorf("%d merges in %d seeds", merges, count)
	}
	t.Logf("%d seeds, %d merges: %s", count, merges, total)
}

// TestMergeOverLocksIsCaught plants the bug of a merge that does not wait for transactions.
func TestMergeOverLocksIsCaught(t *testing.T) {
	mustCatchTxn(t, func(seed uint64) TxnOptions { return mergeTxn(seed, machine.MergeOverLocks) }, func(*TxnOptions) {},
		Linearizability, Invariant, Durability, Liveness)
}
