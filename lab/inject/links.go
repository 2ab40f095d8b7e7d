package inject

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
)

// reorderMax is how much later a message may come that others overtake.
const reorderMax = 50 * time.Millisecond

// links are the ways between this node and its peers.
type links struct {
	mu      sync.Mutex
	in, out map[core.NodeID]*way
}

// way is one direction of a link.
type way struct {
	link  Link
	since time.Time // when it was set: flapping begins then
	// queue is what was held back and must keep its order, by the time at which it may go on.
	queue   []held
	running bool
}

type held struct {
	at      time.Time
	deliver func()
}

func (l *links) init() { l.in, l.out = map[core.NodeID]*way{}, map[core.NodeID]*way{} }

// set replaces all links. What is held back already is let go when its time comes.
func (l *links) set(in, out map[core.NodeID]Link, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, side := range []struct {
		ways map[core.NodeID]*way
		set  map[core.NodeID]Link
	}{{l.in, in}, {l.out, out}} {
		for peer, w := range side.ways {
			if w.link != side.set[peer] {
				w.link, w.since = side.set[peer], now
			}
		}
		for peer, link := range side.set {
			if side.ways[peer] == nil {
				side.ways[peer] = &way{link: link, since: now}
			}
		}
	}
}

// cut says whether nothing passes on a way at a time.
func (l *links) cut(peer core.NodeID, towards bool, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	side := l.in
	if towards {
		side = l.out
	}
	w := side[peer]
	return w != nil && w.link.down(now.Sub(w.since))
}

// down says whether a link is down that was set some time ago.
func (l *Link) down(since time.Duration) bool {
	return l.Down && (l.Flap == 0 || since/time.Duration(l.Flap)%2 == 0)
}

// arrive lets something from a peer go on as its link says.
func (l *links) arrive(from core.NodeID, ordered bool, deliver func()) {
	l.mu.Lock()
	w := l.in[from]
	if w == nil || (w.link == Link{} && len(w.queue) == 0) {
		l.mu.Unlock()
		deliver()
		return
	}
	defer l.mu.Unlock()
	for _, f := range w.link.fates(ordered, rand.Float64) {
		switch {
		case f.aside:
			time.AfterFunc(f.delay, deliver)
		default:
			l.hold(w, time.Now().Add(f.delay), deliver)
		}
	}
}

// fate is what becomes of one copy: aside says that others may overtake it.
type fate struct {
	delay time.Duration
	aside bool
}

// fates draws what becomes of something that arrives: one fate for each copy.
func (l *Link) fates(ordered bool, chance func() float64) []fate {
	draw := func() fate {
		f := fate{delay: time.Duration(l.Delay) + time.Duration(chance()*float64(l.Jitter))}
		if !ordered && chance() < l.Reorder {
			f.delay, f.aside = f.delay+time.Duration(chance()*float64(reorderMax)), true
		}
		return f
	}
	if ordered {
		return []fate{draw()}
	}
	if chance() < l.Loss {
		return nil
	}
	list := []fate{draw()}
	if chance() < l.Duplicate {
		list = append(list, draw())
	}
	return list
}

// hold puts something at the end of a way's queue; l.mu is held. It goes no earlier than what is before it.
func (l *links) hold(w *way, at time.Time, deliver func()) {
	if n := len(w.queue); n > 0 && at.Before(w.queue[n-1].at) {
		at = w.queue[n-1].at
	}
	w.queue = append(w.queue, held{at, deliver})
	if !w.running {
		w.running = true
		time.AfterFunc(time.Until(at), func() { l.release(w) })
	}
}

// release lets go all that is due, in order. It alone does while w.running, so deliver may block.
func (l *links) release(w *way) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(w.queue) > 0 {
		first := w.queue[0]
		if wait := time.Until(first.at); wait > 0 {
			time.AfterFunc(wait, func() { l.release(w) })
			return
		}
		l.mu.Unlock()
		first.deliver()
		l.mu.Lock()
		w.queue = w.queue[1:]
	}
	w.queue, w.running = nil, false
}
