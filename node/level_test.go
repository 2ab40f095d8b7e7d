package node

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/kv"
)

// runs sets the feature level of the program that a node is started with.
func (c *cluster) runs(id core.NodeID, level int) {
	config := c.configs[id]
	config.level = level
	c.configs[id] = config
}

func (c *cluster) hasLevel(want int) {
	c.t.Helper()
	for id, n := range c.nodes {
		eventually(c.t, fmt.Sprintf("node %d", id), func() error {
			if got := n.Status().FeatureLevel; got != want {
				return fmt.Errorf("feature level %d, not %d", got, want)
			}
			return nil
		})
	}
}

// TestACluterOfTwoReleasesUsesWhatAllKnow starts one node after the other on a newer release, one of them on the old one once more,
// under writes; then the old release is refused, and so is one that joins.
func TestAClusterOfTwoReleasesUsesWhatAllKnow(t *testing.T) {
	c := newCluster(t, 3)
	for id := range core.NodeID(3) {
		c.runs(id+1, 1)
	}
	c.runs(1, 2)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	upgrade := func(id core.NodeID, level int) {
		c.close(id)
		c.runs(id, level)
		c.start(id)
		c.ready()
		mustSet(t, c.nodes[id], "default", "k", fmt.Sprint(id, level))
	}
	upgrade(2, 2)
	c.hasLevel(1)
	upgrade(2, 1) // put back while nothing of level 2 was used
	upgrade(3, 2)
	c.hasLevel(1)
	upgrade(2, 3)
	c.hasLevel(2)

	c.close(2)
	c.runs(2, 1)
	if n, err := Start(c.configs[2]); err == nil || !strings.Contains(err.Error(), "start a newer one") {
		t.Fatalf("the old release starts: %v, %v", n, err)
	}
	<-c.fatal
	c.runs(2, 2)
	c.start(2)
	c.ready()
	mustGet(t, c.nodes[2], "default", "k", "2 3")

	old := maps.Clone(c.configs)
	c.runs(1, 1) // whoever joins takes node 1's words
	c.join(1, filepath.Join(t.TempDir(), "new"), freeport.Address(t))
	if err := <-c.fatal; !strings.Contains(err.Error(), "start a newer one") {
		t.Errorf("who joins on the old release ends with %v", err)
	}
	c.close(4)
	maps.Copy(c.configs, old)
	c.hasLevel(2)
}
