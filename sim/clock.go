package sim

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
)

// epoch is the wall time at which every run begins, in Unix milliseconds.
const epoch = 1_700_000_000_000

const million = 1_000_000

// clock is a node's idea of the time: a monotonic clock with a rate of its own and a wall clock that may jump. Whole
// numbers only, so that a run is the same on every machine.
type clock struct {
	since core.Time // true time of the last change of rate
	mono  core.Time // what the clock showed then
	rate  int64     // millionths too fast
	wall  int64     // milliseconds ahead
}

func (c *clock) at(now core.Time) host.Now {
	mono := c.mono + core.Time(int64(now-c.since)/million*(million+c.rate)+int64(now-c.since)%million*(million+c.rate)/million)
	return host.Now{Mono: mono, Wall: epoch + int64(now/Millisecond) + c.wall}
}

// until is how long it takes, in true time, until the clock shows mono or later.
func (c *clock) until(now, mono core.Time) core.Time {
	left := int64(mono - c.at(now).Mono)
	if left <= 0 {
		return 0
	}
	return core.Time(left/(million+c.rate)*million+left%(million+c.rate)*million/(million+c.rate)) + 2
}

func (c *clock) setRate(now core.Time, rate int64) {
	c.mono, c.since, c.rate = c.at(now).Mono, now, rate
}
