package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/txn"
)

// TestUncontendedTransactionCostsOneRound counts what each of three groups has logged from a transaction's begin until its client can
// be answered, results included: one block, and until it has ended everywhere two more.
func TestUncontendedTransactionCostsOneRound(t *testing.T) {
	o := TxnOptions{Options: Options{Seed: 7, Nodes: 3, Groups: 3, Clients: 1, Think: 300 * Millisecond, Faulty: 4 * Second, Faults: Calm(),
		Protocol: Transactions(quick, 50*Millisecond)}}
	o.Faults.Flush, o.Faults.Roll = 0, 0
	var before, answered []uint64
	var world *txnWorld
	o.step = func(r *txnRun) {
		switch {
		case before == nil:
			world, before = r.w, logged(r.w)
		case answered == nil && r.c.Outcome() == txn.Committed:
			answered = logged(r.w)
			for _, g := range r.c.Groups() {
				if len(r.c.Results(g)) != 1 {
					t.Errorf("group %d: %d results", g, len(r.c.Results(g)))
				}
			}
		}
	}
	o.Trace, o.TraceLines = true, 100_000
	began := false
	r := runTxnOf(o, lateTransfer{oneTransfer{&began}})
	if r.Failure != "" {
		t.Fatal(r.Failure)
	}
	end := logged(world)
	for g := range before {
		if answered[g]-before[g] != 1 || end[g]-before[g] != 3 {
			t.Errorf("group %d logged %d blocks before the answer and %d in all, not 1 and 3", g+1, answered[g]-before[g], end[g]-before[g])
		}
	}
	trace := strings.Join(r.Trace, "\n")
	for step, want := range map[kv.TxStep]int{kv.TxPrepare: 3, kv.TxResolve: 3, kv.TxForget: 3, kv.TxRefuse: 0} {
		if n := strings.Count(trace, fmt.Sprintf(": step %d to g", step)); n != want {
			t.Errorf("step %d was sent %d times to three groups, not %d", step, n, want)
		}
	}
}

// lateTransfer waits until all groups are led.
type lateTransfer struct{ oneTransfer }

func (l lateTransfer) next(w *txnWorld, c *txnClient) *txnStep {
	if w.now < 2*Second {
		return singleStep(referee.Get, "b1", "")
	}
	return l.oneTransfer.next(w, c)
}

// logged is how many blocks each group's leader has in its log.
func logged(w *txnWorld) (last []uint64) {
	for _, g := range w.groups {
		n := leaderOf(w, g)
		last = append(last, n.host.Replica(g.id).(*paxos.Replica).Status().Last)
	}
	return last
}
