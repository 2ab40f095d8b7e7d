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
		Short: "Show how old what was read at each level was, on all nodes since their start",
		Long: `Show how old what was read at each level was, on all nodes since their start. The last column says what was counted.

at most: a replica that answers from its own state knows as of when that held all that was acknowledged. Where every replica takes
writes, in causal and eventual keyspaces, that is as long ago as the most silent of the others was heard of; while one is down, what is read grows
older with its silence. Linearizable reads are never old and not listed. /metrics has it as the histogram gamut_read_age_seconds.

missed, of some: replicas of quorum keyspaces cannot know that. At levels that may miss writes up to ten reads a second and node are made
again of all replicas, behind the client's back: how long before the read the record had been stamped that it missed, and 0 if it
missed none. While a replica is down there are none. /metrics has it as gamut_read_missed_age_seconds.

Of a quorum keyspace that is named there are estimates, too, for each pair of levels that need not overlap: how probably a read misses
a write that was acknowledged just before, and how old what is missed is in 99 % and 99.9 % of all cases. They are drawn from the times that
replicas took to answer (Bailis et al., Probabilistically Bounded Staleness, 2012), for a read through another node than the write.
Replicas that are down, hints, moves of replicas, and delays that many messages share are not in them.`,
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
			var more []estimate
			if len(args) == 1 {
				if more, err = g.estimatesOf(ctx, c, args[0], members); err != nil {
					return err
				}
			}
			return g.showAges(c, list, more)
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

func (g *global) showAges(c *cobra.Command, list []kv.ReadAges, more []estimate) error {
	p, err := g.printer(c, "KEYSPACE", "LEVEL", "READS", "HALF WITHIN", "99% WITHIN", "ALL WITHIN", "COUNTED")
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
		counted := "at most"
		if r.Checked {
			counted = "missed, of some"
		}
		if err := p.Row(r, append(cells, counted)...); err != nil {
			return err
		}
	}
	return g.showEstimates(c, p, more)
}
