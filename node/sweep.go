package node

import (
	"context"
	"sync"
	"time"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/txn"
)

const (
	// sweepEvery is how often a leader looks for transactions whose coordinators may be gone.
	sweepEvery = 250 * time.Millisecond
	// sweepPage is how many of a group are looked at together, sweepMax how many are brought to their ends at once.
	sweepPage = 1024
	sweepMax  = 64
	// sweepRest is how many times as long as it took a leader waits before it looks again: where many transactions have ended, it
	// takes the store a while to see that none is left.
	sweepRest = 50
)

// sweep brings transactions to their ends whose coordinators did not: else their locks would stay for ever.
func (n *Node) sweep(ctx context.Context) {
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	var s txn.Sweep
	room := make(chan struct{}, sweepMax)
	var under sync.Map // the transactions that are being brought to their ends: one that waits for a dead group takes one place
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.Begin()
		now := n.clocks.mono()
		n.eachOpen(func(sh *shard, o *machine.OpenTx) {
			open := txn.Unfinished{Group: uint64(sh.group), ID: o.ID, Committed: o.Committed, Participants: o.Participants}
			if !s.Due(int64(now), &open) {
				return
			}
			if _, busy := under.LoadOrStore(o.ID, true); busy {
				return
			}
			select {
			case room <- struct{}{}:
				n.recoverTx(o, func() { under.Delete(o.ID); <-room })
			default:
				under.Delete(o.ID)
				s.Missed(int64(now), &open)
			}
		})
		timer.Reset(max(sweepEvery, sweepRest*time.Duration(n.clocks.mono()-now)))
	}
}

// eachOpen calls f with the open transactions of the groups that this node leads.
func (n *Node) eachOpen(f func(*shard, *machine.OpenTx)) {
	t := n.table.Load()
	for _, s := range t.ordered {
		if s.keyspace.Consistency != kv.Linearizable {
			continue
		}
		for _, sh := range s.withChildren() {
			if sh.self == 0 || sh.leader.Load() != uint32(n.config.Node) {
				continue
			}
			if err := guarded(func() { eachOpenOf(sh, f) }); err != nil {
				n.fail(err)
				return
			}
		}
	}
}

// eachOpenOf calls f with the open transactions of one group, a page at a time: there may be many while a participant is away.
func eachOpenOf(sh *shard, f func(*shard, *machine.OpenTx)) {
	var last kv.TxID
	for {
		list := machine.OpenTxs(sh.state, last, sweepPage)
		for i := range list {
			f(sh, &list[i])
		}
		if len(list) < sweepPage {
			return
		}
		last = list[len(list)-1].ID
	}
}

// recoverTx finds out the outcome of a transaction and carries it to all participants; ended is called once, at the end.
func (n *Node) recoverTx(o *machine.OpenTx, ended func()) {
	c, sends := txn.Recover(o.ID, o.Participants, txn.NoMutation)
	n.counters.recovered.Add(1)
	n.serving.RLock()
	defer n.serving.RUnlock()
	if n.closing {
		ended()
		return
	}
	n.workers.Add(1)
	go func() {
		defer n.workers.Done()
		defer ended()
		n.finish(c, sends)
	}()
}

// openTransactions are those of the groups that this node leads, for operators.
func (n *Node) openTransactions() (list []kv.OpenTxn) {
	now := n.clocks.millis(n.clocks.mono())
	n.eachOpen(func(sh *shard, o *machine.OpenTx) {
		state := kv.TxYes
		if o.Committed {
			state = kv.TxCommitted
		}
		list = append(list, kv.OpenTxn{ID: o.ID.String(), Group: uint64(sh.group), Keyspace: sh.space.keyspace.Name, Shard: sh.index,
			State: state.String(), AgeMillis: max(0, now-o.At.UnixMilli()), Participants: o.Participants})
	})
	return list
}
