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
		{"inside", "", kv.CreateKeyspace{Values: "inside"}, ""},
		{"nothing said", "", kv.CreateKeyspace{}, ""},
		{"outside", "", kv.CreateKeyspace{Values: "outside", Consistency: kv.Quorum}, "An outside store that evicts or starts empty"},
		{"memory", "", kv.CreateKeyspace{Values: "memory", Consistency: kv.Causal}, "A node that is killed"},
		{"upstairs", `values "upstairs" are kept nowhere`, kv.CreateKeyspace{Values: "upstairs"}, ""},
		{"commit order", "of a commit order are kept inside", kv.CreateKeyspace{Values: "memory", Consistency: kv.Causal, CommitOrder: true}, ""},
		{"siblings", "siblings are kept inside", kv.CreateKeyspace{Values: "memory", Consistency: kv.Causal, Conflict: "siblings"}, ""},
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
			if err != nil || again.Terms.Values != d.Terms.Values || (d.InsideMax() == 0) != (c.explains == "") {
				t.Errorf("%+v, %v", again, err)
			}
			if text := strings.Join(d.Explain(), "\n"); strings.Contains(text, "What that can lose") != (c.explains != "") || !strings.Contains(text, c.explains) {
				t.Error(text)
			}
		})
	}
	d, _, err := Plan(kv.CreateKeyspace{Name: "k", Partitioner: "ordered", Values: "memory"}, nodes, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	if err := Splittable(d); err == nil || !strings.Contains(err.Error(), "kept elsewhere") {
		t.Errorf("shards whose values are kept elsewhere can be split: %v", err)
	}
}
