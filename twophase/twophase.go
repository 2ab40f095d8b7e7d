// Package twophase is two-phase commit over all replicas of a group whose members the catalog decides, as a deterministic replica.
package twophase

import "github.com/gamutdb/gamut/core"

// Options are the same on all nodes of a cluster. The zero value is usable.
type Options struct {
	// Heartbeat is how often a coordinator is heard of, and asks again for what was not answered. Default 100 ms.
	Heartbeat core.Time
	// VoteWithin is how long a write may wait for its votes before it is aborted (rule W4). Default 1 s.
	VoteWithin core.Time
	// Suspect is how long a replica may be silent before the catalog is asked to do without it (rule W6). Default 3 s.
	Suspect core.Time
	// Refuse makes a write to a key that is being written be refused at once, instead of taking its turn.
	Refuse bool
}

// Replica is one member of one group.
type Replica struct {
	self    core.ReplicaID
	options Options
}

// New makes a replica; its first event must be core.Start or core.Recover.
func New(self core.ReplicaID, options Options) *Replica { return &Replica{self: self, options: options} }

// Step takes one event.
func (r *Replica) Step(*core.Input, *core.Effects) {}

// Deadline is when the replica next wants a Tick.
func (r *Replica) Deadline() (core.Time, bool) { return 0, false }
