package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/lab/live"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/referee/report"
	"github.com/gamutdb/gamut/referee/workload"
	"github.com/gamutdb/gamut/sim"
)

// labFuzz are the flags of lab fuzz.
type labFuzz struct {
	lab.Fuzz
	live            liveFuzz
	consistency     string
	seed            uint64
	report, history string
}

func labFuzzCommand(g *global) *cobra.Command {
	f := &labFuzz{}
	c := &cobra.Command{
		Use:   "fuzz",
		Short: "Search clusters under random faults for a broken promise: simulated ones, or with --live real processes",
		Long: "Run one simulated cluster after the other, each drawn from a seed: clients, faults, then everything is healed, and\n" +
			"the promise and the coming back are checked. The first failure is printed with the command that replays it, and\n" +
			"ends the search with exit code 6. Faults:\n\n" + lab.FaultClasses() + "\nWith --live, real processes are hurt: some that are started for the run, or those at --addr, if all of them were\n" +
			"started with --lab. Of the faults they can suffer " + strings.Join(live.KindNames(), ", ") + ".\n\nWorkloads:\n\n" + workloadLines(),
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c, g) },
	}
	flags := c.Flags()
	flags.StringVar(&f.consistency, "consistency", string(kv.Linearizable), "promise to search")
	flags.BoolVar(&f.CommitOrder, "commit-order", false, "search a causal keyspace with a commit order: what is committed never moves, and is the same everywhere")
	flags.StringSliceVar(&f.Faults, "faults", nil, "faults to draw from, with commas between (default: all)")
	flags.StringSliceVar(&f.Workloads, "workload", nil, "what clients do, with commas between: "+strings.Join(workloadNames(), ", ")+", or mixed (default: mixtures of single operations; with --live, mixed)")
	flags.DurationVar(&f.For, "for", 0, "how long to begin new seeds (default: 60s, unless --seeds is given)")
	flags.IntVar(&f.Seeds, "seeds", 0, "how many seeds to run (default: no limit)")
	flags.Uint64Var(&f.First, "first", 0, "first seed (default: drawn from the time)")
	flags.Uint64Var(&f.seed, "seed", 0, "run only this seed, and print its trace if it fails")
	flags.IntVar(&f.Workers, "workers", 0, "how many to run at a time (default: one per processor)")
	flags.StringVar(&f.report, "report", "", "draw the failure, or the first seed if none fails, into this HTML file")
	flags.StringVar(&f.history, "history", "", "write the history of that seed into this file, as JSON lines, or as EDN if its name ends in .edn")
	f.live.flags(c)
	return c
}

const fuzzFor = time.Minute

func (f *labFuzz) run(c *cobra.Command, g *global) error {
	if f.live.on {
		return f.runLive(c, g)
	}
	if err := f.live.absent(c); err != nil {
		return usage(err)
	}
	if err := f.settle(c); err != nil {
		return usage(err)
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt)
	defer stop()
	bar := newTallyLine(c.ErrOrStderr())
	f.Progress = bar.show
	total, shown, failed, err := f.Run(ctx)
	bar.clear()
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	if failed {
		f.tellFailure(out, &shown)
	} else {
		fmt.Fprintf(out, "no broken promise from seed %d on: %s\nfaults: %s\n", f.First, total, total.Struck())
	}
	if err := f.write(&shown, total); err != nil {
		return err
	}
	if failed {
		return coded{exitBroken, fmt.Errorf("seed %d breaks the promise; replay: %s", shown.Seed, f.Replay(shown.Seed))}
	}
	return nil
}

// settle fills in the defaults, and finds what contradicts itself.
func (f *labFuzz) settle(c *cobra.Command) error {
	f.Consistency = kv.Consistency(f.consistency)
	changed := c.Flags().Changed
	switch {
	case f.Seeds < 0 || f.For < 0 || f.Workers < 0:
		return errors.New("--seeds, --for and --workers count from 0")
	case changed("seed") && (changed("first") || changed("seeds") || changed("for")):
		return errors.New("--seed runs one seed; leave out --first, --seeds and --for")
	case changed("seed"):
		f.First, f.Seeds = f.seed, 1
	case !changed("first"):
		f.First = uint64(time.Now().UnixMilli())
	}
	if f.Seeds == 0 && f.For == 0 {
		f.For = fuzzFor
	}
	if f.Faults != nil {
		if err := new(sim.Options).Only(f.Faults); err != nil {
			return err
		}
	}
	return f.checkWorkloads()
}

