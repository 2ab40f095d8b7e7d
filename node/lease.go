package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Leases let a member of an atomic group read its own state: as long as a node's lease holds, no view leaves its replicas
// out. The catalog has one record for each node, which the node writes again each second under the condition that it is
// as it wrote it last. A renewal that was sent at s (the node's clock) and committed at position v of the catalog's log gives
// the node a lease on a group
//
//	until s + 3 s x 0.95, if its copy of the catalog has come to v and names its replica a member, and announces no view
//	without it.
//
// Views change in one of two ways (view.go), each by one command of the catalog. Say that one leaves out this replica and is
// committed at position c.
//
//   - c < v: the copy that has come to v shows it, so the node takes no lease.
//   - c > v, by way of the lapsed lease: it was committed under the condition that the lease's record is as its asker had
//     seen it 3 s before (the asker's clock). At c the record is that of v or of a later renewal, so the asker had seen this one, or
//     a later one, which was sent after s: 3 s after s are over.
//   - c > v, by way of the announcement, which stood for 3 s (the asker's clock): it was committed at a < c. If a < v, the
//     copy shows it, and the node takes no lease; had it been withdrawn before v, the command that counts on it, whose condition is
//     the version of the announcement, would have failed. If a > v, it came after s, and 3 s after s are over.
//
// So when it is committed, 3 s of the asker's clock have passed since s, and the lease of 2.85 s of this node's clock is over
// unless their rates differ by more than 5 %. No wall clock is trusted, and it does not matter how late a command is committed or
// heard of.
//
// A lease that nobody has read under for a while is not renewed, so that a cluster at rest writes nothing. The next read takes a place
// among the writes, and calls for the lease again.
const (
	leaseLength = 3 * time.Second
	// leaseUse is the part of it that its holder uses.
	leaseUseNum, leaseUseDen = 95, 100
	renewEvery               = time.Second
	// leaseRest is after how long without reads the lease is not renewed any more.
	leaseRest = 10 * time.Second
)

// leases are what this node knows of its own lease and of the others'.
type leases struct {
	// wanted says that this node runs a replica that reads under its lease.
	wanted atomic.Bool
	// asked is when (core.Time) somebody last had a use for the lease; rests says that it was not renewed since that was long ago.
	asked atomic.Int64
	rests atomic.Bool
	// version is that of this node's record as far as it knows; 0: there is none. It is the renewing goroutine's.
	version uint64

	// The loop's: changed says that records of leases have changed here. renewed is the latest renewal that was acknowledged,
	// until the time to which this node counts on its lease.
	changed bool
	renewed renewal
	until   core.Time
	dropped bool

	mu sync.Mutex
	// seen are the records of all nodes as this node's copy of the catalog has them.
	seen map[core.NodeID]seenLease
}

// renewal was committed as a version of the node's record, and is good until a time.
type renewal struct {
	version uint64
	until   core.Time
}

// seenLease is a version of a record, and since when this node knows it.
type seenLease struct {
	version uint64
	since   core.Time
}

// seenSince tells which version of a node's lease this node's copy of the catalog has, and since when.
func (l *leases) seenSince(node core.NodeID) (seenLease, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.seen[node]
	return s, ok
}

// note takes the records as they are now. A node whose record did not change keeps the time at which it was first seen.
func (l *leases) note(records map[core.NodeID]uint64, now core.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.seen
	l.seen = make(map[core.NodeID]seenLease, len(records))
	// order does not matter: one map becomes another.
	for node, version := range records {
		s := before[node]
		if s.version != version {
			s = seenLease{version, now}
		}
		l.seen[node] = s
	}
}

// readLeases reads the versions of all leases.
func readLeases(view core.View) map[core.NodeID]uint64 {
	records := map[core.NodeID]uint64{}
	command := kv.Command{Ops: []kv.Op{{Kind: kv.OpScan, Key: keyspace.LeaseKeys, End: keyspace.LeaseKeysEnd, KeysOnly: true}}}
	for {
		r, _ := machine.Read(view, &command, 0)
		for i := range r.Items {
			if node, ok := keyspace.LeaseNode(r.Items[i].Key); ok {
				records[node] = r.Items[i].Version
			}
		}
		if r.Key == nil {
			return records
		}
		command.Ops[0].Key = r.Key
	}
}

// followLeases takes notice of leases that were renewed. The table has followed the catalog's copy before, in the same pass.
func (n *Node) followLeases(now host.Now) {
	// The clock is read again: a record must not be older than the time at which it is said to have been seen.
	n.leases.note(readLeases(n.disk.Group(keyspace.SystemGroup)), n.clocks.mono())
	n.countOn(now)
}

