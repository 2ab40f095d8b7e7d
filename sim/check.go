package sim

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// checks hold what must be true at every instant, whatever goes wrong. They see all replicas at once, as no node can.
type checks struct {
	w *world
	// leaders are who led under each ballot.
	leaders map[leadership]core.ReplicaID
	// blocks are the hashes of applied blocks; digests are the states at applied positions.
	blocks  map[place][32]byte
	digests map[place]uint64
	// taken and durable are what each replica had promised when the batch under way was taken, and what a crash must leave it.
	promisedTaken, promisedDurable map[seat]Ballot
	// entries are what the records on each replica's disk hold, the latest of each index.
	entries map[seat]map[uint64][32]byte
	// commits are the highest commit index seen of each living replica.
	commits map[seat]commitSeen
	// ackedAt is the highest log position acknowledged to a client of each group.
	ackedAt map[core.GroupID]acknowledged
	// times are those of blocks that were applied, safe the latest time up to which a replica at a position claimed to hold all.
	times, safe map[place]kv.HLC
	// known are the writes that clients were told of, of groups whose replicas tell an age; aged says which of them were looked for.
	known map[core.GroupID][]known
	aged  map[seat]agedTo
}

type leadership struct {
	group  core.GroupID
	ballot Ballot
}

type place struct {
	group core.GroupID
	index uint64
}

type seat struct {
	node  core.NodeID
	group core.GroupID
}

type commitSeen struct {
	life  int
	index uint64
}

type acknowledged struct {
	version uint64
	op      referee.Op
}

func newChecks(w *world) *checks {
	return &checks{w: w, leaders: map[leadership]core.ReplicaID{}, blocks: map[place][32]byte{}, digests: map[place]uint64{},
		promisedTaken: map[seat]Ballot{}, promisedDurable: map[seat]Ballot{}, entries: map[seat]map[uint64][32]byte{},
		commits: map[seat]commitSeen{},
		ackedAt: map[core.GroupID]acknowledged{}, times: map[place]kv.HLC{}, safe: map[place]kv.HLC{},
		known: map[core.GroupID][]known{}, aged: map[seat]agedTo{}}
}

// unwrapper is a replica around another one.
type unwrapper interface{ Unwrap() core.Replica }

func (c *checks) look(n *node, g *group) Inside { return g.protocol.Look(c.unwrap(n, g)) }

// unwrap is the replica itself.
func (c *checks) unwrap(n *node, g *group) core.Replica {
	r := n.host.Replica(g.id)
	for {
		u, ok := r.(unwrapper)
		if !ok {
			return r
		}
		r = u.Unwrap()
	}
}

// applied: equal positions have equal states.
func (c *checks) applied(g core.GroupID, n *node, index, digest uint64) {
	if index == 0 || c.w.byID[g].protocol.Digest != nil {
		return
	}
	p := place{g, index}
	if other, ok := c.digests[p]; ok && other != digest {
		c.w.fail(Divergence, "states diverge: group %d at applied %d has digest %x on node %d, %x elsewhere or before", g, index, digest, n.id, other)
	}
	c.digests[p] = digest
}

// opened notes what a disk holds. Nothing durable was forgotten, unless the disk knows that it may have lost it: a replica
// that is told so must not vote, which the other checks will see.
func (c *checks) opened(n *node, g *group, records []core.Record, suspect bool) {
	s := seat{n.id, g.id}
	if suspect {
		delete(c.promisedDurable, s)
		c.lost(n, g)
	}
	c.entries[s] = map[uint64][32]byte{}
	for i := range records {
		c.onDisk(g, s, &records[i])
	}
}

func (c *checks) onDisk(g *group, s seat, r *core.Record) {
	if g.protocol.Entry == nil {
		return
	}
	if index, hash, ok := g.protocol.Entry(*r); ok {
		c.entries[s][index] = hash
	}
}

// recovered: no durable promise was taken back.
func (c *checks) recovered(n *node, g *group) {
	if g.protocol.Look == nil {
		return
	}
	in := c.look(n, g)
	if was := c.promisedDurable[seat{n.id, g.id}]; in.Promised.Less(was) {
		c.w.fail(Durability, "node %d group %d had durably promised %v, and %v after its restart", n.id, g.id, was, in.Promised)
	}
	c.inside(n, g, in)
}

// taken notes what the batch on its way to the disk must make durable.
func (c *checks) taken(n *node) {
	for _, g := range c.w.groups {
		s := seat{n.id, g.id}
		if c.promisedTaken[s] = c.promisedDurable[s]; g.looked(n) { // one that does not run yet promises nothing new
			c.promisedTaken[s] = c.look(n, g).Promised
		}
	}
}

func (c *checks) synced(n *node) {
	for _, g := range c.w.groups {
		s := seat{n.id, g.id}
		c.promisedDurable[s] = c.promisedTaken[s]
	}
	for i := range n.batch.Items {
		it := &n.batch.Items[i]
		c.onDisk(c.w.byID[it.Group], seat{n.id, it.Group}, &it.Record)
	}
}

// passed looks at everything after a node's turn.
func (c *checks) passed(n *node) {
	for _, g := range c.w.groups {
		if g.looked(n) {
			c.inside(n, g, c.look(n, g))
		}
		c.permit(n, g)
		c.age(n, g)
	}
}

// looked says whether a node has a replica of the group whose inside can be seen.
func (g *group) looked(n *node) bool { return g.protocol.Look != nil && n.host.Has(g.id) }

