package node

import (
	"sync/atomic"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// ages counts, for one keyspace, how old what was read from this node's own states could be: by level, then by bucket of
// kv.AgeBuckets, the last one beyond all of them.
type ages [kv.LevelKinds][len(kv.AgeBuckets) + 1]atomic.Uint64

// note counts a read that was answered from a state without asking anyone. Under a lease that is as new as any; else it is
// known as of when it held everything. A linearizable read is never old, and not counted.
func (a *ages) note(level kv.Level, p *keyspace.Permit) {
	a[level.Kind()][bucketOf(p)].Add(1)
}

func bucketOf(p *keyspace.Permit) int {
	if p.Lease {
		return 0
	}
	if p.Fresh.Whole == 0 {
		return len(kv.AgeBuckets)
	}
	age := p.Mono - p.Fresh.Whole
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
		return s.keyspace.Consistency == kv.Sequential
	}
	return keyspace.Led(s.keyspace.Consistency)
}

// readAges tells what was counted.
func (t *table) readAges() (list []kv.ReadAges) {
	for _, s := range t.ordered {
		for level := range s.ages {
			r := kv.ReadAges{Keyspace: s.keyspace.Name, Level: kv.Level(level).String()}
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
