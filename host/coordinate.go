package host

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// sweepEvery is how often overdue commands are looked for, in nanoseconds; a command may outlive its deadline by as much.
const sweepEvery = core.Time(50e6)

// Command is a client's command for one group.
type Command struct {
	// Token names the command to Port.Reply.
	Token uint64
	Group core.GroupID
	// Encoded is a kv.Command in its encoding. The host keeps it until the command is answered.
	Encoded []byte
	// Read says that the command changes nothing: whatever becomes of it, it may be sent again.
	Read bool
	// Again says that the command carries a session, so that sending it twice executes it once.
	Again bool
	// Nodes are the members of the group, for a node that has no replica of it.
	Nodes    []core.NodeID
	Deadline core.Time
}

// Forward is a command on its way to the node that can order it. It is never forwarded a second time.
type Forward struct {
	ID      core.RequestID
	Group   core.GroupID
	Encoded []byte
	Read    bool
	// Within is how long the sender will wait, in nanoseconds from now.
	Within core.Time
}

// pending is a command that has not been answered.
type pending struct {
	used    bool
	gen     uint32
	command Command
	// from and remote name a command that another node forwarded.
	from   core.NodeID
	remote core.RequestID
	// sentTo is the other node that has the command; 0: none. handed: someone, here or there, has it.
	sentTo core.NodeID
	handed bool
	// maybe says that an earlier try of a write may have happened, so that it can end as nothing better than unknown.
	maybe   bool
	retries int
	// lane is the session under which the command was forwarded, if it had none of its own.
	lane    *lane
	laneSeq uint64
}

// requests is the table of commands under way: a slab, so that a command costs no allocation and a late answer to an
// earlier use of its place is told apart by its generation.
type requests struct {
	slab      []pending
	free      []uint32
	count     int
	bytes     int
	nextSweep core.Time
}

func (r *requests) add(p pending) core.RequestID {
	var at uint32
	if n := len(r.free); n > 0 {
		at = r.free[n-1]
		r.free = r.free[:n-1]
	} else {
		at = uint32(len(r.slab))
		r.slab = append(r.slab, pending{})
	}
	p.used, p.gen = true, r.slab[at].gen+1
	r.slab[at] = p
	r.count++
	r.bytes += len(p.command.Encoded)
	return core.RequestID(uint64(p.gen)<<32 | uint64(at))
}

func (r *requests) get(id core.RequestID) *pending {
	at := uint32(id)
	if int(at) >= len(r.slab) || !r.slab[at].used || r.slab[at].gen != uint32(id>>32) {
		return nil
	}
	return &r.slab[at]
}

func (r *requests) id(at int) core.RequestID {
	return core.RequestID(uint64(r.slab[at].gen)<<32 | uint64(at))
}

func (r *requests) remove(id core.RequestID) {
	p := r.get(id)
	r.bytes -= len(p.command.Encoded)
	r.count--
	gen := p.gen
	*p = pending{gen: gen}
	r.free = append(r.free, uint32(id))
}

// Pending is how many commands are under way.
func (h *Host) Pending() int { return h.requests.count }

// Submit takes a command of this node's own client. It is answered through Port.Reply, at the latest at its deadline.
func (h *Host) Submit(now Now, c Command) {
	h.now = now
	if h.full() {
		h.port.Reply(c.Token, kv.Result{Code: kv.Busy, Detail: "too many requests under way on this node; retry after a pause"})
		return
	}
	h.route(h.requests.add(pending{command: c}))
}

// Forwarded takes a command that another node's client sent.
func (h *Host) Forwarded(now Now, from core.NodeID, f Forward) {
	h.now = now
	s := h.index[f.Group]
	switch {
	case s == nil:
		h.port.Return(from, f.ID, kv.Result{Code: kv.NotLeader, Detail: "no replica of the group on this node"})
	case h.full():
		h.port.Return(from, f.ID, kv.Result{Code: kv.Busy, Detail: "too many requests under way on the leader's node; retry after a pause"})
	default:
		c := Command{Group: f.Group, Encoded: f.Encoded, Read: f.Read, Deadline: h.now.Mono + f.Within}
		id := h.requests.add(pending{command: c, from: from, remote: f.ID})
		h.hand(s, id)
	}
}

// full reports whether a bound is reached. A hung disk counts: what it has not taken must not pile up.
func (h *Host) full() bool {
	return h.requests.count >= h.options.RequestsMax || h.requests.bytes >= h.options.BytesMax ||
		h.open.Bytes >= h.options.OpenBytesMax
}

// route sends a command where it can be ordered: to the replica here, to the leader's node, or nowhere yet.
func (h *Host) route(id core.RequestID) {
	p := h.requests.get(id)
	s := h.index[p.command.Group]
	if s == nil {
		h.routeAway(id, p)
		return
	}
	led, ok := s.replica.(core.Led)
	if !ok {
		h.hand(s, id)
		return
	}
	switch leader := led.Leader(); {
	case leader == 0:
		p.handed, p.sentTo = false, 0
		s.parked = append(s.parked, id)
	case leader == s.self:
		h.hand(s, id)
	default:
		h.forward(id, p, s.nodes[leader])
	}
}

// routeAway sends a command of a group that has no replica here to one member after the other.
func (h *Host) routeAway(id core.RequestID, p *pending) {
	if len(p.command.Nodes) == 0 {
		h.end(id, kv.Result{Code: kv.Unavailable, Detail: "the group of this key is not known here"})
		return
	}
	if p.retries >= 2*len(p.command.Nodes) {
		h.end(id, kv.Result{Code: kv.Unavailable, Detail: "no member of the group could order the request"})
		return
	}
	h.forward(id, p, p.command.Nodes[p.retries%len(p.command.Nodes)])
}

