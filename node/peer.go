package node

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
)

const (
	// queueMax bounds the bytes that wait for one peer. Protocol messages beyond it are lost, as the network may lose them.
	queueMax = 64 << 20
	// smallAnswer bytes of values are sent however much waits for the peer.
	smallAnswer = 4 << 10
	// frameKeep is the largest frame whose memory is used again, spareMax how many of them are kept.
	frameKeep = 2 * frameFill
	spareMax  = 4
	// frameJoin is the largest frame that is copied behind one that waits: less work for both nodes than a frame of its own.
	frameJoin = 16 << 10
	// heardWithin is how recently a peer must have been heard to count as up.
	heardWithin = core.Time(3 * time.Second)
	skewSamples = 9
)

// peer is another node, as this one speaks with it: one connection to say, one to hear.
type peer struct {
	id core.NodeID
	// leave ends the speaking, when the node is no member any more.
	leave context.CancelFunc

	// building belongs to the loop: the frames of the running pass.
	building      [][]byte
	buildingBytes int

	// connected says that what is queued has a connection to go to; queued is how many bytes wait.
	connected atomic.Bool
	// hearing says that there is a connection on which the peer can answer.
	hearing atomic.Bool
	queued  atomic.Int64
	wake    chan struct{}

	mu     sync.Mutex
	addr   string
	frames [][]byte
	spare  [][]byte
	out    net.Conn
	in     net.Conn
	// store is the disk that the peer greeted with, on either connection.
	store    keyspace.StoreID
	trouble  string // why there is no connection
	measured measures
}

// measures is what the clock readings on the peer's frames tell.
type measures struct {
	heard    core.Time // when the last frame came
	lastSent int64     // the sender's clock on it
	lastSeen time.Time
	rtt      time.Duration
	sampled  core.Time
	skews    []time.Duration
}

// skewEvery is how often a frame's clock counts: bursts must not crowd out what came before.
const skewEvery = core.Time(100 * time.Millisecond)

// observe takes the clock readings of a frame that came at now, when this node's wall time was wall.
func (m *measures) observe(t times, now core.Time, wall int64, seen time.Time) {
	m.heard, m.lastSent, m.lastSeen = now, t.sent, seen
	if t.echo == 0 {
		return
	}
	rtt := time.Duration(int64(now) - t.echo - t.held)
	if rtt < 0 || rtt > time.Minute {
		return
	}
	m.rtt = rtt
	if m.sampled != 0 && now-m.sampled < skewEvery {
		return
	}
	m.sampled = now
	if len(m.skews) == skewSamples {
		m.skews = slices.Delete(m.skews, 0, 1)
	}
	m.skews = append(m.skews, time.Duration(t.wall-wall)*time.Millisecond+rtt/2)
}

// skew is the median of the recent samples: the peer's clock minus ours.
func (m *measures) skew() (time.Duration, bool) {
	if len(m.skews) == 0 {
		return 0, false
	}
	sorted := slices.Clone(m.skews)
	slices.Sort(sorted)
	return sorted[len(sorted)/2], true
}

// full says that no more protocol messages fit.
func (p *peer) full() bool { return p.queued.Load()+int64(p.buildingBytes) > queueMax }

// crowded says that large answers have no room: the rest is for messages, and for what is small.
func (p *peer) crowded() bool { return p.queued.Load()+int64(p.buildingBytes) > queueMax/4 }

// frame is the frame of this pass to append a parcel to; grew takes it back.
func (p *peer) frame() []byte {
	if n := len(p.building); n > 0 && len(p.building[n-1]) < frameFill {
		return p.building[n-1]
	}
	p.building = append(p.building, p.emptyFrame())
	return p.building[len(p.building)-1]
}

func (p *peer) grew(frame []byte) {
	last := &p.building[len(p.building)-1]
	p.buildingBytes += len(frame) - len(*last)
	*last = frame
}

func (p *peer) emptyFrame() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.spare); n > 0 {
		f := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return f[:frameHead]
	}
	return make([]byte, frameHead, 16<<10)
}

// flush hands the frames of the pass to the sender.
func (p *peer) flush() {
	if len(p.building) == 0 {
		return
	}
	p.mu.Lock()
	if p.out != nil {
		p.queue()
	}
	p.mu.Unlock()
	clear(p.building)
	p.building, p.buildingBytes = p.building[:0], 0
	p.signal()
}

// queue hands the frames of the pass over; p.mu is held.
func (p *peer) queue() {
	p.queued.Add(int64(p.buildingBytes))
	first, last := p.building[0], len(p.frames)-1
	if len(p.building) == 1 && last >= 0 && len(first) <= frameJoin && len(p.frames[last]) < frameFill {
		p.frames[last] = append(p.frames[last], first[frameHead:]...)
		p.keep(first)
		return
	}
	p.frames = append(p.frames, p.building...)
}

// keep holds a frame's memory for another one; p.mu is held.
func (p *peer) keep(frame []byte) {
	if cap(frame) <= frameKeep && len(p.spare) < spareMax {
		p.spare = append(p.spare, frame)
	}
}

func (p *peer) signal() {
	select {
	case p.wake <- struct{}{}:
	default: // it is on its way
	}
}

// take moves what waits into frames, which the sender owns until it recycles them.
func (p *peer) take(frames [][]byte) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	frames, p.frames = p.frames, frames
	return frames
}

// recycle takes back frames that were written.
func (p *peer) recycle(frames [][]byte) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range frames {
		p.queued.Add(int64(frameHead - len(f)))
		p.keep(f)
	}
	clear(frames)
	return frames[:0]
}

// opened notes a connection to speak on.
func (p *peer) opened(conn net.Conn, store keyspace.StoreID) {
	p.mu.Lock()
	p.out, p.store, p.trouble = conn, store, ""
	p.mu.Unlock()
	p.connected.Store(true)
}

// closed forgets the connection and what waited for it.
func (p *peer) closed(trouble string) {
	p.connected.Store(false)
	p.mu.Lock()
	p.out, p.trouble, p.frames = nil, trouble, nil
	p.queued.Store(0)
	p.mu.Unlock()
}

// hangUp breaks both connections; their goroutines see to the rest.
func (p *peer) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		p.out.Close()
	}
	if p.in != nil {
		p.in.Close()
	}
}

// times are the clock readings for a frame to this peer.
func (p *peer) times(c *clocks) times {
	now := c.mono()
	p.mu.Lock()
	defer p.mu.Unlock()
	t := times{wall: c.millis(now), sent: int64(now), echo: p.measured.lastSent}
	if t.echo != 0 {
		t.held = int64(now - p.measured.heard)
	}
	return t
}