// ended forgets what a replica had promised that is none any more.
func (c *checks) ended(n *node, g *group) {
	s := seat{n.id, g.id}
	delete(c.promisedTaken, s)
	delete(c.promisedDurable, s)
	delete(c.commits, s)
	delete(c.aged, s)
}

func (c *checks) inside(n *node, gr *group, in Inside) {
	w, g := c.w, gr.id
	if in.Leads {
		key := leadership{g, in.Ballot}
		self := n.self(gr)
		other, ok := c.leaders[key]
		if ok && other != self {
			w.fail(Invariant, "replicas %d and %d of group %d led under ballot %v", other, self, g, in.Ballot)
		}
		if !ok {
			w.event("leader", fmt.Sprintf("of group %d, ballot %d.%d", g, in.Ballot.Round, in.Ballot.Replica), n)
			w.faults.led(n)
		}
		c.leaders[key] = self
		if in.Voters != nil && !slices.Equal(in.Voters, gr.voters) {
			if gr.voters != nil {
				w.stats.Changes++
			}
			gr.voters = in.Voters
		}
	}
	if in.Applied > 0 && in.Hash != [32]byte{} {
		p := place{g, in.Applied}
		if other, ok := c.blocks[p]; ok && other != in.Hash {
			w.fail(Divergence, "logs diverge: group %d applied block %x at %d on node %d, %x elsewhere", g, in.Hash[:6], in.Applied, n.id, other[:6])
		}
		c.blocks[p] = in.Hash
	}
	s := seat{n.id, g}
	if on, ok := c.entries[s][in.Durable]; in.DurableHash != [32]byte{} && gr.protocol.Entry != nil && (!ok || on != in.DurableHash) {
		w.fail(Invariant, "node %d group %d counts block %x at %d as durable, its disk holds %x", n.id, g, in.DurableHash[:6], in.Durable, on[:6])
	}
	if was := c.commits[s]; was.life == n.life && in.Commit < was.index {
		w.fail(Invariant, "node %d group %d took its commit back from %d to %d", n.id, g, was.index, in.Commit)
	}
	if in.Applied > in.Commit {
		w.fail(Invariant, "node %d group %d applied %d beyond its commit %d", n.id, g, in.Applied, in.Commit)
	}
	c.commits[s] = commitSeen{n.life, in.Commit}
	if gr.split != nil && in.Applied > 0 && in.Time < gr.split.at {
		w.fail(Invariant, "node %d group %d stands at time %d, and its keys were its parent's until %d", n.id, g, in.Time, gr.split.at)
	}
	for i := range gr.absorbed {
		gr.absorbed[i].check(w, n, gr, &in)
	}
	c.time(n, g, in)
}

// timeSpan is how many positions next to one are looked at for its time.
const timeSpan = 8

// time: no block comes behind a replica's position with a time up to which the replica believed to hold everything.
func (c *checks) time(n *node, g core.GroupID, in Inside) {
	if in.Safe == 0 {
		return
	}
	here := place{g, in.Applied}
	c.times[here], c.safe[here] = in.Time, max(c.safe[here], in.Safe)
	for d := uint64(1); d <= timeSpan; d++ {
		if t, ok := c.times[place{g, in.Applied + d}]; ok && t <= in.Safe {
			c.w.fail(Invariant, "node %d group %d believes at %d to hold all up to %d, but block %d has time %d", n.id, g, in.Applied, in.Safe, in.Applied+d, t)
		}
		if s := c.safe[place{g, in.Applied - min(d, in.Applied)}]; d <= in.Applied && in.Time <= s {
			c.w.fail(Invariant, "block %d of group %d has time %d, but a replica at %d believed to hold all up to %d", in.Applied, g, in.Time, in.Applied-d, s)
		}
	}
}

// permits reports whether a node's replica may be read without a step at this instant.
func (c *checks) permits(n *node, g *group) bool {
	if !n.up {
		return false
	}
	leased, ok := n.host.Replica(g.id).(core.Leased)
	return ok && leased.ReadUntil() > n.now().Mono
}

// permit: who may be read without a step has applied all that was acknowledged.
func (c *checks) permit(n *node, g *group) {
	a := c.ackedAt[g.id]
	if a.version == 0 || g.protocol.Digest != nil || !c.permits(n, g) {
		return
	}
	if applied := n.disk.Group(g.id).Applied(); applied < a.version {
		c.w.fail(Linearizability, "node %d holds a read permit for group %d with applied %d, but position %d was acknowledged: %s", n.id, g.id,
			applied, a.version, a.op)
	}
}

// acked: from this instant every valid permit must cover the write.
func (c *checks) acked(g *group, version uint64, op *referee.Op) {
	if position := g.protocol.Position; position != nil {
		version = position(version)
	}
	if version <= c.ackedAt[g.id].version {
		return
	}
	c.ackedAt[g.id] = acknowledged{version, *op}
	for _, n := range c.w.nodes {
		c.permit(n, g)
	}
}

// noted takes the fact that a replica told something into the trace's hash; what it told only the trace itself formats.
func (c *checks) noted(n *node, g core.GroupID, note core.Note) {
	if d, ok := note.(core.DamageNote); ok {
		c.w.fail(Invariant, "node %d: %s; no disk here alters what it holds", n.id, d.Text)
	}
	c.w.trace.mix('N', uint64(n.id), uint64(g), nil)
}
