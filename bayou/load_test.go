package bayou

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestWhatWouldWaitTooLongIsRefused: rule F2. A replica whose disk does not answer takes so many writes and refuses the rest, and
// has room again when they are done. Reads need none, nor does what waits for its session.
func TestWhatWouldWaitTooLongIsRefused(t *testing.T) {
	c := newCluster(3, Options{})
	room := c.Member(1).Replica.Room()
	put := func(session string, n int) string {
		for i := range n {
			c.askIn(c.Member(1), session, kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: fmt.Appendf(nil, "k%d", i), Value: []byte("v")}}})
		}
		return c.Said()
	}
	ahead := Token{Binding: 77, Read: Vector{{2, kv.HLCOf(5000)}}}
	c.sessions["ahead"] = ahead.AppendTo(nil)
	put("ahead", 10)
	if busy := strings.Count(put("s", room+7), "busy"); busy != 7 || c.Member(1).Replica.Room() != 0 {
		t.Errorf("of 7 too many %d are refused, and there is room for %d", busy, c.Member(1).Replica.Room())
	}
	c.askIn(c.Member(1), "r", kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}}})
	if said := c.Said(); strings.Contains(said, "busy") {
		t.Errorf("a read that waits for nothing needs room: %s", said)
	}
	c.Settle()
	if done := strings.Count(c.Said(), "s: ok"); done != room || c.Member(1).Replica.Room() <= 0 {
		t.Errorf("%d of %d are done, and there is room for %d", done, room, c.Member(1).Replica.Room())
	}
}
