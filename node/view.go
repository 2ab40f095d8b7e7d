package node

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// The members of an atomic shard's group are what the catalog says, its view. A replica that wants another one says so; its
// node changes the catalog, by one command under the condition that the view is still what the replica went by. Those whom the
// new view leaves out must not count themselves among the members any more (lease.go):
//
//   - if the leases of their nodes have lapsed, or were given back, the command says so in its conditions;
//   - if a node goes on renewing its lease, the new view is announced in the record first. A node that sees itself left out by an
//     announcement takes no new lease on the group, so the announcement becomes the view when it has stood for a lease's length.
//
// An announcement that nobody carries out any more is withdrawn by those whom it leaves out.

const (
	// viewEvery is how often what could not be done is tried again.
	viewEvery = 200 * time.Millisecond
	// wishAge is how long a replica's wish is pursued that it has not repeated.
	wishAge = core.Time(3e9)
	// announcedAge is after how long another replica's wish takes the place of an announcement; withdrawAge, after how long one
	// is withdrawn.
	announcedAge = core.Time(6e9)
	withdrawAge  = core.Time(15e9)
)

// view is what this node's copy of the catalog says of a group's members, from table to table the same one until that changes.
type view struct {
	record  *keyspace.View
	members keyspace.Roster
	// next is what is announced to follow; nil: nothing is.
	next *keyspace.Roster
	// since is when this node first knew the record.
	since core.Time
}

// holds says that the replica is a member.
func (v *view) holds(id core.ReplicaID) bool { return slices.Contains(v.members.Members, id) }

// leaves says that it is announced that the replica will be a member no more.
func (v *view) leaves(id core.ReplicaID) bool {
	return v.next != nil && slices.Contains(v.members.Without(v.next), id)
}

// newView reads what the catalog says of a group.
func newView(record *keyspace.View, now core.Time) (v *view, err error) {
	v = &view{record: record, since: now}
	if v.members, err = keyspace.DecodeRoster(record.Config); err != nil || record.Next == nil {
		return v, err
	}
	next, err := keyspace.DecodeRoster(record.Next)
	v.next = &next
	return v, err
}

// same says that nothing changed of the record.
func (v *view) same(record *keyspace.View) bool {
	return v != nil && bytes.Equal(v.record.Config, record.Config) && bytes.Equal(v.record.Next, record.Next) &&
		slices.Equal(v.record.History, record.History)
}

// readViews adds the views to a table; those that did not change are taken over.
func (n *Node) readViews(t, old *table) {
	now := n.clocks.mono()
	t.views = make(map[core.GroupID]*view, len(t.catalog.Views))
	for g, record := range t.catalog.Views {
		if old != nil && old.views[g].same(record) {
			t.views[g] = old.views[g]
			continue
		}
		v, err := newView(record, now)
		n.judgeAlarm(fmt.Sprint("view of group ", g), err != nil, fmt.Sprintf("the view of group %d cannot be read; its replica here stays out of it: %v", g, err))
		if err == nil {
			t.views[g] = v
		}
	}
}

// followViews tells the replicas here what their views are now.
func (n *Node) followViews(now host.Now) {
	t, reads := n.table.Load(), false
	for i := range n.running {
		r := &n.running[i]
		v := t.views[r.shard.group]
		if v == nil {
			continue
		}
		reads = true
		if bytes.Equal(r.told, v.record.Config) {
			continue
		}
		n.judgeAlarm(outAlarm(r.shard.group), !v.holds(r.shard.self) && len(r.shard.described().Target) == 0, fmt.Sprintf("the replica of keyspace %s shard %d here is left out of its view; it refuses reads until it is filled, which begins when the coordinator reaches it",
			r.shard.space.keyspace.Name, r.shard.index))
		r.told = v.record.Config
		if !v.holds(r.shard.self) {
			n.host.SetLease(now, r.shard.group, 0)
		}
		n.callForLease(now.Mono)
		n.log.Info("view", "keyspace", r.shard.space.keyspace.Name, "shard", r.shard.index, "epoch", v.members.Epoch,
			"coordinator", v.members.Coordinator, "members", v.members.Members, "joiners", v.members.Joiners)
		n.host.Configure(now, r.shard.group, v.record.Config)
	}
	n.lend(now)
	if wanted := reads && !n.leases.dropped; n.leases.wanted.Swap(wanted) != wanted && wanted {
		n.wakeLease()
	}
}

