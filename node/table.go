package node

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/store"
)

// table is the catalog as this node serves it. It is immutable; the loop publishes a new one when the catalog changes.
type table struct {
	catalog *keyspace.Catalog
	byName  map[string]*space
	byID    map[uint32]*space
	groups  map[core.GroupID]*shard
	// views are those of groups whose members the catalog decides on.
	views map[core.GroupID]*view
	// served are the keyspaces that clients may use, by name; ordered has the system keyspace first.
	served  []*kv.Keyspace
	ordered []*space
	// moving says that the members of some shard are to change, splitting that some shard is being split.
	// merging, that shards are being merged, or that something is left of one that was.
	moving    bool
	splitting bool
	merging   bool
	// replaced is closed when a newer table is published.
	replaced chan struct{}
}

// space is a keyspace on this node.
type space struct {
	descriptor *keyspace.Descriptor
	keyspace   *kv.Keyspace
	shards     []*shard
	// children are what splits under way make, by the parent's group.
	children map[core.GroupID]*shard
	// retired are groups whose keys others have.
	retired []*shard
	// These go on when the members of a shard change.
	ages     *ages
	rechecks *rechecks
}

// shard is one shard of a keyspace on this node, from table to table the same one until its members change.
type shard struct {
	space *space
	index int
	group core.GroupID
	// at is what the catalog says of the shard; of a child, of its parent.
	at *keyspace.Shard
	// retired says that the group's keys are another one's; index is 0 then, and means nothing.
	retired bool
	// self is this node's replica; 0: it has none.
	self  core.ReplicaID
	nodes []core.NodeID
	where map[core.ReplicaID]core.NodeID
	state store.Group
	// parent is the group that this one's keys were in before it was split; 0: none.
	parent core.GroupID
	// bounds are the keys of the group as of the replica here; it goes on when the members change.
	bounds *atomic.Pointer[machine.Bounds]

	// readUntil is the read permit: until then (core.Time) the state answers linearizable reads. leader is the node that
	// leads as far as is known here, ledBy its replica. The loop publishes them after each pass.
	readUntil atomic.Int64
	// safe is the time (kv.HLC) up to which the state holds every write; 0: it is not to be read.
	safe atomic.Uint64
	// fresh is how old the state may be; never nil.
	fresh  atomic.Pointer[core.Freshness]
	leader atomic.Uint32
	ledBy  atomic.Uint32
	// locked says that transactions hold locks in the state, so that reads beside the loop look at them.
	locked atomic.Bool
	// gate bounds the commands on their way to the loop that change something.
	gate gate
	// window and touched are the loop's.
	window  window
	touched bool
}

// newTable makes a table of a catalog. Shards that an older table has are taken over.
func (n *Node) newTable(c *keyspace.Catalog, old *table) *table {
	t := &table{catalog: c, byName: map[string]*space{}, byID: map[uint32]*space{}, groups: map[core.GroupID]*shard{},
		replaced: make(chan struct{})}
	system := c.System
	if system == nil {
		system = n.config.system()
	}
	t.add(n, system, old)
	t.moving = c.System != nil
	for _, d := range c.Keyspaces {
		t.add(n, d, old)
	}
	slices.SortFunc(t.ordered[1:], func(a, b *space) int { return strings.Compare(a.keyspace.Name, b.keyspace.Name) })
	for _, s := range t.ordered[1:] {
		if !keyspace.IsCompanion(s.keyspace.Name) {
			t.served = append(t.served, s.keyspace)
		}
	}
	n.readViews(t, old)
	return t
}

func (t *table) add(n *Node, d *keyspace.Descriptor, old *table) {
	var s *space
	if old != nil {
		s = old.byID[d.ID]
	}
	if s == nil || !s.descriptor.SameMembers(d) {
		before := s
		if s = n.newSpace(d); before != nil {
			s.ages, s.rechecks = before.ages, before.rechecks
		}
	}
	t.byName[d.Name], t.byID[d.ID] = s, s
	t.ordered = append(t.ordered, s)
	for _, sh := range s.shards {
		t.groups[sh.group] = sh
		t.moving = t.moving || len(sh.described().Target) > 0
		if child := s.children[sh.group]; child != nil {
			t.groups[child.group], t.splitting = child, true
		}
	}
	for _, sh := range s.retired {
		t.groups[sh.group] = sh
	}
	t.merging = t.merging || d.Merges()
}

func (n *Node) newSpace(d *keyspace.Descriptor) *space {
	s := &space{descriptor: d, keyspace: d.Keyspace(), ages: new(ages), rechecks: new(rechecks), children: map[core.GroupID]*shard{}}
	d.Tokens(n.identity.Cluster, s.keyspace)
	for i := range d.Shards {
		at := &d.Shards[i]
		s.shards = append(s.shards, n.newShard(s, i, at))
		if at.Split != nil {
			child := at.Child()
			s.children[at.Group] = n.newShard(s, i, &child)
			s.children[at.Group].at = at
		}
	}
	for i := range d.Retired {
		s.retired = append(s.retired, n.newShard(s, 0, &d.Retired[i]))
		s.retired[i].retired = true
	}
	return s
}

