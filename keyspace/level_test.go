package keyspace

import (
	"testing"

	"github.com/gamutdb/gamut/core"
)

func TestTheLevelIsWhatAllNodesKnow(t *testing.T) {
	served := StoreID{1}
	for _, tt := range []struct {
		name  string
		level int
		nodes map[core.NodeID]Node
		want  int
	}{
		{"all know it", 1, map[core.NodeID]Node{1: {Store: served, Level: 3}, 2: {Store: served, Level: 2}}, 2},
		{"one is of a release without levels", 1, map[core.NodeID]Node{1: {Store: served, Level: 2}, 2: {Store: served}}, 1},
		{"one has never served", 1, map[core.NodeID]Node{1: {Store: served, Level: 2}, 2: {Ticket: "t"}}, 1},
		{"one is not known", 1, map[core.NodeID]Node{1: {Store: served, Level: 2}}, 1},
		{"one was removed", 1, map[core.NodeID]Node{1: {Store: served, Level: 2}, 2: {Store: served, State: NodeRemoved}}, 2},
		{"one leaves", 1, map[core.NodeID]Node{1: {Store: served, Level: 2}, 2: {Store: served, Level: 1, State: NodeLeaving}}, 1},
		{"one was put back", 2, map[core.NodeID]Node{1: {Store: served, Level: 2}, 2: {Store: served, Level: 1}}, 2},
	} {
		c := NewCatalog()
		c.Level = tt.level
		c.Nodes = tt.nodes
		if got := c.NextLevel([]core.NodeID{1, 2}); got != tt.want {
			t.Errorf("%s: level %d, not %d", tt.name, got, tt.want)
		}
	}
	c := NewCatalog()
	if err := c.Put([]byte(LevelKey), EncodeLevel(7)); err != nil || c.Level != 7 {
		t.Errorf("level %d of the catalog, %v", c.Level, err)
	}
	if err := c.Put([]byte(LevelKey), []byte("high")); err == nil {
		t.Error("a malformed level is taken")
	}
}
