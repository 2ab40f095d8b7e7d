//go:build !linux

package node

import (
	"time"

	"github.com/gamutdb/gamut/core"
)

var origin = time.Now()

// monotonic stands still while the machine is suspended, so a suspended leader may trust its lease for too long.
func monotonic() core.Time { return core.Time(time.Since(origin)) + 1 }
