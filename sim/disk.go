package sim

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/store"
)

// Tail says what a crash leaves of what a node was writing.
type Tail uint8

// Tails. TailKept: all of it, as when a process is killed. TailLost: nothing, as when the power goes. TailTorn: some of its
// sectors, as when it goes in the middle of the write.
const (
	TailKept Tail = iota
	TailLost
	TailTorn
)

// keptIf is all or nothing.
func keptIf(kept bool) Tail {
	if kept {
		return TailKept
	}
	return TailLost
}

// onDisk is the tail of a disk on which what was kept is complete already.
func (t Tail) onDisk() store.Tail {
	if t == TailTorn {
		return store.TailTorn
	}
	return store.TailLost
}

// state is one group's state on a node's disk: host.State. The checkers look at it after every change.
type state struct {
	store.Group
	changed func()
}

// Apply makes the changes together.
func (s *state) Apply(changes []core.Change) error {
	if err := s.Group.Apply(changes); err != nil {
		return err
	}
	s.changed()
	return nil
}

// openDisk reads what the disk holds.
func (n *node) openDisk() store.Recovered {
	n.hadState = map[core.GroupID]bool{}
	for _, g := range n.disk.GroupsWithState() {
		n.hadState[g] = true
	}
	return n.disk.Recover()
}

// nothing is what a disk holds of a group that has never run.
func (n *node) nothing() *store.Recovered { return &store.Recovered{} }

// first is the first event of a replica: what a node makes of what its disk holds.
func (n *node) first(g *group, r *store.Recovered) any {
	records, suspect := r.Groups[g.id], n.suspect(g.id, r)
	if len(records) == 0 && !n.hadState[g.id] && !suspect {
		return core.Start{Config: g.config}
	}
	return core.Recover{Config: g.config, Records: records, Suspect: suspect}
}

func (n *node) suspect(g core.GroupID, r *store.Recovered) bool { return r.AllSuspect || r.Suspect[g] }

// logBatch is the host's batch as the disk takes it.
func logBatch(b host.Batch) store.Batch {
	items := make([]store.Item, len(b.Items))
	for i, it := range b.Items {
		items[i] = store.Item(it)
	}
	return store.Batch{HLCUpper: b.HLCUpper, Items: items, Roll: b.Roll}
}

// appendOrphans carries into a new segment what replicas must not lose that this node has not heard of again since it started.
func (n *node) appendOrphans(items []core.Item) []core.Item {
	for _, g := range n.w.groups {
		for _, r := range n.recovered.Groups[g.id] {
			if r.Pos == 0 {
				items = append(items, core.Item{Group: g.id, Record: r})
			}
		}
	}
	return items
}

// flush makes the state durable, and lets go of what the log need not keep.
func (n *node) flush() {
	if err := n.disk.Flush(); err != nil {
		n.w.fail(Invariant, "node %d: flush: %v", n.id, err)
	}
}
