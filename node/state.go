package node

import (
	"bytes"
	"sync/atomic"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/store"
)

// replicaState is a group's state as its replica uses it. It belongs to the loop.
type replicaState struct {
	store.Group
	// changed is set when clients' records change; only the catalog's group has it, so that the loop reads the catalog.
	changed *bool
	// leasesChanged is set when leases do, which the catalog is not read for: they are renewed all the time.
	leasesChanged *bool
	// bounds are published before the state is changed: whoever reads beside the loop looks there afterwards, and then knows
	// whether what it found, or did not find, was the group's still.
	bounds *atomic.Pointer[machine.Bounds]
	// open are the snapshots that the replica has not closed: a replica is not told when it ends.
	open map[*lentSnapshot]struct{}
}

// Apply makes all changes visible at once.
func (s *replicaState) Apply(changes []core.Change) error {
	for i := range changes {
		if changes[i].Kind == core.Install {
			s.bounds.Store(nothing) // until the loop has seen what the new state holds
		} else if b, changed := machine.ChangesBounds(&changes[i]); changed {
			s.bounds.Store(b)
		}
	}
	if s.changed != nil {
		for i := range changes {
			c := &changes[i]
			data := len(c.Key) > 0 && c.Key[0] == machine.DataKind
			lease := data && bytes.HasPrefix(c.Key[1:], keyspace.LeaseKeys)
			whole := c.Kind == core.Install || c.Kind == core.DeleteRange
			*s.changed = *s.changed || whole || data && !lease
			*s.leasesChanged = *s.leasesChanged || whole || lease
		}
	}
	return s.Group.Apply(changes)
}

// nothing are bounds that hold no key.
var nothing = &machine.Bounds{From: []byte{0}, To: []byte{0}}

// Snapshot keeps the state as it is now, until it is closed or the replica ends.
func (s *replicaState) Snapshot() core.Snapshot {
	lent := &lentSnapshot{kept: s.Group.Snapshot(), state: s}
	s.open[lent] = struct{}{}
	return lent
}

// closeLent ends what an ended replica left open.
func (s *replicaState) closeLent() {
	for lent := range s.open {
		lent.Close()
	}
}

// lentSnapshot is a snapshot that its state knows of.
type lentSnapshot struct {
	kept  core.Snapshot
	state *replicaState
}

// Get returns the value at key.
func (l *lentSnapshot) Get(key []byte) (value []byte, ok bool) { return l.kept.Get(key) }

// Scan calls f with each pair of a range.
func (l *lentSnapshot) Scan(from, to []byte, f func(key, value []byte) bool) {
	l.kept.Scan(from, to, f)
}

// Snapshot keeps what this one shows.
func (l *lentSnapshot) Snapshot() core.Snapshot { return l.kept.Snapshot() }

// Close ends the snapshot; once is enough, more do no harm.
func (l *lentSnapshot) Close() {
	if _, open := l.state.open[l]; open {
		delete(l.state.open, l)
		l.kept.Close()
	}
}
