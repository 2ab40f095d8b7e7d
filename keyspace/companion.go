package keyspace

import (
	"fmt"
	"strings"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// A keyspace with a commit order has a companion: a linearizable keyspace of one shard, which the replicas of the first one consult,
// and nobody else. It is placed where they are when both are created. From then on it is a keyspace like any other: it
// is drained and moved for itself, verified and audited.

// companionSuffix ends the names of companions. No user can make one: it holds a dot.
const companionSuffix = ".order"

// CompanionName is the name of the companion of a keyspace.
func CompanionName(name string) string { return name + companionSuffix }

// IsCompanion says that a keyspace is a companion, by its name: clients have no business there.
func IsCompanion(name string) bool { return strings.HasSuffix(name, companionSuffix) }

// PlanCompanion places the companion of a keyspace that was just planned; nil: it needs none. It returns the ids for the next keyspace.
func (d *Descriptor) PlanCompanion(next Next) (*Descriptor, Next) {
	if !d.Terms.CommitOrder {
		return nil, next
	}
	var nodes []core.NodeID
	for _, m := range d.Shards[0].Replicas {
		nodes = append(nodes, m.Node)
	}
	c := &Descriptor{Name: CompanionName(d.Name), ID: next.Keyspace, Consistency: kv.Linearizable,
		Shards: []Shard{Zones(nil).place(next.Group, nodes, 0, min(len(nodes), ReplicasMax))}}
	c.Format = c.format()
	next.Keyspace++
	next.Group++
	return c, next
}

func reportOrder(o *bayou.OrderStatus) *kv.OrderStatus {
	if o == nil {
		return nil
	}
	return &kv.OrderStatus{Committed: o.Committed, Tentative: o.Tentative, Chain: fmt.Sprintf("%016x", o.Chain), Cut: o.Cut, Known: o.Known,
		Undone: o.Undone, Waiting: o.Waiting}
}
