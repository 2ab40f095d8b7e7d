package node

import (
	"context"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// What only an operator can decide: that nodes never come back.

// UnsafeRecover makes the replicas on the nodes named, this one among them, all that a group has, and waits until one leads. It
// is refused while there is a leader, or one that may be: then nothing is lost that would need it.
func (n *Node) UnsafeRecover(ctx context.Context, group uint64, nodes []uint32) error {
	s, err := n.hosted(group)
	if err != nil {
		return err
	}
	var event core.UnsafeRecover
	for _, id := range nodes {
		r := s.replicaOn(core.NodeID(id))
		if r == 0 {
			return kv.Errorf(kv.Invalid, "node %d has no replica of group %d", id, group)
		}
		event.Survivors = append(event.Survivors, r)
	}
	led := false
	if err := n.onLoop(ctx, func(host.Now) {
		l, ok := n.host.Replica(s.group).(core.Led)
		led = ok && l.Leader() != 0 && slices.Contains(event.Survivors, l.Leader())
	}); err != nil || led {
		return err // it has a majority, or was made to go on before
	}
	refused := error(nil)
	if err := n.onLoop(ctx, func(now host.Now) {
		if refused = n.mayForce(s); refused == nil {
			n.host.Event(now, s.group, event)
		}
	}); err != nil {
		return err
	}
	for refused == nil {
		led := error(nil)
		if err := n.onLoop(ctx, func(host.Now) { led = n.leads(s) }); err != nil || led == nil {
			return err
		}
		if !pause(ctx) {
			return kv.Errorf(kv.Unavailable, "group %d has no leader yet; are all nodes up that are to be left? Repeat the command", group)
		}
	}
	return refused
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
