package lab

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/referee/workload"
	"github.com/gamutdb/gamut/sim"
)

// Fuzz runs simulated clusters, one for each seed: clients and faults drawn from it, then everything healed and the
// cluster's promise and its coming back checked.
type Fuzz struct {
	Consistency kv.Consistency
	// CommitOrder says that the keyspace, which is causal, has a commit order.
	CommitOrder bool
	// Faults are classes of sim.Classes; nil: all.
	Faults []string
	// Workloads are what clients do, by the names of workload.Table, or workload.Mixed; nil: mixtures of single operations
	// that are made for each protocol.
	Workloads []string
	// First is the first seed, Seeds how many (0: no limit), For how long to begin new ones (0: no limit).
	First uint64
	Seeds int
	For   time.Duration
	// Workers is how many run at a time; 0: as many as there are processors.
	Workers int
	// Progress, if given, is told after each seed; calls do not overlap.
	Progress func(Tally)
	// Plant puts a bug around each replica, for tests of the search.
	Plant func(core.Replica) core.Replica
}

// Tally counts what was run, to show that it was something.
type Tally struct {
	Seeds, Operations, Unknown, Refused, Faults, Crashes, Events int
	// Undecided counts the promises of seeds that the referee could not judge by what their clients saw.
	Undecided int
	// Hits count how often each fault struck, by the names of sim.Classes.
	Hits map[string]int
	// Virtual is the simulated time of all seeds together, Took the true time.
	Virtual, Took time.Duration
}

// String is the tally in words.
func (t Tally) String() string {
	text := fmt.Sprintf("%d seeds, %d operations (%d of unknown outcome, %d refused), %d faults, %d crashes, %v of simulated time in %v",
		t.Seeds, t.Operations, t.Unknown, t.Refused, t.Faults, t.Crashes, t.Virtual.Round(time.Second), t.Took.Round(time.Millisecond))
	if t.Undecided > 0 {
		text += fmt.Sprintf("; %d verdicts undecided", t.Undecided)
	}
	return text
}

func (t *Tally) add(s *sim.Stats) {
	t.Seeds++
	t.Operations += s.Acked + s.Unknown + s.Refused
	t.Unknown += s.Unknown
	t.Refused += s.Refused
	t.Faults += s.Strikes
	t.Crashes += s.Crashes
	t.Events += s.Events
	t.Undecided += s.Undecided
	t.Virtual += time.Duration(s.End)
}

// Run runs seeds until one fails, they are used up, the time is over or the context ends. It returns the run of the lowest
// seed that failed, told with its trace, and whether one did; otherwise the run of the first seed.
func (f *Fuzz) Run(ctx context.Context) (total Tally, shown sim.Result, failed bool, err error) {
	if _, err := f.options(f.First); err != nil {
		return total, shown, false, err
	}
	s := &search{fuzz: f, start: time.Now(), total: Tally{Hits: map[string]int{}}}
	workers := f.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() { s.work(ctx) })
	}
	all.Wait()
	s.total.Took = time.Since(s.start)
	if !s.failed {
		return s.total, s.shown, false, s.err
	}
	o, err := f.options(s.shown.Seed)
	if err != nil {
		return s.total, s.shown, true, err
	}
	return s.total, sim.RunTold(o), true, s.err
}

func (f *Fuzz) options(seed uint64) (o sim.Options, err error) {
	o = sim.Options{Seed: seed, Mutate: f.Plant}
	if f.Faults != nil {
		if err = o.Only(f.Faults); err != nil {
			return o, err
		}
	}
	if seed == f.First {
		if err = f.bearable(); err != nil {
			return o, err
		}
	}
	if f.Workloads != nil {
		list, err := workload.Select(f.promise(), f.Workloads)
		if err != nil {
			return o, err
		}
		o.Work = &sim.Work{Consistency: f.Consistency, CommitOrder: f.CommitOrder, Workloads: list}
	}
	o.Protocol, err = sim.Draw(f.Consistency, f.CommitOrder, seed)
	return o, err
}

// promise is what the referee holds the keyspace to.
func (f *Fuzz) promise() string { return referee.Promise(f.Consistency, f.CommitOrder) }

