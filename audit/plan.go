package audit

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/kv"
)

// Asked is a node, and what it answered when it was asked for its status.
type Asked struct {
	Node   uint32
	Reader Reader // nil if it did not answer; Why says why
	Why    string
	Status kv.Status
}

// Task is a group to audit.
type Task struct {
	Group
	Replicas []Replica
}

// Plan lists the groups of the keyspaces that keep accepts, with all the replicas that there should be: those of the
// catalog and those that nodes say they run. A replica on a node that did not answer is part of its task, unasked.
func Plan(keyspaces []kv.KeyspaceInfo, nodes []Asked, keep func(keyspace string) bool) []Task {
	groups := map[uint64]Group{}
	members := map[uint64]map[uint32]bool{}
	add := func(g Group, node uint32) {
		if !keep(g.Keyspace) {
			return
		}
		groups[g.Group] = g
		if members[g.Group] == nil {
			members[g.Group] = map[uint32]bool{}
		}
		members[g.Group][node] = true
	}
	for _, ks := range keyspaces {
		for _, g := range ks.Groups {
			for _, node := range g.Replicas {
				add(Group{g.Group, ks.Name, g.Shard, ks.Consistency, ks.Store, ks.Evictable}, node)
			}
		}
	}
	type place struct {
		node  uint32
		group uint64
	}
	seen := map[place]kv.GroupStatus{}
	byNode := map[uint32]Asked{}
	for _, n := range nodes {
		byNode[n.Node] = n
		for _, g := range n.Status.Groups {
			known := groups[g.Group]
			add(Group{g.Group, g.Keyspace, g.Shard, known.Consistency, known.Store, known.Evictable}, n.Node)
			seen[place{n.Node, g.Group}] = g
		}
	}
	var tasks []Task
	for id, group := range groups {
		task := Task{Group: group}
		for _, node := range slices.Sorted(maps.Keys(members[id])) {
			st := seen[place{node, id}]
			replica := Replica{Node: node, Why: "the node is not known to those that answered", Commit: st.Commit, Leads: st.Leader == node}
			if asked, ok := byNode[node]; ok {
				replica.Reader, replica.Why = asked.Reader, asked.Why
			}
			task.Replicas = append(task.Replicas, replica)
		}
		tasks = append(tasks, task)
	}
	slices.SortFunc(tasks, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.Keyspace, b.Keyspace), cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Group.Group, b.Group.Group))
	})
	return tasks
}
