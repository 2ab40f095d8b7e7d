package lab

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/core"
)

func (r *runner) status(a args) error {
	s, err := r.space(a)
	if err != nil {
		return err
	}
	list, err := r.world.Replicas(r.ctx, s.name)
	for _, x := range list {
		who := fmt.Sprintf("node %d", r.label(x.Node))
		if s.shards > 1 {
			who += fmt.Sprintf(", shard %d", x.Shard)
		}
		r.print("%s: %s", who, r.statusText(&x))
	}
	return err
}

func (r *runner) statusText(x *Replica) string {
	switch {
	case !x.Up:
		return "down"
	case x.Paused:
		return "paused"
	}
	s := &x.Status
	text := orText(s.Role, "runs")
	if s.Ballot != "" {
		text += ", ballot " + s.Ballot
	}
	switch {
	case s.Leader == uint32(x.Node):
	case s.Leader != 0:
		text += fmt.Sprintf(", follows node %d", r.label(core.NodeID(s.Leader)))
	case s.Role != "":
		text += ", knows no leader"
	}
	if s.Suspect {
		text += ", suspect"
	}
	return text + fmt.Sprintf(", applied %d", s.Applied)
}

// stores reads what nodes hold of each shard of a keyspace: shard, node, items.
func (r *runner) stores(s *space, nodes []core.NodeID) (map[int]map[core.NodeID][]Item, error) {
	replicas, err := r.world.Replicas(r.ctx, s.name)
	if err != nil {
		return nil, err
	}
	all := map[int]map[core.NodeID][]Item{}
	for _, n := range nodes {
		for _, x := range replicas {
			if x.Node == n {
				if all[x.Shard] == nil {
					all[x.Shard] = map[core.NodeID][]Item{}
				}
				all[x.Shard][n] = nil
			}
		}
		items, err := r.world.State(r.ctx, n, s.name)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			shard := s.shardOf(item.Key)
			if all[shard] == nil {
				all[shard] = map[core.NodeID][]Item{}
			}
			all[shard][n] = append(all[shard][n], item)
		}
	}
	return all, nil
}

// difference names the first key on which nodes differ; empty: there is none.
func (r *runner) difference(s *space, nodes []core.NodeID) (string, error) {
	all, err := r.stores(s, nodes)
	if err != nil {
		return "", err
	}
	for shard := range s.shards {
		var with []core.NodeID
		for _, n := range nodes {
			if _, ok := all[shard][n]; ok {
				with = append(with, n)
			}
		}
		for _, n := range with[min(1, len(with)):] {
			if text := r.differ(with[0], n, all[shard][with[0]], all[shard][n]); text != "" {
				return text, nil
			}
		}
	}
	return "", nil
}

// differ compares two stores in the order of keys.
func (r *runner) differ(one, two core.NodeID, a, b []Item) string {
	for i := 0; i < len(a) || i < len(b); i++ {
		switch {
		case i >= len(b) || i < len(a) && bytes.Compare(a[i].Key, b[i].Key) < 0:
			return fmt.Sprintf("key %s: node %d has %q, node %d has nothing", a[i].Key, r.label(one), a[i].Value, r.label(two))
		case i >= len(a) || bytes.Compare(a[i].Key, b[i].Key) > 0:
			return fmt.Sprintf("key %s: node %d has nothing, node %d has %q", b[i].Key, r.label(one), r.label(two), b[i].Value)
		case !bytes.Equal(a[i].Value, b[i].Value):
			return fmt.Sprintf("key %s: node %d has %q, node %d has %q", a[i].Key, r.label(one), a[i].Value, r.label(two), b[i].Value)
		case a[i].Version != b[i].Version || a[i].Flags != b[i].Flags || a[i].ExpireAt != b[i].ExpireAt:
			return fmt.Sprintf("key %s: nodes %d and %d have the same value in different versions", a[i].Key, r.label(one), r.label(two))
		}
	}
	return ""
}

func (r *runner) verify(a args) error {
	s, err := r.space(a)
	if err != nil {
		return err
	}
	nodes := r.up()
	differs, err := r.settle(s, settle, func() [][]core.NodeID { return [][]core.NodeID{nodes} })
	if err != nil {
		return err
	}
	text := fmt.Sprintf("yes, %d nodes are equal", len(nodes))
	if len(nodes) < 2 {
		text = "there are no two nodes to compare"
	}
	if differs != "" {
		text = "no, " + differs
	}
	for _, n := range r.world.Nodes() {
		if !slices.Contains(nodes, n) {
			text += fmt.Sprintf("; node %d does not run", r.label(n))
		}
	}
	r.print("%s", text)
	return nil
}

// inspect prints all stores, then what to look at.
func (r *runner) inspect(a args) error {
	s, err := r.space(a)
	if err != nil {
		return err
	}
	all, err := r.stores(s, r.up())
	if err != nil {
		return err
	}
	for _, n := range r.world.Nodes() {
		if !slices.Contains(r.up(), n) {
			r.print("node %d: does not run", r.label(n))
			continue
		}
		r.print("node %d:", r.label(n))
		for shard := range s.shards {
			for _, item := range all[shard][n] {
				if !a.has("KEY") || string(item.Key) == text(a, "KEY") {
					r.print("  %s = %s (version %d)", item.Key, item.Value, item.Version)
				}
			}
		}
	}
	for shard := range s.shards {
		r.warn(a, all[shard])
	}
	return nil
}

