package main

import (
	"math/rand/v2"
	"time"
)

// outcome is what a reply said about one operation.
type outcome int

const (
	done    outcome = iota
	refused         // busy, try later: certainly not executed
	failed          // any other error, and reads that did not bring the whole value
)

// tally counts outcomes.
type tally struct {
	done, refused, failed int
	firstError            string // of what failed or was refused
}

func (t *tally) count(o outcome, text string) {
	switch o {
	case done:
		t.done++
		return
	case refused:
		t.refused++
	case failed:
		t.failed++
	}
	if t.firstError == "" {
		t.firstError = text
	}
}

func (t *tally) add(other tally) {
	t.done += other.done
	t.refused += other.refused
	t.failed += other.failed
	if t.firstError == "" {
		t.firstError = other.firstError
	}
}

// batch is what a client asks at once. It is filled anew for each turn, so that a closed loop allocates nothing.
type batch struct {
	data   *data
	random *rand.Rand
	write  bool
	keys   []int
}

func newBatch(d *data, seed uint64, write bool, size int) *batch {
	return &batch{data: d, random: rand.New(rand.NewPCG(seed, 7)), write: write, keys: make([]int, size)}
}

func (b *batch) draw() {
	for i := range b.keys {
		b.keys[i] = b.random.IntN(b.data.keys)
	}
}

// session is one client that waits for its replies. An error means that the session is of no more use.
type session interface {
	do(b *batch) (tally, error)
	close()
}

// stream is one client that sends writes without waiting.
type stream interface {
	// send asks for a write that was due at the given time; false if too many of this client are under way.
	send(due time.Time, key int) bool
	// underWay is how many are sent and not yet answered.
	underWay() int
	close()
}

// arrived is called by a stream for each reply, on any goroutine.
type arrived func(due, sent time.Time, o outcome, text string)

// dialer opens clients of one system.
type dialer interface {
	// prepare says how many clients will come, for connections that they share. The endpoints are taken in turn.
	prepare(endpoints []string, clients int) error
	// session opens client number i. Replies that take longer than the limit end it; 0 is no limit.
	session(i int, limit time.Duration) (session, error)
	// stream opens client number i, with at most window writes under way.
	stream(i, window int, d *data, arrived arrived) (stream, error)
	close()
}
