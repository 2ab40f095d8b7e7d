package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// options is what the command line chooses.
type options struct {
	gamut, etcd string // binaries; an empty etcd is built from the module that go.mod pins
	systems     []string
	workloads   []string
	targets     []target
	keys        int
	valueBytes  int
	round       time.Duration
	rounds      int
	trials      int
	basePort    int
	window      int
	dir, out    string
	profile     string
}

// warmUp precedes each measurement and is not part of it.
func (o *options) warmUp() time.Duration { return min(o.round/5, time.Second) }

// parseOptions reads the command line and checks it.
func parseOptions(arguments []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.gamut, "gamut", "../bin/gamut", "the gamut `binary`")
	flags.StringVar(&o.etcd, "etcd", "", "an etcd `binary`; without it etcd is built from the module in go.mod, or else found in PATH")
	systems := flags.String("systems", strings.Join(systemNames, ","), "who takes part, separated by commas")
	workloads := flags.String("workloads", strings.Join(workloadNames(), ","), "what is measured, separated by commas")
	to := flags.String("to", "both", "where the clients of a cluster connect: spread (over all nodes), leader, or both in turn")
	seconds := flags.Float64("seconds", 5, "length of one turn")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds; each reported figure is their median")
	flags.IntVar(&o.trials, "trials", 5, "trials of failover")
	flags.IntVar(&o.keys, "keys", 100_000, "number of keys")
	flags.IntVar(&o.valueBytes, "value", 256, "bytes of a value")
	flags.IntVar(&o.basePort, "base-port", 17400, "first of about 400 TCP ports to use")
	flags.IntVar(&o.window, "window", 50_000, "writes under way in an open loop, over all clients; those that are due beyond it are counted as held back")
	flags.StringVar(&o.dir, "dir", "", "existing `folder`, on a real disk, under which data lies during the run; default: the folder for temporary files")
	flags.StringVar(&o.out, "out", "results", "`folder` for the tables")
	flags.StringVar(&o.profile, "profile", "", "existing `folder` for CPU profiles of each Gamut node and of bench at each turn of Gamut; they cost time, do not quote figures from such a run")
	quick := flags.Bool("quick", false, "a look whether all works: 1 s, 1 round, 10,000 keys, 1 trial, clients spread; the figures mean nothing")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	o.round = time.Duration(*seconds * float64(time.Second))
	if *quick {
		o.round, o.rounds, o.trials, o.keys, *to = time.Second, 1, 1, 10_000, "spread"
	}
	o.systems, o.workloads = strings.Split(*systems, ","), strings.Split(*workloads, ",")
	targets, known := map[string][]target{"spread": {spread}, "leader": {leader}, "both": {spread, leader}}[*to]
	if !known {
		return nil, fmt.Errorf("-to %s: want spread, leader or both", *to)
	}
	o.targets = targets
	return o, o.validate()
}

func (o *options) validate() error {
	for _, name := range o.systems {
		if !slices.Contains(systemNames, name) {
			return fmt.Errorf("unknown system %q; there are %s", name, strings.Join(systemNames, ", "))
		}
	}
	for _, name := range o.workloads {
		if !slices.Contains(workloadNames(), name) {
			return fmt.Errorf("unknown workload %q; there are %s", name, strings.Join(workloadNames(), ", "))
		}
	}
	if slices.Contains(o.systems, "gamut") {
		if _, err := os.Stat(o.gamut); err != nil {
			return fmt.Errorf("%w; build it with make build, name it with -gamut, or leave it out with -systems", err)
		}
	}
	switch {
	case o.keys < 1 || o.keys > maxKeys:
		return fmt.Errorf("-keys %d: want 1 to %d", o.keys, maxKeys)
	case o.valueBytes < 1 || o.valueBytes > maxValueBytes:
		return fmt.Errorf("-value %d: want 1 to %d", o.valueBytes, maxValueBytes)
	case o.round < 100*time.Millisecond:
		return errors.New("-seconds: want at least 0.1")
	case o.window < 1:
		return errors.New("-window: want at least 1")
	case o.rounds < 1 || o.trials < 1:
		return errors.New("-rounds and -trials: want at least 1")
	}
	return nil
}
