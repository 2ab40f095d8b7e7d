package paxos

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// A group that has lost a majority of its voters for good decides nothing more, since those might have decided something that
// nobody else knows. An operator who gives them up says so to one that is left. It leads when all that are left have promised, so
// with the best of their logs, which holds whatever any of them knows to be decided; then those are the voters. What only the
// others held is lost, and should two majorities of before ever run again, they would be another group of the same name: that is
// what makes it unsafe.

// onUnsafeRecover begins an election among those who are left, unless there is a leader, or may be one.
func (r *Replica) onUnsafeRecover(e core.UnsafeRecover) {
	if r.role == Leader || r.granted() || r.suspect || !slices.Contains(e.Survivors, r.self) {
		return
	}
	r.out.Note(SurvivorsNote{e.Survivors})
	r.survivors = ordered(e.Survivors)
	r.deadline = r.in.Now
}

func (r *Replica) allSurvivorsPromised() bool {
	for _, id := range r.survivors {
		if _, ok := r.votes[id]; !ok {
			return false
		}
	}
	return true
}

// electors are who is asked to promise: the voters, and who is left.
func (r *Replica) electors() []core.ReplicaID { return union(r.config.electorate(), r.survivors) }

// leadSurvivors makes those who are left the voters, at the beginning of a leadership that they alone have elected. This is the
// one change of voters that no majority of the old ones decides.
func (r *Replica) leadSurvivors() {
	if len(r.survivors) == 0 {
		return
	}
	next := r.config
	next.Voters, next.Outgoing, next.Learners, next.Preferred = r.survivors, nil, nil, r.self
	r.survivors = nil
	r.out.Note(ConfigNote{next})
	r.appendBlock(Configuration, next.AppendTo(nil), r.stamp())
}

// SurvivorsNote tells that an operator gave up all others.
type SurvivorsNote struct{ Survivors []core.ReplicaID }

// String is a line of a trace.
func (n SurvivorsNote) String() string {
	return fmt.Sprintf("is told that only %d are left", n.Survivors)
}
