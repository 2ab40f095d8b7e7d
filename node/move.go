package node

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// followMembers brings the replicas that run in line with a new table: where their peers live now, and whether this node
// still has one. It comes before new replicas are started.
func (n *Node) followMembers(now host.Now, t *table) {
	kept := n.running[:0]
	for _, r := range n.running {
		sh := t.groups[r.shard.group]
		switch {
		case sh == nil || sh == r.shard:
			kept = append(kept, r)
		case sh.self != r.shard.self:
			n.endReplica(now, r)
		default:
			r.shard.readUntil.Store(0) // whoever still looks there asks the loop
			r.shard.safe.Store(0)
			sh.bounds = r.state.bounds
			r.shard = sh
			n.host.SetMembers(now, sh.group, sh.where)
			n.tellMembers(now, sh)
			kept = append(kept, r)
		}
	}
	clear(n.running[len(kept):])
	n.running = kept
}

// tellMembers tells a replica here what the catalog says of its group's keys, and of its members, if that is the catalog's to say.
func (n *Node) tellMembers(now host.Now, sh *shard) {
	if sh.retired {
		return
	}
	if owned, ok := sh.space.descriptor.Owned(sh.index); ok && sh.at.Group == sh.group {
		n.host.Event(now, sh.group, owned)
	}
	if config := sh.space.descriptor.GroupConfig(n.identity.Cluster, sh.index); config != nil {
		n.host.Event(now, sh.group, core.Configured{Config: config})
	}
}

const (
	// moveEvery is how often a leader looks whether the members of its groups are what the catalog wants.
	moveEvery = 200 * time.Millisecond
	// finishMax is how many moves are brought to their ends at once: one that waits for values or for the catalog holds up no other.
	finishMax = 8
)

// moveShards brings changes of members to their end, in those groups that are led here. All that it goes by is in the
// catalog and in the groups' logs, so whoever leads next goes on where this node stopped.
func (n *Node) moveShards(ctx context.Context) {
	ends := newSingles[core.GroupID](finishMax)
	defer ends.wait()
	for range ticks(ctx, moveEvery) {
		if !n.table.Load().moving {
			continue
		}
		var over []*shard
		var drained []core.NodeID
		if n.onLoop(ctx, func(now host.Now) { over, drained = n.pushMoves(now) }) != nil {
			return
		}
		for _, id := range drained {
			if err := n.noteDrained(ctx, id); err != nil {
				n.log.Debug("a node is not drained yet", "leaves", id, "error", err)
			}
		}
		for _, sh := range over {
			ends.start(sh.group, func() { n.endMove(ctx, sh) })
		}
	}
}

func (n *Node) endMove(ctx context.Context, sh *shard) {
	if !n.valuesCame(ctx, sh) {
		return
	}
	if err := n.finishMove(ctx, sh); err != nil {
		n.log.Debug("a move is not over yet", "keyspace", sh.space.keyspace.Name, "shard", sh.index, "error", err)
	}
}

// pushMoves asks the replicas that lead here for the members that the catalog wants, and lists the shards that have them, or
// whose replicas are ready for the next step where none leads,
// and the nodes that have left: they hold no replica, and the catalog's group does without their votes.
func (n *Node) pushMoves(now host.Now) (over []*shard, drained []core.NodeID) {
	for _, r := range n.running {
		if r.shard.described().Ready(n.host.Replica(r.shard.group)) {
			over = append(over, r.shard)
			continue
		}
		if keyspace.Atomic(r.shard.space.keyspace.Consistency) {
			if n.pushView(now, r.shard) {
				over = append(over, r.shard)
			}
			continue
		}
		want := n.wanted(r.shard)
		if len(want.Voters) == 0 || r.led == nil || r.led.Leader() != r.shard.self {
			continue
		}
		if r.shard.group == keyspace.SystemGroup && !n.catalogCurrent(now) {
			continue
		}
		have, settled, ok := keyspace.Members(n.host.Replica(r.shard.group))
		switch {
		case !ok:
		case !settled || !reached(have, want):
			n.host.Event(now, r.shard.group, want)
		case r.shard.group == keyspace.SystemGroup:
			drained = n.drained()
		default:
			over = append(over, r.shard)
		}
	}
	return over, drained
}

