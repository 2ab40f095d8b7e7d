package node

import (
	"sync/atomic"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// ages counts, for one keyspace, how old what was read from this node's own states could be: by level, then by bucket of
// kv.AgeBuckets, the last one beyond all of them. Of quorum keyspaces it counts what rechecks have found.
type ages [kv.LevelKinds][len(kv.AgeBuckets) + 1]atomic.Uint64

// note counts a read that was answered from a state. A linearizable read is never old, and not counted.
func (a *ages) note(level kv.Level, age core.Time) { a[level.Kind()][bucketOf(age)].Add(1) }

// unknown is an age that nobody knows.
const unknown = core.Time(1<<63 - 1)

// ageOf is how old at most a state is that a permit stands for. Where a leader leads, one under a lease is as new as any; else it is
// known as of when it held everything.
func ageOf(c kv.Consistency, p *keyspace.Permit) core.Time {
	switch {
	case p.Lease && keyspace.Led(c):
		return 0
	case p.Fresh.Whole == 0:
		return unknown
	}
	return p.Mono - p.Fresh.Whole
}

func bucketOf(age core.Time) int {
	for i, most := range kv.AgeBuckets {
		if age <= core.Time(most) {
			return i
		}
	}
	return len(kv.AgeBuckets)
}

// counts says whether reads of a keyspace at a level can be old, and whether it is known how old.
func (s *space) counts(level kv.Level) bool {
	switch level.Kind() {
	case kv.LevelLinearizable:
		return false
	case kv.LevelDefault:
		c := s.keyspace.Consistency
		return c == kv.Sequential || c == kv.Causal || c == kv.Eventual
	case kv.LevelCommitted:
		return false // it leaves out what has no final place yet, however old that is
	}
	return s.keyspace.Consistency != kv.Quorum
}

// noteStepped counts a read that a replica has answered by a Step, where each replica answers for itself.
func (n *Node) noteStepped(w waiting, r *kv.Result) {
	s, level := w.shard.space, w.call.Command.Level
	switch {
	case w.shard.self == 0 || keyspace.Led(s.keyspace.Consistency):
	case s.counts(level):
		s.ages.note(level, ageOf(s.keyspace.Consistency, &keyspace.Permit{Fresh: *w.shard.fresh.Load(), Mono: n.clocks.mono()}))
	default:
		n.recheck(w.shard, w.call, r, n.clocks.mono())
	}
}

// readAges tells what was counted.
func (t *table) readAges() (list []kv.ReadAges) {
	for _, s := range t.ordered {
		for level := range s.ages {
			r := kv.ReadAges{Keyspace: s.keyspace.Name, Level: kv.Level(level).String(), Checked: s.keyspace.Consistency == kv.Quorum}
			for i := range s.ages[level] {
				n := s.ages[level][i].Load()
				r.Counts = append(r.Counts, n)
				r.Reads += n
			}
			if r.Reads > 0 {
				list = append(list, r)
			}
		}
	}
	return list
}
