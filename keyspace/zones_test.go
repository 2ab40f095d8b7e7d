package keyspace

import (
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// fullestZone is how many replicas the fullest zone holds of any shard.
func fullestZone(c *Catalog) (most int) {
	zones := c.Zones()
	for _, d := range c.Keyspaces {
		for i := range d.Shards {
			for _, m := range d.Shards[i].Replicas {
				most = max(most, zones.crowd(&d.Shards[i], m.Node, 0))
			}
		}
	}
	return most
}

func TestAKeyspaceIsMadeInAllZones(t *testing.T) {
	c := NewCatalog()
	nodes := []core.NodeID{1, 2, 3, 4, 5, 6}
	for i, id := range nodes {
		c.Nodes[id] = Node{Zone: string(rune('a' + i/2))}
	}
	d, _, err := c.Zones().Plan(kv.CreateKeyspace{Name: "a", Shards: 12}, nodes, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	c.Keyspaces["a"] = d
	if most := fullestZone(c); most != 1 {
		t.Errorf("a zone holds %d replicas of a shard", most)
	}
	if counts := held(c); counts[1] != 6 || counts[2] != 6 || counts[6] != 6 {
		t.Errorf("replicas by node: %v", counts)
	}
}

// TestZonesOutweighEvenness puts three nodes into two zones, then lets a node of a third zone come: each shard has a replica
// there in the end, although that node then holds most. When a second node comes there, the two share.
func TestZonesOutweighEvenness(t *testing.T) {
	c := catalogOf(t, three, kv.CreateKeyspace{Name: "a", Shards: 6}, kv.CreateKeyspace{Name: "b", Shards: 2})
	c.Nodes = map[core.NodeID]Node{1: {Zone: "a"}, 2: {Zone: "a"}, 3: {Zone: "b"}, 4: {Zone: "c"}}
	if _, stuck := carryOut(t, c, []core.NodeID{1, 2, 3, 4}); len(stuck) > 0 || fullestZone(c) != 1 {
		t.Errorf("a zone holds %d replicas of a shard; stuck %q", fullestZone(c), stuck)
	}
	if counts := held(c); counts[1] != 4 || counts[3] != 8 || counts[4] != 8 {
		t.Errorf("replicas by node: %v", counts)
	}
	c.Nodes[5] = Node{Zone: "c"}
	carryOut(t, c, []core.NodeID{1, 2, 3, 4, 5})
	if counts := held(c); counts[4] != 4 || counts[5] != 4 || fullestZone(c) != 1 {
		t.Errorf("replicas by node: %v; a zone holds %d of a shard", counts, fullestZone(c))
	}
}

// TestWhatALeavingNodeHeldStaysInItsZone lets a node leave whose zone has another.
func TestWhatALeavingNodeHeldStaysInItsZone(t *testing.T) {
	c := catalogOf(t, three, kv.CreateKeyspace{Name: "a", Shards: 6})
	c.Nodes = map[core.NodeID]Node{1: {Zone: "a"}, 2: {Zone: "b"}, 3: {Zone: "c", State: NodeLeaving}, 4: {Zone: "a"}, 5: {Zone: "c"}}
	carryOut(t, c, []core.NodeID{1, 2, 3, 4, 5})
	if counts := held(c); counts[5] != 6 || fullestZone(c) != 1 {
		t.Errorf("replicas by node: %v; a zone holds %d of a shard", counts, fullestZone(c))
	}
}
