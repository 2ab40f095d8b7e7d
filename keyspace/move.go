package keyspace

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// A shard's members change in two steps of the catalog, each under the condition that the descriptor is still as it was
// read: Move names the new members beside the old ones, so that their nodes start replicas; then the group's leader makes
// them its voters, by the group's own log; then Moved forgets the old ones, whose nodes drop what they hold.

// Move is the descriptor with a change of one shard begun: in the end its replicas live on these nodes, of which the first
// should lead, if the protocol has leaders. Those that are there stay, others get new ids. founders is what the first members were started with.
func (d *Descriptor) Move(shard int, nodes []core.NodeID, founders []byte) (*Descriptor, error) {
	s := &d.Shards[shard]
	switch {
	case Causal(d.Consistency):
		return nil, kv.Errorf(kv.Unsupported, "the replicas of %s, which is %s, stay where they were created; drop the keyspace, or move its keys to another one", d.Name, d.Consistency)
	case len(s.Target) > 0:
		return nil, kv.Errorf(kv.Busy, "shard %d of %s is being moved already; retry when that is over", shard, d.Name)
	case len(nodes) < 1 || len(nodes) > ReplicasMax:
		return nil, kv.Errorf(kv.Invalid, "%d replicas; give 1 to %d", len(nodes), ReplicasMax)
	}
	moved := d.withShard(shard)
	m := &moved.Shards[shard]
	m.Epoch++
	m.Last = s.lastReplica()
	if m.Founders == nil {
		m.Founders = founders
	}
	for _, n := range nodes {
		id := m.On(n)
		if id == 0 {
			m.Last++
			id = m.Last
			m.Replicas = append(m.Replicas, Member{id, n})
		}
		if slices.Contains(m.Target, id) {
			return nil, kv.Errorf(kv.Invalid, "node %d is named twice", n)
		}
		m.Target = append(m.Target, id)
	}
	m.Preferred = m.Target[0]
	if len(m.Replicas) > 2*ReplicasMax {
		return nil, kv.Errorf(kv.Busy, "shard %d of %s would have %d replicas meanwhile; retry when a move is over", shard, d.Name, len(m.Replicas))
	}
	return moved, nil
}

// Halted is the descriptor with the change of one shard under way given up, so that another one can begin instead: nobody
// knows yet who votes in the group, so all that were to stay, come or go are named still.
func (d *Descriptor) Halted(shard int) *Descriptor {
	halted := d.withShard(shard)
	halted.Shards[shard].Target = nil
	return halted
}

// Moved is the descriptor with the change of one shard over.
func (d *Descriptor) Moved(shard int) *Descriptor {
	moved := d.withShard(shard)
	m := &moved.Shards[shard]
	m.Epoch++
	m.Replicas = slices.DeleteFunc(m.Replicas, func(r Member) bool { return !slices.Contains(m.Target, r.Replica) })
	m.Target = nil
	return moved
}

// Founded is the descriptor with what the members of its one shard were started with.
func (d *Descriptor) Founded(founders []byte) *Descriptor {
	c := d.withShard(0)
	c.Shards[0].Founders = founders
	return c
}

// With is the descriptor of the catalog with a replica on one more node.
func (d *Descriptor) With(node core.NodeID) *Descriptor {
	c := d.withShard(0)
	s := &c.Shards[0]
	s.Epoch++
	s.Last = s.lastReplica() + 1
	s.Replicas = append(s.Replicas, Member{s.Last, node})
	return c
}

// Without is the descriptor of the catalog without the replica on a node.
func (d *Descriptor) Without(node core.NodeID) *Descriptor {
	c := d.withShard(0)
	s := &c.Shards[0]
	s.Epoch++
	s.Last = s.lastReplica()
	s.Replicas = slices.DeleteFunc(s.Replicas, func(m Member) bool { return m.Node == node })
	return c
}

// systemVoters bounds the voters of the catalog; all other nodes learn it.
const systemVoters = 5

// SystemMembers are the replicas of the catalog that vote and those that learn; those on nodes that
// leave, or have not served yet, only learn.
func (c *Catalog) SystemMembers() (voters, learners []core.ReplicaID) {
	for _, m := range c.System.Shards[0].Replicas {
		switch {
		case len(voters) < systemVoters && c.Nodes[m.Node].Open():
			voters = append(voters, m.Replica)
		default:
			learners = append(learners, m.Replica)
		}
	}
	return voters, learners
}

// SameMembers reports whether nothing changed of a keyspace's shards between two of its descriptors.
func (d *Descriptor) SameMembers(other *Descriptor) bool {
	return slices.EqualFunc(d.Shards, other.Shards, func(a, b Shard) bool { return a.Group == b.Group && a.Epoch == b.Epoch })
}

// withShard is a copy whose shard may be changed.
func (d *Descriptor) withShard(shard int) *Descriptor {
	c := *d
	c.Shards = slices.Clone(d.Shards)
	s := &c.Shards[shard]
	s.Replicas, s.Target = slices.Clone(s.Replicas), slices.Clone(s.Target)
	return &c
}

// Left says that the replica was a member and is none any more, and so never will be again (rule M5).
func (s *Shard) Left(id core.ReplicaID) bool {
	_, member := s.Nodes()[id]
	return !member && id <= s.lastReplica()
}

func (s *Shard) lastReplica() core.ReplicaID {
	last := s.Last
	for _, m := range s.Replicas {
		last = max(last, m.Replica)
	}
	return last
}

// Ends are the replicas that the shard has when the change under way, if any, is over.
func (s *Shard) Ends() []Member {
	if len(s.Target) == 0 {
		return s.Replicas
	}
	return slices.DeleteFunc(slices.Clone(s.Replicas), func(r Member) bool { return !slices.Contains(s.Target, r.Replica) })
}
