package host

import "github.com/gamutdb/gamut/kv"

const (
	// upperAhead is how far the durable bound runs ahead of the clock, in milliseconds; upperLow is when it is renewed. After a
	// restart the clock stands at the bound, so it must not be further ahead than clocks may be apart (rule H2): the others would
	// refuse the stamps of the node until then, and its own writes would win over later ones of others.
	upperAhead = 500
	upperLow   = 300
	// countAhead and countLow are the same while the clock is ahead of the wall, as after a restart, and only counts: a
	// process that is started again and again must not run ahead by seconds each time.
	countAhead = 100
	countLow   = 50
)

// clock is the node's hybrid logical clock under a durable upper bound (rules H1 and H3): it never shows a value at or
// above the bound that is on disk, so after a restart it goes on from there, and no stamp is ever given twice, even if
// the wall clock was set back.
type clock struct {
	last  kv.HLC
	upper kv.HLC
}

func (c *clock) start(upper kv.HLC) { c.last, c.upper = upper, upper }

// aheadLimit is how far stamps may be ahead of the clock, in milliseconds, before the node leads only what nobody else can.
// After each start they are ahead by up to upperAhead.
const aheadLimit = 6000

// ahead says that the stamps are far ahead of the clock.
func (c *clock) ahead(wall int64) bool { return c.last.UnixMilli() > wall+aheadLimit }

// read is the next stamp. While the bound is too low it counts on in the lowest bits; before the first batch is durable
// it repeats itself, which harms nobody: whoever orders by stamps makes them grow within its own log.
func (c *clock) read(wall int64) kv.HLC {
	next := max(c.last+1, kv.HLCOf(wall))
	if next >= c.upper {
		next = max(c.last, min(next, c.upper-1))
		if c.upper == 0 {
			return 0
		}
	}
	c.last = next
	return next
}

func (c *clock) wantsRefresh(wall int64) bool {
	return c.upper < kv.HLCOf(max(wall+upperLow, c.last.UnixMilli()+countLow))
}

// behind says that stamps have stopped at the bound.
func (c *clock) behind(wall int64) bool { return c.upper <= kv.HLCOf(wall) }

func (c *clock) propose(wall int64) kv.HLC {
	return max(c.upper, kv.HLCOf(max(wall+upperAhead, c.last.UnixMilli()+countAhead)))
}

func (c *clock) durable(upper kv.HLC) { c.upper = max(c.upper, upper) }
