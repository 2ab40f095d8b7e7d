package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/core"
)

// Faults are what may go wrong in a run and how often: a swarm, drawn anew for each run, because a bug often needs some
// faults to be frequent and others to be absent. The intervals are the mean times between two strikes anywhere in the
// cluster; 0 means never.
type Faults struct {
	// Drop, Duplicate, Reorder and Straggle are chances of each message; a straggler comes up to 300 ms late.
	Drop, Duplicate, Reorder, Straggle float64
	DelayMin, DelayMax                 core.Time
	SyncMin, SyncMax                   core.Time

	Crash, CrashAll, Pause         core.Time
	Cut, Partition, Flap, SlowLink core.Time
	SyncSlow, SyncHang, SyncError  core.Time
	Full                           core.Time
	Unfit, Damage, Flush, Roll     core.Time
	WallJump, RateChange, Handoff  core.Time
	Wipe                           core.Time
	// Change is how often the members of a group change; groups then begin with three voters.
	Change core.Time
	// Coup is the longest that a new leader is left alone; 0: it may stay.
	Coup core.Time
	// Keep says what a crash does to the batch being written: 0 loses it, 1 keeps it, 2 tosses a coin. Torn lets half of those
	// that are lost be there in part.
	Keep int
	Torn bool
	// shapes are the classes of faults that were asked for; nil: all. See may.
	shapes []string
	// JumpMax is how far from the truth a wall clock that jumps is set, in milliseconds; 0: anything up to an hour.
	JumpMax int64
	// Watched says that nodes notice within a second that their wall clock is too far from the others', and that all clocks are set
	// right in the end. Without it nobody looks at them.
	Watched bool
	// RateMax is the greatest error of a monotonic clock in millionths.
	RateMax int64
	// SegmentBytes and MemTableBytes are when the disk wants a new segment of the log, and makes the state durable by itself.
	SegmentBytes, MemTableBytes int64
}

// Calm is a cluster in which nothing goes wrong.
func Calm() *Faults {
	return &Faults{DelayMin: 100 * Microsecond, DelayMax: 400 * Microsecond, SyncMin: 200 * Microsecond, SyncMax: Millisecond,
		Flush: Second, Roll: 2 * Second, SegmentBytes: 64 << 10, MemTableBytes: 1 << 20}
}

// drawFaults takes each fault into the swarm with a chance of a third, and draws its intensity.
func drawFaults(rng *rand.Rand, nodes int) Faults {
	f := *Calm()
	chance := func(highest float64) float64 {
		if rng.IntN(3) > 0 {
			return 0
		}
		return highest * rng.Float64() * rng.Float64()
	}
	every := func(low, high core.Time) core.Time {
		if rng.IntN(3) > 0 {
			return 0
		}
		return low + core.Time(rng.Int64N(int64(high-low)))
	}
	f.Drop, f.Duplicate, f.Reorder, f.Straggle = chance(0.2), chance(0.3), chance(0.5), chance(0.1)
	if rng.IntN(3) == 0 {
		f.DelayMax = core.Time(1+rng.Int64N(20)) * Millisecond
	}
	if rng.IntN(3) == 0 {
		f.SyncMax = core.Time(2+rng.Int64N(30)) * Millisecond
	}
	f.Crash, f.CrashAll = every(300*Millisecond, 3*Second), every(2*Second, 6*Second)
	f.Pause = every(300*Millisecond, 3*Second)
	f.Cut, f.Partition = every(300*Millisecond, 3*Second), every(500*Millisecond, 3*Second)
	f.Flap, f.SlowLink = every(Second, 4*Second), every(Second, 4*Second)
	f.SyncSlow, f.SyncHang = every(Second, 4*Second), every(2*Second, 5*Second)
	f.SyncError, f.Unfit, f.Damage = every(Second, 5*Second), every(Second, 5*Second), every(2*Second, 5*Second)
	f.WallJump, f.RateChange, f.Handoff = every(500*Millisecond, 3*Second), every(Second, 3*Second), every(300*Millisecond, 3*Second)
	f.Flush, f.Roll = 50*Millisecond+core.Time(rng.Int64N(int64(3*Second))), 100*Millisecond+core.Time(rng.Int64N(int64(3*Second)))
	if f.Wipe = every(4*Second, 12*Second); rng.IntN(4) == 0 {
		f.Coup = core.Time(1+rng.Int64N(500)) * Millisecond
	}
	if nodes > 3 && rng.IntN(2) == 0 {
		// Three voters of five bear the loss of one disk only, and which three it is changes.
		f.Change, f.Wipe, f.Damage = 200*Millisecond+core.Time(rng.Int64N(int64(2*Second))), 0, 0
	}
	f.Keep, f.RateMax = rng.IntN(3), 25_000
	f.SegmentBytes, f.MemTableBytes = 512<<rng.IntN(8), 256<<rng.IntN(12)
	f.Torn, f.Full = rng.IntN(2) == 0, every(Second, 5*Second)
	return f
}

