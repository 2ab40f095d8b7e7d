package paxos

import "github.com/gamutdb/gamut/core"

const (
	// queueTime is how long a command should wait here at most: more commands than can be executed in that time are refused
	// as busy instead of waiting behind each other (rule F2). It may have waited as long in its connection before.
	queueTime = core.Time(25e6)
	// queueMin commands are always taken, so that a few clients with long pipelines meet no refusal on a slow machine.
	queueMin = 1024
	// rateAssumed, in commands per second, holds until the group was busy for a while.
	rateAssumed = 50_000
	// rateWindow is the time over which the rate is measured.
	rateWindow = core.Time(100e6)
)

// load measures how many commands a second a leader can execute: only what it did while it was never idle tells.
type load struct {
	rate  int64 // commands per second; 0: not measured yet
	since core.Time
	done  int64
	idle  bool
}

// limit is how many commands may wait for their answers.
func (l *load) limit() int {
	rate := l.rate
	if rate == 0 {
		rate = rateAssumed
	}
	return max(queueMin, int(rate*int64(queueTime)/1e9))
}

// executed takes note that n commands were answered, and whether any are left.
func (l *load) executed(n int, left bool) {
	l.done += int64(n)
	l.idle = l.idle || !left
}

// observe ends a window when it is over.
func (l *load) observe(now core.Time) {
	if now-l.since < rateWindow {
		return
	}
	if !l.idle && l.since != 0 && now-l.since < 4*rateWindow {
		measured := l.done * 1e9 / int64(now-l.since)
		if l.rate == 0 {
			l.rate = measured
		}
		l.rate = (l.rate + measured) / 2
	}
	l.since, l.done, l.idle = now, 0, false
}