// countOn begins to count on the latest renewal, if the copy of the catalog and the table have come to it, and tells the replicas.
func (n *Node) countOn(now host.Now) {
	if n.tableCurrent {
		n.leases.countOn(n.config.Node)
	}
	n.lend(now)
}

// countOn begins to count on the latest renewal, if the copy of the catalog has come to it.
func (l *leases) countOn(self core.NodeID) {
	if mine, _ := l.seenSince(self); l.renewed.version != 0 && mine.version >= l.renewed.version {
		l.until = l.renewed.until
	}
}

// lend tells each replica whose view the catalog decides on until when it may count itself a member.
func (n *Node) lend(now host.Now) {
	t := n.table.Load()
	for _, r := range n.running {
		if v := t.views[r.shard.group]; v != nil {
			if until, ok := n.leases.lends(v, r.shard.self); ok {
				n.host.SetLease(now, r.shard.group, until)
			}
		}
	}
}

// lends is until when a replica may count itself a member of a view; false: it stays as it was.
func (l *leases) lends(v *view, self core.ReplicaID) (until core.Time, ok bool) {
	if !v.holds(self) || l.dropped {
		return 0, true
	}
	return l.until, !v.leaves(self)
}

// good is until when a renewal is good that was sent at some time.
func good(sent core.Time) core.Time { return sent + core.Time(leaseLength)*leaseUseNum/leaseUseDen }

// callForLease takes note of a read that the lease is of use to.
func (n *Node) callForLease(now core.Time) {
	if l := &n.leases; now-core.Time(l.asked.Load()) >= core.Time(renewEvery) {
		l.asked.Store(int64(now))
		if l.rests.Swap(false) {
			n.wakeLease()
		}
	}
}

// wakeLease has the lease renewed now.
func (n *Node) wakeLease() {
	select {
	case n.leaseWanted <- struct{}{}:
	default: // it was told already
	}
}

// holdLease renews this node's lease while it runs a replica that is read under it.
func (n *Node) holdLease(ctx context.Context) {
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		rests := n.clocks.mono()-core.Time(n.leases.asked.Load()) >= core.Time(leaseRest)
		n.leases.rests.Store(rests)
		if n.leases.wanted.Load() && !rests {
			if err := n.renewLease(ctx); err != nil {
				n.log.Debug("the lease was not renewed", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-n.leaseWanted:
		}
	}
}

// renewLease writes this node's record again. If it is not as it was written last, somebody else has written it, or an earlier
// renewal of unknown fate: then it is read, and written the next time.
func (n *Node) renewLease(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseLength)
	defer cancel()
	key := keyspace.LeaseKey(n.config.Node)
	for range 2 {
		sent := n.clocks.mono()
		r := n.do(ctx, n.system(), 0, kv.Command{Conds: []kv.Cond{{Kind: kv.CondVersion, Key: key, Version: n.leases.version}},
			Ops: []kv.Op{{Kind: kv.OpSet, Key: key, Value: fmt.Appendf(nil, "boot %d", n.identity.Boot)}}})
		if r.Code == kv.OK {
			n.leases.version = r.Version
			n.inbox.call(func(now host.Now) {
				n.leases.renewed = renewal{r.Version, good(sent)}
				n.countOn(now)
			})
			return nil
		}
		if r.Code != kv.ConditionFailed {
			return r.Err()
		}
		read := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: key}}})
		if err := read.Err(); err != nil {
			return err
		}
		n.leases.version = read.Version
	}
	return kv.Errorf(kv.Busy, "the lease of node %d is written by somebody else", n.config.Node)
}

// dropLease gives the lease back, so that nobody has to wait until it has lapsed. The replicas count on it no more before the
// catalog hears of that.
func (n *Node) dropLease(ctx context.Context) {
	if !n.leases.wanted.Swap(false) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	if err := n.onLoop(ctx, func(now host.Now) { n.leases.dropped = true; n.lend(now) }); err != nil {
		return
	}
	key := keyspace.LeaseKey(n.config.Node)
	// Of this record alone: coming late, it must not delete that of a later life.
	mine, _ := n.leases.seenSince(n.config.Node)
	r := n.do(ctx, n.system(), 0, kv.Command{Conds: []kv.Cond{{Kind: kv.CondVersion, Key: key, Version: mine.version}},
		Ops: []kv.Op{{Kind: kv.OpDelete, Key: key}}})
	if r.Code != kv.OK {
		n.log.Debug("the lease was not given back; it lapses", "code", r.Code, "error", r.Err())
	}
}
