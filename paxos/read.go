package paxos

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// waitingRead is a read that waits for the leadership to be confirmed.
type waitingRead struct {
	request core.Request
	// seq is the round of heartbeats sent after the read arrived; 0: not yet sent.
	seq uint64
	// index is what was committed when the read arrived.
	index uint64
	// seen is the time that the session stands at. anyTime says that a state of that time will do: the leadership need not be
	// confirmed for it.
	seen    kv.HLC
	anyTime bool
}

// leaseDrift is the share of a lease that a leader uses: clocks may run apart by as much as is left.
const leaseDriftNum, leaseDriftDen = 95, 100

// ReadUntil is until when the state may be read as it stands: this replica leads, has applied all that it committed, and a
// majority promised to follow nobody else meanwhile (rules R1, R2).
func (r *Replica) ReadUntil() core.Time {
	if r.role != Leader || r.lead.handoffTo != 0 || !r.readable() || r.lacks() || r.config.LeaseMillis == 0 {
		return 0
	}
	if len(r.config.electorate()) == 1 && r.config.votes(r.self) {
		return core.Time(1<<63 - 1) // nobody else could lead
	}
	return r.lead.leaseFrom + r.config.lease()*leaseDriftNum/leaseDriftDen
}

// readable is rule R1: nothing is read before a block of the own ballot is committed and applied, for only then is all
// that earlier leaders committed known here.
func (r *Replica) readable() bool {
	return (r.applied.Index >= r.lead.first || r.options.Mutation == ReadBeforeNoop) && r.applied.Index == r.commit
}

// read answers a read from the state at hand, if this replica may: a leader under its lease, or any replica if the level and
// the session's token allow it. Else a leader lets it wait for a round of heartbeats, which brings the group's time, too.
func (r *Replica) read(q core.Request) {
	var c kv.Command
	if err := kv.DecodeCommand(q.Command, &c); err != nil {
		// Early: it answers the request itself, whatever the state.
		r.out.ReplyEarly(q.ID, kv.Result{Code: kv.Invalid, Detail: "command: " + err.Error()})
		return
	}
	leads := r.role == Leader && r.lead.handoffTo == 0
	if leads {
		r.advanceSafe() // a leader without peers hears of no time
	}
	result, how := Serve(r.in.View, &c, r.permit(leads && r.in.Now < r.ReadUntil()))
	switch {
	case how == Answered:
		// Early: the state that was read is committed; the answer promises nothing about this node's memory.
		r.out.ReplyEarly(q.ID, result)
	case !leads:
		r.refuse(q.ID)
	case how == Locked:
		r.enqueue(q) // it waits there
	case how == NeedsLog:
		r.enqueue(q)
	default:
		r.await(q, &c)
	}
}

// await lets a read wait for a round of heartbeats. One whose session stands later than this node's clock is ordered as a
// write would be, for heartbeats bring no time that is later than the clocks.
func (r *Replica) await(q core.Request, c *kv.Command) {
	w := waitingRead{request: q, index: max(r.commit, r.lead.first)}
	if r.options.GroupTime && c.Level.Kind() != kv.LevelBounded {
		seen, err := r.reached(c.Token)
		switch {
		case err != nil:
			// Early: it answers the request itself, whatever the state.
			r.out.ReplyEarly(q.ID, kv.Failed(err))
			return
		case seen > r.in.Stamp:
			r.enqueue(q)
			return
		}
		w.seen, w.anyTime = seen, c.Level != kv.LevelLinearizable
	}
	r.lead.reads = append(r.lead.reads, w)
}

// readNow evaluates a read that has waited over the state as it is. waited says that it has waited for locks, and need look for
// none any more.
func (r *Replica) readNow(q core.Request, waited bool) {
	var c kv.Command
	if err := kv.DecodeCommand(q.Command, &c); err != nil {
		panic("paxos: a read that waited does not decode: " + err.Error())
	}
	permit := r.permit(true)
	permit.Unlocked = permit.Unlocked || waited
	result, how := Serve(r.in.View, &c, permit)
	if how != Answered {
		r.enqueue(q)
		return
	}
	// Early: the state that was read is committed; the answer promises nothing about this node's memory.
	r.out.ReplyEarly(q.ID, result)
}

// serveReads answers reads over the state as all earlier Steps left it; what this Step changes is not in view yet.
func (r *Replica) serveReads() {
	if len(r.lead.reads) == 0 {
		return
	}
	if len(r.out.State) > 0 {
		r.out.Again = true
		return
	}
	r.answerReads()
}

// answerReads confirms the leadership for reads that wait (rule R3): one round of heartbeats sent after they arrived,
// answered by a majority, and all applied that was committed when they arrived. All reads of a pass share a round.
func (r *Replica) answerReads() {
	l := &r.lead
	confirmed := r.confirmedSeq()
	if l.readSeq != 0 && confirmed >= l.readSeq {
		l.readSeq = 0
	}
	kept := l.reads[:0]
	for _, w := range l.reads {
		done := w.anyTime || w.seq != 0 && confirmed >= w.seq && r.applied.Index >= w.index && r.readable()
		switch {
		case (done || r.in.Now < r.ReadUntil()) && w.seen <= r.holdsUpTo():
			r.readNow(w.request, false)
		default:
			kept = append(kept, w)
		}
	}
	clear(l.reads[len(kept):])
	l.reads = kept
	if len(kept) > 0 && l.readSeq == 0 {
		r.startReadRound()
	}
}

// startReadRound sends a round of heartbeats for the reads that have none yet.
func (r *Replica) startReadRound() {
	l := &r.lead
	seq := uint64(0)
	for i := range l.reads {
		if l.reads[i].seq != 0 {
			continue
		}
		if seq == 0 {
			seq = l.seq
			if r.options.Mutation != CountEarlierRound {
				seq = r.beat()
			}
			l.readSeq = seq
		}
		l.reads[i].seq = seq
	}
}

// confirmedSeq is the highest number that a majority, this replica included, has answered.
func (r *Replica) confirmedSeq() uint64 {
	return majority(r, r.lead.seq, 0, func(p *peer) uint64 { return p.ackedSeq })
}
