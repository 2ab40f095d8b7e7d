package workload

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gamutdb/gamut/referee"
)

// stores make a right store of each consistency.
var stores = map[string]func(bug) func(*rand.Rand) store{
	"linearizable": func(b bug) func(*rand.Rand) store { return newLogged(false, b) },
	"atomic":       func(b bug) func(*rand.Rand) store { return newLogged(false, b) },
	"sequential":   func(b bug) func(*rand.Rand) store { return newLogged(true, b) },
	"causal":       newStamped,
	"eventual":     newStamped,
	"quorum":       newMajority,

	referee.CommitOrder: newPlaced,
}

// TestRightStoresPass: whatever a right store answers, every checker that judges the workload finds that it holds.
func TestRightStoresPass(t *testing.T) {
	for consistency, make := range stores {
		for _, d := range For(consistency) {
			t.Run(consistency+" "+d.Name, func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) {
					r := play(rapid.Uint64().Draw(t, "seed"), d, consistency, make(""), rapid.IntRange(5, 150).Draw(t, "operations"))
					verdicts := d.Judge(r)
					if len(verdicts) == 0 {
						t.Fatal("no checker judges it")
					}
					for _, v := range verdicts {
						if !v.OK() && !(v.Check == "totals" && v.Decision == referee.Undecided) {
							t.Fatal(v)
						}
					}
				})
			})
		}
	}
}

// TestBugsAreCaught: each planted bug is found by the checkers of the promises that it breaks.
func TestBugsAreCaught(t *testing.T) {
	for _, c := range []struct {
		consistency, workload string
		bug                   bug
		checkers              []string
	}{
		{"linearizable", "register", "read the past", []string{"linearizable", "strict-serializable", "versions"}},
		{"linearizable", "register", "lose a write", []string{"linearizable", "strict-serializable", "durability"}},
		{"linearizable", "counter", "lose a write", []string{"linearizable", "durability"}},
		{"linearizable", "list-append", "lose a write", []string{"linearizable", "durability"}},
		{"linearizable", "list-append", "read the past", []string{"linearizable", "strict-serializable"}},
		{"linearizable", "hot-key", "read the past", []string{"linearizable"}},
		{"linearizable", "rapidset", "lose a write", []string{"linearizable"}},
		{"linearizable", "multiset", "lose a write", []string{"linearizable", "durability"}},
		{"linearizable", "delete-expiry", "lose a write", []string{"linearizable"}},
		{"linearizable", "bank", "do half", []string{"totals"}},
		{"atomic", "multiset", "do half", []string{"durability"}},
		{"atomic", "register", "skip a replica", []string{"atomic", "convergence"}},
		{"sequential", "sessions", "forget the token", []string{"sequential", "read-your-writes", "monotonic-reads"}},
		{"sequential", "list-append", "read the past", []string{"sequential"}},
		{"causal", "sessions", "forget the token", []string{"causal", "read-your-writes", "monotonic-reads"}},
		{"causal", "sessions", "do not merge clocks", []string{"causal", "monotonic-writes", "writes-follow-reads"}},
		{"causal", "sessions", "leave an origin out", []string{"causal", "monotonic-writes"}},
		{"causal", "register", "lose a write", []string{"read-your-writes"}},
		{"causal", "register", "do not converge", []string{"convergence"}},
		{"causal", "sets", "forget the token", []string{"sets"}},
		{"causal", "sets", "take unseen", []string{"sets"}},
		{"eventual", "sets", "take unseen", []string{"sets"}},
		{"eventual", "sets", "revive", []string{"sets"}},
		{"eventual", "sets", "lose a write", []string{"sets"}},
		{"eventual", "register", "lose a write", []string{"durability"}},
		{"quorum", "register", "read one", []string{"quorum"}},
		{"quorum", "register", "count a hint", []string{"quorum"}},
		{"quorum", "register", "store without comparing", []string{"quorum"}},
		{"commit-order", "list-append", "commit by arrival", []string{"commit-order"}},
		{"commit-order", "list-append", "move what is committed", []string{"commit-order"}},
		{"commit-order", "list-append", "call it committed", []string{"commit-order"}},
		{"commit-order", "list-append", "forget the token", []string{"commit-order"}},
		{"commit-order", "list-append", "lose a write", []string{"commit-order", "durability"}},
		{"commit-order", "counter", "lose a write", []string{"durability"}},
	} {
		t.Run(c.consistency+" "+c.workload+" "+string(c.bug), func(t *testing.T) {
			d, _ := Named(c.workload)
			left := slices.Clone(c.checkers)
			for seed := uint64(0); seed < 100 && len(left) > 0; seed++ {
				r := play(seed, d, c.consistency, stores[c.consistency](c.bug), 250)
				left = slices.DeleteFunc(left, func(name string) bool {
					check, _ := referee.CheckerNamed(name)
					return check.Check(r).Decision == referee.Broken
				})
			}
			if len(left) > 0 {
				t.Errorf("100 seeds, and %v did not find it", left)
			}
		})
	}
}

