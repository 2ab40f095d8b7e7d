package sim

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
)

var canaryFlag = flag.Int("canary", 1000, "within how many seeds a planted bug must be found")

// swarm draws the options of a run in which a bug shows; planted is put into what it draws.
type swarm func(seed uint64, planted paxos.Mutation) Options

// anything is the swarm that the unmutated protocol is tried with.
func anything(seed uint64, planted paxos.Mutation) Options {
	return Options{Seed: seed, Protocol: DrawPaxos(seed, planted)}
}

// caught runs seeds until one fails in one of the ways that the bug must be found by; what fails otherwise, as by a storm of
// messages, does not count.
func caught(draw swarm, planted paxos.Mutation, mutate func(core.Replica) core.Replica, by []Kind) (seeds int, r Result) {
	for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
		o := draw(seed, planted)
		o.Mutate = mutate
		if r := Run(o); r.Failure != "" && slices.Contains(by, r.Kind) {
			return int(seed), r
		}
	}
	return 0, r
}

func mustCatch(t *testing.T, draw swarm, planted paxos.Mutation, mutate func(core.Replica) core.Replica, by ...Kind) {
	seeds, r := caught(draw, planted, mutate, by)
	if seeds == 0 {
		t.Fatalf("not found by %v within %d seeds", by, *canaryFlag)
	}
	t.Logf("seed %d: %.300s", seeds, r.Failure)
}

// blind leaves to the checkers what every protocol has in common: clients' histories, states and permits.
func blind(draw swarm) swarm {
	return func(seed uint64, planted paxos.Mutation) Options {
		o := draw(seed, planted)
		o.Protocol.Look = nil
		return o
	}
}

// crashing kills leaders, often and all nodes at once, so that what was not on disk is gone.
var crashing = directed(3, quick, 0, func(f *Faults) {
	f.Crash, f.CrashAll, f.Coup, f.SyncMax = 300*Millisecond, 2*Second, 100*Millisecond, 30*Millisecond
})

// TestCanaries plants each bug; a checker that lets one pass is broken.
func TestCanaries(t *testing.T) {
	by := map[Bug][]Kind{
		HeldLeavesEarly: {Divergence, Durability, Linearizability},
		RecordsVanish:   {Divergence, Durability, Invariant},
		PositionLags:    {Divergence},
		PermitNeverEnds: {Linearizability},
	}
	for _, b := range Bugs() {
		draw := anything
		if b == HeldLeavesEarly {
			draw = blind(crashing)
		}
		t.Run(b.String(), func(t *testing.T) { mustCatch(t, draw, paxos.NoMutation, b.Plant, by[b]...) })
	}
}

// TestASegmentThatOneGroupNeedsMayNotGo: a log that looks at one group alone before it drops a segment is found out (trap T5.11).
func TestASegmentThatOneGroupNeedsMayNotGo(t *testing.T) {
	mustCatch(t, func(seed uint64, planted paxos.Mutation) Options {
		o := anything(seed, planted)
		o.Groups, o.oneReleases = 3, true
		return o
	}, paxos.NoMutation, nil, Divergence, Durability, Invariant)
}

// quick are elections within 100 to 200 ms.
var quick = paxos.Options{Heartbeat: 20 * Millisecond, ElectionMin: 100 * Millisecond, ElectionMax: 200 * Millisecond}

// forgetful keeps a few blocks in memory, so that who lags needs a snapshot.
var forgetful = paxos.Options{Heartbeat: 20 * Millisecond, ElectionMin: 100 * Millisecond, ElectionMax: 200 * Millisecond, RetainBytes: 500}

// idle is a swarm with two slow clients.
func idle(draw swarm) swarm {
	return func(seed uint64, planted paxos.Mutation) Options {
		o := draw(seed, planted)
		o.Clients, o.Think = 2, 400*Millisecond
		return o
	}
}

// directed is a small cluster, one group and the faults that a bug needs, on top of a calm world.
func directed(nodes int, options paxos.Options, lease core.Time, needs func(*Faults)) swarm {
	return func(seed uint64, planted paxos.Mutation) Options {
		f := Calm()
		f.RateMax = 25_000
		needs(f)
		options.Mutation = planted
		return Options{Seed: seed, Protocol: Paxos(options, lease), Nodes: nodes, Groups: 1, Clients: 8, Faults: f}
	}
}

