package node

import (
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func TestWhatAReadHasMissed(t *testing.T) {
	at := func(ms int64, origin uint32) seen { return seen{kv.HLCOf(ms), origin, 0} }
	for _, x := range []struct {
		name         string
		shown, again seen
		age          core.Time
		known        bool
	}{
		{"nothing is there", seen{}, seen{}, 0, true},
		{"the same", at(500, 1), at(500, 1), 0, true},
		{"newer and before the read", at(500, 1), at(990, 2), 10e6, true},
		{"nothing was shown", seen{}, at(400, 2), 600e6, true},
		{"of the read's own millisecond", at(500, 1), at(1000, 2), 1e6, true},
		{"of one moment", at(500, 1), at(500, 2), 500e6, true},
		{"written behind the read", at(500, 1), at(1001, 2), 0, false},
		{"older: what was shown has gone", at(500, 1), seen{}, 0, true},
	} {
		x.shown.asOf = 1000
		if age, known := x.shown.missed(x.again); age != x.age || known != x.known {
			t.Errorf("%s: %d %t, not %d %t", x.name, age, known, x.age, x.known)
		}
	}
}

func TestReadsAreMadeAgainOneAtATime(t *testing.T) {
	var r rechecks
	if !r.begin(5) || r.begin(6) {
		t.Error("two at a time, or none")
	}
	r.next.Store(100)
	if r.begin(99) || !r.begin(100) {
		t.Error("too soon, or not at all")
	}
}

// agesAt is what a node has counted of a keyspace at a level.
func agesAt(n *Node, name string, level kv.Level) (got kv.ReadAges) {
	for _, r := range n.Status().Reads {
		if r.Keyspace == name && r.Level == level.String() {
			got = r
		}
	}
	return got
}

// TestAWeakReadThatMissedAWriteIsFound reads at level one, and says of one such read that it had shown an older record than all replicas
// have: what was right is counted as such, and what was missed with its age.
func TestAWeakReadThatMissedAWriteIsFound(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "q", Consistency: kv.Quorum})
	c.hasKeyspace("q")
	mustSet(t, c.nodes[1], "q", "k", "old")
	eventually(t, "a read that missed nothing is counted", func() error {
		submit(c.nodes[2], "q", at(kv.LevelOne, get("k")))
		if r := agesAt(c.nodes[2], "q", kv.LevelOne); r.Reads == 0 || r.Counts[0] == 0 || !r.Checked {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	// A replica that has less than the others, as if it had missed a write: the others' record is newer than what node 2 shows.
	sh := c.nodes[2].table.Load().byName["q"].shards[0]
	shown := submit(c.nodes[2], "q", at(kv.LevelOne, get("k")))[0]
	shown.Version -= 1 << 16
	before := agesAt(c.nodes[2], "q", kv.LevelOne)
	call := &kv.Call{Keyspace: sh.space.keyspace, Command: at(kv.LevelOne, get("k"))}
	eventually(t, "a read that missed a write is counted", func() error {
		c.nodes[2].recheck(sh, call, &shown, c.nodes[2].clocks.mono())
		if r := agesAt(c.nodes[2], "q", kv.LevelOne); r.Reads-r.Counts[0] == before.Reads-before.Counts[0] {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	if r := agesAt(c.nodes[2], "q", kv.LevelQuorum); r.Reads != 0 {
		t.Errorf("reads that miss nothing are counted: %+v", r)
	}
}
