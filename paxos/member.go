package paxos

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// caughtUp is how many blocks a learner may lack when it is made a voter.
const caughtUp = 1000

// onReconfigure takes note of who the voters are to be; the leader brings it about step by step (rules M2, M3), and forgets
// it when it leads no more: whoever wants it asks the next leader again, until the configuration says so.
func (r *Replica) onReconfigure(voters []core.ReplicaID) {
	if r.role != Leader || len(voters) == 0 {
		return
	}
	r.lead.target = slices.Clone(voters)
	slices.Sort(r.lead.target)
	r.lead.target = slices.Compact(r.lead.target)
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
		next.Outgoing, next.Learners = nil, without(next.Learners, next.Voters)
	case r.lead.target == nil:
		return
	case slices.Equal(r.lead.target, r.config.Voters):
		r.lead.target = nil
		if len(next.Learners) == 0 {
			return
		}
		next.Learners = nil
	default:
		wanted := without(r.lead.target, r.config.Voters)
		if !slices.Equal(wanted, r.config.Learners) {
			next.Learners = wanted
		} else if !r.learned(wanted) {
			return
		} else {
			next.Voters, next.Outgoing, next.Learners = r.lead.target, r.config.Voters, nil
		}
	}
	if !next.votes(next.Preferred) {
		next.Preferred = 0
	}
	r.out.Note(ConfigNote{next})
	r.appendBlock(Configuration, next.AppendTo(nil), r.stamp())
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
func (r *Replica) leaveTo() {
	if p := r.fittest(); p != nil {
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
	return text
}
