package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/referee"
)

// DrawBounded draws the settings of a run of linearizable groups some of whose reads are bounded.
func DrawBounded(seed uint64, mutation paxos.Mutation) Protocol {
	options, lease := drawPaxos(seed, mutation)
	p := Bounded(options, lease)
	p.Name = namePaxos("paxos with bounded reads", options, lease)
	return p
}

// Bounded runs linearizable groups; half of the reads may be old, by an age or by versions, and come from any replica.
func Bounded(options paxos.Options, lease core.Time) Protocol {
	p := Paxos(options, lease)
	p.Name = "bounded"
	p.Families = sequentialFamilies
	p.Here = boundedHere
	p.Level = func(rng *rand.Rand, read bool) kv.Level {
		if !read || rng.IntN(2) == 0 {
			return kv.LevelDefault
		}
		return drawBound(rng)
	}
	p.Judge = judgeBounded
	return p
}

func boundedHere(r core.Replica, view core.View, c *kv.Command, now host.Now) (kv.Result, bool) {
	known := permitOf(r, now)
	result, how := paxos.Serve(view, c, paxos.Permit{Lease: known.Lease, Safe: known.Safe, Now: known.Now, Fresh: known.Fresh, Mono: known.Mono})
	return result, how == paxos.Answered
}

// drawBound draws bounds at which replicas that lag are just too old, or just not.
func drawBound(rng *rand.Rand) kv.Level {
	if rng.IntN(3) == 0 {
		return kv.BoundedVersions(1 + rng.Uint64N(3))
	}
	return kv.BoundedAge([]time.Duration{40, 100, 200, 400, 1000}[rng.IntN(5)] * time.Millisecond)
}

func judgeBounded(h referee.History, final referee.Final) []referee.Verdict {
	return slices.DeleteFunc(judgeLinearizable(h, final), unplaced)
}
