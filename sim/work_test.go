package sim

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/quorum"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/referee/workload"
)

// worked are the options of a run of workloads.
func worked(t *testing.T, seed uint64, promise string, p Protocol, names ...string) Options {
	t.Helper()
	list, err := workload.Select(promise, names)
	if err != nil {
		t.Fatal(err)
	}
	c, ordered := promised(promise)
	return Options{Seed: seed, Protocol: p, Work: &Work{Consistency: c, CommitOrder: ordered, Workloads: list}}
}

// promised is the kind of keyspace that makes a promise.
func promised(promise string) (c kv.Consistency, commitOrder bool) {
	if promise == referee.CommitOrder {
		return kv.Causal, true
	}
	return kv.Consistency(promise), false
}

// TestWorkSeeds runs each workload on each consistency that can run it, under all faults.
func TestWorkSeeds(t *testing.T) {
	for _, promise := range []string{"linearizable", "sequential", "atomic", "quorum", "causal", "eventual", referee.CommitOrder} {
		for _, d := range append(workload.For(promise), workload.Definition{Name: workload.Mixed}) {
			t.Run(promise+" "+d.Name, func(t *testing.T) {
				judged := map[string]int{}
				seeds := max(2, *seedsFlag/40)
				for seed := uint64(1); seed <= uint64(seeds); seed++ {
					c, ordered := promised(promise)
					p, err := Draw(c, ordered, seed)
					if err != nil {
						t.Fatal(err)
					}
					r := RunTold(worked(t, seed, promise, p, d.Name))
					if r.Failure != "" {
						t.Fatalf("seed %d: %s\n%s", seed, r.Failure, r.Parameters)
					}
					for _, v := range r.Verdicts {
						if v.OK() {
							judged[v.Check]++
						}
					}
				}
				for _, name := range wantJudged(promise, d) {
					if judged[name] == 0 {
						t.Errorf("%s judged nothing in %d seeds", name, seeds)
					}
				}
			})
		}
	}
}

// wantJudged are the checkers that must have come to a verdict.
func wantJudged(promise string, d workload.Definition) []string {
	if d.Name == workload.Mixed {
		return referee.Promised[promise]
	}
	return d.Judges(promise)
}

// blindly draws groups with a commit order into whose replicas nobody looks.
func blindly(seed uint64, m bayou.Mutation) Protocol {
	p := DrawOrdered(seed, m)
	options, _, _, _ := drawBayou(seed, m)
	p.New = func(self core.ReplicaID) core.Replica { return bayou.New(self, options) }
	p.Rests = nil
	return p
}

