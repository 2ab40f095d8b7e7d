package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/lab/maelstrom"
)

func labNodeCommand() *cobra.Command {
	speaks := false
	c := &cobra.Command{
		Use:   "node --maelstrom",
		Short: "Be one node of Maelstrom's lin-kv workload, so that its checkers judge our protocol",
		Long: "Be one node of Maelstrom's workload lin-kv, on standard input and output:\n\n" +
			"    maelstrom test -w lin-kv --bin gamut-lin-kv --node-count 3 --time-limit 30 --nemesis partition\n\n" +
			"where gamut-lin-kv is a script that says: exec gamut lab node --maelstrom. Its log lies in memory.",
		RunE: func(c *cobra.Command, _ []string) error {
			if !speaks {
				return usage(errors.New("in whose protocol? say --maelstrom"))
			}
			return maelstrom.Run(c.InOrStdin(), c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&speaks, "maelstrom", false, "speak Maelstrom's protocol, lines of JSON")
	return c
}
