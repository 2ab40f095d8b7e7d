package sim

import (
	"slices"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/txn"
)

// txnSwarm draws the options of a run in which a bug of transactions shows.
type txnSwarm func(seed uint64) TxnOptions

// busyTxns have many clients on few keys, and coordinators that die.
func busyTxns(workload string, crash core.Time, change func(*Faults)) txnSwarm {
	return func(seed uint64) TxnOptions {
		f := Faults{Crash: crash, DelayMin: 50 * Microsecond, DelayMax: 3 * Millisecond, SyncMax: 3 * Millisecond}
		if change != nil {
			change(&f)
		}
		o := TxnOptions{Workload: workload, Options: Options{Seed: seed, Nodes: 5, Groups: 3, Clients: 10, Think: 5 * Millisecond, Faults: &f}}
		o.Protocol = Transactions(quick, 50*Millisecond)
		return o
	}
}

// scanning has so many transactions on so many keys that some key of each group is locked at any time.
func scanning(seed uint64) TxnOptions {
	o := busyTxns("scans", 0, nil)(seed)
	o.Clients, o.Think, o.Faulty, o.ScansEnd = 30, Millisecond, 3*Second, true
	return o
}

// TestScansEnd: however many transactions come, a scan is answered.
func TestScansEnd(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		r := RunTxn(scanning(seed))
		if r.Failure != "" {
			t.Errorf("seed %d: %s", seed, r.Failure)
		}
		t.Logf("seed %d: %s", seed, r.Stats)
	}
}

// mustCatchTxn runs seeds until one fails in one of the ways that the bug must be found by.
func mustCatchTxn(t *testing.T, draw txnSwarm, plant func(*TxnOptions), by ...Kind) {
	t.Helper()
	for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
		o := draw(seed)
		plant(&o)
		if r := RunTxn(o); r.Failure != "" && slices.Contains(by, r.Kind) {
			t.Logf("seed %d: %.300s", seed, r.Failure)
			return
		}
	}
	t.Fatalf("not found by %v within %d seeds", by, *canaryFlag)
}

// TestTransactionCanaries plants each bug; a checker that lets one pass is broken.
func TestTransactionCanaries(t *testing.T) {
	calm := func(workload string) txnSwarm { return busyTxns(workload, 0, nil) }
	crashing := func(workload string) txnSwarm { return busyTxns(workload, 600*Millisecond, nil) }
	// Coordinators that fall silent for longer than a sweep waits, and come back.
	pausing := func(workload string) txnSwarm {
		return busyTxns(workload, 0, func(f *Faults) { f.Pause, f.Handoff = 700*Millisecond, 700*Millisecond })
	}
	cutOff := func(workload string) txnSwarm {
		return busyTxns(workload, 0, func(f *Faults) { f.Pause, f.Cut = 500*Millisecond, 400*Millisecond })
	}
	// Coordinators that die when their clients have been told, and nobody else.
	told := func(workload string) txnSwarm {
		return func(seed uint64) TxnOptions {
			o := calm(workload)(seed)
			rng := stream(seed, "told", 0)
			o.step = func(r *txnRun) {
				if r.c.Outcome() == txn.Committed && rng.IntN(60) == 0 {
					n := r.node
					r.life = -1
					r.w.after(0, func() {
						n.crash(TailLost, "the client has its answer")
						r.w.after(300*Millisecond, n.start)
					})
				}
			}
			return o
		}
	}
	wrong := []Kind{Linearizability, Durability, Invariant}
	waiting := map[machine.Mutation][]Kind{machine.StarveScans: {Liveness}, machine.KeepOldLocks: {Divergence, Liveness}}
	inGroups := map[machine.Mutation]txnSwarm{
		machine.RefuseOverYes:      pausing("bank"),
		machine.ForgetWithoutMark:  crashing("bank"),
		machine.UnlockedConditions: calm("skew"),
		machine.ReadersIgnoreLocks: calm("bank"),
		machine.StarveScans:        scanning,
		machine.VoteUnderSeal:      pausing("drops"),
		machine.OvertakeWaits:      calm("pipelines"),
		machine.KeepOldLocks:       movingTxns,
	}
	for _, m := range machine.Mutations() {
		if m == machine.VoteAfterRefusal || m == machine.WaitForAll {
			// Scripts of package txn end otherwise under them. Chance rarely is as late as it takes; those who wait for each other
			// are slow, and wrong in nothing that they say.
			continue
		}
		t.Run(m.String(), func(t *testing.T) {
			mustCatchTxn(t, inGroups[m], func(o *TxnOptions) {
				p := quick
				if m == machine.KeepOldLocks {
					p = forgetful
				}
				p.Transactions = m
				o.Protocol = Transactions(p, 50*Millisecond)
				if m == machine.ForgetWithoutMark {
					o.Coordinator = txn.ForgetEarly
				}
			}, append(waiting[m], wrong...)...)
		})
	}
	inCoordinators := map[txn.Mutation]txnSwarm{
		txn.AbortWhenUnknown:          cutOff("bank"),
		txn.CommitOnlyWhatIsCommitted: told("bank"),
		txn.CommitWithoutAll:          calm("bank"),
		txn.ReadOnce:                  calm("bank"),
	}
	for _, m := range txn.Mutations() {
		if m == txn.ForgetEarly || m == txn.GoneMeansNo {
			// The one comes with ForgetWithoutMark: the mark would have to be 10 minutes old to be missed. The other takes a keyspace
			// that goes just between a lost answer and the question for it; its script in package txn has that.
			continue
		}
		t.Run(m.String(), func(t *testing.T) {
			mustCatchTxn(t, inCoordinators[m], func(o *TxnOptions) { o.Coordinator = m }, wrong...)
		})
	}
	t.Run("drop unsealed", func(t *testing.T) {
		mustCatchTxn(t, pausing("drops"), func(o *TxnOptions) { o.DropUnsealed = true }, wrong...)
	})
	t.Run(HeldLeavesEarly.String(), func(t *testing.T) {
		powerless := busyTxns("bank", 300*Millisecond, func(f *Faults) { f.CrashAll, f.SyncMax = Second, 30*Millisecond })
		mustCatchTxn(t, powerless, func(o *TxnOptions) { o.Mutate = HeldLeavesEarly.Plant }, append(wrong, Divergence)...)
	})
	t.Run(PermitNeverEnds.String(), func(t *testing.T) {
		mustCatchTxn(t, cutOff("bank"), func(o *TxnOptions) { o.Mutate = PermitNeverEnds.Plant }, wrong...)
	})
	t.Run("same ids", func(t *testing.T) {
		mustCatchTxn(t, crashing("lists"), func(o *TxnOptions) { o.SameIDs = true }, wrong...)
	})
}

// TestTransactionsUnharmed: the swarms of the canaries find nothing without a bug.
func TestTransactionsUnharmed(t *testing.T) {
	for _, workload := range []string{"bank", "lists", "skew", "scans", "mortal", "pipelines", "drops"} {
		for seed := uint64(1); seed <= 5; seed++ {
			if r := RunTxn(busyTxns(workload, 150*Millisecond, nil)(seed)); r.Failure != "" {
				t.Errorf("%s, seed %d: %s", workload, seed, r.Failure)
			}
		}
	}
}
