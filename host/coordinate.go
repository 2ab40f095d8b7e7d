package host

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// sweepEvery is how often overdue commands are looked for, in nanoseconds; a command may outlive its deadline by as much.
const sweepEvery = core.Time(50e6)

// retryMin and retryMax bound how long commands wait after a refusal for want of a leader while no other one is known. The
// hint may be stale for as long as an election takes: to ask again at once would be to ask at the speed of the network.
const (
	retryMin = core.Time(5e6)
	retryMax = core.Time(50e6)
)

// Command is a client's command for one group.
type Command struct {
	// Token names the command to Port.Reply.
	Token uint64
	Group core.GroupID
	// Encoded is a kv.Command in its encoding. The host keeps it until the command is answered;
	// a command that ends at its deadline may still be in a replica's hands, so then the memory must not be used again.
	Encoded []byte
	// Read says that the command changes nothing: whatever becomes of it, it may be sent again.
	Read bool
	// Again says that the command carries a session, so that sending it twice executes it once.
	Again bool
	// Once says that a write of unknown fate must not be sent again: it might be executed twice.
	Once bool
	// Tracked says that the command changes something in a group with a table of requests: it gets a number, if it has none, so that
	// it can be asked what became of it.
	Tracked bool
	// Fixed says that the command is for this group and no other: that its keys were moved is its answer.
	Fixed bool
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
	// asker is the replica that consults the command's group; nil: the command is a client's.
	asker *slot
	// sentTo is the other node that has the command; 0: none. handed: someone, here or there, has it.
	sentTo core.NodeID
	handed bool
	// maybe says that an earlier try of a write may have happened, so that it can end as nothing better than unknown.
	maybe bool
	// number is the command's place in the order of arrival: what is tried again keeps its place among the others.
	number  uint64
	retries int
	// turn counts through the members of a group that has no replica here; not before retryAt is the next one asked.
	turn    int
	retryAt core.Time
	// moves is how often it was asked in vain where the command's keys are, since its group said that they are another one's.
	moves int
	// lane is the session under which the command is sent, if it had none of its own. plain is how it came.
	lane    *lane
	laneSeq uint64
	plain   []byte
}

// requests is the table of commands under way: a slab, so that a command costs no allocation and a late answer to an
// earlier use of its place is told apart by its generation.
type requests struct {
	slab      []pending
	free      []uint32
	count     int
	bytes     int
	added     uint64
	nextSweep core.Time
	// firstGen is where generations begin, another one in each run: what a peer still has to say to an earlier run of
	// this node must not find a command of this one.
	firstGen uint32
}

func (r *requests) add(p pending) core.RequestID {
	var at uint32
	if n := len(r.free); n > 0 {
		at = r.free[n-1]
		r.free = r.free[:n-1]
	} else {
		at = uint32(len(r.slab))
		r.slab = append(r.slab, pending{gen: r.firstGen})
	}
	r.added++
	p.used, p.gen, p.number = true, r.slab[at].gen+1, r.added
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
	if h.refuses(c.Encoded) {
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
		h.port.Return(from, f.ID, kv.Result{Code: kv.NotLeader, Detail: "no replica of the group on this node"}, f.Read)
	case h.refuses(f.Encoded):
		h.port.Return(from, f.ID, kv.Result{Code: kv.Busy, Detail: "too many requests under way on the leader's node; retry after a pause"}, f.Read)
	default:
		c := Command{Group: f.Group, Encoded: f.Encoded, Read: f.Read, Deadline: h.now.Mono + f.Within}
		id := h.requests.add(pending{command: c, from: from, remote: f.ID})
		h.hand(s, id)
	}
}

// refuses reports whether there is no room for a command. What ends a transaction comes in always: others wait for it, and hold
// the room meanwhile.
func (h *Host) refuses(encoded []byte) bool {
	if !h.full() {
		return false
	}
	c, err := kv.DecodeHead(encoded)
	return err != nil || !c.Tx.Ends()
}

