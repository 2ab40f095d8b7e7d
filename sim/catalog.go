package sim

import (
	"bytes"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/twophase"
)

// catalogRetry is how often a node looks for what its copy of the catalog lacks.
const catalogRetry = 50 * Millisecond

// leaseLength is how long a renewal is good after it was sent, by the clock of the node that sent it, less what clocks may run
// apart; the catalog holds it good as long by a clock that may be as wrong.
const leaseLength = 3 * Second

// catalog stands for the cluster's catalog, as far as groups are concerned whose members it decides: one linearizable copy that a
// node reaches while it is connected with a majority of nodes, and of which each node has a copy that may be behind.
type catalog struct {
	w     *world
	views map[core.GroupID]*view
	order []*view
	// serves is the life in which each node follows the catalog and renews its lease.
	serves []int
}

// view is what the catalog says of a group.
type view struct {
	g *group
	// words are all configurations so far, the last one is in force.
	words [][]byte
	// leases say until when a member may count itself among the group, as the catalog must assume.
	leases map[core.ReplicaID]core.Time
	// leaving are members whose leases are not renewed any more, since pending leaves them out.
	leaving []core.ReplicaID
	pending *host.Wish
	// told is which word each node was last told, in this life; known what its copy of the catalog holds.
	told, known []int
}

func newCatalog(w *world) *catalog {
	return &catalog{w: w, views: map[core.GroupID]*view{}, serves: make([]int, w.options.Nodes)}
}

// add begins with the configuration that a group was made with.
func (c *catalog) add(g *group) {
	if !g.protocol.Views {
		return
	}
	v := &view{g: g, words: [][]byte{g.config}, leases: map[core.ReplicaID]core.Time{}, told: make([]int, len(c.w.nodes)),
		known: make([]int, len(c.w.nodes))}
	c.views[g.id] = v
	c.order = append(c.order, v)
}

// word is the configuration in force.
func (v *view) word() []byte { return v.words[len(v.words)-1] }

func decodeView(word []byte) twophase.Config {
	c, err := twophase.DecodeConfig(word)
	if err != nil {
		panic("sim: the catalog's word on a group cannot be decoded: " + err.Error())
	}
	return c
}

// boot lets a node's copy of the catalog, which may have fallen back, speak to its replicas, and begins to renew its lease.
func (c *catalog) boot(n *node) {
	for _, v := range c.order {
		c.begin(n, v.g)
	}
}

// begin lets a node's copy of the catalog speak to the replica of a group that it has begun to run.
func (c *catalog) begin(n *node, g *group) {
	v := c.views[g.id]
	if v == nil {
		return
	}
	at := max(0, v.known[n.index]-n.rng.IntN(2))
	v.told[n.index] = -1
	if n.self(v.g) != 0 {
		v.tell(n, at)
	}
	if c.serves[n.index] != n.life {
		c.serves[n.index] = n.life
		c.follow(n, n.life)
		c.renew(n, n.life)
	}
}

// tell steps a replica with a word of the catalog. A lease is no longer counted on once the word leaves the replica out.
func (v *view) tell(n *node, at int) {
	v.told[n.index], v.known[n.index] = at, at
	word := v.words[at]
	n.w.trace.tellf("n%d g%d hears: %v", n.id, v.g.id, decodeView(word))
	n.arrive(func(now host.Now) {
		n.host.Configure(now, v.g.id, word)
		config := decodeView(word)
		if !slices.Contains(config.Members, n.self(v.g)) {
			n.host.SetLease(now, v.g.id, 0)
		}
	})
}

// follow brings a node's copy up to date, again and again while its process lives.
func (c *catalog) follow(n *node, life int) {
	c.w.after(core.Time(n.rng.Int64N(int64(catalogRetry))), func() {
		if !n.up || n.life != life {
			return
		}
		for _, v := range c.order {
			if last := len(v.words) - 1; n.self(v.g) != 0 && v.told[n.index] < last && c.reaches(n) {
				v.tell(n, last)
			}
		}
		c.follow(n, life)
	})
}

// reaches says whether a node is connected with a majority.
func (c *catalog) reaches(n *node) bool {
	count := 0
	for _, peer := range c.w.nodes {
		links := c.w.network.links
		if peer == n || (peer.up && !peer.paused && links[n.index][peer.index].cut == 0 && links[peer.index][n.index].cut == 0) {
			count++
		}
	}
	return n.up && !n.paused && 2*count > len(c.w.nodes)
}

// travel is how long something is on its way to the catalog or back.
func (c *catalog) travel() core.Time {
	if c.w.rng.IntN(20) == 0 {
		return core.Time(c.w.rng.Int64N(int64(500 * Millisecond)))
	}
	return Millisecond + core.Time(c.w.rng.Int64N(int64(20*Millisecond)))
}

