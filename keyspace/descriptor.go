package keyspace

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Limits of a keyspace.
const (
	NameMax   = 64
	ShardsMax = 256
	// ReplicasMax is also the largest cluster of today: each node holds a voter of the catalog.
	ReplicasMax = 5
	// replicasDefault survives the loss of one node.
	replicasDefault = 3
)

// descriptorFormat is the version of the encoding that every program knows; descriptorTerms is that of a descriptor with
// terms that a program which does not know them must not overlook.
const (
	descriptorFormat = 1
	descriptorTerms  = 2
	// descriptorMoving is that of a descriptor in which the catalog says how far a change of members is, itself or by a view.
	descriptorMoving = 3
	// descriptorSplit is that of a descriptor that tells of splits, descriptorOrdered that of a keyspace with a commit order.
	descriptorSplit   = 4
	descriptorOrdered = 5
	// descriptorValues is that of a descriptor whose values are kept elsewhere.
	descriptorValues = 6
	// descriptorMerged is that of a descriptor that tells of merges.
	descriptorMerged = 7
)

// Descriptor is a keyspace as the catalog holds it.
type Descriptor struct {
	Format      int            `json:"format"`
	Name        string         `json:"name"`
	ID          uint32         `json:"id"`
	Consistency kv.Consistency `json:"consistency"`
	Terms       Terms          `json:"terms"`
	Shards      []Shard        `json:"shards"`
	// Retired are groups whose keys others have absorbed, until nobody can have anything to ask them (rule G4).
	Retired []Shard `json:"retired,omitempty"`
}

// Terms are what a keyspace was created with, beside its promise.
type Terms struct {
	// LeaseOff makes every read confirm the leadership by a round of messages.
	LeaseOff bool `json:"leaseOff,omitempty"`
	// Partitioner is how keys are spread; empty: by hash. Splits are the first keys of all shards but the first.
	Partitioner string   `json:"partitioner,omitempty"`
	Splits      [][]byte `json:"splits,omitempty"`
	// Atomic and ClientStamps are those of kv.CreateKeyspace.
	Atomic       bool `json:"atomic,omitempty"`
	ClientStamps bool `json:"clientStamps,omitempty"`
	// MinMembers and Refuse are those of kv.CreateKeyspace: the least members of a view, and conflict refuse.
	MinMembers int  `json:"minMembers,omitempty"`
	Refuse     bool `json:"refuse,omitempty"`
	// Siblings is conflict siblings of kv.CreateKeyspace.
	Siblings bool `json:"siblings,omitempty"`
	// SplitBytes and SplitWrites are when a shard is split by itself: 0 at the default, -1 never.
	SplitBytes  int64 `json:"splitBytes,omitempty"`
	SplitWrites int64 `json:"splitWrites,omitempty"`
	// CommitOrder is that of kv.CreateKeyspace.
	CommitOrder bool `json:"commitOrder,omitempty"`
	// Store is where long values are kept (StorePebble and the others).
	Store string `json:"store,omitempty"`
	// Evictable is that of kv.CreateKeyspace.
	Evictable bool `json:"evictable,omitempty"`
}

// Shard is one part of the keys and the group that holds it.
type Shard struct {
	Group    core.GroupID `json:"group"`
	Replicas []Member     `json:"replicas"`
	// Preferred is the member that should lead while all are well.
	Preferred core.ReplicaID `json:"preferred"`
	// Epoch counts the changes of the shard's members.
	Epoch uint64 `json:"epoch,omitempty"`
	// Target are the members that are left when the change under way is over; none: there is none. Until then Replicas are
	// those of before and these.
	Target []core.ReplicaID `json:"target,omitempty"`
	// Joining are those of Target that were no replicas before the change began, where the catalog brings it about: in a quorum
	// keyspace. Filled says that they have what the others have.
	Joining []core.ReplicaID `json:"joining,omitempty"`
	Filled  bool             `json:"filled,omitempty"`
	// Last is the highest replica id that was ever given, once members have changed: none is given twice (rule M5).
	Last core.ReplicaID `json:"last,omitempty"`
	// Founders is what the first members were started with, once they have changed: the group's chain begins with it.
	Founders []byte `json:"founders,omitempty"`
	// Split is the split under way; nil: there is none. Parent is the group that this one's keys were in before it was split.
	Split  *Split       `json:"split,omitempty"`
	Parent core.GroupID `json:"parent,omitempty"`
	// Merge is the merge under way with the next shard; nil: there is none. Since is the place in the group's log from which on it has
	// all its keys, once it has absorbed some.
	Merge *Merge `json:"merge,omitempty"`
	Since uint64 `json:"since,omitempty"`
	// Grown says that the shard came to be by a split that nobody asked for, so that it may be merged without being asked, too.
	Grown bool `json:"grown,omitempty"`
}

// Member is one replica of a shard and where it lives.
type Member struct {
	Replica core.ReplicaID `json:"replica"`
	Node    core.NodeID    `json:"node"`
}

// On returns the replica that a node holds of the shard; 0: none.
func (s *Shard) On(node core.NodeID) core.ReplicaID {
	for _, m := range s.Replicas {
		if m.Node == node {
			return m.Replica
		}
	}
	return 0
}

// leads is the node whose replica should lead.
func (s *Shard) leads() core.NodeID { return s.Nodes()[s.Preferred] }

// Nodes maps each replica to its node.
func (s *Shard) Nodes() map[core.ReplicaID]core.NodeID {
	nodes := make(map[core.ReplicaID]core.NodeID, len(s.Replicas))
	for _, m := range s.Replicas {
		nodes[m.Replica] = m.Node
	}
	return nodes
}

