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

// quorumStatus shows what replicas without a leader owe each other.
func (g *global) quorumStatus(c *cobra.Command, members []remote.Member) error {
	p, err := g.printer(c, "KEYSPACE", "SHARD", "GROUP", "NODE", "UP", "KEYS", "TOMBSTONES", "HINTS", "REPAIRED", "PURGED", "REPAIR")
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "node %d: %v\n", m.ID, m.Err)
		}
		for _, r := range m.Status.Groups {
			q := r.Quorum
			if q == nil {
				continue
			}
			keys, tombstones := "counting", "counting"
			if q.Counted {
				keys, tombstones = strconv.FormatInt(q.Keys, 10), strconv.FormatInt(q.Tombstones, 10)
			}
			if err := p.Row(map[string]any{"node": m.ID, "replica": r}, r.Keyspace, strconv.Itoa(r.Shard), strconv.FormatUint(r.Group, 10), fmt.Sprint(m.ID),
				numbers(q.Up), keys, tombstones, hintText(q), since(q.RepairedAt), since(q.PurgedTo), repairText(&r)); err != nil {
				return err
			}
		}
	}
	return p.Close()
}

func numbers(nodes []uint32) string {
	var out []string
	for _, n := range nodes {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ",")
}

func hintText(q *kv.QuorumStatus) string {
	var out []string
	for _, h := range q.Hints {
		out = append(out, fmt.Sprintf("node %d: %d (%d bytes, oldest %s)", h.Node, h.Count, h.Bytes, since(h.Oldest)))
	}
	if len(q.Behind) > 0 {
		out = append(out, "dropped for node "+numbers(q.Behind)+", will be compared")
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, "; ")
}

func repairText(r *kv.GroupStatus) string {
	switch {
	case r.Suspect:
		return "its disk lost something; refilling from the others"
	case r.Quorum.Change != "":
		return "members change, " + r.Quorum.Change
	case r.Quorum.Repair == "":
		return "none"
	}
	return r.Quorum.Repair
}

// since is how long ago a time was.
func since(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return time.Since(t).Round(time.Second).String() + " ago"
}