// full reports whether a bound is reached.
func (h *Host) full() bool { return h.Room() <= 0 }

// Room is how many more commands, reads included, may be under way on this node; 0 or less: none. A hung disk counts: what
// it has not taken must not pile up.
func (h *Host) Room() int {
	if h.requests.bytes >= h.options.BytesMax || h.open.Bytes >= h.options.OpenBytesMax {
		return 0
	}
	return h.options.RequestsMax - h.requests.count
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
	case p.command.Read && p.retries == 0 && reads(s.replica):
		h.hand(s, id)
	case leader == s.self:
		h.hand(s, id)
	case s.nodes[leader] == 0: // none is known, or not yet where it lives: members change
		p.handed, p.sentTo = false, 0
		s.parked = append(s.parked, id)
	default:
		h.forward(id, p, s.nodes[leader])
	}
}

// reads says that a replica takes commands that change nothing, although another one may lead.
func reads(r core.Replica) bool {
	reader, ok := r.(core.Reader)
	return ok && reader.Reads()
}

// routeAway sends a command of a group that has no replica here to one member after the other, the one that could order
// the last command first.
func (h *Host) routeAway(id core.RequestID, p *pending) {
	if len(p.command.Nodes) == 0 {
		h.end(id, kv.Result{Code: kv.Unavailable, Detail: "the group of this key is not known here"})
		return
	}
	if p.retries == 0 {
		p.turn = max(0, slices.Index(p.command.Nodes, h.ordering[p.command.Group]))
	}
	h.forward(id, p, p.command.Nodes[p.turn%len(p.command.Nodes)])
}

// parkAway keeps a command of such a group for the next member: at once, or after a pause when all were asked.
func (h *Host) parkAway(id core.RequestID, p *pending) {
	p.handed, p.sentTo, p.retryAt = false, 0, h.now.Mono
	p.turn++
	if members := max(1, len(p.command.Nodes)); p.retries%members == 0 {
		if p.placeable() && h.elsewhere(p) {
			h.displace(id, p)
			return
		}
		p.retryAt += min(retryMax, retryMin<<min(p.retries/members-1, 8))
	}
	h.away = append(h.away, id)
}

// elsewhere says that a command is another group's by now: its own may be gone.
func (h *Host) elsewhere(p *pending) bool {
	to := h.port.Place(p.command.Token)
	return to.Refused != nil || to.Group != p.command.Group
}

// placeable says that this node knows whose a command is whose group is not known any more.
func (p *pending) placeable() bool { return p.from == 0 && p.asker == nil && !p.command.Fixed }

func (h *Host) forward(id core.RequestID, p *pending, node core.NodeID) {
	if !p.command.Once || p.command.Tracked {
		h.sign(p)
	}
	p.sentTo, p.handed = node, true
	h.port.Forward(node, Forward{ID: id, Group: p.command.Group, Encoded: p.command.Encoded, Read: p.command.Read,
		Within: p.command.Deadline - h.now.Mono})
}

// hand collects a command for the replica here; Settle hands them over together.
func (h *Host) hand(s *slot, id core.RequestID) {
	p := h.requests.get(id)
	if p.command.Tracked && !h.unnumbered(p.command.Group) {
		h.sign(p)
	}
	p.sentTo, p.handed = 0, true
	s.batch = append(s.batch, core.Request{ID: id, Command: p.command.Encoded, Read: p.command.Read, Deadline: p.command.Deadline})
	h.touch(s)
}

// Returned takes the answer to a forwarded command.
func (h *Host) Returned(now Now, from core.NodeID, id core.RequestID, r kv.Result) {
	h.now = now
	if p := h.requests.get(id); p != nil && p.sentTo == from {
		h.learn(p, from, r.Code)
		h.settleAnswer(id, p, &r)
	}
}

