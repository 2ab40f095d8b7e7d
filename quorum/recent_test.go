package quorum

import (
	"encoding/binary"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"

	"github.com/gamutdb/gamut/kv"
)

// TestRecentForgetsButNeverErrs: what is found for a key is what was put last, however often the generations change; and what
// was put among the last keys is found.
func TestRecentForgetsButNeverErrs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const keysMax = 20
		var r recent
		put := map[int]gist{}
		var order []int
		for i, n := range rapid.SliceOf(rapid.IntRange(0, 100)).Draw(t, "keys") {
			key := binary.BigEndian.AppendUint32([]byte{DataKind}, uint32(n))
			g := gist{stamp: Stamp{Time: kv.HLC(i)}, size: uint32(i + 1)}
			r.put(key, xxhash.Sum64(key), g, keysMax)
			put[n], order = g, append(order, n)
		}
		for n := range 100 {
			key := binary.BigEndian.AppendUint32([]byte{DataKind}, uint32(n))
			if g, ok := r.find(key, xxhash.Sum64(key)); ok && g != put[n] {
				t.Fatalf("key %d: %+v, put was %+v", n, g, put[n])
			}
		}
		for _, n := range order[max(0, len(order)-keysMax):] {
			key := binary.BigEndian.AppendUint32([]byte{DataKind}, uint32(n))
			if _, ok := r.find(key, xxhash.Sum64(key)); !ok {
				t.Fatalf("key %d is forgotten", n)
			}
		}
		if n := len(r.young.list) + len(r.old.list); n > 2*keysMax {
			t.Fatalf("%d keys are kept", n)
		}
	})
}

// TestRecentIsBoundedInBytes: keys as long as they may be fill it sooner.
func TestRecentIsBoundedInBytes(t *testing.T) {
	const keysMax = 1000
	var r recent
	for n := range 10 * keysMax {
		key := make([]byte, kv.KeyMax)
		binary.BigEndian.PutUint32(key, uint32(n))
		r.put(key, xxhash.Sum64(key), gist{size: 1}, keysMax)
	}
	if bytes := len(r.young.keys) + len(r.old.keys); bytes > 2*(keysMax*recentKey+kv.KeyMax) {
		t.Errorf("%d bytes of keys are kept", bytes)
	}
}
