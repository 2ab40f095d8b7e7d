package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// TestValuesMoveWithTheirShard: a replica that came by references alone has the values before who had them goes, although the store
// that has them is away for a while.
func TestValuesMoveWithTheirShard(t *testing.T) {
	const count = 100
	c, liars := outsideNodes(t, kv.CreateKeyspace{Name: "pages", Consistency: kv.Quorum, Replicas: 1})
	from := c.nodes[1].table.Load().byName["pages"].shards[0].nodes[0]
	to := from%3 + 1
	for i := range count {
		must(t, c.nodes[1], "pages", op(kv.OpSet, fmt.Sprint("k", i), tale+fmt.Sprint(i)))
	}
	eventually(t, "values outside", func() error {
		if s := c.nodes[from].values.node.Stats(); s.Waiting+s.Settling > 0 || anterooms(c.nodes[from]) > 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	liars[from].set(func(l *liar) { l.away = true })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[1].MoveGroup(ctx, "pages", c.groupOf("pages", 0), []uint32{uint32(to)}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(2*time.Second, func() { liars[from].set(func(l *liar) { l.away = false }) })
	eventually(t, "move", func() error {
		for _, n := range c.nodes {
			if s := n.table.Load().byName["pages"].descriptor.Shards[0]; len(s.Target) > 0 || s.On(to) == 0 {
				return fmt.Errorf("%+v", s)
			}
		}
		return nil
	})
	for i := range count {
		if r := must(t, c.nodes[1], "pages", op(kv.OpGet, fmt.Sprint("k", i), "")); string(r.Value) != tale+fmt.Sprint(i) {
			t.Fatalf("k%d is %+v", i, r)
		}
	}
}
