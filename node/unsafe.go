package node

import (
	"cmp"
	"context"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// What only an operator can decide: that nodes never come back.

// UnsafeRecover makes the replicas on the nodes named, this one among them, all that a group has, and waits until one of them
// leads. If one does already there is nothing to do, so that the command can be repeated; if another does, or a lease may stand,
// it is refused, for nothing is lost that would need it.
func (n *Node) UnsafeRecover(ctx context.Context, group uint64, nodes []uint32) error {
	s, err := n.hosted(group)
	if err != nil {
		return err
	}
	survivors, err := s.replicasOn(nodes)
	if err != nil {
		return err
	}
	for begun := false; ; begun = true {
		led, refused := false, error(nil)
		if err := n.onLoop(ctx, func(now host.Now) {
			if led = n.ledBy(s, survivors); led || begun {
				return
			}
			if refused = n.mayForce(s); refused == nil {
				n.host.Event(now, s.group, core.UnsafeRecover{Survivors: survivors})
			}
		}); err != nil || led || refused != nil {
			return cmp.Or(err, refused)
		}
		if !pause(ctx) {
			return kv.Errorf(kv.Unavailable, "group %d has no leader yet; are all nodes up that are to be left? Repeat the command", group)
		}
	}
}

// replicasOn are a shard's replicas on nodes that must each have one.
func (s *shard) replicasOn(nodes []uint32) (list []core.ReplicaID, err error) {
	for _, id := range nodes {
		r := s.replicaOn(core.NodeID(id))
		if r == 0 {
			return nil, kv.Errorf(kv.Invalid, "node %d has no replica of group %d", id, s.group)
		}
		list = append(list, r)
	}
	return list, nil
}

// ledBy says that one of some replicas leads, as far as this node knows; it is called by the loop.
func (n *Node) ledBy(s *shard, list []core.ReplicaID) bool {
	led, ok := n.host.Replica(s.group).(core.Led)
	return ok && led.Leader() != 0 && slices.Contains(list, led.Leader())
}

// mayForce is nil if a group has no leader, as far as can be told here; it is called by the loop.
func (n *Node) mayForce(s *shard) error {
	led, ok := n.host.Replica(s.group).(core.Led)
	switch {
	case !ok || !keyspace.Led(s.space.keyspace.Consistency):
		return kv.Errorf(kv.Unsupported, "group %d has no leader and needs no majority to go on", s.group)
	case s.space.keyspace.Consistency == kv.Atomic:
		return kv.Errorf(kv.Unsupported, "the members of group %d are what the catalog says; one member of its last view is enough for it to go on", s.group)
	case led.Leader() != 0:
		return kv.Errorf(kv.Invalid, "group %d is led by node %d: it has a majority, and nothing needs to be given up", s.group, s.where[led.Leader()])
	case keyspace.Report(n.host.Replica(s.group), nil, n.now().Mono).Suspect:
		return kv.Errorf(kv.Invalid, "the disk of node %d has lost something of group %d; let another node that is left take over, or restore a backup", n.config.Node, s.group)
	}
	return nil
}

// LoseNode ends the membership of a node whatever it held: what it held moves to others, from what is left.
func (n *Node) LoseNode(ctx context.Context, node uint32) error {
	id := core.NodeID(node)
	switch p := n.peer(id); {
	case id == n.config.Node:
		return kv.Errorf(kv.Invalid, "node %d answers you: it is not lost", node)
	case p != nil && p.connected.Load():
		return kv.Errorf(kv.Invalid, "node %d is up; drain it instead, or stop it for good", node)
	}
	return n.changeNode(ctx, id, func(c *keyspace.Catalog, record *keyspace.Node) error {
		record.State = keyspace.NodeRemoved
		c.System = c.System.Without(id)
		return nil
	})
}
