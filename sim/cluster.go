package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/quorum"
	"github.com/gamutdb/gamut/twophase"
)

// Cluster is a world that its caller drives: no client and no fault but what is asked for, and time passes only in Advance
// and Until. It knows keyspaces as a node does, but has no catalog: a new keyspace is known everywhere at once. It
// is not safe for concurrent use.
//
// What happens is a function of ClusterOptions and of the calls. A broken invariant ends it: from then on Advance and
// Until return the failure.
type Cluster struct {
	w         *world
	options   ClusterOptions
	keyspaces map[string]*keyspace.Descriptor
	next      keyspace.Next
	// said makes what is said of the members of a keyspace, of those whose members change.
	said map[string]func() *word
	// open are operations without an answer.
	open []*asked
	// reached is when the latest operation will have reached each node: what clients send at once keeps its order, as on
	// one connection.
	reached map[core.NodeID]core.Time
}

// ClusterOptions say what a Cluster begins with.
type ClusterOptions struct {
	// Nodes have the ids from 1 on. 1 to NodesMax.
	Nodes int
	Seed  uint64
	// Absent nodes are not started.
	Absent []core.NodeID
	// Protocols are the settings of all keyspaces; the zero value means those of a node.
	Protocols keyspace.Options
	// Tie lets causal and eventual keyspaces stamp writes by counting them, and says whose write wins of two with one stamp.
	Tie Tie
	// Trace keeps the last TraceLines lines of the trace.
	Trace      bool
	TraceLines int
}

// NodesMax is the largest Cluster. Its causal and eventual keyspaces may have a replica on each node, others have at most
// keyspace.ReplicasMax.
const NodesMax = 10

// Tie is which replica wins when two writes have one stamp.
type Tie uint8

// Ties. Without one writes are stamped by clocks, and have no ties to speak of.
const (
	TieNone Tie = iota
	TieLow      // the one on the lower node
	TieHigh     // the one on the higher node
)

// leaseMillis is the lease of a node's defaults.
const leaseMillis = 500

// NewCluster starts a cluster without a keyspace.
func NewCluster(o ClusterOptions) (*Cluster, error) {
	if o.Nodes < 1 || o.Nodes > NodesMax {
		return nil, fmt.Errorf("a cluster of %d nodes; give 1 to %d", o.Nodes, NodesMax)
	}
	o.Protocols.Counting = o.Tie != TieNone
	if o.Protocols.LeaseMillis == 0 {
		o.Protocols.LeaseMillis = leaseMillis
	}
	c := &Cluster{options: o, keyspaces: map[string]*keyspace.Descriptor{}, next: keyspace.FirstNext(),
		reached: map[core.NodeID]core.Time{}, said: map[string]func() *word{}}
	c.w = bareWorld(Options{Seed: o.Seed, Nodes: o.Nodes, Faults: Calm(), Trace: o.Trace, TraceLines: max(o.TraceLines, 400)})
	c.w.crashed = c.crashed
	for _, n := range c.w.nodes {
		if !slices.Contains(o.Absent, n.id) {
			n.boot()
		}
	}
	c.w.faults.over = true
	c.w.faults.start()
	return c, nil
}

// Now is the virtual time since the cluster began.
func (c *Cluster) Now() core.Time { return c.w.now }

// Stats count what has happened so far.
func (c *Cluster) Stats() Stats { return c.w.stats }

// Trace is the end of the trace, if it is kept.
func (c *Cluster) Trace() []string { return c.w.trace.lines() }

// TraceHash sums up all that has happened.
func (c *Cluster) TraceHash() uint64 { return c.w.trace.sum() }

// Advance lets time pass.
func (c *Cluster) Advance(d core.Time) error {
	_, err := c.Until(d, nil)
	return err
}

// Until lets time pass until done says so, asked after each event, at most for limit, and reports whether it did.
func (c *Cluster) Until(limit core.Time, done func() bool) (met bool, err error) {
	end := c.w.now + limit
	if done != nil {
		if done() {
			return true, c.failed()
		}
		inner := done
		done = func() bool { met = inner(); return met }
	}
	func() {
		defer c.w.recover()
		c.w.runUntil(end, done)
	}()
	if !met && c.w.failure == "" {
		c.w.now = end
	}
	return met, c.failed()
}

func (c *Cluster) failed() error {
	if c.w.failure == "" {
		return nil
	}
	return errors.New(c.w.failure)
}

