package kv

import (
	"testing"
	"time"
)

func TestAgesOfReads(t *testing.T) {
	r := ReadAges{Reads: 10, Counts: make([]uint64, len(AgeBuckets)+1)}
	r.Counts[0], r.Counts[6], r.Counts[len(AgeBuckets)] = 5, 4, 1
	for _, x := range []struct {
		part float64
		age  time.Duration
		ok   bool
	}{{0.5, 0, true}, {0.51, 100 * time.Millisecond, true}, {0.9, 100 * time.Millisecond, true}, {0.91, 0, false}, {1, 0, false}} {
		if age, ok := r.Within(x.part); age != x.age || ok != x.ok {
			t.Errorf("%v of the reads within %v, %t", x.part, age, ok)
		}
	}
	r.Add(&ReadAges{Reads: 90, Counts: []uint64{90}})
	if age, ok := r.Within(0.95); r.Reads != 100 || age != 0 || !ok {
		t.Errorf("with those of another node: %+v", r)
	}
}
