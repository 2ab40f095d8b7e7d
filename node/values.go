package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
	"github.com/gamutdb/gamut/values"
)

// ValueStore is where a node keeps long values.
type ValueStore interface {
	values.Store
	// Address is what the status calls it.
	Address() string
	// Evicts says by which setting it may drop values; empty: it does not, or did not say.
	Evicts() string
}

// Pebble keeps values on the node's own disk, and Memory in its process, in up to Config.StoreMemoryBytes.
var (
	Pebble ValueStore = onDisk{}
	Memory ValueStore = inMemory{}
)

// onDisk takes nothing. References are the same on all nodes, so values must leave the state here, too; they stay in the anteroom.
type onDisk struct{}

func (onDisk) Get(string) ([]byte, error) { return nil, values.ErrMissing }
func (onDisk) Put(string, []byte) error   { return values.ErrInside }
func (onDisk) Delete(string) error        { return nil }
func (onDisk) Address() string            { return "pebble" }
func (onDisk) Evicts() string             { return "" }

// untold is what a node has that was told no store. Somebody may have forgotten it.
type untold struct{ onDisk }

var errUntold = fmt.Errorf("this node was started without a store (--store), and keeps its values on its own disk: %w", values.ErrFull)

func (untold) Put(string, []byte) error { return errUntold }
func (untold) Address() string          { return "none" }

// inMemory is the store in the node's own memory.
type inMemory struct{ *values.Memory }

func (inMemory) Address() string { return "memory" }
func (inMemory) Evicts() string  { return "" }

// keeper is one of a node's stores of long values.
type keeper struct {
	*values.Keeper
	store ValueStore
	// used says that a replica here keeps values in it.
	used      atomic.Bool
	refilling atomic.Bool
	note      atomic.Pointer[string]
}

// keepers are a node's stores of long values, and what it asks other nodes for.
type keepers struct {
	// memory and node are those of keyspaces with store memory and node. They may be one.
	memory, node *keeper
	fetches      fetches
	// resolving are the answers whose values are being fetched.
	resolving sync.WaitGroup
	// serving bounds the values that are being looked up for other nodes.
	serving chan struct{}
}

// servingMax is how many values are looked up for other nodes at once. A question beyond is not answered, and asked again.
const servingMax = 64

func (n *Node) makeKeepers() {
	make1 := func(s ValueStore) *keeper {
		scope := fmt.Sprintf("gamut:%x", n.identity.Store[:8])
		k := values.NewKeeper(values.Options{Store: s, Scope: scope, Now: n.clocks.mono})
		return &keeper{Keeper: k, store: s}
	}
	n.values.memory = make1(inMemory{values.NewMemory(n.config.StoreMemoryBytes)})
	switch s := n.config.ValueStore; s {
	case nil:
		n.values.node = make1(untold{})
	case Memory:
		n.values.node = n.values.memory
	default:
		n.values.node = make1(s)
	}
	n.values.fetches.waiting = map[uint64]chan fetched{}
	n.values.serving = make(chan struct{}, servingMax)
}

// of is where the values of a keyspace are kept; nil: in the state itself.
func (v *keepers) of(d *keyspace.Descriptor) *keeper {
	switch d.Terms.Store {
	case keyspace.StoreMemory:
		return v.memory
	case keyspace.StoreNode:
		return v.node
	}
	return nil
}

func (v *keepers) all() []*keeper {
	if v.node == v.memory {
		return []*keeper{v.memory}
	}
	return []*keeper{v.memory, v.node}
}

// stateOf is a group's state as its replica sees it.
func (n *Node) stateOf(d *keyspace.Descriptor, g core.GroupID) store.Group {
	state := n.disk.Group(g)
	k := n.values.of(d)
	if k == nil {
		return state
	}
	return k.Group(g, state, n.disk.Group(values.Anteroom(g)), func(record []byte) int { return keyspace.ValueAt(d.Consistency, record) })
}

// openValues takes up what waits of a replica's values.
func (n *Node) openValues(sh *shard) {
	if k := n.values.of(sh.space.descriptor); k != nil {
		k.used.Store(true)
		k.Open(sh.state.(*values.Group))
		if len(sh.described().Target) > 0 {
			k.Doubt(sh.group) // what an earlier life came to refer to, and had not fetched when it ended
		}
	}
}

// forget ends a group, whose state is about to be dropped.
func (v *keepers) forget(g core.GroupID) error {
	return guarded(func() {
		for _, k := range v.all() {
			k.Forget(g)
		}
	})
}

