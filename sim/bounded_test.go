package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/referee"
)

// TestBoundedSeeds runs linearizable keyspaces with bounded reads under every fault.
func TestBoundedSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawBounded(seed, paxos.NoMutation) })
}

// stale are groups of five that are torn apart while leaderships change, and clients that read at a bound that is much
// shorter than an election.
func stale(bound kv.Level, needs func(*Faults)) swarm {
	return func(seed uint64, planted paxos.Mutation) Options {
		o := directed(5, paxos.Options{}, 0, needs)(seed, planted)
		options := paxos.Options{Heartbeat: 20 * Millisecond, ElectionMin: 600 * Millisecond, ElectionMax: 700 * Millisecond, Mutation: planted}
		o.Protocol, o.Think = Bounded(options, 0), 10*Millisecond
		o.Protocol.Families = []Family{{Letter: "r", Kinds: []referee.Kind{referee.Set, referee.Get, referee.Get}}}
		o.Protocol.Level = func(_ *rand.Rand, read bool) kv.Level {
			if read {
				return bound
			}
			return kv.LevelDefault
		}
		return o
	}
}

// TestBoundsAreChecked lets clients take whatever a replica holds for what they asked: the checker of bounded reads must find
// that out.
func TestBoundsAreChecked(t *testing.T) {
	lying := func(bound kv.Level) swarm {
		return func(seed uint64, planted paxos.Mutation) Options {
			o := stale(bound, func(f *Faults) { f.Partition, f.Cut = 400*Millisecond, 400*Millisecond })(seed, planted)
			o.Protocol.Here = anyState
			return o
		}
	}
	mustCatch(t, lying(kv.BoundedAge(100*time.Millisecond)), paxos.NoMutation, nil, Linearizability)
}

// anyState answers from a replica's state whatever the level.
func anyState(r core.Replica, view core.View, c *kv.Command, now host.Now) (kv.Result, bool) {
	if c.Level.Kind() != kv.LevelBounded {
		return boundedHere(r, view, c, now)
	}
	weak := *c
	weak.Level = kv.LevelEventual
	return boundedHere(r, view, &weak, now)
}
