package keyspace

import (
	"fmt"

	"github.com/gamutdb/gamut/kv"
)

// Explain says in plain sentences what the keyspace promises, what it survives, what can be lost when, and what each
// operation costs.
func (d *Descriptor) Explain() []string {
	replicas := len(d.Shards[0].Ends())
	var lines []string
	switch {
	case d.Consistency == kv.Quorum:
		lines = d.explainQuorum()
	case Atomic(d.Consistency):
		lines = d.explainAtomic()
	case Causal(d.Consistency):
		lines = d.explainCausal(replicas)
	default:
		lines = append(append(d.promise(), survival(replicas)...), d.costs(replicas)...)
	}
	return append(append(lines, d.explainStore()...), d.howJudged()...)
}

func (d *Descriptor) promise() []string {
	scope, together := "in one command happen together or not at all, if their keys lie in one shard.", "strict-serializable"
	switch d.Consistency {
	case kv.Sequential:
		together = "serializable"
	case kv.Linearizable:
		scope = "in one transaction happen together or not at all, whatever shards and linearizable keyspaces their keys lie in."
	}
	lines := append(d.word(),
		judged("Several operations "+scope, together),
		judged("Versions of a record grow with every change and never repeat.", "versions"),
		"Expiry follows the time in the log, the same on all replicas.")
	spread, several := d.inShards()
	switch {
	case several && d.Consistency == kv.Linearizable:
		lines = append(lines, spread+"; a transaction over several costs one round of messages and a sync in each at the same time, and two more rounds behind the answer.")
	case several:
		lines = append(lines, spread+"; a command whose keys lie in several is refused.")
	default:
		lines = append(lines, "All its keys lie in one shard, so a command may touch any of them.")
	}
	return append(lines, d.whenSplit()...)
}

// inShards says how the keys are spread over shards; several says that there are, or may come to be, more than one.
func (d *Descriptor) inShards() (text string, several bool) {
	n := len(d.Shards)
	if d.Terms.Partitioner == "" {
		return fmt.Sprintf("Its keys are spread by hash over %d shards", n), n > 1
	}
	return fmt.Sprintf("Its keys lie in order in %s, split at %q", count(n, "shard"), d.Terms.Splits), n > 1 || Splittable(d) == nil
}

// whenSplit says when a shard is split by itself.
func (d *Descriptor) whenSplit() []string {
	if Splittable(d) != nil {
		return nil
	}
	bytes, writes := d.SplitAt()
	when := ""
	if bytes > 0 {
		when = fmt.Sprintf("at %d MiB", bytes>>20)
	}
	if writes > 0 {
		if when != "" {
			when += ", or "
		}
		when += fmt.Sprintf("when it takes %d writes a second for %d s", writes, SplitHotSeconds)
	}
	lines := []string{"A split takes nothing away from these promises: while the keys that go to the new shard are copied, requests for them wait; none fails for it."}
	if when == "" {
		return append(lines, "A shard is split when an operator says so, with gamut keyspace split, and never by itself.")
	}
	return append(lines, fmt.Sprintf("A shard is split by itself %s; what should stay together in one command should not rely on lying in one shard.", when))
}

// word says what the keyspace's one word means.
func (d *Descriptor) word() []string {
	if d.Consistency != kv.Sequential {
		return []string{judged(fmt.Sprintf("Keyspace %s is %s: every operation takes effect at one instant between its call and its reply.", d.Name, d.Consistency), "linearizable")}
	}
	return []string{
		judged(fmt.Sprintf("Keyspace %s is %s: there is one order of all operations, over all keys and shards, and each session goes through it without ever going back.", d.Name, d.Consistency), "sequential"),
		judged("A session sees its own writes at every node that it asks, as long as it carries its token along; what others write may reach it late.", sessionCheckers...),
		"Asked without a token, a node answers from some moment of the past, whole within a shard: each such request begins a session of its own.",
	}
}

func survival(replicas int) []string {
	majority := replicas/2 + 1
	spare := replicas - majority
	lines := []string{
		judged(fmt.Sprintf("A write is acknowledged when %s of %d have it on disk, synced.", count(majority, "replica"), replicas), "durability"),
	}
	if spare == 0 {
		return append(lines,
			"It works while all its replicas are up; while one is down, requests are refused as unavailable.",
			"What was acknowledged is lost only with the disks: there is no replica to spare.")
	}
	return append(lines,
		fmt.Sprintf("It works while any %d of %d replicas can reach each other; %s may be down or cut off.", majority, replicas, count(spare, "replica")),
		judged(fmt.Sprintf("Crashes and power cuts lose nothing that was acknowledged, even of all nodes at once; it takes the disks of %d nodes to lose a write.", majority), "durability"),
		judged("A request that ended as unknown may have happened, or may happen yet; one that was refused never will.", "durability"))
}

func (d *Descriptor) costs(replicas int) []string {
	round, sync := "one round of messages among the replicas", "one sync on each of them, shared by all that are written at that moment"
	if replicas == 1 {
		round, sync = "no messages among replicas", "one sync, shared by all that are written at that moment"
	}
	lines := []string{fmt.Sprintf("A write costs %s and %s.", round, sync)}
	switch {
	case d.Consistency == kv.Sequential:
		lines = append(lines,
			"A read costs neither messages nor a sync at any node with a replica that has come as far as the session, and one round trip to the leader otherwise.")
	case d.Terms.LeaseOff && replicas > 1:
		lines = append(lines, "A read costs one round of messages and no sync: leases are off, so the leader confirms itself each time, and no clock is trusted.")
	case d.Terms.LeaseOff:
		lines = append(lines, "A read costs neither messages nor a sync.")
	default:
		lines = append(lines, "A read costs the leader neither messages nor a sync while its lease holds, and one round of messages otherwise; the lease trusts that clocks run equally fast within 5 %.")
	}
	lines = append(lines, boundedLine())
	if d.Consistency == kv.Sequential {
		return append(lines,
			"A replica is behind by less than a quarter of a second while nothing fails; each shard's leader tells the others the time with every heartbeat, also while nobody writes.",
			"A replica that is cut off goes on answering sessions that have seen no more than it holds.",
			"A write asked at another node than the leader's costs one more round trip between the two.",
			"Levels: default, sequential and session are the same here; linearizable is given, too, by the leader; reads may ask for prefix or eventual, which is any replica's state as it is, and binds the session to nothing.",
			"A level that it cannot give is refused, never lowered.",
			fmt.Sprintf("Level table: read %s, write %s, others %s.", kv.Sequential, kv.Sequential, kv.Unsupported))
	}
	return append(lines,
		"Asked at another node than the leader's, an operation costs one more round trip between the two.",
		"Levels: default and linearizable are the same here; reads may ask for prefix or eventual, which is any replica's state as it is; a level that it cannot give is refused, never lowered.",
		fmt.Sprintf("Level table: read %s, write %s, others %s.", kv.Linearizable, kv.Linearizable, kv.Unsupported))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
