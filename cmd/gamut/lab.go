package main

import (
	"github.com/spf13/cobra"
)

func labCommand(g *global) *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "Hurt a cluster on purpose and see whether it keeps its promises",
		RunE:  func(c *cobra.Command, _ []string) error { return usage(c.Help()) },
	}
	c.AddCommand(fuzzCommand(g))
	return c
}

func fuzzCommand(g *global) *cobra.Command {
	f := new(liveFuzz)
	cmd := &cobra.Command{
		Use:   "fuzz",
		Short: "Draw faults from a seed, strike real nodes while clients work, heal, and judge what the clients saw",
		Long: "Draw faults from a seed, strike real nodes while clients work, heal, and judge what the clients saw. The nodes are started\n" +
			"for the run, or found by --addr if all of them were started with --lab. Exit code 6 means that a promise was broken.",
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c, g) },
	}
	f.flags(cmd)
	return cmd
}
