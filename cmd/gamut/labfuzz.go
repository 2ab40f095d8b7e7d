package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
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
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/sim"
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

// liveFuzz are the flags of lab fuzz.
type liveFuzz struct {
	live bool

	nodes, clients, basePort int
	dir, consistency         string
	faults                   []string
	seed                     uint64
	length                   time.Duration
	canary, quiet            bool
}

func labFuzzCommand(g *global) *cobra.Command {
	f := new(liveFuzz)
	c := &cobra.Command{
		Use:   "fuzz",
		Short: "Draw faults from a seed, strike while clients work, heal, and judge what the clients saw",
		Long: "Draw faults from a seed, strike while clients work, heal, and judge what the clients saw: in the simulator, one seed after\n" +
			"the other, or with --live on real processes. A cluster that runs already is attacked if --addr names one of its nodes\n" +
			"and all of them were started with --lab. Exit code 6: a promise was broken.",
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c, g) },
	}
	f.flags(c)
	return c
}

func (f *liveFuzz) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&f.live, "live", false, "hurt real processes instead of simulated ones: those at --addr, or some that are started for the run")
	flags.IntVar(&f.nodes, "nodes", 0, "how many nodes (default: 3, or drawn); not with --addr")
	flags.IntVar(&f.basePort, "base-port", liveBasePort, "HTTP port of the first node; the others follow")
	flags.StringVar(&f.dir, "dir", "", "folder to make for their data (default: a temporary one, kept only if the run fails)")
	flags.StringVar(&f.consistency, "consistency", string(kv.Linearizable), "promise to attack")
	flags.StringSliceVar(&f.faults, "faults", nil, "faults of --live to draw from (default: all): "+strings.Join(live.KindNames(), ", "))
	flags.Uint64Var(&f.seed, "seed", 0, "draws faults and operations (default: by the time)")
	flags.DurationVar(&f.length, "for", 30*time.Second, "how long faults strike, or how long to simulate")
	flags.IntVar(&f.clients, "clients", 0, "how many clients work at a time (default: 8, or drawn)")
	flags.BoolVar(&f.canary, "canary", false, "let clients of --live read stale replicas: the run must fail, to show that it can")
	flags.BoolVar(&f.quiet, "quiet", false, "tell only the outcome")
}

// run attacks a cluster: the one at --addr, or one that it starts.
func (f *liveFuzz) run(c *cobra.Command, g *global) error {
	if f.seed == 0 {
		f.seed = uint64(time.Now().UnixNano()) % 1e9
	}
	if f.length <= 0 || f.clients < 0 {
		return usage(fmt.Errorf("--for %v with %d clients; give more than nothing", f.length, f.clients))
	}
	// An interrupt ends the run, and the nodes with it.
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if !f.live {
		return f.simulate(ctx, c)
	}
	w, home, err := f.open(ctx, c, g)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	fmt.Fprintf(out, "%s, seed %d\n", w.Describe(), f.seed)
	options := live.Options{Seed: f.seed, Length: f.length, Faults: f.faults, Clients: f.clients, Consistency: kv.Consistency(f.consistency),
		Canary: f.canary, Out: out}
	if f.quiet {
		options.Out = io.Discard
	}
	report, err := w.Fuzz(ctx, options)
	if home != nil {
		if home.remove = f.dir == "" && err == nil && report.OK(); !home.remove {
			fmt.Fprintln(c.ErrOrStderr(), "the nodes' data and what they said are in", home.dir)
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return f.tell(out, report)
}

func (f *liveFuzz) open(ctx context.Context, c *cobra.Command, g *global) (w *live.World, home *liveCluster, err error) {
	if c.Flags().Changed("addr") {
		w, err = live.Attach(ctx, g.cluster().Addresses())
		return w, nil, err
	}
	if home, err = newLiveCluster(f.dir, f.basePort); err != nil {
		return nil, nil, err
	}
	home.remove = false
	if w, err = live.Open(ctx, lab.Setting{Nodes: f.nodes, Seed: f.seed}, home.setup); err != nil {
		return nil, nil, fmt.Errorf("%w; what the nodes said is in %s", err, home.log.Name())
	}
	return w, home, nil
}

// simulate runs seeds in the simulator, from the first one on, until the time is over.
func (f *liveFuzz) simulate(ctx context.Context, c *cobra.Command) error {
	for _, name := range []string{"faults", "canary", "dir", "base-port", "addr"} {
		if c.Flags().Changed(name) {
			return usage(fmt.Errorf("--%s is for real processes; say --live as well", name))
		}
	}
	if f.consistency != string(kv.Linearizable) {
		return usage(fmt.Errorf("consistency %q cannot be simulated here; there is %q", f.consistency, kv.Linearizable))
	}
	out := c.OutOrStdout()
	seed, began := f.seed, time.Now()
	for ; ctx.Err() == nil && time.Since(began) < f.length; seed++ {
		r := sim.RunTold(sim.Options{Seed: seed, Protocol: sim.DrawPaxos(seed, paxos.NoMutation), Nodes: f.nodes, Clients: f.clients})
		if r.Failure != "" {
			fmt.Fprintf(out, "seed %d, %s\n%s\n%s\n", seed, r.Parameters, strings.Join(r.Trace, "\n"), r.Failure)
			return coded{exitBroken, fmt.Errorf("a promise is broken; --seed %d shows it again", seed)}
		}
		if !f.quiet {
			fmt.Fprintf(out, "seed %d: %v\n", seed, r.Stats)
		}
	}
	fmt.Fprintf(out, "%d seeds from %d on: every promise holds\n", seed-f.seed, f.seed)
	return ctx.Err()
}

// tell prints the outcome. A broken promise is an exit code of its own.
func (f *liveFuzz) tell(out io.Writer, r *live.Report) error {
	counts := map[referee.Outcome]int{}
	for i := range r.Run.History {
		counts[r.Run.History[i].Outcome]++
	}
	fmt.Fprintf(out, "%d operations done, %d refused, %d unknown; faults: %s\n",
		counts[referee.Done], counts[referee.Refused], counts[referee.Unknown], struck(r.Strikes))
	for _, v := range r.Verdicts {
		fmt.Fprintln(out, v)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(out, "PROBLEM:", p)
	}
	if r.OK() {
		return nil
	}
	path, err := exportHistory(r)
	if err != nil {
		return err
	}
	return coded{exitBroken, fmt.Errorf("a promise is broken; the history is in %s", path)}
}

func struck(strikes map[string]int) string {
	var parts []string
	for _, name := range live.KindNames() {
		if n := strikes[name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, n))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
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
