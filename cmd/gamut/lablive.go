package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/cmd/gamut/internal/local"
	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/lab/live"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/referee/report"
)

// liveBasePort is where the ports of clusters begin that the lab starts: away from those of gamut dev.
const liveBasePort = 7600

// liveCluster is a folder for the processes of a live world.
type liveCluster struct {
	dir      string // it exists, and holds nothing else
	basePort int
	log      *os.File // what the nodes say
	// remove says that the folder goes when the processes have ended.
	remove bool
}

// newLiveCluster makes the folder of a cluster that is there to be hurt: dir, or a temporary one that goes in the end.
func newLiveCluster(dir string, basePort int) (l *liveCluster, err error) {
	l = &liveCluster{basePort: basePort, remove: dir == ""}
	if l.remove {
		dir, err = os.MkdirTemp("", "gamut-lab-")
	} else {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("folder of a new cluster: %w", err)
	}
	if l.dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if l.log, err = os.Create(filepath.Join(l.dir, "nodes.log")); err != nil {
		return nil, fmt.Errorf("log of the nodes: %w", err)
	}
	return l, nil
}

// liveProcesses are children whose folder goes with them.
type liveProcesses struct {
	*local.Cluster
	home *liveCluster
}

// Ended is live.Processes', with the reason that the process gave last.
func (p liveProcesses) Ended(node core.NodeID) string {
	how := p.Cluster.Ended(node)
	if how == "" {
		return ""
	}
	log, _ := os.ReadFile(p.home.log.Name()) // without it the reason stays out
	if why := stopped(string(log), node); why != "" {
		how += ": " + why
	}
	return how
}

// stopped is the reason that a node's last words in a log give for its end; "" if there are none.
func stopped(log string, node core.NodeID) string {
	words := fmt.Sprintf(`level=ERROR msg="the node stops" node=%d error=`, node)
	at := strings.LastIndex(log, words)
	if at < 0 {
		return ""
	}
	line, _, _ := strings.Cut(log[at+len(words):], "\n")
	if text, err := strconv.Unquote(line); err == nil {
		return text
	}
	return line
}

// Stop is live.Processes'.
func (p liveProcesses) Stop(wait time.Duration) {
	p.Cluster.Stop(wait)
	p.home.log.Close()
	if p.home.remove {
		os.RemoveAll(p.home.dir)
	}
}

// setup is live.Setup: nodes as children of this process, none of which runs yet.
func (l *liveCluster) setup(nodes, basePort int) (live.Processes, map[core.NodeID]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("path of this program: %w", err)
	}
	if basePort == 0 {
		basePort = l.basePort
	}
	// Scripts make the keyspace default themselves, with the promise that they want.
	all, err := settings.Local(nodes, l.dir, basePort, []string{string(kv.Linearizable)})
	if err != nil {
		return nil, nil, err
	}
	addresses := map[core.NodeID]string{}
	for i := range all {
		all[i].Lab = true
		addresses[core.NodeID(all[i].Node)] = all[i].Address(settings.HTTPPort)
	}
	children := local.New(program, all, io.Discard, l.log)
	children.DieWithParent = true
	return liveProcesses{children, l}, addresses, nil
}

// liveFuzz are the flags of lab fuzz that are for real processes.
type liveFuzz struct {
	on                       bool
	nodes, clients, basePort int
	dir                      string
	canary, quiet            bool
}

func (f *liveFuzz) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&f.on, "live", false, "hurt real processes instead of simulated ones: those at --addr, or some that are started for the run")
	flags.IntVar(&f.nodes, "nodes", 0, "--live: how many nodes (default 3); not with --addr")
	flags.IntVar(&f.basePort, "base-port", liveBasePort, "--live: HTTP port of the first node; the others follow")
	flags.StringVar(&f.dir, "dir", "", "--live: folder to make for their data (default: a temporary one, kept only if the run fails)")
	flags.IntVar(&f.clients, "clients", 0, "--live: how many clients work at a time (default 8)")
	flags.BoolVar(&f.canary, "canary", false, "--live: let clients read stale replicas: the run must fail, to show that it can")
	flags.BoolVar(&f.quiet, "quiet", false, "--live: tell only the outcome")
}

// absent refuses flags that mean nothing to simulated clusters.
func (f *liveFuzz) absent(c *cobra.Command) error {
	for _, name := range []string{"nodes", "clients", "base-port", "dir", "canary", "quiet", "addr"} {
		if c.Flags().Changed(name) {
			return fmt.Errorf("--%s is for real processes; say --live as well", name)
		}
	}
	return nil
}

