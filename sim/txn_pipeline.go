package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// txnPipelines has clients that send several operations on the same keys without waiting, while transactions lock those keys.
type txnPipelines struct{}

func (txnPipelines) name() string                   { return "pipelines" }
func (txnPipelines) keys(w *txnWorld) []string      { return keysOf(w, "l") }
func (txnPipelines) bank(w *txnWorld) *referee.Bank { return nil }

func (p txnPipelines) next(w *txnWorld, c *txnClient) *txnStep {
	if c.rng.IntN(2) == 0 {
		return txnLists{}.next(w, c)
	}
	s := &txnStep{op: referee.Op{Kind: referee.Txn}}
	keys := some(c.rng, p.keys(w), 2)
	for i := range 3 + c.rng.IntN(5) {
		kind := referee.Append
		if c.rng.IntN(3) == 0 {
			kind = referee.Get
		}
		s.pipeline = append(s.pipeline, singleStep(kind, keys[c.rng.IntN(2)], fmt.Sprintf("<%d.%d.%d>", c.id, c.count, i)))
	}
	return s
}

// pipe sends the operations of a pipeline through one node, all at once. Each is one of a client's for the referee, who takes them for
// concurrent; that they are executed in their order is for inOrder to say.
func (c *txnClient) pipe(n *node, s *txnStep) {
	left := len(s.pipeline)
	for i, one := range s.pipeline {
		one.op.Client, one.op.Call, one.op.Node = 1000*(i+1)+c.id, s.op.Call, s.op.Node
	}
	c.w.after(c.travel(), func() {
		for _, one := range s.pipeline {
			answered := false
			end := func(r kv.Result) {
				if answered {
					return
				}
				answered = true
				c.finished(one, r)
				if left--; left == 0 {
					c.inOrder(s)
					c.rest()
				}
			}
			c.w.after(txnTimeout+requestTimeout, func() { end(kv.Result{Code: kv.Unknown, Detail: "no answer"}) })
			if !n.up {
				end(kv.Result{Code: kv.Unavailable, Detail: "connection refused"})
				continue
			}
			n.arrive(func(now host.Now) { c.sendOne(n, now, s, one, end) })
		}
	})
}

// sendOne does what package node does of an operation: a read that comes first is answered here if it may be; behind a write of the
// same group, or before one, it needs a place in the log.
func (c *txnClient) sendOne(n *node, now host.Now, s, one *txnStep, end func(kv.Result)) {
	root, encoded := c.w.rootOf(one.single.Key), kv.AppendCommand(nil, &kv.Command{Ops: []kv.Op{one.single}})
	first, writes := true, false
	for i, other := range s.pipeline {
		if c.w.rootOf(other.single.Key) == root {
			first = first && i >= slices.Index(s.pipeline, one)
			writes = writes || other.op.Kind.Writes()
		}
	}
	read := !one.op.Kind.Writes()
	if read && first && n.readHere(n.route(root, encoded), encoded, now, end) {
		return
	}
	n.submit(root, encoded, read && !writes, false, requestTimeout, end)
}

// inOrder checks what a pipeline reads of a key: all that was added to it before, as far as that was answered as done, and nothing of
// what comes later.
func (c *txnClient) inOrder(s *txnStep) {
	for i, read := range s.pipeline {
		if read.op.Kind != referee.Get || !read.op.Executed() {
			continue
		}
		for j, add := range s.pipeline {
			if add.op.Kind != referee.Append || add.op.Key != read.op.Key {
				continue
			}
			if found := strings.Contains(read.op.Got, add.op.Value); found && j > i || !found && j < i && add.op.Executed() {
				c.w.fail(Linearizability, "a pipeline is not executed in its order: %s stands at place %d, %s at %d", read.op.String(), i, add.op.String(), j)
			}
		}
	}
}
