package node

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
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
	// moving says that the members of some shard are to change.
	moving bool
	// replaced is closed when a newer table is published.
	replaced chan struct{}
}

// space is a keyspace on this node.
type space struct {
	descriptor *keyspace.Descriptor
	keyspace   *kv.Keyspace
	shards     []*shard
	// ages go on when the members of a shard change.
	ages *ages
}

// shard is one shard of a keyspace on this node, from table to table the same one until its members change.
type shard struct {
	space *space
	index int
	group core.GroupID
	// self is this node's replica; 0: it has none.
	self  core.ReplicaID
	nodes []core.NodeID
	where map[core.ReplicaID]core.NodeID
	state store.Group

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
		t.served = append(t.served, s.keyspace)
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
			s.ages = before.ages
		}
	}
	t.byName[d.Name], t.byID[d.ID] = s, s
	t.ordered = append(t.ordered, s)
	for _, sh := range s.shards {
		t.groups[sh.group] = sh
		t.moving = t.moving || len(sh.described().Target) > 0
	}
}

func (n *Node) newSpace(d *keyspace.Descriptor) *space {
	s := &space{descriptor: d, keyspace: d.Keyspace(), ages: new(ages)}
	d.Tokens(n.identity.Cluster, s.keyspace)
	for i := range d.Shards {
		at := &d.Shards[i]
		sh := &shard{space: s, index: i, group: at.Group, self: at.On(n.config.Node), where: at.Nodes(), state: n.disk.Group(at.Group)}
		sh.fresh.Store(&core.Freshness{})
		sh.gate.room.Store(unlimited) // until the loop has looked
		for _, m := range at.Replicas {
			sh.nodes = append(sh.nodes, m.Node)
		}
		s.shards = append(s.shards, sh)
	}
	return s
}

// replicaOn is the shard's replica on a node; 0: none.
func (s *shard) replicaOn(node core.NodeID) core.ReplicaID {
	return s.space.descriptor.Shards[s.index].On(node)
}

// find looks up a shard of a call.
func (t *table) find(c *kv.Call) (*shard, kv.Result) {
	s := t.byID[c.Keyspace.ID]
	if s == nil {
		return nil, kv.Result{Code: kv.NoKeyspace, Detail: "keyspace " + c.Keyspace.Name + " was dropped"}
	}
	index, keys, crossed := c.Shard, 0, false
	if len(s.shards) == 1 {
		return s.shards[0], kv.Result{}
	}
	c.Command.Keys(func(key []byte) {
		at := s.keyspace.ShardOf(key)
		crossed = crossed || keys > 0 && at != index
		index = at
		keys++
	})
	switch {
	case crossed:
		return nil, kv.Result{Code: kv.CrossShard, Detail: "the keys of one command must lie in one shard; " +
			"use a keyspace of one shard for what belongs together"}
	case index < 0 || index >= len(s.shards):
		return nil, kv.Result{Code: kv.Invalid, Detail: "there is no such shard in the keyspace"}
	}
	return s.shards[index], kv.Result{}
}
