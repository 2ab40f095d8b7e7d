package quorum

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// The members of a group change in two steps of the catalog, beside the first that begins it (trap T3.10):
//
//  1. The next members are named. Writes need enough of both sets; reads are of the old one, and who joins is filled.
//  2. Who joins is filled, and reads need enough of both sets as well. Each of the next members compares itself with so many of the
//     old ones that it has every record that those took, or showed, by an earlier configuration.
//  3. The next members are the members.
//
// Two configurations that follow each other share a set, so it does not matter that replicas learn of them at different times. Those
// of which this is not true never meet: a replica heeds nobody who goes by an older configuration than its own, and the third
// step waits until so many old ones have made the second durable that nobody finds enough of them by the first.

// membersKey is where the state has the configuration, the places of its members, and whose state it is.
var membersKey = []byte{'m', 'c'}

// reportEvery is how often a replica tells the others that it has done its part.
const reportEvery = core.Time(200e6)

// joinerPause is when a write is sent again that a replica which joins could not take yet.
const joinerPause = core.Time(20e6)

// unbounded is later than all stamps.
const unbounded = ^kv.HLC(0)

// change is how far a change of the members is.
type change struct {
	// shown is the epoch of the newest configuration before which all that was taken is durable, and seen by readers.
	shown uint64
	// reported are those that have done their part by the configuration of now.
	reported mask
	at       core.Time
}

// configured heeds the catalog's word, which is heard from the node, or from a peer that has it.
func (r *Replica) configured(word []byte) {
	c, err := DecodeConfig(word)
	if err != nil {
		panic("quorum: configuration of the catalog: " + err.Error())
	}
	if c.Epoch <= r.config.Epoch {
		return
	}
	r.interrupt()
	reads, before := r.openReads(), slices.Clone(r.places)
	r.out.Note(MembersNote{c})
	if slices.Contains(c.replicas(), r.self) {
		r.follow(c)
	} else {
		r.enter(c)
	}
	r.sendAnew(r.replaced(before))
	for _, q := range reads {
		r.readAnew(q)
	}
	r.scanAnew()
}

// follow goes by a configuration that this replica has a part in.
func (r *Replica) follow(c Config) {
	freed := r.assign(&c)
	r.enter(c)
	e := entry{pos: r.disk.pos + 1, epoch: c.Epoch}
	for m := freed; m != 0; m &= m - 1 {
		e.hints = append(e.hints, r.forgetPlace(m.first()))
	}
	if freed != 0 {
		r.setMeta(func(d *meta) { d.Behind &^= freed })
		e.pos = r.disk.pos + 1
	}
	r.writeMembers(e, false)
	r.change.reported, r.change.at = 0, r.in.Now
	r.entropy.cured, r.entropy.settled, r.entropy.at = 0, 0, r.in.Now
}

// interrupt ends what depends on who the members are and is not a client's.
func (r *Replica) interrupt() {
	if r.entropy.session != nil {
		r.endSession(false)
	}
	if r.repair.phase != idle {
		r.endRepair(false)
	}
}

// enter takes a configuration whose members have their places.
func (r *Replica) enter(c Config) {
	r.config = c
	r.old, r.new, r.up, r.me = 0, 0, 0, r.place(r.self)
	for i, id := range r.places {
		if slices.Contains(c.Members, id) {
			r.old = r.old.with(i)
		}
		if slices.Contains(c.Next, id) {
			r.new = r.new.with(i)
		}
		if id == r.self || r.linked[id] {
			r.up = r.up.with(i)
		}
	}
	r.all = r.old | r.new
	r.up &= r.all
}

// assign gives each member a place. Who is none any more loses it.
func (r *Replica) assign(c *Config) (freed mask) {
	for i, id := range r.places {
		if id != 0 && id != r.self && !slices.Contains(c.replicas(), id) {
			r.places[i], freed = 0, freed.with(i)
			r.observed.writes.forget(i)
			r.observed.reads.forget(i)
		}
	}
	for _, id := range c.replicas() {
		free := slices.Index(r.places, 0)
		switch {
		case r.place(id) >= 0:
		case free >= 0:
			r.places[free] = id
		default:
			r.places = append(r.places, id)
		}
	}
	return freed
}

// replaced are the places that belong to other replicas than before: what their former holders answered says nothing of them.
func (r *Replica) replaced(before []core.ReplicaID) (m mask) {
	for i, id := range before {
		if id != 0 && r.places[i] != id && r.options.Mutation != TrustPlaces {
			m = m.with(i)
		}
	}
	return m
}

