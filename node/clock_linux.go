package node

import (
	"golang.org/x/sys/unix"

	"github.com/gamutdb/gamut/core"
)

// monotonic goes on while the machine is suspended: a lease must not outlive a closed lid (rule H4).
func monotonic() core.Time {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("node: read the clock: " + err.Error())
	}
	return core.Time(t.Nano())
}
