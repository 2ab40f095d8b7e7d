package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gamutdb/gamut/core"
)

// joinClient attaches a client to its first node.
func (r *runner) joinClient(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	c := r.clientOf(arg[uint64](a, "NUMBER"))
	c.named, c.nodes = true, []core.NodeID{n}
	return nil
}

func (r *runner) client(a args) error {
	r.current = r.clientOf(arg[uint64](a, "NUMBER"))
	if a.has("NODE") {
		return r.joinClient(a)
	}
	return nil
}

// ends sorts the two ends of a connection: a client and a node, or two nodes.
func (r *runner) ends(a args) (c *client, first, second core.NodeID, err error) {
	one, two := arg[end](a, "END1"), arg[end](a, "END2")
	if two.is == "client" {
		one, two = two, one
	}
	switch {
	case two.is == "client":
		return nil, 0, 0, fmt.Errorf("two clients have no connection")
	case one.is == "client":
		return r.clientOf(uint64(one.client)), 0, two.node, nil
	case one.node == two.node:
		return nil, 0, 0, fmt.Errorf("a node has no connection to itself")
	}
	return nil, one.node, two.node, nil
}

func (r *runner) createConnection(a args) error {
	c, one, two, err := r.ends(a)
	if err != nil {
		return err
	}
	if c == nil {
		return r.both(one, two, func(l *Link) { *l = Link{} }, "mend")
	}
	c.named = true
	if !slices.Contains(c.nodes, two) {
		c.nodes = append(c.nodes, two)
	}
	return nil
}

func (r *runner) breakConnection(a args) error {
	c, one, two, err := r.ends(a)
	if err != nil {
		return err
	}
	if c == nil {
		return r.both(one, two, down, "cut")
	}
	c.named = true
	c.nodes = slices.DeleteFunc(c.nodes, func(n core.NodeID) bool { return n == two })
	return nil
}

func down(l *Link) { l.Down, l.Flap = true, 0 }

// both changes the two directions between two nodes.
func (r *runner) both(one, two core.NodeID, change func(*Link), what string) error {
	return r.change([][2]core.NodeID{{one, two}, {two, one}}, change, what)
}

