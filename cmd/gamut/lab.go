package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/referee"
)

// worlds are what scripts can be played in.
var worlds = map[string]lab.Open{"sim": lab.Simulated, "live": openLive}

func labCommand(g *global) *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "Attack a cluster on purpose, and see whether it keeps its promise",
		RunE:  func(c *cobra.Command, _ []string) error { return usage(c.Help()) },
	}
	c.AddCommand(labRunCommand(g), labFuzzCommand(g), labNodeCommand(), labCommandsCommand())
	return c
}

func labCommandsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "commands",
		Short: "Print the language of lab scripts, on one page",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := io.WriteString(c.OutOrStdout(), lab.Page())
			return err
		},
	}
}

// labRun are the flags of lab run.
type labRun struct {
	lab.Options
	consistency, history string
}

func labRunCommand(g *global) *cobra.Command {
	f := &labRun{}
	c := &cobra.Command{
		Use:   "run [FILE]",
		Short: "Play a script of client commands and faults",
		Long: "Play the script in FILE, or on standard input, and compare what it prints with what it says below ----.\n" +
			"gamut lab commands prints the language. Exit code 1: something else was printed; 2: the script has a mistake;\n" +
			"6: the referee found a promise broken.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, g, args) },
	}
	flags := c.Flags()
	flags.StringVar(&f.World, "world", "", "world to play in: sim or live (default: what the script says, or sim); live with --addr attacks a cluster that runs")
	flags.Uint64Var(&f.Seed, "seed", 0, "seed of all chance (default: what the script says)")
	flags.StringVar(&f.consistency, "consistency", "", "promise of the keyspace default (default: what the script says)")
	flags.StringVar(&f.Tie, "tie", "", "which server wins when two writes have one time: low or high")
	flags.StringVar(&f.Session, "session", "", "guarantees of a session over all keys or key by key: strict or per-key")
	flags.IntVar(&f.BasePort, "base-port", liveBasePort, "world live: HTTP port of the first node; the others follow")
	flags.BoolVar(&f.Rewrite, "rewrite", false, "write what is printed into FILE, below ----")
	flags.StringVar(&f.history, "history", "", "write what clients saw into this file, as JSON lines, or as EDN if its name ends in .edn")
	return c
}

func (f *labRun) run(c *cobra.Command, g *global, args []string) error {
	if err := f.check(args); err != nil {
		return usage(err)
	}
	script, err := parseScript(c, args)
	if err != nil {
		return err
	}
	// An interrupt ends the script, and what a live world started with it.
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	open := maps.Clone(worlds)
	if c.Flags().Changed("addr") {
		open["live"] = openAttached(g.cluster().Addresses())
	}
	f.Worlds, f.Consistency, f.Out = open, kv.Consistency(f.consistency), c.OutOrStdout()
	play := lab.Play
	if f.Rewrite {
		play = lab.Rewrite
	}
	outcome, err := play(ctx, script, f.Options)
	if outcome != nil && f.history != "" {
		err = errors.Join(err, exportRuns(f.history, outcome.Runs))
	}
	if err != nil {
		return err
	}
	return f.tell(c, script, outcome)
}

func (f *labRun) check(args []string) error {
	switch {
	case f.World != "" && worlds[f.World] == nil:
		return fmt.Errorf("world %q is not known; there are sim and live", f.World)
	case f.Tie != "" && f.Tie != "low" && f.Tie != "high":
		return fmt.Errorf("tie %q is not known; give low or high", f.Tie)
	case f.Session != "" && f.Session != "strict" && f.Session != "per-key":
		return fmt.Errorf("session %q is not known; give strict or per-key", f.Session)
	case f.Rewrite && len(args) == 0:
		return errors.New("--rewrite needs a FILE to write to")
	}
	return nil
}

// parseScript reads the file, or standard input. Mistakes in it are wrong usage.
func parseScript(c *cobra.Command, args []string) (*lab.Script, error) {
	name, in := "standard input", c.InOrStdin()
	if len(args) > 0 {
		file, err := os.Open(args[0])
		if err != nil {
			return nil, err
		}
		defer file.Close()
		name, in = args[0], file
	}
	script, err := lab.Parse(name, in)
	return script, usage(err)
}

// tell says how the script went, and ends with the exit code of that.
func (f *labRun) tell(c *cobra.Command, s *lab.Script, o *lab.Outcome) error {
	for i := range o.Failures {
		fmt.Fprint(c.OutOrStdout(), o.Failures[i].Error())
	}
	switch {
	case o.Broken:
		return coded{exitBroken, fmt.Errorf("%s: the referee found a promise broken", s.Name)}
	case len(o.Failures) > 0:
		return fmt.Errorf("%s: %d of %d paragraphs printed something else than expected", s.Name, len(o.Failures), len(o.Failures)+o.Held)
	case s.Expects() && !f.Rewrite:
		fmt.Fprintf(c.ErrOrStderr(), "%s: all %d expectations hold (%s, %v of its time)\n", s.Name, o.Held, o.World, o.Took)
	}
	return nil
}

// exportRuns writes the histories of all keyspaces: of one into the file, of several each into its own, with its name
// before the file's ending.
func exportRuns(path string, runs []lab.KeyspaceRun) error {
	for _, run := range runs {
		name := path
		if len(runs) > 1 {
			ext := filepath.Ext(path)
			name = strings.TrimSuffix(path, ext) + "." + run.Keyspace + ext
		}
		if err := exportRun(name, run.Run); err != nil {
			return fmt.Errorf("write the history: %w", err)
		}
	}
	return nil
}

// exportRun writes what clients saw: the whole run as JSON lines, or the history alone as EDN if the file's name asks for it.
func exportRun(name string, run *referee.Run) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	write := run.Export
	if filepath.Ext(name) == ".edn" {
		write = run.History.ExportEDN
	}
	return errors.Join(write(file), file.Close())
}
