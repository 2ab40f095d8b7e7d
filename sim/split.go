package sim

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/store"
)

// Where groups are split, the world has the catalog's word of it, which nodes hear late: who the child is, and when it is a shard like
// others. The nodes do what those of a cluster do: they ask the parent's leader, make the state of the child's replica beside the
// parent's in their own time, send on what was answered as moved.

// splitting is a group that came to be by a split.
type splitting struct {
	parent *group
	key    []byte
	// divided says that some replica of the parent has applied the split: from then on nodes hear that the child is a shard.
	divided bool
	// at and index are the time and the index of the parent's block that divided the keys.
	at    kv.HLC
	index uint64
	// shard says that the child has executed something: then a majority of its disks has what it began with.
	shard bool
}

// Split makes groups of a linearizable or sequential protocol ones that are split now and then, with a bug planted in it.
func Split(p Protocol, every core.Time) Protocol {
	p.SplitEvery = every
	p.Name += ", splits"
	bear := p.Bear
	p.Bear = func(f *Faults) {
		if bear != nil {
			bear(f)
		}
		f.Change = 0 // a shard is not moved while it is split
	}
	return p
}

// roots are the groups that the world began with: clients know these, and where their keys are is the nodes' business.
func (w *world) roots() []*group {
	return slices.DeleteFunc(slices.Clone(w.served), func(g *group) bool { return g.root != nil })
}

// splitLater splits a group now and then.
func (w *world) splitLater() {
	every := w.options.Protocol.SplitEvery
	if every == 0 {
		return
	}
	w.after(every/2+core.Time(w.rng.Int64N(int64(every))), func() {
		if g := w.groups[w.rng.IntN(len(w.groups))]; w.now < w.options.Faulty && len(w.groups) < 12 && g != w.undivided {
			w.beginSplit(g)
		}
		w.splitLater()
	})
}

// beginSplit names a child in the catalog, unless its parent is being split or merged.
func (w *world) beginSplit(parent *group) {
	letters := "abclmrst"
	root := w.root(parent)
	key := []byte(fmt.Sprintf("%c%d", letters[w.rng.IntN(len(letters))], root.id))
	if w.rng.IntN(2) == 0 {
		key = append(key, 'x')
	}
	if w.changing(parent) || root.owner(key, root.latest()) != parent || root.begins(key) {
		return
	}
	g := len(w.groups)
	child := &group{id: core.GroupID(g + 1), protocol: parent.protocol, members: parent.members, nodes: parent.nodes, root: root,
		split: &splitting{parent: parent, key: key}}
	for _, n := range w.nodes {
		child.homes = append(child.homes, n.id)
	}
	config, err := paxos.DecodeConfig(parent.config)
	if err != nil {
		panic(err)
	}
	config.Split, config.Preferred, config.Identity = true, child.members[w.rng.IntN(len(child.members))], []byte{0, byte(child.id)}
	child.config = config.AppendTo(nil)
	w.addGroup(child)
	w.hit("split")
	w.trace.line("g%d is to be split at %s: g%d", parent.id, key, child.id)
	w.event("split", fmt.Sprintf("group %d at %s", parent.id, key))
	w.pushSplit(child)
}

// changing says that a group is being split or merged, or came to be by a split that is not over.
func (w *world) changing(g *group) bool {
	return g.split != nil && !g.split.shard || slices.ContainsFunc(w.groups, func(o *group) bool {
		return o.split != nil && o.split.parent == g && !o.split.shard || o.merge != nil && !o.merge.done && (o == g || o.merge.left == g) ||
			o == g && o.merge != nil
	})
}

func (w *world) root(g *group) *group {
	if g.root != nil {
		return g.root
	}
	return g
}

// shardMap is what the catalog says at one time of a root's keys, in order; since is that of core.Owned.
type shardMap []shardAt

type shardAt struct {
	from  string
	group *group
	since uint64
}

// latest is the number of the newest map of a root.
func (g *group) latest() int { return len(g.maps) - 1 }

// owner is the group of a key by one of the maps.
func (g *group) owner(key []byte, version int) *group {
	m := g.maps[version]
	i := len(m) - 1
	for i > 0 && m[i].from > string(key) {
		i--
	}
	return m[i].group
}

// begins says that a shard begins at a key.
func (g *group) begins(key []byte) bool {
	return slices.ContainsFunc(g.maps[g.latest()], func(s shardAt) bool { return s.from == string(key) })
}

// remap makes a map the newest one. The nodes hear of it, each in its time, and tell their replicas.
func (w *world) remap(root *group, m shardMap) {
	root.maps = append(root.maps, m)
	version := root.latest()
	for _, n := range w.nodes {
		w.after(core.Time(w.rng.Int64N(int64(learnMax))), func() {
			if n.maps[root.id] < version {
				n.maps[root.id] = version
				n.arrive(func(now host.Now) { n.tellOwned(now, root) })
			}
		})
	}
}

// tellOwned tells the replicas here what the node knows of their keys.
func (n *node) tellOwned(now host.Now, root *group) {
	m := root.maps[n.maps[root.id]]
	for i, s := range m {
		owned := core.Owned{Since: s.since}
		if i > 0 {
			owned.From = []byte(s.from)
		}
		if i+1 < len(m) {
			owned.To = []byte(m[i+1].from)
		}
		if n.host.Has(s.group.id) {
			n.host.Event(now, s.group.id, owned)
		}
	}
}

