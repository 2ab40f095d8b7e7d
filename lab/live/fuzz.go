package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/referee/workload"
)

// Options say how to attack a world. Zero values have the defaults named.
type Options struct {
	// Seed draws the strikes and the operations.
	Seed uint64
	// Length is how long faults strike; 30 s.
	Length time.Duration
	// Faults are names of KindNames; none: all that the world can inflict.
	Faults []string
	// Clients is how many work at a time; 8. Each waits for its answers for Timeout; 1.5 s.
	Clients int
	Timeout time.Duration
	// Keyspace is made for the run, with Consistency; fuzz-SEED, linearizable.
	Keyspace    string
	Consistency kv.Consistency
	// CommitOrder gives the keyspace, which is causal, a commit order.
	CommitOrder bool
	// HealMax bounds the time from the end of all faults until every node is ready, takes a write, and holds what the others
	// hold; 40 s.
	HealMax time.Duration
	// Workloads are what clients do, by the names of workload.Table; none: all that the keyspace can run.
	Workloads []string
	// Canary lets clients read what the replica that they ask holds instead of asking for an answer. The run must fail: it
	// shows that the checkers can.
	Canary bool
	// Out is told what is done, a line each.
	Out io.Writer
}

func (o Options) withDefaults() Options {
	if o.Length == 0 {
		o.Length = 30 * time.Second
	}
	if o.Clients == 0 {
		o.Clients = 8
	}
	if o.Timeout == 0 {
		o.Timeout = 1500 * time.Millisecond
	}
	if o.Keyspace == "" {
		o.Keyspace = fmt.Sprintf("fuzz-%d", o.Seed)
	}
	if o.Consistency == "" {
		o.Consistency = kv.Linearizable
	}
	if o.HealMax == 0 {
		o.HealMax = 40 * time.Second
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	return o
}

// promise is what the referee holds the keyspace to.
func (o *Options) promise() string { return referee.Promise(o.Consistency, o.CommitOrder) }

// Report is what a run found.
type Report struct {
	Run      referee.Run
	Verdicts []referee.Verdict
	// Problems are what no checker of a history sees: a cluster that does not heal, replicas that differ, a node that ended.
	Problems []string
	// Strikes counts the faults that hit something, by kind.
	Strikes map[string]int
}

// OK reports whether every promise was found to hold.
func (r *Report) OK() bool {
	return len(r.Problems) == 0 && !slices.ContainsFunc(r.Verdicts, func(v referee.Verdict) bool { return !v.OK() })
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Fuzz attacks the world as a seed says while clients work, heals it, and judges what they saw. An error means that the run
// could not be made; a promise that is broken is in the report.
func (w *World) Fuzz(ctx context.Context, o Options) (*Report, error) {
	o = o.withDefaults()
	kinds, err := w.pick(o.Faults, o.Consistency)
	if err != nil {
		return nil, err
	}
	work, err := workload.Select(o.promise(), o.Workloads)
	if err != nil {
		return nil, err
	}
	if err := w.CreateKeyspace(ctx, kv.CreateKeyspace{Name: o.Keyspace, Consistency: o.Consistency, CommitOrder: o.CommitOrder}); err != nil {
		return nil, err
	}
	r := &Report{Strikes: map[string]int{}, Run: referee.Run{Name: w.Describe(), Seed: o.Seed, Consistency: o.promise()}}
	f := &fuzz{World: w, options: o, report: r, clients: newClients(w, o, work),
		strikes: &strikes{World: w, keyspace: o.Keyspace, condemned: map[core.NodeID]bool{}}}
	f.clients.start()
	err = f.attack(ctx, plan(o.Seed, o.Length, kinds))
	if err == nil {
		err = f.heal(ctx)
	}
	f.clients.finish()
	if err != nil {
		return nil, err
	}
	f.judge(ctx)
	return r, nil
}

// fuzz is one run. What strikes belongs to the goroutine that called Fuzz; the clients have their own.
type fuzz struct {
	*World
	options Options
	report  *Report
	clients *clients
	strikes *strikes
	undoing []undo
}

type undo struct {
	at    time.Duration
	event int // in the run's events
	f     func(context.Context) error
}

// attack strikes as planned, and takes each strike back when its time is over.
func (f *fuzz) attack(ctx context.Context, plan []strike) error {
	began := f.Now()
	for _, s := range plan {
		if err := f.until(ctx, began+s.at); err != nil {
			return err
		}
		at := f.Now()
		hit, err := s.kind.strike(f.strikes, ctx, random(s.seed, 2))
		if err != nil {
			return fmt.Errorf("%s: %w", s.kind.name, err)
		}
		if hit.what == "" {
			continue
		}
		f.report.Strikes[s.kind.name]++
		f.tell(hit, at)
		if hit.undo != nil {
			f.undoing = append(f.undoing, undo{at + s.lasts, len(f.report.Run.Events) - 1, hit.undo})
		}
	}
	return f.until(ctx, began+f.options.Length)
}

func (f *fuzz) tell(hit done, at time.Duration) {
	e := referee.Event{What: hit.what, At: int64(at), Detail: hit.words}
	for _, id := range hit.nodes {
		e.Nodes = append(e.Nodes, uint32(id))
	}
	f.report.Run.Events = append(f.report.Run.Events, e)
	fmt.Fprintf(f.options.Out, "%7.3fs  %s\n", at.Seconds(), hit.words)
}

// until lets time pass up to a moment, takes back what is due, and looks whether a node has ended that should not have.
func (f *fuzz) until(ctx context.Context, end time.Duration) error {
	for {
		next := end
		for _, u := range f.undoing {
			next = min(next, u.at)
		}
		if _, err := f.Until(ctx, next-f.Now(), func() bool { f.look(); return false }); err != nil {
			return err
		}
		due := f.undoing
		f.undoing = nil
		for _, u := range due {
			if u.at > f.Now() {
				f.undoing = append(f.undoing, u)
				continue
			}
			if err := u.f(ctx); err != nil {
				return fmt.Errorf("take back %q: %w", f.report.Run.Events[u.event].Detail, err)
			}
			f.report.Run.Events[u.event].End = int64(f.Now())
		}
		if f.Now() >= end {
			return nil
		}
	}
}

// look notes a node that ended although nothing was done to it that should end one.
func (f *fuzz) look() {
	for _, id := range f.nodes {
		if !f.runs(id) && !f.strikes.condemned[id] {
			f.strikes.condemned[id] = true
			f.report.problem("node %d ended by itself: %s", id, f.processes.Ended(id))
		}
	}
}

// heal ends all faults, and waits until every node serves again.
func (f *fuzz) heal(ctx context.Context) error {
	began := f.Now()
	if err := f.Heal(ctx); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	clear(f.strikes.condemned)
	f.tell(done{what: "heal", words: "all faults have ended", nodes: f.nodes}, began)
	if err := f.AwaitReady(ctx, f.options.HealMax, f.nodes...); err != nil {
		f.report.problem("the cluster does not heal: %v", err)
		return ctx.Err()
	}
	for _, id := range f.nodes {
		var last kv.Result
		proof := lab.Request{Node: id, Keyspace: f.options.Keyspace, Timeout: f.options.Timeout,
			Command: kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("healed"), Value: fmt.Appendf(nil, "node %d", id)}}}}
		ok, err := f.Until(ctx, began+f.options.HealMax-f.Now(), func() bool {
			last = f.Do(proof)
			return last.Code == kv.OK
		})
		if err != nil {
			return err
		}
		if !ok {
			f.report.problem("%v after the faults ended, node %d takes no write: %v", f.options.HealMax, id, last.Err())
		}
	}
	fmt.Fprintf(f.options.Out, "%7.3fs  every node is ready and takes writes, %v after the faults ended\n", f.Now().Seconds(), (f.Now() - began).Round(time.Millisecond))
	return nil
}

