package acceptance

import (
	"strings"
	"testing"
)

// TestQuorumMembersChangeUnderLoad lets a fourth node join three, drains one of these, and has another one, killed with its disk wiped,
// replaced by a fifth: under load by redis clients, on a plain and on an atomic quorum keyspace. What was acknowledged is read back
// by majorities of those that are left, who are equal.
func TestQuorumMembersChangeUnderLoad(t *testing.T) {
	c := newCluster(t)
	c.must("keyspace", "create", "plain", "--consistency", "quorum", "--replicas", "3", "--shards", "2")
	c.must("keyspace", "create", "atomic", "--consistency", "quorum", "--replicas", "3", "--atomic")
	loads := []*keyspaceLoad{c.load("plain", 1), c.load("plain", 2), c.load("atomic", 1)}
	(&change{c: c, loads: loads, each: 200, lossServed: true}).happen("plain", "atomic")
	for _, keyspace := range []string{"plain", "atomic"} {
		if out := c.must("inspect", "--all", "--keyspace", keyspace); strings.Contains(out, "differ") {
			t.Errorf("inspect --all:\n%.2000s", out)
		}
	}
}
