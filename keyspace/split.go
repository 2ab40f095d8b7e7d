package keyspace

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/paxos"
)

// A shard is split in two steps of the catalog, each under the condition that the descriptor is still as it was read: Dividing names
// the child's group, so that the nodes can run its replicas as soon as the parent's log has divided the keys; Divided, when the
// child has executed something, makes it a shard like others. Between the two it is the parent's log that says whose the keys are.

// Split is a split under way: the keys from Key on become those of Group, whose replicas are those of the shard, under the same ids.
type Split struct {
	Key   []byte       `json:"key"`
	Group core.GroupID `json:"group"`
	// Founders is what the replicas of the child are started with, Preferred the one that should lead.
	Founders  []byte         `json:"founders"`
	Preferred core.ReplicaID `json:"preferred"`
	Grown     bool           `json:"grown,omitempty"`
}

// Automatic splits: what a keyspace is given unless it says otherwise. A shard that is split at 256 MiB is copied, half of it, within
// seconds; one that a node has to be sent anew is sent within seconds as well.
const (
	SplitBytesDefault  = 256 << 20
	SplitWritesDefault = 10_000
	// SplitBytesMin keeps a cluster from falling into crumbs.
	SplitBytesMin = 1 << 20
	// SplitHotSeconds is for how long a shard must be too hot before it is split: a burst passes.
	SplitHotSeconds = 10
	// MergeColdSeconds is for how long two neighbours must be cold before they are merged.
	MergeColdSeconds = 60
)

// Splittable is nil if the shards of a keyspace can be split and merged; else it says why they cannot.
func Splittable(d *Descriptor) error {
	switch {
	case d.Name == SystemName:
		return kv.Errorf(kv.Unsupported, "the keyspace %s is the catalog, which has one shard", d.Name)
	case d.Consistency == kv.Quorum && d.Terms.Partitioner != "":
		return kv.Errorf(kv.Unsupported, "keyspace %s is quorum, and its replicas have no common log that could say from when on keys are another shard's; make it with more --splits, or fewer", d.Name)
	case !onPaxos(d.Consistency):
		return kv.Errorf(kv.Unsupported, "keyspace %s is %s; only the shards of linearizable and sequential keyspaces can be split and merged", d.Name, d.Consistency)
	case d.Terms.Store != StorePebble:
		return kv.Errorf(kv.Unsupported, "the values of keyspace %s are kept elsewhere, under the names of their shards; only shards whose values lie inside can be split and merged", d.Name)
	case d.Terms.Partitioner == byNumeric:
		return kv.Errorf(kv.Unsupported, "the partitioner of keyspace %s is %s, whose ranges are not ranges of bytes; only %s keyspaces can be split and merged", d.Name, byNumeric, byOrder)
	case d.Terms.Partitioner != byOrder:
		return kv.Errorf(kv.Unsupported, "keyspace %s spreads its keys by hash, over as many shards as it was made with; only keyspaces with --partitioner %s can be split and merged", d.Name, byOrder)
	}
	return nil
}

// Dividing is the descriptor with a split begun; grown says that nobody asked for it, so that the shard may be merged again without being
// asked, too. leaders says how many shards each node should lead: the child's leader is the
// member's on the node with the fewest, another one than the parent's if it can.
func (d *Descriptor) Dividing(key []byte, grown bool, group core.GroupID, cluster [16]byte, o Options, leaders map[core.NodeID]int) (*Descriptor, error) {
	if err := Splittable(d); err != nil {
		return nil, err
	}
	switch {
	case len(key) == 0 || len(key) > kv.KeyMax:
		return nil, kv.Errorf(kv.Invalid, "a split key of %d bytes; give 1 to %d", len(key), kv.KeyMax)
	case slices.ContainsFunc(d.Terms.Splits, func(s []byte) bool { return bytes.Equal(s, key) }):
		return nil, kv.Errorf(kv.Exists, "keyspace %s is split at %q already", d.Name, key)
	case len(d.Shards) >= ShardsMax:
		return nil, kv.Errorf(kv.Invalid, "keyspace %s has %d shards, and no more are possible", d.Name, ShardsMax)
	}
	shard := d.shardOf()(key)
	switch s := &d.Shards[shard]; {
	case s.Split != nil:
		return nil, kv.Errorf(kv.Busy, "shard %d of %s is being split already, at %q; retry when that is over", shard, d.Name, s.Split.Key)
	case len(s.Target) > 0:
		return nil, kv.Errorf(kv.Busy, "shard %d of %s is being moved; retry when that is over", shard, d.Name)
	case d.merging(shard):
		return nil, kv.Errorf(kv.Busy, "shard %d of %s is being merged; retry when that is over", shard, d.Name)
	}
	c := d.withShard(shard)
	s := &c.Shards[shard]
	s.Epoch++
	s.Split = &Split{Key: key, Group: group, Preferred: s.leastLed(leaders), Grown: grown}
	config := paxos.Config{Voters: s.Voters(), Preferred: s.Split.Preferred, Split: true,
		Identity: binary.BigEndian.AppendUint64(cluster[:], uint64(group))}
	if !d.Terms.LeaseOff {
		config.LeaseMillis = o.LeaseMillis
	}
	s.Split.Founders = config.AppendTo(nil)
	c.Format = c.format()
	return c, nil
}

