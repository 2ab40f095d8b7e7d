package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// settle separates the turns, so that what one system still does falls less into the turn of the next.
const settle = 500 * time.Millisecond

// calibration is the length of the closed loop that finds the capacity for the overload, if none was measured.
const calibration = 2 * time.Second

// runner is a run under way.
type runner struct {
	options *options
	data    *data
	systems []*system
	results []*result
}

// result is all turns of one system at one workload.
type result struct {
	Workload string   `json:"workload"`
	System   string   `json:"system"`
	To       target   `json:"to"`
	Median   sample   `json:"median"`
	Rounds   []sample `json:"rounds"`
}

// run starts the systems, measures, writes the report and leaves nothing behind but that.
func run(ctx context.Context, o *options) error {
	dir, err := os.MkdirTemp(o.dir, "gamut-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	volatile, err := inMemory(dir)
	if err != nil {
		return err
	}
	if volatile {
		return fmt.Errorf("%s lies in memory, where syncing costs nothing; choose a folder on a disk with -dir", dir)
	}
	environment := describe(dir) // before the servers make it busy
	r := &runner{options: o, data: newData(o.keys, o.valueBytes)}
	if r.systems, err = plan(o, dir); err != nil {
		return err
	}
	defer r.stop()
	if err := r.start(ctx); err != nil {
		return errors.Join(err, r.keepLogs())
	}
	for _, w := range workloads {
		if !slices.Contains(o.workloads, w.name) {
			continue
		}
		if err := r.measure(ctx, w); err != nil {
			return errors.Join(err, r.keepLogs(), report(environment, r, err)) // what was measured until then is not lost
		}
	}
	return report(environment, r, nil)
}

// keepLogs copies what the servers said to the folder of the results.
func (r *runner) keepLogs() error {
	var errs []error
	for _, s := range r.systems {
		for _, p := range s.servers.nodes {
			said, err := os.ReadFile(p.logPath)
			if err == nil && len(said) > 0 {
				name := strings.ReplaceAll(p.name, " ", "-") + ".log"
				err = errors.Join(os.MkdirAll(r.options.out, 0o755), os.WriteFile(filepath.Join(r.options.out, name), said, 0o644))
			}
			errs = append(errs, err)
		}
	}
	progress("the servers' logs are in %s", r.options.out)
	return errors.Join(errs...)
}

func (r *runner) stop() {
	for _, s := range r.systems {
		s.servers.stop()
	}
}

// start brings the systems up one after another, each with its keys; memory is read right then.
func (r *runner) start(ctx context.Context) error {
	started := map[*servers]bool{}
	for _, s := range r.systems {
		if started[s.servers] {
			continue
		}
		started[s.servers] = true
		progress("start %s", s.name)
		if err := s.servers.start(ctx); err != nil {
			return fmt.Errorf("start %s: %w", s.name, err)
		}
		begun := time.Now()
		err := load(ctx, s, r.data)
		pause(ctx, 2*settle)
		if err = errors.Join(err, s.servers.exited()); err != nil {
			return err
		}
		used, err := s.servers.memory()
		if err != nil {
			return err
		}
		progress("  %d keys in %.1f s, %.0f MB", r.data.keys, time.Since(begun).Seconds(), float64(used)/1e6)
		if slices.Contains(r.options.workloads, "memory") {
			r.result(s, workloads[0], spread).add(sample{MemoryMB: float64(used) / 1e6})
		}
	}
	return nil
}

// measure runs all rounds of a workload: in each round every system has its turn.
func (r *runner) measure(ctx context.Context, w workload) error {
	rounds := r.options.rounds
	switch w.shape {
	case afterLoad:
		return nil // was done at the start
	case afterLeader:
		rounds = r.options.trials
	case whileJoining:
		rounds = 1 // the node is a member then
	}
	progress("%s: %s", w.name, w.title)
	for round := range rounds {
		for _, s := range r.systems {
			if !s.takesPart(w) {
				continue
			}
			for _, t := range s.runs(w, r.options.targets) {
				pause(ctx, settle)
				runtime.GC() // so that no system pays for the garbage of the turn before
				one, err := r.turn(ctx, s, w, t, round)
				if err = errors.Join(err, s.servers.exited()); err != nil {
					return fmt.Errorf("%s at %s: %w", s.name, w.name, err)
				}
				r.result(s, w, t).add(one)
				progress("  %-12s %-6s %s", s.name, t, one.short())
			}
		}
	}
	return nil
}

func (r *runner) turn(ctx context.Context, s *system, w workload, t target, round int) (sample, error) {
	if w.shape == afterLeader {
		return runFailover(ctx, s, r.data)
	}
	if r.options.profile != "" && len(s.servers.profiles) > 0 {
		defer profile(ctx, s, fmt.Sprintf("%s/%s-%s", r.options.profile, w.name, t), r.options.round)()
	}
	if w.shape == whileJoining {
		return runJoin(ctx, s, w, r.data, r.options)
	}
	if w.shape == quiet {
		return runQuiet(ctx, s, r.options.round)
	}
	endpoints, err := s.at(ctx, t, round)
	if err != nil {
		return sample{}, err
	}
	switch w.shape {
	case fixedRate:
		return runOpen(ctx, s, w, w.rate, endpoints, r.data, r.options)
	case overload:
		capacity, err := r.capacity(ctx, s, t, endpoints)
		if err != nil {
			return sample{}, err
		}
		return runOpen(ctx, s, w, overloadFactor*capacity, endpoints, r.data, r.options)
	}
	return runClosed(ctx, s, w, endpoints, r.data, r.options)
}

func runQuiet(ctx context.Context, s *system, length time.Duration) (sample, error) {
	begin, err := readClocks(s.servers)
	if err != nil {
		return sample{}, err
	}
	pause(ctx, length)
	end, err := readClocks(s.servers)
	used := float64(end.server-begin.server) / float64(end.at.Sub(begin.at))
	return sample{IdlePercent: 100 * used}, errors.Join(err, ctx.Err())
}

// capacity is what the system took in a closed loop, at its best: with pipelines, unless it has none.
func (r *runner) capacity(ctx context.Context, s *system, t target, endpoints []string) (float64, error) {
	const best = "write-c50-p16"
	var most float64
	for _, name := range []string{"write-c256", best} {
		if known := r.find(s.name, name, t); known != nil {
			most = max(most, known.Median.OpsPerSecond)
		}
	}
	if most > 0 {
		return most, nil
	}
	o := *r.options
	o.round = calibration
	w := workloads[slices.Index(workloadNames(), best)]
	one, err := runClosed(ctx, s, w, endpoints, r.data, &o)
	if err == nil && one.OpsPerSecond == 0 {
		err = fmt.Errorf("no write was done in %v: %s", calibration, one.FirstError)
	}
	if err == nil {
		r.result(s, w, t).add(one)
	}
	return one.OpsPerSecond, err
}

// result finds or makes the entry of a system, a workload and a target.
func (r *runner) result(s *system, w workload, t target) *result {
	if known := r.find(s.name, w.name, t); known != nil {
		return known
	}
	r.results = append(r.results, &result{Workload: w.name, System: s.name, To: t})
	return r.results[len(r.results)-1]
}

func (r *result) add(one sample) {
	r.Rounds = append(r.Rounds, one)
	r.Median = median(r.Rounds)
}

// progress tells the person who waits.
func progress(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
}