// TestWorkFindsBugs: what a bug breaks, the checkers of workloads find without a look into the replicas.
func TestWorkFindsBugs(t *testing.T) {
	for _, c := range []struct {
		promise  string
		workload string
		protocol func(seed uint64) Protocol
		by       []string
	}{
		{"linearizable", "register", func(seed uint64) Protocol { return DrawPaxos(seed, paxos.ReadBeforeNoop) }, []string{"linearizable"}},
		{"sequential", "sessions", func(seed uint64) Protocol { return tokenless(DrawSequential(seed, paxos.NoMutation)) },
			[]string{"sequential", "read-your-writes", "monotonic-reads"}},
		{"quorum", "register", func(seed uint64) Protocol { return DrawQuorum(seed, quorum.AckBeforeDurable, false) }, []string{"quorum", "durability"}},
		{"causal", "sessions", func(seed uint64) Protocol { return tokenless(DrawBayou(seed, bayou.NoMutation)) },
			[]string{"causal", "read-your-writes", "monotonic-reads"}},
		{"causal", "sets", func(seed uint64) Protocol { return tokenless(DrawBayou(seed, bayou.NoMutation)) }, []string{"sets"}},
		{referee.CommitOrder, "list-append", func(seed uint64) Protocol { return blindly(seed, bayou.ExecuteLast) }, []string{referee.CommitOrder}},
		{referee.CommitOrder, "list-append", func(seed uint64) Protocol { return blindly(seed, bayou.CommitByArrival) }, []string{referee.CommitOrder}},
		{referee.CommitOrder, "list-append", func(seed uint64) Protocol { return blindly(seed, bayou.ReplyTentative) }, []string{referee.CommitOrder}},
		{referee.CommitOrder, "list-append", func(seed uint64) Protocol { return tokenless(blindly(seed, bayou.NoMutation)) }, []string{referee.CommitOrder}},
	} {
		t.Run(c.promise+" "+c.workload, func(t *testing.T) {
			for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
				o := worked(t, seed, c.promise, c.protocol(seed), c.workload)
				// Nothing is looked at but what clients saw.
				o.Protocol.Look, o.Protocol.Entry, o.Protocol.Digest = nil, nil, func(core.View) uint64 { return 0 }
				r := Run(o)
				if slices.ContainsFunc(r.Verdicts, func(v referee.Verdict) bool {
					return v.Decision == referee.Broken && slices.Contains(c.by, v.Check)
				}) {
					t.Logf("seed %d: %.200s", seed, r.Failure)
					return
				}
			}
			t.Errorf("not found by %v within %d seeds", c.by, *canaryFlag)
		})
	}
}

// tokenless lets clients forget what they have seen.
func tokenless(p Protocol) Protocol {
	p.MergeTokens = nil
	return p
}

// TestWorkSameSeedSameTrace: a run of workloads is a function of its seed.
func TestWorkSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		o := func() Options {
			return worked(t, seed, "linearizable", DrawPaxos(seed, paxos.NoMutation), workload.Mixed)
		}
		a, b := Run(o()), Run(o())
		if a.TraceHash != b.TraceHash || a.Stats != b.Stats {
			t.Errorf("seed %d: traces %x and %x", seed, a.TraceHash, b.TraceHash)
		}
	}
}

// TestEachFaultCanBeAskedFor: every class of faults, asked for alone, strikes, and nothing else does.
func TestEachFaultCanBeAskedFor(t *testing.T) {
	for _, class := range Classes {
		t.Run(class.Name, func(t *testing.T) {
			allowed, err := Expand([]string{class.Name})
			if err != nil {
				t.Fatal(err)
			}
			hits := map[string]int{}
			struck := func(name string) bool { return hits[name] > 0 }
			// Some need a certain moment: they are given more seeds.
			for seed := uint64(1); seed <= 12 || seed <= 60 && !all(allowed, struck); seed++ {
				o := Options{Seed: seed, Protocol: DrawPaxos(seed, paxos.NoMutation), Faulty: 4 * Second}
				if err := o.Only([]string{class.Name}); err != nil {
					t.Fatal(err)
				}
				r := Run(o)
				if r.Failure != "" {
					t.Fatalf("seed %d: %s", seed, r.Failure)
				}
				for name, n := range r.Hits {
					hits[name] += n
				}
			}
			for _, name := range allowed {
				if hits[name] == 0 {
					t.Errorf("%s did not strike: %v", name, hits)
				}
			}
			for name := range hits {
				if !slices.Contains(allowed, name) {
					t.Errorf("%s struck, although only %s was asked for: %v", name, class.Name, hits)
				}
			}
		})
	}
}

// TestKeepInsists: whoever asks for one fault gets it in every run, whatever the swarm had drawn.
func TestKeepInsists(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f := drawFaults(rng, 3)
		f.keep([]string{"pause"}, rng)
		if f.Pause == 0 || f.Crash+f.Cut+f.Partition != 0 || f.Drop+f.Straggle != 0 {
			t.Fatalf("seed %d: %s", seed, &f)
		}
	}
}

func all(list []string, f func(string) bool) bool {
	return !slices.ContainsFunc(list, func(name string) bool { return !f(name) })
}
