package sim

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/quorum"
)

// TestQuorumSeeds runs the leaderless protocol under every fault that it promises to bear.
func TestQuorumSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawQuorum(seed, quorum.NoMutation, false) })
}

// TestAtomicSeeds runs the same with linearizable gets, puts and deletions.
func TestAtomicSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawQuorum(seed, quorum.NoMutation, true) })
}

// TestQuorumBeyondTheLimitOfClocks lets wall clocks jump four times as far as clocks may be apart. Until the nodes notice, one that is
// ahead stamps what no other takes; nothing that a majority acknowledged is lost or hidden by that, and when the clocks are right
// again all is served (trap T3.9).
func TestQuorumBeyondTheLimitOfClocks(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprintf("atomic %v", atomic), func(t *testing.T) {
			runAll(t, func(seed uint64) Options {
				p := DrawQuorum(seed, quorum.NoMutation, atomic)
				p.Bear = func(f *Faults) {
					f.JumpMax, f.Watched = 2000, true
					f.WallJump = max(f.WallJump, 500*Millisecond)
				}
				o := Options{Seed: seed, Protocol: p}
				if atomic {
					o.Clients = 3 // so much is unknown that the search for an order gives up with more
				}
				return o
			})
		})
	}
}

// moving is a run in which members change all the time, beside all other faults.
func moving(seed uint64, p Protocol) Options {
	every := 150*Millisecond + core.Time(stream(seed, "moving", 0).Int64N(int64(Second)))
	bear := p.Bear
	p.Bear = func(f *Faults) {
		if bear != nil {
			bear(f)
		}
		f.Change, f.Wipe = every, 0
	}
	return Options{Seed: seed, Protocol: p, Nodes: 5}
}

// TestQuorumMoves changes the members of leaderless groups under every fault.
func TestQuorumMoves(t *testing.T) {
	runAll(t, func(seed uint64) Options { return movingQuorum(seed, quorum.NoMutation) })
}

// TestAtomicMoves does so with linearizable gets, puts and deletions.
func TestAtomicMoves(t *testing.T) {
	runAll(t, func(seed uint64) Options { return moving(seed, DrawQuorum(seed, quorum.NoMutation, true)) })
}

// quorumSwarm draws the options of a run of the leaderless protocol in which a bug shows.
type quorumSwarm func(seed uint64, planted quorum.Mutation) Options

func anyQuorum(seed uint64, planted quorum.Mutation) Options {
	return Options{Seed: seed, Protocol: DrawQuorum(seed, planted, false)}
}

func anyAtomic(seed uint64, planted quorum.Mutation) Options {
	return Options{Seed: seed, Protocol: DrawQuorum(seed, planted, true)}
}

func movingQuorum(seed uint64, planted quorum.Mutation) Options {
	return moving(seed, DrawQuorum(seed, planted, false))
}

// partedQuorum is one group whose replicas lose each other all the time, so that repairs meet what is newer.
func partedQuorum(seed uint64, planted quorum.Mutation) Options {
	f := Calm()
	f.JumpMax, f.Cut, f.Partition, f.SyncMax = 200, 800*Millisecond, 400*Millisecond, 20*Millisecond
	return Options{Seed: seed, Protocol: DrawQuorum(seed, planted, false), Groups: 1, Clients: 8, Think: 40 * Millisecond, Faults: f}
}

// quorumMutations says for the bugs of package quorum that show to clients or break an invariant in which swarm they do, and which
// checkers must find them there. The others need one certain order of events; scripts of the package have it.
var quorumMutations = map[quorum.Mutation]struct {
	by    []Kind
	swarm quorumSwarm
}{
	quorum.RollBack:           {[]Kind{Linearizability, Durability}, anyAtomic},
	quorum.CountHints:         {[]Kind{Linearizability}, anyAtomic},
	quorum.PurgeByAge:         {[]Kind{Invariant}, anyQuorum},
	quorum.AnswerBeforeRepair: {[]Kind{Linearizability}, anyQuorum},
	quorum.RestampRepairs:     {[]Kind{Durability, Linearizability}, partedQuorum},
	quorum.StoreBlindly:       {[]Kind{Invariant}, anyQuorum},
	quorum.CountTwice:         {[]Kind{Linearizability}, anyAtomic},
	quorum.LateUnavailable:    {[]Kind{Linearizability}, anyQuorum},
	quorum.AckBeforeDurable:   {[]Kind{Linearizability, Durability}, anyQuorum},
	quorum.SkipFirstPhase:     {[]Kind{Linearizability}, anyAtomic},
	quorum.ReadNewEarly:       {[]Kind{Linearizability, Durability}, movingQuorum},
}

// TestQuorumMutations plants each of them.
func TestQuorumMutations(t *testing.T) {
	for _, m := range quorum.Mutations() {
		c, ok := quorumMutations[m]
		if !ok {
			continue
		}
		t.Run(m.String(), func(t *testing.T) {
			for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
				if r := Run(c.swarm(seed, m)); r.Failure != "" && slices.Contains(c.by, r.Kind) {
					t.Logf("seed %d: %.300s", seed, r.Failure)
					return
				}
			}
			t.Fatalf("not found by %v within %d seeds", c.by, *canaryFlag)
		})
	}
}

// TestQuorumIsNotLinearizable shows the limit that is told to users: without the first phase of an atomic keyspace, skewed
// clocks let an acknowledged write lose to an earlier one. A referee that found nothing here would not be looking.
func TestQuorumIsNotLinearizable(t *testing.T) {
	for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
		p := DrawQuorum(seed, quorum.NoMutation, false)
		p.Level, p.Judge = nil, judgeAtomic
		f := Calm()
		f.JumpMax, f.WallJump = 200, 300*Millisecond
		if r := Run(Options{Seed: seed, Protocol: p, Faults: f, Think: 5 * Millisecond}); r.Kind == Linearizability {
			t.Logf("seed %d: %.400s", seed, r.Failure)
			return
		}
	}
	t.Fatal("every history of a quorum keyspace was linearizable")
}

func TestQuorumSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := Run(anyQuorum(seed, quorum.NoMutation)), Run(anyQuorum(seed, quorum.NoMutation))
		if a.TraceHash != b.TraceHash || a.Stats != b.Stats {
			t.Errorf("seed %d: traces %x and %x", seed, a.TraceHash, b.TraceHash)
		}
	}
}