// checkWorkloads refuses workloads that there are not, or that the keyspace cannot run.
func (f *labFuzz) checkWorkloads() error {
	switch {
	case f.CommitOrder && f.consistency != string(kv.Causal):
		return fmt.Errorf("--commit-order is a term of causal keyspaces, not of %s ones; say --consistency causal", f.consistency)
	case f.Workloads == nil:
		return nil
	}
	_, err := workload.Select(referee.Promise(kv.Consistency(f.consistency), f.CommitOrder), f.Workloads)
	return err
}

func workloadLines() string {
	var b strings.Builder
	for i := range workload.Table {
		fmt.Fprintf(&b, "  %-14s %s\n", workload.Table[i].Name, workload.Table[i].Doc)
	}
	return b.String()
}

func workloadNames() (names []string) {
	for i := range workload.Table {
		names = append(names, workload.Table[i].Name)
	}
	return names
}

func (f *labFuzz) tellFailure(out io.Writer, r *sim.Result) {
	fmt.Fprintf(out, "seed %d: %s\n%s\n", r.Seed, r.Failure, r.Parameters)
	if f.seed != 0 {
		fmt.Fprintf(out, "the end of its trace:\n  %s\n", strings.Join(r.Trace, "\n  "))
	}
	fmt.Fprintf(out, "replay: %s\n", f.Replay(r.Seed))
}

// write leaves the report and the history, if they are wanted.
func (f *labFuzz) write(r *sim.Result, total lab.Tally) error {
	if r.Seed == 0 && len(r.History) == 0 {
		return nil // it ended before a seed did
	}
	run, verdicts := f.Judged(r)
	if f.history != "" {
		if err := exportRun(f.history, run); err != nil {
			return fmt.Errorf("write the history: %w", err)
		}
	}
	if f.report == "" {
		return nil
	}
	return drawReport(f.report, &report.Run{Run: run, World: report.Simulated, Replay: f.Replay(r.Seed), Verdicts: verdicts,
		Counters: append(counters(r), report.Counter{Name: "drawn for this seed", Value: r.Parameters},
			report.Counter{Name: "the whole search", Value: total.String()})})
}

// counters are what happened in one simulated run, and how often each fault struck.
func counters(r *sim.Result) []report.Counter {
	s := &r.Stats
	list := []report.Counter{{Name: "messages", Value: fmt.Sprint(s.Messages)}, {Name: "syncs", Value: fmt.Sprint(s.Syncs)},
		{Name: "reads by permit", Value: fmt.Sprint(s.LeaseReads)}, {Name: "crashes", Value: fmt.Sprint(s.Crashes)},
		{Name: "healed after", Value: time.Duration(s.Healed).Round(time.Millisecond).String()},
		{Name: "equal after", Value: time.Duration(s.Converged).Round(time.Millisecond).String()}}
	return append(list, struck(r.Hits)...)
}

// struck are the faults that struck, in the order of their classes.
func struck(hits map[string]int) (list []report.Counter) {
	for _, c := range sim.Classes {
		if n := hits[c.Name]; n > 0 {
			list = append(list, report.Counter{Name: c.Name, Value: fmt.Sprint(n)})
		}
	}
	return list
}

func drawReport(path string, r *report.Run) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := errors.Join(report.Write(file, r), file.Close()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// tallyLine is a line on a terminal that changes; elsewhere it is nothing.
type tallyLine struct {
	out   io.Writer
	on    bool
	shown time.Time
}

func newTallyLine(out io.Writer) *tallyLine {
	file, ok := out.(*os.File)
	return &tallyLine{out: out, on: ok && term.IsTerminal(int(file.Fd()))}
}

const progressEvery = 200 * time.Millisecond

func (p *tallyLine) show(t lab.Tally) {
	if p.on && time.Since(p.shown) > progressEvery {
		p.shown = time.Now()
		fmt.Fprintf(p.out, "\r\x1b[K%s", t)
	}
}

func (p *tallyLine) clear() {
	if p.on {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
