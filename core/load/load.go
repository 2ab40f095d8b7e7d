// Package load measures how much a replica can do, so that it refuses what would only wait.
//
// A Meter counts what was answered while the replica was never idle: that is its rate, and what it does in a short time at that
// rate is how much may be under way. Others rely on this: a limit never falls below what they call the least.
//
// Start with Meter.
package load

import "github.com/gamutdb/gamut/core"

const (
	// queueTime is how long a command should wait at most: more commands than can be executed in that time are refused as busy
	// instead of waiting behind each other (rule F2). It may have waited as long in its connection before.
	queueTime = core.Time(25e6)
	// rateAssumed, in commands per second, holds until the replica was busy for a while.
	rateAssumed = 50_000
	// rateWindow is the time over which the rate is measured.
	rateWindow = core.Time(100e6)
)

// Meter measures how many commands a second a replica can execute: only what it did while it was never idle tells. The zero
// value is usable.
type Meter struct {
	rate  int64 // commands per second; 0: not measured yet
	since core.Time
	done  int64
	idle  bool
}

// Limit is how many commands may wait for their answers. least are always taken, so that a few clients with long pipelines meet
// no refusal on a slow machine.
func (m *Meter) Limit(least int) int {
	rate := m.rate
	if rate == 0 {
		rate = rateAssumed
	}
	return max(least, int(rate*int64(queueTime)/1e9))
}

// Executed takes note that n commands were answered, and whether any are left.
func (m *Meter) Executed(n int, left bool) {
	m.done += int64(n)
	m.idle = m.idle || !left
}

// Observe ends a window when it is over.
func (m *Meter) Observe(now core.Time) {
	if now-m.since < rateWindow {
		return
	}
	if !m.idle && m.since != 0 && now-m.since < 4*rateWindow {
		measured := m.done * 1e9 / int64(now-m.since)
		if m.rate == 0 {
			m.rate = measured
		}
		m.rate = (m.rate + measured) / 2
	}
	m.since, m.done, m.idle = now, 0, false
}
