package quorum

import (
	"slices"

	"github.com/gamutdb/gamut/core"
)

// samplesMax is how many of the latest times are kept of each way: enough to see one in a hundred over the shards of a keyspace, few
// enough for a thousand shards on a node.
const samplesMax = 64

// samples are the latest of some times.
type samples struct {
	times []core.Time
	next  int
}

func (s *samples) add(t core.Time) {
	if len(s.times) < samplesMax {
		s.times = append(s.times, t)
		return
	}
	s.times[s.next] = t
	s.next = (s.next + 1) % samplesMax
}

// path is how long a replica took to answer this coordinator: of writes, until it had them on disk and this one knew (rule Q13).
type path struct{ writes, reads samples }

// noteWritten takes the time that a replica took for a client's batch.
func (r *Replica) noteWritten(b *batch, i int) {
	if b.source == FromClient {
		r.paths[i].writes.add(r.in.Now - (b.at - r.options.WriteWithin))
	}
}

// noteRead takes the time that a replica took for a round of reads.
func (r *Replica) noteRead(q *round, i int) {
	r.paths[i].reads.add(r.in.Now - (q.at - r.options.ReadWithin))
}

// PathStatus is what a coordinator has measured of a replica, itself included: the latest times from sending to the answer, at most
// 64 of each kind.
type PathStatus struct {
	Replica core.ReplicaID
	Times   Times
}

func (r *Replica) measured() (list []PathStatus) {
	for i, id := range r.places {
		if p := &r.paths[i]; r.all.has(i) && len(p.writes.times)+len(p.reads.times) > 0 {
			list = append(list, PathStatus{id, Times{slices.Clone(p.writes.times), slices.Clone(p.reads.times)}})
		}
	}
	return list
}