// outAlarm is raised while a replica here is left out.
func outAlarm(g core.GroupID) string { return fmt.Sprint("left out of group ", g) }

// wishes are what replicas here want the catalog to say.
type wishes struct {
	mu   sync.Mutex
	list map[core.GroupID]wish
	wake chan struct{}
	// seen are the versions of views that were read, and since when. It belongs to the goroutine that carries wishes out.
	seen map[core.GroupID]seenLease
}

type wish struct {
	host.Wish
	asked core.Time
}

// Configure takes a replica's wish (host.Port).
func (n *Node) Configure(g core.GroupID, w host.Wish) {
	n.wishes.mu.Lock()
	defer n.wishes.mu.Unlock()
	n.wishes.list[g] = wish{w, n.clocks.mono()}
	select {
	case n.wishes.wake <- struct{}{}:
	default: // it will look
	}
}

// open are the groups whose replicas want something.
func (w *wishes) open(now core.Time) map[core.GroupID]wish {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.list, func(_ core.GroupID, one wish) bool { return now-one.asked > wishAge })
	return maps.Clone(w.list)
}

// close forgets a wish, unless there is another one by now.
func (w *wishes) close(g core.GroupID, done wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now, ok := w.list[g]; ok && bytes.Equal(now.Told, done.Told) && bytes.Equal(now.Wanted, done.Wanted) {
		delete(w.list, g)
	}
}

// since is when a version of a group's view was first read.
func (w *wishes) since(g core.GroupID, version uint64, now core.Time) core.Time {
	if w.seen[g].version != version {
		w.seen[g] = seenLease{version, now}
	}
	return w.seen[g].since
}

// changeViews carries out what replicas want of the catalog.
func (n *Node) changeViews(ctx context.Context) {
	ticker := time.NewTicker(viewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-n.wishes.wake:
		}
		open := n.wishes.open(n.clocks.mono())
		for _, g := range slices.Sorted(maps.Keys(open)) {
			over, err := n.changeView(ctx, g, open[g].Wish)
			if err != nil {
				n.log.Debug("a view was not changed", "group", g, "error", err)
			}
			if over {
				n.wishes.close(g, open[g])
			}
		}
		n.withdraw(ctx, withdrawAge)
	}
}

// viewWithin bounds one attempt.
const viewWithin = 2 * time.Second

// changeView takes the next step towards what a replica wants. over says that there is no more to do.
func (n *Node) changeView(ctx context.Context, g core.GroupID, w host.Wish) (over bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, viewWithin)
	defer cancel()
	r, err := n.readView(ctx, g)
	if err != nil || r == nil || !bytes.Equal(r.record.Config, w.Told) {
		return err == nil, err
	}
	c, err := r.compare(w)
	if err != nil {
		n.log.Warn("a replica wants a view that cannot follow", "group", g, "error", err)
		return true, nil
	}
	now := n.clocks.mono()
	conds, lapsed := n.leases.lapsed(c.left, now)
	switch towards(r.record, w.Wanted, now-n.wishes.since(g, r.version, now), lapsed) {
	case change:
		return n.writeView(ctx, r, r.record.Changed(w.Wanted, n.told(c, "its lease was over")), conds)
	case changeAnnounced:
		return n.writeView(ctx, r, r.record.Changed(w.Wanted, n.told(c, "it did not answer, though its node renews its lease")), nil)
	case announce:
		next := *r.record
		next.Next = w.Wanted
		_, err = n.writeView(ctx, r, &next, nil)
	}
	return false, err
}

// step is what is to be done next towards a view that somebody wants.
type step int

