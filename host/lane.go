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

// lane is a session of this node: commands of clients that have none are sent under it, so that they can be sent to
// the next leader when the one that had them dies, and still execute once (rule X4), and so that it can be asked what became of them.
type lane struct {
	client [16]byte
	used   core.Time
	seq    uint64
	// open are the unanswered numbers, lowest first.
	open []uint64
	// refused says that the group took the session for too old, spent that the fate of a command on it is not known, which the table
	// must go on to tell: no command follows on this lane.
	refused, spent bool
}

// lanes are the lanes of one group.
type lanes struct {
	list    []*lane
	current *lane
	// plainUntil is until when commands for the leader here go without a number: the group's time is not this node's.
	plainUntil core.Time
}

// room reports whether a lane takes one more command. The width counts from the lowest unanswered number: the table forgets only
// below it.
func (one *lane) room() bool {
	return !one.refused && !one.spent && (len(one.open) == 0 || one.seq-one.open[0]+1 < laneWidth)
}

// pick returns a lane with room, a new one if need be: the one that was picked last, as long as that will do.
func (h *Host) pick(l *lanes) *lane {
	if one := l.current; one != nil && one.room() && h.now.Mono-one.used < laneIdle {
		return one
	}
	l.current = h.pickOther(l)
	return l.current
}

func (h *Host) pickOther(l *lanes) *lane {
	kept := l.list[:0]
	for _, one := range l.list {
		if !one.spent && (len(one.open) > 0 || !one.refused && h.now.Mono-one.used < laneIdle) {
			kept = append(kept, one)
		}
	}
	clear(l.list[len(kept):])
	l.list = kept
	for _, one := range l.list {
		if one.room() {
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

func (h *Host) lanesOf(g core.GroupID) *lanes {
	l := h.lanes[g]
	if l == nil {
		l = &lanes{}
		h.lanes[g] = l
	}
	return l
}

// sign puts a command under a lane, unless it needs none: reads may be repeated, and a client's own session is as good.
func (h *Host) sign(p *pending) {
	c := &p.command
	if c.Read || c.Again || p.lane != nil {
		return
	}
	one := h.pick(h.lanesOf(c.Group))
	one.seq++
	one.open = append(one.open, one.seq)
	one.used = h.now.Mono
	p.lane, p.laneSeq, p.plain = one, one.seq, c.Encoded
	h.requests.bytes -= len(c.Encoded)
	c.Encoded = kv.AppendWithSession(nil, c.Encoded, kv.Session{Client: one.client, Seq: one.seq, Acked: one.open[0] - 1})
	h.requests.bytes += len(c.Encoded)
}

// close ends a command's number. One of unknown fate stays open, so that the table never forgets it for a later one.
func (one *lane) close(seq uint64, known bool) {
	if !known {
		one.spent = true
		return
	}
	for i, n := range one.open {
		if n == seq {
			one.open = append(one.open[:i], one.open[i+1:]...)
			return
		}
	}
}

// unnumbered says that commands for a leader here go without a number for a while.
func (h *Host) unnumbered(g core.GroupID) bool {
	l := h.lanes[g]
	return l != nil && h.now.Mono < l.plainUntil
}

// withoutNumber hands over a command anew as it came. The group's time is so far from this node's clock that it took the number for
// too old; the replica here leads all the same, and a write is worth more than a number for it.
func (h *Host) withoutNumber(id core.RequestID, p *pending) {
	p.lane.refused = true
	p.lane.close(p.laneSeq, true)
	// A command that came from a group whose keys were given away brings that one's lane along: this one may have none yet.
	h.lanesOf(p.command.Group).plainUntil = h.now.Mono + laneIdle
	h.requests.bytes += len(p.plain) - len(p.command.Encoded)
	p.command.Encoded, p.command.Tracked, p.lane = p.plain, false, nil
	h.hand(h.index[p.command.Group], id)
}

// request is the number under which a command was sent; nil: it has none.
func (p *pending) request() *kv.Session {
	if p.lane != nil {
		return &kv.Session{Client: p.lane.client, Seq: p.laneSeq}
	}
	c, err := kv.DecodeHead(p.command.Encoded)
	if err != nil || c.Session.IsZero() || c.Tx != nil {
		return nil
	}
	return &kv.Session{Client: c.Session.Client, Seq: c.Session.Seq}
}
