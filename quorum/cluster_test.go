package quorum

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
)

type (
	member = coretest.Member[*Replica]
	packet = coretest.Packet
)

// cluster steps replicas by hand.
type cluster struct {
	*coretest.Cluster[*Replica]
	first   Config
	catalog *Config // its newest word
}

const millisecond = coretest.Millisecond

func newCluster(n int, config Config, options Options) *cluster {
	for i := range n {
		config.Members = append(config.Members, core.ReplicaID(i+1))
	}
	c := &cluster{first: config, Cluster: coretest.New(coretest.Protocol[*Replica]{
		New:    func(id core.ReplicaID) *Replica { return New(id, options) },
		Config: config.AppendTo(nil),
		Decode: DecodeMessage,
		Answer: describeAnswer,
	})}
	for range n {
		c.Start(c.Add())
	}
	for _, m := range c.Members {
		for _, id := range config.Members {
			c.Step(m, core.PeerUp{Peer: id})
		}
	}
	return c
}

// join adds a replica that is no member yet, connected to all.
func (c *cluster) join(id core.ReplicaID) {
	m := c.Add()
	if m.ID != id {
		panic("replicas join in the order of their ids")
	}
	c.Start(m)
	c.connect(m)
}

// inherit lets a replica begin on the disk that another one has left.
func (c *cluster) inherit(id core.ReplicaID, left *member) {
	m := c.Add()
	if m.ID != id {
		panic("replicas join in the order of their ids")
	}
	m.State, m.Flushed, m.Durable = left.State.Clone(), left.Flushed.Clone(), slices.Clone(left.Durable)
	c.Cluster.Restart(m)
	c.connect(m)
}

// connect makes connections between a replica and all that are there.
func (c *cluster) connect(m *member) {
	for _, o := range c.Members {
		if o.Replica != nil {
			c.Step(o, core.PeerUp{Peer: m.ID})
			c.Step(m, core.PeerUp{Peer: o.ID})
		}
	}
}

// configure tells a member the word of the catalog.
func (c *cluster) configure(m *member, word Config) {
	word.Atomic, word.ClientStamps = c.first.Atomic, c.first.ClientStamps
	c.catalog = &word
	c.Step(m, core.Configured{Config: word.AppendTo(nil)})
}

// Crash also breaks the replica's connections.
func (c *cluster) Crash(m *member) {
	c.Cluster.Crash(m)
	for _, o := range c.Members {
		c.Step(o, core.PeerDown{Peer: m.ID})
	}
	c.Drop(func(p packet) bool { return p.To == m.ID })
}

// Restart also tells the replica the word of the catalog, and makes its connections.
func (c *cluster) Restart(m *member) {
	c.Cluster.Restart(m)
	if c.catalog != nil {
		c.Step(m, core.Configured{Config: c.catalog.AppendTo(nil)})
	}
	c.connect(m)
}

// runFor lets everybody tick again and again for a while, and settles each time.
func (c *cluster) runFor(d core.Time) {
	for end := c.Now + d; c.Now < end; {
		c.Now = min(end, c.Now+50*millisecond)
		for _, m := range c.Members {
			c.Step(m, core.Tick{})
		}
		c.Settle()
	}
}

func describeAnswer(id core.RequestID, r *kv.Result) string {
	s := fmt.Sprintf("request %d: %v", id, r.Code)
	if r.Code == kv.OK && r.Existed {
		s += fmt.Sprintf(" %q", r.Value)
	}
	if r.Version != 0 {
		s += " at " + Stamp{kv.HLC(r.Version), core.ReplicaID(r.Origin)}.String()
	}
	for i := range r.Items {
		s += fmt.Sprintf(" %s=%s", r.Items[i].Key, r.Items[i].Value)
	}
	if r.Code.Refused() || r.Code == kv.Unknown {
		s += ": " + r.Detail
	}
	return s
}
