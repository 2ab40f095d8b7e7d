package keyspace

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
)

// onPaxos says that the shards of such a keyspace are paxos groups.
func onPaxos(c kv.Consistency) bool { return c == kv.Linearizable || c == kv.Sequential }

// sessionLevels are those for which replicas need a common time: a sequential keyspace gives all of them by giving the first.
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
	case timed && slices.Contains(sessionLevels, l):
	case slices.Contains(sessionLevels, l):
		return kv.Errorf(kv.Unsupported, "keyspace %s is %s and cannot give level %s: its replicas know no common time to read at; it gives %s; a sequential keyspace gives that level",
			ks.Name, ks.Consistency, l, given(timed))
	default:
		return kv.Errorf(kv.Unsupported, "keyspace %s is %s and cannot give level %s; it gives %s", ks.Name, ks.Consistency, l, given(timed))
	}
	if !timed {
		return nil
	}
	return paxos.CheckToken(ks.Binding, c.Token)
}

// given are the levels of a keyspace on paxos groups.
func given(timed bool) string {
	if timed {
		return "default, sequential, session, each guarantee of a session, and linearizable, and to reads bounded, prefix and eventual"
	}
	return "default and linearizable, and to reads bounded, prefix and eventual"
}

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
