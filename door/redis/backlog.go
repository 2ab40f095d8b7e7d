package redis

import "time"

const (
	// gapMin tells a read that found its data there from one that had to wait for it: a client needs longer to answer.
	gapMin = 200 * time.Microsecond
	// lookAfter is how long a socket must have been left alone for its backlog to matter.
	lookAfter = time.Millisecond
)

// backlog knows how long requests may have waited in a connection's socket. Under overload that is where most of the time
// goes: a connection is not read while its last requests wait for their answers.
type backlog struct {
	// empty is when the socket was last known to hold nothing; empties says that the last read left nothing.
	empty   time.Time
	empties bool
	// waits says that what was read may have come at any time since then.
	waits bool
}

// read notes a read that brought something: whether the one before it had left something behind, whether this one did, and
// when the last round ended. The clock is read only where it makes a difference.
func (b *backlog) read(left, leaves bool, ended time.Time, clock func() time.Time) {
	b.waits = left || ended.Sub(b.empty) >= lookAfter && clock().Sub(ended) < gapMin
	b.empties = !leaves
}

// waited is how long the first request of the round has waited at most. It is called soon after the read.
func (b *backlog) waited(now time.Time) (d time.Duration) {
	if b.waits {
		d = now.Sub(b.empty)
	}
	if b.empties {
		b.empty, b.empties = now, false
	}
	return d
}