// forgetPlace forgets the hints for who had a place: this replica has all of it itself, and who has the keys now compares itself.
func (r *Replica) forgetPlace(i int) core.Change {
	r.hints[i] = hinted{}
	return core.Change{Kind: core.DeleteRange, Key: hintKey(i, 0), End: hintKey(i+1, 0)}
}

// outside says that this replica is no member, or not yet.
func (r *Replica) outside() bool { return !r.all.has(r.me) }

// blank says that this replica has never been a member that counts: it knows no line that it must heed.
func (r *Replica) blank() bool { return !r.old.has(r.me) }

// writers are the sets of which a write needs enough replicas each; the second may be empty.
func (r *Replica) writers() [2]mask {
	if r.options.Mutation == SkipNextSet {
		return [2]mask{r.old}
	}
	return [2]mask{r.old, r.new}
}

// readers are the same for reads.
func (r *Replica) readers() [2]mask {
	switch {
	case r.options.Mutation == ReadNewEarly && r.config.moving():
		return [2]mask{r.new}
	case r.config.Both:
		return [2]mask{r.old, r.new}
	}
	return [2]mask{r.old}
}

func (r *Replica) readable() mask { sets := r.readers(); return sets[0] | sets[1] }

// bound lets a replica that joins take what clients write: it heeds now what a member has promised to refuse, and no line that
// was drawn without it is above that.
func (r *Replica) bound(m Leaves) {
	if r.doubt == unbounded && m.Epoch >= r.config.Epoch {
		r.doubt = 0
	}
}

// settled says that this replica has all that a majority of the old members acknowledged, or showed, by earlier configurations,
// and what else those of them have that can be reached.
func (r *Replica) settled() bool {
	some := r.entropy.settled
	if r.old.has(r.me) {
		some = some.with(r.me)
	}
	return r.covers(some) && (r.up&r.old).less(some) == 0
}

// settles says that this replica has yet to get there.
func (r *Replica) settles() bool {
	return r.config.Both && r.new.has(r.me) && !r.disk.meta.Suspect && !r.settled()
}

func (r *Replica) changeDeadline() core.Time {
	if r.config.moving() {
		return r.change.at
	}
	return never
}

func (r *Replica) changeTick() {
	if !r.config.moving() || r.change.at > r.in.Now {
		return
	}
	for _, id := range r.writes.order {
		if b := r.writes.batches[id]; b != nil && b.again != 0 {
			r.sendTo(b, b.again)
			b.again = 0
		}
	}
	r.report()
}

// report tells the others when this replica has done its part.
func (r *Replica) report() {
	if !r.config.moving() {
		return
	}
	r.change.at = r.in.Now + reportEvery
	if r.change.shown < r.config.Epoch || r.disk.meta.Suspect || r.settles() {
		return
	}
	r.change.reported = r.change.reported.with(r.me)
	for _, id := range r.members(r.all &^ (1 << r.me)) {
		r.out.Send(id, Report{r.config.Epoch})
	}
}

func (r *Replica) onReport(i int, m Report) {
	if m.Epoch == r.config.Epoch {
		r.change.reported = r.change.reported.with(i)
	}
}

// Ready reports whether the catalog may take the next step of a change of the members, if its configuration is that of the epoch.
func (r *Replica) Ready() (epoch uint64, ok bool) {
	joining, done := r.new.less(r.old), r.change.reported
	switch {
	case !r.config.moving() || r.outside():
		return 0, false
	case r.config.Both && r.options.Mutation == DropOldEarly:
		return r.config.Epoch, true
	case !r.config.Both:
		return r.config.Epoch, joining.less(done) == 0 || r.options.Mutation == ReadNewEarly
	}
	return r.config.Epoch, joining.less(done) == 0 && needMajority.met(done, [2]mask{r.new}) && (r.up&r.new).less(done) == 0
}

func (r *Replica) describeChange() Saying {
	switch {
	case !r.config.moving():
		return Saying{}
	case r.config.Both:
		return Saying{"2 of 2: those that stay and come compare themselves with the old ones; not yet: %s", r.members(r.new.less(r.change.reported))}
	}
	return Saying{"1 of 2: those that come are filled; not yet: %s", r.members(r.new.less(r.old | r.change.reported))}
}

// MembersNote tells that the replica goes by another configuration.
type MembersNote struct{ Config Config }

// String is a line of a trace.
func (n MembersNote) String() string {
	text := fmt.Sprintf("epoch %d: members %v", n.Config.Epoch, n.Config.Members)
	if n.Config.moving() {
		text += fmt.Sprintf(", next %v", n.Config.Next)
	}
	if n.Config.Both {
		text += ", reads are of both"
	}
	return text
}
