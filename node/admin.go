package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/values"
)

// retryPause is how long to wait before something is tried again that the cluster could not do yet.
const retryPause = 50 * time.Millisecond

// do executes one command and waits for its result.
func (n *Node) do(ctx context.Context, ks *kv.Keyspace, shard int, c kv.Command) kv.Result {
	if err := ctx.Err(); err != nil {
		return kv.Result{Code: kv.Unavailable, Detail: err.Error()}
	}
	deadline := time.Now().Add(n.config.Timing.Request)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	var b kv.Batch
	b.Reset(deadline)
	call := b.Add()
	call.Keyspace, call.Shard, call.Command = ks, shard, c
	n.Submit(&b)
	b.Wait()
	return call.Result
}

// doIn executes a command in one group, whose place among the shards may change meanwhile.
func (n *Node) doIn(ctx context.Context, sh *shard, c kv.Command) kv.Result {
	if err := ctx.Err(); err != nil {
		return kv.Result{Code: kv.Unavailable, Detail: err.Error()}
	}
	var b kv.Batch
	b.Reset(time.Now().Add(n.config.Timing.Request))
	call := b.Add()
	call.Keyspace, call.Group, call.Fixed, call.Command = sh.space.keyspace, uint64(sh.group), true, c
	n.Submit(&b)
	b.Wait()
	return call.Result
}

// pause waits a little; false: ctx has ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(retryPause):
		return true
	}
}

// CreateKeyspace makes a keyspace and waits until its shards can order writes.
func (n *Node) CreateKeyspace(ctx context.Context, spec kv.CreateKeyspace) error {
	if spec.Store == keyspace.StoreNode && n.config.ValueStore == nil {
		return kv.Errorf(kv.Invalid, "store node: this node was started without a store; start every node with --store memcached://host:port, redis://host:port, memory or pebble")
	}
	var planned *keyspace.Descriptor
	for {
		d, again, err := n.tryCreate(ctx, spec, planned)
		if err == nil {
			return n.waitCreated(ctx, d)
		}
		if !again || !pause(ctx) {
			return err
		}
		planned = d
	}
}

// tryCreate makes one attempt: it reads the catalog, then changes it under the condition that it is still so. before is
// the plan of an earlier attempt of which nobody knows whether it went through. again says that another may succeed.
func (n *Node) tryCreate(ctx context.Context, spec kv.CreateKeyspace, before *keyspace.Descriptor) (d *keyspace.Descriptor, again bool, err error) {
	next, present, err := n.readNext(ctx, spec.Name)
	if err != nil {
		return before, retryable(err), err
	}
	if present != nil {
		if before != nil && bytes.Equal(present.Encode(), before.Encode()) {
			return present, false, nil
		}
		return nil, false, kv.Errorf(kv.Exists, "keyspace %q exists already", spec.Name)
	}
	d, after, err := n.table.Load().catalog.Zones().Plan(spec, n.placeable(), next.Next)
	if err != nil {
		return nil, false, err
	}
	companion, after := d.PlanCompanion(after)
	c := kv.Command{
		Conds: []kv.Cond{next.cond, {Kind: kv.CondAbsent, Key: keyspace.DescriptorKey(d.Name)}},
		Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(keyspace.NextKey), Value: keyspace.EncodeNext(after)},
			{Kind: kv.OpSet, Key: keyspace.DescriptorKey(d.Name), Value: d.Encode()}}}
	if companion != nil {
		key := keyspace.DescriptorKey(companion.Name)
		c.Conds = append(c.Conds, kv.Cond{Kind: kv.CondAbsent, Key: key})
		c.Ops = append(c.Ops, kv.Op{Kind: kv.OpSet, Key: key, Value: companion.Encode()})
	}
	keys, values := d.FirstViews(n.identity.Cluster, n.config.protocolOptions())
	for i := range keys {
		c.Ops = append(c.Ops, kv.Op{Kind: kv.OpSet, Key: keys[i], Value: values[i]})
	}
	r := n.do(ctx, n.system(), 0, c)
	if r.Code == kv.ConditionFailed {
		return d, true, kv.Errorf(kv.Busy, "keyspaces are being created elsewhere; retry")
	}
	if err := r.Err(); err != nil {
		return d, retryable(err), err
	}
	return d, false, nil
}

