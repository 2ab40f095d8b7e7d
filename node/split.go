package node

import (
	"context"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// A split goes so: the catalog names the child, the parent's leader has its log divide the keys, each replica of the parent makes the
// state of the child's replica beside it, those elect a leader, and the catalog makes the child a shard (rules P1 to P7). All that it
// goes by is in the catalog, in the logs and in the states, so that whoever leads goes on where another stopped.

// births are what the loop knows of children whose replicas here have not begun.
type births struct {
	// under are those whose states are being made, ready those whose states are made and whose replicas never ran.
	under, ready map[core.GroupID]bool
}

// begun reports, once, whether the state of a replica that never ran was made just now.
func (b *births) begun(g core.GroupID) bool {
	ready := b.ready[g]
	delete(b.ready, g)
	return ready
}

// firstConfig is what the replicas of the shard are started with.
func (s *shard) firstConfig(o keyspace.Options) []byte {
	if child := s.space.children[s.parent]; child != nil && child.group == s.group {
		return s.described().Split.Founders
	}
	if s.retired {
		return s.at.Founders
	}
	return s.space.descriptor.FirstConfig(o.Cluster, s.index, o)
}

// mayBegin reports whether a replica can be started. One of a child has to wait until its parent's, beside it, has divided the keys,
// and what that laid aside is made a state. Where there is nothing to wait for it begins blank, and its leader fills it (rule P5).
func (n *Node) mayBegin(t *table, sh *shard) bool {
	if n.births.under[sh.group] {
		return false // also if the parent has let go of it meanwhile, or has another state: nobody else may write the child's
	}
	if sh.parent == 0 || n.births.ready[sh.group] || sh.state.Applied() > 0 || len(n.recovered.Groups[sh.group]) > 0 ||
		n.recovered.AllSuspect || n.recovered.Suspect[sh.group] {
		return true
	}
	parent := t.groups[sh.parent]
	switch {
	case parent == nil || parent.self == 0:
		return true
	case machine.Born(parent.state, uint64(sh.group)):
		n.beginBirth(parent, sh)
		return false
	case !n.host.Has(sh.parent):
		return false
	}
	// Divided, and nothing laid aside: the parent's replica has its state from one that was divided longer ago.
	return machine.Divided(parent.state, uint64(sh.group))
}

// endBirths drops what was made for replicas that are not wanted here any more, before they began.
func (n *Node) endBirths(t *table) {
	for g := range n.births.ready {
		if sh := t.groups[g]; t.catalog.Gone(g) || sh != nil && sh.self == 0 {
			delete(n.births.ready, g)
			n.dropState(g)
		}
	}
}

func (n *Node) beginBirth(parent, child *shard) {
	if !n.births.under[child.group] {
		n.births.under[child.group] = true
		n.workers.Add(1)
		// Now, and not when the goroutine begins: the parent may let go of it in between.
		go n.bear(parent.state.Snapshot(), parent, child)
	}
}

// bear makes the state of a child's replica of what the parent's laid aside. It is durable before the replica begins, and before the
// parent's lets go of it. It takes as long as writing so much: nobody waits for it but the child's clients.
func (n *Node) bear(from core.Snapshot, parent, child *shard) {
	defer n.workers.Done()
	began := time.Now()
	err := guarded(func() {
		defer from.Close()
		if err := stageBirth(from, child); err != nil {
			panic(err)
		}
	})
	if err != nil {
		n.fail(err)
		return
	}
	n.inbox.call(func(host.Now) {
		delete(n.births.under, child.group)
		if now := n.table.Load().groups[child.group]; now == nil || now.self != child.self {
			n.dropState(child.group) // its keyspace was dropped, or the replica moved away
			return
		}
		n.log.Info("a child's state is made", "group", child.group, "parent", parent.group, "took", time.Since(began).Round(time.Millisecond))
		n.births.ready[child.group] = true
		n.catalogChanged = true
	})
}

func stageBirth(from core.View, child *shard) error {
	changes := []core.Change{{Kind: core.Unstage}}
	err := machine.Birth(from, uint64(child.group), func(key, value []byte) error {
		changes = append(changes, core.Change{Kind: core.Stage, Key: key, Value: value})
		err := child.state.Apply(changes)
		changes = changes[:0]
		return err
	})
	if err != nil {
		return err
	}
	return child.state.Apply([]core.Change{{Kind: core.Install}})
}

// wean tells the parents led here which of their children need nothing of them any more: those that are shards, for then a majority
// of their disks has it, and those that are gone. It is called by the loop.
func (n *Node) wean(now host.Now) {
	t := n.table.Load()
	for _, r := range n.running {
		if r.divided == nil || r.shard.bounds.Load() == nil || r.led.Leader() != r.shard.self {
			continue
		}
		for _, g := range machine.Births(r.shard.state) {
			child := t.groups[core.GroupID(g)]
			if child == nil && !t.catalog.Gone(core.GroupID(g)) || child != nil && r.shard.space.children[r.shard.group] == child {
				continue // this node has not heard of it yet, or it is not a shard yet
			}
			n.host.Event(now, r.shard.group, core.Weaned{Child: core.GroupID(g)})
		}
	}
}

// splitEvery is how often a leader looks whether the splits of its groups go on.
const splitEvery = 20 * time.Millisecond

// pushSplits brings splits to their end, in those groups that are led here.
func (n *Node) pushSplits(ctx context.Context) {
	for range ticks(ctx, splitEvery) {
		if !n.table.Load().splitting {
			continue
		}
		var over []*shard
		if n.onLoop(ctx, func(now host.Now) { over = n.askForSplits(now) }) != nil {
			return
		}
		for _, child := range over {
			if err := n.finishSplit(ctx, child); err != nil {
				n.log.Debug("a split is not over yet", "keyspace", child.space.keyspace.Name, "child", child.group, "error", err)
			}
		}
	}
}

// askForSplits asks the parents that lead here to divide their keys, and lists the children that lead here.
func (n *Node) askForSplits(now host.Now) (over []*shard) {
	t := n.table.Load()
	for _, r := range n.running {
		if r.led == nil || r.led.Leader() != r.shard.self {
			continue
		}
		if child := r.shard.space.children[r.shard.group]; child != nil {
			s := r.shard.described().Split
			n.host.Event(now, r.shard.group, core.Split{Child: s.Group, Key: s.Key, Config: s.Founders})
		}
		if parent := t.groups[r.shard.parent]; parent != nil && parent.space.children[parent.group] == r.shard {
			over = append(over, r.shard)
		}
	}
	return over
}

// finishSplit makes a child a shard once it has executed something: then a majority of its replicas have what it began with.
func (n *Node) finishSplit(ctx context.Context, child *shard) error {
	if r := n.doIn(ctx, child, kv.Command{Ops: []kv.Op{{Kind: kv.OpNone}}}); r.Err() != nil {
		return r.Err()
	}
	return n.alter(ctx, child.space.keyspace.Name, func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
		for i := range d.Shards {
			if s := d.Shards[i].Split; s != nil && s.Group == child.group {
				return d.Divided(i), nil
			}
		}
		return nil, kv.Errorf(kv.Busy, "the shard has changed meanwhile")
	})
}