// close puts what is in memory onto the disk: a node that is stopped loses nothing.
func (v *keepers) close() (err error) {
	if bad := guarded(func() { err = v.memory.BringInside() }); bad != nil {
		err = bad
	}
	for _, k := range v.all() {
		k.Close()
	}
	return err
}

// work is what runs beside the loop.
func (v *keepers) work(n *Node) (list []func(context.Context)) {
	for _, k := range v.all() {
		list = append(list, func(ctx context.Context) { n.storeValues(ctx, k) }, func(ctx context.Context) { n.refillValues(ctx, k) })
	}
	return list
}

const (
	// uploads is how many values are given to a store, or taken out of it, at once.
	uploads = 16
	// storeEvery is how often a store is looked after that nobody woke.
	storeEvery = 100 * time.Millisecond
	// noteEvery is how often a store is asked whether it evicts.
	noteEvery = 30 * time.Second
)

// storeValues carries values to their store and out of it.
func (n *Node) storeValues(ctx context.Context, k *keeper) {
	ticker := time.NewTicker(storeEvery)
	defer ticker.Stop()
	var checked, noted time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.Wake():
		case <-ticker.C:
		}
		if !k.used.Load() {
			continue
		}
		if time.Since(checked) >= choresEvery {
			k.Check()
			checked = time.Now()
			n.judgeStore(k)
		}
		if time.Since(noted) >= noteEvery {
			note := k.store.Evicts()
			k.note.Store(&note)
			noted = time.Now()
		}
		if err := n.pump(ctx, k); err != nil {
			n.fail(err)
			return
		}
	}
}

func (n *Node) judgeStore(k *keeper) {
	trouble := k.Stats().Trouble
	n.judgeAlarm("store "+k.store.Address(), trouble != "", fmt.Sprintf("the store of long values, %s, is left alone; what it does not take stays on this node's disk, what it holds is had from other replicas: %s", k.store.Address(), trouble))
}

// pump hands over all that waits.
func (n *Node) pump(ctx context.Context, k *keeper) error {
	var group sync.WaitGroup
	var bad atomic.Pointer[error]
	slots := make(chan struct{}, uploads)
	each := func(next func() (values.Place, bool), do func(values.Place) error) {
		for ctx.Err() == nil && bad.Load() == nil {
			p, ok := next()
			if !ok {
				return
			}
			slots <- struct{}{}
			group.Go(func() {
				var err error
				if stopped := guarded(func() { err = do(p) }); stopped != nil {
					err = stopped
				}
				if err != nil {
					bad.Store(&err)
				}
				<-slots
			})
		}
	}
	each(k.Next, k.Upload)
	each(k.Stored, k.Settle)
	each(k.Due, k.Remove)
	group.Wait()
	if err := bad.Load(); err != nil {
		return *err
	}
	return n.sweepValues(k)
}

func (n *Node) sweepValues(k *keeper) (err error) {
	for more := true; more && err == nil; {
		if stopped := guarded(func() { more, err = k.Sweep() }); stopped != nil {
			err = stopped
		}
	}
	return err
}

// refillEvery is how often a node looks for values that may be missing; searchWithin bounds one search.
const (
	refillEvery  = 250 * time.Millisecond
	searchWithin = 5 * time.Second
)

// refillValues fetches from other replicas what this node's store lacks. What nobody can give now is looked for again after pauses that
// grow: a search may go through a whole group.
func (n *Node) refillValues(ctx context.Context, k *keeper) {
	var places retries[values.Place]
	var groups retries[core.GroupID]
	for range ticks(ctx, refillEvery) {
		for p, ok := k.Wanted(); ok; p, ok = k.Wanted() {
			if !places.add(p) {
				k.Sought(p.Group)
			}
		}
		for g, ok := k.Anew(); ok; g, ok = k.Anew() {
			if !groups.add(g) {
				k.Sought(g)
			}
		}
		n.fetchWanted(ctx, k, &places)
		n.refillGroups(ctx, k, &groups)
	}
}

// ends takes a note off the disk; one that cannot be written ends the node.
func (n *Node) ends(forget func() error) {
	var err error
	if stopped := guarded(func() { err = forget() }); stopped != nil {
		err = stopped
	}
	if err != nil {
		n.fail(err)
	}
}

// fetchWanted looks for single values, as long as the state refers to them.
func (n *Node) fetchWanted(ctx context.Context, k *keeper, places *retries[values.Place]) {
	for _, p := range places.due(n.clocks.mono()) {
		wanted := false
		if err := guarded(func() { wanted = k.Holds(p) }); err != nil {
			n.fail(err)
			return
		}
		if wanted {
			// A search that ends with the node says nothing.
			if err := n.seek(ctx, p); err != nil && isUnavailable(err) || ctx.Err() != nil {
				places.failed(p, n.clocks.mono())
				continue
			}
		}
		places.done(p)
		n.ends(func() error { return k.Ended(p) })
		k.Sought(p.Group)
	}
}