// leastLed is the replica on the node that should lead the fewest shards.
func (s *Shard) leastLed(leaders map[core.NodeID]int) core.ReplicaID {
	best := s.Replicas[0]
	for _, m := range s.Replicas[1:] {
		if leaders[m.Node] < leaders[best.Node] || leaders[m.Node] == leaders[best.Node] && best.Replica == s.Preferred {
			best = m
		}
	}
	return best.Replica
}

// Leaders counts the shards that each node should lead.
func (c *Catalog) Leaders() map[core.NodeID]int {
	led := map[core.NodeID]int{}
	// order does not matter: it only counts.
	for _, d := range c.Keyspaces {
		for i := range d.Shards {
			if onPaxos(d.Consistency) {
				led[d.Shards[i].leads()]++
			}
		}
	}
	return led
}

// Child is the shard that a split under way makes of a part of this one.
func (s *Shard) Child() Shard {
	return Shard{Group: s.Split.Group, Replicas: slices.Clone(s.Replicas), Preferred: s.Split.Preferred, Epoch: 1, Last: s.lastReplica(),
		Founders: s.Split.Founders, Parent: s.Group, Grown: s.Split.Grown}
}

// Divided is the descriptor with the split of one shard over: its child is the next one.
func (d *Descriptor) Divided(shard int) *Descriptor {
	c := d.withShard(shard)
	s := &c.Shards[shard]
	child, key := s.Child(), s.Split.Key
	s.Epoch++
	s.Split = nil
	c.Shards = slices.Insert(c.Shards, shard+1, child)
	c.Terms.Splits = slices.Insert(slices.Clone(d.Terms.Splits), shard, key)
	return c
}

// Splitting says that some shard is being split.
func (d *Descriptor) Splitting() bool {
	return slices.ContainsFunc(d.Shards, func(s Shard) bool { return s.Split != nil })
}

// everSplit says that the descriptor tells of splits, which a program that does not know them must not overlook.
func (d *Descriptor) everSplit() bool {
	return d.Terms.SplitBytes != 0 || d.Terms.SplitWrites != 0 ||
		slices.ContainsFunc(d.Shards, func(s Shard) bool { return s.Split != nil || s.Parent != 0 })
}

// splitTerms checks what a user asked for of automatic splits, and makes terms of it: 0 is the default, -1 is off.
func splitTerms(spec *kv.CreateKeyspace) (bytes, writes int64, err error) {
	if spec.SplitBytes == 0 && spec.SplitWrites == 0 {
		return 0, 0, nil
	}
	err = Splittable(&Descriptor{Name: spec.Name, Consistency: spec.Consistency, Terms: Terms{Partitioner: spec.Partitioner, Store: spec.Store}})
	switch {
	case err != nil:
		return 0, 0, err
	case spec.SplitBytes < -1 || spec.SplitBytes > 0 && spec.SplitBytes < SplitBytesMin:
		return 0, 0, kv.Errorf(kv.Invalid, "a split at %d bytes; give %d or more, or off", spec.SplitBytes, SplitBytesMin)
	case spec.SplitWrites < -1:
		return 0, 0, kv.Errorf(kv.Invalid, "a split at %d writes per second; give 1 or more, or off", spec.SplitWrites)
	}
	return spec.SplitBytes, spec.SplitWrites, nil
}

// SplitAt is at how many bytes, and at how many writes per second, a shard of the keyspace is split; 0: never.
func (d *Descriptor) SplitAt() (bytes, writes int64) {
	if Splittable(d) != nil || len(d.Shards) >= ShardsMax {
		return 0, 0
	}
	return d.splitLimits()
}

// splitLimits are those of SplitAt, however many shards there are.
func (d *Descriptor) splitLimits() (bytes, writes int64) {
	bytes, writes = d.Terms.SplitBytes, d.Terms.SplitWrites
	if bytes == 0 {
		bytes = SplitBytesDefault
	}
	if writes == 0 {
		writes = SplitWritesDefault
	}
	return max(bytes, 0), max(writes, 0)
}

// ranges are the bounds of the keyspace's shards; nil if they are no ranges of bytes.
func (d *Descriptor) ranges() func(shard int) (from, to []byte) {
	if d.Terms.Partitioner != byOrder || !onPaxos(d.Consistency) {
		return nil
	}
	splits := d.Terms.Splits
	return func(shard int) (from, to []byte) {
		if shard > 0 && shard <= len(splits) {
			from = splits[shard-1]
		}
		if shard >= 0 && shard < len(splits) {
			to = splits[shard]
		}
		return from, to
	}
}

// Bounds are the keys that a replica's group has as of what it has applied; nil: it was never split.
func Bounds(r core.Replica) *machine.Bounds {
	if p, ok := r.(*paxos.Replica); ok {
		return p.Bounds()
	}
	return nil
}

// Written is how many commands that change something a replica has executed as the leader, and their bytes, in this life; samples are
// keys of some of them.
func Written(r core.Replica) (commands, bytes uint64, samples [][]byte) {
	if p, ok := r.(*paxos.Replica); ok {
		return p.Written()
	}
	return 0, 0, nil
}