// route is where a node sends a command of one key.
func (n *node) route(root *group, encoded []byte) *group {
	if p := &n.w.options.Protocol; p.SplitEvery+p.MergeEvery == 0 {
		return root
	}
	var c kv.Command
	if err := kv.DecodeCommand(encoded, &c); err != nil {
		n.w.fail(Invariant, "command does not decode: %v", err)
		return root
	}
	root = n.w.root(root)
	return root.owner(c.Ops[0].Key, n.maps[root.id])
}

// pushSplit lets nodes ask the parent's leader until the split is over, and hear of it.
func (w *world) pushSplit(child *group) {
	s := child.split
	if s.divided {
		return
	}
	for _, n := range w.nodes {
		if n.up && n.host.Has(s.parent.id) {
			n.arrive(func(now host.Now) {
				n.host.Event(now, s.parent.id, core.Split{Child: child.id, Key: s.key, Config: child.config})
			})
		}
	}
	w.after(20*Millisecond+core.Time(w.rng.Int64N(int64(50*Millisecond))), func() { w.pushSplit(child) })
}

// divided lets the nodes hear that a child is a shard, each in its time.
func (w *world) divided(n *node, child *group) {
	s := child.split
	if s.parent.protocol.Look != nil {
		s.at = w.checks.look(n, s.parent).Time
	}
	if s.divided {
		return
	}
	s.divided, s.index = true, n.disk.Group(s.parent.id).Applied()
	w.hit("split-done")
	root := w.root(child)
	m := slices.Clone(root.maps[root.latest()])
	i := slices.IndexFunc(m, func(at shardAt) bool { return at.group == s.parent })
	w.remap(root, slices.Insert(m, i+1, shardAt{from: string(s.key), group: child}))
}

// begun says that a split is over: every replica of the child has begun with something, and every parent's has let go of it.
func (w *world) begun(living []*node, g *group) bool {
	for _, n := range living {
		if !n.host.Has(g.id) || n.disk.Group(g.id).Applied() == 0 || machine.Born(n.disk.Group(g.split.parent.id), uint64(g.id)) {
			return false
		}
	}
	return g.split.divided
}

// tendChildren begins the replicas of children that can begin, and lets parents go of what those have, again and again.
func (n *node) tendChildren(life int) {
	if n.w.options.Protocol.SplitEvery == 0 {
		return
	}
	// What has run before runs at once: what it promised must go into the next segment of the log.
	for _, g := range n.w.groups {
		if g.split != nil && !n.host.Has(g.id) && n.ran(g) {
			n.tendChild(n.now(), g)
		}
	}
	n.w.after(core.Time(n.rng.Int64N(int64(60*Millisecond))), func() {
		if !n.up || n.life != life {
			return
		}
		n.arrive(func(now host.Now) {
			for _, g := range n.w.groups {
				if g.split != nil && n.rng.IntN(3) > 0 {
					n.tendChild(now, g)
				}
			}
		})
		n.tendChildren(life)
	})
}

// ran says that the disk holds something of a child's replica, or may have held.
func (n *node) ran(g *group) bool {
	return n.disk.Group(g.id).Applied() > 0 || len(n.recovered.Groups[g.id]) > 0 || n.suspect(g.id, &n.recovered)
}

func (n *node) tendChild(now host.Now, g *group) {
	parent, child := n.disk.Group(g.split.parent.id), n.disk.Group(g.id)
	laid := machine.Born(parent, uint64(g.id))
	switch {
	case n.host.Has(g.id):
		// The world's catalog makes the child a shard when it has executed something.
		g.split.shard = g.split.shard || child.Applied() > g.split.index
		if laid && g.split.shard {
			n.host.Event(now, g.split.parent.id, core.Weaned{Child: g.id})
		}
	case n.ran(g):
		n.run(now, g, &n.recovered)
		delete(n.recovered.Groups, g.id)
	case laid:
		n.bear(parent, child, g)
		if n.rng.IntN(4) > 0 { // else it may crash before the replica begins
			n.hadState[g.id] = false
			n.run(now, g, n.nothing())
		} else {
			n.hadState[g.id] = true
		}
	default:
		if machine.Divided(parent, uint64(g.id)) || g.merge != nil && g.merge.done {
			n.w.hit("split-blank")
			n.run(now, g, n.nothing())
		}
	}
}

// bear makes the state of a child's replica.
func (n *node) bear(parent, child store.Group, g *group) {
	n.must(child.Apply([]core.Change{{Kind: core.Unstage}}))
	n.must(machine.Birth(parent, uint64(g.id), func(key, value []byte) error {
		return child.Apply([]core.Change{{Kind: core.Stage, Key: key, Value: value}})
	}))
	n.must(child.Apply([]core.Change{{Kind: core.Install}}))
	n.w.trace.line("n%d has made the state of g%d", n.id, g.id)
}

func (n *node) must(err error) {
	if err != nil {
		n.w.fail(Invariant, "node %d: %v", n.id, err)
	}
}

// Place sends on what was answered as moved.
func (p *port) Place(token uint64) host.Placement {
	n := (*node)(p)
	at := n.placed[token]
	g := n.route(at.root, at.encoded)
	_, _, homes := g.seat(n)
	return host.Placement{Group: g.id, Nodes: homes}
}

// placed is a command that a node has under way: what it needs to find its group anew.
type placed struct {
	root    *group
	encoded []byte
}

// whole reports whether a read is of keys that the group still had when it was answered.
func (n *node) whole(g *group, c *kv.Command) bool {
	r, ok := n.w.checks.unwrap(n, g).(*paxos.Replica)
	return !ok || r.Readable(c)
}
