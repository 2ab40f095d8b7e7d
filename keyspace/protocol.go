package keyspace

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/quorum"
	"github.com/gamutdb/gamut/twophase"
)

// Options are the settings of a cluster that its protocols share.
type Options struct {
	Heartbeat, ElectionMin, ElectionMax core.Time
	// Cluster is its identity, which tokens of sessions are bound to.
	Cluster [16]byte
	// LeaseMillis is how long a leader may read without asking. It must be shorter than ElectionMin.
	LeaseMillis uint32
	// Counting is bayou.Options'. It is for the simulator: a running cluster stamps by its clocks.
	Counting bool
}

// The switch from a promise to a protocol: the functions of this file and nothing else.

// Offers says whether a keyspace can honestly execute a command at the level that it asks for: nil, or an error that says
// why not and which consistency would (Unsupported). It looks at the command alone.
func Offers(ks *kv.Keyspace, c *kv.Command) error {
	if c.Tx != nil && ks.Consistency != kv.Linearizable {
		return kv.Errorf(kv.Unsupported, "keyspace %s is %s and takes no part in transactions", ks.Name, ks.Consistency)
	}
	if c.Merge != nil && !ks.CommitOrder {
		return kv.Errorf(kv.Unsupported, "keyspace %s has no commit order, and so no merge procedures; make one with --consistency causal --commit-order", ks.Name)
	}
	if c.AsksOutcome() && !ks.Tracked() {
		return ks.Untracked()
	}
	if err := offersMerges(ks, c); err != nil {
		return err
	}
	switch ks.Consistency {
	case kv.Quorum:
		return quorum.Offers(c)
	case kv.Eventual:
		if c.Level != kv.LevelDefault && c.Level != kv.LevelEventual {
			return kv.Errorf(kv.Unsupported, "keyspace %s is eventual and cannot give level %s; it gives default and eventual", ks.Name, c.Level)
		}
		return bayou.Offers(c)
	case kv.Causal:
		if ks.CommitOrder {
			return bayou.OffersOrdered(c)
		}
		return bayou.Offers(c)
	case kv.Atomic:
		return offersAtomic(ks, c)
	}
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
	// Unlocked: no transaction held a lock when the read arrived (core.Locking).
	Unlocked bool
	// Fresh is how old the state may be (core.Fresh), known before the state is looked at; Mono is the reader's clock for it.
	Fresh core.Freshness
	Mono  core.Time
}

// Read answers a read-only command from a replica's state, as far as the permit goes. ok is false if this read has to be a
// step of the replica; needsLog says that it will change the log.
func Read(ks *kv.Keyspace, view core.View, command *kv.Command, p Permit) (r kv.Result, ok, needsLog bool) {
	switch ks.Consistency {
	case kv.Quorum:
		if !p.Lease || !quorum.ReadsOne(command) {
			return kv.Result{}, false, false
		}
		return quorum.ReadOne(view, command, p.Now), true, false
	case kv.Causal, kv.Eventual:
		if !p.Lease {
			return kv.Result{}, false, false
		}
		return readCausal(ks.Consistency, view, command, p.Now)
	case kv.Atomic:
		return readAtomic(view, command, p)
	}
	return readOrdered(ks, view, command, p)
}

// Led says whether the replicas of such a keyspace have a leader.
func Led(c kv.Consistency) bool { return onPaxos(c) || Atomic(c) }

// NewReplica makes a replica of a shard of a keyspace.
func NewReplica(d *Descriptor, self core.ReplicaID, o Options) core.Replica {
	switch d.Consistency {
	case kv.Linearizable, kv.Sequential:
		return paxos.New(self, paxos.Options{Heartbeat: o.Heartbeat, ElectionMin: o.ElectionMin, ElectionMax: o.ElectionMax,
			GroupTime: d.Consistency == kv.Sequential, Binding: d.binding(o.Cluster, 0), Divisible: Splittable(d) == nil})
	case kv.Causal, kv.Eventual:
		return bayou.New(self, bayou.Options{Counting: o.Counting})
	case kv.Quorum:
		return quorum.New(self, quorum.Options{RecentKeys: max(recentKeysMin, recentKeys/max(1, len(d.Shards))),
			InsideMax: d.InsideMax()})
	case kv.Atomic:
		return twophase.New(self, twophase.Options{Refuse: d.Terms.Refuse})
	}
	panic(fmt.Sprintf("keyspace: no protocol for consistency %q", d.Consistency))
}

// recentKeys is quorum.Options' for a keyspace, whose shards share it; recentKeysMin is what each has at least.
const recentKeys, recentKeysMin = 64 << 10, 4 << 10

// Resends reports whether a write of unknown fate may be sent to another replica: it will be executed once all the same.
func (d *Descriptor) Resends() bool { return onPaxos(d.Consistency) }

// Causal reports whether every replica takes writes alone: a causal keyspace, or an eventual one.
func Causal(c kv.Consistency) bool { return c == kv.Causal || c == kv.Eventual }

