package sim

import (
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// oneTransfer is a workload of a single transaction over three groups, and nothing before or after it.
type oneTransfer struct{ began *bool }

func (oneTransfer) name() string                   { return "one transfer" }
func (oneTransfer) keys(w *txnWorld) []string      { return keysOf(w, "b") }
func (oneTransfer) bank(w *txnWorld) *referee.Bank { return &referee.Bank{Accounts: keysOf(w, "b")} }

func (o oneTransfer) next(w *txnWorld, _ *txnClient) *txnStep {
	if *o.began {
		return singleStep(referee.Get, "b1", "")
	}
	*o.began = true
	s := newTxnStep()
	for i, delta := range []int64{-3, 1, 2} {
		s.add(w, referee.Sub{Kind: referee.Incr, Key: fmt.Sprintf("b%d", i+1), Delta: delta}, kv.Op{Kind: kv.OpIncr, Delta: delta})
	}
	return s
}

// gridPoints is how many steps the coordinator of one transfer takes: a command sent or an answer taken, of three steps with
// three groups each. One more means never.
const gridPoints = 18

// TestTransactionGrid kills the coordinator at each step, and the leader of a participant at each step, in all combinations;
// with -seeds 1000 or more, of each participant.
func TestTransactionGrid(t *testing.T) {
	runs, steps, decided := 0, 0, [2]int{}
	for dies := 0; dies <= gridPoints; dies++ {
		for strikes := 0; strikes <= gridPoints; strikes++ {
			for group := range 3 {
				if group != (dies+strikes)%3 && *seedsFlag < 1000 {
					continue
				}
				r, taken := gridRun(dies, strikes, group)
				if r.Failure != "" {
					t.Fatalf("the coordinator dies at step %d, the leader of group %d at step %d: %s", dies, group+1, strikes, r.Failure)
				}
				runs, steps = runs+1, max(steps, taken)
				decided[len(r.Final)/3]++
			}
		}
	}
	if steps != gridPoints {
		t.Errorf("a coordinator took %d steps; the grid has %d", steps, gridPoints)
	}
	if decided[0] == 0 || decided[1] == 0 {
		t.Errorf("%d aborted, %d committed: the grid should have some of both", decided[0], decided[1])
	}
	t.Logf("%d runs, %d aborted, %d committed", runs, decided[0], decided[1])
}

// gridRun runs the transfer once, and returns how many steps its coordinator took.
func gridRun(dies, strikes, group int) (r Result, taken int) {
	o := TxnOptions{Options: Options{Seed: uint64(1 + dies*100 + strikes), Nodes: 5, Groups: 3, Clients: 1, Think: 300 * Millisecond,
		Faulty: 3 * Second, Faults: Calm(), Protocol: Transactions(quick, 50*Millisecond)}}
	o.Faults.Flush, o.Faults.Roll = 0, 0
	var coordinator *txnRun
	// A node dies between two of its passes.
	kill := func(w *txnWorld, n *node, after core.Time, why string) {
		w.after(after, func() {
			n.crash(TailLost, why)
			w.after(800*Millisecond, n.start)
		})
	}
	o.step = func(run *txnRun) {
		if coordinator == nil {
			coordinator = run
		}
		if run != coordinator {
			return
		}
		if taken == strikes {
			if n := leaderOf(run.w, run.w.groups[group]); n != nil {
				kill(run.w, n, 0, "the leader of a participant")
			}
		}
		if taken == dies && run.node.up {
			// What it has said before this step is on its way; nothing follows.
			run.life = -1
			kill(run.w, run.node, 100*Microsecond, "the coordinator")
		}
		taken++
	}
	began := false
	r = runTxnOf(o, oneTransfer{&began})
	return r, taken
}

// leaderOf is the node whose replica leads a group; nil: none does.
func leaderOf(w *txnWorld, g *group) *node {
	for _, n := range w.nodes {
		if n.up && n.host.Replica(g.id).(core.Led).Leader() == g.members[n.index] {
			return n
		}
	}
	return nil
}