// pushView tells a replica here which members the catalog wants its group to have; who coordinates asks for the views that lead
// there. true: the view is the one that is wanted.
func (n *Node) pushView(now host.Now, sh *shard) (over bool) {
	t, s := n.table.Load(), sh.described()
	v := t.views[sh.group]
	if v == nil || len(s.Target) == 0 {
		return false
	}
	if s.Reached(&v.members) {
		return true
	}
	want := core.Reconfigure{Voters: s.Target, Preferred: s.Preferred}
	for _, m := range s.Replicas {
		if at := t.catalog.Nodes[m.Node]; at.Lost || at.State == keyspace.NodeRemoved {
			want.Lost = append(want.Lost, m.Replica)
		}
	}
	n.host.Event(now, sh.group, want)
	return false
}

// catalogCurrent says that the table is made of all that the catalog's log holds here. Who leads it must not bring back, by
// an older table, the vote of a node that is noted as drained.
func (n *Node) catalogCurrent(now host.Now) bool {
	s := keyspace.Report(n.host.Replica(keyspace.SystemGroup), nil, now.Mono)
	return !n.catalogChanged && s.Applied == s.Last
}

// drained are the nodes that leave and hold nothing any more.
func (n *Node) drained() (list []core.NodeID) {
	c := n.table.Load().catalog
	for _, id := range n.nodes() {
		if c.Nodes[id].State == keyspace.NodeLeaving && !c.Holds(id) {
			list = append(list, id)
		}
	}
	return list
}

func (n *Node) noteDrained(ctx context.Context, id core.NodeID) error {
	return n.changeNode(ctx, id, func(_ *keyspace.Catalog, record *keyspace.Node) error {
		if record.State != keyspace.NodeLeaving {
			return kv.Errorf(kv.Busy, "node %d has changed meanwhile", id)
		}
		record.State = keyspace.NodeDrained
		return nil
	})
}

// wanted are the members that the catalog wants a group to have; none: those that it has.
func (n *Node) wanted(sh *shard) (want core.Reconfigure) {
	if c := n.table.Load().catalog; sh.group == keyspace.SystemGroup && c.System != nil {
		want.Voters, want.Learners = c.SystemMembers()
	} else {
		want.Voters, want.Preferred = sh.described().Target, sh.described().Preferred
	}
	return want
}

func reached(have, want core.Reconfigure) bool {
	return equalSets(have.Voters, want.Voters) && equalSets(have.Learners, want.Learners) &&
		(want.Preferred == 0 || have.Preferred == want.Preferred)
}

func equalSets(a, b []core.ReplicaID) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// described is what the catalog says of the shard.
func (s *shard) described() *keyspace.Shard { return s.at }

// finishMove tells the catalog that a group has the members that it wanted, or has come to the next step. The replica here must
// have led it after it was found to have them: one that was deposed and has not noticed may speak of members of before.
func (n *Node) finishMove(ctx context.Context, sh *shard) error {
	switch c := sh.space.descriptor.Consistency; {
	case keyspace.Atomic(c):
		return n.finishView(ctx, sh)
	case !keyspace.Led(c):
		return n.advanceMove(ctx, sh, (*keyspace.Descriptor).Advanced)
	}
	r := n.doIn(ctx, sh, kv.Command{Ops: []kv.Op{{Kind: kv.OpNone}}})
	if err := r.Err(); err != nil {
		return err
	}
	still := false
	if err := n.onLoop(ctx, func(now host.Now) {
		over, _ := n.pushMoves(now)
		still = slices.Contains(over, sh)
	}); err != nil {
		return err
	}
	if !still {
		return kv.Errorf(kv.NotLeader, "the shard is led elsewhere, or has changed")
	}
	return n.advanceMove(ctx, sh, (*keyspace.Descriptor).Moved)
}

