package quorum

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func writesOf(n int) (list []core.Request) {
	for i := range n {
		c := kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: fmt.Appendf(nil, "k%d", i), Value: []byte("v")}}}
		list = append(list, core.Request{ID: core.RequestID(i + 1), Command: kv.AppendCommand(nil, &c)})
	}
	return list
}

// TestWhatWouldOnlyWaitIsRefused: of more writes than can be executed soon, those beyond are busy at once, and reads are not.
func TestWhatWouldOnlyWaitIsRefused(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		c := newCluster(3, Config{Atomic: atomic}, Options{})
		m := c.member(1)
		room := m.replica.Room()
		c.step(m, core.Requests{List: writesOf(room + 7)})
		if busy := strings.Count(c.out.String(), "busy"); busy != 7 || m.replica.Room() != 0 {
			t.Errorf("atomic %t: of 7 too many %d are refused, and there is room for %d", atomic, busy, m.replica.Room())
		}
		c.out.Reset()
		c.submit(m, &kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("other")}}})
		c.settle()
		c.run(100 * millisecond)
		if done := strings.Count(c.out.String(), ": ok"); done != room || m.replica.Room() <= 0 {
			t.Errorf("atomic %t: %d of %d are done, and there is room for %d", atomic, done, room, m.replica.Room())
		}
		if !strings.Contains(c.out.String(), "not found") {
			t.Errorf("atomic %t: the read was not answered", atomic)
		}
	}
}

// TestWriteWaitsForTheBoundOfTheClock: while the clock stands at its durable bound, a write is not refused; it gets its stamp when the
// bound was raised (rule H3).
func TestWriteWaitsForTheBoundOfTheClock(t *testing.T) {
	c := newCluster(3, Config{}, Options{})
	m := c.member(1)
	step := func(event any, bound kv.HLC) (out core.Effects) {
		in := core.Input{Now: c.now, Stamp: kv.HLCOf(999), StampMax: bound, Wall: c.wall(m), Rand: m.rand, View: m.state, Event: event}
		m.replica.Step(&in, &out)
		c.emit(m, &out)
		return out
	}
	step(core.Requests{List: writesOf(1)}, kv.HLCOf(999))
	at, ok := m.replica.Deadline()
	if len(c.network) > 0 || c.out.Len() > 0 || !ok || at > c.now+boundPause {
		t.Fatalf("sent %v, said %q, looks again at %d", c.network, c.out.String(), at)
	}
	c.now = at
	step(core.Tick{}, kv.HLCOf(2000))
	c.settle()
	if got := c.out.String(); !strings.Contains(got, "ok at 999.0@1") {
		t.Error(got)
	}
}
