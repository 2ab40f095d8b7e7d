package sim

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Ready reports whether every shard of a keyspace whose protocol has leaders has one.
func (c *Cluster) Ready(d *keyspace.Descriptor) bool {
	for i := range d.Shards {
		g := c.w.byID[d.Shards[i].Group]
		for _, n := range c.w.nodes {
			if !n.up || g.members[n.index] == 0 {
				continue
			}
			if led, ok := n.host.Replica(g.id).(core.Led); ok && led.Leader() == 0 {
				return false
			}
		}
	}
	return true
}

// Status is a node's replica of a shard; of a node that does not run only the names.
func (c *Cluster) Status(id core.NodeID, d *keyspace.Descriptor, shard int) kv.GroupStatus {
	n, s := c.node(id), &d.Shards[shard]
	self := s.On(id)
	var status kv.GroupStatus
	if n.up && self != 0 {
		replica := n.host.Replica(s.Group)
		status = keyspace.Report(replica, s.Nodes(), n.now().Mono)
		if led, ok := replica.(core.Led); ok {
			status.Leader = uint32(s.Nodes()[led.Leader()])
		}
	}
	status.Group, status.Keyspace, status.Shard, status.Replica = uint64(s.Group), d.Name, shard, uint32(self)
	return status
}

// State calls f with what a node's replica of a shard holds, in the order of keys. The results are the callee's.
func (c *Cluster) State(id core.NodeID, d *keyspace.Descriptor, shard int, f func(kv.Result)) error {
	n, s := c.node(id), &d.Shards[shard]
	if err := c.running(id); err != nil {
		return err
	}
	if s.On(id) == 0 {
		return fmt.Errorf("node %d has no replica of shard %d", id, shard)
	}
	if !keyspace.Led(d.Consistency) {
		page := keyspace.Inspect(d.Consistency, n.disk.Group(s.Group), s.Nodes(), n.host.Replica(s.Group), nil, false, 1<<30)
		for _, item := range page.Items {
			if !item.Deleted && (item.ExpireAt == 0 || item.ExpireAt > n.now().Wall) {
				f(kv.Result{Key: item.Key, Value: item.Value, Version: item.Version, Origin: item.Origin, Flags: item.Flags, ExpireAt: item.ExpireAt, Existed: true})
			}
		}
		return nil
	}
	command := kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}}}
	for {
		r, _ := machine.Read(n.disk.Group(s.Group), &command, kv.HLCOf(n.now().Wall))
		for _, item := range r.Items {
			f(item)
		}
		if r.Key == nil {
			return nil
		}
		command.Ops[0].Key = r.Key
	}
}

// Blocks are the blocks that a node's replica of a shard still holds; nil if its protocol keeps none.
func (c *Cluster) Blocks(id core.NodeID, d *keyspace.Descriptor, shard int) ([]kv.BlockInfo, error) {
	if err := c.running(id); err != nil {
		return nil, err
	}
	const all = 1 << 20
	return keyspace.HeldBlocks(c.node(id).host.Replica(d.Shards[shard].Group), 0, all)(true), nil
}
