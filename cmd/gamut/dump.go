package main

import (
	"net/url"

	"github.com/spf13/cobra"
)

func dumpCommand(g *global) *cobra.Command {
	return g.levelFlag(&cobra.Command{
		Use:   "dump",
		Short: "Print all records of a keyspace, as lines of JSON unless -o says otherwise",
		Long: "Print all records of a keyspace in key order, as lines of JSON unless -o says otherwise. Keys and values that are\n" +
			"not valid UTF-8 stand in key64 and value64, in base64. A dump is not one instant: writes that happen meanwhile may be in it.",
		RunE: func(c *cobra.Command, _ []string) error {
			if g.output == "" {
				g.output = "jsonl"
			}
			return g.scan(c, url.Values{"values": {"true"}}, true)
		},
	})
}
