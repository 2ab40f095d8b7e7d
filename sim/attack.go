package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
)

// Link is what can be wrong with one direction between two nodes. The zero value is a healthy one.
type Link struct {
	// Down loses everything; with Flap it is down for that long, then up for as long, and so on.
	Down bool
	Flap time.Duration
	// Delay comes on top of what the network takes, and up to Jitter more, drawn for each message.
	Delay, Jitter time.Duration
	// Loss, Duplicate and Reorder are chances of each message.
	Loss, Duplicate, Reorder float64
}

// Disk is what can be wrong with a disk. The zero value is a healthy one.
type Disk struct {
	// SyncDelay is how much longer a sync takes; Hung: none ends.
	SyncDelay time.Duration
	Hung      bool
	// SyncError lets the next sync fail, once.
	SyncError bool
	// Full: the node takes no writes and should lead nothing.
	Full bool
}

// skewMax is how far from the others' a node's clock may be for it to lead; a node watches this.
const skewMax = 500 // milliseconds

// Up reports whether a node runs, Paused whether it was stopped.
func (c *Cluster) Up(id core.NodeID) bool     { return c.node(id).up }
func (c *Cluster) Paused(id core.NodeID) bool { return c.node(id).paused }

// Start starts a node on what its disk holds.
func (c *Cluster) Start(id core.NodeID) error {
	n := c.node(id)
	switch {
	case n.gone:
		return fmt.Errorf("node %d has a new disk, and the cluster knows it by its old one: it cannot come back under its id", id)
	case n.up:
		return fmt.Errorf("node %d runs already", id)
	}
	n.boot()
	return nil
}

// Crash ends nodes at one instant. tail says what becomes of what they were writing.
func (c *Cluster) Crash(tail Tail, ids ...core.NodeID) error {
	for _, id := range ids {
		if err := c.running(id); err != nil {
			return err
		}
	}
	for _, id := range ids {
		c.node(id).crash(tail, "killed")
	}
	return nil
}

func (c *Cluster) running(id core.NodeID) error {
	if !c.node(id).up {
		return fmt.Errorf("node %d does not run", id)
	}
	return nil
}

func (c *Cluster) stopped(id core.NodeID) error {
	if c.node(id).up {
		return fmt.Errorf("node %d runs; crash it first", id)
	}
	return nil
}

// Wipe replaces the disk of a node that does not run by a blank one. A node that has run never comes back: nobody may
// speak under its old replicas' names (rule M5).
func (c *Cluster) Wipe(id core.NodeID) error {
	n := c.node(id)
	if err := c.stopped(id); err != nil {
		return err
	}
	n.disk.Wipe()
	n.gone = n.life > 0
	c.w.trace.line("n%d's disk is wiped", id)
	return nil
}

// Damage destroys something in the log of a node that does not run.
func (c *Cluster) Damage(id core.NodeID, seed uint64) error {
	n := c.node(id)
	if err := c.stopped(id); err != nil {
		return err
	}
	if !n.disk.Corrupt(stream(seed, "damage", n.index)) {
		return fmt.Errorf("the log of node %d holds nothing yet that could be damaged", id)
	}
	c.w.trace.line("n%d's log is damaged", id)
	return nil
}

// Pause stops a node's process; what reaches it waits. Resume lets it go on.
func (c *Cluster) Pause(id core.NodeID) error {
	n := c.node(id)
	if err := c.running(id); err != nil {
		return err
	}
	if n.paused {
		return fmt.Errorf("node %d is paused already", id)
	}
	n.paused = true
	n.pauses++
	c.w.trace.line("n%d pauses", id)
	return nil
}

// Resume ends a Pause.
func (c *Cluster) Resume(id core.NodeID) error {
	n := c.node(id)
	if !n.up || !n.paused {
		return fmt.Errorf("node %d is not paused", id)
	}
	c.w.trace.line("n%d goes on", id)
	n.unpause()
	return nil
}

