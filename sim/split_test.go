package sim

import (
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/paxos"
)

const splitEvery = 600 * Millisecond

// TestSplits splits linearizable groups again and again under every fault: no write is lost, doubled, or served by two groups.
func TestSplits(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return Split(DrawPaxos(seed, paxos.NoMutation), splitEvery) })
}

// TestSequentialSplits does so with the shards of a sequential keyspace: sessions never go back over a split.
func TestSequentialSplits(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return Split(DrawSequential(seed, paxos.NoMutation), splitEvery) })
}

// splitting is a swarm of groups that are split often, with a bug planted in that.
func splittingSwarm(sequential bool, bug machine.SplitMutation, lease core.Time, needs func(*Faults)) swarm {
	return func(seed uint64, _ paxos.Mutation) Options {
		f := Calm()
		f.RateMax = 25_000
		needs(f)
		options := forgetful
		options.Split = bug
		protocol := Paxos(options, lease)
		if sequential {
			protocol = Sequential(options, lease)
		}
		return Options{Seed: seed, Protocol: Split(protocol, 300*Millisecond), Nodes: 3, Groups: 1, Clients: 8, Faults: f}
	}
}

// TestSplitMutations plants each bug of splits; a checker that lets one pass is broken. What a split does while transactions hold
// locks is shown in package machine.
func TestSplitMutations(t *testing.T) {
	busy := func(f *Faults) {
		f.Crash, f.Coup, f.Drop, f.SyncMax = 500*Millisecond, 200*Millisecond, 0.05, 20*Millisecond
	}
	cases := map[machine.SplitMutation]struct {
		draw swarm
		by   []Kind
	}{
		machine.SplitForgetsSessions: {splittingSwarm(false, machine.SplitForgetsSessions, 0, busy), []Kind{Linearizability, Durability}},
		machine.SplitKeepsWriting:    {splittingSwarm(false, machine.SplitKeepsWriting, 0, busy), []Kind{Linearizability, Durability, Divergence}},
		machine.SplitKeepsReading:    {splittingSwarm(false, machine.SplitKeepsReading, 300*Millisecond, busy), []Kind{Linearizability}},
		machine.SplitBlankLeads:      {splittingSwarm(false, machine.SplitBlankLeads, 0, busy), []Kind{Linearizability, Durability, Divergence, Invariant}},
		machine.SplitTimeAnew:        {splittingSwarm(true, machine.SplitTimeAnew, 0, busy), []Kind{Linearizability, Invariant}},
		machine.SplitVersionsAnew:    {splittingSwarm(false, machine.SplitVersionsAnew, 0, busy), []Kind{Linearizability, Durability, Divergence, Invariant}},
	}
	for _, bug := range machine.SplitMutations() {
		c, here := cases[bug]
		if !here && bug == machine.SplitOverLocks {
			continue
		}
		t.Run(bug.String(), func(t *testing.T) { mustCatch(t, c.draw, paxos.NoMutation, nil, c.by...) })
	}
}
