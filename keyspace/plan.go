package keyspace

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// SystemName is the keyspace of the catalog itself. It is made of the cluster's list, not created.
const SystemName = "system"

// SystemGroup is the group of the catalog.
const SystemGroup core.GroupID = 1

// checkSpec checks what a user asked for and fills in the defaults for a cluster of so many nodes.
func checkSpec(spec *kv.CreateKeyspace, nodes int) error {
	if err := CheckName(spec.Name); err != nil {
		return err
	}
	if spec.Consistency == "" {
		spec.Consistency = kv.Linearizable
	}
	if err := checkConsistency(spec.Consistency); err != nil {
		return err
	}
	if err := checkPartitioner(spec); err != nil {
		return err
	}
	if err := checkStore(spec); err != nil {
		return err
	}
	if spec.Shards == 0 {
		spec.Shards = 1
	}
	anywhere := Causal(spec.Consistency)
	switch {
	case spec.Replicas == 0 && anywhere: // a replica wherever a client may come
		spec.Replicas = min(ReplicasMax, nodes)
	case spec.Replicas == 0:
		spec.Replicas = min(replicasDefault, nodes)
	}
	switch {
	case anywhere && spec.Shards > 1:
		return kv.Errorf(kv.Unsupported, "%d shards; a keyspace that is %s has one, because what a session has seen in one shard would not bind the others", spec.Shards, spec.Consistency)
	case spec.Shards < 1 || spec.Shards > ShardsMax:
		return kv.Errorf(kv.Invalid, "%d shards; give 1 to %d", spec.Shards, ShardsMax)
	case spec.Replicas < 1 || spec.Replicas > ReplicasMax:
		return kv.Errorf(kv.Invalid, "%d replicas; give 1 to %d", spec.Replicas, ReplicasMax)
	case spec.Replicas > nodes:
		return kv.Errorf(kv.Invalid, "%d replicas need as many nodes; the cluster has %d", spec.Replicas, nodes)
	case spec.Lease != "" && spec.Lease != "on" && spec.Lease != "off":
		return kv.Errorf(kv.Invalid, "lease %q is not known; give on or off", spec.Lease)
	case spec.Lease != "" && Atomic(spec.Consistency):
		return kv.Errorf(kv.Invalid, "lease is not a term of an atomic keyspace: its replicas are read under the leases of their nodes")
	case spec.Lease != "" && !onPaxos(spec.Consistency):
		return kv.Errorf(kv.Invalid, "a keyspace of consistency %s has no leader, and so no lease", spec.Consistency)
	case (spec.Atomic || spec.ClientStamps) && spec.Consistency != kv.Quorum:
		return kv.Errorf(kv.Invalid, "atomic and client stamps are terms of a quorum keyspace, not of a %s one", spec.Consistency)
	case spec.CommitOrder && spec.Consistency != kv.Causal:
		return kv.Errorf(kv.Invalid, "a commit order is a term of a causal keyspace, not of a %s one", spec.Consistency)
	case spec.CommitOrder && spec.Conflict == siblings:
		return kv.Errorf(kv.Invalid, "a keyspace with a commit order keeps no siblings: its writes have an order, and a merge procedure such as copy keeps what competes; leave out one of the two")
	case spec.Atomic && spec.ClientStamps:
		return kv.Errorf(kv.Invalid, "an atomic keyspace must give its stamps itself; leave out atomic or client stamps")
	}
	if _, _, err := splitTerms(spec); err != nil {
		return err
	}
	return checkAtomic(spec)
}

// checkAtomic checks the terms of atomic keyspaces and fills in their defaults.
func checkAtomic(spec *kv.CreateKeyspace) error {
	if !Atomic(spec.Consistency) {
		return checkConflict(spec)
	}
	if spec.MinMembers == 0 {
		spec.MinMembers = 1
	}
	if spec.Conflict == "" {
		spec.Conflict = "wait"
	}
	switch {
	case spec.MinMembers < 1 || spec.MinMembers > spec.Replicas:
		return kv.Errorf(kv.Invalid, "a minimum of %d members; give 1 to %d, the number of replicas", spec.MinMembers, spec.Replicas)
	case spec.Conflict != "wait" && spec.Conflict != "refuse":
		return kv.Errorf(kv.Invalid, "conflict %q is not known; give wait or refuse", spec.Conflict)
	}
	return nil
}

// siblings is the conflict of keyspaces that keep concurrent values side by side, newest the one of those that do not.
const (
	siblings = "siblings"
	newest   = "newest"
)

