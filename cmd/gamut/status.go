package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
)

func statusCommand(g *global) *cobra.Command {
	var groups, quorum, vectors, order, views, peers, txns, stores bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show every node as it sees itself; --peers as each other sees it, --groups shows every replica, --quorum and --vectors those without a leader, --order those with a commit order, --views those of atomic keyspaces, --stores those of long values",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			members, err := g.cluster().Members(ctx)
			if err != nil {
				return err
			}
			if peers {
				return g.peerStatus(ctx, c, members)
			}
			if order {
				return g.orderStatus(c, members)
			}
			if vectors {
				return g.vectorStatus(c, members)
			}
			if stores {
				return g.storeStatus(c, members)
			}
			if txns {
				return g.txnStatus(c, members)
			}
			if views {
				return g.viewStatus(c, members)
			}
			if quorum {
				return g.quorumStatus(c, members)
			}
			if groups {
				return g.groupStatus(c, members)
			}
			return g.nodeStatus(c, members)
		},
	}
	cmd.Flags().BoolVar(&quorum, "quorum", false, "one row for each replica of a quorum keyspace: hints, repairs, deleted keys that are kept")
	cmd.Flags().BoolVar(&groups, "groups", false, "one row for each replica")
	cmd.Flags().BoolVar(&order, "order", false, "how far each replica is with the commit order of its keyspace")
	cmd.Flags().BoolVar(&vectors, "vectors", false, "what each replica of the causal and eventual keyspaces holds, and knows of each other one")
	cmd.Flags().BoolVar(&txns, "txns", false, "one row for each group that has voted for a transaction that has not ended")
	cmd.Flags().BoolVar(&views, "views", false, "one row for each replica of an atomic keyspace: its view, writes in doubt, what waits, who was left out and why")
	cmd.Flags().BoolVar(&peers, "peers", false, "each node as each other one sees it: up or down, round trip, how far behind")
	cmd.Flags().BoolVar(&stores, "stores", false, "one row for each store in which a node keeps long values: what it was asked for, what was missing, what is lost")
	cmd.MarkFlagsMutuallyExclusive("stores", "groups", "vectors", "order", "quorum", "views", "peers", "txns")
	return cmd
}

func (g *global) nodeStatus(c *cobra.Command, members []remote.Member) error {
	p, err := g.printer(c, "NODE", "HTTP", "STATE", "LEADS", "REPLICAS", "UP FOR", "VERSION", "ALARMS")
	if err != nil {
		return err
	}
	for _, m := range members {
		row := map[string]any{"node": m.ID, "http": m.Address}
		state, up := "ready", ""
		leads := 0
		switch {
		case m.Err != nil:
			state = "no answer"
			row["error"] = m.Err.Error()
		default:
			row["status"] = m.Status
			up = time.Since(m.Status.Started).Round(time.Second).String()
			if !m.Status.Ready {
				state = "not ready: " + m.Status.NotReady
			}
		}
		for _, r := range m.Status.Groups {
			if r.Leader == m.ID {
				leads++
			}
		}
		row["state"] = state
		if err := p.Row(row, fmt.Sprint(m.ID), m.Address, state, strconv.Itoa(leads), strconv.Itoa(len(m.Status.Groups)), up,
			m.Status.Version, strings.Join(m.Status.Alarms, "; ")); err != nil {
			return err
		}
	}
	return p.Close()
}

func (g *global) groupStatus(c *cobra.Command, members []remote.Member) error {
	p, err := g.printer(c, "KEYSPACE", "SHARD", "GROUP", "NODE", "ROLE", "LEADER", "BALLOT", "COMMIT", "APPLIED", "DURABLE", "FIRST", "LAST", "FROM", "TO")
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "node %d: %v\n", m.ID, m.Err)
		}
		for _, r := range m.Status.Groups {
			number := func(n uint64) string { return strconv.FormatUint(n, 10) }
			shard := strconv.Itoa(r.Shard)
			if r.Retired {
				shard = "retired"
			}
			if err := p.Row(map[string]any{"node": m.ID, "replica": r}, r.Keyspace, shard, number(r.Group), fmt.Sprint(m.ID), r.Role,
				fmt.Sprint(r.Leader), r.Ballot, number(r.Commit), number(r.Applied), number(r.Durable), number(r.First), number(r.Last), shownKey(r.From), shownKey(r.To)); err != nil {
				return err
			}
		}
	}
	return p.Close()
}
