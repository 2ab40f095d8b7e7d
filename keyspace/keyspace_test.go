package keyspace

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

var three = []core.NodeID{1, 2, 3}

func TestPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		spec kv.CreateKeyspace
		code kv.Code
		says string
	}{
		{kv.CreateKeyspace{}, kv.Invalid, "needs a name"},
		{kv.CreateKeyspace{Name: "system"}, kv.Invalid, "catalog"},
		{kv.CreateKeyspace{Name: "Upper"}, kv.Invalid, `'U'`},
		{kv.CreateKeyspace{Name: strings.Repeat("n", 65)}, kv.Invalid, "limit is 64"},
		{kv.CreateKeyspace{Name: "a", Consistency: "atomic", Lease: "off"}, kv.Invalid, "the leases of their nodes"},
		{kv.CreateKeyspace{Name: "a", Consistency: "atomic", MinMembers: 4}, kv.Invalid, "give 1 to 3"},
		{kv.CreateKeyspace{Name: "a", Consistency: "atomic", Conflict: "fight"}, kv.Invalid, "give wait or refuse"},
		{kv.CreateKeyspace{Name: "a", MinMembers: 2}, kv.Invalid, "a term of an atomic keyspace"},
		{kv.CreateKeyspace{Name: "a", Conflict: "siblings"}, kv.Invalid, "atomic and causal keyspaces"},
		{kv.CreateKeyspace{Name: "a", Consistency: "causal", Conflict: "refuse"}, kv.Invalid, "give newest or siblings"},
		{kv.CreateKeyspace{Name: "a", Consistency: "eventual", Conflict: "siblings"}, kv.Invalid, "make it causal"},
		{kv.CreateKeyspace{Name: "a", Atomic: true}, kv.Invalid, "terms of a quorum keyspace"},
		{kv.CreateKeyspace{Name: "a", Consistency: "quorum", Lease: "off"}, kv.Invalid, "no leader"},
		{kv.CreateKeyspace{Name: "a", Consistency: "quorum", Atomic: true, ClientStamps: true}, kv.Invalid, "give its stamps itself"},
		{kv.CreateKeyspace{Name: "a", Splits: []string{"m"}}, kv.Invalid, "spread by hash have none"},
		{kv.CreateKeyspace{Name: "a", Partitioner: "random"}, kv.Invalid, "not known"},
		{kv.CreateKeyspace{Name: "a", Partitioner: "ordered", Splits: []string{"m", "c"}}, kv.Invalid, "rising order"},
		{kv.CreateKeyspace{Name: "a", Partitioner: "numeric", Splits: []string{"64", "128"}, Shards: 2}, kv.Invalid, "make 3 shards"},
		{kv.CreateKeyspace{Name: "a", Consistency: "eventually"}, kv.Invalid, "not known"},
		{kv.CreateKeyspace{Name: "a", Shards: -1}, kv.Invalid, "1 to 256"},
		{kv.CreateKeyspace{Name: "a", Shards: 257}, kv.Invalid, "1 to 256"},
		{kv.CreateKeyspace{Name: "a", Replicas: 4}, kv.Invalid, "the cluster has 3"},
		{kv.CreateKeyspace{Name: "a", Replicas: 6}, kv.Invalid, "1 to 5"},
		{kv.CreateKeyspace{Name: "a", Lease: "maybe"}, kv.Invalid, "on or off"},
	} {
		_, next, err := Plan(c.spec, three, FirstNext())
		var e *kv.Error
		if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Detail, c.says) {
			t.Errorf("%+v: %v, want code %v and %q", c.spec, err, c.code, c.says)
		}
		if next != FirstNext() {
			t.Errorf("%+v: a refused plan used up ids: %+v", c.spec, next)
		}
	}
}