const (
	wait step = iota
	// announce the view; change to it under the condition that leases have lapsed; change to it since it was announced.
	announce
	change
	changeAnnounced
)

// towards says what is to be done, if the record has stood so long as it is now, and the leases of those whom the wanted view
// leaves out have lapsed, or not.
func towards(record *keyspace.View, wanted []byte, stood core.Time, lapsed bool) step {
	announced := bytes.Equal(record.Next, wanted)
	switch {
	case lapsed:
		return change
	case announced && stood >= core.Time(leaseLength):
		return changeAnnounced
	case announced || record.Next != nil && stood < announcedAge:
		return wait
	}
	return announce
}

// viewChange is a view and the one that is to follow.
type viewChange struct {
	where    map[core.ReplicaID]core.NodeID
	from, to keyspace.Roster
	// left are the nodes whose replicas are members no more.
	left []core.NodeID
}

// gone are the replicas that are in the view no more.
func (c *viewChange) gone() []core.ReplicaID {
	after := slices.Concat(c.to.Members, c.to.Joiners)
	return slices.DeleteFunc(slices.Concat(c.from.Members, c.from.Joiners), func(id core.ReplicaID) bool { return slices.Contains(after, id) })
}

// compare holds a wish against what the catalog says.
func (r *readView) compare(w host.Wish) (c viewChange, err error) {
	c.where = r.shard().Nodes()
	if c.from, err = keyspace.DecodeRoster(w.Told); err != nil {
		return c, err
	}
	if c.to, err = keyspace.DecodeRoster(w.Wanted); err != nil {
		return c, err
	}
	for _, id := range c.from.Without(&c.to) {
		if c.where[id] == 0 {
			return c, fmt.Errorf("replica %d has no node", id)
		}
		c.left = append(c.left, c.where[id])
	}
	if err := c.from.Follows(&c.to); err != nil {
		return c, err
	}
	return c, r.shard().Lets(&c.from, &c.to)
}

// readView is what the catalog says of a group's view and of its shard, at one moment.
type readView struct {
	record     *keyspace.View
	version    uint64
	descriptor *keyspace.Descriptor
	index      int
	// still are the conditions under which both are as they were read.
	still []kv.Cond
}

func (r *readView) shard() *keyspace.Shard { return &r.descriptor.Shards[r.index] }

// readView reads what the catalog says of a group now; nil: nothing, the group was dropped.
func (n *Node) readView(ctx context.Context, g core.GroupID) (*readView, error) {
	sh := n.table.Load().groups[g]
	if sh == nil {
		return nil, nil
	}
	keys := [][]byte{keyspace.ViewKey(g), keyspace.DescriptorKey(sh.space.keyspace.Name)}
	r := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: keys[0]}, {Kind: kv.OpGet, Key: keys[1]}}})
	if err := r.Err(); err != nil {
		return nil, err
	}
	if r.Items[0].Code == kv.NotFound || r.Items[1].Code == kv.NotFound {
		return nil, nil
	}
	read := &readView{version: r.Items[0].Version}
	for i, key := range keys {
		read.still = append(read.still, kv.Cond{Kind: kv.CondVersion, Key: key, Version: r.Items[i].Version})
	}
	d, err := keyspace.DecodeDescriptor(r.Items[1].Value)
	if err != nil {
		return nil, err
	}
	read.descriptor, read.index = d, slices.IndexFunc(d.Shards, func(s keyspace.Shard) bool { return s.Group == g })
	if read.index < 0 {
		return nil, nil // the keyspace was dropped and made anew
	}
	read.record, err = keyspace.DecodeView(r.Items[0].Value)
	return read, err
}

// writeView replaces the view if all is still as it was read and the other conditions hold.
func (n *Node) writeView(ctx context.Context, read *readView, v *keyspace.View, conds []kv.Cond) (over bool, err error) {
	r := n.do(ctx, n.system(), 0, kv.Command{Conds: append(conds, read.still...),
		Ops: []kv.Op{{Kind: kv.OpSet, Key: read.still[0].Key, Value: v.Encode()}}})
	if r.Code == kv.ConditionFailed {
		return false, nil
	}
	return r.Code == kv.OK, r.Err()
}