// renew asks for the lease of a node, again and again.
func (c *catalog) renew(n *node, life int) {
	if !n.up || n.life != life {
		return
	}
	sent := n.now().Mono
	if c.reaches(n) {
		c.w.after(c.travel(), func() { c.renewed(n, life, sent) })
	}
	c.w.after(c.w.lease/6+core.Time(n.rng.Int64N(int64(c.w.lease/3))), func() { c.renew(n, life) })
}

// renewed renews a lease in the catalog. Its node counts on it once its copy of the catalog names its replica a member, too.
func (c *catalog) renewed(n *node, life int, sent core.Time) {
	for _, v := range c.order {
		self, at := n.self(v.g), len(v.words)-1
		if config := decodeView(v.word()); !slices.Contains(config.Members, self) || slices.Contains(v.leaving, self) {
			continue
		}
		v.leases[self] = max(v.leases[self], c.w.now+c.w.lease*975/1000)
		c.w.after(c.travel(), func() {
			if !n.up || n.life != life || v.told[n.index] < at || !c.reaches(n) {
				return
			}
			n.arrive(func(now host.Now) {
				if config := decodeView(v.words[v.told[n.index]]); slices.Contains(config.Members, self) && n.self(v.g) == self {
					n.host.SetLease(now, v.g.id, sent+c.w.lease*95/100)
				}
			})
		})
	}
}

// wish takes what a replica asks for.
func (c *catalog) wish(n *node, g core.GroupID, wish host.Wish) {
	v := c.views[g]
	if v == nil {
		c.w.fail(Invariant, "node %d asks for another configuration of group %d, whose members the catalog does not decide", n.id, g)
		return
	}
	if c.reaches(n) {
		c.w.after(c.travel(), func() { c.asked(v, wish) })
	}
}

// asked makes a configuration the group's, at the latest when nobody whom it leaves out can count itself a member any more.
func (c *catalog) asked(v *view, wish host.Wish) {
	if !bytes.Equal(wish.Told, v.word()) {
		return
	}
	before, wanted := decodeView(v.word()), decodeView(wish.Wanted)
	if !c.follows(v, wish, &before, &wanted) {
		v.pending, v.leaving = nil, nil
		return
	}
	wait := core.Time(0)
	var leaving []core.ReplicaID
	for _, id := range before.Members {
		if !slices.Contains(wanted.Members, id) {
			leaving = append(leaving, id)
			wait = max(wait, v.leases[id]-c.w.now)
		}
	}
	if wait > 0 {
		if v.pending == nil {
			v.pending, v.leaving = &wish, leaving
			c.w.after(wait+1, func() {
				if v.pending == &wish {
					c.asked(v, wish)
				}
			})
		}
		return
	}
	v.pending, v.leaving = nil, nil
	v.words = append(v.words, wish.Wanted)
	c.w.trace.line("the catalog says of g%d: %v", v.g.id, wanted)
	c.w.event("view", wanted.String())
}

// follows says that a wish may come true. What no replica may ask for is a failure (trap T2.13); what goes by an older word on the
// group's replicas is refused, as it is by the conditions of a node's command.
func (c *catalog) follows(v *view, wish host.Wish, before, wanted *twophase.Config) bool {
	from, err := keyspace.DecodeRoster(wish.Told)
	to, bad := keyspace.DecodeRoster(wish.Wanted)
	if err != nil || bad != nil {
		c.w.fail(Invariant, "group %d: a wish cannot be read: %v, %v", v.g.id, err, bad)
		return false
	}
	gone := len(slices.DeleteFunc(slices.Clone(before.Members), func(id core.ReplicaID) bool { return !c.w.isGone(v.g, id) }))
	if err := from.Follows(&to); err != nil || len(wanted.Members) < min(before.MinMembers, len(before.Members)-gone) {
		c.w.fail(Invariant, "group %d: %v does not follow %v: %v", v.g.id, wanted, before, err)
		return false
	}
	err = v.g.shard().Lets(&from, &to)
	if err != nil && v.g.truth == nil {
		c.w.fail(Invariant, "group %d: %v does not follow %v: %v", v.g.id, wanted, before, err)
	}
	return err == nil || c.w.options.laxViews
}

// bears says that each group has other members than the replica of a node, on nodes that have not lost their disks: two at least, since
// one of them may be about to be left out.
func (c *catalog) bears(loss *node) bool {
	for _, v := range c.order {
		others := 0
		for _, id := range decodeView(v.word()).Members {
			if v.g.shard().On(loss.id) != id && !c.w.isGone(v.g, id) {
				others++
			}
		}
		if others < 2 {
			return false
		}
	}
	return true
}
