package node

import (
	"bytes"

	"github.com/gamutdb/gamut/kv"
)

// routes are where one transaction sends its parts: where the table says, but for the keys of which a group has said that it gave them
// away. These are the child's whose split the table has under way. The child serves then, whether or not the catalog can say that it is a
// shard like others: nobody needs to wait for a catalog without a majority.
type routes struct {
	node  *Node
	moved map[uint64]bool
}

// given takes note that a group has given keys away.
func (r *routes) given(group uint64) {
	if r.moved == nil {
		r.moved = map[uint64]bool{}
	}
	r.moved[group] = true
}

// groupOf is the group of a key; 0: its keyspace was dropped.
func (r *routes) groupOf(ks *kv.Keyspace, key []byte) uint64 {
	s := r.node.table.Load().byID[ks.ID]
	if s == nil {
		return 0
	}
	sh := s.shards[s.keyspace.ShardOf(key)]
	if child := s.children[sh.group]; child != nil && r.moved[uint64(sh.group)] && bytes.Compare(key, sh.described().Split.Key) >= 0 {
		return uint64(child.group)
	}
	return uint64(sh.group)
}

// oneShard reports whether all keys of a transaction lie in one shard.
func (r *routes) oneShard(t *kv.Txn) (bool, error) {
	first, several := uint64(0), false
	var err error
	see := func(ks *kv.Keyspace, key []byte) {
		g := r.groupOf(ks, key)
		if g == 0 && err == nil {
			err = kv.Errorf(kv.NoKeyspace, "keyspace %s was dropped", ks.Name)
		}
		several = several || first != 0 && g != first
		first = g
	}
	for i := range t.Conds {
		see(t.Conds[i].Keyspace, t.Conds[i].Key)
	}
	for _, branch := range [][]kv.TxnOp{t.Then, t.Else} {
		for i := range branch {
			see(branch[i].Keyspace, branch[i].Key)
			if len(branch[i].Key2) > 0 {
				see(branch[i].Keyspace, branch[i].Key2)
			}
		}
	}
	return !several && first != 0, err
}

// routesBehind are those of what a call's group has parted: it has given some of its keys away.
func (n *Node) routesBehind(c *kv.Call) *routes {
	r := &routes{node: n}
	if sh, _ := n.table.Load().find(c); sh != nil {
		r.given(uint64(sh.group))
	}
	return r
}
