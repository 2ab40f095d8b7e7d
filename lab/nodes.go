package lab

import (
	"fmt"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
)

// replicas are those of the keyspace that the statement uses.
func (r *runner) replicas() ([]Replica, error) {
	s, err := r.space(args{})
	if err != nil {
		return nil, err
	}
	return r.world.Replicas(r.ctx, s.name)
}

// firstUp is the lowest-numbered node that runs and is not paused, or the first of all if none does.
func (r *runner) firstUp() core.NodeID {
	if up := r.up(); len(up) > 0 {
		return up[0]
	}
	return r.world.Nodes()[0]
}

// up are the nodes that run and are not paused, in order.
func (r *runner) up() (list []core.NodeID) {
	for _, n := range r.world.Nodes() {
		if up, paused := r.world.Running(n); up && !paused {
			list = append(list, n)
		}
	}
	return list
}

// leader is the node that leads the keyspace's first shard: of those that say so the one that most others follow.
func (r *runner) leader() (core.NodeID, error) {
	list, err := r.replicas()
	if err != nil {
		return 0, err
	}
	best, most := core.NodeID(0), 0
	for _, x := range list {
		if follow := followers(list, &x); x.Shard == 0 && x.Status.Role == leading && follow > most {
			best, most = x.Node, follow
		}
	}
	if best == 0 {
		return 0, fmt.Errorf("nobody leads keyspace %s now; await leader waits for one", r.using)
	}
	return best, nil
}

// node is whom a target means now.
func (r *runner) node(t target) (core.NodeID, error) {
	switch t.role {
	case "":
		return t.node, nil
	case "leader":
		return r.leader()
	}
	followers, err := r.followers()
	if err != nil {
		return 0, err
	}
	if len(followers) == 0 {
		return 0, fmt.Errorf("no node runs beside the leader")
	}
	return followers[0], nil
}

func (r *runner) followers() ([]core.NodeID, error) {
	leader, err := r.leader()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(r.up(), func(n core.NodeID) bool { return n == leader }), nil
}

func (r *runner) expand(t target) ([]core.NodeID, error) {
	switch t.role {
	case "all":
		return r.world.Nodes(), nil
	case "followers":
		return r.followers()
	}
	n, err := r.node(t)
	return []core.NodeID{n}, err
}

