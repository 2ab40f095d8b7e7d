package node

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
)

// Faults come between a node and its disk, its clocks and its peers, to hurt it on purpose. A node has none unless somebody
// asked for it: then each frame costs one comparison with nil. Its methods may be called from any goroutine.
type Faults interface {
	// FS and Clocks are asked once, at the start, for what the node is to use instead of its own.
	FS(disk vfs.FS) vfs.FS
	Clocks(mono func() core.Time, wall func() time.Time) (func() core.Time, func() time.Time)
	// Cut says that nothing passes between this node and a peer now: towards the peer, or from it.
	Cut(peer core.NodeID, towards bool) bool
	// Arrive lets go on what came from a peer, by calling deliver. What is ordered came over a connection, which may be slow
	// or silent, no more: deliver is called once, in the order of arrival, or never. The rest are protocol messages, which a
	// network may lose, double, or let overtake each other.
	Arrive(from core.NodeID, ordered bool, deliver func())
	// String lists what is hurt at the moment; it is empty if nothing is.
	String() string
}

var errCut = errors.New("the lab has cut the link")

// cut says that the lab lets nothing through.
func (n *Node) cut(peer core.NodeID, towards bool) bool {
	return n.config.Faults != nil && n.config.Faults.Cut(peer, towards)
}

// arrive hands the parcels of a frame to the loop, by the way that the lab leads them if there is one. false: the loop
// takes no more.
func (n *Node) arrive(f frameIn, size int) bool {
	if n.config.Faults == nil {
		return n.inbox.frame(f, size)
	}
	split := [2]frameIn{{from: f.from}, {from: f.from}}
	for _, p := range f.parcels {
		way := 0
		if p.kind == parcelMessage {
			way = 1
		}
		split[way].parcels = append(split[way].parcels, p)
	}
	for way, part := range split {
		if len(part.parcels) > 0 {
			n.config.Faults.Arrive(f.from, way == 0, func() {
				// The loop clears a list that it has read, and this part may come again.
				again := frameIn{from: part.from, parcels: append([]parcel(nil), part.parcels...)}
				n.inbox.frame(again, size)
			})
		}
	}
	return true
}
