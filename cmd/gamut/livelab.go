package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
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
)

// liveBasePort is where the ports of clusters begin that the lab starts: away from those of gamut dev.
const liveBasePort = 7600

// liveCluster says where the processes of a live world lie.
type liveCluster struct {
	dir      string // of the data; it must not exist
	basePort int
	log      io.Writer // what the nodes say
}

// setup is live.Setup: nodes as children of this process, none of which runs yet.
func (l liveCluster) setup(nodes, basePort int) (live.Processes, map[core.NodeID]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("path of this program: %w", err)
	}
	if basePort == 0 {
		basePort = l.basePort
	}
	all, err := settings.Local(nodes, l.dir, basePort, []string{"default"})
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
	return children, addresses, nil
}

// newLiveCluster makes the folder of a cluster that is there to be hurt. keep says that somebody named it: a folder that the
// lab made for itself goes with the run, unless the run failed.
func newLiveCluster(dir string, basePort int) (l liveCluster, end func(failed bool), err error) {
	named := dir != ""
	if named {
		err = os.Mkdir(dir, 0o755)
	} else {
		dir, err = os.MkdirTemp("", "gamut-lab-")
	}
	if err != nil {
		return l, nil, fmt.Errorf("folder of a new cluster: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return l, nil, err
	}
	log, err := os.Create(filepath.Join(dir, "nodes.log"))
	if err != nil {
		return l, nil, fmt.Errorf("log of the nodes: %w", err)
	}
	end = func(failed bool) {
		log.Close()
		if !named && !failed {
			os.RemoveAll(dir)
		}
	}
	return liveCluster{dir: dir, basePort: basePort, log: log}, end, nil
}

// liveFuzz are the flags of a run on real processes.
type liveFuzz struct {
	nodes, clients, basePort int
	dir, consistency         string
	faults                   []string
	seed                     uint64
	length                   time.Duration
	canary, quiet            bool
}

func (f *liveFuzz) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.IntVar(&f.nodes, "nodes", 3, "how many nodes to start; not with --addr")
	flags.IntVar(&f.basePort, "base-port", liveBasePort, "HTTP port of the first node; the others follow")
	flags.StringVar(&f.dir, "dir", "", "folder to make for their data (default: a temporary one, kept only if the run fails)")
	flags.StringVar(&f.consistency, "consistency", string(kv.Linearizable), "promise to attack")
	flags.StringSliceVar(&f.faults, "faults", nil, "faults to draw from (default: all): "+strings.Join(live.KindNames(), ", "))
	flags.Uint64Var(&f.seed, "seed", 0, "draws faults and operations (default: by the time)")
	flags.DurationVar(&f.length, "for", 30*time.Second, "how long faults strike")
	flags.IntVar(&f.clients, "clients", 8, "how many clients work at a time")
	flags.BoolVar(&f.canary, "canary", false, "let clients read stale replicas: the run must fail, to show that it can")
	flags.BoolVar(&f.quiet, "quiet", false, "tell only the outcome")
}

// run attacks a cluster: the one at --addr, or one that it starts.
func (f *liveFuzz) run(c *cobra.Command, g *global) error {
	if f.seed == 0 {
		f.seed = uint64(time.Now().UnixNano()) % 1e9
	}
	if f.length <= 0 || f.clients < 1 {
		return usage(fmt.Errorf("--for %v with %d clients; both must be positive", f.length, f.clients))
	}
	// An interrupt ends the run, and the nodes with it.
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	w, end, err := f.open(ctx, c, g)
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
	end(err != nil || !report.OK())
	if err != nil {
		return err
	}
	return f.tell(out, report)
}

func (f *liveFuzz) open(ctx context.Context, c *cobra.Command, g *global) (w *live.World, end func(failed bool), err error) {
	if c.Flags().Changed("addr") {
		if w, err = live.Attach(ctx, g.cluster().Addresses()); err != nil {
			return nil, nil, err
		}
		return w, func(bool) { w.Close() }, nil
	}
	cluster, remove, err := newLiveCluster(f.dir, f.basePort)
	if err != nil {
		return nil, nil, err
	}
	if w, err = live.Open(ctx, lab.Setting{Nodes: f.nodes, Seed: f.seed}, cluster.setup); err != nil {
		remove(true)
		return nil, nil, fmt.Errorf("%w; what the nodes said is in %s", err, cluster.dir)
	}
	return w, func(failed bool) {
		w.Close()
		remove(failed)
		if failed {
			fmt.Fprintf(c.ErrOrStderr(), "the nodes' data and what they said are in %s\n", cluster.dir)
		}
	}, nil
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

// openLive is lab.Open for scripts on real processes.
func openLive(dir string, basePort int) (open lab.Open, end func(failed bool), err error) {
	cluster, end, err := newLiveCluster(dir, basePort)
	return live.Opener(cluster.setup), end, err
}

// openAttached is lab.Open for scripts on a cluster that runs already.
func openAttached(addresses []string) lab.Open {
	return func(ctx context.Context, s lab.Setting) (lab.World, error) {
		w, err := live.Attach(ctx, addresses)
		if err != nil {
			return nil, err
		}
		if s.Nodes != 0 && s.Nodes != len(w.Nodes()) || slices.Max(append(s.Absent, 0)) > 0 {
			return nil, fmt.Errorf("the script asks for %d nodes, %d of them absent; the cluster has %d: %w", s.Nodes, len(s.Absent), len(w.Nodes()), lab.ErrCannot)
		}
		return w, nil
	}
}
