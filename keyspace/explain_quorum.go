package keyspace

import (
	"fmt"

	"github.com/gamutdb/gamut/kv"
)

// explainQuorum says what replicas without a leader give, and above all what they do not.
func (d *Descriptor) explainQuorum() []string {
	n := len(d.Shards[0].Ends())
	majority := n/2 + 1
	lines := []string{
		fmt.Sprintf("Keyspace %s is quorum: any replica takes any request, and the newest stamp wins; each request says how many of %s must answer.", d.Name, count(n, "replica")),
		d.spread(),
	}
	if d.Terms.Atomic {
		lines = append(lines, judged("It is atomic: every get, put and deletion of a key takes effect at one instant between its call and its reply; there is still no cas and no increment.", "linearizable"))
	}
	lines = append(lines,
		judged(fmt.Sprintf("A write goes to all %d and is acknowledged when as many as its level asks for have it on disk, synced; quorum, the default, is %d.", n, majority), "durability"),
		judged(fmt.Sprintf("A read at quorum asks %d, returns the newest of their records, and first has it written to those of them that lack it; so reads at quorum never go back.", majority), "quorum"),
		fmt.Sprintf("Reads and writes at quorum work while any %d of %d replicas can be reached; level one while any one can, level all only while all can.", majority, n))
	lines = append(lines, levelLines(n)...)
	return append(append(lines, d.limits(n)...),
		"What a replica missed it gets from a hint within 3 hours or 1 GiB, from a read that finds it behind, or from comparisons every 10 minutes; all replicas are made equal every 24 hours, and after that deleted keys are forgotten: nothing deleted comes back, and nobody has to run anything. [convergence]",
		"A write costs one round of messages and one sync on each replica, shared by all that are written at that moment"+d.atomicCost()+". A read at one costs neither messages nor a sync on a node with a replica; at quorum it costs one round of messages.",
		"Crashes and power cuts lose nothing that was acknowledged, at any level; a disk that is lost takes with it what only it had: with level one that may be a write that was just acknowledged.",
		fmt.Sprintf("Level table: default quorum; one, two, quorum, all as asked; linearizable %s; sequential, session and prefix %s.", d.linearizableLevel(), kv.Unsupported))
}

func (d *Descriptor) spread() string {
	switch n := len(d.Shards); {
	case d.Terms.Partitioner != "":
		return fmt.Sprintf("Its keys lie in %s (partitioner %s, split at %q); each on the node of its range and on those behind it.", count(n, "range"), d.Terms.Partitioner, d.Terms.Splits)
	case n > 1:
		return fmt.Sprintf("Its keys are spread by hash over %d shards.", n)
	}
	return "All its keys lie in one shard."
}

// levelLines say which pairs of levels read what was written.
func levelLines(n int) []string {
	if n < 2 {
		return []string{"With one replica all levels are the same."}
	}
	majority := n/2 + 1
	return []string{
		fmt.Sprintf("A read sees what was acknowledged before if the replicas of read and write together are more than %d: quorum with quorum (%d), one with all (%d).", n, 2*majority, n+1),
		fmt.Sprintf("Weak are the pairs one with one (2) and one with quorum (%d): such a read may miss what was just acknowledged, and a later one may go back.", 1+majority),
	}
}

// limits say what level quorum does not give.
func (d *Descriptor) limits(n int) []string {
	if d.Terms.Atomic {
		return []string{
			"It does not give: cas, add, append and increments, several changes at one instant, a scan of one moment. Deleting does not tell whether the key was there.",
			"A write that timed out is unknown: it may be there, or appear hours later, from a hint.",
		}
	}
	lines := []string{
		"What quorum does not give:",
		"- It is not linearizable: the newest stamp wins, and clocks may be half a second apart, so that an acknowledged write can lose to an earlier one of another node.",
		"- A write that timed out, or that fewer replicas took than asked, is unknown: it is not taken back, and may appear hours later, from a hint.",
		"- No cas, add, append or increment: each depends on the record before it, and two replicas may each change another one. An increment that were sent again would count twice.",
		"- No change of several keys at one instant, and no scan of one moment.",
		"- Reads at one go back in time, and may miss your own writes; to read them take levels whose replicas together are more than all.",
		"- A hint is no replica: it never counts toward a level.",
		fmt.Sprintf("- Level all fails while one of %d is down, and a write that failed at all may be seen.", n),
		"- Deleting does not tell whether the key was there. A time to live ends by the reader's clock.",
	}
	if d.Terms.ClientStamps {
		lines = append(lines, "- Writes may bring stamps of their own: one that is older than what stands is acknowledged and changes nothing, and one that is newer wins whoever wrote last.")
	}
	return lines
}

func (d *Descriptor) atomicCost() string {
	if d.Terms.Atomic {
		return ", and a round of messages before that to find the newest stamp"
	}
	return ""
}

func (d *Descriptor) linearizableLevel() string {
	if d.Terms.Atomic {
		return "linearizable, which is the default here"
	}
	return kv.Unsupported.String() + " (a keyspace made with --atomic gives it)"
}
