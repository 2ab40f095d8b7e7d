package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

const (
	stewardEvery = time.Second
	// movesMax bounds the shards whose members change at one time.
	movesMax = 2
)

// steward moves replicas to where they belong, on the node that leads the catalog: it begins moves, and the leaders of the
// groups carry them out.
func (n *Node) steward(ctx context.Context) {
	for range ticks(ctx, stewardEvery) {
		t := n.table.Load()
		if core.NodeID(t.groups[keyspace.SystemGroup].leader.Load()) != n.config.Node {
			continue
		}
		n.loseReplicas(ctx, t.catalog)
		if err := n.raiseLevel(ctx); err != nil {
			n.log.Debug("the feature level was not raised", "error", err)
		}
		moves, stuck := t.catalog.Balance(n.nodes(), n.isUp, movesMax)
		n.judgeAlarm(stuckAlarm, len(stuck) > 0, fmt.Sprintf("%d shards cannot be moved: %s", len(stuck), first(stuck)))
		for _, m := range moves {
			if err := n.MoveGroup(ctx, m.Keyspace, m.Group, m.Nodes); err != nil {
				n.log.Debug("a move did not begin", "keyspace", m.Keyspace, "shard", m.Shard, "error", err)
				continue
			}
			n.log.Info("a replica moves", "keyspace", m.Keyspace, "shard", m.Shard, "from", m.From, "to", m.To, "why", m.Why)
		}
	}
}

// raiseLevel lets the cluster use what all its nodes know, if that is more than before and none of them has changed meanwhile: one
// that is started again on an older release says so in its record.
func (n *Node) raiseLevel(ctx context.Context) error {
	if c := n.table.Load().catalog; c.NextLevel(n.nodes()) == c.Level {
		return nil
	}
	c, err := n.readMembers(ctx)
	if err != nil {
		return err
	}
	next := c.NextLevel(n.nodes())
	if next == c.Level {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(c.versions)) {
		c.conds = append(c.conds, kv.Cond{Kind: kv.CondVersion, Key: keyspace.NodeKey(id), Version: c.versions[id]})
	}
	r := n.do(ctx, n.system(), 0, kv.Command{Conds: c.conds, Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(keyspace.LevelKey), Value: keyspace.EncodeLevel(next)}}})
	if r.Code == kv.OK {
		n.log.Info("all nodes know more", "feature level", next)
	}
	return r.Err()
}

// loseReplicas gives up replicas on nodes that are gone, where nobody can wait for what they held (keyspace.Catalog.GivenUp).
func (n *Node) loseReplicas(ctx context.Context, c *keyspace.Catalog) {
	for _, name := range slices.Sorted(maps.Keys(c.Keyspaces)) {
		d := c.Keyspaces[name]
		for shard := range d.Shards {
			for _, m := range d.Shards[shard].Replicas {
				if !c.GivenUp(d, shard, m) {
					continue
				}
				err := n.alter(ctx, name, func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
					if !c.GivenUp(d, shard, m) {
						return nil, kv.Errorf(kv.Busy, "the shard has changed meanwhile")
					}
					return d.Lose(shard, m.Node), nil
				})
				n.log.Info("a replica is given up: its disk is gone", "keyspace", name, "shard", shard, "replica", m.Replica, "node", m.Node, "error", err)
			}
		}
	}
}

const stuckAlarm = "moves"

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// isUp says that there is a connection to a node, and that it may be given replicas.
func (n *Node) isUp(id core.NodeID) bool {
	p := n.peer(id)
	return (id == n.config.Node || p != nil && p.connected.Load()) && n.table.Load().catalog.Nodes[id].Open()
}

// Balance tells what is moving and what would move next.
func (n *Node) Balance(context.Context) (plan kv.BalancePlan, err error) {
	c := n.table.Load().catalog
	// What would move next does so once the node that it moves to is up.
	plan.Moves, _ = c.Balance(n.nodes(), func(core.NodeID) bool { return true }, 1<<30)
	_, plan.Stuck = c.Balance(n.nodes(), n.isUp, 1<<30)
	for _, s := range n.table.Load().ordered {
		for i := range s.descriptor.Shards {
			sh := &s.descriptor.Shards[i]
			if len(sh.Target) == 0 {
				continue
			}
			m := kv.Move{Keyspace: s.descriptor.Name, Shard: i, Group: uint64(sh.Group), Why: "under way"}
			for _, r := range sh.Ends() {
				m.Nodes = append(m.Nodes, uint32(r.Node))
			}
			plan.Underway = append(plan.Underway, m)
		}
	}
	plan.Splits = n.plannedSplits()
	return plan, nil
}

