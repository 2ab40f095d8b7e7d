package paxos

import (
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

const (
	// gather is how long a block waits for company, and only while fewer commands are there than half of those that were just
	// answered: their clients are about to ask again, and a block for each of the first few would keep the disks busy.
	gather = core.Time(1e6)
	// uncommittedMax bounds the bytes that are proposed and not committed, or wait to be proposed.
	uncommittedMax = 64 << 20
)

// queue is commands that wait for a block.
type queue struct {
	list  []core.Request
	bytes int
	// since is when the first of them came.
	since core.Time
	// cohort is how many were answered last.
	cohort int
	// after is the latest time that the session of one of them stands at.
	after kv.HLC
}

// waiter is a proposed block whose clients wait.
type waiter struct {
	index uint64
	hash  Hash
	ids   []core.RequestID
}

// take receives commands of clients.
func (r *Replica) take(list []core.Request) {
	r.wake()
	r.lead.asked, r.lead.timeless = r.in.Now, false
	for _, q := range list {
		switch {
		case q.Read:
			r.read(q)
		case r.role != Leader || r.lead.handoffTo != 0:
			r.refuse(q.ID)
		default:
			r.enqueue(q)
		}
	}
}

func (r *Replica) enqueue(q core.Request) {
	p := &r.pending
	if (p.bytes+len(q.Command) > uncommittedMax || r.Room() <= 0) && !endsTx(q.Command) {
		// Early: nothing was recorded of the request.
		r.out.ReplyEarly(q.ID, kv.Result{Code: kv.Busy, Detail: "the group has more to do than it can; retry after a pause"})
		return
	}
	if r.retired && !kv.HasTx(q.Command) {
		// Early: a group that has retired never has keys again.
		r.out.ReplyEarly(q.ID, kv.Result{Code: kv.Moved})
		return
	}
	if r.options.GroupTime && !r.orderAfter(q) {
		return
	}
	if kv.Absorbs(q.Command) {
		r.absorbAfter(q)
	}
	if !r.waits(q, lockWait{}) {
		r.queue(q)
	}
}

// endsTx reports whether a command ends a transaction: what waits for its locks must not keep it out.
func endsTx(command []byte) bool {
	c, err := kv.DecodeHead(command)
	return err == nil && c.Tx.Ends()
}

// queue lets a command wait for a block.
func (r *Replica) queue(q core.Request) {
	p := &r.pending
	if len(p.list) == 0 {
		p.since = r.in.Now
	}
	p.list = append(p.list, q)
	p.bytes += len(q.Command)
	r.noteLocker(q.ID, 0, q.Command)
	r.load.Observe(r.in.Now)
}

// orderAfter makes the block of a command later than all that its session has seen (rule R5).
func (r *Replica) orderAfter(q core.Request) bool {
	c, err := kv.DecodeHead(q.Command)
	if err == nil {
		var seen kv.HLC
		seen, err = r.reached(c.Token)
		if r.options.Mutation != IgnoreToken {
			r.pending.after = max(r.pending.after, seen)
		}
	}
	if err != nil {
		// Early: nothing was recorded of the request.
		r.out.ReplyEarly(q.ID, kv.Failed(err))
	}
	return err == nil
}

// queueMin commands may always wait here.
const queueMin = 1024

// Room is how many more commands may wait here (rule F2).
func (r *Replica) Room() int { return r.load.Limit(queueMin) - len(r.pending.list) - r.proposed }

func (r *Replica) refusePending() {
	for _, q := range r.pending.list {
		r.refuse(q.ID)
	}
	clear(r.pending.list)
	r.pending = queue{list: r.pending.list[:0]}
	r.gatherUntil = 0
}

// proposeIfIdle goes on proposing after a commit, when commands were collected meanwhile.
func (r *Replica) proposeIfIdle() {
	if r.applied.Index >= r.commit {
		r.propose()
	}
}

// propose makes blocks of the commands that wait, while the window is open.
func (r *Replica) propose() {
	for r.role == Leader && len(r.pending.list) > 0 && r.log.last().Index-r.commit < uint64(r.options.Window) && !r.gathers() {
		r.cutBlock()
	}
}

// gathers tells whether the next block waits for more commands, and until when.
func (r *Replica) gathers() bool {
	p := &r.pending
	if 2*len(p.list) >= p.cohort || r.in.Now-p.since >= gather {
		r.gatherUntil = 0
		return false
	}
	r.gatherUntil = p.since + gather
	return true
}

// cutBlock makes one block of the first commands in the queue.
func (r *Replica) cutBlock() {
	p := &r.pending
	n, size := 0, headerSize
	for n < len(p.list) && n < CommandsMax {
		next := len(p.list[n].Command) + binary.MaxVarintLen32
		if n > 0 && size+next > BlockMax {
			break
		}
		size += next
		n++
	}
	raw := make([]byte, headerSize, size)
	ids := make([]core.RequestID, n)
	for i, q := range p.list[:n] {
		raw = binary.AppendUvarint(raw, uint64(len(q.Command)))
		raw = append(raw, q.Command...)
		ids[i] = q.ID
		p.bytes -= len(q.Command)
	}
	rest := copy(p.list, p.list[n:])
	clear(p.list[rest:])
	p.list, p.since = p.list[:rest], r.in.Now
	b := newBlock(r.log.last(), r.promised, max(r.stamp(), p.after+1), Commands, raw)
	r.waiting = append(r.waiting, waiter{b.Index, b.Hash, ids})
	r.proposed += n
	r.write(b)
	r.askStored()
}

// appendBlock proposes a block that no client asked for.
func (r *Replica) appendBlock(kind BlockKind, payload []byte, time kv.HLC) {
	raw := append(make([]byte, headerSize, headerSize+len(payload)), payload...)
	r.write(newBlock(r.log.last(), r.promised, time, kind, raw))
	r.askStored()
	r.wake()
}

// mark places a position at which every replica keeps its state.
func (r *Replica) mark(id core.RequestID) {
	if r.role != Leader || r.lead.handoffTo != 0 {
		r.refuse(id)
		return
	}
	r.appendBlock(Mark, nil, r.stamp())
	b := r.log.at(r.log.last().Index)
	r.waiting = append(r.waiting, waiter{b.Index, b.Hash, []core.RequestID{id}})
	r.proposed++
}

// expireDue proposes an Expiry block when something is past its time. The state's index is in order of time, so this
// costs one look for each state.
func (r *Replica) expireDue() {
	if r.applied.Index < r.lead.first || r.lead.expiryIndex > r.applied.Index || r.lead.handoffTo != 0 {
		return
	}
	at, ok := r.nextDue()
	r.lead.timeless = r.in.Now-r.lead.asked >= askedFor*r.options.ElectionMax && (!ok || at > max(r.in.Wall, r.stamp().UnixMilli())+dueSoon)
	if ok && at <= r.stamp().UnixMilli() {
		r.appendBlock(Expiry, nil, r.stamp())
		r.lead.expiryIndex = r.log.last().Index
	}
}
