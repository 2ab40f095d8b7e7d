package node

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// evictedNodes have a keyspace that is a cache, and stores that have lost what was in them.
func evictedNodes(t *testing.T, consistency kv.Consistency) *cluster {
	c, liars := outsideNodes(t, kv.CreateKeyspace{Name: "pages", Consistency: consistency, Evictable: true})
	for _, key := range []string{"a", "b", "c"} {
		must(t, c.nodes[1], "pages", op(kv.OpSet, key, tale+key))
	}
	outOfTheDisks(t, c, "c")
	for _, l := range liars {
		l.set(func(l *liar) { l.empty = true })
	}
	return c
}

func TestWhatStoresEvictIsAMissThatAllAgreeOn(t *testing.T) {
	for _, consistency := range []kv.Consistency{kv.Linearizable, kv.Sequential, kv.Atomic} {
		t.Run(string(consistency), func(t *testing.T) {
			t.Parallel() // it mostly waits
			c := evictedNodes(t, consistency)
			miss := must(t, c.nodes[2], "pages", op(kv.OpGet, "a", ""))
			if miss.Code != kv.NotFound || miss.Marks&kv.MarkEvicted == 0 || len(miss.Value) > 0 {
				t.Fatalf("a value that no store has is answered %+v", miss)
			}
			for id, n := range c.nodes {
				get := op(kv.OpGet, "a", "")
				get.Token = miss.Token
				if r := must(t, n, "pages", get); r.Code != kv.NotFound || r.Marks&kv.MarkEvicted != 0 {
					t.Errorf("then node %d answers %+v", id, r)
				}
			}
			add := op(kv.OpSet, "a", tale)
			add.Ops[0].When = kv.IfAbsent
			if r := must(t, c.nodes[1], "pages", add); r.Code != kv.OK {
				t.Errorf("it is added again: %+v", r)
			}
			scan := kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}}, Token: miss.Token}
			list := must(t, c.nodes[3], "pages", scan)
			if list.Marks&kv.MarkEvicted == 0 || len(list.Items) > 1 {
				t.Errorf("a scan over what was evicted lists %d keys, marks %d", len(list.Items), list.Marks)
			}
			if s := c.nodes[2].values.status()[0]; s.Evicted != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// An eviction takes nothing that was written after the value that is lost; and what a change answers with is no miss.
func TestEvictionSparesWhatWasWrittenMeanwhile(t *testing.T) {
	c := evictedNodes(t, kv.Linearizable)
	n := c.nodes[1]
	sh := n.table.Load().byName["pages"].shards[0]
	quiet := op(kv.OpGet, "b", "")
	quiet.Ops[0].Quiet = true
	old := must(t, n, "pages", quiet)
	must(t, n, "pages", op(kv.OpSet, "b", tale+"anew"))
	call := &kv.Call{Keyspace: sh.space.keyspace, Command: op(kv.OpGet, "b", "")}
	r := n.readWithout(t.Context(), sh, call, []lostValue{{[]byte("b"), old.Version}})
	if old.Version == 0 || r.Code != kv.OK || string(r.Value) != tale+"anew" || r.Marks != 0 {
		t.Errorf("version %d is evicted, and %+v is read", old.Version, r)
	}
	touch := kv.Command{Ops: []kv.Op{{Kind: kv.OpExpire, Key: []byte("a"), Expiry: kv.ExpireIn, Expire: 60_000}}}
	if r := must(t, n, "pages", touch); r.Code != kv.NotFound || r.Marks&kv.MarkEvicted == 0 {
		t.Errorf("a lost value is touched: %+v", r)
	}
	getAndDelete := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("c")}, {Kind: kv.OpDelete, Key: []byte("c")}}}
	if r := submit(n, "pages", getAndDelete)[0]; len(r.Items) != 2 || r.Items[0].Code != kv.Unknown || r.Items[1].Code != kv.OK {
		t.Errorf("a deletion that answers with a lost value: %+v", r)
	}
}