// SplitShard makes the keys from one on a shard of their own, and waits until it serves.
func (n *Node) SplitShard(ctx context.Context, name string, key []byte) error {
	for {
		group, err := n.beginSplit(ctx, name, key, false)
		if err == nil {
			return n.waitSplit(ctx, name, group)
		}
		if !retryable(err) || !pause(ctx) {
			return err
		}
	}
}

// beginSplit names the child in the catalog; grown says that nobody asked for it. A split that is under way there already is as good.
func (n *Node) beginSplit(ctx context.Context, name string, key []byte, grown bool) (core.GroupID, error) {
	next, _, err := n.readNext(ctx, name)
	if err != nil {
		return 0, err
	}
	at := keyspace.DescriptorKey(name)
	read := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: at}}})
	if err := read.Err(); err != nil {
		return 0, err
	}
	if read.Code == kv.NotFound {
		return 0, kv.Errorf(kv.NoKeyspace, "there is no keyspace %q", name)
	}
	d, err := keyspace.DecodeDescriptor(read.Value)
	if err != nil {
		return 0, err
	}
	for i := range d.Shards {
		if s := d.Shards[i].Split; s != nil && string(s.Key) == string(key) {
			return s.Group, nil
		}
	}
	group := next.Group
	dividing, err := d.Dividing(key, grown && n.table.Load().catalog.Level >= keyspace.LevelMerges, group, n.identity.Cluster, n.config.protocolOptions(), n.table.Load().catalog.Leaders())
	if err != nil {
		return 0, err
	}
	after := next.Next
	after.Group++
	r := n.do(ctx, n.system(), 0, kv.Command{
		Conds: []kv.Cond{next.cond, {Kind: kv.CondVersion, Key: at, Version: read.Version}},
		Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(keyspace.NextKey), Value: keyspace.EncodeNext(after)},
			{Kind: kv.OpSet, Key: at, Value: dividing.Encode()}}})
	if r.Code == kv.ConditionFailed {
		return 0, kv.Errorf(kv.Busy, "the keyspace is being changed elsewhere; retry")
	}
	return group, r.Err()
}

// waitSplit waits until a child is a shard in this node's table.
func (n *Node) waitSplit(ctx context.Context, name string, group core.GroupID) error {
	return n.waitTable(ctx, func(t *table) bool {
		s := t.byName[name]
		return s == nil || slices.ContainsFunc(s.shards, func(sh *shard) bool { return sh.group == group })
	})
}

// Place tells where a command belongs whose group has given its keys away (host.Port).
func (n *Node) Place(token uint64) host.Placement {
	w := &n.waiting[token]
	sh, bad := n.table.Load().place(w.call)
	if sh == nil {
		return host.Placement{Refused: &bad}
	}
	w.call.Group = uint64(sh.group)
	return host.Placement{Group: sh.group, Nodes: sh.nodes}
}
