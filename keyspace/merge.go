package keyspace

import (
	"bytes"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
)

// Two neighbours are merged in three steps of the catalog, each under the condition that the descriptor is still as it was read: Merging
// names the right one beside the left one, so that whoever leads the right one retires it and carries what it held into the left one's
// log; Merged, when the left one has all, takes the right one out of the shards; Forgotten, when nobody can have anything to ask it, lets
// it go. Between the first two it is the two logs that say whose the keys are. A merge that has begun is never given up.

// Merge is a merge under way: of the shard with the next one, which is Group.
type Merge struct {
	Group core.GroupID `json:"group"`
	// Number numbers the merges of the shard upwards.
	Number uint64 `json:"number"`
}

// Merging is the descriptor with a merge begun, of the shard that begins at a key with the one before it.
func (d *Descriptor) Merging(key []byte) (*Descriptor, error) {
	if err := Splittable(d); err != nil {
		return nil, err
	}
	right := 1 + slices.IndexFunc(d.Terms.Splits, func(s []byte) bool { return bytes.Equal(s, key) })
	if right == 0 {
		return nil, kv.Errorf(kv.Invalid, "keyspace %s is not split at %q; `gamut keyspace describe %s` shows where it is", d.Name, key, d.Name)
	}
	for _, i := range []int{right - 1, right} {
		if s := &d.Shards[i]; s.Split != nil {
			return nil, kv.Errorf(kv.Busy, "shard %d of %s is being split; retry when that is over", i, d.Name)
		}
		if d.merging(i) {
			return nil, kv.Errorf(kv.Busy, "shard %d of %s is being merged already; retry when that is over", i, d.Name)
		}
	}
	if len(d.Shards[right].Target) > 0 {
		return nil, kv.Errorf(kv.Busy, "shard %d of %s is being moved; retry when that is over", right, d.Name)
	}
	c := d.withShard(right - 1)
	s := &c.Shards[right-1]
	s.Epoch++
	s.Merge = &Merge{Group: d.Shards[right].Group, Number: s.Epoch}
	c.Format = c.format()
	return c, nil
}

// Merged is the descriptor with the merge of a shard over: it has all keys since a place in its log. founders is what the first members
// of the other one were started with.
func (d *Descriptor) Merged(shard int, since uint64, founders []byte) *Descriptor {
	c := d.withShard(shard)
	s, r := &c.Shards[shard], c.Shards[shard+1]
	s.Epoch++
	s.Merge, s.Since = nil, since
	if r.Epoch++; r.Founders == nil {
		r.Founders = founders
	}
	c.Retired = append(slices.Clone(d.Retired), r)
	c.Shards = slices.Delete(c.Shards, shard+1, shard+2)
	c.Terms.Splits = slices.Delete(slices.Clone(d.Terms.Splits), shard, shard+1)
	return c
}

// Forgotten is the descriptor without a group that has retired.
func (d *Descriptor) Forgotten(g core.GroupID) *Descriptor {
	c := *d
	c.Retired = slices.DeleteFunc(slices.Clone(d.Retired), func(s Shard) bool { return s.Group == g })
	if len(c.Retired) == 0 {
		c.Retired = nil
	}
	c.Format = c.format()
	return &c
}

// Merges says that two shards are being merged, or that what is left of one that was is still there.
func (d *Descriptor) Merges() bool {
	return len(d.Retired) > 0 || d.Uniting()
}

// Uniting says that two shards are being merged.
func (d *Descriptor) Uniting() bool {
	return slices.ContainsFunc(d.Shards, func(s Shard) bool { return s.Merge != nil })
}

// retiring says that the shard is being merged into the one before it.
func (d *Descriptor) retiring(shard int) bool { return shard > 0 && d.Shards[shard-1].Merge != nil }

// merging says that the shard is being merged with one of its neighbours.
func (d *Descriptor) merging(shard int) bool {
	return d.Shards[shard].Merge != nil || d.retiring(shard)
}

// retired is what is left of a group that has retired; nil: there is none of that number.
func (d *Descriptor) retired(g core.GroupID) *Shard {
	if i := slices.IndexFunc(d.Retired, func(s Shard) bool { return s.Group == g }); i >= 0 {
		return &d.Retired[i]
	}
	return nil
}

// everMerged says that the descriptor tells of merges, which a program that does not know them must not overlook.
func (d *Descriptor) everMerged() bool {
	return d.Merges() || slices.ContainsFunc(d.Shards, func(s Shard) bool { return s.Since != 0 || s.Grown || s.Split != nil && s.Split.Grown })
}

// Owned is what the replicas of a shard are told of its keys; ok is false where they are no ranges.
func (d *Descriptor) Owned(shard int) (o core.Owned, ok bool) {
	ranges := d.ranges()
	if ranges == nil {
		return o, false
	}
	o.From, o.To = ranges(shard)
	o.Since = d.Shards[shard].Since
	return o, true
}

// MergeAt is below how many bytes, together, and below how many writes a second, each, two neighbours are merged by themselves: so far
// below what is split that neither the size nor the rate of what was merged splits it again soon. ok is false where nothing is split, or
// where nobody divided the two but an operator.
func (d *Descriptor) MergeAt(right int) (bytes, writes int64, ok bool) {
	if right == 0 || Splittable(d) != nil || !d.Shards[right].Grown || d.merging(right) || d.merging(right-1) {
		return 0, 0, false
	}
	if bytes, writes = d.splitLimits(); writes == 0 {
		writes = SplitWritesDefault
	}
	return bytes / 4, max(1, writes/8), bytes > 0
}

// Executed is how many commands a replica has executed in this life, whoever led.
func Executed(r core.Replica) uint64 {
	if p, ok := r.(*paxos.Replica); ok {
		return p.Executed()
	}
	return 0
}
