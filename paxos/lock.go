package paxos

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Transactions over several groups are commands like others to a replica, and what they lock is part of the state. What is
// done here is the waiting: a leader keeps what a lock is in the way of until the lock is gone (rules V5, V6), and what comes behind
// that on the same keys as well, so that a client which sends several commands at once finds their effects in their order. It is
// volatile, and safety does not rest on it: at apply, package machine looks at the locks itself.

// prepareWait is how long a transaction waits for younger ones at most; then it is refused (rule V5).
const prepareWait = core.Time(1e9)

// waitMax bounds how long anything waits for a lock: a participant without a majority can hold one for long.
const waitMax = core.Time(10e9)

// lockWait is a request that waits for transactions, or behind one that does.
type lockWait struct {
	request core.Request
	// claims says that later requests keep their places behind it. A read that any replica may answer has no place, and
	// transactions have an order of their own.
	claims bool
	// until is when a TxPrepare waits no longer; 0 for others: their nodes answer for them at their deadlines.
	until core.Time
	// scan is that of a scan. writers are the transactions that it waits for, which are about to write in its range: at first those
	// that were there when it came. Once they have ended those come after them that have locked keys meanwhile, and up to holds no
	// others are let in.
	scan    *kv.Op
	writers []kv.TxID
	holds   core.Time
}

// locker is a TxPrepare that is in the log, or about to be, and not applied: it is going to lock its keys. What comes behind it waits
// here, where it keeps its order, and not by being sent back at apply.
type locker struct {
	// id is that of the request; of one that an earlier leader has proposed, index is that of the block.
	id      core.RequestID
	index   uint64
	command kv.Command
}

// Locked reports whether transactions hold locks in the state: then who reads it beside the steps must look at them.
func (r *Replica) Locked() bool { return r.locks > 0 }

// noteLocks takes over how many locks there are behind an applied block.
func (r *Replica) noteLocks() {
	locks, changed := r.machine.Held()
	if !changed {
		return
	}
	if r.locks == 0 && locks > 0 {
		r.out.Note(core.LockNote{})
	}
	r.locks, r.lead.unlocked = locks, true
}

// waits keeps a request that transactions are in the way of. at says what is known of it if it has waited before.
func (r *Replica) waits(q core.Request, at lockWait) bool {
	l := &r.lead
	if r.locks == 0 && len(l.lockers) == 0 && len(l.waits) == 0 && !r.holdsVotes() {
		return false
	}
	if step := kv.TxStepOf(q.Command); step != 0 && step != kv.TxPrepare {
		return false // it can but end what others wait for
	}
	var c kv.Command
	if err := kv.DecodeCommand(q.Command, &c); err != nil {
		return false // it is answered at apply
	}
	at.request, at.claims = q, c.Tx == nil && !q.Read
	blocked := false
	switch {
	case c.Tx != nil:
		if r.yields(&c) {
			// Early: nothing was recorded of the request.
			r.out.ReplyEarly(q.ID, kv.Result{Code: kv.Locked, Detail: "a scan waits for older transactions in its range; nothing was executed"})
			return true
		}
		blocked = r.awaits(&c, &at)
	case at.claims && r.options.Transactions != machine.OvertakeWaits && l.claims.Before(&c):
		blocked = true
	case len(c.Ops) == 1 && c.Ops[0].Kind == kv.OpScan:
		blocked = r.scanWaits(&c, &at)
	default:
		blocked = machine.Blocked(r.machine.Beside(r.in.View), &c, r.stamp())
	}
	if blocked {
		r.keep(at, &c)
	}
	return blocked
}

// noteLocker takes note of a command that is going to lock its keys.
func (r *Replica) noteLocker(id core.RequestID, index uint64, command []byte) {
	if kv.TxStepOf(command) != kv.TxPrepare {
		return
	}
	l := locker{id: id, index: index}
	if err := kv.DecodeCommand(command, &l.command); err == nil {
		r.lead.lockers = append(r.lead.lockers, l)
		r.lead.claims.Add(&l.command)
	}
}

// lockersApplied takes those off that were applied: from now on their locks, if there are any, say who waits. They are applied in
// the order in which they were noted.
func (r *Replica) lockersApplied(applied func(*locker) bool) {
	l := &r.lead
	for len(l.lockers) > 0 && applied(&l.lockers[0]) {
		l.claims.Remove(&l.lockers[0].command)
		l.lockers, l.unlocked = l.lockers[1:], true
	}
}

// inheritLockers takes note of what earlier leaders have proposed.
func (r *Replica) inheritLockers() {
	for i := r.applied.Index + 1; i <= r.log.last().Index; i++ {
		b := r.log.at(i)
		if b.Kind != Commands {
			continue
		}
		// What cannot be read stops every replica when it is applied.
		_ = EachCommand(b.Payload, func(_ int, command []byte) { r.noteLocker(0, i, command) })
	}
}

