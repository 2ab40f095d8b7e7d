package remote

import (
	"context"
	"sync"

	"github.com/gamutdb/gamut/kv"
)

// Member is a node of the cluster, asked for its own view.
type Member struct {
	ID      uint32
	Address string
	*Node
	Status kv.Status
	// Err says why the node could not be asked; its Status is empty then.
	Err error
}

// Members asks the first node that answers who there is, then all of them at once.
func (c *Cluster) Members(ctx context.Context) ([]Member, error) {
	st, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	members := make([]Member, len(st.Nodes))
	var all sync.WaitGroup
	for i, n := range st.Nodes {
		m := &members[i]
		m.ID, m.Address = n.Node, n.Addresses["http"]
		if m.Address == "" {
			m.Err = kv.Errorf(kv.Unavailable, "its HTTP address is not known: it has not been up since the cluster began")
			continue
		}
		m.Node = c.Node(m.Address)
		all.Go(func() { m.Status, m.Err = m.Node.Status(ctx) })
	}
	all.Wait()
	return members, nil
}
