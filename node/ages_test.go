package node

import (
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

func TestAgesOfReadsAreCounted(t *testing.T) {
	const ms, now = core.Time(1e6), core.Time(100e9)
	last := len(kv.AgeBuckets)
	for _, x := range []struct {
		permit keyspace.Permit
		bucket int
	}{
		{keyspace.Permit{Lease: true}, 0},
		{keyspace.Permit{Lease: true, Fresh: core.Freshness{Whole: 1}, Mono: now}, 0},
		{keyspace.Permit{Mono: now}, last},
		{keyspace.Permit{Fresh: core.Freshness{Whole: now}, Mono: now}, 0},
		{keyspace.Permit{Fresh: core.Freshness{Whole: now - 1}, Mono: now}, 1},
		{keyspace.Permit{Fresh: core.Freshness{Whole: now - 100*ms}, Mono: now}, 6},
		{keyspace.Permit{Fresh: core.Freshness{Whole: now - 101*ms}, Mono: now}, 7},
		{keyspace.Permit{Fresh: core.Freshness{Whole: now - 31_000*ms}, Mono: now}, last},
	} {
		var a ages
		a.note(kv.BoundedAge(5e9), ageOf(kv.Sequential, &x.permit))
		if a[kv.LevelBounded][x.bucket].Load() != 1 {
			t.Errorf("%+v is not in bucket %d", x.permit, x.bucket)
		}
	}
}

// Where no leader leads, a permit to read the state says nothing of its age.
func TestAReplicaThatAnswersForItselfIsAsOldAsItKnows(t *testing.T) {
	p := keyspace.Permit{Lease: true, Fresh: core.Freshness{Whole: 30}, Mono: 100}
	if led, own := ageOf(kv.Linearizable, &p), ageOf(kv.Causal, &p); led != 0 || own != 70 {
		t.Errorf("under a lease %d, without a leader %d", led, own)
	}
}

func TestOnlyReadsThatCanBeOldAreCounted(t *testing.T) {
	for _, x := range []struct {
		consistency kv.Consistency
		level       kv.Level
		counts      bool
	}{
		{kv.Linearizable, kv.LevelDefault, false}, {kv.Linearizable, kv.LevelEventual, true}, {kv.Linearizable, kv.BoundedVersions(3), true},
		{kv.Sequential, kv.LevelDefault, true}, {kv.Sequential, kv.LevelLinearizable, false}, {kv.Quorum, kv.LevelOne, false}, {kv.Quorum, kv.LevelDefault, false},
		{kv.Causal, kv.LevelSession, true}, {kv.Causal, kv.LevelCommitted, false}, {kv.Eventual, kv.LevelDefault, true},
	} {
		s := &space{keyspace: &kv.Keyspace{Consistency: x.consistency}}
		if s.counts(x.level) != x.counts {
			t.Errorf("%s at %s", x.consistency, x.level)
		}
	}
}
