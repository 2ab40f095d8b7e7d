package twophase

import (
	"math/bits"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// The replicas of a group change by views alone (rule W11). The catalog says which replicas the group is to have in the end, and
// the coordinator asks for one view after the other: who comes is named a joiner, is filled, and made a member like one that was
// left out; when all that are to stay are members, one view without the others ends it. So each write is at all times on all that
// were members before, or on all that are to stay. Who coordinates forgets what it was told when its epoch ends: whoever wants the
// change tells the next one again, and the catalog refuses what goes by an older word than its own.

// target are the replicas that the group is to have, in order, and which of them should coordinate; 0: any.
type target struct {
	members   []core.ReplicaID
	preferred core.ReplicaID
}

// onReconfigure takes note of who the members are to be, and of whom nobody waits for any more.
func (r *Replica) onReconfigure(e core.Reconfigure) {
	r.lost = e.Lost
	if r.lead == nil || len(e.Voters) == 0 {
		return
	}
	members := slices.Clone(e.Voters)
	slices.Sort(members)
	r.lead.target = &target{slices.Compact(members), e.Preferred}
	r.ask()
}

func (t *target) has(id core.ReplicaID) bool { return slices.Contains(t.members, id) }

// wantsJoiners is the view in which those are filled that are to stay and are no members yet, and nobody who is to go; false: it
// is so.
func (r *Replica) wantsJoiners() (Config, bool) {
	c, t := r.told, r.lead.target
	if t == nil {
		return c, false
	}
	joiners := slices.DeleteFunc(slices.Clone(t.members), c.has)
	changed := !slices.Equal(joiners, c.Joiners)
	c.Joiners = joiners
	return c, changed
}

// wantsRest is the view without those that are to go. It waits until all that are to stay are members: who goes holds what these
// lack, and is one disk more.
func (r *Replica) wantsRest() (Config, bool) {
	c, t := r.told, r.lead.target
	if t == nil || len(c.Joiners) > 0 && r.options.Mutation != DropOldEarly {
		return c, false
	}
	stay := slices.DeleteFunc(slices.Clone(c.Members), func(id core.ReplicaID) bool { return !t.has(id) })
	if len(stay) == len(c.Members) || len(stay) == 0 {
		return c, false
	}
	if c.Members = stay; !t.has(r.self) {
		c.Coordinator = r.successor(t.preferred, stay)
	}
	return c, true
}

// successor coordinates when this replica goes: who should, or else somebody, of those that were heard lately.
func (r *Replica) successor(preferred core.ReplicaID, stay []core.ReplicaID) core.ReplicaID {
	next := core.ReplicaID(0)
	for _, id := range stay {
		if p := r.lead.peer(id); p != nil && r.in.Now-p.heard < r.options.Suspect && (next == 0 || id == preferred) {
			next = id
		}
	}
	if next == 0 {
		return stay[0]
	}
	return next
}

// isLost says that a replica is gone for good, and what only it held with it.
func (r *Replica) isLost(id core.ReplicaID) bool { return slices.Contains(r.lost, id) }

// mayDo says that the group may do without a member: enough are left, or there is nothing to wait for. In a view that has come
// below the minimum by that, nothing is written before who takes the place has entered (enough).
func (r *Replica) mayDo(without core.ReplicaID) bool {
	return len(r.told.Members) > r.told.least() || len(r.told.Members) > 1 && r.isLost(without)
}

// enough says that a batch would come to as many disks as the keyspace says.
func (r *Replica) enough() bool {
	return bits.OnesCount64(r.lead.need()) >= r.told.least() || r.options.Mutation == WriteBelowLeast
}
