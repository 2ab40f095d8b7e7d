package node

import (
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
)

func TestConfigRefuses(t *testing.T) {
	good := func() Config {
		return Config{Dir: "d", Node: 2, Cluster: map[core.NodeID]string{1: "a:1", 2: "b:1", 3: "c:1"}}
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		says   string
	}{
		{"good", func(*Config) {}, ""},
		{"no list", func(c *Config) { c.Cluster = nil }, "cluster list is empty"},
		{"no id", func(c *Config) { c.Node = 0 }, "has no id"},
		{"not in the list", func(c *Config) { c.Node = 4 }, "node 4 is not in the cluster list"},
		{"one address twice", func(c *Config) { c.Cluster[3] = "b:1" }, "nodes 2 and 3 have the same address b:1"},
		{"no port", func(c *Config) { c.Cluster[3] = "c" }, "node 3 has the address"},
		{"port 0", func(c *Config) { c.Cluster[3] = "c:0" }, "node 3 has the address"},
		{"id 0", func(c *Config) { c.Cluster[0] = "d:1" }, "node 0 has the address"},
		{"too many", func(c *Config) { c.Cluster[4], c.Cluster[5], c.Cluster[6] = "d:1", "e:1", "f:1" }, "today 5 is the most"},
		{"no folder", func(c *Config) { c.Dir = "" }, "no folder"},
		{"reserve", func(c *Config) { c.DiskReserveBytes = -1 }, "disk reserve"},
		{"heartbeat", func(c *Config) { c.Timing.Heartbeat = time.Microsecond }, "heartbeat"},
		{"election", func(c *Config) { c.Timing.ElectionMin = 60 * time.Millisecond }, "three times"},
		{"election range", func(c *Config) { c.Timing.ElectionMax = time.Millisecond }, "give a range"},
		{"lease", func(c *Config) { c.Timing.Lease = time.Minute }, "lease"},
	} {
		config := good()
		c.change(&config)
		err := config.Validate()
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

func TestClusterIDFollowsTheListOrTheName(t *testing.T) {
	a := Config{Cluster: map[core.NodeID]string{1: "a:1", 2: "b:1"}}
	b := Config{Cluster: map[core.NodeID]string{2: "b:1", 1: "a:1"}, Node: 2}
	moved := Config{Cluster: map[core.NodeID]string{1: "a:1", 2: "c:1"}}
	if a.clusterID() != b.clusterID() || a.clusterID() == moved.clusterID() {
		t.Error("the id does not follow the list")
	}
	a.ClusterName, moved.ClusterName = "x", "x"
	if a.clusterID() != moved.clusterID() {
		t.Error("the id does not follow the name")
	}
}
