package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
)

// orderStatus shows how far each replica is with the commit order of its keyspace; of all such keyspaces unless one was named.
func (g *global) orderStatus(c *cobra.Command, members []remote.Member) error {
	p, err := g.printer(c, "KEYSPACE", "NODE", "REPLICA", "COMMITTED", "TENTATIVE", "CHAIN", "CUT", "REDONE", "WAITING")
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "node %d: %v\n", m.ID, m.Err)
		}
		for _, s := range m.Status.Groups {
			if s.Causal == nil || s.Causal.Order == nil || c.Flags().Changed("keyspace") && s.Keyspace != g.keyspace {
				continue
			}
			o := s.Causal.Order
			if err := p.Row(map[string]any{"node": m.ID, "replica": s}, s.Keyspace, fmt.Sprint(m.ID), fmt.Sprint(s.Replica), fmt.Sprint(o.Committed),
				fmt.Sprint(o.Tentative), o.Chain, fmt.Sprintf("%d of %d", o.Cut, o.Known), fmt.Sprint(o.Undone), fmt.Sprint(o.Waiting)); err != nil {
				return err
			}
		}
	}
	return p.Close()
}
