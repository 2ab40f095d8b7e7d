package twophase

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

const (
	// gather is how long a batch waits for company, and only while fewer commands are there than half of those that were just
	// answered: their clients are about to ask again, and a batch for each of the first few would keep the disks busy.
	gather = core.Time(1e6)
	// queueMax bounds the commands that wait for their turn or their votes, queueBytes the bytes of those that wait for their turn.
	queueMax   = 16 << 10
	queueBytes = 64 << 20
)

// queue is commands that wait for a batch.
type queue struct {
	list  []queued
	bytes int
	// since is when the first of them came, cohort how many were answered last, until when the next batch waits for company
	// (0: it does not).
	since, until core.Time
	cohort       int
	// keys counts the commands of each key, wide those that may be about any, where conflicts are refused.
	keys map[uint64]int
	wide int
}

type queued struct {
	core.Request
	arrived core.Time
}

// waiter is a proposed batch whose clients wait.
type waiter struct {
	n   uint64
	ids []core.RequestID
}

// take receives commands of clients.
func (r *Replica) take(list []core.Request) {
	r.wake()
	r.taken, r.rests = r.in.Now, false
	for _, q := range list {
		if q.Read {
			r.read(q)
		} else {
			r.enqueue(q)
		}
	}
}

// enqueue lets a command wait for its batch, if this replica coordinates.
func (r *Replica) enqueue(q core.Request) {
	l := r.lead
	switch {
	case l == nil:
		r.refuse(q.ID, kv.Result{Code: kv.NotLeader})
	case r.Room() <= 0 || l.queue.bytes+len(q.Command) > queueBytes:
		r.refuse(q.ID, kv.Result{Code: kv.Busy, Detail: "the group has more to do than it can; retry after a pause"})
	case r.options.Refuse && r.conflicts(q):
		r.refuse(q.ID, kv.Result{Code: kv.Busy, Detail: "a key of the command is being written, and the keyspace refuses instead of waiting"})
	case r.options.Mutation == EvaluateAtOnce && r.evaluateAtOnce(&q):
	default:
		if len(l.queue.list) == 0 {
			l.queue.since = r.in.Now
		}
		if r.options.Refuse && !q.Read {
			l.queue.hold(q.Command, 1)
		}
		l.queue.list = append(l.queue.list, queued{q, r.in.Now})
		l.queue.bytes += len(q.Command)
	}
}

func (r *Replica) refuse(id core.RequestID, why kv.Result) {
	// Early: nothing was recorded of the request.
	r.out.ReplyEarly(id, why)
}

// conflicts says whether a key of a write is being written, or waits to be.
func (r *Replica) conflicts(q core.Request) (busy bool) {
	var c kv.Command
	if q.Read || kv.DecodeCommand(q.Command, &c) != nil {
		return false
	}
	p := &r.lead.queue
	busy = p.wide > 0 || (wide(&c) && len(p.keys) > 0)
	c.Keys(func(key []byte) { busy = busy || p.keys[xxhash.Sum64(key)] > 0 })
	return busy || r.inFlight(&c)
}

// hold counts the keys of a command that waits (1), or waits no more (-1).
func (p *queue) hold(command []byte, count int) {
	var c kv.Command
	if kv.DecodeCommand(command, &c) != nil {
		return
	}
	if p.keys == nil {
		p.keys = map[uint64]int{}
	}
	if wide(&c) {
		p.wide += count
	}
	c.Keys(func(key []byte) {
		h := xxhash.Sum64(key)
		if p.keys[h] += count; p.keys[h] == 0 {
			delete(p.keys, h)
		}
	})
}

// inFlight says whether a batch that is not applied may change what a command reads or writes.
func (r *Replica) inFlight(c *kv.Command) (found bool) {
	for _, s := range r.slots.list {
		if s == nil || s.aborted || s.batch.kind != commands {
			continue
		}
		s.learn()
		found = found || s.all || (wide(c) && len(s.keys) > 0)
		c.Keys(func(key []byte) { found = found || s.touches(key) })
	}
	return found
}

// proposed counts the commands whose clients wait for votes.
func (r *Replica) proposed() (n int) {
	for i := range r.waiting {
		n += len(r.waiting[i].ids)
	}
	return n
}

// Room is how many more commands may wait here.
func (r *Replica) Room() int {
	if r.lead == nil {
		return 0
	}
	return queueMax - len(r.lead.queue.list) - r.proposed()
}

// refuseOverdue refuses commands that had no turn within the time that a write may take: they certainly are not executed.
func (r *Replica) refuseOverdue() {
	p := &r.lead.queue
	for len(p.list) > 0 && r.in.Now-p.list[0].arrived >= r.options.VoteWithin {
		r.refuse(p.list[0].ID, kv.Result{Code: kv.Unavailable,
			Detail: "a member of the group does not answer; nothing was executed. It is left out when it stays silent; retry after some seconds"})
		p.bytes -= len(p.list[0].Command)
		if r.options.Refuse && !p.list[0].Read {
			p.hold(p.list[0].Command, -1)
		}
		p.list[0] = queued{}
		p.list = p.list[1:]
	}
}