// keep lets a request wait. What waits takes no room from what goes on (rule F2), or nothing could come in that ends the waiting.
func (r *Replica) keep(w lockWait, c *kv.Command) {
	if len(r.lead.waits) >= r.load.Limit(queueMin) {
		// Early: nothing was recorded of the request.
		r.out.ReplyEarly(w.request.ID, kv.Result{Code: kv.Busy, Detail: "too many requests wait for a transaction on their keys; retry after a pause"})
		return
	}
	if w.request.Deadline == 0 {
		w.request.Deadline = r.in.Now + waitMax
	}
	r.lead.waits = append(r.lead.waits, w)
	if w.claims {
		r.lead.claims.Add(c)
	}
}

// unclaim takes back what those that wait have claimed, for they are looked at again, or refused.
func (r *Replica) unclaim(list []lockWait) {
	for i := range list {
		var c kv.Command
		if err := kv.DecodeCommand(list[i].request.Command, &c); err == nil && list[i].claims {
			r.lead.claims.Remove(&c)
		}
	}
}

// endWaits lets go of what its node has answered already, for its deadline has passed.
func (r *Replica) endWaits() {
	for i := range r.lead.waits {
		if r.lead.waits[i].request.Deadline <= r.in.Now {
			r.lead.unlocked = true
			return
		}
	}
}

// awaits judges a transaction that asks for a vote.
func (r *Replica) awaits(c *kv.Command, at *lockWait) bool {
	if at.until == 0 {
		at.until = r.in.Now + prepareWait
	}
	return r.in.Now < at.until && (r.holdsVotes() || r.holding(c) != nil ||
		machine.ShouldWait(r.machine.Beside(r.in.View), c, r.stamp(), r.options.Transactions))
}

// scanWaits judges a scan. It waits for those who were about to write in its range when it came, and then for those who have come
// since, for they may have been answered as done, and followed by writes that the scan would see. While others keep coming there
// would always be some, so from then on those wait for the scan: in its whole range it counts as a lock of the transactions that it
// waits for (rule V5). A transaction that cannot end holds others up for no longer than prepareWait.
func (r *Replica) scanWaits(c *kv.Command, at *lockWait) bool {
	first := at.scan == nil
	if at.scan = &c.Ops[0]; first {
		at.writers = machine.Writers(r.in.View, at.scan, r.stamp())
	}
	for _, id := range at.writers {
		if machine.Undecided(r.in.View, id) {
			return true
		}
	}
	at.writers = machine.Writers(r.in.View, at.scan, r.stamp())
	if r.options.Transactions != machine.StarveScans {
		at.holds = r.in.Now + prepareWait
	}
	return len(at.writers) > 0
}

// holding is a scan that a transaction would keep waiting if it were let in now; nil: there is none.
func (r *Replica) holding(c *kv.Command) *lockWait {
	for i := range r.lead.waits {
		w := &r.lead.waits[i]
		if w.scan != nil && r.in.Now < w.holds && machine.Disturbs(r.machine.Beside(r.in.View), c, w.scan, r.stamp()) {
			return w
		}
	}
	return nil
}

// yields reports whether a transaction that asks for a vote has to be made again, for a scan waits for an older one. If it waited
// instead, and the older one for it in another group, they would do so until somebody's time is over.
func (r *Replica) yields(c *kv.Command) bool {
	w := r.holding(c)
	return w != nil && slices.ContainsFunc(w.writers, c.Tx.ID.Younger)
}

// waitAgain takes back a command of an applied block that a transaction was in the way of.
func (r *Replica) waitAgain(id core.RequestID, command []byte) {
	if r.role != Leader || r.lead.handoffTo != 0 {
		r.refuse(id)
		return
	}
	var c kv.Command
	if err := kv.DecodeCommand(command, &c); err != nil {
		panic("paxos: a command that was applied does not decode: " + err.Error())
	}
	r.keep(lockWait{request: core.Request{ID: id, Command: command}, claims: true}, &c)
	r.lead.unlocked = true
}

// retryWaits looks again at what waits, over the state as all earlier Steps left it.
func (r *Replica) retryWaits() {
	l := &r.lead
	if len(l.waits) == 0 || !l.unlocked {
		return
	}
	if len(r.out.State) > 0 {
		r.out.Again = true
		return
	}
	l.unlocked = false
	list := l.waits
	l.waits = nil
	r.unclaim(list)
	for _, w := range list {
		q := w.request
		switch {
		case q.Deadline <= r.in.Now:
			r.refuse(q.ID) // its node has answered for us
		case r.waits(q, w):
		case q.Read:
			r.readNow(q, true)
		default:
			r.queue(q)
		}
	}
}

// waitDeadline is when a TxPrepare waits no longer; never if there is none.
func (r *Replica) waitDeadline() (at core.Time, ok bool) {
	for i := range r.lead.waits {
		if u := r.lead.waits[i].until; u != 0 && (!ok || u < at) {
			at, ok = u, true
		}
	}
	return at, ok
}

func (r *Replica) refuseWaits() {
	for _, w := range r.lead.waits {
		r.refuse(w.request.ID)
	}
	r.unclaim(r.lead.waits)
	r.lead.waits = nil
}