// checkConflict checks what a keyspace without views says of conflicts.
func checkConflict(spec *kv.CreateKeyspace) error {
	switch {
	case spec.MinMembers != 0:
		return kv.Errorf(kv.Invalid, "min members is a term of an atomic keyspace, not of a %s one", spec.Consistency)
	case spec.Conflict == newest && Causal(spec.Consistency):
		spec.Conflict = ""
	case spec.Conflict == siblings && spec.Consistency == kv.Eventual:
		return kv.Errorf(kv.Invalid, "conflict siblings needs tokens, by which a write says what its client had read, and an eventual keyspace has none; make it causal")
	case spec.Conflict == "" || spec.Conflict == siblings && spec.Consistency == kv.Causal:
	case Causal(spec.Consistency):
		return kv.Errorf(kv.Invalid, "conflict %q is not known for a %s keyspace; give newest or siblings", spec.Conflict, spec.Consistency)
	default:
		return kv.Errorf(kv.Invalid, "conflict is a term of atomic and causal keyspaces, not of a %s one", spec.Consistency)
	}
	return nil
}

// CheckName tells what is wrong with the name of a keyspace that a user wants to make.
func CheckName(name string) error {
	switch {
	case name == "":
		return kv.Errorf(kv.Invalid, "a keyspace needs a name")
	case len(name) > NameMax:
		return kv.Errorf(kv.Invalid, "a name of %d bytes; the limit is %d", len(name), NameMax)
	case name == SystemName:
		return kv.Errorf(kv.Invalid, "the name %q belongs to the catalog; take another", name)
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return kv.Errorf(kv.Invalid, "the name %q holds %q; use a-z, 0-9, _ and - only", name, c)
		}
	}
	return nil
}

func checkConsistency(c kv.Consistency) error {
	if Known(c) {
		return nil
	}
	return kv.Errorf(kv.Invalid, "consistency %q is not known; there are %q", c, kv.Consistencies)
}

// Known reports whether keyspaces of a consistency can be made.
func Known(c kv.Consistency) bool { return slices.Contains(kv.Consistencies, c) }

// Next are the lowest ids that were never given. They only grow, so that what is left of a dropped keyspace on some disk
// is never taken for a part of a new one.
type Next struct {
	// Node is 0 until a node has joined beyond those of the lists.
	Node     core.NodeID  `json:"node,omitempty"`
	Keyspace uint32       `json:"keyspace"`
	Group    core.GroupID `json:"group"`
}

// FirstNext are the first ids after the catalog's own.
func FirstNext() Next { return Next{Keyspace: 1, Group: SystemGroup + 1} }

// Plan places a new keyspace on nodes, in the order given: each shard begins one node further, and its first replica is
// the preferred leader, so that replicas and leaders spread evenly. It returns the ids for the next keyspace.
func Plan(spec kv.CreateKeyspace, nodes []core.NodeID, next Next) (*Descriptor, Next, error) {
	return Zones(nil).Plan(spec, nodes, next)
}

// Plan is the function of that name, with the replicas of each shard in as many zones as there are.
func (z Zones) Plan(spec kv.CreateKeyspace, nodes []core.NodeID, next Next) (*Descriptor, Next, error) {
	if err := checkSpec(&spec, len(nodes)); err != nil {
		return nil, next, err
	}
	d := &Descriptor{Format: descriptorFormat, Name: spec.Name, ID: next.Keyspace, Consistency: spec.Consistency,
		Terms: termsOf(&spec), Shards: make([]Shard, spec.Shards)}
	d.Format = d.format()
	nodes = z.interleave(nodes)
	for i := range d.Shards {
		// Beginning with the group's number spreads keyspaces of one shard, too. Ranges begin with the first node, so that
		// one can tell from a key where it lies: on the node of its range and on those behind it.
		first := int(next.Group % core.GroupID(len(nodes)))
		if d.Terms.Partitioner != "" {
			first = i % len(nodes)
		}
		d.Shards[i] = z.place(next.Group, nodes, first, spec.Replicas)
		next.Group++
	}
	next.Keyspace++
	return d, next, nil
}

func (z Zones) place(group core.GroupID, nodes []core.NodeID, first, replicas int) Shard {
	s := Shard{Group: group, Preferred: 1}
	left := slices.Concat(nodes[first:], nodes[:first])
	for i := range replicas {
		at := 0
		for j, n := range left {
			if z.crowd(&s, n, 0) < z.crowd(&s, left[at], 0) {
				at = j
			}
		}
		s.Replicas = append(s.Replicas, Member{core.ReplicaID(i + 1), left[at]})
		left = slices.Delete(left, at, at+1)
	}
	return s
}

// System is the catalog's own descriptor: a voter on every node.
func System(nodes []core.NodeID) *Descriptor {
	return &Descriptor{Format: descriptorFormat, Name: SystemName, Consistency: kv.Linearizable,
		Shards: []Shard{Zones(nil).place(SystemGroup, nodes, 0, len(nodes))}}
}
