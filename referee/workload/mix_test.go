package workload

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/referee"
)

// playMix runs all workloads that a store can run at once.
func playMix(t *testing.T, seed uint64, consistency string, b bug, operations int) (*Mix, *referee.Run) {
	t.Helper()
	list, err := Select(consistency, nil)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	m := NewMix(rng, Options{Kinds: Offers[consistency], Levels: Levels(consistency)}, list)
	r := playOn(rng, m, stores[consistency](b)(rng), operations)
	r.Consistency = consistency
	return m, r
}

// TestMixOfARightStorePasses: on each consistency, each checker of its promise judges something and finds that it holds.
func TestMixOfARightStorePasses(t *testing.T) {
	for consistency := range stores {
		t.Run(consistency, func(t *testing.T) {
			m, r := playMix(t, 3, consistency, "", 4000)
			if len(m.parts) == len(m.definitions) {
				t.Errorf("%d parts: no second round was begun", len(m.parts))
			}
			verdicts := m.Judge(r)
			judged := 0
			for _, v := range verdicts {
				if !v.OK() {
					t.Error(v)
				}
				judged = max(judged, v.Judged)
			}
			if want := len(referee.Promised[consistency]); len(verdicts) < want || judged < 1000 {
				t.Errorf("%d verdicts of %d, on %d operations", len(verdicts), want, judged)
			}
		})
	}
}

// TestMixCatchesBugs: what one workload finds, the mix of all finds, too.
func TestMixCatchesBugs(t *testing.T) {
	for _, c := range []struct {
		consistency string
		bug         bug
		check       string
	}{
		{"linearizable", "read the past", "linearizable"}, {"linearizable", "do half", "totals"}, {"linearizable", "lose a write", "durability"},
		{"sequential", "forget the token", "sequential"}, {"causal", "do not merge clocks", "causal"}, {"causal", "forget the token", "read-your-writes"},
		{"eventual", "do not converge", "convergence"}, {"quorum", "read one", "quorum"}, {"atomic", "skip a replica", "atomic"},
		{"commit-order", "commit by arrival", "commit-order"}, {"commit-order", "call it committed", "commit-order"}, {"commit-order", "lose a write", "durability"},
	} {
		found := false
		for seed := uint64(0); seed < 20 && !found; seed++ {
			m, r := playMix(t, seed, c.consistency, c.bug, 2000)
			found = slices.ContainsFunc(m.Judge(r), func(v referee.Verdict) bool { return v.Check == c.check && v.Decision == referee.Broken })
		}
		if !found {
			t.Errorf("%s, %s: 20 seeds, and %s did not find it", c.consistency, c.bug, c.check)
		}
	}
}

func TestSelect(t *testing.T) {
	for _, c := range []struct{ consistency, names, want, bad string }{
		{"linearizable", "bank,register,bank", "bank register", ""},
		{"quorum", "mixed", "register sessions delete-expiry hot-key rapidset multiset", ""},
		{"causal", "counter", "counter", ""},
		{"quorum", "bank", "", "workload bank needs incr, txn, which a keyspace of consistency quorum cannot give; it can run register,"},
		{"linearizable", "banks", "", `there is no workload "banks"; there are register, counter,`},
		{"nonsense", "mixed", "", `no workload is known for consistency "nonsense"`},
	} {
		list, err := Select(c.consistency, strings.Split(c.names, ","))
		switch got := strings.Join(nameList(list), " "); {
		case c.bad == "" && (err != nil || got != c.want):
			t.Errorf("%s of %s: %q, %v", c.names, c.consistency, got, err)
		case c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)):
			t.Errorf("%s of %s: %v", c.names, c.consistency, err)
		}
	}
}