// DrainNode lets a node leave, unless a keyspace would be left with fewer nodes than replicas.
func (n *Node) DrainNode(ctx context.Context, node uint32) error { return n.letGo(ctx, node, false) }

// ReplaceNode lets a node leave whose disk is gone. One that runs is refused: it may hold what nobody else has.
func (n *Node) ReplaceNode(ctx context.Context, node uint32) error {
	if p := n.peer(core.NodeID(node)); core.NodeID(node) == n.config.Node || p != nil && p.connected.Load() {
		return kv.Errorf(kv.Invalid, "node %d runs; drain it, or stop it first if its disk is lost", node)
	}
	return n.letGo(ctx, node, true)
}

func (n *Node) letGo(ctx context.Context, node uint32, lost bool) error {
	return n.changeNode(ctx, core.NodeID(node), func(c *keyspace.Catalog, record *keyspace.Node) error {
		if record.State != "" {
			record.Lost = record.Lost || lost
			return nil
		}
		if err := n.readKeyspaces(ctx, c); err != nil {
			return err
		}
		left := 0
		for _, id := range n.nodes() {
			if c.Nodes[id].Open() && id != core.NodeID(node) {
				left++
			}
		}
		for _, name := range slices.Sorted(maps.Keys(c.Keyspaces)) {
			d := c.Keyspaces[name]
			for i := range d.Shards {
				s := &d.Shards[i]
				if s.On(core.NodeID(node)) != 0 && len(s.Ends()) > left {
					return kv.Errorf(kv.Invalid, "keyspace %s has %d replicas and %d nodes would be left; let a node join first", d.Name, len(s.Ends()), left)
				}
			}
		}
		if left == 0 {
			return kv.Errorf(kv.Invalid, "node %d is the last one", node)
		}
		record.State, record.Lost = keyspace.NodeLeaving, lost
		return nil
	})
}

// RemoveNode ends the membership of a node that was drained.
func (n *Node) RemoveNode(ctx context.Context, node uint32) error {
	id := core.NodeID(node)
	return n.changeNode(ctx, id, func(c *keyspace.Catalog, record *keyspace.Node) error {
		switch {
		case id == n.config.Node:
			return kv.Errorf(kv.Invalid, "node %d cannot remove itself; ask another one", node)
		case record.State == "":
			return kv.Errorf(kv.Invalid, "node %d was not drained; drain it first", node)
		}
		if err := n.readKeyspaces(ctx, c); err != nil {
			return err
		}
		// Also after it was drained: a keyspace may have been made by a node that had not heard of that.
		if record.State != keyspace.NodeDrained || c.Holds(id) {
			return kv.Errorf(kv.Busy, "node %d still holds replicas, or votes in the catalog; wait until it is drained", node)
		}
		record.State = keyspace.NodeRemoved
		c.System = c.System.Without(id)
		return nil
	})
}

// readKeyspaces reads what keyspaces there are: the copy of the catalog here may be behind.
func (n *Node) readKeyspaces(ctx context.Context, c *keyspace.Catalog) error {
	scan := kv.Op{Kind: kv.OpScan, Key: keyspace.DescriptorKey(""), End: keyspace.KeyspaceKeysEnd}
	for {
		r := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{scan}})
		if err := r.Err(); err != nil {
			return err
		}
		for i := range r.Items {
			if err := c.Put(r.Items[i].Key, r.Items[i].Value); err != nil {
				return err
			}
		}
		if r.Key == nil {
			return nil
		}
		scan.Key = r.Key
	}
}

// changeNode replaces a node's record, and the catalog's members with it, by what change makes of them.
func (n *Node) changeNode(ctx context.Context, id core.NodeID, change func(*keyspace.Catalog, *keyspace.Node) error) error {
	for {
		c, err := n.readMembers(ctx)
		if err != nil {
			return err
		}
		record, known := c.Nodes[id]
		// A node of the list that never came up has no record, and can be given up all the same.
		if !known && n.peer(id) == nil && id != n.config.Node || record.State == keyspace.NodeRemoved {
			return kv.Errorf(kv.NotFound, "there is no node %d", id)
		}
		if err := change(c.Catalog, &record); err != nil {
			return err
		}
		c.Nodes[id] = record
		r := n.writeMember(ctx, c, id)
		if r.Code == kv.ConditionFailed {
			continue
		}
		if err := r.Err(); err != nil {
			return err
		}
		// Whoever asks this node next sees what it was told to do.
		return n.waitTable(ctx, func(t *table) bool { return t.catalog.Nodes[id].State == record.State })
	}
}
