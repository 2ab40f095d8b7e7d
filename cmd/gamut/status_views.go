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
				doubtText(a.Doubt), strconv.Itoa(a.Waiting), changeText(a)); err != nil {
				return err
			}
		}
	}
	return p.Close()
}

// doubtText is how many writes have no outcome yet, and how old the oldest of them is.
func doubtText(list []kv.DoubtStatus) string {
	oldest := int64(0)
	for _, d := range list {
		oldest = max(oldest, d.AgeMillis)
	}
	if len(list) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d (oldest %d ms)", len(list), oldest)
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
