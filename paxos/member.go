package paxos

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// caughtUp is how many blocks a learner may lack when it is made a voter.
const caughtUp = 1000

// onReconfigure takes note of who the members are to be; the leader brings it about step by step (rules M2, M3), and forgets
// it when it leads no more: whoever wants it asks the next leader again, until the configuration says so.
func (r *Replica) onReconfigure(e core.Reconfigure) {
	if r.role != Leader || len(e.Voters) == 0 {
		return
	}
	r.lead.target = &members{ordered(e.Voters), without(ordered(e.Learners), e.Voters), e.Preferred}
}

// members are who is to have the log, in order of ids, and which of the voters should lead; 0: as before.
type members struct {
	voters, learners []core.ReplicaID
	preferred        core.ReplicaID
}

func ordered(ids []core.ReplicaID) []core.ReplicaID {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// changeMembers takes the next step of a change of voters, if the last one is over: new members learn; when they have
// nearly all of the log, the old voters and the new ones decide together; then the new ones alone. A change that an earlier
// leader left half done is brought to its end by whoever leads.
func (r *Replica) changeMembers() {
	if !r.mayReconfigure() {
		return
	}
	next := r.config
	switch {
	case !r.config.stays(r.self):
		r.leaveTo()
		return
	case r.config.joint():
		next.Outgoing = nil
	case r.lead.target == nil || !r.approach(&next):
		return
	}
	if !next.votes(next.Preferred) {
		next.Preferred = 0
	}
	r.out.Note(ConfigNote{next})
	r.appendBlock(Configuration, next.AppendTo(nil), r.stamp())
}

// approach makes the next configuration on the way to the one that is wanted; false: nothing is to be done now.
func (r *Replica) approach(next *Config) bool {
	target, present := r.lead.target, ordered(r.config.Voters)
	coming := without(target.voters, present)
	// Who votes still is made a learner when it votes no more.
	learners := without(ordered(slices.Concat(coming, target.learners)), present)
	switch {
	case !slices.Equal(learners, r.config.Learners):
		next.Learners = learners
		return true
	case slices.Equal(target.voters, present):
		r.lead.target = nil
		changed := target.preferred != 0 && target.preferred != next.Preferred
		next.Preferred = target.preferred
		return changed
	case !r.learned(coming):
		return false
	}
	next.Voters, next.Outgoing, next.Learners = target.voters, r.config.Voters, target.learners
	if target.preferred != 0 {
		next.Preferred = target.preferred
	}
	return true
}

// Members are who is in force; settled says that it is committed, and no change is under way.
func (r *Replica) Members() (now core.Reconfigure, settled bool) {
	settled = !r.config.joint() && r.configs[len(r.configs)-1].index <= r.commit
	return core.Reconfigure{Voters: r.config.Voters, Learners: r.config.Learners, Preferred: r.config.Preferred}, settled
}

// mayReconfigure: one change at a time, and none before a block of the own ballot is committed, which settles what became
// of the last one (rule M2, trap T1.14).
func (r *Replica) mayReconfigure() bool {
	settled := r.configs[len(r.configs)-1].index <= r.commit && r.commit >= r.lead.first
	return r.lead.handoffTo == 0 && (settled || r.options.Mutation == ReconfigureUnsettled)
}

// learned reports whether learners hold nearly all of the log.
func (r *Replica) learned(ids []core.ReplicaID) bool {
	for _, id := range ids {
		p := r.lead.peer(id)
		if p == nil || p.suspect || p.state != replicating || p.match+caughtUp < r.commit {
			return false
		}
	}
	return true
}

// leaveTo hands over to a voter that stays: a leader that goes cannot count itself any more (rule M4).
// One that is unwilling is better than none: a change that stays half done leaves the group with two majorities to find.
func (r *Replica) leaveTo() {
	p := r.fittest()
	for _, other := range r.lead.peers {
		if p == nil && r.reachable(other) {
			p = other
		}
	}
	if p != nil {
		r.handoff(p.id)
	}
}

// followConfig makes a leader's peers those of the configuration that came into force: with the block, not with its commit
// (rule M1).
func (r *Replica) followConfig() {
	if r.role != Leader {
		return
	}
	kept := r.lead.peers[:0]
	for _, p := range r.lead.peers {
		if slices.Contains(r.config.members(), p.id) {
			kept = append(kept, p)
		} else {
			p.stopSending()
		}
	}
	clear(r.lead.peers[len(kept):])
	r.lead.peers = kept
	for _, id := range r.config.members() {
		if id != r.self && r.lead.peer(id) == nil {
			r.addPeer(id)
		}
	}
}

// ConfigNote tells that a leader proposes a configuration.
type ConfigNote struct{ Config Config }

// String is a line of a trace.
func (n ConfigNote) String() string {
	c := n.Config
	text := fmt.Sprintf("proposes voters %d", c.Voters)
	if c.joint() {
		text += fmt.Sprintf(" beside %d", c.Outgoing)
	}
	if len(c.Learners) > 0 {
		text += fmt.Sprintf(", learners %d", c.Learners)
	}
	if c.Preferred != 0 {
		text += fmt.Sprintf(", %d preferred", c.Preferred)
	}
	return text
}
