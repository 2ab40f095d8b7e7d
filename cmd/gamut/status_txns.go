package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
)

// txnStatus lists the transactions that groups have voted for and that have not ended, as the leaders of the groups see them.
func (g *global) txnStatus(c *cobra.Command, members []remote.Member) error {
	p, err := g.printer(c, "TRANSACTION", "KEYSPACE", "SHARD", "GROUP", "STATE", "AGE", "PARTICIPANTS")
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "node %d: %v\n", m.ID, m.Err)
		}
		for _, o := range m.Status.Transactions {
			age := (time.Duration(o.AgeMillis) * time.Millisecond).String()
			groups := strings.Trim(fmt.Sprint(o.Participants), "[]")
			if err := p.Row(map[string]any{"node": m.ID, "transaction": o}, o.ID, o.Keyspace, strconv.Itoa(o.Shard),
				strconv.FormatUint(o.Group, 10), o.State, age, groups); err != nil {
				return err
			}
		}
	}
	return p.Close()
}