// runsOn is a consistency on which a workload runs, and a right store of it.
func runsOn(d *Definition) (string, func(*rand.Rand) store) {
	if d.Suits(Offers["linearizable"]) {
		return "linearizable", newLogged(false, "")
	}
	return "causal", newStamped("")
}

// TestSameSeedSameOperations: a workload is a function of its seed and of the answers.
func TestSameSeedSameOperations(t *testing.T) {
	for _, d := range Table {
		word, store := runsOn(&d)
		a, b := play(5, d, word, store, 200), play(5, d, word, store, 200)
		if !reflect.DeepEqual(a.History, b.History) {
			t.Errorf("%s: two histories of one seed", d.Name)
		}
		if other := play(6, d, word, store, 200); reflect.DeepEqual(a.History, other.History) {
			t.Errorf("%s: one history of two seeds", d.Name)
		}
	}
}

// TestNoValueTwice: a read must name the write that it saw.
func TestNoValueTwice(t *testing.T) {
	for _, d := range Table {
		seen := map[string]bool{}
		word, store := runsOn(&d)
		for _, o := range play(1, d, word, store, 500).History {
			subs := o.Subs
			if o.Kind != referee.Txn {
				subs = []referee.Sub{{Value: o.Value}}
			}
			for _, s := range subs {
				if s.Value != "" && seen[s.Value] {
					t.Fatalf("%s writes %q twice", d.Name, s.Value)
				}
				seen[s.Value] = true
			}
		}
	}
}

func TestDefinitions(t *testing.T) {
	for consistency, offered := range Offers {
		if len(For(consistency)) == 0 || referee.Promised[consistency] == nil {
			t.Errorf("%s: nothing runs on it, or nothing judges it", consistency)
		}
		for _, d := range For(consistency) {
			r := play(3, d, consistency, stores[consistency](""), 300)
			for _, o := range r.History {
				if !slices.Contains(offered, o.Kind) {
					t.Fatalf("%s on %s asks for %s", d.Name, consistency, o.Kind)
				}
			}
		}
	}
	for _, d := range Table {
		for _, name := range d.Checkers {
			if _, ok := referee.CheckerNamed(name); !ok {
				t.Errorf("%s names the checker %q, which does not exist", d.Name, name)
			}
		}
	}
	for consistency, names := range referee.Promised {
		for _, name := range names {
			if _, ok := referee.CheckerNamed(name); !ok {
				t.Errorf("%s promises %q, which nothing checks", consistency, name)
			}
		}
	}
	if d, _ := Named("bank"); d.Suits(Offers["quorum"]) {
		t.Error("a bank would run without transactions")
	}
}

// TestKeysOfATransactionLieInOneShard, and so do the accounts of a bank.
func TestKeysOfATransactionLieInOneShard(t *testing.T) {
	shard := func(key string) int { return int(key[len(key)-1]) % 2 }
	for _, d := range Table {
		w := d.New(rand.New(rand.NewPCG(1, 2)), Options{Shard: shard, Keys: 8})
		for range 200 {
			s := w.Next(0)
			for _, sub := range s.Op.Subs {
				if shard(sub.Key) != shard(s.Op.Subs[0].Key) {
					t.Fatalf("%s: %s crosses shards", d.Name, s.Op)
				}
			}
			if err := s.Command.Validate(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRunsSurviveTheirExport: what was judged is what is judged again from the file.
func TestRunsSurviveTheirExport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		consistency := rapid.SampledFrom([]string{"linearizable", "causal", "quorum"}).Draw(t, "consistency")
		d := rapid.SampledFrom(For(consistency)).Draw(t, "workload")
		r := play(rapid.Uint64().Draw(t, "seed"), d, consistency, stores[consistency](""), 50)
		r.Events = []referee.Event{{What: "crash", At: 5, End: 9, Nodes: []uint32{1}}, {What: "leader", At: 10}}
		var b bytes.Buffer
		if err := r.Export(&b); err != nil {
			t.Fatal(err)
		}
		back, err := referee.Import(&b)
		if err != nil || !reflect.DeepEqual(r, back) {
			t.Fatalf("%v\n%+v\n%+v", err, r, back)
		}
	})
}
