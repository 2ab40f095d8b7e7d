package node

import (
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/store"
)

// TestTheDigestCoversTheWholeState: two replicas that differ in anything must differ in a digest, also in what no client sees.
func TestTheDigestCoversTheWholeState(t *testing.T) {
	state := func(pairs ...string) [2]string {
		g := store.NewMemory(store.MemoryOptions{}).Group(1)
		for i := 0; i < len(pairs); i += 2 {
			if err := g.Apply([]core.Change{{Kind: core.Put, Key: []byte(pairs[i]), Value: []byte(pairs[i+1])}}); err != nil {
				t.Fatal(err)
			}
		}
		d, ok := digest(g, func() bool { return false })
		if !ok {
			t.Fatal("stopped")
		}
		return [2]string{d.Digest, d.Rest}
	}
	whole := state("da", "1", "db", "2", "s1", "session", "t1", "expiry")
	for _, c := range []struct {
		name          string
		got           [2]string
		records, rest bool // differ
	}{
		{"equal", state("da", "1", "db", "2", "s1", "session", "t1", "expiry"), false, false},
		{"value", state("da", "1", "db", "3", "s1", "session", "t1", "expiry"), true, false},
		{"border of key and value", state("da1", "", "db", "2", "s1", "session", "t1", "expiry"), true, false},
		{"session", state("da", "1", "db", "2", "s1", "another", "t1", "expiry"), false, true},
		{"nothing expires", state("da", "1", "db", "2", "s1", "session"), false, true},
	} {
		if (c.got[0] != whole[0]) != c.records || (c.got[1] != whole[1]) != c.rest {
			t.Errorf("%s: digests %v beside %v", c.name, c.got, whole)
		}
	}
}
