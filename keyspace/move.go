package keyspace

import (
	"slices"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/quorum"
)

// A shard's members change in two steps of the catalog, each under the condition that the descriptor is still as it was
// read: Move names the new members beside the old ones, so that their nodes start replicas; then the group's leader makes
// them its voters, by the group's own log; then Moved forgets the old ones, whose nodes drop what they hold.
//
// A quorum group has neither leader nor common log: there the catalog itself says how far the change is. Between the two, Advanced
// says once that who joins is filled, and each step is taken when the replicas say that they are ready for it.
//
// The members of an atomic group are what its view says: there the leader asks for one view after the other (view.go), and the change
// is over when the view names those that are left and no one else.

// Move is the descriptor with a change of one shard begun: in the end its replicas live on these nodes, of which the first
// should lead, if the protocol has leaders. Those that are there stay, others get new ids. founders is what the first members were started with.
func (d *Descriptor) Move(shard int, nodes []core.NodeID, founders []byte) (*Descriptor, error) {
	s := &d.Shards[shard]
	switch {
	case len(s.Target) > 0:
		return nil, kv.Errorf(kv.Busy, "shard %d of %s is being moved already; retry when that is over", shard, d.Name)
	case s.Split != nil:
		return nil, kv.Errorf(kv.Busy, "shard %d of %s is being split; retry when that is over", shard, d.Name)
	case d.retiring(shard):
		return nil, kv.Errorf(kv.Busy, "shard %d of %s is being merged into the one before it; retry when that is over", shard, d.Name)
	case len(nodes) < 1 || len(nodes) > ReplicasMax:
		return nil, kv.Errorf(kv.Invalid, "%d replicas; give 1 to %d", len(nodes), ReplicasMax)
	case len(nodes) < d.Terms.MinMembers:
		return nil, kv.Errorf(kv.Invalid, "%d replicas; keyspace %s keeps %d members in each view", len(nodes), d.Name, d.Terms.MinMembers)
	}
	moved := d.withShard(shard)
	m := &moved.Shards[shard]
	m.Epoch++
	m.Last = s.lastReplica()
	m.Joining, m.Filled = nil, false
	if m.Founders == nil {
		m.Founders = founders
	}
	for _, n := range nodes {
		id := m.On(n)
		if id == 0 {
			m.Last++
			id = m.Last
			m.Replicas = append(m.Replicas, Member{id, n})
			if byCatalog(d.Consistency) {
				m.Joining = append(m.Joining, id)
			}
		}
		if slices.Contains(m.Target, id) {
			return nil, kv.Errorf(kv.Invalid, "node %d is named twice", n)
		}
		m.Target = append(m.Target, id)
	}
	m.Preferred = m.Target[0]
	if most := moveMax(d.Consistency); len(m.Replicas) > most {
		return nil, kv.Errorf(kv.Busy, "shard %d of %s would have %d replicas meanwhile, and %d are the most; retry when a move is over, or move fewer at a time", shard, d.Name, len(m.Replicas), most)
	}
	moved.Format = moved.format()
	return moved, nil
}

// moveMax is how many replicas a shard may have while its members change.
func moveMax(c kv.Consistency) int {
	if byCatalog(c) {
		return quorum.MembersMax
	}
	return 2 * ReplicasMax
}

// byCatalog says that the catalog says how far a change of members is.
func byCatalog(c kv.Consistency) bool { return c == kv.Quorum }

// Advanced is the descriptor with the next step taken of the change of one shard under way.
func (d *Descriptor) Advanced(shard int) *Descriptor {
	if d.Shards[shard].Filled || Causal(d.Consistency) {
		return d.Moved(shard)
	}
	filled := d.withShard(shard)
	filled.Shards[shard].Epoch++
	filled.Shards[shard].Filled = true
	return filled
}

// Halted is the descriptor with the change of one shard under way given up, so that another one can begin instead: nobody
// knows yet who votes in the group, so all that were to stay, come or go are named still. In a quorum group those that were there
// count until the last step, so that the others can go at once.
func (d *Descriptor) Halted(shard int) *Descriptor {
	halted := d.withShard(shard)
	h := &halted.Shards[shard]
	h.Last = h.lastReplica()
	h.Replicas = h.without(h.Joining)
	h.Target, h.Joining, h.Filled = nil, nil, false
	if !slices.Contains(h.Voters(), h.Preferred) {
		h.Preferred = h.Replicas[0].Replica
	}
	return halted
}

