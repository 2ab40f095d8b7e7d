package keyspace

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// A setting of four nodes and integer keys, each on the node of its quarter and the next two (S1.18, S1.19).
func TestNumericRangesLieOnTheNodeOfTheirRangeAndTheNextTwo(t *testing.T) {
	nodes := []core.NodeID{1, 2, 3, 4}
	d, _, err := Plan(kv.CreateKeyspace{Name: "a", Consistency: kv.Quorum, Partitioner: "numeric", Splits: []string{"64", "128", "192"}}, nodes,
		Next{Keyspace: 7, Group: 11})
	if err != nil {
		t.Fatal(err)
	}
	shardOf := d.Keyspace().ShardOf
	for key := range 256 {
		var got, want []core.NodeID
		for _, m := range d.Shards[shardOf([]byte(strconv.Itoa(key)))].Replicas {
			got = append(got, m.Node)
		}
		for i := range 3 {
			want = append(want, nodes[(key/64+i)%4])
		}
		if !slices.Equal(got, want) {
			t.Errorf("key %d lies on %v, want %v", key, got, want)
		}
	}
	again, err := DecodeDescriptor(d.Encode())
	if err != nil || cmp.Diff(d, again) != "" {
		t.Fatal(err, cmp.Diff(d, again))
	}
	if d.Format != descriptorTerms {
		t.Errorf("format %d: an older program would take the keys to be spread by hash", d.Format)
	}
}

func TestOrdersOfKeys(t *testing.T) {
	for _, c := range []struct {
		partitioner string
		splits      []string
		want        map[string]int
	}{
		{"ordered", []string{"b", "m"}, map[string]int{"": 0, "a": 0, "b": 1, "lz": 1, "m": 2, "\xff": 2, "10": 0}},
		{"numeric", []string{"9", "10", "x"}, map[string]int{"0": 0, "8": 0, "9": 1, "10": 2, "999": 2, "007": 2, "": 2, "x": 3}},
	} {
		d, _, err := Plan(kv.CreateKeyspace{Name: "a", Partitioner: c.partitioner, Splits: c.splits}, three, FirstNext())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for key := range c.want {
			got[key] = d.Keyspace().ShardOf([]byte(key))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s %v: %s", c.partitioner, c.splits, diff)
		}
	}
}

func FuzzSplits(f *testing.F) {
	f.Add("numeric", "1", "22", "3")
	f.Fuzz(func(t *testing.T, partitioner, a, b, key string) {
		d, _, err := Plan(kv.CreateKeyspace{Name: "a", Partitioner: partitioner, Splits: []string{a, b}}, three, FirstNext())
		if err != nil {
			return
		}
		if at := d.Keyspace().ShardOf([]byte(key)); at < 0 || at >= len(d.Shards) {
			t.Fatal(fmt.Sprint(at))
		}
	})
}