func (f *Faults) drawRate(rng *rand.Rand) int64 {
	if f.RateMax == 0 {
		return 0
	}
	return rng.Int64N(2*f.RateMax+1) - f.RateMax
}

func (f *Faults) drawSync(rng *rand.Rand) core.Time {
	return f.SyncMin + core.Time(rng.Int64N(int64(f.SyncMax-f.SyncMin+1)))
}

// String names what is in the swarm.
func (f *Faults) String() string {
	var b strings.Builder
	for _, c := range []struct {
		name string
		v    float64
	}{{"drop", f.Drop}, {"duplicate", f.Duplicate}, {"reorder", f.Reorder}, {"straggle", f.Straggle}} {
		if c.v > 0 {
			fmt.Fprintf(&b, "%s %.3f, ", c.name, c.v)
		}
	}
	for _, k := range f.kinds() {
		if *k.every > 0 {
			fmt.Fprintf(&b, "%s every %s, ", k.name, clockText(*k.every))
		}
	}
	fmt.Fprintf(&b, "coup within %s, delay to %s, sync to %s, keep %d, torn %v, clocks +-%d ppm, segments of %d and memtables of %d bytes",
		clockText(f.Coup), clockText(f.DelayMax), clockText(f.SyncMax), f.Keep, f.Torn, f.RateMax, f.SegmentBytes, f.MemTableBytes)
	return b.String()
}

// leaveOut takes timed faults out of the swarm by their names.
func (f *Faults) leaveOut(names []string) {
	for _, k := range f.kinds() {
		if slices.Contains(names, k.name) {
			*k.every = 0
		}
	}
}

// kind is a fault that strikes from time to time.
type kind struct {
	name   string
	every  *core.Time
	strike func(*strikes)
	// chore says that it is no fault: it goes on after the heal.
	chore bool
}

func (f *Faults) kinds() []kind {
	return []kind{
		{name: "crash", every: &f.Crash, strike: (*strikes).crash},
		{name: "crash-all", every: &f.CrashAll, strike: (*strikes).crashAll},
		{name: "pause", every: &f.Pause, strike: (*strikes).pause},
		{name: "cut", every: &f.Cut, strike: (*strikes).cutOne},
		{name: "partition", every: &f.Partition, strike: (*strikes).partition},
		{name: "flap", every: &f.Flap, strike: (*strikes).flap},
		{name: "slow-link", every: &f.SlowLink, strike: (*strikes).slowLink},
		{name: "sync-slow", every: &f.SyncSlow, strike: (*strikes).syncSlow},
		{name: "sync-hang", every: &f.SyncHang, strike: (*strikes).syncHang},
		{name: "sync-error", every: &f.SyncError, strike: (*strikes).syncError},
		{name: "full", every: &f.Full, strike: (*strikes).full},
		{name: "unfit", every: &f.Unfit, strike: (*strikes).unfit},
		{name: "damage", every: &f.Damage, strike: (*strikes).damage},
		{name: "wall-jump", every: &f.WallJump, strike: (*strikes).wallJump},
		{name: "rate-change", every: &f.RateChange, strike: (*strikes).rateChange},
		{name: "handoff", every: &f.Handoff, strike: (*strikes).handoff},
		{name: "wipe", every: &f.Wipe, strike: (*strikes).wipe},
		{name: "change", every: &f.Change, strike: (*strikes).change},
		{name: "flush", every: &f.Flush, strike: (*strikes).flush, chore: true},
		{name: "roll", every: &f.Roll, strike: (*strikes).roll, chore: true},
	}
}
