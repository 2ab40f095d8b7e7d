package quorum

import (
	"slices"

	"github.com/gamutdb/gamut/core"
)

// samplesMax is how many of the latest writes and rounds of reads are kept: enough to see one in a hundred over the shards of a keyspace,
// few enough for a thousand shards on a node.
const samplesMax = 64

// sample is how long each replica took for one batch of writes, or one round of reads, by its place. The times stay together: what makes
// one replica slow, such as a pause of the machine, often makes the others slow as well.
type sample [MembersMax]core.Time

// Unheard stands for the time of a replica that was not asked, or is no member any more.
const Unheard = core.Time(-1)

// samples are the latest of their kind.
type samples struct {
	list []sample
	next int
}

// add takes what some of the replicas took.
func (s *samples) add(one sample, heard mask) {
	for i := range one {
		if !heard.has(i) {
			one[i] = Unheard
		}
	}
	if len(s.list) < samplesMax {
		s.list = append(s.list, one)
		return
	}
	s.list[s.next] = one
	s.next = (s.next + 1) % samplesMax
}

// forget drops what is known of a place that another replica may get.
func (s *samples) forget(place int) {
	for i := range s.list {
		s.list[i][place] = Unheard
	}
}

// observed are the times that this coordinator has seen: of clients' writes, until a replica had them on disk and this one knew, and
// of rounds of reads (rule Q13).
type observed struct{ writes, reads samples }

// noteWritten takes the time that a replica took for a batch.
func (r *Replica) noteWritten(b *batch, i int) {
	b.times[i] = r.in.Now - (b.at - r.options.WriteWithin)
}

// noteWrittenByAll keeps the times of a client's batch that every member has.
func (r *Replica) noteWrittenByAll(b *batch) {
	if b.source == FromClient && b.acked == r.all {
		r.observed.writes.add(b.times, b.acked)
	}
}

// noteRead takes the time that a replica took for a round of reads, and keeps those of all when nobody is awaited any more.
func (r *Replica) noteRead(q *round, i int) {
	q.times[i], q.heard = r.in.Now-(q.at-r.options.ReadWithin), q.heard.with(i)
	if q.asked == 0 {
		r.observed.reads.add(q.times, q.heard)
	}
}

// Observed is what a coordinator has seen of its latest writes and rounds of reads, at most 64 of each: how long each of the replicas
// took, in their order, or Unheard.
type Observed struct {
	Replicas      []core.ReplicaID
	Writes, Reads [][]core.Time
}

func (r *Replica) sawTimes() Observed {
	if r.all == 0 {
		return Observed{}
	}
	o := Observed{Replicas: r.members(r.all)}
	rows := func(s *samples) (list [][]core.Time) {
		for i := range s.list {
			var row []core.Time
			for m := r.all; m != 0; m &= m - 1 {
				row = append(row, s.list[i][m.first()])
			}
			if slices.Max(row) != Unheard {
				list = append(list, row)
			}
		}
		return list
	}
	o.Writes, o.Reads = rows(&r.observed.writes), rows(&r.observed.reads)
	return o
}
