package node

import (
	"context"
	"sync"
	"time"

	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/txn"
)

const (
	// forgetAfter is how long it may take until participants are told to forget. Nobody waits for that, and those of many
	// transactions share a command to each group. It is a fraction of what the sweeps wait.
	forgetAfter = 200 * time.Millisecond
	// forgetMax bounds how many wait: what is left out is found by the sweeps. forgetBatch is how many are submitted together.
	forgetMax, forgetBatch = 1 << 14, 4096
)

// forgets are commands to forget transactions of which all participants know the outcome (rule V4).
type forgets struct {
	mu   sync.Mutex
	list []txn.Send
	wake chan struct{}
}

// later takes the commands to forget out of what a coordinator sends, and returns the rest.
func (f *forgets) later(sends []txn.Send) (now []txn.Send) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range sends {
		switch {
		case s.Command.Tx.Step != kv.TxForget:
			now = append(now, s)
		case len(f.list) < forgetMax:
			f.list = append(f.list, s)
		}
	}
	if len(f.list) > 0 {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	return now
}

// take takes what is submitted next.
func (f *forgets) take() (list []txn.Send) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.list), forgetBatch)
	list = append(list, f.list[:n]...)
	f.list = f.list[:copy(f.list, f.list[n:])]
	return list
}

// forget submits what waits to be forgotten. Answers say nothing that anybody needs: what did not arrive is found by the sweeps.
func (n *Node) forget(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.forgets.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(forgetAfter):
		}
		for list := n.forgets.take(); len(list) > 0; list = n.forgets.take() {
			if n.table.Load().catalog.Level >= keyspace.LevelForgetMany {
				list = txn.Together(list)
			}
			n.ask(list, time.Now().Add(n.config.Timing.Request), func(*txn.Send, *kv.Result) {})
		}
	}
}