// bearable refuses a fault that was named and would never strike.
func (f *Fuzz) bearable() error {
	for _, name := range f.Faults {
		one, err := sim.Expand([]string{name})
		if err != nil || len(one) > 1 {
			continue // of several, what can be borne strikes
		}
		if ok, err := sim.Bears(f.Consistency, f.CommitOrder, one[0]); err == nil && !ok {
			return fmt.Errorf("faults called %q: a keyspace of consistency %s does not promise to bear them in the simulator; leave them out", name, f.Consistency)
		}
	}
	return nil
}

// Struck is how often each fault struck, in words.
func (t Tally) Struck() string { return StruckText(t.Hits) }

// StruckText lists faults that struck in the order of their classes.
func StruckText(hits map[string]int) string {
	var parts []string
	for _, c := range sim.Classes {
		if n := hits[c.Name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", c.Name, n))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// FaultClasses tells the words for faults, a line each.
func FaultClasses() string {
	var b strings.Builder
	for _, c := range sim.Classes {
		fmt.Fprintf(&b, "  %-12s %s\n", c.Name, c.Doc)
	}
	return b.String()
}

// ExpandFaults turns words for several faults into those for one each.
func ExpandFaults(names []string) ([]string, error) { return sim.Expand(names) }

// search is what the workers share.
type search struct {
	fuzz  *Fuzz
	start time.Time

	mu     sync.Mutex
	next   int
	total  Tally
	shown  sim.Result
	failed bool
	err    error
}

func (s *search) work(ctx context.Context) {
	for {
		seed, ok := s.take(ctx)
		if !ok {
			return
		}
		o, err := s.fuzz.options(seed)
		if err != nil {
			s.end(err)
			return
		}
		r := sim.Run(o)
		s.done(&r)
	}
}

// take gives out the next seed; false: there is none to begin.
func (s *search) take(ctx context.Context) (seed uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fuzz
	over := f.Seeds > 0 && s.next >= f.Seeds || f.For > 0 && time.Since(s.start) >= f.For
	if over || s.failed || s.err != nil || ctx.Err() != nil {
		return 0, false
	}
	s.next++
	return f.First + uint64(s.next-1), true
}

func (s *search) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *search) done(r *sim.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.add(&r.Stats)
	for class, n := range r.Hits { // order does not matter: sums
		s.total.Hits[class] += n
	}
	s.total.Took = time.Since(s.start)
	switch broken := r.Failure != ""; {
	case broken && (!s.failed || r.Seed < s.shown.Seed):
		s.shown, s.failed = *r, true
	case !broken && !s.failed && r.Seed == s.fuzz.First:
		s.shown = *r
	}
	if s.fuzz.Progress != nil {
		s.fuzz.Progress(s.total)
	}
}

// Replay is the command that runs one seed again.
func (f *Fuzz) Replay(seed uint64) string {
	command := "gamut lab fuzz --consistency " + string(f.Consistency)
	if f.CommitOrder {
		command += " --commit-order"
	}
	if f.Workloads != nil {
		command += " --workload " + strings.Join(f.Workloads, ",")
	}
	if f.Faults != nil {
		command += " --faults " + strings.Join(f.Faults, ",")
	}
	return command + fmt.Sprintf(" --seed %d", seed)
}

// Judged is a simulated run as the referee knows it, with its verdicts: what the checkers of the history say, and what was
// found by those that see all replicas.
func (f *Fuzz) Judged(r *sim.Result) (*referee.Run, []referee.Verdict) {
	run := &referee.Run{Name: fmt.Sprintf("seed %d", r.Seed), Seed: r.Seed, Consistency: f.promise(),
		History: r.History, Events: r.Events, Final: r.Final}
	run.Workload = strings.Join(f.Workloads, ",")
	verdicts := r.Verdicts
	if f.Workloads == nil {
		verdicts = referee.CheckAll(run)
	}
	if r.Failure != "" {
		verdicts = append([]referee.Verdict{{Check: string(r.Kind), Decision: referee.Broken, Why: r.Failure}}, verdicts...)
	}
	return run, verdicts
}
