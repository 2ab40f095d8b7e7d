package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// viewStatus shows who is in the views of atomic keyspaces, and what waits there.
func (g *global) viewStatus(c *cobra.Command, members []remote.Member) error {
	p, err := g.printer(c, "KEYSPACE", "SHARD", "GROUP", "NODE", "ROLE", "EPOCH", "COORDINATOR", "MEMBERS", "JOINERS", "LEASE MS", "IN DOUBT", "WAITING", "LAST CHANGE")
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "node %d: %v\n", m.ID, m.Err)
		}
		for _, r := range m.Status.Groups {
			a := r.Atomic
			if a == nil {
				continue
			}
			if err := p.Row(map[string]any{"node": m.ID, "replica": r}, r.Keyspace, strconv.Itoa(r.Shard), strconv.FormatUint(r.Group, 10), fmt.Sprint(m.ID),
				r.Role, fmt.Sprint(a.Epoch), fmt.Sprint(r.Leader), numbers(a.Members), numbers(a.Joiners), strconv.FormatInt(r.LeaseMS, 10),
				doubtText(a), fmt.Sprintf("%d reads, %d writes", a.WaitingReads, a.WaitingWrites), changeText(a)); err != nil {
				return err
			}
		}
	}
	return p.Close()
}

// doubtText is how many batches have no outcome yet, and since when the oldest of them is waited for.
func doubtText(a *kv.AtomicStatus) string {
	switch {
	case a.InDoubt == 0:
		return "none"
	case a.InDoubtMillis == 0:
		return strconv.FormatUint(a.InDoubt, 10)
	}
	return fmt.Sprintf("%d, for %d ms", a.InDoubt, a.InDoubtMillis)
}

// changeText tells of the latest change of a view, and of one that is announced.
func changeText(a *kv.AtomicStatus) string {
	var out []string
	if a.Announced != 0 {
		out = append(out, fmt.Sprintf("epoch %d is announced", a.Announced))
	}
	if n := len(a.History); n > 0 {
		last := a.History[n-1]
		out = append(out, fmt.Sprintf("%s: %s", time.UnixMilli(last.At).UTC().Format(time.RFC3339), last.Text))
	}
	return strings.Join(out, "; ")
}