// finishView tells the catalog that a view has the members that it wanted, under the condition that it has them still.
func (n *Node) finishView(ctx context.Context, sh *shard) error {
	read, err := n.readView(ctx, sh.group)
	if err != nil {
		return err
	}
	var busy error = kv.Errorf(kv.Busy, "the shard has changed meanwhile")
	if read == nil || len(read.shard().Target) == 0 {
		return busy
	}
	view, err := keyspace.DecodeRoster(read.record.Config)
	if err != nil || !read.shard().Reached(&view) {
		return cmp.Or(err, busy)
	}
	moved := read.descriptor.Moved(read.index)
	r := n.do(ctx, n.system(), 0, kv.Command{Conds: read.still,
		Ops: []kv.Op{{Kind: kv.OpSet, Key: keyspace.DescriptorKey(moved.Name), Value: moved.Encode()}}})
	if r.Code == kv.ConditionFailed {
		return busy
	}
	return r.Err()
}

// advanceMove takes a step in the catalog, if the shard is still as it was found.
func (n *Node) advanceMove(ctx context.Context, sh *shard, step func(*keyspace.Descriptor, int) *keyspace.Descriptor) error {
	return n.alter(ctx, sh.space.keyspace.Name, func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
		// A split of another shard may have moved this one to another place in the list.
		shard := d.IndexOf(sh.group)
		if d.ID != sh.space.keyspace.ID || shard < 0 || d.Shards[shard].Epoch != sh.described().Epoch {
			return nil, kv.Errorf(kv.Busy, "the shard has changed meanwhile")
		}
		return step(d, shard), nil
	})
}

// MoveGroup begins a change of members: in the end the replicas of a shard live on these nodes. The group's leader brings
// it about; Status and DescribeKeyspaces show how far it is.
func (n *Node) MoveGroup(ctx context.Context, name string, group uint64, nodes []uint32) error {
	ids := make([]core.NodeID, len(nodes))
	for i, id := range nodes {
		ids[i] = core.NodeID(id)
		switch record, known := n.table.Load().catalog.Nodes[ids[i]]; {
		case !known || record.State == keyspace.NodeRemoved:
			return kv.Errorf(kv.Invalid, "there is no node %d; `gamut node list` shows the nodes", id)
		case record.State != "":
			return kv.Errorf(kv.Invalid, "node %d is %s and is given nothing new", id, record.State)
		case !record.Open():
			return kv.Errorf(kv.Busy, "node %d has joined and never come up; start it, then retry", id)
		}
	}
	return n.alter(ctx, name, func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
		shard := d.IndexOf(core.GroupID(group))
		if shard < 0 {
			return nil, kv.Errorf(kv.Invalid, "keyspace %s has no shard of group %d; `gamut keyspace describe %s` shows those that it has", name, group, name)
		}
		for _, id := range ids {
			if keyspace.Causal(d.Consistency) && d.Shards[shard].Leaves(id) {
				return nil, kv.Errorf(kv.Busy, "the replica on node %d is leaving shard %d of %s for good; retry when it is gone", id, shard, name)
			}
		}
		if n.inVain(&d.Shards[shard]) {
			d = d.Halted(shard)
		}
		return d.Move(shard, ids, d.FirstConfig(n.identity.Cluster, shard, n.config.protocolOptions()))
	})
}

// inVain says that a move is under way to a node that leaves.
func (n *Node) inVain(s *keyspace.Shard) bool {
	c := n.table.Load().catalog
	return len(s.Target) > 0 && slices.ContainsFunc(s.Ends(), func(m keyspace.Member) bool { return c.Nodes[m.Node].State != "" })
}

// alter replaces the descriptor of a keyspace by what change makes of it, if it is still as it was read.
func (n *Node) alter(ctx context.Context, name string, change func(*keyspace.Descriptor) (*keyspace.Descriptor, error)) error {
	key := keyspace.DescriptorKey(name)
	for {
		read := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: key}}})
		if err := read.Err(); err != nil {
			return err
		}
		if read.Code == kv.NotFound {
			return kv.Errorf(kv.NoKeyspace, "there is no keyspace %q", name)
		}
		d, err := keyspace.DecodeDescriptor(read.Value)
		if err != nil {
			return err
		}
		altered, err := change(d)
		if err != nil {
			return err
		}
		r := n.do(ctx, n.system(), 0, kv.Command{Conds: []kv.Cond{{Kind: kv.CondVersion, Key: key, Version: read.Version}},
			Ops: []kv.Op{{Kind: kv.OpSet, Key: key, Value: altered.Encode()}}})
		if r.Code != kv.ConditionFailed {
			return r.Err()
		}
	}
}