// SetLink changes one direction between two nodes; what was set before is over.
func (c *Cluster) SetLink(from, to core.NodeID, set Link) {
	a, b := c.node(from), c.node(to)
	l := &c.w.network.links[a.index][b.index]
	was := l.cut > 0
	l.set = set
	l.flaps++
	c.w.trace.line("link n%d -> n%d: %+v", from, to, set)
	if set.Down != was {
		c.w.network.cut(a, b, set.Down)
	}
	if set.Down && set.Flap > 0 {
		c.flapLater(a, b, l, l.flaps)
	}
}

// flapLater cuts or mends a flapping link after its time, and again.
func (c *Cluster) flapLater(a, b *node, l *link, setting int) {
	c.w.after(core.Time(l.set.Flap), func() {
		if l.flaps == setting {
			c.w.network.cut(a, b, l.cut == 0)
			c.flapLater(a, b, l, setting)
		}
	})
}

// SetDisk changes how a node's disk behaves; what was set before is over.
func (c *Cluster) SetDisk(id core.NodeID, set Disk) {
	n := c.node(id)
	c.w.trace.line("disk of n%d: %+v", id, set)
	n.syncExtra, n.failSync, n.full = core.Time(set.SyncDelay), set.SyncError, set.Full
	switch {
	case n.hung && !set.Hung:
		n.unhang()
	case set.Hung:
		n.hung = true
	}
	c.w.fitness()
}

// SetClock sets how far ahead a node's wall clock is, and how much too fast, in millionths, its monotonic clock runs.
func (c *Cluster) SetClock(id core.NodeID, offset time.Duration, rate int64) {
	n := c.node(id)
	c.w.trace.line("clock of n%d: %v ahead, %d ppm fast", id, offset, rate)
	n.clock.wall = offset.Milliseconds()
	n.clock.setRate(c.w.now, rate)
	c.w.fitness()
}

// fitness finds the nodes that should lead nothing, as each node's watch does: full disks, and clocks far from the middle one.
func (w *world) fitness() {
	var walls []int64
	for _, n := range w.nodes {
		walls = append(walls, n.clock.wall)
	}
	slices.Sort(walls)
	middle := walls[len(walls)/2]
	for _, n := range w.nodes {
		off := n.clock.wall - middle
		n.unfit = n.full || off > skewMax || off < -skewMax
		if n.up {
			n.host.SetUnfit(n.unfit)
			n.arrive(func(host.Now) {})
		}
	}
}

// Handoff asks the leader of a shard to hand over to a node.
func (c *Cluster) Handoff(g core.GroupID, to core.NodeID) error {
	gr := c.w.byID[g]
	heir := gr.members[to-1]
	if heir == 0 {
		return fmt.Errorf("node %d has no replica of that shard", to)
	}
	leader := c.leader(gr)
	if leader == nil {
		return fmt.Errorf("nobody leads that shard now; there is nothing to hand over")
	}
	if leader.id != to {
		leader.arrive(func(now host.Now) { leader.host.Event(now, g, core.Handoff{To: heir}) })
	}
	return nil
}

// leader is a running node whose replica says that it leads; nil: none.
func (c *Cluster) leader(g *group) *node {
	for _, n := range c.w.nodes {
		if self := g.members[n.index]; n.up && self != 0 {
			if led, ok := n.host.Replica(g.id).(core.Led); ok && led.Leader() == self {
				return n
			}
		}
	}
	return nil
}

// Inject hands bytes to the decoders of a node's peer messages, and reports whether one understood them. No replica has
// sent them, so they reach none.
func (c *Cluster) Inject(id core.NodeID, message []byte) (understood bool, err error) {
	if err := c.running(id); err != nil {
		return false, err
	}
	for _, g := range c.w.groups {
		if _, err := g.protocol.Decode(slices.Clone(message)); err == nil {
			understood = true
		}
	}
	return understood, nil
}