// change changes links and remembers how they are.
func (r *runner) change(list [][2]core.NodeID, change func(*Link), what string) error {
	for _, l := range list {
		set := r.links[l]
		change(&set)
		r.links[l] = set
		detail := ""
		if what == "link" {
			detail = linkText(set)
		}
		r.event(what, detail, l[0], l[1])
		if err := r.world.SetLink(r.ctx, l[0], l[1], set); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) twoPeers(a args) (one, two core.NodeID, err error) {
	if one, err = r.node(arg[target](a, "PEER1")); err != nil {
		return
	}
	if a.has("PEER2") {
		two, err = r.node(arg[target](a, "PEER2"))
	} else if two = r.console; two == 0 {
		err = fmt.Errorf("name both ends of the link, or say above with server which node this is about")
	}
	if err == nil && one == two {
		err = fmt.Errorf("a node has no link to itself")
	}
	return
}

func (r *runner) failLink(a args) error {
	one, two, err := r.twoPeers(a)
	if err != nil {
		return err
	}
	return r.both(one, two, down, "cut")
}

func (r *runner) fixLink(a args) error {
	one, two, err := r.twoPeers(a)
	if err != nil {
		return err
	}
	return r.both(one, two, func(l *Link) { *l = Link{} }, "mend")
}

// paths are all directions that a statement's links mean, in order.
func (r *runner) paths(a args) (list [][2]core.NodeID, err error) {
	for _, v := range a["LINK"] {
		p := v.(path)
		from, err := r.expand(p.from)
		if err != nil {
			return nil, err
		}
		to, err := r.expand(p.to)
		if err != nil {
			return nil, err
		}
		for _, x := range from {
			for _, y := range to {
				list = appendPath(list, x, y)
				if p.both {
					list = appendPath(list, y, x)
				}
			}
		}
	}
	return list, nil
}

func appendPath(list [][2]core.NodeID, from, to core.NodeID) [][2]core.NodeID {
	l := [2]core.NodeID{from, to}
	if from == to || slices.Contains(list, l) {
		return list
	}
	return append(list, l)
}

// set changes the links that a statement names.
func (r *runner) set(a args, what string, change func(*Link)) error {
	list, err := r.paths(a)
	if err != nil {
		return err
	}
	return r.change(list, change, what)
}

func (r *runner) cut(a args) error { return r.set(a, "cut", down) }

func (r *runner) heal(a args) error {
	if !a.has("LINK") {
		a = args{"LINK": []any{path{from: target{role: "all"}, to: target{role: "all"}}}}
		r.event("heal", "all links")
	}
	return r.set(a, "mend", func(l *Link) { *l = Link{} })
}

func (r *runner) flap(a args) error {
	return r.set(a, "link", func(l *Link) { l.Down, l.Flap = true, arg[time.Duration](a, "DURATION") })
}

func (r *runner) delay(a args) error {
	return r.set(a, "link", func(l *Link) {
		l.Delay, l.Jitter = arg[time.Duration](a, "DURATION1"), arg[time.Duration](a, "DURATION2")
	})
}

func (r *runner) loss(a args) error {
	return r.set(a, "link", func(l *Link) { l.Loss = arg[float64](a, "PERCENT") })
}

func (r *runner) duplicate(a args) error {
	return r.set(a, "link", func(l *Link) { l.Duplicate = arg[float64](a, "PERCENT") })
}

func (r *runner) reorder(a args) error {
	return r.set(a, "link", func(l *Link) { l.Reorder = arg[float64](a, "PERCENT") })
}

// partition cuts each side off from the others.
func (r *runner) partition(a args) error {
	sides := [][]core.NodeID{nil}
	for _, v := range a["SIDES"] {
		t := v.(target)
		if t.role == bar {
			sides = append(sides, nil)
			continue
		}
		more, err := r.expand(t)
		if err != nil {
			return err
		}
		sides[len(sides)-1] = append(sides[len(sides)-1], more...)
	}
	var list [][2]core.NodeID
	for i, side := range sides {
		if len(side) == 0 {
			return fmt.Errorf("a side of the partition is empty")
		}
		for j, other := range sides {
			if i == j {
				continue
			}
			for _, x := range side {
				if slices.Contains(other, x) {
					return fmt.Errorf("node %d is on two sides", r.label(x))
				}
				for _, y := range other {
					list = appendPath(list, x, y)
				}
			}
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("a partition has two sides at least, with a | between them")
	}
	return r.change(list, down, "cut")
}

// isolate cuts each of the nodes off from all.
func (r *runner) isolate(a args) error {
	alone, err := r.nodes(a)
	if err != nil {
		return err
	}
	var list [][2]core.NodeID
	for _, x := range alone {
		for _, y := range r.world.Nodes() {
			list = appendPath(appendPath(list, x, y), y, x)
		}
	}
	return r.change(list, down, "cut")
}

// linkText says what is wrong with a link; empty: nothing.
func linkText(l Link) string {
	var list []string
	add := func(is bool, format string, a ...any) {
		if is {
			list = append(list, fmt.Sprintf(format, a...))
		}
	}
	add(l.Down && l.Flap == 0, "down")
	add(l.Down && l.Flap > 0, "down and up again each %v", l.Flap)
	add(l.Delay > 0 || l.Jitter > 0, "late by %v to %v", l.Delay, l.Delay+l.Jitter)
	add(l.Loss > 0, "loses %v%%", 100*l.Loss)
	add(l.Duplicate > 0, "doubles %v%%", 100*l.Duplicate)
	add(l.Reorder > 0, "reorders %v%%", 100*l.Reorder)
	return strings.Join(list, ", ")
}

// connected reports whether messages pass between two nodes in both directions.
func (r *runner) connected(one, two core.NodeID) bool {
	return !r.links[[2]core.NodeID{one, two}].Down && !r.links[[2]core.NodeID{two, one}].Down
}