// changing is a cluster of five whose groups change their members all the time.
func changing(needs func(*Faults)) swarm {
	return directed(5, quick, 0, func(f *Faults) {
		f.Change = 150 * Millisecond
		needs(f)
	})
}

// timed are two shards of a sequential keyspace.
func timed(needs func(*Faults)) swarm {
	return func(seed uint64, planted paxos.Mutation) Options {
		o := directed(3, quick, 500*Millisecond, needs)(seed, planted)
		options := quick
		options.Mutation = planted
		o.Protocol, o.Groups, o.Think = Sequential(options, 0), 2, 15*Millisecond
		return o
	}
}

// mutations says where each bug of package paxos shows, and which checkers must find it there.
var mutations = map[paxos.Mutation]struct {
	by    []Kind
	swarm swarm
}{
	paxos.CountBeforeSync: {[]Kind{Invariant}, anything},
	// Young leaders are killed or cut off before their first block is on a second disk, or on their own.
	paxos.CommitOlderBallot: {[]Kind{Divergence, Durability, Invariant}, directed(3, quick, 0, func(f *Faults) {
		f.Coup, f.Straggle, f.SyncMax = 60*Millisecond, 0.3, 40*Millisecond
	})},
	paxos.RestampBlocks: {[]Kind{Divergence}, anything},
	// Late copies of older messages reach followers whose leader is then killed.
	paxos.TruncateBeyond: {[]Kind{Divergence, Durability, Invariant}, directed(3, quick, 0, func(f *Faults) {
		f.Reorder, f.Straggle, f.Duplicate, f.Crash, f.Coup = 0.5, 0.1, 0.3, 500*Millisecond, Second
	})},
	paxos.CommitBeyondMatch: {[]Kind{Divergence}, anything},
	// Answers reach the leader late, and then nothing that it says reaches the others.
	paxos.LeaseFromReceipt: {[]Kind{Linearizability}, directed(3, paxos.Options{}, 500*Millisecond, func(f *Faults) {
		f.SlowLink, f.Cut = 500*Millisecond, 700*Millisecond
	})},
	paxos.ForgetGrant: {[]Kind{Linearizability}, directed(3, paxos.Options{}, 1500*Millisecond, func(f *Faults) {
		f.CrashAll, f.Cut = 500*Millisecond, Second
	})},
	// The leader loses one voter, then the other, while it still reads under the lease of the latter; few writes come between,
	// so that the former's log is as good.
	paxos.PromiseDuringLease: {[]Kind{Linearizability}, idle(directed(3, paxos.Options{}, 500*Millisecond, func(f *Faults) {
		f.Cut = 500 * Millisecond
	}))},
	paxos.ReadBeforeNoop: {[]Kind{Linearizability}, anything},
	// A leader is cut off and replaced within one heartbeat.
	paxos.CountEarlierRound: {[]Kind{Linearizability}, directed(3, paxos.Options{Heartbeat: 200 * Millisecond, ElectionMin: 800 * Millisecond}, 0, func(f *Faults) {
		f.Partition = 500 * Millisecond
	})},
	// Young leaders replace what others' slow disks are still writing.
	paxos.IgnoreTruncation: {[]Kind{Invariant}, directed(3, quick, 0, func(f *Faults) {
		f.Coup, f.SyncMax, f.SyncSlow = 200*Millisecond, 60*Millisecond, 300*Millisecond
	})},
	// A candidate's slow disk gives the old leader, whom the voter has lost for a moment, the time to commit one more block.
	paxos.KeepOwnLog: {[]Kind{Divergence, Invariant}, directed(3, quick, 0, func(f *Faults) {
		f.Flap, f.Cut, f.SyncMax = 300*Millisecond, 500*Millisecond, 60*Millisecond
	})},
	// Followers lag behind what is kept in memory, and copies of snapshots come late.
	paxos.InstallOldSnapshot: {[]Kind{Divergence, Durability, Invariant}, directed(3, forgetful, 0, func(f *Faults) {
		f.Straggle, f.Duplicate, f.Reorder, f.Cut, f.Partition = 0.2, 0.4, 0.5, 500*Millisecond, 500*Millisecond
	})},
	paxos.ApplyTwice: {[]Kind{Durability}, anything},
	paxos.LocalTime:  {[]Kind{Divergence}, anything},
	// Nodes stand still while they have writes to pass on, and pass them on when their clients have asked.
	paxos.OutcomeUnfenced: {[]Kind{Durability, Linearizability}, directed(3, quick, 0, func(f *Faults) {
		f.Pause, f.Cut = 300*Millisecond, 500*Millisecond
	})},
	// While voters change, old and new ones are torn apart.
	paxos.IgnoreOutgoing: {[]Kind{Divergence, Durability, Invariant}, changing(func(*Faults) {})},
	paxos.ReconfigureUnsettled: {[]Kind{Divergence, Durability, Invariant}, changing(func(f *Faults) {
		f.Handoff, f.Crash = 300*Millisecond, 600*Millisecond
	})},
	// These two need more coincidences than a thousand seeds bring about; their scripts in package paxos show them.
	paxos.KeepTruncatedConfig: {nil, changing(func(f *Faults) { f.Handoff = 500 * Millisecond })},
	// Messages to a follower are late or lost while its time advances by heartbeats.
	paxos.SafeByCommit: {[]Kind{Invariant}, timed(func(f *Faults) {
		f.Drop, f.Straggle, f.Reorder = 0.1, 0.1, 0.3
	})},
	// Sessions go from a group whose leader's clock is ahead to one whose leader's is behind.
	paxos.IgnoreToken: {[]Kind{Linearizability}, timed(func(f *Faults) { f.WallJump = 300 * Millisecond })},
	// A leader is replaced by one whose clock is behind.
	paxos.ForgetTime: {[]Kind{Invariant, Linearizability}, timed(func(f *Faults) {
		f.Coup, f.Handoff, f.WallJump = 200*Millisecond, 200*Millisecond, 300*Millisecond
	})},
	// A leader and a follower are cut off together, and the others elect another one.
	paxos.FreshUnconfirmed: {[]Kind{Linearizability}, stale(kv.BoundedAge(30*time.Millisecond), func(f *Faults) {
		f.Partition, f.Handoff, f.Flap = 200*Millisecond, 150*Millisecond, 300*Millisecond
	})},
	paxos.TrustOldConfig: {nil, changing(func(f *Faults) {
		f.Straggle, f.SyncMax, f.Handoff = 0.1, 20*Millisecond, 500*Millisecond
	})},
}

