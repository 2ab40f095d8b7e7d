package node

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
)

// peerSet are the other nodes of the cluster. It is immutable; the loop publishes a new one when nodes come or go.
type peerSet struct {
	byID    map[core.NodeID]*peer
	ordered []*peer
}

// peer is the other node of that id; nil if there is none.
func (n *Node) peer(id core.NodeID) *peer { return n.peers.Load().byID[id] }

// everyPeer are the other nodes, by id.
func (n *Node) everyPeer() []*peer { return n.peers.Load().ordered }

// followNodes makes the peers those that the cluster has: the nodes of the catalog, and the list that this node was started
// with as long as the catalog does not know better.
func (n *Node) followNodes(c *keyspace.Catalog) {
	addresses := map[core.NodeID]string{}
	for id, address := range n.config.Cluster {
		addresses[id] = address
	}
	for id, node := range c.Nodes {
		if address := node.Addresses["peer"]; address != "" {
			addresses[id] = address
		}
		if node.State == keyspace.NodeRemoved {
			delete(addresses, id)
		}
	}
	delete(addresses, n.config.Node)
	old := n.peers.Load()
	next := &peerSet{byID: map[core.NodeID]*peer{}}
	for id, address := range addresses {
		p := old.byID[id]
		if p == nil {
			p = &peer{id: id, wake: make(chan struct{}, 1)}
			n.meet(p)
		}
		p.setAddress(address)
		next.byID[id] = p
	}
	next.ordered = slices.SortedFunc(maps.Values(next.byID), func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
	n.peers.Store(next)
	for id, p := range old.byID {
		if next.byID[id] == nil {
			p.leave()
			p.hangUp()
		}
	}
}

// nodes are the nodes of the cluster, in order, those that leave included.
func (n *Node) nodes() []core.NodeID {
	ids := []core.NodeID{n.config.Node}
	for _, p := range n.everyPeer() {
		ids = append(ids, p.id)
	}
	slices.Sort(ids)
	return ids
}

// placeable are the nodes that new replicas may be given to, in order.
func (n *Node) placeable() []core.NodeID {
	c := n.table.Load().catalog
	return slices.DeleteFunc(n.nodes(), func(id core.NodeID) bool { return !c.Nodes[id].Open() })
}

// meet begins to speak with a peer, until it leaves the cluster or the node closes.
func (n *Node) meet(p *peer) {
	ctx, leave := context.WithCancel(n.ctx)
	p.leave = leave
	n.workers.Add(1)
	go func() {
		defer n.workers.Done()
		n.speak(ctx, p)
	}()
}

// setAddress says where the peer is now.
func (p *peer) setAddress(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addr = address
}

func (p *peer) address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}