// proposeIfIdle goes on proposing after a batch was applied, when commands were collected meanwhile.
func (r *Replica) proposeIfIdle() {
	if r.applied >= r.resolved {
		r.propose()
	}
}

// propose makes batches of the commands that wait, while the window is open. Not while this node should lead nothing: its stamps do
// not follow its clock then, and a batch of 1970 would find every session too new.
func (r *Replica) propose() {
	l := r.lead
	for l != nil && !l.opening && r.enough() && !r.in.Unfit && len(l.queue.list) > 0 && r.slots.last()-r.resolved < uint64(r.options.Window) && !r.gathers() {
		r.cutBatch()
	}
}

// gathers tells whether the next batch waits for more commands.
func (r *Replica) gathers() bool {
	p := &r.lead.queue
	if 2*len(p.list) >= p.cohort || r.in.Now-p.since >= gather {
		p.until = 0
		return false
	}
	p.until = p.since + gather
	return true
}

// cutBatch makes one batch of the first commands in the queue.
func (r *Replica) cutBatch() {
	p := &r.lead.queue
	n, size := 0, batchHeader
	for n < len(p.list) && n < commandsMax {
		next := len(p.list[n].Command) + binary.MaxVarintLen32
		if n > 0 && size+next > batchMax {
			break
		}
		size += next
		n++
	}
	raw := make([]byte, batchHeader, size)
	ids := make([]core.RequestID, n)
	for i, q := range p.list[:n] {
		raw = binary.AppendUvarint(raw, uint64(len(q.Command)))
		raw = append(raw, q.Command...)
		ids[i] = q.ID
		p.bytes -= len(q.Command)
		if r.options.Refuse && !q.Read {
			p.hold(q.Command, -1)
		}
	}
	rest := copy(p.list, p.list[n:])
	clear(p.list[rest:])
	p.list, p.since, p.until = p.list[:rest], r.in.Now, 0
	r.begin(commands, raw, ids)
}

// begin prepares a batch on all who have to have it.
func (r *Replica) begin(kind batchKind, raw []byte, ids []core.RequestID) *slot {
	l := r.lead
	r.wake()
	l.time = max(l.time+1, r.in.Stamp)
	s := &slot{n: l.next, batch: newBatch(kind, l.time, raw), need: l.need(), since: r.in.Now}
	l.next++
	r.write(s, r.resolved)
	if len(ids) > 0 {
		r.waiting = append(r.waiting, waiter{s.n, ids})
	}
	r.out.Send(r.self, Vote{l.epoch, s.n, true})
	for _, p := range l.peers {
		if s.need&p.bit != 0 {
			// Early: it asks, and promises nothing about this node's memory: this replica votes when its own disk has the batch.
			r.out.SendEarly(p.id, r.prepareOf(s))
		}
	}
	l.announced = max(l.announced, r.resolved)
	return s
}

// need is who has to vote on the next batch: all members, and joiners that are about to be.
func (l *leadership) need() uint64 {
	need := l.members
	for _, p := range l.peers {
		if p.entered {
			need |= p.bit
		}
	}
	return need
}

// mark places a position at which every replica keeps its state (rule W10): behind it nothing before it is open any more.
func (r *Replica) mark(id core.RequestID) {
	if r.lead == nil || r.lead.opening || !r.enough() {
		r.refuse(id, kv.Result{Code: kv.NotLeader})
		return
	}
	r.begin(mark, make([]byte, batchHeader), []core.RequestID{id})
}

// expireDue proposes a batch that ends what is past its time, when something is.
func (r *Replica) expireDue() {
	l := r.lead
	if r.applied < r.slots.last() || l.expiring > r.applied || l.heir != 0 || !r.enough() {
		return
	}
	if at, ok := r.nextDue(); ok && at <= max(l.time+1, r.in.Stamp).UnixMilli() {
		l.expiring = r.begin(expiry, make([]byte, batchHeader), nil).n
	}
}

// evaluateAtOnce is what EvaluateAtOnce does: it judges the condition of a command by the state as it is, and takes it away.
func (r *Replica) evaluateAtOnce(q *core.Request) (answered bool) {
	var c kv.Command
	if kv.DecodeCommand(q.Command, &c) != nil || len(c.Ops) != 1 || c.Ops[0].When == kv.Always {
		return false
	}
	var m machine.Machine
	m.Begin(r.in.View, r.slots.last()+1, max(r.in.Stamp, r.latestTime()+1))
	c.Session = kv.Session{}
	if result := m.Apply(kv.AppendCommand(nil, &c), true); result.Code != kv.OK {
		// Early: this is the planted bug.
		r.out.ReplyEarly(q.ID, result)
		return true
	}
	c.Ops[0].When = kv.Always
	q.Command = slices.Clip(kv.AppendCommand(nil, &c))
	return false
}
