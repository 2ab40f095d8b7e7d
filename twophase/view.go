package twophase

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// String names the members and joiners.
func (c Config) String() string {
	text := fmt.Sprintf("epoch %d of %d, members %d", c.Epoch, c.Coordinator, c.Members)
	if len(c.Joiners) > 0 {
		text += fmt.Sprintf(", joiners %d", c.Joiners)
	}
	return text
}

// configured hears the catalog's word. Who is named the coordinator begins the epoch, unless an earlier life has: then it asks
// for the next one.
func (r *Replica) configured(encoded []byte) {
	c, err := DecodeConfig(encoded)
	if err != nil {
		panic("twophase: configuration: " + err.Error())
	}
	if c.Epoch <= r.told.Epoch {
		return
	}
	r.told, r.asked = c, 0
	switch {
	case c.Coordinator == r.self && !r.suspect && (c.Epoch > r.fenced.Epoch || (r.options.Mutation == KeepEpoch && r.lead == nil)):
		r.coordinate(c)
	case c.Epoch > r.fenced.Epoch:
		r.stepDown()
		r.heard, r.patience = r.in.Now, r.drawPatience()
	}
	if !c.has(r.self) {
		r.loseWaiters("this replica was left out of its group; the write may have happened or may happen yet")
	}
	r.ask()
}

// drawPatience is how long a member bears the coordinator's silence. They ask one after the other, so that one of them gets
// what it wants.
func (r *Replica) drawPatience() core.Time {
	quarter := r.options.Suspect / 4
	rank := core.Time(max(0, slices.Index(r.told.Members, r.self)))
	return r.options.Suspect + rank*quarter + core.Time(r.in.Rand.Int64N(int64(quarter)))
}

// ask asks the catalog for the configuration that this replica wants, again and again until there is another one or it wants
// none.
func (r *Replica) ask() {
	if r.asked != 0 && r.in.Now-r.asked < r.options.Suspect/4 {
		return
	}
	if c, ok := r.wants(); ok {
		c.Epoch = r.told.Epoch + 1
		r.asked = r.in.Now
		r.out.Configure = c.AppendTo(nil)
		r.out.Note(AskedNote{c})
	}
}

// wants is the configuration that should follow, as far as this replica can tell. Only members want anything: who was left out
// has no say (trap T2.13).
func (r *Replica) wants() (Config, bool) {
	c := r.told
	switch {
	case !c.has(r.self) && r.options.Mutation == AskFromOutside && r.in.Now-r.heard >= r.patience:
		return Config{Coordinator: r.self, Members: []core.ReplicaID{r.self}, Joiners: c.Members}, true
	case !c.has(r.self):
		return c, false
	case c.Coordinator != r.self:
		return r.wantsLead()
	case r.suspect:
		return r.wantsOut()
	case r.lead == nil:
		// It was begun in an earlier life, which may have sent what this one does not know of (trap T2.12). If a later epoch
		// is obeyed here, the catalog's word on that is on its way.
		return c, r.fenced.Epoch == c.Epoch
	}
	return r.leadWants()
}

// wantsOut is what a coordinator wants that has lost what it held: another one, who fills it.
func (r *Replica) wantsOut() (Config, bool) {
	c := r.told
	if !r.mayDo(r.self) {
		return c, false
	}
	c = c.move(r.self, false)
	c.Coordinator = c.Members[r.in.Rand.IntN(len(c.Members))]
	return c, true
}

// wantsLead is what a member wants whose coordinator is silent: to take its place.
func (r *Replica) wantsLead() (Config, bool) {
	c := r.told
	if r.suspect || r.in.Unfit || r.in.Now-r.heard < r.patience || !r.mayDo(c.Coordinator) {
		return c, false
	}
	c = c.move(c.Coordinator, false)
	c.Coordinator = r.self
	return c, true
}

// leadWants is what a coordinator wants: no member that is silent or has lost something, every joiner that is filled, and
// somebody else in its place if it should not lead.
func (r *Replica) leadWants() (Config, bool) {
	c, l := r.told, r.lead
	if p := r.worst(); p != nil {
		return c.move(p.id, false), true
	}
	if to := r.heir(); to != 0 {
		c.Coordinator = to
		return c, true
	}
	if next, ok := r.wantsJoiners(); ok {
		return next, true
	}
	for _, p := range l.peers {
		switch {
		case p.joined && (p.sick || p.lost):
			return c, true // it was filled in this epoch, and has lost that, or cannot be fed
		case !p.entered:
		case r.in.Now-p.heard >= r.options.VoteWithin:
			return c, true // all wait for it, and it is silent: in the next epoch it begins anew
		case p.ready():
			return c.move(p.id, true), true
		}
	}
	return r.wantsRest()
}

// worst is the member that the group can and should do without: one that lost something, or the one that has been silent longest.
func (r *Replica) worst() (found *peer) {
	for _, p := range r.lead.peers {
		switch {
		case !p.member || !r.mayDo(p.id):
		case p.sick || r.isLost(p.id):
			return p
		case r.in.Now-p.heard >= r.options.Suspect && (found == nil || p.heard < found.heard):
			found = p
		}
	}
	return found
}

// heir is the member that should coordinate instead: who was asked for, or, if this node should lead nothing, anybody who
// was heard lately.
func (r *Replica) heir() core.ReplicaID {
	l := r.lead
	if l.heir != 0 || !r.in.Unfit {
		return l.heir
	}
	for _, p := range l.peers {
		if p.member && r.in.Now-p.heard < 3*r.options.Heartbeat {
			return p.id
		}
	}
	return 0
}

// handoff asks for another coordinator.
func (r *Replica) handoff(to core.ReplicaID) {
	if r.lead != nil && to != r.self && r.told.has(to) {
		r.lead.heir, r.asked = to, 0
		r.ask()
	}
}
