package host

import (
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

const (
	// laneWidth is how many commands of one lane may be unanswered; the session table keeps as many results.
	laneWidth = 48
	// laneIdle ends a lane that was not used: a session must be taken up while it is young (rule X2).
	laneIdle = core.Time(60e9)
)

// lane is a session of this node: commands of clients that have none are forwarded under it, so that they can be sent to
// the next leader when the one that had them dies, and still execute once (rule X4).
type lane struct {
	client [16]byte
	used   core.Time
	seq    uint64
	// open are the unanswered numbers, lowest first.
	open []uint64
	// refused says that the group took the session for too old: no command follows on this lane.
	refused bool
}

// lanes are the lanes of one group.
type lanes struct{ list []*lane }

// pick returns a lane with room, a new one if need be.
func (h *Host) pick(l *lanes) *lane {
	kept := l.list[:0]
	for _, one := range l.list {
		if len(one.open) > 0 || !one.refused && h.now.Mono-one.used < laneIdle {
			kept = append(kept, one)
		}
	}
	clear(l.list[len(kept):])
	l.list = kept
	for _, one := range l.list {
		// The width counts from the lowest unanswered number: the table forgets only below it.
		if !one.refused && (len(one.open) == 0 || one.seq-one.open[0]+1 < laneWidth) {
			return one
		}
	}
	one := &lane{}
	// Sessions are named by their time of creation and by chance. The stamps do not tell that time: just after a start they
	// stand still at the bound of the last run, and they are ahead of a clock that was ahead once; a session of such an age
	// would be refused, and every command of the lane with it.
	created := kv.HLCOf(h.now.Wall)
	binary.BigEndian.PutUint64(one.client[:], uint64(created)&^0xffff|h.rand.Uint64N(1<<16))
	binary.BigEndian.PutUint64(one.client[8:], h.rand.Uint64())
	l.list = append(l.list, one)
	return one
}

// sign puts a command under a lane, unless it needs none: reads may be repeated, and a client's own session is as good.
func (h *Host) sign(p *pending) {
	c := &p.command
	if c.Read || c.Again || c.Once || p.lane != nil {
		return
	}
	l := h.lanes[c.Group]
	if l == nil {
		l = &lanes{}
		h.lanes[c.Group] = l
	}
	one := h.pick(l)
	one.seq++
	one.open = append(one.open, one.seq)
	one.used = h.now.Mono
	p.lane, p.laneSeq = one, one.seq
	h.requests.bytes -= len(c.Encoded)
	c.Encoded = kv.AppendWithSession(nil, c.Encoded, kv.Session{Client: one.client, Seq: one.seq, Acked: one.open[0] - 1})
	h.requests.bytes += len(c.Encoded)
}

// close frees a command's number.
func (one *lane) close(seq uint64) {
	for i, n := range one.open {
		if n == seq {
			one.open = append(one.open[:i], one.open[i+1:]...)
			return
		}
	}
}
