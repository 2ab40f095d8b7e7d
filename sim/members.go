package sim

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// followMembers lets the members of a causal or eventual keyspace change.
func (c *Cluster) followMembers(g *group, name string) {
	said := func() *word {
		d := c.keyspaces[name]
		s := &d.Shards[0]
		w := &word{epoch: s.Epoch, last: s.Last, where: s.Nodes(), moving: len(s.Target) > 0, config: d.GroupConfig(clusterID, 0)}
		for _, m := range s.Replicas {
			if s.Leaves(m.Node) {
				w.leaving = append(w.leaving, m.Replica)
			}
		}
		return w
	}
	g.roster = &roster{told: make([]int, len(c.w.nodes)), atOnce: true}
	g.roster.words = []*word{{where: g.nodes}}
	g.roster.over = func() *word {
		c.keyspaces[name] = c.keyspaces[name].Moved(0)
		return said()
	}
	c.said[name] = said
	c.w.after(watchEvery, func() { c.w.watch(g) })
}

// clusterID names the cluster in configurations.
var clusterID = [16]byte{1}

// JoinReplica gives a node a replica of a causal or eventual keyspace. The replica has an id that was never given, so a node that
// had one before may be given one again at once. It serves when it holds what the others held. The keyspace's descriptor is
// another one afterwards.
func (c *Cluster) JoinReplica(name string, id core.NodeID) error {
	return c.alter(name, func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
		if d.Shards[0].On(id) != 0 {
			return nil, kv.Errorf(kv.Exists, "node %d has a replica of %s", id, name)
		}
		return d.Move(0, append(nodesOf(d.Shards[0].Ends()), id), d.FirstConfig(clusterID, 0, c.options.Protocols))
	})
}

// LoseReplica ends the replica of a causal or eventual keyspace on a node, with all that it held, for good; the others do without.
// The last one cannot be lost.
func (c *Cluster) LoseReplica(name string, id core.NodeID) error {
	return c.alter(name, func(d *keyspace.Descriptor) (*keyspace.Descriptor, error) {
		var left []core.NodeID
		for _, n := range nodesOf(d.Shards[0].Ends()) {
			if n != id {
				left = append(left, n)
			}
		}
		switch {
		case d.Shards[0].On(id) == 0:
			return nil, kv.Errorf(kv.NotFound, "node %d has no replica of %s", id, name)
		case len(left) == 0:
			return nil, kv.Errorf(kv.Invalid, "node %d has the last replica of %s", id, name)
		}
		moved, err := d.Move(0, left, d.FirstConfig(clusterID, 0, c.options.Protocols))
		if err != nil {
			return nil, err
		}
		return moved.Lose(0, id), nil
	})
}

// alter changes the members of a keyspace; a change that is under way is given up, as far as it has not come.
func (c *Cluster) alter(name string, change func(*keyspace.Descriptor) (*keyspace.Descriptor, error)) error {
	d := c.keyspaces[name]
	if d == nil || c.said[name] == nil {
		return kv.Errorf(kv.Unsupported, "%q is no causal or eventual keyspace", name)
	}
	if len(d.Shards[0].Target) > 0 {
		d = d.Halted(0)
	}
	altered, err := change(d)
	if err != nil {
		return err
	}
	c.keyspaces[name] = altered
	c.w.say(c.w.byID[d.Shards[0].Group], c.said[name]())
	return c.failed()
}

func nodesOf(members []keyspace.Member) (list []core.NodeID) {
	for _, m := range members {
		list = append(list, m.Node)
	}
	return list
}
