package node

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

const (
	// offsetLimit is how far a clock may be from the others' (rule H2).
	offsetLimit = 500 * time.Millisecond
	// slewMax is how much the node's time is bent toward the wall clock in each second.
	slewMax = 5 * time.Millisecond
)

// clocks are the node's two times. The wall time that stamps are made of is the wall clock at the start, carried on by
// the monotonic clock and bent slowly: a wall clock that jumps changes nothing.
type clocks struct {
	mono func() core.Time
	wall func() time.Time
	// offset is wall time minus monotonic time in nanoseconds.
	offset atomic.Int64
}

func newClocks(mono func() core.Time, wall func() time.Time) *clocks {
	c := &clocks{mono: mono, wall: wall}
	c.offset.Store(wall().UnixNano() - int64(mono()))
	return c
}

// millis is the node's wall time at a reading of the monotonic clock, in Unix milliseconds.
func (c *clocks) millis(at core.Time) int64 { return (int64(at) + c.offset.Load()) / 1e6 }

// stamp is the node's wall time as the lowest stamp of its millisecond.
func (c *clocks) stamp(at core.Time) kv.HLC { return kv.HLCOf(c.millis(at)) }

// adjust bends the node's time toward the wall clock; it is called once a second. peers is the peers' median time minus
// ours, fit to judge by if known. It returns how far the wall clock is off.
func (c *clocks) adjust(peers time.Duration, known bool) (off time.Duration) {
	off = time.Duration(c.wall().UnixNano() - int64(c.mono()) - c.offset.Load())
	switch {
	case off.Abs() <= offsetLimit:
		c.offset.Add(int64(max(-slewMax, min(slewMax, off))))
	case known && peers.Abs() > offsetLimit && (peers-off).Abs() <= offsetLimit:
		// The node started with a wrong clock, which somebody has set right: the others agree with it, not with us.
		c.offset.Add(int64(off))
		return 0
	}
	return off
}

// medianSkew is by how much most of the cluster is ahead of this node, this node counted; false: no peer is heard. Of two
// middle ones the nearer to this node counts, so that one peer alone cannot put it in the wrong.
func medianSkew(peers []time.Duration) (time.Duration, bool) {
	if len(peers) == 0 {
		return 0, false
	}
	all := append(slices.Clone(peers), 0)
	slices.Sort(all)
	low, high := all[(len(all)-1)/2], all[len(all)/2]
	if low.Abs() < high.Abs() {
		return low, true
	}
	return high, true
}
