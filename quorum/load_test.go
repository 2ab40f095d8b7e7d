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
		m := c.Member(1)
		room := m.Replica.Room()
		c.Step(m, core.Requests{List: writesOf(room + 7)})
		if busy := strings.Count(c.Said(), "busy"); busy != 7 || m.Replica.Room() != 0 {
			t.Errorf("atomic %t: of 7 too many %d are refused, and there is room for %d", atomic, busy, m.Replica.Room())
		}
		c.Ask(m, &kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("other")}}})
		c.Settle()
		c.runFor(100 * millisecond)
		said := c.Said()
		if done := strings.Count(said, ": ok"); done != room || m.Replica.Room() <= 0 {
			t.Errorf("atomic %t: %d of %d are done, and there is room for %d", atomic, done, room, m.Replica.Room())
		}
		if !strings.Contains(said, "not found") {
			t.Errorf("atomic %t: the read was not answered", atomic)
		}
	}
}

// TestWriteWaitsForTheBoundOfTheClock: while the clock stands at its durable bound, a write is not refused; it gets its stamp when the
// bound was raised (rule H3).
func TestWriteWaitsForTheBoundOfTheClock(t *testing.T) {
	c := newCluster(3, Config{}, Options{})
	m := c.Member(1)
	step := func(event any, bound kv.HLC) (out core.Effects) {
		in := core.Input{Now: c.Now, Stamp: kv.HLCOf(999), StampMax: bound, Wall: c.Wall(m), Rand: m.Rand, View: m.State, Event: event}
		m.Replica.Step(&in, &out)
		c.Emit(m, &out)
		return out
	}
	step(core.Requests{List: writesOf(1)}, kv.HLCOf(999))
	at, ok := m.Replica.Deadline()
	if said := c.Said(); len(c.Network) > 0 || said != "" || !ok || at > c.Now+boundPause {
		t.Fatalf("sent %v, said %q, looks again at %d", c.Network, said, at)
	}
	c.Now = at
	step(core.Tick{}, kv.HLCOf(2000))
	c.Settle()
	if got := c.Said(); !strings.Contains(got, "ok at 999.0@1") {
		t.Error(got)
	}
}
