package inject

import (
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
)

// clock bends the node's two clocks.
type clock struct {
	mu       sync.Mutex
	settings Clock
	mono     func() core.Time // the machine's; nil until the node has asked
	// from and shown are a moment of the machine's clock and what the node read then: the rate counts from there, so that a
	// change of the rate makes no jump.
	from, shown core.Time
}

// Clocks is the node's Faults': it bends the clocks that it is given.
func (i *Injector) Clocks(mono func() core.Time, wall func() time.Time) (func() core.Time, func() time.Time) {
	c := &i.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono = mono
	c.from = mono()
	c.shown = c.from
	return c.read, func() time.Time { return wall().Add(c.offset()) }
}

func (c *clock) set(s Clock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mono != nil && s.Rate != c.settings.Rate {
		now := c.mono()
		c.shown, c.from = c.at(now), now
	}
	c.settings = s
}

func (c *clock) offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.settings.Offset)
}

func (c *clock) read() core.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(c.mono())
}

// at is what the node reads at a moment of the machine's clock; c.mu is held.
func (c *clock) at(now core.Time) core.Time {
	passed := now - c.from
	return c.shown + passed + core.Time(float64(passed)*float64(c.settings.Rate)/1e6)
}
