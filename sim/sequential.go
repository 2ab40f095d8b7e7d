package sim

import (
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/referee"
)

// DrawSequential draws the settings of a run of sequential groups.
func DrawSequential(seed uint64, mutation paxos.Mutation) Protocol {
	options, lease := drawPaxos(seed, mutation)
	p := Sequential(options, lease)
	p.Name = namePaxos("sequential", options, lease)
	return p
}

// Sequential runs groups that are the shards of one sequential keyspace: clients carry one token over all of them.
func Sequential(options paxos.Options, lease core.Time) Protocol {
	options.GroupTime, options.Binding = true, 1
	p := Paxos(options, lease)
	p.Name = "sequential"
	p.Here = sequentialHere
	p.Families = sequentialFamilies
	p.Level = sequentialLevel
	p.MergeTokens, p.Shards = paxos.MergeTokens, true
	p.Judge = judgeSequential
	return p
}

// sequentialFamilies are those in which the referee can tell the order of all writes by what was read: the mixed one leaves
// it open whether a write of unknown outcome came before another.
var sequentialFamilies = slices.DeleteFunc(slices.Clone(linearizable), func(f Family) bool { return f.Letter == "m" })

func sequentialHere(r core.Replica, view core.View, c *kv.Command, now host.Now) (kv.Result, bool) {
	known := permitOf(r, now)
	result, how := paxos.Serve(view, c, paxos.Permit{Binding: 1, Lease: known.Lease, Safe: known.Safe, Now: known.Now, Fresh: known.Fresh, Mono: known.Mono})
	return result, how == paxos.Answered
}

// sequentialLevel asks for other levels now and then, which must not disturb the sequential ones.
func sequentialLevel(rng *rand.Rand, read bool) kv.Level {
	switch n := rng.IntN(10); {
	case n == 0:
		return kv.LevelLinearizable
	case n >= 8 && read:
		return drawBound(rng)
	case n == 1 && read:
		return kv.LevelPrefix
	case n == 2 && read:
		return kv.LevelEventual
	}
	return kv.LevelDefault
}

// judgeSequential has the whole history judged as sequential, and what asked for more as linearizable.
func judgeSequential(h referee.History, final referee.Final) []referee.Verdict {
	verdicts := referee.CheckAll(&referee.Run{Consistency: string(kv.Sequential), History: h, Final: final})
	strict := make(referee.History, len(h))
	for i, o := range h {
		if o.Level == "" {
			o.Level = kv.LevelSequential.String()
		}
		strict[i] = o
	}
	c, _ := referee.CheckerNamed("linearizable")
	verdicts = append(verdicts, c.Check(&referee.Run{Consistency: string(kv.Linearizable), History: strict, Final: final}))
	return slices.DeleteFunc(verdicts, unplaced)
}

// unplaced says that the referee found nothing wrong and could not place a write of unknown outcome, whose version no answer
// told: one run in a hundred or so has one, and the others are judged.
func unplaced(v referee.Verdict) bool {
	return v.Decision == referee.Undecided && v.Check != "linearizable" && v.Check != "durability"
}