// refillGroups looks through groups of which anything may be missing.
func (n *Node) refillGroups(ctx context.Context, k *keeper, groups *retries[core.GroupID]) {
	k.refilling.Store(len(groups.of) > 0)
	for _, g := range groups.due(n.clocks.mono()) {
		if !n.refill(ctx, k, g) {
			groups.failed(g, n.clocks.mono())
			continue
		}
		groups.done(g)
		n.ends(func() error { return k.Filled(g) })
		k.Sought(g)
	}
	k.refilling.Store(len(groups.of) > 0)
}

// valuesCame says that the replicas which a shard is to have in the end have fetched the values that they came to refer to: whoever
// is to go takes its own away.
func (n *Node) valuesCame(ctx context.Context, sh *shard) bool {
	k := n.values.of(sh.space.descriptor)
	if k == nil {
		return true
	}
	for _, m := range sh.described().Ends() {
		if m.Node == n.config.Node {
			if !k.Whole(sh.group) {
				return false
			}
		} else if f := n.fetch(ctx, m.Node, values.Place{Group: sh.group}); !f.ok || f.finding != values.Found {
			return false
		}
	}
	return true
}

// refill fetches all that is missing of a group; false: some of it may be had later.
func (n *Node) refill(ctx context.Context, k *keeper, g core.GroupID) bool {
	whole := true
	var mu sync.Mutex
	for from := []byte(nil); ; {
		var list []values.Place
		if err := guarded(func() { list, from = k.Missing(g, from) }); err != nil {
			n.fail(err)
			return false
		}
		var group sync.WaitGroup
		for _, p := range list {
			group.Go(func() {
				err := n.seek(ctx, p)
				mu.Lock()
				defer mu.Unlock()
				whole = whole && (err == nil || !isUnavailable(err))
			})
		}
		group.Wait()
		if from == nil || ctx.Err() != nil {
			return whole && ctx.Err() == nil
		}
	}
}

func isUnavailable(err error) bool { return isCode(err, kv.Unavailable) }

func isLost(err error) bool { return isCode(err, kv.ValueLost) }

func isCode(err error, code kv.Code) bool {
	var e *kv.Error
	return errors.As(err, &e) && e.Code == code
}

// seek finds a value for this node's own sake.
func (n *Node) seek(ctx context.Context, p values.Place) error {
	sh := n.table.Load().groups[p.Group]
	if sh == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, searchWithin)
	defer cancel()
	_, err := n.value(ctx, sh, p)
	return err
}

// status tells of the stores that are in use.
func (v *keepers) status() (list []kv.StoreStatus) {
	for _, k := range v.all() {
		if !k.used.Load() && (k == v.memory && v.node != v.memory || k.store == untold{}) {
			continue
		}
		s := k.Stats()
		one := kv.StoreStatus{Store: k.store.Address(), Trouble: s.Trouble, Hits: s.Hits, Misses: s.Misses, Wrong: s.Wrong,
			Errors: s.Errors, Inside: s.Inside, Stored: s.Stored, Removed: s.Removed, TooLong: s.TooLong, Refetched: s.Refetched,
			Lost: s.Lost, Evicted: s.Evicted, Waiting: s.Waiting, Settling: s.Settling, Refilling: k.refilling.Load()}
		if note := k.note.Load(); note != nil {
			one.Note = *note
		}
		list = append(list, one)
	}
	return list
}

// serveValue answers another node that lacks a value; one without a key asks whether the group lacks none here. It is called by the
// loop, and looks elsewhere.
func (n *Node) serveValue(from core.NodeID, id core.RequestID, p values.Place) {
	sh := n.table.Load().groups[p.Group]
	if sh == nil || sh.self == 0 {
		return
	}
	k := n.values.of(sh.space.descriptor)
	select {
	case n.values.serving <- struct{}{}:
	default:
		return
	}
	if k == nil {
		<-n.values.serving
		return
	}
	n.values.resolving.Go(func() {
		defer func() { <-n.values.serving }()
		var v []byte
		var finding values.Finding
		if p.Key == "" {
			if k.Whole(p.Group) {
				finding = values.Found
			}
		} else if err := guarded(func() { v, finding = k.Read(p) }); err != nil {
			n.fail(err)
			return
		}
		n.inbox.call(func(host.Now) {
			if to := n.peer(from); to != nil && to.connected.Load() && !to.full() {
				to.grew(appendValue(to.frame(), id, finding, v))
			}
		})
	})
}