// Voters are the replicas of the shard in order.
func (s *Shard) Voters() []core.ReplicaID {
	voters := make([]core.ReplicaID, len(s.Replicas))
	for i, m := range s.Replicas {
		voters[i] = m.Replica
	}
	return voters
}

// Encode is the descriptor's value in the catalog.
func (d *Descriptor) Encode() []byte {
	b, err := json.Marshal(d)
	if err != nil {
		panic("keyspace: encode descriptor: " + err.Error()) // it is plain data
	}
	return b
}

// DecodeDescriptor reads what Encode wrote, and checks it.
func DecodeDescriptor(b []byte) (*Descriptor, error) {
	var d Descriptor
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("decode keyspace descriptor: %w", err)
	}
	if d.Format != d.format() {
		return nil, fmt.Errorf("keyspace %q has descriptor format %d, this program knows up to %d; start a newer program", d.Name, d.Format, descriptorMerged)
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("keyspace %q: %w", d.Name, err)
	}
	return &d, nil
}

// format is the encoding that the descriptor needs.
func (d *Descriptor) format() int {
	if d.everMerged() {
		return descriptorMerged
	}
	if d.Terms.Store != StorePebble {
		return descriptorValues
	}
	if d.Terms.CommitOrder {
		return descriptorOrdered
	}
	if (byCatalog(d.Consistency) || Atomic(d.Consistency)) && slices.ContainsFunc(d.Shards, func(s Shard) bool { return s.Epoch > 0 }) {
		return descriptorMoving
	}
	if d.everSplit() {
		return descriptorSplit
	}
	if d.Consistency == kv.Linearizable && d.Terms.Partitioner == "" {
		return descriptorFormat
	}
	return descriptorTerms
}

func (d *Descriptor) check() error {
	if n := len(d.Shards); n < 1 || n > ShardsMax {
		return fmt.Errorf("the descriptor has %d shards; 1 to %d are possible", n, ShardsMax)
	}
	if err := checkSplits(d.Terms.Partitioner, d.Terms.Splits); err != nil {
		return err
	}
	if d.Terms.Partitioner != "" && len(d.Terms.Splits)+1 != len(d.Shards) {
		return fmt.Errorf("%d splits make %d shards, the descriptor has %d", len(d.Terms.Splits), len(d.Terms.Splits)+1, len(d.Shards))
	}
	for i := range d.Shards {
		s := &d.Shards[i]
		if s.Group == 0 || len(s.Replicas) < 1 || (len(s.Replicas) > 2*ReplicasMax && d.Name != SystemName) {
			return fmt.Errorf("shard %d has group %d with %d replicas", i, s.Group, len(s.Replicas))
		}
		for j, m := range s.Replicas {
			twice := slices.ContainsFunc(s.Replicas[:j], func(o Member) bool { return o.Replica == m.Replica || o.Node == m.Node })
			if m.Replica == 0 || m.Node == 0 || twice {
				return fmt.Errorf("shard %d names replica %d on node %d, which is zero or twice there", i, m.Replica, m.Node)
			}
		}
		if s.Split != nil && (s.Split.Group == 0 || !slices.Contains(s.Voters(), s.Split.Preferred) || d.shardOf()(s.Split.Key) != i) {
			return fmt.Errorf("shard %d is to be split at %q, which cannot be", i, s.Split.Key)
		}
		if m := s.Merge; m != nil && (i+1 == len(d.Shards) || d.Shards[i+1].Group != m.Group) {
			return fmt.Errorf("shard %d is to be merged with group %d, which is not the next one", i, m.Group)
		}
		for _, id := range slices.Concat(s.Target, s.Joining) {
			if !slices.Contains(s.Voters(), id) {
				return fmt.Errorf("shard %d is to have replica %d, which it does not name", i, id)
			}
		}
	}
	return nil
}

// ShardOf maps a key to one of a number of shards: equal ranges of the key's hash.
func ShardOf(key []byte, shards int) int {
	high, _ := bits.Mul64(xxhash.Sum64(key), uint64(shards))
	return int(high)
}

// Keyspace is what the doors see of the descriptor.
func (d *Descriptor) Keyspace() *kv.Keyspace {
	return &kv.Keyspace{Name: d.Name, ID: d.ID, Consistency: d.Consistency, Shards: len(d.Shards),
		Replicas: len(d.Shards[0].Ends()), Siblings: d.Terms.Siblings, ShardOf: d.shardOf(), Range: d.ranges(), Binding: d.binding([16]byte{}, 0),
		MergeTokens: MergeTokens(d.Consistency), CommitOrder: d.Terms.CommitOrder}
}

// Spec is the wish that the descriptor fulfils, its defaults filled in.
func (d *Descriptor) Spec() kv.CreateKeyspace {
	spec := kv.CreateKeyspace{Name: d.Name, Consistency: d.Consistency, Shards: len(d.Shards),
		Replicas: len(d.Shards[0].Ends()), Partitioner: d.Terms.Partitioner, Atomic: d.Terms.Atomic, ClientStamps: d.Terms.ClientStamps,
		CommitOrder: d.Terms.CommitOrder, Store: d.Terms.Store, Evictable: d.Terms.Evictable}
	switch {
	case Atomic(d.Consistency):
		spec.MinMembers, spec.Conflict = d.Terms.MinMembers, "wait"
		if d.Terms.Refuse {
			spec.Conflict = "refuse"
		}
	case d.Terms.Siblings:
		spec.Conflict = siblings
	case !onPaxos(d.Consistency):
	case d.Terms.LeaseOff:
		spec.Lease = "off"
	default:
		spec.Lease = "on"
	}
	spec.SplitBytes, spec.SplitWrites = d.Terms.SplitBytes, d.Terms.SplitWrites
	for _, split := range d.Terms.Splits {
		spec.Splits = append(spec.Splits, string(split))
	}
	return spec
}