func (h *Host) forward(id core.RequestID, p *pending, node core.NodeID) {
	h.sign(p)
	p.sentTo, p.handed = node, true
	h.port.Forward(node, Forward{ID: id, Group: p.command.Group, Encoded: p.command.Encoded, Read: p.command.Read,
		Within: p.command.Deadline - h.now.Mono})
}

// hand collects a command for the replica here; Settle hands them over together.
func (h *Host) hand(s *slot, id core.RequestID) {
	p := h.requests.get(id)
	p.sentTo, p.handed = 0, true
	s.batch = append(s.batch, core.Request{ID: id, Command: p.command.Encoded, Read: p.command.Read})
	h.touch(s)
}

// Returned takes the answer to a forwarded command.
func (h *Host) Returned(now Now, from core.NodeID, id core.RequestID, r kv.Result) {
	h.now = now
	if p := h.requests.get(id); p != nil && p.sentTo == from {
		h.settleAnswer(id, p, &r)
	}
}

// answer takes a replica's answer.
func (h *Host) answer(s *slot, id core.RequestID, r *kv.Result) {
	if p := h.requests.get(id); p != nil && p.command.Group == s.group {
		h.settleAnswer(id, p, r)
	}
}

// settleAnswer ends a command, unless the answer is that it was certainly not executed for want of a leader, or that its
// fate is unknown but it is safe to send again: then it waits for the next leader within its deadline.
func (h *Host) settleAnswer(id core.RequestID, p *pending, r *kv.Result) {
	again := r.Code == kv.NotLeader || (r.Code == kv.Unknown && (p.command.Read || p.command.Again || p.lane != nil))
	if r.Code == kv.TooOld && p.lane != nil {
		// The lane is new by this node's clock, so the clocks are minutes apart. Once they are set right, a new lane will do.
		p.lane.refused = true
		*r = kv.Result{Code: kv.ClockSkew, Detail: "this node's clock and the leader's are more than 5 minutes apart; nothing was executed"}
	}
	if !again || p.from != 0 {
		h.end(id, *r)
		return
	}
	p.retries++
	p.maybe = p.maybe || (r.Code == kv.Unknown && !p.command.Read)
	if s := h.index[p.command.Group]; s != nil {
		p.handed, p.sentTo = false, 0
		s.parked = append(s.parked, id)
		return
	}
	h.routeAway(id, p)
}

func (h *Host) end(id core.RequestID, r kv.Result) {
	p := h.requests.get(id)
	if p.maybe && r.Code.Refused() {
		// The last try was refused, but an earlier one may have happened, or may happen yet.
		r = kv.Result{Code: kv.Unknown, Detail: "an earlier try of the write may have happened or may happen yet; the last one was refused: " + r.Code.String()}
	}
	if p.lane != nil {
		p.lane.close(p.laneSeq)
	}
	if p.from != 0 {
		h.port.Return(p.from, p.remote, r)
	} else {
		h.port.Reply(p.command.Token, r)
	}
	h.requests.remove(id)
}

// placeParked routes the commands that waited for a leader, where one is known now.
func (h *Host) placeParked() {
	for _, s := range h.order {
		if led, ok := s.replica.(core.Led); len(s.parked) == 0 || (ok && led.Leader() == 0) {
			continue
		}
		ids := s.parked
		s.parked = nil
		for _, id := range ids {
			if h.requests.get(id) != nil {
				h.route(id)
			}
		}
	}
}

// endOverdue ends the commands whose deadline has passed: what was never handed to anyone certainly did not happen.
func (h *Host) endOverdue() {
	if h.now.Mono < h.requests.nextSweep {
		return
	}
	h.requests.nextSweep = h.now.Mono + sweepEvery
	for at := range h.requests.slab {
		if p := &h.requests.slab[at]; p.used && p.command.Deadline <= h.now.Mono {
			h.end(h.requests.id(at), overdue(p))
		}
	}
	// A group may be without a leader for hours while clients come and go.
	for _, s := range h.order {
		s.parked = slices.DeleteFunc(s.parked, func(id core.RequestID) bool { return h.requests.get(id) == nil })
	}
}

func overdue(p *pending) kv.Result {
	switch {
	case !p.handed && !p.maybe:
		return kv.Result{Code: kv.Unavailable, Detail: "no leader was known within the deadline; nothing was sent"}
	case p.command.Read:
		return kv.Result{Code: kv.Unavailable, Detail: "no answer within the deadline"}
	}
	return kv.Result{Code: kv.Unknown, Detail: "no answer within the deadline; the write may have happened or may happen yet"}
}

// loseForwards gives up on what was forwarded to a node that cannot answer any more.
func (h *Host) loseForwards(node core.NodeID) {
	for at := range h.requests.slab {
		p := &h.requests.slab[at]
		switch {
		case !p.used:
		case p.from == node:
			// Nobody is left to hear the answer; the replica's late answer finds nothing.
			h.requests.remove(h.requests.id(at))
		case p.sentTo == node && p.handed:
			h.settleAnswer(h.requests.id(at), p, &kv.Result{Code: kv.Unknown,
				Detail: "the connection to the leader broke; the write may have happened or may happen yet"})
		}
	}
}

// endRequests answers what a removed replica leaves behind.
func (h *Host) endRequests(s *slot) {
	s.batch, s.parked = nil, nil
	for at := range h.requests.slab {
		p := &h.requests.slab[at]
		if p.used && p.command.Group == s.group {
			h.end(h.requests.id(at), kv.Result{Code: kv.Unknown, Detail: "the replica was removed from this node"})
		}
	}
}
