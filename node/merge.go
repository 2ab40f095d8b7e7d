package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// A merge goes so: the catalog names the right shard beside the left one, the right one's leader has its log give up the keys, and carries
// what its state holds into the left one's log, part by part; then the catalog takes the right one out of the shards, and lets it go when
// nobody can ask it for a transaction (rules G1 to G8). All that it goes by is in the catalog, in the logs and in the states, so that
// whoever leads goes on where another stopped.

// partBytes is how long a part is that is carried at once.
const partBytes = 256 << 10

// carry is a group whose keys are another one's soon.
type carry struct {
	left, right *shard
	merge       keyspace.Merge
}

// absorber is the shard that a shard is being merged into; nil: it is not.
func (s *shard) absorber() *shard {
	if s.retired || s.index == 0 || s.at.Group != s.group {
		return nil
	}
	if left := s.space.shards[s.index-1]; left.at.Merge != nil {
		return left
	}
	return nil
}

// merged says that a group is gone because another one has its keys: its keyspace lives on.
func merged(c *keyspace.Catalog, sh *shard) bool {
	d := c.Keyspaces[sh.space.keyspace.Name]
	return d != nil && d.ID == sh.space.keyspace.ID && sh.at.Group == sh.group
}

// pushMerges brings merges to their end, in those groups that retire and are led here.
func (n *Node) pushMerges(ctx context.Context) {
	for range ticks(ctx, splitEvery) {
		if !n.table.Load().merging {
			continue
		}
		var ready []carry
		var unasked []*shard
		if n.onLoop(ctx, func(now host.Now) { ready, unasked = n.askForMerges(now) }) != nil {
			return
		}
		for i := range ready {
			if err := n.carryOver(ctx, &ready[i]); err != nil {
				n.log.Debug("a merge is not over yet", "keyspace", ready[i].left.space.keyspace.Name, "group", ready[i].right.group, "error", err)
			}
		}
		for _, sh := range unasked {
			if err := n.forgetRetired(ctx, sh); err != nil {
				n.log.Debug("a group that has retired is not forgotten yet", "group", sh.group, "error", err)
			}
		}
	}
}

// askForMerges asks the groups that lead here and are to retire to do so, and lists those that have, and those that nobody asks any more.
func (n *Node) askForMerges(now host.Now) (ready []carry, unasked []*shard) {
	for _, r := range n.running {
		if r.led == nil || r.led.Leader() != r.shard.self {
			continue
		}
		left := r.shard.absorber()
		switch {
		case r.shard.retired && machine.Unasked(r.shard.state):
			unasked = append(unasked, r.shard)
		case left == nil:
		case machine.RetiredOf(r.shard.state) != nil:
			ready = append(ready, carry{left, r.shard, *left.at.Merge})
		default:
			from, to := r.shard.space.keyspace.Range(r.shard.index)
			n.host.Event(now, r.shard.group, core.Retire{From: from, To: to})
		}
	}
	return ready, unasked
}

// carryOver lets the left group absorb what the right one held, and tells the catalog. What has retired does not change any more, so it
// is all the same which replica is read, and who else carries it.
func (n *Node) carryOver(ctx context.Context, c *carry) error {
	began := time.Now()
	s := c.right.state.Snapshot()
	defer s.Close()
	var since uint64
	bytes := 0
	for start := []byte(nil); since == 0; {
		var value []byte
		if err := guarded(func() { value = c.partFrom(s, start) }); err != nil {
			n.fail(err)
			return err
		}
		r := n.doIn(ctx, c.left, kv.Command{Ops: []kv.Op{{Kind: kv.OpAbsorb, Value: value}}})
		if err := r.Err(); err != nil {
			return err
		}
		bytes += len(value)
		start, since = r.Value, r.Position
	}
	err := n.alter(ctx, c.left.space.keyspace.Name, func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
		i := d.IndexOf(c.left.group)
		if i < 0 || d.Shards[i].Merge == nil || *d.Shards[i].Merge != c.merge {
			return nil, kv.Errorf(kv.Busy, "the shard has changed meanwhile")
		}
		return d.Merged(i, since, d.FirstConfig(n.identity.Cluster, i+1, n.config.protocolOptions())), nil
	})
	if err == nil {
		n.log.Info("shards are merged", "keyspace", c.left.space.keyspace.Name, "into", c.left.group, "group", c.right.group,
			"bytes", bytes, "took", time.Since(began).Round(time.Millisecond))
	}
	return err
}

func (c *carry) partFrom(s core.View, start []byte) []byte {
	p := machine.PartOf(s, machine.RetiredOf(s), start, partBytes)
	p.Merge, p.Group = c.merge.Number, uint64(c.right.group)
	return p.AppendTo(nil)
}

// forgetRetired lets a group go that remembers no transaction (rule G4). What this replica shows is committed, and stays so.
func (n *Node) forgetRetired(ctx context.Context, sh *shard) error {
	return n.alter(ctx, sh.space.keyspace.Name, func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
		if !slices.ContainsFunc(d.Retired, func(s keyspace.Shard) bool { return s.Group == sh.group }) {
			return nil, kv.Errorf(kv.Busy, "the group is gone already")
		}
		return d.Forgotten(sh.group), nil
	})
}

// MergeShards makes the shard that begins at a key one with the shard before it, and waits until that serves.
func (n *Node) MergeShards(ctx context.Context, name string, key []byte) error {
	for {
		group, err := n.beginMerge(ctx, name, key)
		if err == nil {
			return n.waitTable(ctx, func(t *table) bool {
				s := t.byName[name]
				return s == nil || !slices.ContainsFunc(s.shards, func(sh *shard) bool { return sh.group == group })
			})
		}
		if !retryable(err) || !pause(ctx) {
			return err
		}
	}
}

// beginMerge names the merge in the catalog, and tells which group is going to retire. One that is under way there already is as good.
func (n *Node) beginMerge(ctx context.Context, name string, key []byte) (retires core.GroupID, err error) {
	if n.table.Load().catalog.Level < keyspace.LevelMerges {
		return 0, kv.Errorf(kv.Busy, "not all nodes of the cluster can merge shards yet; start newer programs on all of them, or retry in a second")
	}
	err = n.alter(ctx, name, func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
		for i := range d.Shards {
			if m := d.Shards[i].Merge; m != nil && i < len(d.Terms.Splits) && string(d.Terms.Splits[i]) == string(key) {
				retires = m.Group
				return nil, errUnderWay
			}
		}
		merging, err := d.Merging(key)
		if err == nil {
			retires = merging.Shards[1+slices.IndexFunc(d.Terms.Splits, func(s []byte) bool { return string(s) == string(key) })].Group
		}
		return merging, err
	})
	if errors.Is(err, errUnderWay) {
		err = nil
	}
	return retires, err
}

var errUnderWay = errors.New("it is under way already")
