package node

import (
	"context"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// LocalPage reads this node's replica of a group as it is now, whatever the others hold: pairs from a key on, and where to
// go on.
func (n *Node) LocalPage(ctx context.Context, group uint64, from []byte, limit int) (out kv.StatePage, err error) {
	if err := ctx.Err(); err != nil {
		return out, err
	}
	s, err := n.hosted(group)
	if err != nil {
		return out, err
	}
	err = guarded(func() {
		now := n.disk.Group(s.group).Snapshot()
		defer now.Close()
		out = page(now, from, limit)
	})
	return out, err
}

// Understands says whether bytes would be taken for a message of a peer by any replica here. No replica is told: it would
// believe a peer, and peers do not lie.
func (n *Node) Understands(message []byte) bool {
	if len(message) > frameMax {
		return false
	}
	for _, s := range n.table.Load().ordered {
		if _, err := keyspace.DecodeMessage(s.descriptor.Consistency, message); err == nil {
			return true
		}
	}
	// Nor is it one of the other things that nodes say to each other.
	parcels, err := readParcels(nil, message, func(core.GroupID, []byte) (core.Message, error) { return nil, nil })
	return err == nil && len(parcels) > 0
}
