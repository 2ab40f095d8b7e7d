package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/kv"
)

func keyspaceStaleness(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "staleness [NAME]",
		Short: "Show how old what was read at each level was at most, on all nodes since their start",
		Long: "Show how old what was read at each level was at most, on all nodes since their start: a replica that answers from its own\n" +
			"state knows as of when that held everything. Linearizable reads are never old and not listed; replicas of quorum, causal and\n" +
			"eventual keyspaces cannot know. /metrics has the same as the histogram gamut_read_age_seconds.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			members, err := g.cluster().Members(ctx)
			if err != nil {
				return err
			}
			var list []kv.ReadAges
			for _, m := range members {
				if m.Err != nil {
					fmt.Fprintf(c.ErrOrStderr(), "node %d: %v\n", m.ID, m.Err)
				}
				for _, r := range m.Status.Reads {
					if len(args) == 0 || args[0] == r.Keyspace {
						list = addAges(list, r)
					}
				}
			}
			return g.showAges(c, list)
		},
	}
}

// addAges counts the reads of one more node.
func addAges(list []kv.ReadAges, r kv.ReadAges) []kv.ReadAges {
	for i := range list {
		if list[i].Keyspace == r.Keyspace && list[i].Level == r.Level {
			list[i].Add(&r)
			return list
		}
	}
	return append(list, r)
}

func (g *global) showAges(c *cobra.Command, list []kv.ReadAges) error {
	p, err := g.printer(c, "KEYSPACE", "LEVEL", "READS", "HALF WITHIN", "99% WITHIN", "ALL WITHIN")
	if err != nil {
		return err
	}
	for i := range list {
		r := &list[i]
		cells := []string{r.Keyspace, r.Level, strconv.FormatUint(r.Reads, 10)}
		for _, part := range []float64{0.5, 0.99, 1} {
			age, ok := r.Within(part)
			if text := age.String(); ok {
				cells = append(cells, text)
			} else {
				cells = append(cells, "over "+kv.AgeBuckets[len(kv.AgeBuckets)-1].String())
			}
		}
		if err := p.Row(r, cells...); err != nil {
			return err
		}
	}
	return p.Close()
}
