package sim

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/machine"
)

// anyTxn is the swarm of transactions under every fault.
func anyTxn(seed uint64) TxnOptions {
	return TxnOptions{Options: Options{Seed: seed, Protocol: DrawTransactions(seed, machine.NoMutation), Without: strings.Split(*withoutFlag, ",")}}
}

// runTxnTold is RunTxn; a failing run is run again to tell how it came to it.
func runTxnTold(o TxnOptions) Result {
	r := RunTxn(o)
	if r.Failure == "" {
		return r
	}
	o.Trace = true
	again := RunTxn(o)
	if again.TraceHash != r.TraceHash {
		again.Failure += "; and the run is not a function of its seed: its second trace differs"
	}
	return again
}

// TestTransactionSeeds runs bank, list-append and write-skew workloads under every fault.
func TestTransactionSeeds(t *testing.T) {
	first, count := *firstFlag, max(1, *seedsFlag/4)
	if *seedFlag != 0 {
		first, count = *seedFlag, 1
	}
	var total Stats
	for seed := first; seed < first+uint64(count); seed++ {
		r := runTxnTold(anyTxn(seed))
		if r.Failure != "" {
			t.Fatalf("%s\nreplay: go test ./sim -run '^%s$' -seed=%d -v\nseed %d, %s\n%s", r.Failure, t.Name(), seed, seed, r.Parameters,
				strings.Join(r.Trace, "\n"))
		}
		total.add(r.Stats)
	}
	t.Logf("%d seeds: %s", count, total)
}

// TestTransactionRunsAreFunctionsOfTheirSeeds runs some seeds twice.
func TestTransactionRunsAreFunctionsOfTheirSeeds(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		if a, b := RunTxn(anyTxn(seed)), RunTxn(anyTxn(seed)); a.TraceHash != b.TraceHash || a.Stats != b.Stats {
			t.Errorf("seed %d: %x and %x", seed, a.TraceHash, b.TraceHash)
		}
	}
}

// movingTxns have groups whose replicas are sent snapshots and whose members change.
func movingTxns(seed uint64) TxnOptions {
	f := Calm()
	f.Crash, f.Change, f.Cut, f.SegmentBytes = 900*Millisecond, 700*Millisecond, Second, 4<<10
	return TxnOptions{Options: Options{Seed: seed, Nodes: 5, Groups: 3, Clients: 6, Faults: f, Protocol: Transactions(forgetful, 50*Millisecond)}}
}

// TestTransactionsMoveWithTheirGroups: while replicas are sent snapshots and members change, locks and votes come along. States at
// equal positions are compared all the time, tables and locks included.
func TestTransactionsMoveWithTheirGroups(t *testing.T) {
	snapshots := 0
	for seed := uint64(1); seed <= 8; seed++ {
		o := movingTxns(seed)
		o.Trace, o.TraceLines = true, 400_000
		r := RunTxn(o)
		if r.Failure != "" {
			t.Fatalf("seed %d: %s", seed, r.Failure)
		}
		for _, line := range r.Trace {
			if strings.Contains(line, "installed a snapshot") {
				snapshots++
			}
		}
	}
	if snapshots == 0 {
		t.Error("no replica was ever sent a snapshot")
	}
	t.Logf("%d snapshots were installed", snapshots)
}
