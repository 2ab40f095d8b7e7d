package paxos

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// A merge is two things in two logs (rules G1 to G8): a block by which the right group retires, and commands by which the left one
// absorbs what that held. The second come as clients' commands do. Who has retired goes on as a group without keys, until nobody can have
// anything to ask it.

// retireWish is a retirement that a leader was asked for.
type retireWish struct {
	core.Retire
	// since is when it was asked for, index the latest block that tried it.
	since core.Time
	index uint64
}

// aheadOfClock is how far the time of a block that retires a group may be ahead of its leader's clock, in milliseconds: the other group's
// time is taken along (rule G5).
const aheadOfClock = 1000

// onRetire takes note that another group is to have the keys. Like a change of members it is forgotten with the leadership: whoever wants
// it asks again until the state says so.
func (r *Replica) onRetire(e core.Retire) {
	if r.role == Leader && r.lead.retire == nil && machine.RetiredOf(r.in.View) == nil {
		r.lead.retire = &retireWish{Retire: e, since: r.in.Now}
	}
}

// tryRetire proposes the block when nothing is in its way: no lock, and nothing that is laid aside for a child.
func (r *Replica) tryRetire() {
	w := r.lead.retire
	switch {
	case w == nil || r.lead.handoffTo != 0 || r.config.joint() || r.applied.Index < max(r.lead.first, w.index):
	case len(r.out.State) > 0:
		r.out.Again = true
	case machine.RetiredOf(r.in.View) != nil:
		r.lead.retire, r.lead.unlocked = nil, true
	case r.stamp().UnixMilli() > r.in.Wall+aheadOfClock || len(machine.Births(r.in.View)) > 0:
	case r.locks == 0 && len(r.lead.lockers) == 0 || r.options.Merge == machine.MergeOverLocks:
		bounds := machine.Bounds{From: w.From, To: w.To}
		r.appendBlock(Retire, bounds.AppendTo(nil), r.stamp())
		w.index = r.log.last().Index
	}
}

// absorbAfter makes the block of a part that is absorbed later than the one by which the other group retired (rule G5).
func (r *Replica) absorbAfter(q core.Request) {
	var c kv.Command
	if err := kv.DecodeCommand(q.Command, &c); err != nil {
		return // it is answered at apply
	}
	if p, err := machine.DecodePart(c.Ops[0].Value); err == nil && r.options.Merge != machine.MergeAtAnyTime {
		r.pending.after = max(r.pending.after, p.Was.Time)
	}
}

func (r *Replica) applyRetire(b *Block) {
	bounds, err := machine.DecodeBounds(b.Payload)
	if err != nil {
		panic(fmt.Sprintf("paxos: block %d: %v", b.Index, err))
	}
	if r.machine.Retire(*bounds) {
		r.out.Note(core.RetiredNote{})
		r.retired = r.options.Merge != machine.MergeWithoutFreeze
	}
}

// lacks says that the state does not have all keys yet that the catalog gives the group: what it absorbed lies further on in the log
// (rule G8). The log itself has them at the right place.
func (r *Replica) lacks() bool {
	return r.owned != nil && r.applied.Index < r.owned.Since && r.options.Merge != machine.MergeReadsBehind
}
