package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
)

// storeStatus shows the stores of long values.
func (g *global) storeStatus(c *cobra.Command, members []remote.Member) error {
	p, err := g.printer(c, "NODE", "STORE", "STATE", "HITS", "MISSES", "WRONG", "REFETCHED", "LOST", "EVICTED", "STORED", "REMOVED", "INSIDE", "WAITING", "SETTLING", "TOO LONG", "NOTE")
	if err != nil {
		return err
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	for _, m := range members {
		if m.Err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "node %d: %v\n", m.ID, m.Err)
		}
		for _, v := range m.Status.Stores {
			state := "ok"
			switch {
			case v.Trouble != "":
				state = v.Trouble
			case v.Refilling:
				state = "is being refilled"
			}
			if err := p.Row(map[string]any{"node": m.ID, "store": v}, fmt.Sprint(m.ID), v.Store, state, number(v.Hits), number(v.Misses),
				number(v.Wrong), number(v.Refetched), number(v.Lost), number(v.Evicted), number(v.Stored), number(v.Removed), number(v.Inside), strconv.Itoa(v.Waiting), strconv.Itoa(v.Settling),
				number(v.TooLong), v.Note); err != nil {
				return err
			}
		}
	}
	return p.Close()
}
