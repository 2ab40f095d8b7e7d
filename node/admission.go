package node

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/core"
)

// What a group or this node would refuse as busy is refused where it arrives, in the connection's goroutine: a refusal that
// went all the way to the leader's queue would cost nearly as much as a write, and that just when there is too much to do.
// What has arrived and was not looked at yet counts as well, so that no queue is left out.

const (
	// staleAfter is how long a command may have waited in its connection. While others are refused for want of room, one that
	// waited longer is refused as well: else what is served would be what has waited longest.
	staleAfter = 10 * time.Millisecond
	// crowdedFor is how long a refusal for want of room is remembered for that.
	crowdedFor = core.Time(100e6)
)

// unlimited is the room of a gate that refuses nothing.
const unlimited = math.MaxInt64

// gate counts commands on their way to the loop against the room that the loop has for them.
type gate struct {
	// room is how many more the loop would have taken at the end of its last pass; arriving are those that came in since.
	room, arriving atomic.Int64
	// crowdedUntil (core.Time) ends the time for which stale commands are refused.
	crowdedUntil atomic.Int64
	taken        int64 // of arriving, in the running pass; the loop's
}

// enter lets a command in, or tells that it must be refused.
func (g *gate) enter(now core.Time, stale bool) bool {
	if stale && g.crowdedUntil.Load() > int64(now) {
		return false
	}
	if g.arriving.Add(1) > g.room.Load() {
		g.arriving.Add(-1)
		g.crowdedUntil.Store(int64(now + crowdedFor))
		return false
	}
	return true
}

// leave takes back enter.
func (g *gate) leave() { g.arriving.Add(-1) }

// open publishes the room at the end of a pass. Only then is what the pass took no longer counted as arriving: the other
// way round it would be in neither figure for a moment.
func (g *gate) open(room int64) {
	g.room.Store(room)
	if g.taken > 0 {
		g.arriving.Add(-g.taken)
		g.taken = 0
	}
}

const (
	// windowMin commands may always be under way to a leader on another node.
	windowMin = 64
	// windowGain answers widen the window by one: it grows by a sixteenth in the time of a round trip.
	windowGain = 16
)

// window is how many commands of this node may be under way to a leader on another node. There is no bound until that
// leader has refused one as busy. Then it is what was under way beside the refused one, and each answer widens it a little:
// what one refusal has taught is tried again before long. It belongs to the loop.
type window struct {
	underWay int64
	limit    int64 // in parts of 1/windowGain; 0: no bound
}

func (w *window) sent() { w.underWay++ }

func (w *window) answered(busy bool) {
	w.underWay--
	switch {
	case busy:
		w.limit = windowGain * max(windowMin, w.underWay)
	case w.limit > 0:
		w.limit++
	}
}

// forget drops what was learned, for there is another leader.
func (w *window) forget() { w.limit = 0 }

func (w *window) room() int64 {
	if w.limit == 0 {
		return unlimited
	}
	return w.limit/windowGain - w.underWay
}

// enters lets a command pass that the loop has to deal with; one that changes something needs room in its group as well.
func (n *Node) enters(s *submission, sh *shard, write bool) bool {
	if !n.gate.enter(s.now, s.stale) {
		return false
	}
	if write && !sh.gate.enter(s.now, s.stale) {
		n.gate.leave()
		return false
	}
	return true
}

// took notes that the loop has taken a command from the gates.
func (n *Node) took(sh *shard, write bool) {
	n.gate.taken++
	sh.window.sent()
	if write {
		sh.gate.taken++
		n.touch(sh)
	}
}

// gave notes that a command has its answer.
func (n *Node) gave(sh *shard, busy bool) {
	sh.window.answered(busy)
	n.touch(sh)
}

// touch has the room of a shard published that has no replica here; the others are published after each pass.
func (n *Node) touch(sh *shard) {
	if sh.self == 0 && !sh.touched {
		sh.touched = true
		n.touched = append(n.touched, sh)
	}
}

// publishRoom opens the gates as far as there is room behind them.
func (n *Node) publishRoom() {
	n.gate.open(int64(n.host.Room()))
	for i := range n.running {
		r := &n.running[i]
		r.shard.gate.open(r.room())
	}
	for i, sh := range n.touched {
		sh.gate.open(sh.window.room())
		sh.touched = false
		n.touched[i] = nil
	}
	n.touched = n.touched[:0]
}

// room is how many more commands may be sent to the leader, which is here or elsewhere; where there is none, all are for here.
func (r *running) room() int64 {
	if r.bounded != nil && (r.led == nil || r.led.Leader() == r.shard.self) {
		return int64(r.bounded.Room())
	}
	return r.shard.window.room()
}
