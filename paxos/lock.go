package paxos

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Transactions over several groups are commands like others to a replica, and what they lock is part of the state. What is
// done here is the waiting: a leader keeps what a lock is in the way of until the lock is gone (rules V5, V6). It is volatile,
// and safety does not rest on it: at apply, package machine looks at the locks itself.

// prepareWait is how long a transaction waits for younger ones at most; then it is refused (rule V5).
const prepareWait = core.Time(1e9)

// waitMax bounds how long anything waits for a lock: a participant without a majority can hold one for long.
const waitMax = core.Time(10e9)

// lockWait is a request that waits for transactions.
type lockWait struct {
	request core.Request
	// until is when a TxPrepare waits no longer; 0 for others: their nodes answer for them at their deadlines.
	until core.Time
	// writers are what a scan waits for: the transactions that were about to write in its range when it came. asked says that it
	// has come.
	writers []kv.TxID
	asked   bool
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
	if r.locks == 0 {
		return false
	}
	var c kv.Command
	if err := kv.DecodeCommand(q.Command, &c); err != nil {
		return false // it is answered at apply
	}
	at.request = q
	blocked := false
	switch {
	case c.Tx != nil:
		blocked = c.Tx.Step == kv.TxPrepare && r.awaits(&c, &at)
	case len(c.Ops) == 1 && c.Ops[0].Kind == kv.OpScan:
		blocked = r.scanWaits(&c, &at)
	default:
		blocked = machine.Blocked(r.in.View, &c, r.stamp())
	}
	if blocked {
		r.keep(at)
	}
	return blocked
}

// keep lets a request wait. What waits takes no room from what goes on (rule F2), or nothing could come in that ends the waiting.
func (r *Replica) keep(w lockWait) {
	if len(r.lead.waits) >= r.load.Limit(queueMin) {
		// Early: nothing was recorded of the request.
		r.out.ReplyEarly(w.request.ID, kv.Result{Code: kv.Busy, Detail: "too many requests wait for a transaction on their keys; retry after a pause"})
		return
	}
	if w.request.Deadline == 0 {
		w.request.Deadline = r.in.Now + waitMax
	}
	r.lead.waits = append(r.lead.waits, w)
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
	return r.in.Now < at.until && machine.ShouldWait(r.in.View, c)
}

func (r *Replica) scanWaits(c *kv.Command, at *lockWait) bool {
	if !at.asked {
		at.asked, at.writers = true, machine.Writers(r.in.View, &c.Ops[0])
	}
	for _, id := range at.writers {
		if machine.Undecided(r.in.View, id) {
			return true
		}
	}
	// Who has locked meanwhile may have been answered as done, and followed by writes that the scan would see.
	at.writers = machine.Writers(r.in.View, &c.Ops[0])
	return len(at.writers) > 0
}

// waitAgain takes back a command of an applied block that a transaction was in the way of.
func (r *Replica) waitAgain(id core.RequestID, command []byte) {
	if r.role != Leader || r.lead.handoffTo != 0 {
		r.refuse(id)
		return
	}
	r.keep(lockWait{request: core.Request{ID: id, Command: command}})
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
	r.lead.waits = nil
}