// withChildren are the shards, those that splits under way make, and what is left of those that others have absorbed.
func (s *space) withChildren() []*shard {
	if len(s.children)+len(s.retired) == 0 {
		return s.shards
	}
	list := slices.Concat(s.shards, s.retired)
	for _, sh := range s.shards {
		if child := s.children[sh.group]; child != nil {
			list = append(list, child)
		}
	}
	return list
}

// groups are the shards of a keyspace, and what is left of those that others have absorbed.
func (s *space) groups() []*shard { return slices.Concat(s.shards, s.retired) }

func (n *Node) newShard(s *space, index int, at *keyspace.Shard) *shard {
	sh := &shard{space: s, index: index, group: at.Group, at: at, self: at.On(n.config.Node), where: at.Nodes(), state: n.stateOf(s.descriptor, at.Group),
		parent: at.Parent, bounds: new(atomic.Pointer[machine.Bounds])}
	sh.fresh.Store(&core.Freshness{})
	sh.gate.room.Store(unlimited) // until the loop has looked
	for _, m := range at.Replicas {
		sh.nodes = append(sh.nodes, m.Node)
	}
	return sh
}

// replicaOn is the shard's replica on a node; 0: none.
func (s *shard) replicaOn(node core.NodeID) core.ReplicaID {
	return s.at.On(node)
}

// find looks up a shard of a call.
func (t *table) find(c *kv.Call) (*shard, kv.Result) {
	s := t.byID[c.Keyspace.ID]
	if s == nil {
		return nil, kv.Result{Code: kv.NoKeyspace, Detail: "keyspace " + c.Keyspace.Name + " was dropped"}
	}
	if c.Fixed {
		return t.fixed(c)
	}
	index, keys, several := c.Shard, 0, false
	narrowed := narrow(c)
	if len(s.shards) == 1 {
		return s.shards[0], kv.Result{}
	}
	if narrowed {
		return s.shards[s.keyspace.ShardOf(c.Command.Ops[0].Key)], kv.Result{}
	}
	c.Command.Keys(func(key []byte) {
		at := s.keyspace.ShardOf(key)
		several = several || keys > 0 && at != index
		index = at
		keys++
	})
	switch {
	case several:
		return nil, crossed
	case index < 0 || index >= len(s.shards):
		return nil, kv.Result{Code: kv.Invalid, Detail: "there is no such shard in the keyspace"}
	}
	return s.shards[index], kv.Result{}
}

// narrow makes a scan, or the clearing of a shard, one of the range of keys that the shard has in the caller's map, which may be
// older than this one: its first key says from then on where it belongs.
func narrow(c *kv.Call) bool {
	if c.Keyspace.Range == nil || len(c.Command.Ops) != 1 {
		return false
	}
	o := &c.Command.Ops[0]
	if o.Kind != kv.OpScan && o.Kind != kv.OpClear {
		return false
	}
	from, to := c.Keyspace.Range(c.Shard)
	if bytes.Compare(o.Key, from) < 0 {
		o.Key = from
	}
	if to != nil && (len(o.End) == 0 || bytes.Compare(o.End, to) > 0) {
		o.End = to
	}
	if len(o.End) > 0 && bytes.Compare(o.End, o.Key) < 0 {
		o.End = o.Key
	}
	return true
}

// fixed finds the shard of a call that names its group.
func (t *table) fixed(c *kv.Call) (*shard, kv.Result) {
	if sh := t.groups[core.GroupID(c.Group)]; sh != nil {
		return sh, kv.Result{}
	}
	return nil, kv.Result{Code: kv.Unavailable, Detail: "the group of the request is not known here"}
}

// place finds the shard of a call whose group has answered that its keys were moved: the split may be over that this table has under way.
func (t *table) place(c *kv.Call) (*shard, kv.Result) {
	sh, bad := t.find(c)
	if sh == nil {
		return nil, bad
	}
	child, split := sh.space.children[sh.group], sh.described().Split
	if child == nil {
		return sh, bad
	}
	behind, before := 0, 0
	see := func(key []byte) {
		if bytes.Compare(key, split.Key) < 0 {
			before++
		} else {
			behind++
		}
	}
	c.Command.Keys(see)
	if behind+before == 0 && len(c.Command.Ops) == 1 {
		see(c.Command.Ops[0].Key)
	}
	switch {
	case behind == 0:
		return sh, bad
	case before > 0:
		return nil, crossed
	}
	return child, bad
}

var crossed = kv.Result{Code: kv.CrossShard, Detail: "the keys of one command must lie in one shard; " +
	"use a keyspace of one shard for what belongs together"}