// warn names every node that lacks the newest version of a key.
func (r *runner) warn(a args, stores map[core.NodeID][]Item) {
	newest := map[string]uint64{}
	have := map[string]map[core.NodeID]uint64{}
	var keys []string
	for n, items := range stores { // order does not matter: keys and nodes are sorted below
		for _, item := range items {
			key := string(item.Key)
			if have[key] == nil {
				have[key] = map[core.NodeID]uint64{}
				keys = append(keys, key)
			}
			have[key][n] = item.Version
			newest[key] = max(newest[key], item.Version)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		for _, n := range r.world.Nodes() {
			_, holds := stores[n]
			if holds && have[key][n] != newest[key] && (!a.has("KEY") || key == text(a, "KEY")) {
				r.print(">>>>>> Ooops, check the value of server %d key %s!", r.label(n), key)
			}
		}
	}
}

func (r *runner) printStore(a args) error {
	s, n, err := r.spaceAndNode(a)
	if err != nil {
		return err
	}
	items, err := r.world.State(r.ctx, n, s.name)
	for _, item := range items {
		r.print("%s:%s", item.Key, item.Value)
	}
	return err
}

func (r *runner) spaceAndNode(a args) (*space, core.NodeID, error) {
	s, err := r.space(a)
	if err != nil {
		return nil, 0, err
	}
	n, err := r.one(a)
	if err == nil {
		err = r.must(true, n)
	}
	return s, n, err
}

// hashShown is how much of a hash is printed: enough to tell blocks apart.
const hashShown = 8

func (r *runner) chain(a args) error {
	s, n, err := r.spaceAndNode(a)
	if err != nil {
		return err
	}
	blocks, err := r.world.Blocks(r.ctx, n, s.name, int(arg[uint64](a, "shard")))
	if err != nil {
		return err
	}
	if blocks == nil {
		r.print("a keyspace that is %s has no chain", s.consistency)
	}
	for _, b := range blocks {
		line := fmt.Sprintf("%d %.*s <- %.*s %s", b.Index, hashShown, b.Hash, hashShown, b.Prev, b.Kind)
		if len(b.Summary) > 0 {
			line += ": " + strings.Join(b.Summary, "; ")
		}
		if !b.Intact {
			line += " (NOT INTACT)"
		}
		r.print("%s", line)
	}
	return nil
}

func (r *runner) depth(a args) error {
	s, n, err := r.spaceAndNode(a)
	if err != nil {
		return err
	}
	list, err := r.world.Replicas(r.ctx, s.name)
	if err != nil {
		return err
	}
	for _, x := range list {
		if x.Node == n && x.Shard == int(arg[uint64](a, "shard")) {
			r.print("%d", x.Status.Applied)
		}
	}
	return nil
}

// waiting prints the commands in the background that are not answered.
func (r *runner) waiting(which func(*job) bool) {
	none := true
	for _, j := range r.jobs {
		if !j.op.Done && which(j) {
			r.print("[%d] %s", j.number, j.text)
			none = false
		}
	}
	if none {
		r.print("empty")
	}
}

func (r *runner) queue(a args) error {
	n, err := r.one(a)
	if err == nil {
		r.waiting(func(j *job) bool { return j.op.Request.Node == n })
	}
	return err
}

func (r *runner) ownQueue(args) error {
	r.waiting(func(j *job) bool { return j.client == r.current })
	return nil
}

func (r *runner) servers(args) error {
	for _, n := range r.world.Nodes() {
		up, paused := r.world.Running(n)
		r.print("node %d: %s", r.label(n), map[bool]string{true: map[bool]string{true: "paused", false: "up"}[paused], false: "down"}[up])
	}
	return nil
}

func (r *runner) members(a args) error {
	self, err := r.one(a)
	if err != nil {
		return err
	}
	if err := r.must(true, self); err != nil {
		return err
	}
	reached := r.up()
	for _, n := range r.world.Nodes() {
		word := "DEAD"
		if n == self || slices.Contains(reached, n) && r.connected(self, n) {
			word = "ALIVE"
		}
		r.print("%d:%s", r.label(n), word)
	}
	return nil
}

func (r *runner) brokenLinks(args) error {
	none := true
	for _, from := range r.world.Nodes() {
		for _, to := range r.world.Nodes() {
			if text := linkText(r.links[[2]core.NodeID{from, to}]); text != "" {
				r.print("%d->%d: %s", r.label(from), r.label(to), text)
				none = false
			}
		}
	}
	if none {
		r.print("none")
	}
	return nil
}

func (r *runner) debugMode(a args) error {
	r.debug = text(a, "on|off") != "off"
	return nil
}

func (r *runner) help(args) error {
	for _, f := range table {
		r.print("%s", f.row.form)
	}
	return nil
}