// Members are the replicas that vote in a group and those that only learn, as its log says; settled says that this is
// committed and no change is under way; ok is false for a protocol whose members do not change by its log.
func Members(r core.Replica) (now core.Reconfigure, settled, ok bool) {
	p, ok := r.(*paxos.Replica)
	if !ok {
		return now, false, false
	}
	now, settled = p.Members()
	return now, settled, true
}

// Writer is the replica that wrote the last of the records that say whose they are; 0: none does.
func Writer(c kv.Consistency, records []core.Record) core.ReplicaID {
	switch {
	case onPaxos(c):
		return paxos.Writer(records)
	case c == kv.Quorum:
		return quorum.Writer(records)
	case Causal(c):
		return bayou.Writer(records)
	case Atomic(c):
		return twophase.Writer(records)
	}
	return 0
}

// DecodeMessage reads a message between the replicas of such a keyspace. The message may keep b.
func DecodeMessage(c kv.Consistency, b []byte) (core.Message, error) {
	switch c {
	case kv.Linearizable, kv.Sequential:
		return paxos.DecodeMessage(b)
	case kv.Quorum:
		return quorum.DecodeMessage(b)
	case kv.Causal, kv.Eventual:
		return bayou.DecodeMessage(b)
	case kv.Atomic:
		return twophase.DecodeMessage(b)
	}
	return nil, fmt.Errorf("no protocol for consistency %q", c)
}

// MergeTokens is what clients of such a keyspace carry from answer to command by; nil: nothing.
func MergeTokens(c kv.Consistency) func(a, b []byte) []byte {
	switch c {
	case kv.Causal:
		return bayou.MergeTokens
	case kv.Sequential:
		return paxos.MergeTokens
	}
	return nil
}

// Tokens lets a keyspace's clients carry what they have seen, if its promise has sessions.
func (d *Descriptor) Tokens(cluster [16]byte, ks *kv.Keyspace) {
	ks.MergeTokens, ks.Binding = MergeTokens(d.Consistency), d.binding(cluster, 0)
	switch d.Consistency {
	case kv.Causal:
		ks.CheckToken = func(token []byte) error { return bayou.CheckToken(ks.Binding, token) }
	case kv.Sequential:
		ks.CheckToken = func(token []byte) error { return paxos.CheckToken(ks.Binding, token) }
	}
}

// binding names the cluster and a shard's group, which is never given twice, in tokens.
func (d *Descriptor) binding(cluster [16]byte, shard int) uint64 {
	return xxhash.Sum64(binary.BigEndian.AppendUint64(cluster[:], uint64(d.Shards[shard].Group)))
}

// FirstConfig is what the replicas of a shard are started with.
func (d *Descriptor) FirstConfig(cluster [16]byte, shard int, o Options) []byte {
	s := &d.Shards[shard]
	if s.Founders != nil {
		return s.Founders
	}
	if d.Consistency == kv.Causal || d.Consistency == kv.Eventual {
		c := bayou.Config{Members: s.Voters(), Binding: d.binding(cluster, shard), Eventual: d.Consistency == kv.Eventual, Siblings: d.Terms.Siblings,
			Ordered: d.Terms.CommitOrder}
		return c.AppendTo(nil)
	}
	if d.Consistency == kv.Quorum {
		c := quorum.Config{Members: s.Voters(), Atomic: d.Terms.Atomic, ClientStamps: d.Terms.ClientStamps}
		return c.AppendTo(nil)
	}
	if Atomic(d.Consistency) {
		return twophase.Config{Epoch: 1, Coordinator: s.Preferred, Members: s.Voters(), MinMembers: d.Terms.MinMembers}.AppendTo(nil)
	}
	c := paxos.Config{Voters: s.Voters(), Preferred: s.Preferred,
		Identity: binary.BigEndian.AppendUint64(cluster[:], uint64(s.Group))}
	if !d.Terms.LeaseOff {
		c.LeaseMillis = o.LeaseMillis
	}
	return c.AppendTo(nil)
}

// GroupConfig is what the catalog says of a shard's members now, for a protocol whose members do not change by its own log;
// nil: nothing but what they were started with.
func (d *Descriptor) GroupConfig(cluster [16]byte, shard int) []byte {
	s := &d.Shards[shard]
	if !Causal(d.Consistency) || s.Epoch == 0 {
		return d.Members(shard)
	}
	c := bayou.Config{Members: s.Voters(), Binding: d.binding(cluster, shard), Eventual: d.Consistency == kv.Eventual,
		Siblings: d.Terms.Siblings, Ordered: d.Terms.CommitOrder, Epoch: s.Epoch, Last: s.lastReplica(), Settled: len(s.Target) == 0}
	for _, m := range s.Replicas {
		if s.Leaves(m.Node) {
			c.Leaving = append(c.Leaving, m.Replica)
		}
	}
	return c.AppendTo(nil)
}