func (s *Shard) without(ids []core.ReplicaID) []Member {
	return slices.DeleteFunc(slices.Clone(s.Replicas), func(r Member) bool { return slices.Contains(ids, r.Replica) })
}

// Members is what the replicas of a quorum shard are told of who they are; nil: nothing.
func (d *Descriptor) Members(shard int) []byte {
	if !byCatalog(d.Consistency) {
		return nil
	}
	s := &d.Shards[shard]
	c := quorum.Config{Epoch: s.Epoch, Next: s.Target, Both: s.Filled, Atomic: d.Terms.Atomic, ClientStamps: d.Terms.ClientStamps}
	for _, m := range s.without(s.Joining) {
		c.Members = append(c.Members, m.Replica)
	}
	return c.AppendTo(nil)
}

// Ready says that the replicas are ready for the next step of the change of their shard that the descriptor tells of.
func (s *Shard) Ready(replica core.Replica) bool {
	if b, ok := replica.(*bayou.Replica); ok {
		return len(s.Target) > 0 && b.Moved(s.Epoch)
	}
	q, ok := replica.(*quorum.Replica)
	if !ok {
		return false
	}
	epoch, ready := q.Ready()
	return ready && epoch == s.Epoch
}

// Leaves says that the shard has a replica on the node which the change under way takes away.
func (s *Shard) Leaves(node core.NodeID) bool {
	id := s.On(node)
	return id != 0 && len(s.Target) > 0 && !slices.Contains(s.Target, id)
}

// GivenUp says that a replica which is being moved away is on a node that is gone, so that nobody waits for it any more: at once in
// a causal or eventual keyspace, where the others do without what only it held; in a quorum keyspace only when an operator removed
// the node and no majority is left of the members that count, for else the others have all that a majority took.
func (c *Catalog) GivenUp(d *Descriptor, shard int, m Member) bool {
	s, at := &d.Shards[shard], c.Nodes[m.Node]
	switch removed := at.State == NodeRemoved; {
	case s.On(m.Node) != m.Replica || !s.Leaves(m.Node):
		return false
	case Causal(d.Consistency):
		return at.Lost || removed
	case byCatalog(d.Consistency):
		return removed && !c.majorityOf(s.without(s.Joining))
	}
	return false
}

// majorityOf says that most of some members are on nodes that an operator has not removed.
func (c *Catalog) majorityOf(members []Member) bool {
	left := 0
	for _, m := range members {
		if c.Nodes[m.Node].State != NodeRemoved {
			left++
		}
	}
	return 2*left > len(members)
}

// Lose is the descriptor without a replica whose disk is gone, while its shard is being moved away from there: what only that
// replica held is lost, and nobody waits for it any more.
func (d *Descriptor) Lose(shard int, node core.NodeID) *Descriptor {
	lost := d.withShard(shard)
	m := &lost.Shards[shard]
	m.Epoch++
	m.Last = m.lastReplica()
	m.Replicas = slices.DeleteFunc(m.Replicas, func(r Member) bool { return r.Node == node })
	if m.Preferred = m.Target[0]; slices.Contains(m.Target, d.Shards[shard].Preferred) {
		m.Preferred = d.Shards[shard].Preferred
	}
	return lost
}

// Moved is the descriptor with the change of one shard over.
func (d *Descriptor) Moved(shard int) *Descriptor {
	moved := d.withShard(shard)
	m := &moved.Shards[shard]
	m.Epoch++
	m.Replicas = slices.DeleteFunc(m.Replicas, func(r Member) bool { return !slices.Contains(m.Target, r.Replica) })
	m.Target, m.Joining, m.Filled = nil, nil, false
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
	same := func(a, b Shard) bool { return a.Group == b.Group && a.Epoch == b.Epoch }
	return slices.EqualFunc(d.Shards, other.Shards, same) && slices.EqualFunc(d.Retired, other.Retired, same)
}

// IndexOf is the place of a group's shard; -1: there is none. Splits change the places of shards.
func (d *Descriptor) IndexOf(group core.GroupID) int {
	return slices.IndexFunc(d.Shards, func(s Shard) bool { return s.Group == group })
}

// withShard is a copy whose shard may be changed.
func (d *Descriptor) withShard(shard int) *Descriptor {
	c := *d
	c.Shards = slices.Clone(d.Shards)
	s := &c.Shards[shard]
	s.Replicas, s.Target, s.Joining = slices.Clone(s.Replicas), slices.Clone(s.Target), slices.Clone(s.Joining)
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
