package paxos

import (
	"encoding/binary"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// apply applies one block that is committed and durable here, and asks for another Step if there are more: each block
// must see the state as the one before left it.
//
// Waiting for the own disk, too, keeps the state a fold of the durable log: after a crash it is never ahead of it.
func (r *Replica) apply() {
	if r.staging.Ready() || len(r.out.State) > 0 {
		return
	}
	until := min(r.commit, r.log.durable)
	if r.applied.Index >= until {
		return
	}
	b := r.log.at(r.applied.Index + 1)
	if b == nil {
		panic(fmt.Sprintf("paxos: block %d is committed but not held", r.applied.Index+1))
	}
	r.applyBlock(b)
	r.out.Again = r.applied.Index < until
	r.compact()
}

func (r *Replica) applyBlock(b *Block) {
	w := r.waiterOf(b)
	r.machine.Begin(r.in.View, b.Index, r.blockTime(b))
	switch b.Kind {
	case Commands:
		r.applyCommands(b, w)
	case Expiry:
		r.machine.Expire()
	case Configuration:
		r.out.State = append(r.out.State, core.Change{Kind: core.Put, Key: configKey, Value: b.Payload})
	case Split:
		r.applySplit(b)
	case Weaned:
		r.out.State = append(r.out.State, machine.Weaned(r.in.View, binary.BigEndian.Uint64(b.Payload))...)
	case Retire:
		r.applyRetire(b)
	case Mark:
		r.out.Note(core.CheckpointNote{Index: b.Index})
		if w != nil {
			r.answer(w.ids[0], kv.Result{Version: b.Index})
		}
	}
	r.out.State = append(r.out.State, r.machine.Finish()...)
	r.noteLocks()
	r.lockersApplied(func(l *locker) bool { return l.index != 0 && l.index <= b.Index })
	r.applied = b.position()
	r.meta = appendMeta(r.meta[:0], r.applied)
	r.out.State = append(r.out.State, core.Change{Kind: core.Put, Key: core.AppliedKey, Value: r.meta})
	r.out.Note(AppliedNote{b.Index, b.Hash})
}

func (r *Replica) applyCommands(b *Block, w *waiter) {
	err := EachCommand(b.Payload, func(i int, command []byte) {
		r.written.executed++
		result := r.machine.Apply(command, w != nil)
		if w == nil {
			return
		}
		r.lockersApplied(func(l *locker) bool { return l.index == 0 && l.id == w.ids[i] })
		if result.Code == kv.Locked {
			r.waitAgain(w.ids[i], command)
			return
		}
		r.countWrite(command)
		if r.options.GroupTime {
			r.placeAt(&result, command, b)
		}
		r.answer(w.ids[i], result)
	})
	if err != nil {
		// The payload matches its hash, so a leader proposed this, and every replica stops here alike.
		panic(fmt.Sprintf("paxos: block %d: %v", b.Index, err))
	}
	if w != nil {
		r.pending.cohort = len(w.ids)
		r.load.Executed(len(w.ids), r.proposed+len(r.pending.list) > 0)
	}
}

// placeAt tells the client of a command where the block put its session.
func (r *Replica) placeAt(result *kv.Result, command []byte, b *Block) {
	c, _ := kv.DecodeHead(command) // what does not decode was answered so, and names no level
	stand(result, c.Level, r.options.Binding, b.Time)
}

func (r *Replica) answer(id core.RequestID, result kv.Result) {
	// Early: the block is on the disks of a majority, this one's among them; later writes of this replica are no concern
	// of this client.
	r.out.ReplyEarly(id, result)
}

// waiterOf finds who waits for a block. Those who waited for another block at its index now know that theirs was not
// chosen, and never will be.
func (r *Replica) waiterOf(b *Block) (w *waiter) {
	kept := r.waiting[:0]
	for _, waits := range r.waiting {
		if waits.index <= b.Index {
			r.proposed -= len(waits.ids)
		}
		switch {
		case waits.index > b.Index:
			kept = append(kept, waits)
		case waits.index == b.Index && waits.hash == b.Hash:
			found := waits
			w = &found
		default:
			for _, id := range waits.ids {
				r.refuse(id)
			}
		}
	}
	clear(r.waiting[len(kept):])
	r.waiting = kept
	return w
}

// loseWaiters answers those who waited for blocks that a snapshot skipped: they may have been among them.
func (r *Replica) loseWaiters(until uint64) {
	kept := r.waiting[:0]
	for _, waits := range r.waiting {
		if waits.index > until {
			kept = append(kept, waits)
			continue
		}
		r.proposed -= len(waits.ids)
		for _, id := range waits.ids {
			// Early: it tells only that nothing is known here.
			r.out.ReplyEarly(id, kv.Result{Code: kv.Unknown, Detail: "this replica was given a snapshot; the write may have happened"})
		}
	}
	clear(r.waiting[len(kept):])
	r.waiting = kept
}

// compact lets go of applied blocks beyond what is kept for followers (rule S1): as many as the slowest live peer needs
// within the bound, and never more than twice the bound.
func (r *Replica) compact() {
	if r.log.bytes <= r.options.RetainBytes {
		return
	}
	until := r.applied.Index
	if r.role == Leader && r.log.bytes <= 2*r.options.RetainBytes {
		for _, p := range r.lead.peers {
			if r.in.Now-p.heard < r.options.ElectionMax {
				until = min(until, p.match)
			}
		}
	}
	// Half the bound stays, so that compaction is rare and an audit has something to look at.
	keep, bytes := r.log.last().Index, 0
	for ; keep > r.log.base.Index && bytes < r.options.RetainBytes/2; keep-- {
		bytes += len(r.log.at(keep).raw)
	}
	if until = min(until, keep); until > r.log.base.Index {
		r.log.compact(until)
		for len(r.configs) > 1 && r.configs[1].index <= until {
			r.configs = r.configs[1:]
		}
	}
}
