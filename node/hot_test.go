package node

import (
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

func keysOf(n int, key func(i int) string) (list [][]byte) {
	for i := range n {
		list = append(list, []byte(key(i)))
	}
	return list
}

// TestMiddleOfWhatIsWritten: a split helps if it leaves a part of the writes on either side.
func TestMiddleOfWhatIsWritten(t *testing.T) {
	numbered := func(i int) string { return fmt.Sprintf("k%03d", i) }
	for _, c := range []struct {
		name   string
		keys   [][]byte
		bounds *machine.Bounds
		want   string
	}{
		{"too few to tell", keysOf(10, numbered), nil, ""},
		{"even", keysOf(100, numbered), nil, "k050"},
		{"one key", keysOf(100, func(int) string { return "k" }), nil, ""},
		{"nearly one key, and few behind it", keysOf(100, func(i int) string { return numbered(max(0, i-95)) }), nil, ""},
		{"half is the first key", keysOf(100, func(i int) string { return numbered(max(0, i-60)) }), nil, "k001"},
		{"moved keys do not count", keysOf(100, numbered), &machine.Bounds{To: []byte("k050")}, "k025"},
	} {
		if got := middleOf(c.keys, c.bounds); string(got) != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

// TestJudgeShard is a table of what is split, and why.
func TestJudgeShard(t *testing.T) {
	spec := kv.CreateKeyspace{Name: "o", Partitioner: "ordered", SplitBytes: 4 << 20, SplitWrites: 100}
	d, _, err := keyspace.Plan(spec, []core.NodeID{1}, keyspace.FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	sh := &shard{space: &space{descriptor: d, keyspace: d.Keyspace()}}
	samples := keysOf(100, func(i int) string { return fmt.Sprintf("k%03d", i*37%100) })
	rising := keysOf(100, func(i int) string { return fmt.Sprintf("k%03d", i) })
	for _, c := range []struct {
		name    string
		w       watched
		writes  uint64
		split   bool
		key     string
		because string
		rising  bool
	}{
		{"small and cold", watched{measured: true, size: 1 << 20}, 50, false, "", "", false},
		{"large", watched{measured: true, size: 5 << 20, middle: []byte("m")}, 0, true, "m", "it holds 5 MiB, and the limit is 4", false},
		{"one large record", watched{measured: true, size: 5 << 20}, 0, true, "", "it holds 5 MiB, and the limit is 4; it is one record, which no split divides", false},
		{"hot for a moment", watched{hot: 3}, 500, false, "", "", false},
		{"hot", watched{hot: hotFor - 1}, 500, true, "k050", "500 writes a second for 10 s, and the limit is 100", false},
		{"hot, then cold", watched{hot: hotFor - 1}, 50, false, "", "", false},
		{"large, and its keys rise", watched{measured: true, size: 5 << 20, middle: []byte("m"), late: []byte("t")}, 0, true, "t", "it holds 5 MiB, and the limit is 4", true},
		{"hot, and its keys rise", watched{hot: hotFor - 1}, 500, true, "", "500 writes a second for 10 s, and the limit is 100; its keys only grow, or only fall, so that all go to one part of whatever is divided", true},
	} {
		l := look{shard: sh, writes: c.writes, samples: samples}
		if c.rising {
			l.samples = rising
		}
		p := judgeShard(&l, &c.w)
		if (p != nil) != c.split || p != nil && (p.Key != c.key || p.Why != c.because) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

// TestHotShardIsSplit writes faster than a keyspace allows, until there are two shards.
func TestHotShardIsSplit(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Partitioner: "ordered", SplitWrites: 1})
	n := c.nodes[1]
	i := 0
	eventually(t, "two shards", func() error {
		for range 40 {
			i++
			submit(n, "o", set(fmt.Sprintf("k%03d", i*7%1000), "x"))
		}
		if shards := n.Keyspace("o").Shards; shards < 2 {
			return fmt.Errorf("%d shards", shards)
		}
		return nil
	})
}