// judge reads what is left through every node, compares the replicas, and asks the referee.
func (f *fuzz) judge(ctx context.Context) {
	run := &f.report.Run
	f.look()
	if err := f.converged(ctx); err != nil {
		f.report.problem("%v", err)
	}
	run.Final = f.clients.final(f.nodes[0])
	for _, id := range f.nodes[1:] {
		for key, value := range f.clients.final(id) {
			if run.Final[key] != value {
				f.report.problem("key %q ends as %q through node %d, and as %q through node %d", key, run.Final[key], f.nodes[0], value, id)
			}
		}
	}
	for _, key := range f.clients.unread {
		f.report.problem("%s", key)
	}
	run.History = f.clients.history
	run.History.Sort()
	f.clients.workload.Describe(run)
	f.report.Verdicts = f.clients.workload.Judge(run)
	if len(f.report.Verdicts) == 0 {
		f.report.problem("the referee has no checker for %s", run.Consistency)
	}
}

// converged waits until all replicas of the keyspace hold the same.
func (f *fuzz) converged(ctx context.Context) error {
	if f.options.Consistency == kv.Quorum {
		if err := f.repair(ctx); err != nil {
			return err
		}
	}
	var differ error
	ok, err := f.Until(ctx, f.options.HealMax, func() bool {
		if differ = f.compare(ctx); differ == nil && f.options.CommitOrder {
			differ = f.allCommitted(ctx)
		}
		return differ == nil
	})
	if err == nil && !ok {
		err = fmt.Errorf("%v after the last write %w", f.options.HealMax, differ)
	}
	return err
}

// repair has a quorum keyspace compared and made equal now. A write whose coordinator died before anybody was told of it has no
// hint, and would wait for the comparison that comes every ten minutes.
func (f *fuzz) repair(ctx context.Context) error {
	info, err := f.describe(ctx, f.options.Keyspace)
	if err != nil {
		return err
	}
	for _, g := range info.Groups {
		for _, id := range f.nodes {
			if err := f.members[id].remote.Repair(ctx, g.Group); err != nil {
				return fmt.Errorf("ask node %d to repair: %w", id, err)
			}
		}
	}
	return nil
}

// allCommitted says which replica of a keyspace with a commit order still holds tentative writes.
func (f *fuzz) allCommitted(ctx context.Context) error {
	list, err := f.Replicas(ctx, f.options.Keyspace)
	if err != nil {
		return err
	}
	for i := range list {
		if c := list[i].Status.Causal; c == nil || c.Order == nil || c.Order.Tentative > 0 {
			return fmt.Errorf("not all is committed on node %d", list[i].Node)
		}
	}
	return nil
}

var errDiffer = errors.New("the replicas differ")

// compare looks at all replicas, and keeps for the referee what they held when they were equal.
func (f *fuzz) compare(ctx context.Context) error {
	list, err := f.records(ctx, f.options.Keyspace)
	if err != nil {
		return err
	}
	f.report.Run.Replicas = list
	check, _ := referee.CheckerNamed("convergence")
	if v := check.Check(&f.report.Run); !v.OK() && len(list) > 1 {
		return fmt.Errorf("%w: %s", errDiffer, v.Why)
	}
	return nil
}