func retryable(err error) bool {
	var e *kv.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == kv.Unavailable || e.Code == kv.Busy || e.Code == kv.NotLeader || e.Code == kv.Unknown
}

// nextRead is the record of the next ids and the condition that it is unchanged.
type nextRead struct {
	keyspace.Next
	cond kv.Cond
}

func (n *Node) readNext(ctx context.Context, name string) (next nextRead, present *keyspace.Descriptor, err error) {
	key := []byte(keyspace.NextKey)
	r := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: key},
		{Kind: kv.OpGet, Key: keyspace.DescriptorKey(name)}}})
	if err := r.Err(); err != nil {
		return next, nil, err
	}
	c := keyspace.NewCatalog()
	next.cond = kv.Cond{Kind: kv.CondAbsent, Key: key}
	if r.Items[0].Code == kv.OK {
		next.cond = kv.Cond{Kind: kv.CondVersion, Key: key, Version: r.Items[0].Version}
		if err := c.Put(key, r.Items[0].Value); err != nil {
			return next, nil, err
		}
	}
	next.Next = c.Next
	if r.Items[1].Code == kv.OK {
		present, err = keyspace.DecodeDescriptor(r.Items[1].Value)
	}
	return next, present, err
}

func (n *Node) system() *kv.Keyspace { return n.table.Load().byName[keyspace.SystemName].keyspace }

// waitTable waits until the catalog's copy here is as wanted.
func (n *Node) waitTable(ctx context.Context, wanted func(*table) bool) error {
	for {
		t := n.table.Load()
		if wanted(t) {
			return nil
		}
		select {
		case <-t.replaced:
		case <-ctx.Done():
			return kv.Errorf(kv.Unknown, "the change is not seen on this node yet: %v", ctx.Err())
		case <-n.loopEnded:
			return errStopped
		}
	}
}

// waitCreated waits until the keyspace is known here and every shard has executed something.
func (n *Node) waitCreated(ctx context.Context, d *keyspace.Descriptor) error {
	known := func(t *table) bool { return t.byID[d.ID] != nil || t.catalog.Gone(d.Shards[0].Group) }
	if err := n.waitTable(ctx, known); err != nil {
		return err
	}
	if s := n.table.Load().byName[keyspace.CompanionName(d.Name)]; s != nil && d.Terms.CommitOrder {
		if err := n.waitCreated(ctx, s.descriptor); err != nil {
			return err
		}
	}
	ks := d.Keyspace()
	for shard := range d.Shards {
		for {
			r := n.do(ctx, ks, shard, kv.Command{Ops: []kv.Op{{Kind: kv.OpNone}}})
			err := r.Err()
			if err == nil {
				break
			}
			if !retryable(err) || !pause(ctx) {
				return err
			}
		}
	}
	return nil
}

// register makes this node and its disk known to the cluster, and ends it if the cluster knows another disk.
func (n *Node) register(ctx context.Context) {
	for ctx.Err() == nil {
		position, err := n.registerOnce(ctx)
		if err == nil {
			err = n.awaitCatalog(ctx, position)
		}
		if err == nil {
			n.registered.Store(true)
			return
		}
		if errors.Is(err, errOurDisk) {
			n.fail(err)
			return
		}
		n.log.Debug("not in the catalog yet", "error", err)
		if !pause(ctx) {
			return
		}
	}
}

