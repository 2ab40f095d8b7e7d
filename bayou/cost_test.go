package bayou

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// cost is what a cluster has done so far.
type cost struct{ batches, records, messages int }

func (c *cluster) cost() (all cost) {
	for _, m := range c.Members {
		all.batches += m.Synced
		all.records += len(m.Durable)
	}
	all.messages = len(c.Network)
	return all
}

func (c cost) since(before cost) cost {
	return cost{c.batches - before.batches, c.records - before.records, c.messages - before.messages}
}

// puts hands writes to a replica, each of a session of its own.
func (c *cluster) puts(m *member, n int) {
	for i := range n {
		session := fmt.Sprintf("s%d.%d", m.ID, i)
		c.askIn(m, session, kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k" + session), Value: []byte("v")}}})
	}
}

// TestCosts: a write costs one batch of one log, on the node that takes it, and waits for no message; a read costs nothing but a look
// at the state. The writes of a pass travel in one message to each peer, which nobody acknowledges, and are one record there.
func TestCosts(t *testing.T) {
	c := newCluster(3, Options{})
	c.puts(c.Member(1), 1) // alone, the first
	c.Settle()
	c.Said()

	before := c.cost()
	c.puts(c.Member(1), 1)
	if spent := c.cost().since(before); spent != (cost{}) || strings.Contains(c.Said(), "ok") {
		t.Errorf("before the disk has it, a write has cost %+v, and is answered", spent)
	}
	c.Sync(c.Member(1))
	if spent := c.cost().since(before); spent != (cost{batches: 1, records: 1, messages: 2}) || !strings.Contains(c.Said(), "1 answers s1.0: ok") {
		t.Errorf("a write that is answered has cost %+v", spent)
	}

	before = c.cost()
	read := kv.Command{Token: c.sessions["s1.0"], Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("ks1.0")}}}
	if res, needsStep := Read(c.Member(1).State, &read, kv.HLCOf(5000)); needsStep || string(res.Value) != "v" {
		t.Errorf("a read is answered %+v, and needs the replica: %t", res, needsStep)
	}
	c.askIn(c.Member(1), "s1.0", kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("ks1.0")}}})
	if spent := c.cost().since(before); spent != (cost{}) || !strings.Contains(c.Said(), `1 answers s1.0: ok "v"`) {
		t.Errorf("a read has cost %+v", spent)
	}

	c.Settle()
	c.Said()
	before = c.cost()
	const many = 200
	c.puts(c.Member(1), many)
	c.Sync(c.Member(1)) // the first of them did not wait for the others, which are the next record
	c.Sync(c.Member(1))
	spent := c.cost().since(before)
	if answered := strings.Count(c.Said(), "ok"); answered != many || spent != (cost{batches: 2, records: 2, messages: 4}) {
		t.Errorf("%d of %d writes of two passes are answered, and have cost %+v", answered, many, spent)
	}
	c.Settle()
	if spent := c.cost().since(before); spent.records != 6 || spent.messages != 0 {
		t.Errorf("writes of two passes are %d records on three replicas, and %d messages followed", spent.records, spent.messages)
	}
}

// TestArrivalsShareARecord: what peers offer while a record is on its way to the disk goes into the next one, with what is accepted
// here meanwhile.
func TestArrivalsShareARecord(t *testing.T) {
	c := newCluster(3, Options{})
	one := c.Member(1)
	c.puts(one, 1)
	c.Begin(one)
	for _, id := range []int{2, 3} {
		m := c.Members[id-1]
		for range 3 {
			c.puts(m, 2)
			c.Sync(m)
			c.Sync(m)
		}
	}
	for c.Deliver(func(p packet) bool { return p.To == 1 }) {
	}
	c.puts(one, 3)
	if len(one.Open) != 0 {
		t.Errorf("%d records were written while one was under way", len(one.Open))
	}
	before := len(one.Durable)
	c.End(one)
	c.Sync(one)
	if got := len(one.Durable) - before; got != 3 { // the first, what arrived, what was accepted
		t.Errorf("%d records, not 3", got)
	}
	if st := one.Replica.Status(); st.LogCount != 1+12+3 {
		t.Errorf("%d writes are there", st.LogCount)
	}
}
