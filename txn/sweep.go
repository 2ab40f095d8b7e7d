package txn

import "github.com/gamutdb/gamut/kv"

// How long a leader lets others bring a transaction to its end, in nanoseconds: the first participant's leader waits for
// sweepAfter (rule V3), each further one a little longer, so that they do not all do it at once.
const (
	sweepAfter = int64(1e9)
	sweepStep  = int64(250e6)
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
	since, next map[openKey]int64
}

type openKey struct {
	group     uint64
	id        kv.TxID
	committed bool
}

// Begin begins a round, in which all open transactions of the groups that are led here are shown to Due.
func (s *Sweep) Begin() {
	s.since, s.next = s.next, map[openKey]int64{}
}

// Due reports whether a transaction has been open for too long. now is in nanoseconds of one clock.
func (s *Sweep) Due(now int64, o *Unfinished) bool {
	key := openKey{o.Group, o.ID, o.Committed}
	first, known := s.since[key]
	if !known {
		first = now
	}
	due := now-first >= patience(o)
	if due {
		first = now // another time only if this one fails
	}
	s.next[key] = first
	return due
}

// Missed says that nobody had time for a transaction that was due: it is due again in the next round.
func (s *Sweep) Missed(now int64, o *Unfinished) {
	s.next[openKey{o.Group, o.ID, o.Committed}] = now - patience(o)
}

func patience(o *Unfinished) int64 {
	wait := sweepAfter
	for _, p := range o.Participants {
		if p == o.Group {
			break
		}
		wait += sweepStep
	}
	return wait
}
