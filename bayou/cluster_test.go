package bayou

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
	founders []core.ReplicaID
	asked    map[core.RequestID]string // the session of a request
	sessions map[string][]byte
	// contexts are the tokens of reads by name, contextOf the names of requests under way.
	contexts  map[string][]byte
	contextOf map[core.RequestID]string
	// companion decides the cuts, in a group with a commit order.
	companion *companion
	ordered   bool
}

func newCluster(n int, options Options) *cluster { return newClusterOf(n, Config{}, options) }

func newClusterOf(n int, config Config, options Options) *cluster {
	config.Binding = 77
	for i := range n {
		config.Members = append(config.Members, core.ReplicaID(i+1))
	}
	c := &cluster{founders: config.Members, asked: map[core.RequestID]string{}, sessions: map[string][]byte{},
		contexts: map[string][]byte{}, contextOf: map[core.RequestID]string{}, companion: newCompanion(), ordered: config.Ordered}
	c.Cluster = coretest.New(coretest.Protocol[*Replica]{
		New:     func(id core.ReplicaID) *Replica { return New(id, options) },
		Config:  config.AppendTo(nil),
		Decode:  DecodeMessage,
		Message: func(m core.Message) string { return fmt.Sprint(m) },
		Answer:  func(id core.RequestID, r *kv.Result) string { return c.asked[id] + ": " + c.outcome(r) },
	})
	c.OnAnswer = func(id core.RequestID, r kv.Result) {
		session := c.asked[id]
		if name := c.contextOf[id]; name != "" {
			c.contexts[name] = r.Token
		}
		c.sessions[session] = MergeTokens(c.sessions[session], r.Token)
	}
	for range n {
		c.Add()
	}
	for _, m := range c.Members {
		c.Start(m)
		c.Sync(m)
	}
	c.connect()
	return c
}

// outcome is coretest.Outcome, and the values of a set or of siblings.
func outcome(r *kv.Result) string {
	text := coretest.Outcome(r)
	for i := range r.Items {
		text += fmt.Sprintf(" %q", r.Items[i].Value)
	}
	return text
}

// tell lets replicas know what the catalog says now; those that it names for the first time are started.
func (c *cluster) tell(word *Config, to []core.ReplicaID) {
	for _, id := range word.Members {
		if int(id) > len(c.Members) {
			m := c.Add()
			c.Start(m)
			c.meet(m)
		}
	}
	for _, m := range c.Members {
		if m.Replica != nil && slices.Contains(to, m.ID) {
			m.Told = word.AppendTo(nil)
			c.Step(m, core.Configured{Config: m.Told})
		}
	}
}

// meet tells a replica of everyone that is there, and them of it.
func (c *cluster) meet(m *member) {
	for _, o := range c.Members {
		if o != m && o.Replica != nil && c.Linked(m.ID, o.ID) {
			c.Step(m, core.PeerUp{Peer: o.ID})
			c.Step(o, core.PeerUp{Peer: m.ID})
		}
	}
}

// connect tells everyone of everyone that is there, and forgets what they say to it.
func (c *cluster) connect() {
	for _, m := range c.Members {
		for _, o := range c.Members {
			if m != o && o.Replica != nil && c.Linked(m.ID, o.ID) {
				c.Step(m, core.PeerUp{Peer: o.ID})
			}
		}
	}
	c.Network = nil
}

// part cuts replicas off, which they and the others notice.
func (c *cluster) part(m *member) {
	c.Cut(m.ID)
	for _, o := range c.Members {
		if o != m {
			c.Step(o, core.PeerDown{Peer: m.ID})
			c.Step(m, core.PeerDown{Peer: o.ID})
		}
	}
	c.Drop(func(p packet) bool { return p.Of(m.ID) })
}

// Crash also breaks the replica's connections. What it was told of the catalog its node tells it again.
func (c *cluster) Crash(m *member) {
	told := m.Told
	c.Cluster.Crash(m)
	m.Told = told
	c.Drop(func(p packet) bool { return p.To == m.ID })
	for _, o := range c.Members {
		if o != m {
			c.Step(o, core.PeerDown{Peer: m.ID})
		}
	}
}

// Restart also tells the replica the catalog's word, and makes its connections. Its node syncs what it begins with.
func (c *cluster) Restart(m *member) {
	c.Cluster.Restart(m)
	m.Damaged = false
	if m.Told != nil {
		c.Step(m, core.Configured{Config: m.Told})
	}
	c.Sync(m)
	c.meet(m)
}

// askIn hands a session's command to a replica.
func (c *cluster) askIn(m *member, session string, command kv.Command) {
	command.Token = c.sessions[session]
	q := c.Request(&command)
	q.Deadline = c.Now + 1000*millisecond
	c.asked[q.ID] = session
	c.Submit(m, q)
}

func firstPosOf(m *member) uint64 { return New(m.ID, Options{}).firstPos() }