// nodes are those that a statement names, each once, in its order.
func (r *runner) nodes(a args) (list []core.NodeID, err error) {
	for _, t := range a["NODES"] {
		more, err := r.expand(t.(target))
		if err != nil {
			return nil, err
		}
		for _, n := range more {
			if !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list, nil
}

// one is the node that a statement names, or the console's.
func (r *runner) one(a args) (core.NodeID, error) {
	for _, name := range []string{"NODE", "PEER"} {
		if a.has(name) {
			return r.node(arg[target](a, name))
		}
	}
	if r.console != 0 {
		return r.console, nil
	}
	return r.firstUp(), nil
}

// must checks that nodes run, or that they do not, and names them as the script does.
func (r *runner) must(run bool, list ...core.NodeID) error {
	for _, n := range list {
		up, _ := r.world.Running(n)
		switch {
		case run && !up:
			return fmt.Errorf("node %d does not run", r.label(n))
		case !run && up:
			return fmt.Errorf("node %d runs", r.label(n))
		}
	}
	return nil
}

func (r *runner) startAll(list ...core.NodeID) error {
	if err := r.must(false, list...); err != nil {
		return err
	}
	r.event("start", "", list...)
	return r.world.Start(r.ctx, list...)
}

func (r *runner) crashAll(tail string, list ...core.NodeID) error {
	if err := r.must(true, list...); err != nil {
		return err
	}
	what := ""
	if tail != "" {
		what = "what was not synced is " + tail
	}
	r.event("crash", what, list...)
	return r.world.Crash(r.ctx, tails[tail], list...)
}

// joinServer starts a node that is connected to all others, whatever had become of the links of an earlier one of its number.
func (r *runner) joinServer(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	if err := r.startAll(n); err != nil {
		return err
	}
	for _, other := range r.world.Nodes() {
		if r.links[[2]core.NodeID{n, other}] != (Link{}) || r.links[[2]core.NodeID{other, n}] != (Link{}) {
			if err := r.both(n, other, func(l *Link) { *l = Link{} }, "mend"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *runner) fixProcess(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	return r.startAll(n)
}

func (r *runner) server(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	r.console = n
	if up, _ := r.world.Running(n); up {
		return nil
	}
	return r.startAll(n)
}

func (r *runner) killServer(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	return r.crashAll("kept", n)
}

var tails = map[string]Tail{"": TailLeast, "kept": TailKept, "lost": TailLost, "torn": TailTorn}

// crash ends the nodes that run: of all, those that are down already stay so.
func (r *runner) crash(a args) error {
	list, err := r.nodes(a)
	if err != nil {
		return err
	}
	if arg[target](a, "NODES").role == "all" {
		list = slices.DeleteFunc(slices.Clone(list), func(n core.NodeID) bool { up, _ := r.world.Running(n); return !up })
	}
	return r.crashAll(text(a, "kept|lost|torn"), list...)
}

func (r *runner) start(a args) error {
	list, err := r.nodes(a)
	if err != nil {
		return err
	}
	if arg[target](a, "NODES").role == "all" {
		list = slices.DeleteFunc(slices.Clone(list), func(n core.NodeID) bool { up, _ := r.world.Running(n); return up })
	}
	return r.startAll(list...)
}

func (r *runner) restart(a args) error {
	list, err := r.nodes(a)
	if err != nil {
		return err
	}
	if err := r.crashAll(text(a, "kept|lost|torn"), list...); err != nil {
		return err
	}
	return r.startAll(list...)
}

func (r *runner) pause(a args) error {
	list, err := r.nodes(a)
	if err == nil {
		err = r.must(true, list...)
	}
	for i := 0; err == nil && i < len(list); i++ {
		r.event("pause", "", list[i])
		err = r.world.Pause(r.ctx, list[i])
	}
	return err
}

func (r *runner) resume(a args) error {
	list, err := r.nodes(a)
	for i := 0; err == nil && i < len(list); i++ {
		r.event("resume", "", list[i])
		err = r.world.Resume(r.ctx, list[i])
	}
	return err
}

func (r *runner) wipe(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	if err := r.must(false, n); err != nil {
		return err
	}
	r.event("disk", "wiped", n)
	return r.world.Wipe(r.ctx, n)
}

var damages = map[string]DamageKind{"": LogBitFlip, "log": LogBitFlip, "tail": LogCut, "state": StateBitFlip}

func (r *runner) damage(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	if err := r.must(false, n); err != nil {
		return err
	}
	what := text(a, "log|tail|state")
	r.event("disk", "damaged in its "+orText(what, "log"), n)
	return r.world.Damage(r.ctx, n, Damage{Kind: damages[what], Seed: r.rng.Uint64()})
}

func (r *runner) handoff(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	s, err := r.space(a)
	if err != nil {
		return err
	}
	r.event("handoff", "", n)
	return r.world.Handoff(r.ctx, s.name, int(arg[uint64](a, "shard")), n)
}

func (r *runner) send(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	return r.inject(n, text(a, "TEXT"))
}

func (r *runner) inject(n core.NodeID, message string) error {
	if err := r.must(true, n); err != nil {
		return err
	}
	understood, err := r.world.Inject(r.ctx, n, []byte(message))
	if err != nil {
		return err
	}
	if understood {
		r.print("node %d: a message, but no peer has sent it", r.label(n))
	} else {
		r.print("node %d: no message", r.label(n))
	}
	return nil
}

func (r *runner) broadcast(a args) error {
	for _, n := range r.up() {
		if err := r.inject(n, text(a, "TEXT")); err != nil {
			return err
		}
	}
	return nil
}

// disk changes what is wrong with a node's disk, beside what is wrong with it already; ok ends all.
func (r *runner) disk(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	what := text(a, "hang|error|full|ok")
	d := r.disks[n]
	switch what {
	case "hang":
		d.Hung = true
	case "full":
		d.Full = true
	case "ok":
		d = Disk{}
	}
	r.disks[n] = d
	d.SyncError = what == "error"
	r.event("disk", what, n)
	return r.world.SetDisk(r.ctx, n, d)
}

func (r *runner) diskSlow(a args) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	d := r.disks[n]
	d.SyncDelay = arg[time.Duration](a, "DURATION")
	r.disks[n] = d
	r.event("disk", "slow by "+d.SyncDelay.String(), n)
	return r.world.SetDisk(r.ctx, n, d)
}

func (r *runner) clock(a args) error {
	return r.setClock(a, func(c *Clock) { c.Offset = arg[time.Duration](a, "OFFSET") })
}

func (r *runner) clockRate(a args) error {
	return r.setClock(a, func(c *Clock) { c.Rate = arg[int64](a, "DELTA") })
}

func (r *runner) setClock(a args, change func(*Clock)) error {
	n, err := r.one(a)
	if err != nil {
		return err
	}
	c := r.clocks[n]
	change(&c)
	if c.Rate < -rateMax || c.Rate > rateMax {
		return fmt.Errorf("a clock that runs %d millionths too fast; give -%d to %d", c.Rate, rateMax, rateMax)
	}
	r.clocks[n] = c
	r.event("clock", fmt.Sprintf("%v ahead, %d ppm fast", c.Offset, c.Rate), n)
	return r.world.SetClock(r.ctx, n, c)
}

// rateMax is the drift that leases still bear.
const rateMax = 50_000