// awaitCatalog waits until the table is made of the catalog up to a position of its log: after a crash the state has fallen back, and
// who was away lacks what happened meanwhile. Until that has been caught up, a keyspace that is missing from the table may be there
// all the same. What comes behind the position is not waited for: it may never cease.
func (n *Node) awaitCatalog(ctx context.Context, position uint64) error {
	for {
		known := false
		if err := n.onLoop(ctx, func(now host.Now) { known = n.knowsCatalog(now, position) }); err != nil || known {
			return err
		}
		if !pause(ctx) {
			return ctx.Err()
		}
	}
}

func (n *Node) knowsCatalog(now host.Now, position uint64) bool {
	s := keyspace.Report(n.host.Replica(keyspace.SystemGroup), nil, now.Mono)
	return !n.catalogChanged && s.Applied >= position
}

// registerOnce makes one attempt. It returns how far the catalog had come when it was asked.
func (n *Node) registerOnce(ctx context.Context) (position uint64, err error) {
	key := keyspace.NodeKey(n.config.Node)
	mine := keyspace.Node{Store: keyspace.StoreID(n.identity.Store), Zone: n.config.Zone, Level: n.config.level,
		Addresses: map[string]string{"peer": n.config.Cluster[n.config.Node]}}
	for door, addr := range n.config.Advertise {
		mine.Addresses[door] = addr
	}
	read := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: key}}, Receipt: true})
	if err := read.Err(); err != nil {
		return 0, err
	}
	cond := kv.Cond{Kind: kv.CondAbsent, Key: key}
	if read.Code == kv.OK {
		c := keyspace.NewCatalog()
		if err := c.Put(key, read.Value); err != nil {
			return 0, err
		}
		known := c.Nodes[n.config.Node]
		// Who has just joined has an id, and its disk is not known yet.
		if known.Store != mine.Store && known.Store != (keyspace.StoreID{}) {
			return 0, errOurDisk
		}
		mine.State, mine.Ticket = known.State, known.Ticket
		if string(read.Value) == string(keyspace.EncodeNode(mine)) {
			return read.Position, nil
		}
		cond = kv.Cond{Kind: kv.CondVersion, Key: key, Version: read.Version}
	}
	r := n.do(ctx, n.system(), 0, kv.Command{Conds: []kv.Cond{cond},
		Ops: []kv.Op{{Kind: kv.OpSet, Key: key, Value: keyspace.EncodeNode(mine)}}})
	if r.Code == kv.ConditionFailed {
		return 0, kv.Errorf(kv.Busy, "the record of this node was changed meanwhile")
	}
	return read.Position, r.Err()
}

// markWaiter waits for the next mark in a group's log.
type markWaiter struct {
	group core.GroupID
	index chan uint64
}

// Checkpoint makes all replicas of a group keep their state as of one log position, and returns it.
func (n *Node) Checkpoint(ctx context.Context, group uint64) (uint64, error) {
	s, err := n.hosted(group)
	if err != nil {
		return 0, err
	}
	index := make(chan uint64, 1)
	defer n.inbox.call(func(host.Now) {
		n.marks = slices.DeleteFunc(n.marks, func(w markWaiter) bool { return w.index == index })
	})
	for waits := false; ; waits = true {
		var refused error
		err = n.onLoop(ctx, func(now host.Now) {
			if refused = n.leads(s); refused != nil {
				return
			}
			if !waits {
				n.marks = append(n.marks, markWaiter{s.group, index})
			}
			n.host.Event(now, s.group, core.Checkpoint{})
		})
		if err = cmp.Or(err, refused); err != nil {
			return 0, err
		}
		select {
		case at := <-index:
			return at, nil
		case <-time.After(markAgain): // a leader that has only begun places none
		case <-ctx.Done():
			return 0, kv.Errorf(kv.Unavailable, "the mark was not applied in time: %v", ctx.Err())
		case <-n.loopEnded:
			return 0, errStopped
		}
	}
}

// markAgain is how long a mark is waited for before another one is asked for.
const markAgain = time.Second

