package lab

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/sim"
)

func TestFuzzFindsNothingAndCounts(t *testing.T) {
	told := 0
	f := &Fuzz{Consistency: kv.Linearizable, Faults: []string{"partition", "crash", "clock"}, First: 1, Seeds: 12,
		Progress: func(Tally) { told++ }}
	total, shown, failed, err := f.Run(context.Background())
	if err != nil || failed {
		t.Fatalf("%v, %s", err, shown.Failure)
	}
	if total.Seeds != 12 || told != 12 || total.Operations == 0 || total.Faults == 0 || total.Virtual < time.Minute {
		t.Errorf("%d times told of %s", told, total)
	}
	run, verdicts := f.Judged(&shown)
	if shown.Seed != 1 || len(run.History) == 0 || len(run.Events) == 0 || len(verdicts) == 0 {
		t.Errorf("seed %d, %d operations, %d events, %d verdicts", shown.Seed, len(run.History), len(run.Events), len(verdicts))
	}
}

// TestFuzzFindsAPlantedBug is the search's canary.
func TestFuzzFindsAPlantedBug(t *testing.T) {
	f := &Fuzz{Consistency: kv.Linearizable, Faults: []string{"partition", "crash"}, First: 1, Seeds: 500, Workers: 1,
		Plant: sim.RecordsVanish.Plant}
	total, shown, failed, err := f.Run(context.Background())
	if err != nil || !failed {
		t.Fatalf("%v; not found within %s", err, total)
	}
	if len(shown.Trace) == 0 || strings.Contains(shown.Failure, "not a function of its seed") {
		t.Errorf("seed %d is not told: %s", shown.Seed, shown.Failure)
	}
	if want := "gamut lab fuzz --consistency linearizable --faults partition,crash --seed "; !strings.HasPrefix(f.Replay(shown.Seed), want) {
		t.Errorf("replay: %s", f.Replay(shown.Seed))
	}
	f.First, f.Seeds = shown.Seed, 1
	_, again, failed, err := f.Run(context.Background())
	if err != nil || !failed || again.Failure != shown.Failure || again.TraceHash != shown.TraceHash {
		t.Errorf("seed %d replayed: %v, %v, %s", shown.Seed, err, failed, again.Failure)
	}
	if _, verdicts := f.Judged(&again); verdicts[0].OK() {
		t.Errorf("the first verdict is %s", verdicts[0])
	}
}

// TestFuzzSearchesCommitOrders, and its command says so.
func TestFuzzSearchesCommitOrders(t *testing.T) {
	f := &Fuzz{Consistency: kv.Causal, CommitOrder: true, Faults: []string{"halves", "crash"}, Workloads: []string{"list-append"}, First: 1, Seeds: 2}
	total, shown, failed, err := f.Run(context.Background())
	if err != nil || failed || total.Operations == 0 {
		t.Fatalf("%v, %s, %s", err, shown.Failure, total)
	}
	run, verdicts := f.Judged(&shown)
	if want := "gamut lab fuzz --consistency causal --commit-order --workload list-append --faults halves,crash --seed 1"; f.Replay(1) != want {
		t.Errorf("replay: %s", f.Replay(1))
	}
	if run.Consistency != referee.CommitOrder || len(verdicts) == 0 || verdicts[0].Check != referee.CommitOrder || !verdicts[0].OK() || verdicts[0].Judged == 0 {
		t.Errorf("%s: %v", run.Consistency, verdicts)
	}
}

func TestFuzzRefuses(t *testing.T) {
	for _, f := range []*Fuzz{{Consistency: "nonsense", Seeds: 1}, {Consistency: kv.Quorum, CommitOrder: true, Seeds: 1}, {Consistency: kv.Quorum, Workloads: []string{"bank"}, Seeds: 1}, {Consistency: kv.Atomic, Faults: []string{"wipe"}, Seeds: 1},
		{Consistency: kv.Linearizable, Faults: []string{"gremlins"}, Seeds: 1}} {
		if _, _, _, err := f.Run(context.Background()); err == nil {
			t.Errorf("%+v runs", f)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if total, _, failed, err := (&Fuzz{Consistency: kv.Linearizable}).Run(ended); err != nil || failed || total.Seeds > 0 {
		t.Errorf("after its end: %v, %v, %s", err, failed, total)
	}
}
