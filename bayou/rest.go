package bayou

import "github.com/gamutdb/gamut/core"

// What peers send has its stamps. Only what clients ask for needs the node's clock, and what is to be forgotten when its time is over. So a
// replica that nobody asks for anything rests, and its node need not renew the clock's durable bound.

// rest notes whether the replica rests. It is looked at again with each chore.
func (r *Replica) rest() {
	r.rests = r.in.Now-r.asked >= core.RestAfter && len(r.queue)+len(r.behind)+len(r.flight)+len(r.ordering.waiting) == 0
}

// Rests says that the replica has no use for the time of the clock until it is stepped with commands (core.Resting).
func (r *Replica) Rests() bool { return r.rests }