func (n *Node) noteCheckpoint(g core.GroupID, index uint64) {
	kept := n.marks[:0]
	for _, w := range n.marks {
		if w.group == g {
			w.index <- index
		} else {
			kept = append(kept, w)
		}
	}
	clear(n.marks[len(kept):])
	n.marks = kept
}

// hosted finds a group of which this node has a replica.
func (n *Node) hosted(group uint64) (*shard, error) {
	s := n.table.Load().groups[core.GroupID(group)]
	if s == nil || s.self == 0 {
		return nil, kv.Errorf(kv.NotFound, "node %d has no replica of group %d", n.config.Node, group)
	}
	return s, nil
}

// leads is nil if this node leads the group; it is called by the loop.
func (n *Node) leads(s *shard) error {
	led, ok := n.host.Replica(s.group).(core.Led)
	switch {
	case !ok:
		return kv.Errorf(kv.Unsupported, "group %d has no leader: each of its replicas takes writes", s.group)
	case led.Leader() == 0:
		return kv.Errorf(kv.NotLeader, "node %d knows of no leader of group %d at this moment; retry after a pause", n.config.Node, s.group)
	case led.Leader() != s.self:
		return kv.Errorf(kv.NotLeader, "node %d leads group %d, as far as node %d knows; ask there", s.where[led.Leader()], s.group, n.config.Node)
	}
	return nil
}

// Handoff asks the leader of a group, which must be here, to hand over to another node, and waits until it has.
func (n *Node) Handoff(ctx context.Context, group uint64, toNode uint32) error {
	s, err := n.hosted(group)
	if err != nil {
		return err
	}
	to := s.replicaOn(core.NodeID(toNode))
	if to == 0 {
		return kv.Errorf(kv.Invalid, "node %d has no replica of group %d", toNode, group)
	}
	begun := false
	for {
		moved := false
		loopErr := n.onLoop(ctx, func(now host.Now) {
			led, ok := n.host.Replica(s.group).(core.Led)
			switch {
			case ok && led.Leader() == to && to != s.self:
				moved = true
			case ok && led.Leader() == 0 && begun:
				err = nil // the old leader has stood down, and the new one has not won yet
			default:
				if err = n.leads(s); err == nil {
					begun = true
					n.host.Event(now, s.group, core.Handoff{To: to})
				}
			}
		})
		if loopErr != nil {
			return loopErr
		}
		if moved || err != nil || to == s.self {
			return err
		}
		if !pause(ctx) {
			return kv.Errorf(kv.Unavailable, "the leadership was not handed over in time: %v", ctx.Err())
		}
	}
}

// Repair asks this node's replica of a leaderless group to make all of its replicas equal.
func (n *Node) Repair(ctx context.Context, group uint64) error {
	s, err := n.hosted(group)
	if err != nil {
		return err
	}
	if keyspace.Led(s.space.keyspace.Consistency) {
		return kv.Errorf(kv.Unsupported, "group %d has a leader, which keeps its replicas equal; there is nothing to repair", group)
	}
	if keyspace.Causal(s.space.keyspace.Consistency) {
		return kv.Errorf(kv.Unsupported, "the replicas of group %d ask each other all the time for what they lack; gamut stabilize waits until they are equal", group)
	}
	return n.onLoop(ctx, func(now host.Now) { n.host.Event(now, s.group, core.Repair{}) })
}

// inspectMax bounds the records of one answer of Inspect.
const inspectMax = 1000

// Inspect tells what this node's replica of a group holds now.
func (n *Node) Inspect(ctx context.Context, group uint64, from []byte, one bool, limit int) (p kv.InspectPage, err error) {
	s, err := n.hosted(group)
	if err != nil {
		return p, err
	}
	if limit <= 0 || limit > inspectMax {
		limit = inspectMax
	}
	var failed error
	err = n.onLoop(ctx, func(host.Now) {
		failed = guarded(func() {
			p = keyspace.Inspect(s.space.keyspace.Consistency, s.state, s.where, n.host.Replica(s.group), from, one, limit)
		})
	})
	p.Node, p.Replica = uint32(n.config.Node), uint32(s.self)
	return p, cmp.Or(err, failed)
}

