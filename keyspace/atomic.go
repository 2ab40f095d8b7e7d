package keyspace

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/twophase"
)

// offersAtomic is Offers for keyspaces that write to all members of a view.
func offersAtomic(ks *kv.Keyspace, c *kv.Command) error {
	switch l := c.Level; {
	case l <= kv.LevelLinearizable, slices.Contains(sessionLevels, l), (l == kv.LevelEventual || l.Kind() == kv.LevelBounded) && c.ReadOnly():
		return nil
	case l == kv.LevelEventual || l.Kind() == kv.LevelBounded:
		return kv.Errorf(kv.Unsupported, "level %s is for reads: keyspace %s writes to all members of its view alike; leave the level out", l, ks.Name)
	case l == kv.LevelPrefix:
		return kv.Errorf(kv.Unsupported, "keyspace %s is atomic and cannot give level %s: a replica may hear of outcomes in another order than they came; it gives %s", ks.Name, l, givenAtomic)
	default:
		return kv.Errorf(kv.Unsupported, "keyspace %s is atomic and cannot give level %s; it gives %s", ks.Name, l, givenAtomic)
	}
}

// givenAtomic are the levels of such a keyspace. All but eventual are answered with its own promise.
const givenAtomic = "default, sequential, session, each guarantee of a session, and linearizable, and to reads bounded and eventual"

// readAtomic is Read for such keyspaces: a member is read while its node's lease holds and nothing is being written there.
func readAtomic(view core.View, command *kv.Command, p Permit) (r kv.Result, ok, needsLog bool) {
	if !p.Lease {
		return kv.Result{}, false, false
	}
	r, ok = twophase.Read(view, command, p.Now)
	return r, ok, !ok
}

func reportAtomic(st twophase.Status, nodes map[core.ReplicaID]core.NodeID, now core.Time) kv.GroupStatus {
	role := "replica"
	if st.Leads {
		role = "leader"
	}
	a := &kv.AtomicStatus{Epoch: st.Epoch, Fenced: st.Fenced, Members: nodesOf(st.Members, nodes), Joiners: nodesOf(st.Joiners, nodes),
		InDoubt: st.Last - min(st.Last, st.Resolved), InDoubtMillis: int64(st.InDoubt) / 1e6, WaitingReads: st.WaitingReads, WaitingWrites: st.WaitingWrites}
	s := kv.GroupStatus{Role: role, Commit: st.Resolved, Applied: st.Applied, Durable: st.Applied, Last: st.Last, Suspect: st.Suspect, Atomic: a}
	if st.LeaseUntil > now {
		s.LeaseMS = int64(st.LeaseUntil-now) / 1e6
	}
	return s
}
