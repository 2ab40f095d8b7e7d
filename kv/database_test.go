package kv

import "testing"

func TestWeakLevelsMayMissWhatAMajorityHas(t *testing.T) {
	weak := map[int][]Level{1: nil, 2: nil, 3: {LevelOne, LevelEventual}, 4: {LevelOne, LevelEventual}, 5: {LevelOne, LevelEventual, LevelTwo}}
	for n, want := range weak {
		k := Keyspace{Consistency: Quorum, Replicas: n}
		for _, l := range []Level{LevelDefault, LevelOne, LevelEventual, LevelTwo, LevelQuorum, LevelAll} {
			is := false
			for _, w := range want {
				is = is || w == l
			}
			if k.Weak(l) != is {
				t.Errorf("%d replicas, level %s: weak %t", n, l, k.Weak(l))
			}
		}
	}
	if (&Keyspace{Consistency: Linearizable, Replicas: 3}).Weak(LevelOne) {
		t.Error("a keyspace with a leader has no weak levels")
	}
}
