package bayou

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// TestWriteLogInMemory holds the part of the write log that is in memory against a list: what it shows from any dot on, what it counts,
// and up to where it lets the node's log go.
func TestWriteLogInMemory(t *testing.T) {
	type entry struct {
		dot Dot
		pos uint64
	}
	rapid.Check(t, func(t *rapid.T) {
		var log writeLog
		var model []entry
		last := map[core.ReplicaID]kv.HLC{}
		pos := uint64(100)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "do") {
			case 0:
				pos++
			case 1, 2:
				id := core.ReplicaID(rapid.IntRange(1, 3).Draw(t, "replica"))
				last[id] += kv.HLC(rapid.IntRange(1, 3).Draw(t, "later"))
				w := &Write{Dot: Dot{last[id], id}, raw: fmt.Append(nil, last[id])}
				log.add(w, pos, 0)
				model = append(model, entry{w.Dot, pos})
			case 3:
				if len(log.tails) == 0 {
					continue
				}
				tail := &log.tails[rapid.IntRange(0, len(log.tails)-1).Draw(t, "tail")]
				if len(tail.writes) == 0 {
					continue
				}
				first := tail.first()
				log.take(tail)
				model = slices.DeleteFunc(model, func(e entry) bool { return e.dot == first })
			}
			covered := pos
			if len(model) > 0 {
				covered = model[0].pos - 1
			}
			if got := log.covered(pos); got != covered {
				t.Fatalf("the node's log is covered up to %d, not %d", got, covered)
			}
			from := Dot{kv.HLC(rapid.IntRange(0, 30).Draw(t, "from")), 2}
			var want, got []Dot
			for _, e := range model {
				if e.dot.Compare(from) >= 0 {
					want = append(want, e.dot)
				}
			}
			slices.SortFunc(want, Dot.Compare)
			c := log.from(from)
			for d, raw, ok := c.peek(); ok; d, raw, ok = c.peek() {
				if got = append(got, d); string(raw) != fmt.Sprint(d.Stamp) {
					t.Fatalf("%v has the bytes of another write", d)
				}
				c.skip(d)
			}
			if !slices.Equal(got, want) || log.count != uint64(len(model)) {
				t.Fatalf("from %v there are %v of %d, not %v of %d", from, got, log.count, want, len(model))
			}
		}
	})
}

// TestNodesLogIsLetGo: the state covers the node's log only up to what the write log has in memory, and all of it some seconds after the
// last write, whether all members hold that or not: else an idle group would keep the segments of its node's log for ever.
func TestNodesLogIsLetGo(t *testing.T) {
	for _, away := range []bool{false, true} {
		c := newCluster(3, Options{KeepWrites: 2})
		if away {
			c.part(c.Member(3))
		}
		one := c.Member(1)
		for i := range 5 {
			c.askIn(one, "s", kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: fmt.Appendf(nil, "k%d", i), Value: []byte("v")}}})
			c.Settle()
		}
		uncovered := func() uint64 {
			b, _ := one.State.Get(core.AppliedKey)
			return binary.BigEndian.Uint64(b[8:]) - binary.BigEndian.Uint64(b)
		}
		inState := func() (n int) {
			one.State.Scan([]byte{logKind}, []byte{logKind + 1}, func(_, _ []byte) bool { n++; return true })
			return n
		}
		if uncovered() != 5 || inState() != 0 {
			t.Errorf("away %v: just written, %d records of 5 are not covered, and %d writes are in the state", away, uncovered(), inState())
		}
		newest := one.Replica.Newest(100)
		for range 4 {
			c.Now += 700 * millisecond
			for _, m := range c.Members {
				c.Step(m, core.Tick{})
			}
			c.Settle()
		}
		kept := 2
		if away {
			kept = 5
		}
		if uncovered() != 0 || inState() != kept {
			t.Errorf("away %v: later, %d records are not covered, and %d writes of %d are in the state", away, uncovered(), inState(), kept)
		}
		if list := newest(one.State); len(list) != 5 {
			t.Errorf("away %v: who took hold of 5 writes before sees %d", away, len(list))
		}
		if list := one.Replica.Newest(1)(one.State); len(list) != 1 || string(list[0].Ops[0].Key) != "k4" {
			t.Errorf("away %v: the newest write is %v", away, list)
		}
	}
}

// TestMarkOfAnOlderProgram: a log whose marks say that all of the write log lies in the state is taken over as it is.
func TestMarkOfAnOlderProgram(t *testing.T) {
	m := mark{self: 3, sealed: true}
	raw := m.appendTo(nil)
	for version, known := range map[byte]bool{1: false, 2: true, 3: true, 4: false} {
		raw[0] = version
		if got, err := decodeMark(raw); (err == nil) != known || known && (got.self != 3 || !got.sealed) {
			t.Errorf("version %d: %+v, %v", version, got, err)
		}
	}
}
