package keyspace

import (
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/quorum"
)

// TestReportsNameNodes: what a replica says of others is told with the nodes on which they live, which have other numbers.
func TestReportsNameNodes(t *testing.T) {
	nodes := map[core.ReplicaID]core.NodeID{1: 2, 2: 3, 3: 1}
	st := quorum.Status{Repair: quorum.Saying{Words: "waits for %s", Replicas: []core.ReplicaID{2, 3}}, Change: quorum.Saying{Words: "not yet: %s"},
		Behind: []core.ReplicaID{1}}
	q := reportQuorum(st, nodes).Quorum
	if q.Repair != "waits for node 3, node 1" || q.Change != "not yet: none" || len(q.Behind) != 1 || q.Behind[0] != 2 {
		t.Errorf("%+v", q)
	}
}