// storedPageBytes is how many bytes of values one answer of StoredValues reads.
const storedPageBytes = 4 << 20

// StoredValues reads values that this node's replica of a group keeps in a store. It does so beside the loop.
func (n *Node) StoredValues(ctx context.Context, group uint64, from []byte, limit int) (page kv.StoredPage, err error) {
	s, err := n.hosted(group)
	if err != nil {
		return page, err
	}
	page.Node = uint32(n.config.Node)
	k := n.values.of(s.space.descriptor)
	if k == nil {
		return page, kv.Errorf(kv.Unsupported, "the values of keyspace %s are kept beside all else; there is no store to ask", s.space.keyspace.Name)
	}
	if len(from) > 0 {
		from = append([]byte{machine.DataKind}, from...)
	}
	var v values.Verified
	if err := guarded(func() { v = k.Verify(s.state.(*values.Group), from, min(max(limit, 1), inspectMax), storedPageBytes) }); err != nil {
		return page, err
	}
	page.Values, page.Bytes = v.Values, v.Bytes
	if v.Next != nil {
		page.Next = v.Next[1:]
	}
	names := map[values.Fault]kv.StoreFault{values.Missing: kv.ValueMissing, values.Damaged: kv.ValueDamaged, values.NotAsked: kv.ValueNotAsked}
	for _, bad := range v.Bad {
		page.Bad = append(page.Bad, kv.StoredValue{Key: []byte(bad.Key[1:]), Sum: hex.EncodeToString(bad.Ref.Sum[:]), Size: bad.Ref.Size, Fault: names[bad.Fault]})
	}
	return page, ctx.Err()
}

// StatePage reads this node's replica of a group as kept at a checkpoint.
func (n *Node) StatePage(ctx context.Context, group, index uint64, from []byte, limit int) (out kv.StatePage, err error) {
	if err := ctx.Err(); err != nil {
		return out, err
	}
	err = n.checkpoints.read(core.GroupID(group), index, n.clocks.mono(), func(v core.View) { out = page(v, from, limit) })
	return out, err
}

// StateDigest sums up this node's replica as kept at a checkpoint.
func (n *Node) StateDigest(ctx context.Context, group, index uint64) (out kv.StateDigest, err error) {
	done := false
	stop := func() bool { return ctx.Err() != nil }
	err = n.checkpoints.read(core.GroupID(group), index, n.clocks.mono(), func(v core.View) { out, done = digest(v, stop) })
	if err == nil && !done {
		err = ctx.Err()
	}
	out.Node, out.Index = uint32(n.config.Node), index
	return out, err
}

// blocksMax bounds one answer of Blocks.
const blocksMax = 1000

// Blocks describes the blocks that this node's replica holds in memory, from an index on.
func (n *Node) Blocks(ctx context.Context, group, from uint64, limit int, payload bool) ([]kv.BlockInfo, error) {
	s, err := n.hosted(group)
	if err != nil {
		return nil, err
	}
	if limit <= 0 || limit > blocksMax {
		limit = blocksMax
	}
	var writes func(core.View) []kv.BlockInfo
	var held func(bool) []kv.BlockInfo
	err = n.onLoop(ctx, func(host.Now) {
		replica := n.host.Replica(s.group)
		writes, held = keyspace.HeldWrites(replica, limit), keyspace.HeldBlocks(replica, from, limit)
	})
	if err != nil {
		return nil, err
	}
	if writes != nil {
		var list []kv.BlockInfo
		err = guarded(func() { list = writes(s.state) })
		return list, err
	}
	return held(payload), nil
}
