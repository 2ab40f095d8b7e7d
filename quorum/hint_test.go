package quorum

import (
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// away is a cluster whose third replica cannot be reached from the first, which keeps hints for it.
func away(options Options) *cluster {
	c := newCluster(3, Config{}, options)
	c.Step(c.Member(1), core.PeerDown{Peer: 3})
	return c
}

func (c *cluster) write(key, value string) {
	c.Ask(c.Member(1), &kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(key), Value: []byte(value)}}})
	c.Settle()
}

// TestHintsAreSentInOrderNoFasterThanTheLimit: each message of them waits for the one before to be answered, and then until the limit
// allows it (rule Q6).
func TestHintsAreSentInOrderNoFasterThanTheLimit(t *testing.T) {
	const size = 200 << 10 // two do not fit into one message
	c := away(Options{HintRate: 100 << 10})
	for _, key := range []string{"c", "a", "b"} {
		c.write(key, strings.Repeat("x", size))
	}
	c.Step(c.Member(1), core.PeerUp{Peer: 3})
	began := c.Now
	var got []string
	for c.Now < began+20_000*millisecond && len(got) < 3 {
		c.Now += 50 * millisecond
		c.Step(c.Member(1), core.Tick{})
		hints := 0
		for _, p := range c.Network {
			if m, ok := p.Message.(Write); ok && m.Source == FromHint {
				hints++
				m.Items.each(func(_ int, key, _ []byte) { got = append(got, string(key[1:])) })
			}
		}
		if hints > 1 {
			t.Fatalf("%d messages of hints at a time", hints)
		}
		if limit := int64(c.Now-began)*(100<<10)/1e9 + 2*size; int64(len(got)*size) > limit {
			t.Fatalf("%d hints after %d ms", len(got), (c.Now-began)/millisecond)
		}
		c.Settle()
	}
	if !slices.Equal(got, []string{"c", "a", "b"}) {
		t.Errorf("hints came in the order %q", got)
	}
	if took := (c.Now - began) / millisecond; took < 4000 {
		t.Errorf("all were sent within %d ms, the limit is 2 s for each", took)
	}
	c.runFor(3000 * millisecond)
	if st := c.Member(1).Replica.Status(); len(st.Hints) != 0 {
		t.Errorf("%+v is left", st.Hints)
	}
}

// TestHintsEndWithTheirWindow: who is away for longer is noted, and compared when it is back, by nobody's doing (rule Q6).
func TestHintsEndWithTheirWindow(t *testing.T) {
	c := away(Options{HintWindow: 1000 * millisecond})
	c.write("a", "kept")
	c.Now += 2000 * millisecond
	c.write("b", "dropped")
	st := c.Member(1).Replica.Status()
	if len(st.Hints) != 1 || st.Hints[0].Count != 1 || !slices.Equal(st.Behind, []core.ReplicaID{3}) {
		t.Fatalf("hints %+v, behind %v", st.Hints, st.Behind)
	}
	c.Step(c.Member(1), core.PeerUp{Peer: 3})
	c.runFor(3000 * millisecond)
	for _, key := range []string{"da", "db"} {
		if _, ok := c.Member(3).State.Get([]byte(key)); !ok {
			t.Errorf("replica 3 has not got %s", key)
		}
	}
	if st := c.Member(1).Replica.Status(); len(st.Behind)+len(st.Hints) != 0 {
		t.Errorf("hints %+v, behind %v", st.Hints, st.Behind)
	}
}
