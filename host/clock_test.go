package host

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestClockOfARestartedNodeIsNoFurtherAheadThanClocksMayBe crashes at any moment of a second of work: rule H3 lets the clock go on at
// its bound, rule H2 must let the others take its stamps.
func TestClockOfARestartedNodeIsNoFurtherAheadThanClocksMayBe(t *testing.T) {
	const skewMax = 500
	for crash := int64(0); crash < 1000; crash++ {
		var c clock
		c.start(0)
		var last kv.HLC
		for wall := int64(10_000); wall <= 10_000+crash; wall++ {
			if c.wantsRefresh(wall) {
				c.durable(c.propose(wall))
			}
			if s := c.read(wall); s <= last || s.UnixMilli() != wall {
				t.Fatalf("at %d: stamp %d after %d", wall, s.UnixMilli(), last.UnixMilli())
			} else {
				last = s
			}
		}
		var again clock
		again.start(c.upper)
		s := again.read(10_000 + crash)
		if s < last || s.UnixMilli() > 10_000+crash+skewMax {
			t.Fatalf("crashed at %d after stamp %d: begins again at %d", crash, last.UnixMilli(), s.UnixMilli())
		}
	}
}
