package keyspace

import (
	"encoding/binary"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
)

// Options are the settings of a cluster that its protocols share.
type Options struct {
	Heartbeat, ElectionMin, ElectionMax core.Time
	// LeaseMillis is how long a leader may read without asking. It must be shorter than ElectionMin.
	LeaseMillis uint32
}

// The switch from a promise to a protocol: the functions of this file and nothing else.

// Offers says whether a keyspace can honestly execute a command at the level that it asks for: nil, or an error that says
// why not and which consistency would (Unsupported). It looks at the command alone.
func Offers(ks *kv.Keyspace, c *kv.Command) error {
	return offersOrdered(ks, c)
}

// Permit is what a replica has let known of its state, for those who read it beside the replica's steps.
type Permit struct {
	// Lease: the state is as good as any for a linearizable read (core.Leased).
	Lease bool
	// Safe: the state holds all up to this time (core.Timed), which was known before the state is looked at; 0: it is not to
	// be read.
	Safe kv.HLC
	// Now is the reader's clock.
	Now kv.HLC
}

// Read answers a read-only command from a replica's state, as far as the permit goes. ok is false if this read has to be a
// step of the replica; needsLog says that it will change the log.
func Read(ks *kv.Keyspace, view core.View, command *kv.Command, p Permit) (r kv.Result, ok, needsLog bool) {
	return readOrdered(ks, view, command, p)
}

// NewReplica makes a replica of a shard of a keyspace.
func NewReplica(d *Descriptor, self core.ReplicaID, o Options) core.Replica {
	if !onPaxos(d.Consistency) {
		panic(fmt.Sprintf("keyspace: no protocol for consistency %q", d.Consistency))
	}
	return paxos.New(self, paxos.Options{Heartbeat: o.Heartbeat, ElectionMin: o.ElectionMin, ElectionMax: o.ElectionMax,
		GroupTime: d.Consistency == kv.Sequential, Keyspace: d.ID})
}

// Members are the replicas that vote in a group and those that only learn, as its log says; settled says that this is
// committed and no change is under way; ok is false for a protocol whose members do not change by its log.
func Members(r core.Replica) (voters, learners []core.ReplicaID, settled, ok bool) {
	p, ok := r.(*paxos.Replica)
	if !ok {
		return nil, nil, false, false
	}
	voters, learners, settled = p.Members()
	return voters, learners, settled, true
}

// DecodeMessage reads a message between the replicas of such a keyspace. The message may keep b.
func DecodeMessage(c kv.Consistency, b []byte) (core.Message, error) {
	if !onPaxos(c) {
		return nil, fmt.Errorf("no protocol for consistency %q", c)
	}
	return paxos.DecodeMessage(b)
}

// FirstConfig is what the replicas of a shard are started with.
func (d *Descriptor) FirstConfig(cluster [16]byte, shard int, o Options) []byte {
	s := &d.Shards[shard]
	if s.Founders != nil {
		return s.Founders
	}
	c := paxos.Config{Voters: s.Voters(), Preferred: s.Preferred,
		Identity: binary.BigEndian.AppendUint64(cluster[:], uint64(s.Group))}
	if !d.Terms.LeaseOff {
		c.LeaseMillis = o.LeaseMillis
	}
	return c.AppendTo(nil)
}
