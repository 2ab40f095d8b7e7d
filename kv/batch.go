package kv

import (
	"sync/atomic"
	"time"
)

// Batch is a group of calls submitted together, reused from one read of a connection to the next.
// Its life is: Reset, Add any number of times, Database.Submit, Wait, read the results.
type Batch struct {
	// Deadline is when unanswered calls end as Unknown.
	Deadline time.Time
	// Waited is how long the first of its requests may have waited to be submitted, at most; under overload what has
	// waited for long is refused first.
	Waited time.Duration

	calls   []*Call
	used    int
	waiting atomic.Int64
	wake    chan struct{}
}

// Reset empties the batch; every call of its last use must have been answered.
func (b *Batch) Reset(deadline time.Time) {
	b.Deadline, b.Waited, b.used = deadline, 0, 0
	if b.wake == nil {
		b.wake = make(chan struct{}, 1)
	}
}

// Add returns the next call of the batch, emptied, for the caller to fill in. Its operation slices keep their capacity.
func (b *Batch) Add() *Call {
	if b.used == len(b.calls) {
		b.calls = append(b.calls, &Call{batch: b})
	}
	c := b.calls[b.used]
	b.used++
	*c = Call{batch: b, Command: Command{Conds: c.Command.Conds[:0], Ops: c.Command.Ops[:0]}}
	return c
}

// Calls are the calls added since Reset.
func (b *Batch) Calls() []*Call { return b.calls[:b.used] }

// Start arms the batch before its first call can be answered. Database.Submit calls it.
func (b *Batch) Start() { b.waiting.Store(int64(b.used)) }

func (b *Batch) done() {
	if b.waiting.Add(-1) == 0 {
		b.wake <- struct{}{}
	}
}

// Wait blocks until every call is answered. It must be called once after each Submit of at least one call.
func (b *Batch) Wait() {
	if b.used > 0 {
		<-b.wake
	}
}
