package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
)

func TestGateCountsWhatTheLoopHasNotSeen(t *testing.T) {
	var g gate
	g.open(2)
	enter := func(want bool) {
		t.Helper()
		if got := g.enter(0, false); got != want {
			t.Fatalf("enter: %v, want %v", got, want)
		}
	}
	enter(true)
	enter(true)
	enter(false)
	g.taken = 2 // the pass has taken both, but has not said yet how much room is left
	enter(false)
	g.open(1)
	enter(true)
	enter(false)
	g.leave()
	enter(true)
}

func TestGateRefusesTheStaleOnlyWhileItIsCrowded(t *testing.T) {
	var g gate
	g.open(1)
	for _, c := range []struct {
		name  string
		now   core.Time
		stale bool
		room  int64
		want  bool
	}{
		{"stale, with room", 1, true, 1, true},
		{"no room", 2, false, 0, false},
		{"stale, with room again, but crowded", 3, true, 1, false},
		{"fresh, with room again", 3, false, 1, true},
		{"stale, long after", 2 + crowdedFor, true, 1, true},
	} {
		g.open(c.room)
		if got := g.enter(c.now, c.stale); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if g.arriving.Load() > 0 {
			g.leave()
		}
	}
}

func TestWindowFollowsWhatALeaderTakes(t *testing.T) {
	var w window
	for range 1000 {
		w.sent()
	}
	if w.room() != unlimited {
		t.Fatalf("room %d before any refusal", w.room())
	}
	for range 300 { // the leader took 700
		w.answered(true)
	}
	if w.room() != 0 {
		t.Fatalf("room %d right after the refusals, want none", w.room())
	}
	for range 700 {
		w.answered(false)
	}
	if got, want := w.room(), int64(700+700/windowGain); got != want {
		t.Fatalf("room %d after all answers, want %d", got, want)
	}
	w.sent()
	w.answered(true)
	if w.room() != windowMin {
		t.Fatalf("room %d when the leader takes nothing, want %d", w.room(), windowMin)
	}
	if w.forget(); w.room() != unlimited {
		t.Fatalf("room %d under another leader", w.room())
	}
}

// TestWhatHasNoRoomIsRefusedWhereItArrives holds the loop still, so that only the connection's goroutine can answer.
func TestWhatHasNoRoomIsRefusedWhereItArrives(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	n := c.nodes[1]
	mustSet(t, n, "default", "key", "value")

	held, release := make(chan struct{}), make(chan struct{})
	n.inbox.call(func(host.Now) { close(held); <-release })
	<-held
	room := int(n.table.Load().byName["default"].shards[0].gate.room.Load())
	if room < 1 || room > 1<<20 {
		t.Fatalf("room for %d writes", room)
	}
	var b kv.Batch
	b.Reset(time.Now().Add(patience))
	const more = 100
	for i := range room + more {
		call := b.Add()
		call.Keyspace, call.Command = n.Keyspace("default"), set(fmt.Sprint("k", i), "v")
	}
	n.Submit(&b)
	for i, call := range b.Calls() {
		if got, want := call.Result.Code == kv.Busy, i >= room; got != want {
			t.Fatalf("write %d of %d with room for %d: refused %v, want %v", i, len(b.Calls()), room, got, want)
		}
	}
	if r := submit(n, "default", set("late", "v"))[0]; r.Code != kv.Busy {
		t.Errorf("a write of another connection: %v, want %v", r.Code, kv.Busy)
	}
	if r := submit(n, "default", get("key"))[0]; string(r.Value) != "value" {
		t.Errorf("a read under the permit: %q, %v", r.Value, r.Code)
	}
	close(release)
	b.Wait()
	for i, call := range b.Calls()[:room] {
		if call.Result.Code != kv.OK {
			t.Fatalf("write %d, which was let in: %v", i, call.Result.Code)
		}
	}
	mustSet(t, n, "default", "late", "v") // there is room again
}
