package txn

import "github.com/gamutdb/gamut/kv"

// How long a leader lets others bring a transaction to its end, in nanoseconds: the first participant's leader waits for
// sweepAfter (rule V3), each further one a little longer, so that they do not all do it at once.
const (
	sweepAfter = int64(1e9)
	sweepStep  = int64(250e6)
	// sweepMost bounds the wait, which doubles with each try that did not help: a participant is without its majority, and what
	// asks it in vain costs all others.
	sweepMost = int64(30e9)
)

// Unfinished is a transaction that a group has voted for and that has not ended.
type Unfinished struct {
	Group        uint64
	ID           kv.TxID
	Committed    bool
	Participants []uint64
}

// Sweep finds the transactions whose coordinators may be gone, by how long it has met them: no clock of anybody else counts.
type Sweep struct {
	known, next map[openKey]met
}

// met is a transaction that is open: since when it waits for the next try, and how many there were.
type met struct {
	since int64
	tries int
}

type openKey struct {
	group     uint64
	id        kv.TxID
	committed bool
}

// Begin begins a round, in which all open transactions of the groups that are led here are shown to Due.
func (s *Sweep) Begin() {
	s.known, s.next = s.next, map[openKey]met{}
}

// Due reports whether a transaction has been open for too long. now is in nanoseconds of one clock.
func (s *Sweep) Due(now int64, o *Unfinished) bool {
	key := openKey{o.Group, o.ID, o.Committed}
	m, known := s.known[key]
	if !known {
		m.since = now
	}
	due := now-m.since >= patience(o, m.tries)
	if due {
		m = met{now, m.tries + 1} // another time only if this one fails
	}
	s.next[key] = m
	return due
}

// Missed says that nobody had time for a transaction that was due: it is due again in the next round.
func (s *Sweep) Missed(now int64, o *Unfinished) {
	key := openKey{o.Group, o.ID, o.Committed}
	tries := s.next[key].tries - 1
	s.next[key] = met{now - patience(o, tries), tries}
}

// patience is how long a transaction may be open before the next try.
func patience(o *Unfinished, tries int) int64 {
	wait := sweepAfter
	for _, p := range o.Participants {
		if p == o.Group {
			break
		}
		wait += sweepStep
	}
	return min(sweepMost, wait<<min(tries, 8))
}