// lapsed are the conditions under which none of the nodes has a lease; false: one of them may have.
func (l *leases) lapsed(nodes []core.NodeID, now core.Time) (conds []kv.Cond, ok bool) {
	for _, node := range nodes {
		cond := kv.Cond{Kind: kv.CondAbsent, Key: keyspace.LeaseKey(node)}
		if s, known := l.seenSince(node); known {
			if now-s.since < core.Time(leaseLength) {
				return nil, false
			}
			cond.Kind, cond.Version = kv.CondVersion, s.version
		}
		conds = append(conds, cond)
	}
	return conds, true
}

// told says what changes, and why somebody is left out.
func (n *Node) told(c viewChange, why string) kv.ViewChange {
	var parts []string
	say := func(list, before []core.ReplicaID, format string) {
		for _, id := range list {
			if !slices.Contains(before, id) {
				parts = append(parts, fmt.Sprintf(format, c.where[id]))
			}
		}
	}
	say(c.from.Members, slices.Concat(c.to.Members, c.gone()), "node %d is left out: "+why)
	say(c.gone(), nil, "node %d leaves for good")
	say(c.to.Members, c.from.Members, "node %d is a member")
	say(c.to.Joiners, slices.Concat(c.from.Members, c.from.Joiners), "node %d is being filled")
	if c.from.Coordinator != c.to.Coordinator {
		parts = append(parts, fmt.Sprintf("node %d coordinates", c.where[c.to.Coordinator]))
	}
	now := n.now()
	return kv.ViewChange{Epoch: c.to.Epoch, At: now.Wall, Node: uint32(n.config.Node), Text: strings.Join(parts, "; ")}
}

// leaveViews lets the replicas here leave their views, so that nobody has to wait until they are missed. The lease was given back.
func (n *Node) leaveViews(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, viewWithin)
	defer cancel()
	t := n.table.Load()
	for g, v := range t.views {
		sh := t.groups[g]
		if sh == nil || sh.self == 0 {
			continue
		}
		wanted := keyspace.Leave(v.record.Config, sh.self)
		if wanted == nil {
			continue
		}
		if err := n.leaveView(ctx, g, host.Wish{Told: v.record.Config, Wanted: wanted}); err != nil {
			n.log.Debug("a replica did not leave its view", "group", g, "error", err)
		}
	}
}

func (n *Node) leaveView(ctx context.Context, g core.GroupID, w host.Wish) error {
	r, err := n.readView(ctx, g)
	if err != nil || r == nil || !bytes.Equal(r.record.Config, w.Told) {
		return err
	}
	c, err := r.compare(w)
	if err != nil {
		return err
	}
	given := []kv.Cond{{Kind: kv.CondAbsent, Key: keyspace.LeaseKey(n.config.Node)}}
	_, err = n.writeView(ctx, r, r.record.Changed(w.Wanted, n.told(c, "it stops")), given)
	return err
}

// withdraw takes back announcements that leave out a replica here and were not carried out for so long.
func (n *Node) withdraw(ctx context.Context, age core.Time) {
	t := n.table.Load()
	for g, v := range t.views {
		sh := t.groups[g]
		if v.next == nil || sh == nil || !v.leaves(sh.self) || n.clocks.mono()-v.since < age {
			continue
		}
		if err := n.withdrawOne(ctx, g, v); err != nil {
			n.log.Debug("an announcement was not withdrawn", "group", g, "error", err)
		}
	}
}

func (n *Node) withdrawOne(ctx context.Context, g core.GroupID, v *view) error {
	ctx, cancel := context.WithTimeout(ctx, viewWithin)
	defer cancel()
	r, err := n.readView(ctx, g)
	if err != nil || r == nil || !v.same(r.record) {
		return err
	}
	r.record.Next = nil
	_, err = n.writeView(ctx, r, r.record, nil)
	return err
}