// CreateKeyspace makes a keyspace; its replicas run at once on all nodes that do.
func (c *Cluster) CreateKeyspace(spec kv.CreateKeyspace) (*keyspace.Descriptor, error) {
	if c.keyspaces[spec.Name] != nil {
		return nil, kv.Errorf(kv.Exists, "keyspace %q exists already", spec.Name)
	}
	var ids []core.NodeID
	for _, n := range c.w.nodes {
		ids = append(ids, n.id)
	}
	wanted := spec.Replicas
	if keyspace.Causal(spec.Consistency) {
		spec.Replicas = min(wanted, keyspace.ReplicasMax)
	}
	d, next, err := keyspace.Plan(spec, ids, c.next)
	if err != nil {
		return nil, err
	}
	if keyspace.Causal(spec.Consistency) {
		for i := range d.Shards {
			c.seat(&d.Shards[i], wanted)
		}
	}
	c.next, c.keyspaces[d.Name] = next, d
	protocol := protocolOf(d, c.options.Protocols)
	for i := range d.Shards {
		g := c.newGroup(d, i, protocol)
		if d.Terms.CommitOrder {
			c.accompany(g, d)
		}
		c.runGroup(g)
	}
	return d, nil
}

// accompany makes and runs the companion of a keyspace with a commit order.
func (c *Cluster) accompany(g *group, d *keyspace.Descriptor) {
	var companion *keyspace.Descriptor
	companion, c.next = d.PlanCompanion(c.next)
	g.companion = c.newGroup(companion, 0, protocolOf(companion, c.options.Protocols))
	g.companion.serves = g
	c.runGroup(g.companion)
}

// seat gives a shard whose replicas all take writes alone as many as are wanted, and orders them as ties want it: their ids
// decide who wins.
func (c *Cluster) seat(s *keyspace.Shard, wanted int) {
	for _, n := range c.w.nodes {
		if len(s.Replicas) < wanted && s.On(n.id) == 0 {
			s.Replicas = append(s.Replicas, keyspace.Member{Replica: core.ReplicaID(len(s.Replicas) + 1), Node: n.id})
		}
	}
	if c.options.Tie == TieNone {
		return
	}
	slices.SortFunc(s.Replicas, func(a, b keyspace.Member) int {
		if c.options.Tie == TieLow {
			a, b = b, a
		}
		return cmp.Compare(a.Node, b.Node)
	})
	for i := range s.Replicas {
		s.Replicas[i].Replica = core.ReplicaID(i + 1)
	}
}

// Keyspace finds a keyspace by its name; nil if there is none.
func (c *Cluster) Keyspace(name string) *keyspace.Descriptor { return c.keyspaces[name] }

func (c *Cluster) newGroup(d *keyspace.Descriptor, shard int, p *Protocol) *group {
	s := &d.Shards[shard]
	g := &group{id: s.Group, protocol: p, nodes: s.Nodes(), config: d.FirstConfig(clusterID, shard, c.options.Protocols)}
	for _, n := range c.w.nodes {
		g.members = append(g.members, s.On(n.id))
	}
	for _, m := range s.Replicas {
		g.homes = append(g.homes, m.Node)
	}
	if keyspace.Causal(d.Consistency) {
		c.followMembers(g, d.Name)
	}
	return g
}

// runGroup starts the replicas of a new group.
func (c *Cluster) runGroup(g *group) {
	c.w.addGroup(g)
	for _, n := range c.w.nodes {
		if self, _, _ := g.seat(n); n.up && self != 0 {
			n.run(n.now(), g, n.nothing())
			c.w.catalog.begin(n, g)
			n.arrive(func(host.Now) {})
		}
	}
}

// asked is an operation on its way.
type asked struct {
	node *node
	life int // of the node when it was reached; 0: not yet
	done func(kv.Result)
}

// Submit gives a command for one shard of a keyspace to a node, as one of its clients would. done is called once, while
// time passes: at the latest a little after the timeout.
func (c *Cluster) Submit(to core.NodeID, d *keyspace.Descriptor, shard int, command *kv.Command, timeout core.Time, done func(kv.Result)) {
	w, n := c.w, c.node(to)
	a := &asked{node: n, done: done}
	c.open = append(c.open, a)
	encoded, read := kv.AppendCommand(nil, command), command.ReadOnly()
	arrival := max(w.now+c.travel(), c.reached[to]+1)
	c.reached[to] = arrival
	w.after(arrival-w.now, func() {
		if bad := c.refusal(n, d, shard, command); bad.Code != kv.OK {
			c.answer(a, bad)
			return
		}
		a.life = n.life
		answered := func(r kv.Result) { w.after(c.travel(), func() { c.answer(a, r) }) }
		w.after(timeout+answerSlack, func() {
			c.answer(a, kv.Result{Code: kv.Unknown, Detail: "no answer; it may have been executed, or may be yet"})
		})
		g := w.byID[d.Shards[shard].Group]
		if read {
			n.read(g, encoded, timeout, answered)
		} else {
			n.submit(g, encoded, false, !command.Session.IsZero(), timeout, answered)
		}
	})
}

