package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// TestReadyNodeKnowsWhatHappenedWhileItWasAway: a node that comes back hears of its leader, and may ask it, before it has the entries
// that it missed.
func TestReadyNodeKnowsWhatHappenedWhileItWasAway(t *testing.T) {
	c := newCluster(t, 3)
	all := c.attackable()
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "before"})
	c.hasKeyspace("before")
	c.close(3)
	for i := range 8 {
		c.create(1, kv.CreateKeyspace{Name: fmt.Sprint("k", i)})
	}
	for peer := range 2 {
		hurt(t, all[3], fmt.Sprintf("links/%d/in", peer+1), `{"loss":0.8}`)
	}
	c.start(3)
	for end := time.Now().Add(patience); c.nodes[3].Ready() != nil; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatal(c.nodes[3].Ready())
		}
	}
	for i := range 8 {
		if c.nodes[3].Keyspace(fmt.Sprint("k", i)) == nil {
			t.Fatalf("node 3 is ready and does not know of keyspace k%d", i)
		}
	}
}
