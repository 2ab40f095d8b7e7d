package sim

import (
	"slices"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// known is a write that a client of a causal or eventual group was told of, whoever wrote it: some replica had accepted it by then.
type known struct {
	origin core.ReplicaID
	stamp  kv.HLC
	// mono is what the clock of each node showed then.
	mono []core.Time
}

// agedTo is how many of the known writes a life of a replica has been asked about.
type agedTo struct{ life, next int }

// told takes note of what an answer shows.
func (c *checks) told(g *group, r *kv.Result) {
	if g.protocol.Digest == nil || r.Version == 0 || r.Origin == 0 || r.Code >= kv.Unavailable {
		return
	}
	k := known{origin: core.ReplicaID(r.Origin), stamp: kv.HLC(r.Version)}
	for _, n := range c.w.nodes {
		k.mono = append(k.mono, n.now().Mono)
	}
	c.known[g.id] = append(c.known[g.id], k)
}

// lost forgets what a damaged disk may have been the only one to hold: that is not part of any age.
func (c *checks) lost(n *node, g *group) {
	origin, _, _ := g.seat(n)
	c.known[g.id] = slices.DeleteFunc(c.known[g.id], func(k known) bool { return k.origin == origin })
	for _, o := range c.w.nodes {
		delete(c.aged, seat{o.id, g.id})
	}
}

// wiped forgets all that was known, whoever wrote it: the disk that is gone may have been the only one left to hold it.
func (c *checks) wiped(g *group) {
	delete(c.known, g.id)
	for _, o := range c.w.nodes {
		delete(c.aged, seat{o.id, g.id})
	}
}

// age: a replica that says until when its state lacks nothing lacks nothing that was known by then (rule B13). The moments are those of
// its own clock, so the age that its reads are counted with is never less than the true one.
func (c *checks) age(n *node, g *group) {
	list := c.known[g.id]
	if len(list) == 0 || !n.up || !n.host.Has(g.id) {
		return
	}
	r, is := c.unwrap(n, g).(*bayou.Replica)
	if !is {
		return
	}
	s := seat{n.id, g.id}
	at := c.aged[s]
	if at.life != n.life {
		at = agedTo{life: n.life} // what it holds may be less than before, and so may what it says
	}
	whole := r.Freshness().Whole
	if at.next < len(list) && list[at.next].mono[n.index] <= whole {
		status := r.Status()
		held := status.Held
		for ; at.next < len(list) && list[at.next].mono[n.index] <= whole; at.next++ {
			k := &list[at.next]
			retired := held.At(k.origin) > 0 && !slices.Contains(status.Members, k.origin) // some of what it wrote may be gone with its disk
			if held.At(k.origin) < k.stamp && !retired {
				c.w.fail(Staleness, "node %d says that its replica of group %d lacks nothing up to %s of its clock, and write %d of replica %d, which was known at %s, is not there: it holds %v",
					n.id, g.id, clockText(whole), k.stamp, k.origin, clockText(k.mono[n.index]), held)
				return
			}
		}
		c.w.hit("age")
	}
	c.aged[s] = at
}
