package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/sim"
)

// simulated is the world in virtual time.
type simulated struct {
	c       *sim.Cluster
	setting Setting
}

// Simulated opens a simulated cluster: what happens in it is a function of the setting and of what it is asked, and takes
// no time.
func Simulated(_ context.Context, s Setting) (World, error) {
	ties := map[string]sim.Tie{"low": sim.TieLow, "high": sim.TieHigh}
	c, err := sim.NewCluster(sim.ClusterOptions{Nodes: s.Nodes, Seed: s.Seed, Absent: s.Absent, Tie: ties[s.Tie]})
	if err != nil {
		return nil, err
	}
	return &simulated{c, s}, nil
}

func (w *simulated) Describe() string {
	return fmt.Sprintf("%d simulated nodes, seed %d", w.setting.Nodes, w.setting.Seed)
}

func (w *simulated) Nodes() (list []core.NodeID) {
	for i := range w.setting.Nodes {
		list = append(list, core.NodeID(i+1))
	}
	return list
}

func (w *simulated) Running(n core.NodeID) (up, paused bool) { return w.c.Up(n), w.c.Paused(n) }

func (w *simulated) Now() time.Duration { return time.Duration(w.c.Now()) }

// createLimit is how long a new keyspace is waited for; one whose nodes do not run would never be ready.
const createLimit = 5 * time.Second

func (w *simulated) CreateKeyspace(ctx context.Context, spec kv.CreateKeyspace) error {
	d, err := w.c.CreateKeyspace(spec)
	if err != nil {
		return err
	}
	_, err = w.Until(ctx, createLimit, func() bool { return w.c.Ready(d) })
	return err
}

func (w *simulated) Begin(r Request) *Operation {
	o := &Operation{Request: r, Called: w.Now()}
	done := func(res kv.Result) { o.Done, o.Returned, o.Result = true, w.Now(), res }
	d := w.c.Keyspace(r.Keyspace)
	if d == nil {
		done(kv.Result{Code: kv.NoKeyspace, Detail: fmt.Sprintf("there is no keyspace %q", r.Keyspace)})
		return o
	}
	w.c.Submit(r.Node, d, r.Shard, &o.Request.Command, core.Time(r.Timeout), done)
	return o
}

// answerSlack is far more than a simulated node takes beyond the timeout that it is given.
const answerSlack = 10 * time.Second

func (w *simulated) Wait(ctx context.Context, operations ...*Operation) error {
	limit := answerSlack
	for _, o := range operations {
		limit = max(limit, o.Request.Timeout+answerSlack)
	}
	met, err := w.Until(ctx, limit, func() bool {
		for _, o := range operations {
			if !o.Done {
				return false
			}
		}
		return true
	})
	if err == nil && !met {
		err = fmt.Errorf("a command was not answered within %v", limit)
	}
	return err
}

func (w *simulated) Sleep(_ context.Context, d time.Duration) error {
	return w.c.Advance(core.Time(d))
}

func (w *simulated) Until(_ context.Context, limit time.Duration, done func() bool) (bool, error) {
	return w.c.Until(core.Time(limit), done)
}

func (w *simulated) find(name string) (*keyspace.Descriptor, error) {
	if d := w.c.Keyspace(name); d != nil {
		return d, nil
	}
	return nil, kv.Errorf(kv.NoKeyspace, "there is no keyspace %q", name)
}

func (w *simulated) Replicas(_ context.Context, name string) (list []Replica, err error) {
	d, err := w.find(name)
	if err != nil {
		return nil, err
	}
	for shard := range d.Shards {
		for _, n := range w.Nodes() {
			if d.Shards[shard].On(n) != 0 {
				list = append(list, Replica{Node: n, Shard: shard, Up: w.c.Up(n), Paused: w.c.Paused(n), Status: w.c.Status(n, d, shard)})
			}
		}
	}
	return list, nil
}

func (w *simulated) State(_ context.Context, n core.NodeID, name string) (items []Item, err error) {
	d, err := w.find(name)
	if err != nil {
		return nil, err
	}
	for shard := range d.Shards {
		if d.Shards[shard].On(n) == 0 {
			continue
		}
		err := w.c.State(n, d, shard, func(r kv.Result) {
			items = append(items, Item{Key: r.Key, Value: r.Value, Version: r.Version, Origin: r.Origin, Flags: r.Flags, ExpireAt: r.ExpireAt})
		})
		if err != nil {
			return nil, err
		}
	}
	sortItems(items)
	return items, nil
}

func (w *simulated) Blocks(_ context.Context, n core.NodeID, name string, shard int) ([]kv.BlockInfo, error) {
	d, err := w.find(name)
	if err != nil {
		return nil, err
	}
	if shard < 0 || shard >= len(d.Shards) {
		return nil, kv.Errorf(kv.Invalid, "keyspace %s has %d shards; there is none of number %d", name, len(d.Shards), shard)
	}
	return w.c.Blocks(n, d, shard)
}

func (w *simulated) Close() error { return nil }

func (w *simulated) Start(_ context.Context, nodes ...core.NodeID) error {
	for _, n := range nodes {
		if err := w.c.Start(n); err != nil {
			return err
		}
	}
	return nil
}

func (w *simulated) Crash(_ context.Context, tail Tail, nodes ...core.NodeID) error {
	if tail == TailLeast {
		tail = TailLost
	}
	return w.c.Crash(sim.Tail(tail), nodes...)
}

func (w *simulated) Wipe(_ context.Context, n core.NodeID) error { return w.c.Wipe(n) }

func (w *simulated) Damage(_ context.Context, n core.NodeID, d Damage) error {
	if d.Kind != LogBitFlip {
		return fmt.Errorf("%w: the simulator damages logs only in the middle; real disks take every damage", ErrCannot)
	}
	return w.c.Damage(n, d.Seed)
}

func (w *simulated) Pause(_ context.Context, n core.NodeID) error  { return w.c.Pause(n) }
func (w *simulated) Resume(_ context.Context, n core.NodeID) error { return w.c.Resume(n) }

func (w *simulated) SetLink(_ context.Context, from, to core.NodeID, l Link) error {
	w.c.SetLink(from, to, sim.Link(l))
	return nil
}

func (w *simulated) SetDisk(_ context.Context, n core.NodeID, d Disk) error {
	w.c.SetDisk(n, sim.Disk(d))
	return nil
}

func (w *simulated) SetClock(_ context.Context, n core.NodeID, c Clock) error {
	w.c.SetClock(n, c.Offset, c.Rate)
	return nil
}

func (w *simulated) Handoff(_ context.Context, name string, shard int, to core.NodeID) error {
	d, err := w.find(name)
	if err != nil {
		return err
	}
	if shard < 0 || shard >= len(d.Shards) {
		return kv.Errorf(kv.Invalid, "keyspace %s has %d shards; there is none of number %d", name, len(d.Shards), shard)
	}
	return w.c.Handoff(d.Shards[shard].Group, to)
}

func (w *simulated) Inject(_ context.Context, to core.NodeID, message []byte) (bool, error) {
	return w.c.Inject(to, message)
}
