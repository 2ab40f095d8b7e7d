package sim

import (
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/twophase"
)

// TestTwophaseSeeds runs the protocol of atomic keyspaces under every fault that it promises to bear.
func TestTwophaseSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawTwophase(seed, twophase.NoMutation) })
}

// movingTwophase changes members all the time, also where a view must not shrink below what it moves to.
func movingTwophase(seed uint64, planted twophase.Mutation) Options {
	return moving(seed, drawTwophase(seed, planted, 3))
}

// TestTwophaseMoves changes the members of atomic groups under every fault; now and then a disk is lost for good.
func TestTwophaseMoves(t *testing.T) {
	runAll(t, func(seed uint64) Options { return movingTwophase(seed, twophase.NoMutation) })
}

// twophaseSwarm draws the options of a run of atomic groups in which a bug shows.
type twophaseSwarm func(seed uint64, planted twophase.Mutation) Options

func anyTwophase(seed uint64, planted twophase.Mutation) Options {
	return Options{Seed: seed, Protocol: DrawTwophase(seed, planted)}
}

// directedTwophase is one group of three, eight clients, and the faults that a bug needs, on top of a calm world.
func directedTwophase(needs func(*Faults)) twophaseSwarm {
	return func(seed uint64, planted twophase.Mutation) Options {
		o := anyTwophase(seed, planted)
		f := Calm()
		needs(f)
		o.Nodes, o.Groups, o.Clients, o.Faults = 3, 1, 8, f
		return o
	}
}

// twophaseMutations says where each bug of package twophase shows, and which checkers must find it there.
var twophaseMutations = map[twophase.Mutation]struct {
	by    []Kind
	swarm twophaseSwarm
}{
	// Votes are late, and the coordinator is gone before the abortion is heard of.
	twophase.FailAtTimeout: {[]Kind{Durability, Linearizability}, directedTwophase(func(f *Faults) {
		f.Straggle, f.Crash, f.SlowLink, f.SyncSlow, f.Cut = 0.3, 400*Millisecond, 400*Millisecond, 600*Millisecond, 500*Millisecond
	})},
	twophase.CommitIfTold: {[]Kind{Divergence, Durability, Linearizability}, anyTwophase},
	// What is answered and not on disk is lost by the power of all.
	twophase.VoteBeforeSync: {[]Kind{Divergence, Durability, Invariant, Linearizability}, directedTwophase(func(f *Faults) {
		f.Crash, f.CrashAll, f.SyncMax = 300*Millisecond, Second, 30*Millisecond
	})},
	twophase.AbortAlone: {[]Kind{Divergence, Linearizability}, anyTwophase},
	// Messages of earlier epochs come late.
	twophase.ObeyAll: {[]Kind{Divergence, Durability, Invariant}, directedTwophase(func(f *Faults) {
		f.Straggle, f.SlowLink, f.Crash, f.Cut = 0.2, 500*Millisecond, 500*Millisecond, 500*Millisecond
	})},
	twophase.PrepareAnew: {[]Kind{Divergence, Durability, Invariant}, directedTwophase(func(f *Faults) {
		f.Straggle, f.SlowLink, f.SyncSlow, f.Cut = 0.2, 400*Millisecond, 500*Millisecond, 500*Millisecond
	})},
	twophase.ForgetAtRestart: {[]Kind{Divergence, Linearizability}, anyTwophase},
	twophase.JoinEarly:       {[]Kind{Invariant}, anyTwophase},
	twophase.EvaluateAtOnce:  {[]Kind{Linearizability}, anyTwophase},
	twophase.ReadInFlight:    {[]Kind{Linearizability}, anyTwophase},
	twophase.KeepEpoch:       {[]Kind{Divergence, Invariant}, anyTwophase},
	twophase.IgnoreLease:     {[]Kind{Linearizability}, anyTwophase},
	twophase.SkipMember:      {[]Kind{Divergence, Invariant, Linearizability}, anyTwophase},
	twophase.ExecuteTwice:    {[]Kind{Durability, Linearizability}, anyTwophase},
	twophase.AskFromOutside:  {[]Kind{Invariant}, anyTwophase},
	twophase.CommitUnvoted:   {[]Kind{Invariant, Linearizability}, anyTwophase},
	// The referee knows no times to live. Its script in package twophase shows it.
	twophase.ExpireByLogTime: {nil, anyTwophase},
	// The catalog does not let those go early, whatever a coordinator asks for; and too few disks show when they are lost, too.
	// Scripts show both.
	twophase.DropOldEarly:    {nil, movingTwophase},
	twophase.WriteBelowLeast: {nil, movingTwophase},
	// It costs time, and breaks nothing.
	twophase.CountOwnPause: {nil, anyTwophase},
	twophase.LeavePinned:   {nil, anyTwophase},
}

// TestTwophaseMutations plants each bug that package twophase knows; a checker that lets one pass is broken.
func TestTwophaseMutations(t *testing.T) {
	for _, m := range twophase.Mutations() {
		c := twophaseMutations[m]
		if c.by == nil {
			continue
		}
		t.Run(m.String(), func(t *testing.T) {
			for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
				if r := Run(c.swarm(seed, m)); r.Failure != "" && slices.Contains(c.by, r.Kind) {
					t.Logf("seed %d: %.300s", seed, r.Failure)
					return
				}
			}
			t.Errorf("not found by %v within %d seeds", c.by, *canaryFlag)
		})
	}
}

// TestViewsGoByTheirShards: a catalog that lets a view name who is no replica of the shard any more is found out. Coordinators ask for
// that: they hear late that another move has begun.
func TestViewsGoByTheirShards(t *testing.T) {
	for seed := uint64(1); seed <= uint64(*canaryFlag); seed++ {
		o := movingTwophase(seed, twophase.NoMutation)
		o.laxViews = true
		if r := Run(o); r.Failure != "" {
			t.Logf("seed %d: %.300s", seed, r.Failure)
			return
		}
	}
	t.Errorf("not found within %d seeds", *canaryFlag)
}

// TestTwophaseSwarmsAreBearable runs what the bugs are looked for in without a bug.
func TestTwophaseSwarmsAreBearable(t *testing.T) {
	for _, m := range twophase.Mutations() {
		for seed := uint64(1); seed <= 10 && twophaseMutations[m].by != nil; seed++ {
			if r := Run(twophaseMutations[m].swarm(seed, twophase.NoMutation)); r.Failure != "" {
				t.Errorf("swarm for %s, seed %d: %s", m, seed, r.Failure)
			}
		}
	}
}

// TestTwophaseBearsDamage damages the log of one node of three again and again: it is left out, filled, and taken back.
func TestTwophaseBearsDamage(t *testing.T) {
	swarm := directedTwophase(func(f *Faults) { f.Damage, f.SyncMax = 400*Millisecond, 10*Millisecond })
	var total Stats
	for seed := uint64(1); seed <= 60; seed++ {
		r := RunTold(swarm(seed, twophase.NoMutation))
		if r.Failure != "" {
			t.Fatalf("seed %d: %s\n%s", seed, r.Failure, strings.Join(r.Trace, "\n"))
		}
		total.add(r.Stats)
	}
	t.Log(total)
}

// TestTwophaseSameSeedSameTrace: a run is a function of its seed.
func TestTwophaseSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := Run(anyTwophase(seed, twophase.NoMutation)), Run(anyTwophase(seed, twophase.NoMutation))
		if a.TraceHash != b.TraceHash || a.Stats != b.Stats {
			t.Errorf("seed %d: traces %x and %x", seed, a.TraceHash, b.TraceHash)
		}
	}
}