func TestPlanSpreadsLeadersAndReplicas(t *testing.T) {
	five := []core.NodeID{1, 2, 3, 4, 5}
	d, next, err := Plan(kv.CreateKeyspace{Name: "a", Shards: 10}, five, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	leaders, replicas := map[core.NodeID]int{}, map[core.NodeID]int{}
	for _, s := range d.Shards {
		leaders[s.Nodes()[s.Preferred]]++
		for _, m := range s.Replicas {
			replicas[m.Node]++
		}
	}
	for _, n := range five {
		if leaders[n] != 2 || replicas[n] != 6 {
			t.Errorf("node %d: %d leaders, %d replicas; want 2, 6", n, leaders[n], replicas[n])
		}
	}
	if next != (Next{Keyspace: 2, Group: 12}) {
		t.Errorf("next %+v", next)
	}
	// Keyspaces of one shard spread, too.
	first := map[core.NodeID]bool{}
	for i := range 3 {
		d, after, err := Plan(kv.CreateKeyspace{Name: fmt.Sprint("k", i)}, three, next)
		if err != nil {
			t.Fatal(err)
		}
		first[d.Shards[0].Replicas[0].Node], next = true, after
	}
	if len(first) != 3 {
		t.Errorf("leaders on %v", first)
	}
}

func TestDescriptorKeepsThroughItsEncoding(t *testing.T) {
	d, _, err := Plan(kv.CreateKeyspace{Name: "a", Shards: 3, Lease: "off"}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeDescriptor(d.Encode())
	if err != nil || cmp.Diff(d, got) != "" {
		t.Fatal(err, cmp.Diff(d, got))
	}
	for _, bad := range []string{"", "{}", `{"format":2,"name":"a"}`, `{"format":1,"name":"a"}`,
		`{"format":1,"name":"a","shards":[{"group":2,"replicas":[{"replica":1,"node":1},{"replica":1,"node":2}]}]}`} {
		if _, err := DecodeDescriptor([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

// The numbers are fixed for ever: keys on disk lie where they say.
func TestShardOfNeverChanges(t *testing.T) {
	got := ""
	for _, key := range []string{"", "a", "b", "user:1", "user:2"} {
		got += fmt.Sprint(ShardOf([]byte(key), 1), ShardOf([]byte(key), 3), ShardOf([]byte(key), 256), " ")
	}
	if want := "0 2 239 0 2 210 0 1 120 0 2 217 0 0 51 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	counts := make([]int, 7)
	for i := range 7000 {
		counts[ShardOf(fmt.Append(nil, "key", i), 7)]++
	}
	for shard, n := range counts {
		if n < 800 || n > 1200 {
			t.Errorf("shard %d holds %d of 7000 keys", shard, n)
		}
	}
}

func TestCatalogKnowsWhatIsGone(t *testing.T) {
	c := NewCatalog()
	d, next, err := Plan(kv.CreateKeyspace{Name: "a"}, three, Next{Keyspace: 5, Group: 9})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, value []byte) {
		if err := c.Put([]byte(key), value); err != nil {
			t.Fatal(err)
		}
	}
	put(NextKey, EncodeNext(next))
	put(string(DescriptorKey("a")), d.Encode())
	put(string(NodeKey(2)), EncodeNode(Node{Store: StoreID{1, 2}, Addresses: map[string]string{"peer": "x"}}))
	put("later/thing", []byte("?"))
	for group, want := range map[core.GroupID]bool{SystemGroup: false, 2: true, 8: true, 9: false, 10: false, 11: false} {
		if c.Gone(group) != want {
			t.Errorf("group %d gone: %v", group, !want)
		}
	}
	if c.Nodes[2].Store != (StoreID{1, 2}) {
		t.Errorf("nodes %+v", c.Nodes)
	}
	if c.Put(DescriptorKey("b"), d.Encode()) == nil {
		t.Error("a descriptor under another name was accepted")
	}
}

func TestExplainSaysWhatHolds(t *testing.T) {
	for _, c := range []struct {
		spec kv.CreateKeyspace
		want []string
	}{
		{kv.CreateKeyspace{Name: "a"}, []string{"2 replicas of 3", "1 replica may be down", "lease holds"}},
		{kv.CreateKeyspace{Name: "a", Replicas: 1}, []string{"1 replica of 1", "no replica to spare", "no messages"}},
		{kv.CreateKeyspace{Name: "a", Lease: "off", Shards: 2}, []string{"leases are off", "over 2 shards"}},
		{kv.CreateKeyspace{Name: "a", Consistency: kv.Quorum}, []string{"not linearizable", "may appear hours later", "No cas, add, append or increment",
			"no scan of one moment", "Reads at one go back in time", "A hint is no replica", "Level all fails", "quorum with quorum (4)", "would count twice"}},
		{kv.CreateKeyspace{Name: "a", Consistency: kv.Quorum, Atomic: true}, []string{"It is atomic", "newest stamp"}},
		{kv.CreateKeyspace{Name: "a", Consistency: kv.Quorum, Partitioner: "ordered", Splits: []string{"m"}}, []string{"2 ranges", `["m"]`}},
		{kv.CreateKeyspace{Name: "a", Consistency: kv.Sequential}, []string{"one order of all operations", "its token", "neither messages nor a sync", "others unsupported"}},
	} {
		d, _, err := Plan(c.spec, three, FirstNext())
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(d.Explain(), "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%+v: no %q in\n%s", c.spec, want, text)
			}
		}
	}
}

func FuzzCatalogPut(f *testing.F) {
	d, next, _ := Plan(kv.CreateKeyspace{Name: "a"}, three, FirstNext())
	f.Add("keyspaces/a", d.Encode())
	f.Add("next", EncodeNext(next))
	f.Add("nodes/1", EncodeNode(Node{}))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		c := NewCatalog()
		if c.Put([]byte(key), value) == nil {
			for _, d := range c.Keyspaces {
				_ = d.Explain()
				_ = d.Keyspace().ShardOf(value)
			}
		}
	})
}
