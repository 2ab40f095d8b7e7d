package keyspace

import (
	"fmt"

	"github.com/gamutdb/gamut/kv"
)

// explainAtomic says what it means that a write is on all members, and what becomes of one that is silent.
func (d *Descriptor) explainAtomic() []string {
	n, least := len(d.Shards[0].Ends()), max(1, d.Terms.MinMembers)
	lines := []string{
		judged(fmt.Sprintf("Keyspace %s is atomic: a write is on every member of its view or on none, and any member can be read.", d.Name), "atomic", "convergence"),
		judged("Every operation takes effect at one instant between its call and its reply.", "linearizable"),
		judged("Several operations in one command happen together or not at all, if their keys lie in one shard.", "atomic"),
		judged("Versions of a record grow with every change and never repeat.", "versions"),
	}
	if shards := len(d.Shards); shards > 1 {
		lines = append(lines, fmt.Sprintf("Its keys are spread by hash over %d shards, each with a view of its own; a command whose keys lie in several is refused.", shards))
	} else {
		lines = append(lines, "All its keys lie in one shard, so a command may touch any of them.")
	}
	if d.Terms.Refuse {
		lines = append(lines, "A write to a key that is being written is refused at once and changes nothing (conflict refuse).")
	} else {
		lines = append(lines, "A write to a key that is being written waits for its turn (conflict wait).")
	}
	lines = append(lines,
		judged(fmt.Sprintf("A write is acknowledged when every member of the view has it on disk, synced; the view begins with all %s.", count(n, "replica")), "durability"),
		"A write that some member refused or did not answer in time is said to have failed only when all members have put that on disk; otherwise it is unknown, and may have happened or may happen yet.")
	lines = append(lines, viewLines(n, least)...)
	return append(lines,
		"A write costs one round of messages among the members and one sync on each of them, shared by all that are written at that moment; it is as slow as the slowest member.",
		"A read costs neither messages nor a sync at any node with a member, while that node's lease holds; a key that is being written is read when the outcome is known. The lease trusts that clocks run equally fast within 5 %, and costs each node one small write to the catalog a second while it is read.",
		"A write asked at another node than the coordinator's costs one more round trip between the two.",
		"Levels: default and linearizable are the same here; reads may ask for eventual, which is any replica's state as it is; a level that it cannot give is refused, never lowered.",
		fmt.Sprintf("Level table: read %s, write %s, others %s.", kv.Linearizable, kv.Linearizable, kv.Unsupported))
}

// viewLines say what the loss of members does.
func viewLines(n, least int) []string {
	if n == 1 {
		return []string{"What was acknowledged is lost only with the disk: there is no other replica."}
	}
	lines := []string{
		"While a member is silent writes wait; after 3 seconds, and when its lease is over, the catalog leaves it out of the view and writes go on. It refuses reads from then on, and is filled and taken in again by itself when it is back.",
	}
	if least < n {
		lines = append(lines, fmt.Sprintf("It works as long as the view keeps %s and the catalog a majority of its nodes; rather than shrink the view further, writes wait.", count(least, "member")))
	} else {
		lines = append(lines, "It takes writes while all its replicas are up: none is ever left out, unless its disk is given up (`gamut node replace`).")
	}
	return append(lines, fmt.Sprintf("Crashes and power cuts lose nothing that was acknowledged, even of all nodes at once; it takes the disks of all members of the view to lose a write, which are %s or more.", count(least, "disk")))
}
