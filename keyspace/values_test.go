package keyspace

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func TestValuesOfAKeyspace(t *testing.T) {
	nodes := []core.NodeID{1, 2, 3}
	for _, c := range []struct {
		name, wrong string
		spec        kv.CreateKeyspace
		explains    string
	}{
		{"pebble", "", kv.CreateKeyspace{Store: "pebble"}, ""},
		{"nothing said", "", kv.CreateKeyspace{}, ""},
		{"node", "", kv.CreateKeyspace{Store: "node", Consistency: kv.Quorum}, "A store that evicts or starts empty"},
		{"memory", "", kv.CreateKeyspace{Store: "memory", Consistency: kv.Causal}, "A node that is killed"},
		{"upstairs", `there is no store "upstairs"`, kv.CreateKeyspace{Store: "upstairs"}, ""},
		{"an address", "each node has a store of its own", kv.CreateKeyspace{Store: "redis://127.0.0.1:6379"}, ""},
		{"evictable", "", kv.CreateKeyspace{Store: "node", Evictable: true, Consistency: kv.Atomic}, "the next read deletes it"},
		{"evictable in Pebble", "never evicted", kv.CreateKeyspace{Evictable: true}, ""},
		{"evictable without an order", "of consistency causal have no order", kv.CreateKeyspace{Store: "memory", Evictable: true, Consistency: kv.Causal}, ""},
		{"evictable quorum", "of consistency quorum have no order", kv.CreateKeyspace{Store: "memory", Evictable: true, Consistency: kv.Quorum}, ""},
		{"commit order", "of a commit order are kept in Pebble", kv.CreateKeyspace{Store: "memory", Consistency: kv.Causal, CommitOrder: true}, ""},
		{"siblings", "siblings are kept in Pebble", kv.CreateKeyspace{Store: "memory", Consistency: kv.Causal, Conflict: "siblings"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Name = "k"
			d, _, err := Plan(c.spec, nodes, FirstNext())
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("error %v, want %q", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			again, err := DecodeDescriptor(d.Encode())
			if err != nil || again.Terms.Store != d.Terms.Store || (d.InsideMax() == 0) != (c.explains == "") {
				t.Errorf("%+v, %v", again, err)
			}
			if text := strings.Join(d.Explain(), "\n"); strings.Contains(text, "What that can lose") != (c.explains != "") || !strings.Contains(text, c.explains) {
				t.Error(text)
			}
		})
	}
	d, _, err := Plan(kv.CreateKeyspace{Name: "k", Partitioner: "ordered", Store: "memory"}, nodes, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	if err := Splittable(d); err == nil || !strings.Contains(err.Error(), "kept elsewhere") {
		t.Errorf("shards whose values are kept elsewhere can be split: %v", err)
	}
}
