package node

import (
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// TestReadsWithoutALeaderAreAsOldAsThePeersAreSilent: in keyspaces where every replica takes writes a replica knows until when it has
// all that the others took; while all are in touch that goes on, and when one is gone it stands still, and reads grow old.
func TestReadsWithoutALeaderAreAsOldAsThePeersAreSilent(t *testing.T) {
	for _, consistency := range []kv.Consistency{kv.Causal, kv.Eventual} {
		t.Run(string(consistency), func(t *testing.T) {
			c := newCluster(t, 3)
			c.start(1, 2, 3)
			c.ready()
			c.create(1, kv.CreateKeyspace{Name: "k", Consistency: consistency})
			c.hasKeyspace("k")
			mustSet(t, c.nodes[1], "k", "x", "v")
			whole := func() core.Time { return c.nodes[1].table.Load().byName["k"].shards[0].fresh.Load().Whole }
			first := whole()
			eventually(t, "what is known goes on", func() error {
				if now := whole(); now <= first || first == 0 {
					first = max(first, now)
					return fmt.Errorf("whole as of %d", now)
				}
				return nil
			})
			old := func() (n uint64) {
				r := agesAt(c.nodes[1], "k", kv.LevelDefault)
				for i := 11; i < len(r.Counts); i++ { // over 5 s
					n += r.Counts[i]
				}
				return n
			}
			if r := submit(c.nodes[1], "k", get("x"))[0]; r.Code != kv.OK {
				t.Fatal(r.Code)
			}
			if r := agesAt(c.nodes[1], "k", kv.LevelDefault); r.Reads == 0 || r.Checked {
				t.Errorf("%+v", r)
			}
			c.close(3)
			eventually(t, "reads grow old", func() error {
				submit(c.nodes[1], "k", get("x"))
				if old() == 0 {
					return fmt.Errorf("%+v", agesAt(c.nodes[1], "k", kv.LevelDefault))
				}
				return nil
			})
			c.start(3)
			gone := whole()
			eventually(t, "what is known goes on again", func() error {
				if now := whole(); now <= gone {
					return fmt.Errorf("whole as of %d, as before", now)
				}
				return nil
			})
		})
	}
}
