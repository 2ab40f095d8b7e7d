package keyspace

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
)

// onPaxos says that the shards of such a keyspace are paxos groups.
func onPaxos(c kv.Consistency) bool { return c == kv.Linearizable || c == kv.Sequential }

// sessionLevels are those that a sequential keyspace gives by giving the first. What is linearizable is sequential and keeps what sessions
// have seen, so linearizable and atomic keyspaces answer them with their own promise, which is more, and say so.
var sessionLevels = []kv.Level{kv.LevelSequential, kv.LevelSession, kv.LevelReadYourWrites, kv.LevelMonotonicReads,
	kv.LevelMonotonicWrites, kv.LevelWritesFollowReads}

// offersOrdered is Offers for keyspaces on paxos groups.
func offersOrdered(ks *kv.Keyspace, c *kv.Command) error {
	timed := ks.Consistency == kv.Sequential
	switch l := c.Level; {
	case l <= kv.LevelLinearizable:
	case (paxos.Weak(l) || l.Kind() == kv.LevelBounded) && c.ReadOnly():
	case paxos.Weak(l) || l.Kind() == kv.LevelBounded:
		return kv.Errorf(kv.Unsupported, "level %s is for reads: keyspace %s orders all its writes alike; leave the level out", l, ks.Name)
	case slices.Contains(sessionLevels, l):
	default:
		return kv.Errorf(kv.Unsupported, "keyspace %s is %s and cannot give level %s; it gives %s", ks.Name, ks.Consistency, l, givenOrdered)
	}
	if !timed {
		return nil
	}
	return paxos.CheckToken(ks.Binding, c.Token)
}

// givenOrdered are the levels of a keyspace on paxos groups.
const givenOrdered = "default, sequential, session, each guarantee of a session, and linearizable, and to reads bounded, prefix and eventual"

// readOrdered is Read for keyspaces on paxos groups.
func readOrdered(ks *kv.Keyspace, view core.View, command *kv.Command, p Permit) (r kv.Result, ok, needsLog bool) {
	permit := paxos.Permit{Lease: p.Lease, Safe: p.Safe, Now: p.Now, Fresh: p.Fresh, Mono: p.Mono, Unlocked: p.Unlocked,
		Beside: true}
	switch ks.Consistency {
	case kv.Linearizable:
	case kv.Sequential:
		permit.Binding = ks.Binding
	default:
		return kv.Result{}, false, false
	}
	r, how := paxos.Serve(view, command, permit)
	return r, how == paxos.Answered, how == paxos.NeedsLog
}
