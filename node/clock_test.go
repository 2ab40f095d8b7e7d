package node

import (
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
)

// fakeTime is a monotonic and a wall clock that only move when told.
type fakeTime struct {
	mono core.Time
	wall time.Time
}

func (f *fakeTime) clocks() *clocks {
	return newClocks(func() core.Time { return f.mono }, func() time.Time { return f.wall })
}

func (f *fakeTime) pass(d time.Duration) {
	f.mono += core.Time(d)
	f.wall = f.wall.Add(d)
}

func TestAJumpOfTheWallClockChangesNothing(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		f := &fakeTime{mono: 5, wall: time.UnixMilli(1_700_000_000_000)}
		c := f.clocks()
		f.pass(10 * time.Second)
		f.wall = f.wall.Add(jump)
		for range 100 {
			if off := c.adjust(0, true); off != jump {
				t.Fatalf("the jump of %v is told as %v", jump, off)
			}
			f.pass(time.Second)
		}
		if got := c.millis(f.mono); got != 1_700_000_110_000 {
			t.Errorf("after a jump of %v the time is %d", jump, got)
		}
	}
}

func TestASmallOffsetIsBentAway(t *testing.T) {
	f := &fakeTime{wall: time.UnixMilli(1_700_000_000_000)}
	c := f.clocks()
	f.wall = f.wall.Add(-42 * time.Millisecond)
	last := c.millis(f.mono)
	for range 9 {
		f.pass(time.Second)
		c.adjust(0, false)
		now := c.millis(f.mono)
		if step := now - last; step < 995 || step > 1000 {
			t.Errorf("a second of %d ms", step)
		}
		last = now
	}
	if off := c.adjust(0, false); off != 0 {
		t.Errorf("still off by %v", off)
	}
}

func TestANodeThatStartedWithAWrongClockFollowsItsPeersOnceItIsSet(t *testing.T) {
	f := &fakeTime{wall: time.UnixMilli(1_700_000_000_000)}
	c := f.clocks()
	c.adjust(time.Hour, true)
	if got := c.millis(f.mono); got != 1_700_000_000_000 {
		t.Fatalf("it followed its peers against its own wall clock: %d", got)
	}
	f.wall = f.wall.Add(time.Hour)
	if off := c.adjust(time.Hour, true); off != 0 {
		t.Errorf("off by %v", off)
	}
	if got := c.millis(f.mono); got != 1_700_003_600_000 {
		t.Errorf("the time is %d", got)
	}
}

func TestMedianSkew(t *testing.T) {
	const h = time.Hour
	for _, c := range []struct {
		peers []time.Duration
		want  time.Duration
		known bool
	}{
		{nil, 0, false},
		{[]time.Duration{h}, 0, true},
		{[]time.Duration{-h}, 0, true},
		{[]time.Duration{h, 0}, 0, true},
		{[]time.Duration{h, h}, h, true},
		{[]time.Duration{-h, -h, 0, -h}, -h, true},
		{[]time.Duration{h, h, 0, 0}, 0, true},
	} {
		if got, known := medianSkew(c.peers); got != c.want || known != c.known {
			t.Errorf("%v: %v %v", c.peers, got, known)
		}
	}
}

func TestMeasuresTakeRoundTripAndSkewFromFrames(t *testing.T) {
	var m measures
	const ms = int64(time.Millisecond)
	// Sent at 100 ms, held 20 ms there, back at 130 ms: 10 ms on the way; the peer's clock was 2 s ahead.
	for i := range int64(20) {
		shift := i * 200 * ms
		m.observe(times{wall: 3000 + 5, sent: 1, echo: 100*ms + shift, held: 20 * ms}, core.Time(130*ms+shift), 1000+10, time.Time{})
	}
	skew, ok := m.skew()
	if m.rtt != 10*time.Millisecond || !ok || skew != 2*time.Second {
		t.Errorf("rtt %v, skew %v %v", m.rtt, skew, ok)
	}
	if len(m.skews) != skewSamples {
		t.Errorf("%d samples are kept", len(m.skews))
	}
	before := len(m.skews)
	m.observe(times{wall: 1 << 40, echo: 1 << 60}, core.Time(5000*ms), 0, time.Time{})
	if after, _ := m.skew(); after != skew || len(m.skews) != before {
		t.Error("an impossible echo counted")
	}
}