// learn remembers which member orders the commands of a group that has no replica here.
func (h *Host) learn(p *pending, from core.NodeID, code kv.Code) {
	g := p.command.Group
	if h.index[g] != nil {
		return
	}
	if known := h.ordering[g]; code == kv.NotLeader && known == from {
		delete(h.ordering, g)
	} else if code != kv.NotLeader && known != from {
		h.ordering[g] = from
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
	again := r.Code == kv.NotLeader || (r.Code == kv.Unknown && (p.command.Read || p.command.Again || p.lane != nil && !p.command.Once))
	if r.Code == kv.TooOld && p.lane != nil && p.sentTo == 0 && !p.maybe && h.index[p.command.Group] != nil {
		h.withoutNumber(id, p)
		return
	}
	if r.Code == kv.TooOld && p.lane != nil {
		// The lane is new by this node's clock, so the clocks are minutes apart. Once they are set right, a new lane will do.
		p.lane.refused = true
		*r = kv.Result{Code: kv.ClockSkew, Detail: "this node's clock and the leader's are more than 5 minutes apart; nothing was executed"}
	}
	if r.Code == kv.Moved && p.placeable() {
		h.displace(id, p)
		return
	}
	if !again || p.from != 0 {
		h.end(id, *r)
		return
	}
	p.retries++
	p.maybe = p.maybe || (r.Code == kv.Unknown && !p.command.Read)
	s := h.index[p.command.Group]
	if s == nil {
		h.parkAway(id, p)
		return
	}
	if r.Code == kv.NotLeader {
		s.refusedBy(s.replicaOn(p.sentTo), h.now.Mono)
	}
	p.handed, p.sentTo = false, 0
	s.parked = append(s.parked, id)
}

// displace keeps a command whose keys its group has given away, until it is known whose they are. It keeps the session under which
// it was forwarded: an earlier try of it may have been executed before the keys were given away, and the other group knows of it.
func (h *Host) displace(id core.RequestID, p *pending) {
	p.handed, p.sentTo, p.retries, p.moves, p.retryAt = false, 0, 0, 0, h.now.Mono
	h.displaced = append(h.displaced, id)
}

// Displace takes back what is under way to a group whose keys are another one's now, before its replica here is removed: what is in
// nobody's hands, and what may be sent again because its session tells whether it was executed. The node that forwarded a command does
// the same with it. retired says that the replica here has executed all that the group ever will, so that what it has not answered never was.
func (h *Host) Displace(now Now, g core.GroupID, retired bool) {
	h.now = now
	for at := range h.requests.slab {
		p := &h.requests.slab[at]
		if !p.used || p.command.Group != g || slices.Contains(h.displaced, h.requests.id(at)) {
			continue
		}
		open := p.handed && !p.command.Read && (p.sentTo != 0 || !retired)
		switch id := h.requests.id(at); {
		case open && !p.command.Again && p.lane == nil && p.from == 0:
		case p.from != 0:
			h.end(id, kv.Result{Code: kv.Moved})
		case p.placeable():
			p.maybe = p.maybe || open
			h.displace(id, p)
		}
	}
	for _, id := range h.displaced {
		if p := h.requests.get(id); p != nil && p.command.Group == g {
			p.command.Group = 0 // so that it does not end with the replica
		}
	}
}

// placeDisplaced sends such commands where their keys are now. While that is not known they stay here, all of a group: to ask it again
// would be in vain, and one that is on its way there is overtaken by those behind it as soon as it is known.
func (h *Host) placeDisplaced() {
	if len(h.displaced) == 0 {
		return
	}
	ids := h.displaced
	h.displaced = nil
	h.inOrder(ids)
	behind := map[core.GroupID]core.Time{} // until when those wait that come behind one that waits
	for _, id := range ids {
		p := h.requests.get(id)
		if p == nil {
			continue
		}
		group := p.command.Group
		if p.retryAt <= h.now.Mono {
			to := h.port.Place(p.command.Token)
			_, waits := behind[group]
			switch {
			case to.Refused != nil:
				h.end(id, *to.Refused)
				continue
			case to.Group != group && !waits:
				p.command.Group, p.command.Nodes = to.Group, to.Nodes
				h.route(id)
				continue
			}
			p.retryAt = max(behind[group], h.now.Mono+min(retryMax, retryMin<<min(p.moves, 8)))
			p.moves++
		}
		behind[group] = max(behind[group], p.retryAt)
		h.displaced = append(h.displaced, id)
	}
}

// replicaOn is the replica on another node, or the slot's own for node 0.
func (s *slot) replicaOn(node core.NodeID) core.ReplicaID {
	for _, id := range s.members {
		if s.nodes[id] == node {
			return id
		}
	}
	return s.self
}

// refusedBy keeps what is parked from a replica that just said it does not lead, longer each time.
func (s *slot) refusedBy(replica core.ReplicaID, now core.Time) {
	if s.refuser != replica || now > s.retryAt+retryMax {
		s.refuser, s.pause = replica, retryMin
	} else if now >= s.retryAt {
		s.pause = min(2*s.pause, retryMax)
	} else {
		return
	}
	s.retryAt = now + s.pause
}

// waits reports whether what is parked must stay so: no leader is known, or the only one known has just refused.
func (s *slot) waits(now core.Time) bool {
	led, ok := s.replica.(core.Led)
	if !ok {
		return false
	}
	leader := led.Leader()
	return leader == 0 || leader == s.refuser && now < s.retryAt
}

func (h *Host) end(id core.RequestID, r kv.Result) {
	p := h.requests.get(id)
	if p.maybe && r.Code.Refused() && r.Code != kv.Fenced {
		// The last try was refused, but an earlier one may have happened, or may happen yet.
		r = kv.Result{Code: kv.Unknown, Detail: "an earlier try of the write may have happened or may happen yet; the last one was refused: " + r.Code.String()}
	}
	if r.Code == kv.Unknown && p.from == 0 {
		r.Request = p.request()
	}
	if p.lane != nil {
		p.lane.close(p.laneSeq, r.Code != kv.Unknown)
	}
	switch {
	case p.asker != nil:
		h.consulted = append(h.consulted, consulted{p.asker, r})
	case p.from != 0:
		h.port.Return(p.from, p.remote, r, p.command.Read)
	default:
		h.port.Reply(p.command.Token, r)
	}
	h.requests.remove(id)
}

// placeParked routes the commands that waited for a leader, where one is known now, in the order in which they arrived.
func (h *Host) placeParked() {
	for _, s := range h.order {
		if len(s.parked) == 0 || s.waits(h.now.Mono) {
			continue
		}
		ids := s.parked
		s.parked = nil
		h.inOrder(ids)
		for _, id := range ids {
			if h.requests.get(id) != nil {
				h.route(id)
			}
		}
	}
	h.placeAway()
	h.placeDisplaced()
}

func (h *Host) placeAway() {
	if len(h.away) == 0 {
		return
	}
	ids := h.away
	h.away = nil
	h.inOrder(ids)
	for _, id := range ids {
		switch p := h.requests.get(id); {
		case p == nil:
		case p.retryAt > h.now.Mono:
			h.away = append(h.away, id)
		default:
			h.route(id)
		}
	}
}

// inOrder sorts commands by their arrival: two writes of one connection must not change places when both are tried again.
func (h *Host) inOrder(ids []core.RequestID) {
	number := func(id core.RequestID) uint64 {
		if p := h.requests.get(id); p != nil {
			return p.number
		}
		return 0
	}
	slices.SortFunc(ids, func(a, b core.RequestID) int { return cmp.Compare(number(a), number(b)) })
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
	ended := func(id core.RequestID) bool { return h.requests.get(id) == nil }
	for _, s := range h.order {
		s.parked = slices.DeleteFunc(s.parked, ended)
	}
	h.away = slices.DeleteFunc(h.away, ended)
	h.displaced = slices.DeleteFunc(h.displaced, ended)
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
	// Others are asked first from now on.
	maps.DeleteFunc(h.ordering, func(_ core.GroupID, known core.NodeID) bool { return known == node })
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
