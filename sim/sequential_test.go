package sim

import (
	"testing"

	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/referee"
)

// TestSequentialSeeds runs sequential keyspaces of several shards under every fault, with clients that carry their tokens from
// node to node.
func TestSequentialSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawSequential(seed, paxos.NoMutation) })
}

// dekker are two shards whose clients write one register and read another, at whatever node comes first.
func dekker(change func(*Protocol)) swarm {
	return func(seed uint64, planted paxos.Mutation) Options {
		o := timed(func(*Faults) {})(seed, planted)
		o.Protocol.Families = []Family{{Letter: "r", Kinds: []referee.Kind{referee.Set, referee.Get}}}
		o.Protocol.Level = nil
		change(&o.Protocol)
		return o
	}
}

// TestTwoShardDekker is trap T5.2: one session writes x and reads y, another writes y and reads x, and both read what was
// before. Tokens that stand for a group each let it happen, without any fault; one time for all groups does not.
func TestTwoShardDekker(t *testing.T) {
	t.Run("a token for each group", func(t *testing.T) {
		mustCatch(t, dekker(func(p *Protocol) { p.Shards = false }), paxos.NoMutation, nil, Linearizability)
	})
	t.Run("no token", func(t *testing.T) {
		mustCatch(t, dekker(func(p *Protocol) { p.MergeTokens = nil }), paxos.NoMutation, nil, Linearizability)
	})
	for seed := uint64(1); seed <= 50; seed++ {
		if r := Run(dekker(func(*Protocol) {})(seed, paxos.NoMutation)); r.Failure != "" {
			t.Fatalf("one time for all groups, seed %d: %s", seed, r.Failure)
		}
	}
}

// TestSequentialIsNotLinearizable: a reader may lag behind what was acknowledged to others, which is what makes it cheap.
func TestSequentialIsNotLinearizable(t *testing.T) {
	mustCatch(t, dekker(func(p *Protocol) { p.Judge = judgeLinearizable }), paxos.NoMutation, nil, Linearizability)
}
