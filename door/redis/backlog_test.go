package redis

import (
	"testing"
	"time"
)

func TestBacklogTellsHowLongRequestsMayHaveWaited(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	const ms = time.Millisecond
	for _, c := range []struct {
		name         string
		left, leaves bool
		ended, read  time.Duration // of the round before; of the read's return
		want         time.Duration
	}{
		{"a client that answers a reply has waited for nothing", false, false, 40 * ms, 41 * ms, 0},
		{"what is there when a long round ends may have come at its beginning", false, false, 40 * ms, 40 * ms, 40 * ms},
		{"what the last read left has waited, however long the read took", true, false, 40 * ms, 60 * ms, 60 * ms},
		{"a short round hides nothing", false, false, ms / 2, ms / 2, 0},
	} {
		b := backlog{empty: start}
		b.read(c.left, c.leaves, at(c.ended), func() time.Time { return at(c.read) })
		if got := b.waited(at(c.read)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if b.empty != at(c.read) {
			t.Errorf("%s: the socket was empty at %v, want %v", c.name, b.empty, at(c.read))
		}
	}
}

func TestBacklogGrowsWhileTheSocketIsNotEmptied(t *testing.T) {
	start := time.Unix(1000, 0)
	b := backlog{empty: start}
	for i := 1; i <= 3; i++ {
		now := start.Add(time.Duration(i) * 10 * time.Millisecond)
		b.read(i > 1, true, now, func() time.Time { return now })
		if got := b.waited(now); got != now.Sub(start) {
			t.Errorf("read %d: waited %v, want %v", i, got, now.Sub(start))
		}
	}
}
