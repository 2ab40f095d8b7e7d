package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/values"
)

// The values of answers. Replicas answer with references to long values, also to each other; the node that answers the
// client puts the values in their place, beside its loop. It asks its own store first, then the nodes of the other replicas.

// fetches are the questions to other nodes that have not been answered.
type fetches struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan fetched
}

// fetched is what another node has of a value; ok is false if it could not be asked.
type fetched struct {
	finding values.Finding
	value   []byte
	ok      bool
}

func (f *fetches) begin() (id uint64, answer chan fetched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	answer = make(chan fetched, 1)
	f.waiting[f.last] = answer
	return f.last, answer
}

func (f *fetches) deliver(id uint64, answer fetched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if to := f.waiting[id]; to != nil {
		to <- answer
		delete(f.waiting, id)
	}
}

func (f *fetches) end(id uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, id)
}

// fetchWithin is how long another node has to find a value, before the next one is asked.
const fetchWithin = 2 * time.Second

// fetch asks a node for a value.
func (n *Node) fetch(ctx context.Context, from core.NodeID, p values.Place) fetched {
	ctx, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	id, answer := n.values.fetches.begin()
	defer n.values.fetches.end(id)
	sent := n.inbox.call(func(host.Now) {
		to := n.peer(from)
		if to == nil || !to.connected.Load() || !to.hearing.Load() || to.full() {
			n.values.fetches.deliver(id, fetched{})
			return
		}
		to.grew(appendWant(to.frame(), id, p))
	})
	if !sent {
		return fetched{}
	}
	select {
	case f := <-answer:
		return f
	case <-ctx.Done():
		return fetched{}
	}
}

// value finds a value that the state of a shard refers to: here, or on another node. One that it had to ask for it keeps.
func (n *Node) value(ctx context.Context, sh *shard, p values.Place) (v []byte, err error) {
	k := n.values.of(sh.space.descriptor)
	other, unheard := false, 0
	if sh.self != 0 {
		var finding values.Finding
		if err := guarded(func() { v, finding = k.Read(p) }); err != nil {
			n.fail(err)
			return nil, kv.Errorf(kv.Unavailable, "this node cannot read its disk and stops; ask another one")
		}
		if finding == values.Found {
			return v, nil
		}
		other = finding == values.Other
		unheard += btoi(finding == values.Unasked)
	}
	for _, id := range n.nearest(sh) {
		f := n.fetch(ctx, id, p)
		switch {
		case !f.ok || f.finding == values.Unasked:
			unheard++
		case f.finding == values.Found && p.Ref.Names(f.value):
			if err := guarded(func() { err = k.Restore(p, f.value) }); err != nil {
				n.fail(err)
			}
			return f.value, err
		default:
			other = other || f.finding == values.Other
		}
	}
	switch {
	case other:
		return nil, kv.Errorf(kv.Unavailable, "the key was written meanwhile, and the value before is gone; ask again")
	case unheard > 0:
		return nil, kv.Errorf(kv.Unavailable, "the value is kept in a store beside each node (here %s), and the nodes or stores that may have it cannot be asked; retry when they are back", k.store.Address())
	}
	k.NoteLost()
	return nil, kv.Errorf(kv.ValueLost, "no replica's store has the value of %d bytes any more; write the key again", p.Ref.Size)
}

// nearest are the other nodes with replicas of a shard, the leader's first: it has each value longest. Nobody waits for those that
// an operator has removed.
func (n *Node) nearest(sh *shard) []core.NodeID {
	leader, known := core.NodeID(sh.leader.Load()), n.table.Load().catalog.Nodes
	list := slices.DeleteFunc(slices.Clone(sh.nodes), func(id core.NodeID) bool {
		return id == n.config.Node || known[id].State == keyspace.NodeRemoved
	})
	slices.SortStableFunc(list, func(a, b core.NodeID) int { return cmp.Compare(btoi(a != leader), btoi(b != leader)) })
	return list
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// answer answers a call of this node. If values are kept elsewhere that the answer refers to, it fetches them first, beside
// the caller.
func (n *Node) answer(sh *shard, c *kv.Call, r kv.Result, deadline core.Time) {
	if n.values.of(sh.space.descriptor) == nil {
		c.Done(r)
		return
	}
	again := rewritable(c, &r)
	if !again && !refers(&r) {
		c.Done(r)
		return
	}
	n.values.resolving.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, time.Duration(deadline-n.clocks.mono()))
		defer cancel()
		if again {
			r = n.rewrite(ctx, c, r)
		} else {
			r = n.resolved(ctx, sh, c, r)
		}
		c.Done(r)
	})
}

// refers reports whether an answer refers to a value.
func refers(r *kv.Result) bool {
	_, is := kv.ParseReference(r.Value)
	return is || slices.ContainsFunc(r.Items, func(item kv.Result) bool { return refers(&item) })
}

// resolve puts the values in the place of the references in an answer, and lists those that are lost.
func (n *Node) resolve(ctx context.Context, sh *shard, c *kv.Command, r *kv.Result, lost *lostValues) {
	var group sync.WaitGroup
	scan := len(c.Ops) == 1 && c.Ops[0].Kind == kv.OpScan
	if scan {
		cut(r)
	}
	slots := make(chan struct{}, uploads)
	each := func(at *kv.Result, key []byte) {
		ref, is := kv.ParseReference(at.Value)
		if !is {
			return
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			p := values.Place{Group: sh.group, Key: string(append([]byte{machine.DataKind}, key...)), Ref: ref}
			v, err := n.value(ctx, sh, p)
			if at.Value = v; err == nil {
				return
			}
			if isLost(err) {
				lost.add(key, at.Version)
			}
			*at = unresolved(c, key, err)
		})
	}
	switch {
	case scan:
		for i := range r.Items {
			each(&r.Items[i], r.Items[i].Key)
		}
	case len(r.Items) > 0:
		for i := range min(len(r.Items), len(c.Ops)) {
			each(&r.Items[i], c.Ops[i].Key)
		}
	case len(c.Ops) > 0:
		each(r, c.Ops[0].Key)
	}
	group.Wait()
	if at := slices.IndexFunc(r.Items, func(item kv.Result) bool { return scan && item.Code.Refused() }); at >= 0 {
		*r = r.Items[at] // a list that leaves out a key, or shows an empty value, would be wrong
	}
}

// scanBytes bounds the values that one scan fetches.
const scanBytes = 16 << 20

// cut shortens a scan whose values are too much for one answer.
func cut(r *kv.Result) {
	size := 0
	for i := range r.Items {
		if size += kv.ValueSize(r.Items[i].Value); size > scanBytes && i > 0 {
			r.Key, r.Items = r.Items[i].Key, r.Items[:i]
			return
		}
	}
}

// unresolved answers for a value that cannot be had. A change that was executed must not look refused.
func unresolved(c *kv.Command, key []byte, err error) kv.Result {
	r := kv.Failed(err)
	r.Detail = fmt.Sprintf("key %.64q: %s", key, r.Detail)
	if !c.ReadOnly() {
		r.Code, r.Detail = kv.Unknown, "the change was executed, but the value that it answers with cannot be had: "+r.Detail
	}
	return r
}