// TestMutations plants each bug that package paxos knows.
func TestMutations(t *testing.T) {
	for _, m := range paxos.Mutations() {
		if mutations[m].by == nil {
			continue
		}
		t.Run(m.String(), func(t *testing.T) { mustCatch(t, mutations[m].swarm, m, nil, mutations[m].by...) })
	}
}

// TestCountingBeforeSyncLosesWrites finds that bug without a look into the replicas.
func TestCountingBeforeSyncLosesWrites(t *testing.T) {
	mustCatch(t, blind(crashing), paxos.CountBeforeSync, nil, Divergence, Durability)
}

// wrongClocks is a cluster whose clocks err by four times what a lease bears. A leader that hears no majority for an election
// time-out gives up, lease or not, so that is made long.
func wrongClocks(lease core.Time) swarm {
	patient := paxos.Options{ElectionMin: 2 * Second, ElectionMax: 3 * Second}
	return directed(3, patient, lease, func(f *Faults) {
		f.RateMax, f.Cut, f.Partition = 100_000, Second, Second
	})
}

// TestLeasesRestOnClocks shows that a lease is only as good as its bound on the clocks' rates, which is its promise, and that
// nothing else rests on them.
func TestLeasesRestOnClocks(t *testing.T) {
	mustCatch(t, wrongClocks(2*Second), paxos.NoMutation, nil, Linearizability)
	for seed := uint64(1); seed <= 200; seed++ {
		if r := Run(wrongClocks(0)(seed, paxos.NoMutation)); r.Failure != "" {
			t.Fatalf("without leases, seed %d: %s", seed, r.Failure)
		}
	}
}

// TestSwarmsAreBearable runs what the bugs are looked for in without a bug.
func TestSwarmsAreBearable(t *testing.T) {
	for _, m := range paxos.Mutations() {
		for seed := uint64(1); seed <= 10; seed++ {
			if r := Run(mutations[m].swarm(seed, paxos.NoMutation)); r.Failure != "" {
				t.Errorf("swarm for %s, seed %d: %s", m, seed, r.Failure)
			}
		}
	}
	for seed := uint64(1); seed <= 10; seed++ {
		if r := Run(restless(seed, paxos.NoMutation)); r.Failure != "" {
			t.Errorf("swarm of changing members, seed %d: %s", seed, r.Failure)
		}
	}
}
