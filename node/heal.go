package node

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/store"
)

// healing is how far this node is with replicas that lost what they held: the disk says that any may have, or they have
// written so themselves. Peers refill them, and then let them vote again.
//
// While the disk's mark stands, every replica starts as suspect, after a crash as well. It may go when the replicas know it
// for themselves, and only the catalog knows which they are. So its own replica must have been cured first, and have applied
// all that it held then: that includes whatever the lost copy said. From then on all replicas that ever ran here run, and
// once their first records are durable the mark goes.
type healing struct {
	under  atomic.Bool // some replica is suspect, or the mark stands
	unmark atomic.Bool // the mark is no longer needed

	// The loop's.
	cured   uint64 // the end of the catalog's log when its replica was cured; 0: it was not
	sealing bool   // the next batch holds the last of the records
	sealed  uint64 // that batch
}

// heal is called in each pass, when the catalog has been looked at and before the batch is taken.
func (n *Node) heal(now host.Now) {
	if !n.healing.under.Load() {
		return
	}
	suspect := 0
	for _, r := range n.running {
		if keyspace.Suspect(n.host.Replica(r.shard.group)) {
			suspect++
		}
	}
	if n.recovered.AllSuspect && n.catalogHealed(now) {
		n.recovered.AllSuspect, n.healing.sealing = false, true
	}
	under := n.recovered.AllSuspect || suspect > 0
	text := fmt.Sprintf("the state was damaged: refilling from peers; %d of %d replicas do not vote yet", suspect, len(n.running))
	if n.recovered.AllSuspect {
		text += ", and the catalog is not back"
	}
	n.judgeAlarm(damageAlarm, under, text)
	n.healing.under.Store(under)
}

const (
	damageAlarm  = "damage"
	catalogAlarm = "catalog"
)

func (n *Node) catalogHealed(now host.Now) bool {
	s := keyspace.Report(n.host.Replica(keyspace.SystemGroup), nil, now.Mono)
	switch {
	case s.Suspect:
		n.healing.cured = 0
		return false
	case n.healing.cured == 0:
		n.healing.cured = max(s.Last, 1)
	}
	return s.Applied >= n.healing.cured && !n.catalogChanged && !n.alarms.raised(catalogAlarm)
}

// taken and synced follow the batch that makes durable what the replicas know of themselves.
func (h *healing) taken(batch uint64) {
	if h.sealing {
		h.sealing, h.sealed = false, batch
	}
}

func (h *healing) synced(batch uint64) {
	if h.sealed != 0 && batch >= h.sealed {
		h.sealed = 0
		h.unmark.Store(true)
	}
}

// unmarkDisk removes the mark when it is time; it syncs, which the loop must not.
func (n *Node) unmarkDisk() error {
	if !n.healing.unmark.Swap(false) {
		return nil
	}
	return n.disk.Refilled()
}

// guarded calls f and returns what it could not read of the state, which a View panics with.
func guarded(f func()) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			cause, _ := broken.(error)
			var unread *store.ReadError
			if !errors.As(cause, &unread) {
				panic(broken)
			}
			err = cause
		}
	}()
	f()
	return nil
}