// runLive attacks a cluster: the one at --addr, or one that it starts.
func (f *labFuzz) runLive(c *cobra.Command, g *global) error {
	switch {
	case c.Flags().Changed("first") || c.Flags().Changed("seeds") || c.Flags().Changed("workers"):
		return usage(errors.New("--first, --seeds and --workers are for simulated clusters; --live runs one --seed"))
	case f.For < 0 || f.live.clients < 0:
		return usage(fmt.Errorf("--for %v with %d clients; give more than nothing", f.For, f.live.clients))
	case f.For == 0:
		f.For = liveFor
	}
	if err := f.checkWorkloads(); err != nil {
		return usage(err)
	}
	if f.seed == 0 {
		f.seed = uint64(time.Now().UnixNano()) % 1e9
	}
	// An interrupt ends the run, and the nodes with it.
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	w, home, err := f.live.open(ctx, c, g, f.seed)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	fmt.Fprintf(out, "%s, seed %d\n", w.Describe(), f.seed)
	options := live.Options{Seed: f.seed, Length: f.For, Faults: f.Faults, Clients: f.live.clients, Consistency: kv.Consistency(f.consistency), CommitOrder: f.CommitOrder,
		Workloads: f.Workloads, Canary: f.live.canary, Out: out}
	if f.live.quiet {
		options.Out = io.Discard
	}
	nodes := len(w.Nodes())
	ran, err := w.Fuzz(ctx, options)
	if home != nil {
		if home.remove = f.live.dir == "" && err == nil && ran.OK(); !home.remove {
			fmt.Fprintln(c.ErrOrStderr(), "the nodes' data and what they said are in", home.dir)
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return errors.Join(f.writeLive(ran, nodes), f.tellLive(out, ran))
}

// liveFor is how long real processes are hurt unless the user says otherwise.
const liveFor = 30 * time.Second

// writeLive leaves the report and the history, if they are wanted.
func (f *labFuzz) writeLive(r *live.Report, nodes int) error {
	if f.history != "" {
		if err := exportRun(f.history, &r.Run); err != nil {
			return fmt.Errorf("write the history: %w", err)
		}
	}
	if f.report == "" {
		return nil
	}
	replay := fmt.Sprintf("gamut lab fuzz --live --consistency %s --for %v --seed %d", f.consistency, f.For, f.seed)
	if f.CommitOrder {
		replay += " --commit-order"
	}
	if len(f.Faults) > 0 {
		replay += " --faults " + strings.Join(f.Faults, ",")
	}
	if len(f.Workloads) > 0 {
		replay += " --workload " + strings.Join(f.Workloads, ",")
	}
	return drawReport(f.report, &report.Run{Run: &r.Run, World: report.Live, Replay: replay, Verdicts: r.Verdicts, Nodes: nodes,
		Counters: struck(r.Strikes)})
}

func (f *liveFuzz) open(ctx context.Context, c *cobra.Command, g *global, seed uint64) (w *live.World, home *liveCluster, err error) {
	if c.Flags().Changed("addr") {
		w, err = live.Attach(ctx, g.cluster().Addresses())
		return w, nil, err
	}
	if home, err = newLiveCluster(f.dir, f.basePort); err != nil {
		return nil, nil, err
	}
	home.remove = false
	if w, err = live.Open(ctx, lab.Setting{Nodes: f.nodes, Seed: seed}, home.setup); err != nil {
		return nil, nil, fmt.Errorf("%w; what the nodes said is in %s", err, home.log.Name())
	}
	return w, home, nil
}

// tell prints the outcome. A broken promise is an exit code of its own.
func (f *labFuzz) tellLive(out io.Writer, r *live.Report) error {
	counts := map[referee.Outcome]int{}
	for i := range r.Run.History {
		counts[r.Run.History[i].Outcome]++
	}
	fmt.Fprintf(out, "%d operations done, %d refused, %d unknown; faults: %s\n",
		counts[referee.Done], counts[referee.Refused], counts[referee.Unknown], lab.StruckText(r.Strikes))
	for _, v := range r.Verdicts {
		fmt.Fprintln(out, v)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(out, "PROBLEM:", p)
	}
	if r.OK() {
		return nil
	}
	path := f.history
	if path == "" {
		var err error
		if path, err = exportHistory(r); err != nil {
			return err
		}
	}
	return coded{exitBroken, fmt.Errorf("a promise is broken; the history is in %s", path)}
}

func exportHistory(r *live.Report) (string, error) {
	file, err := os.CreateTemp("", "gamut-history-*.jsonl")
	if err != nil {
		return "", err
	}
	return file.Name(), errors.Join(r.Run.History.Export(file), file.Close())
}

// openLive is lab.Open for scripts on real processes, whose data and output go with them.
func openLive(ctx context.Context, s lab.Setting) (lab.World, error) {
	home, err := newLiveCluster("", liveBasePort)
	if err != nil {
		return nil, err
	}
	w, err := live.Open(ctx, s, home.setup)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// openAttached is lab.Open for scripts on a cluster that runs already.
func openAttached(addresses []string) lab.Open {
	return func(ctx context.Context, s lab.Setting) (lab.World, error) {
		if s.Tie != "" {
			return nil, fmt.Errorf("tie %s: real nodes stamp writes by their clocks: %w", s.Tie, lab.ErrCannot)
		}
		w, err := live.Attach(ctx, addresses)
		if err != nil {
			return nil, err
		}
		if s.Nodes != 0 && s.Nodes != len(w.Nodes()) || len(s.Absent) > 0 {
			return nil, fmt.Errorf("the script asks for %d nodes, %d of them absent at first; the cluster has %d: %w",
				s.Nodes, len(s.Absent), len(w.Nodes()), lab.ErrCannot)
		}
		return w, nil
	}
}
