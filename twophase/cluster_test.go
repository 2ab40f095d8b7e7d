package twophase

import (
	"bytes"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
)

type (
	member = coretest.Member[*Replica]
	packet = coretest.Packet
)

// cluster steps replicas by hand, and the catalog does nothing unless the caller says so.
type cluster struct {
	*coretest.Cluster[*Replica]
	catalog Config // its word
}

const (
	millisecond = coretest.Millisecond
	forever     = core.Time(1 << 62)
)

func newCluster(n, joiners int, config Config, options Options) *cluster {
	config.Epoch, config.Coordinator = 1, 1
	for i := range n + joiners {
		list := &config.Members
		if i >= n {
			list = &config.Joiners
		}
		*list = append(*list, core.ReplicaID(i+1))
	}
	c := &cluster{catalog: config, Cluster: coretest.New(coretest.Protocol[*Replica]{
		New:     func(id core.ReplicaID) *Replica { return New(id, options) },
		Config:  config.AppendTo(nil),
		Decode:  DecodeMessage,
		Message: describeMessage,
	})}
	for i := range n + joiners {
		m := c.Add()
		m.Told = c.Config
		if i < n {
			m.Lease = forever
		}
		c.Start(m)
	}
	return c
}

// add makes one more replica, as a node does that is given one.
func (c *cluster) add() *member {
	m := c.Add()
	m.Told = c.Config
	c.Start(m)
	c.tell(m)
	return m
}

// Restart starts a replica on what its disk holds, and tells it the catalog's word as it is now. Its node renews its lease later.
func (c *cluster) Restart(m *member) {
	if len(m.Durable) == 0 && len(m.State.Pairs) == 0 && !m.Damaged {
		c.Start(m)
	} else {
		c.Cluster.Restart(m)
	}
	c.tell(m)
}

// tell gives a replica the catalog's word.
func (c *cluster) tell(m *member) {
	if m.Replica == nil {
		return
	}
	m.Told = c.catalog.AppendTo(nil)
	if !c.catalog.has(m.ID) {
		m.Lease = 0
	}
	c.Step(m, core.Configured{Config: m.Told})
}

// grant lets the catalog take a replica's wish for its word: if it went by what stands there, and nobody is left out who may count
// itself a member.
func (c *cluster) grant(m *member) string {
	w := m.Wish
	m.Wish = nil
	if w == nil {
		return "no wish"
	}
	wanted, err := DecodeConfig(w.Wanted)
	if err != nil {
		panic(err)
	}
	if !bytes.Equal(w.Told, c.catalog.AppendTo(nil)) {
		return "void: the catalog says something else by now"
	}
	for _, id := range c.catalog.Members {
		if !wanted.has(id) && c.Member(id).Lease > c.Now {
			m.Wish = w
			return fmt.Sprintf("refused: %d counts itself a member", id)
		}
	}
	if wanted.Epoch != c.catalog.Epoch+1 {
		return "void: not the next epoch"
	}
	c.catalog = wanted
	return wanted.String()
}
