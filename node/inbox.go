package node

import (
	"sync"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
)

// inboxBytes bounds what peers may have put into the inbox; beyond it their connections are not read.
const inboxBytes = 64 << 20

// arrivals is what has arrived for the loop since its last pass.
type arrivals struct {
	submissions []*submission
	frames      []frameIn
	synced      []syncedBatch
	calls       []func(host.Now)
}

type frameIn struct {
	from    core.NodeID
	parcels []parcel
}

// parcelPool holds lists of parcels for the frames to come: a list is large beside what is in it.
type parcelPool struct{ lists sync.Pool }

// parcelsKeep is the longest list that is used again.
const parcelsKeep = 1024

func (p *parcelPool) get() []parcel {
	if list, ok := p.lists.Get().(*[]parcel); ok {
		return *list
	}
	return nil
}

func (p *parcelPool) put(list []parcel) {
	if cap(list) > 0 && cap(list) <= parcelsKeep {
		clear(list)
		list = list[:0]
		p.lists.Put(&list)
	}
}

type syncedBatch struct {
	batch     host.Batch
	needsRoll bool
}

func (a *arrivals) reset() {
	clear(a.submissions)
	clear(a.frames)
	clear(a.synced)
	clear(a.calls)
	a.submissions, a.frames, a.synced, a.calls = a.submissions[:0], a.frames[:0], a.synced[:0], a.calls[:0]
}

// inbox is where everything meets the loop. The loop is woken once, however much arrives before it looks.
type inbox struct {
	mu       sync.Mutex
	room     sync.Cond
	next     arrivals
	bytes    int
	signaled bool
	closed   bool
	wake     chan struct{}
}

func (i *inbox) init() {
	i.wake = make(chan struct{}, 1)
	i.room.L = &i.mu
}

// unlock ends a change of the inbox and wakes the loop if nobody has.
func (i *inbox) unlock() {
	first := !i.signaled
	i.signaled = true
	i.mu.Unlock()
	if first {
		select {
		case i.wake <- struct{}{}:
		default: // a wake-up from before is still under way, and serves as well
		}
	}
}

// submit hands commands to the loop; false: it takes no more.
func (i *inbox) submit(s *submission) bool {
	i.mu.Lock()
	if i.closed {
		i.mu.Unlock()
		return false
	}
	i.next.submissions = append(i.next.submissions, s)
	i.unlock()
	return true
}

// frame hands on what a peer said. It waits while the loop has too much to do already.
func (i *inbox) frame(f frameIn, bytes int) bool {
	i.mu.Lock()
	for i.bytes > inboxBytes && !i.closed {
		i.room.Wait()
	}
	if i.closed {
		i.mu.Unlock()
		return false
	}
	i.bytes += bytes
	i.next.frames = append(i.next.frames, f)
	i.unlock()
	return true
}

func (i *inbox) synced(s syncedBatch) {
	i.mu.Lock()
	i.next.synced = append(i.next.synced, s)
	i.unlock()
}

// call lets the loop call f in its next pass; false: it takes no more.
func (i *inbox) call(f func(host.Now)) bool {
	i.mu.Lock()
	if i.closed {
		i.mu.Unlock()
		return false
	}
	i.next.calls = append(i.next.calls, f)
	i.unlock()
	return true
}

// take swaps what has arrived against an empty list.
func (i *inbox) take(empty *arrivals) {
	i.mu.Lock()
	*empty, i.next = i.next, *empty
	i.bytes = 0
	if i.signaled {
		i.signaled = false
		select {
		case <-i.wake:
		default: // the loop has it already
		}
	}
	i.room.Broadcast()
	i.mu.Unlock()
}

// close lets nothing more in.
func (i *inbox) close() {
	i.mu.Lock()
	i.closed = true
	i.room.Broadcast()
	i.unlock()
}
