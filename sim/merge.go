package sim

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Where groups are merged, the world has the catalog's word of it, as for splits. The nodes do what those of a cluster do: they ask the
// right group's leader to let it retire, and carry what it held into the left one's log. What has retired stays: it answers for transactions.

// merging is a merge by which a group retires.
type merging struct {
	left   *group
	number uint64
	was    core.Retire
	// done says that the left group has absorbed all: from then on nodes hear that the keys are its.
	done bool
}

// absorbed is what a group has had since a place in its log, and was before.
type absorbed struct {
	since uint64
	was   *machine.Retired
}

// check: what a group has absorbed was given up at a time before, and its versions go on above those that there were.
func (a *absorbed) check(w *world, n *node, g *group, in *Inside) {
	switch lift := machine.LiftOf(n.disk.Group(g.id)); {
	case in.Applied < a.since:
	case in.Time <= a.was.Time:
		w.fail(Invariant, "node %d group %d stands at time %d, and keys of it were another group's until %d", n.id, g.id, in.Time, a.was.Time)
	case a.since+lift <= a.was.Place:
		w.fail(Invariant, "node %d group %d: versions go on above %d and %d, and there were some of %d", n.id, g.id, a.since, lift, a.was.Place)
	}
}

// Merge makes groups of a linearizable or sequential protocol ones that are merged now and then. Each begins as two that nobody has split,
// so that neither of them knows where its keys end.
func Merge(p Protocol, every core.Time) Protocol {
	p.MergeEvery = every
	p.Name += ", merges"
	bear := p.Bear
	p.Bear = func(f *Faults) {
		if bear != nil {
			bear(f)
		}
		f.Change = 0 // what has retired is not moved
	}
	return p
}

// addWings adds to each root a group that has the upper half of its keys.
func (w *world) addWings() {
	if w.options.Protocol.MergeEvery == 0 {
		return
	}
	for _, root := range w.roots() {
		wing := w.newGroup(len(w.groups))
		wing.root = root
		w.addGroup(wing)
		root.maps = []shardMap{{{group: root}, {from: "m", group: wing}}}
	}
}

// mergeLater merges two neighbours now and then.
func (w *world) mergeLater() {
	every := w.options.Protocol.MergeEvery
	if every == 0 {
		return
	}
	w.after(every/2+core.Time(w.rng.Int64N(int64(every))), func() {
		if roots := w.roots(); w.now < w.options.Faulty {
			w.beginMerge(roots[w.rng.IntN(len(roots))])
		}
		w.mergeLater()
	})
}

// beginMerge names two neighbours in the catalog, unless one of them is being split or merged.
func (w *world) beginMerge(root *group) {
	m := root.maps[root.latest()]
	if len(m) < 2 {
		return
	}
	i := w.rng.IntN(len(m) - 1)
	left, right := m[i].group, m[i+1].group
	if w.changing(left) || w.changing(right) {
		return
	}
	left.merges++
	right.merge = &merging{left: left, number: left.merges, was: core.Retire{From: []byte(m[i+1].from)}}
	if i+2 < len(m) {
		right.merge.was.To = []byte(m[i+2].from)
	}
	w.hit("merge")
	w.trace.line("g%d is to be merged into g%d at %s", right.id, left.id, m[i+1].from)
	w.event("merge", fmt.Sprintf("group %d into group %d", right.id, left.id))
	w.pushMerge(right)
}

// pushMerge lets nodes ask the right group's leader, and carry on, until the merge is over.
func (w *world) pushMerge(right *group) {
	m := right.merge
	if m.done {
		return
	}
	for _, n := range w.nodes {
		if n.up && n.host.Has(right.id) {
			n.arrive(func(now host.Now) { n.pushMerge(now, right) })
		}
	}
	w.after(20*Millisecond+core.Time(w.rng.Int64N(int64(50*Millisecond))), func() { w.pushMerge(right) })
}

func (n *node) pushMerge(now host.Now, right *group) {
	m := right.merge
	if !n.host.Has(right.id) {
		return
	}
	if machine.RetiredOf(n.disk.Group(right.id)) == nil {
		n.host.Event(now, right.id, m.was)
		return
	}
	led, _ := n.w.checks.unwrap(n, right).(core.Led)
	if leads := led.Leader() == n.self(right) || n.rng.IntN(20) == 0; leads && !n.carries[m] { // or believes to lead
		n.carries[m] = true
		n.carry(right, nil)
	}
}

// partMax makes most merges take several parts.
const partMax = 150

// carry hands the part behind a place to the left group, and goes on by its answer.
func (n *node) carry(right *group, start []byte) {
	m, life := right.merge, n.life
	view := n.disk.Group(right.id)
	p := machine.PartOf(view, machine.RetiredOf(view), start, partMax)
	p.Merge, p.Group = m.number, uint64(right.id)
	c := kv.Command{Ops: []kv.Op{{Kind: kv.OpAbsorb, Value: p.AppendTo(nil)}}}
	n.submit(m.left, kv.AppendCommand(nil, &c), false, false, requestTimeout, func(r kv.Result) {
		switch {
		case n.life != life || !n.up:
		case r.Code != kv.OK:
			n.w.trace.tellf("n%d: a part of g%d is not absorbed: %v %s", n.id, right.id, r.Code, r.Detail)
			delete(n.carries, m) // until it is asked again
		case r.Existed:
			n.w.absorbed(right, r.Position, &p.Was)
		default:
			n.arrive(func(host.Now) { n.carry(right, r.Value) })
		}
	})
}

// absorbed lets the nodes hear that the keys are the left group's.
func (w *world) absorbed(right *group, since uint64, was *machine.Retired) {
	m := right.merge
	if m.done {
		return
	}
	m.done = true
	m.left.absorbed = append(m.left.absorbed, absorbed{since, was})
	w.hit("merge-done")
	root := w.root(right)
	var next shardMap
	for _, s := range root.maps[root.latest()] {
		if s.group == m.left {
			s.since = since
		}
		if s.group != right {
			next = append(next, s)
		}
	}
	w.remap(root, next)
}

// halfway says that a group has retired, and the other one has not absorbed all. One whose time is ahead of all clocks does not retire
// before they have come to it.
func (m *merging) halfway(living []*node, g *group) bool {
	return m != nil && !m.done && slices.ContainsFunc(living, func(n *node) bool { return machine.RetiredOf(n.disk.Group(g.id)) != nil })
}
