package acceptance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/lab/live"
)

// rooms is a keyspace with a commit order on real processes.
type rooms struct {
	*cluster
	world *live.World
}

func (r *rooms) do(node int, level kv.Level, op kv.Op) kv.Result {
	return r.world.Do(lab.Request{Node: core.NodeID(node), Keyspace: "rooms", Command: kv.Command{Level: level, Ops: []kv.Op{op}}, Timeout: 2 * time.Second})
}

// append puts an element behind a list, and says at which level that was answered.
func (r *rooms) append(node int, level kv.Level, element string) {
	r.t.Helper()
	if res := r.do(node, level, kv.Op{Kind: kv.OpAppend, Key: []byte("list"), Value: []byte(element + ",")}); res.Err() != nil || res.Level != level {
		r.t.Fatalf("append %s at node %d: %v %s, level %s, not %s", element, node, res.Code, res.Detail, res.Level, level)
	}
}

func (r *rooms) list(node int, level kv.Level) string {
	r.t.Helper()
	res := r.do(node, level, kv.Op{Kind: kv.OpGet, Key: []byte("list")})
	if res.Err() != nil {
		r.t.Fatalf("get at node %d: %v %s", node, res.Code, res.Detail)
	}
	return string(res.Value)
}

// order is how far a node's replica is.
func (r *rooms) order(node int) (o kv.OrderStatus, err error) {
	g, err := r.replica(node, "rooms")
	if err == nil && (g.Causal == nil || g.Causal.Order == nil) {
		err = fmt.Errorf("node %d says nothing of a commit order", node)
	}
	if err != nil {
		return o, err
	}
	return *g.Causal.Order, nil
}

// awaitCommitted waits until some nodes have committed as many writes, the same in the same order, and nothing is tentative there.
func (r *rooms) awaitCommitted(count uint64, nodes ...int) (chain string) {
	r.t.Helper()
	await(r.t, patience, func() error {
		chain = ""
		for _, id := range nodes {
			o, err := r.order(id)
			switch {
			case err != nil:
				return err
			case o.Committed != count || o.Tentative != 0 || chain != "" && o.Chain != chain:
				return fmt.Errorf("node %d has %+v, another one chain %s", id, o, chain)
			}
			chain = o.Chain
		}
		return nil
	})
	return chain
}

// TestMinorityStaysTentative cuts one of three real processes off. What is written there is tentative and stays so, over a kill -9, while
// the others commit what they are given. When the cut is over all is committed everywhere, in one order in which what was committed
// before has not moved, and each element once.
func TestMinorityStaysTentative(t *testing.T) {
	c := newCluster(t, "--lab")
	r := &rooms{c, c.world()}
	c.did(r.world.CreateKeyspace(context.Background(), kv.CreateKeyspace{Name: "rooms", Consistency: kv.Causal, CommitOrder: true}))
	r.append(3, kv.LevelCommitted, "first")
	c.isolate(r.world, 3, lab.Link{Down: true})
	const each = 20
	for i := range each {
		r.append(3, kv.LevelTentative, fmt.Sprint("minority", i))
		r.append(1+i%2, kv.LevelCommitted, fmt.Sprint("majority", i))
	}
	if res := r.do(3, kv.LevelCommitted, kv.Op{Kind: kv.OpSet, Key: []byte("k"), Value: []byte("v")}); res.Code != kv.Unknown {
		t.Errorf("a write that shall be committed without a majority is answered %v, level %s", res.Code, res.Level)
	}
	before := r.list(1, kv.LevelCommitted)
	c.kill(3)
	c.start(3)
	c.awaitReady(1, 2)
	await(t, patience, func() error {
		o, err := r.order(3)
		if err == nil && (o.Committed != 1 || o.Tentative != each+1) {
			err = fmt.Errorf("node 3 has %+v behind the cut", o)
		}
		return err
	})
	if got := r.list(3, kv.LevelCommitted); got != "first," {
		t.Errorf("node 3 calls %q committed behind the cut", got)
	}
	if got := r.list(3, kv.LevelTentative); strings.Count(got, "minority") != each || strings.Contains(got, "majority") {
		t.Errorf("node 3 shows %q behind the cut", got)
	}
	c.isolate(r.world, 3, lab.Link{})
	chain := r.awaitCommitted(2*each+2, 1, 2, 3)
	whole := r.list(1, kv.LevelCommitted)
	if !strings.HasPrefix(whole, before) {
		t.Errorf("what was committed has moved: %q, then %q", before, whole)
	}
	for i := range each {
		for _, side := range []string{"minority", "majority"} {
			if element := fmt.Sprint(",", side, i, ","); strings.Count(whole, element) != 1 {
				t.Errorf("%s stands %d times in %s", element, strings.Count(whole, element), whole)
			}
		}
	}
	for id := 1; id <= 3; id++ {
		if got := r.list(id, kv.LevelCommitted); got != whole {
			t.Errorf("node %d has %q committed, not %q", id, got, whole)
		}
	}
	c.kill(1)
	c.start(1)
	c.awaitReady(1, 2, 3)
	if again := r.awaitCommitted(2*each+2, 1, 2, 3); again != chain {
		t.Errorf("behind a kill -9 the chain is %s, not %s", again, chain)
	}
}
