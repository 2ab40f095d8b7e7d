package redis

import (
	"sync"
	"time"
)

// allowance is a number of bytes that connections share. Taking waits in no order: the amounts are small against the
// whole, and whoever waits in vain is refused at its deadline.
type allowance struct {
	mu      sync.Mutex
	free    int64
	waiting int
	freed   chan struct{}
}

func newAllowance(n int64) allowance { return allowance{free: n, freed: make(chan struct{})} }

// try takes n bytes if they are free.
func (a *allowance) try(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > a.free {
		return false
	}
	a.free -= n
	return true
}

// take waits for n bytes, for so long.
func (a *allowance) take(n int64, patience time.Duration) bool {
	if a.try(n) {
		return true
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		a.mu.Lock()
		if n <= a.free {
			a.free -= n
			a.mu.Unlock()
			return true
		}
		a.waiting++
		freed := a.freed
		a.mu.Unlock()
		late := false
		select {
		case <-freed:
		case <-timer.C:
			late = true
		}
		a.mu.Lock()
		a.waiting--
		a.mu.Unlock()
		if late {
			return false
		}
	}
}

// force takes n bytes that are in use already, free or not; n may be negative.
func (a *allowance) force(n int64) {
	if n < 0 {
		a.give(-n)
		return
	}
	a.mu.Lock()
	a.free -= n
	a.mu.Unlock()
}

func (a *allowance) give(n int64) {
	if n == 0 {
		return
	}
	a.mu.Lock()
	a.free += n
	if a.waiting > 0 {
		close(a.freed)
		a.freed = make(chan struct{})
	}
	a.mu.Unlock()
}

// pressed reports whether someone waits, or more was taken than there was.
func (a *allowance) pressed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting > 0 || a.free <= 0
}