// refusal is what a node says before it gives a command to its host; OK: nothing.
func (c *Cluster) refusal(n *node, d *keyspace.Descriptor, shard int, command *kv.Command) kv.Result {
	switch {
	case !n.up:
		return kv.Result{Code: kv.Unavailable, Detail: fmt.Sprintf("node %d does not run: connection refused", n.id)}
	case shard < 0 || shard >= len(d.Shards):
		return kv.Result{Code: kv.Invalid, Detail: "there is no such shard in the keyspace"}
	case n.full && !command.ReadOnly():
		return kv.Result{Code: kv.DiskFull, Detail: fmt.Sprintf("the disk of node %d is full; make room, or write through another node", n.id)}
	}
	err := keyspace.Offers(d.Keyspace(), command)
	if err == nil {
		err = command.Validate()
	}
	if err != nil {
		return kv.Failed(err)
	}
	return kv.Result{}
}

func (c *Cluster) travel() core.Time { return core.Time(20e3 + c.w.rng.Int64N(200e3)) }

// answer ends an operation unless it has ended.
func (c *Cluster) answer(a *asked, r kv.Result) {
	if i := slices.Index(c.open, a); i >= 0 {
		c.open = slices.Delete(c.open, i, i+1)
		c.w.trace.mix('A', uint64(a.node.id), uint64(r.Code), r.Value)
		a.done(r)
	}
}

// crashed breaks the connections of a dead node's clients: what it was asked may have been executed.
func (c *Cluster) crashed(n *node) {
	for _, a := range slices.Clone(c.open) {
		if a.node == n && a.life == n.life {
			c.w.after(c.travel(), func() {
				c.answer(a, kv.Result{Code: kv.Unknown, Detail: fmt.Sprintf("node %d broke the connection; it may have been executed", n.id)})
			})
		}
	}
}

func (c *Cluster) node(id core.NodeID) *node { return c.w.nodes[id-1] }

// protocolOf is the switch from a promise to what the world has to know of its protocol.
func protocolOf(d *keyspace.Descriptor, o keyspace.Options) *Protocol {
	p := Protocol{Name: string(d.Consistency)}
	switch d.Consistency {
	case kv.Linearizable:
		p = Paxos(paxos.Options{}, 0)
	case kv.Atomic:
		p = Twophase(twophase.Options{}, d.Terms.MinMembers)
	case kv.Quorum:
		p = Quorum(quorum.Options{}, d.Terms.Atomic)
	case kv.Causal, kv.Eventual:
		p.Digest, p.Sessionless = bayou.Digest, true
	case kv.Sequential:
		p = Sequential(paxos.Options{}, 0)
	}
	p.Config = nil // descriptors have their own
	p.New = func(self core.ReplicaID) core.Replica { return keyspace.NewReplica(d, self, o) }
	p.Decode = func(b []byte) (core.Message, error) { return keyspace.DecodeMessage(d.Consistency, b) }
	ks := d.Keyspace()
	p.Here = func(r core.Replica, view core.View, command *kv.Command, now host.Now) (kv.Result, bool) {
		result, ok, _ := keyspace.Read(ks, view, command, permitOf(r, now))
		return result, ok
	}
	return &p
}

// permitOf is what a replica lets known of its state, as package node publishes it.
func permitOf(r core.Replica, now host.Now) (p keyspace.Permit) {
	p.Now = kv.HLCOf(now.Wall)
	if leased, ok := r.(core.Leased); ok {
		p.Lease = leased.ReadUntil() > now.Mono
	}
	if locking, ok := r.(core.Locking); ok {
		p.Unlocked = !locking.Locked()
	}
	if timed, ok := r.(core.Timed); ok {
		p.Safe = timed.SafeTime()
	}
	if fresh, ok := r.(core.Fresh); ok {
		p.Fresh, p.Mono = fresh.Freshness(), now.Mono
	}
	return p
}
