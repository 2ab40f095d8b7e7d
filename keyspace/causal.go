package keyspace

import (
	"fmt"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// explainCausal is Explain for keyspaces in which every replica takes writes.
func (d *Descriptor) explainCausal(replicas int) []string {
	lines := []string{judged(fmt.Sprintf("Keyspace %s is %s: every replica takes reads and writes on its own, cut off from all others if need be, and replicas that can reach each other become equal.", d.Name, d.Consistency), "convergence")}
	if d.Terms.CommitOrder {
		lines = append(lines,
			"A session sees what holds its own writes and all that it has seen, and its writes come behind all of that, on any replica; it carries a token for that.",
			"A replica that is behind a session asks the others and waits; if nobody can help in time, it answers \"behind session\" and does nothing.")
	} else if d.Consistency == kv.Causal {
		lines = append(lines,
			judged("A session sees its own writes, never sees less than it has seen, and its writes are shown behind all that it had seen and written, on any replica; it carries a token for that.", append([]string{"causal"}, sessionCheckers...)...),
			"A replica that is behind a session asks the others and waits; if nobody can help in time, it answers \"behind session\" and does nothing.")
	} else {
		lines = append(lines, "Nothing is promised about what a client sees next: another replica may be behind the one before.")
	}
	lines = append(lines, d.explainConflicts()...)
	if !d.Terms.CommitOrder {
		lines = append(lines,
			"The operations of one command are shown together on every replica. Conditions, append, rename and the like are refused: they would need all replicas.",
			"Keys end by the clock of the node that reads them, so two nodes may differ for as long as their clocks do.")
	}
	lines = append(lines,
		judged("A write is acknowledged when 1 replica has it on disk, synced; the others have it milliseconds later if they can be reached.", "durability"))
	if replicas == 1 {
		lines = append(lines, "What was acknowledged is lost only with the disk: there is no other replica.")
	} else {
		lines = append(lines, fmt.Sprintf("It works while any 1 of %d replicas is up. Crashes and power cuts lose nothing that was acknowledged; the loss of a disk loses what no other replica had yet, and sessions that had seen it are told \"session lost\".", replicas))
	}
	lines = append(lines,
		"A request that ended as unknown may have happened; a plain write may be sent again to any replica, an addition to a counter may count twice then.",
		"A write costs one sync on one node and no waiting for messages; a read costs neither.")
	if d.Terms.CommitOrder {
		return append(lines, "Levels: default and session are tentative; tentative and committed are said in every answer; read-your-writes, monotonic-reads, monotonic-writes and writes-follow-reads give one guarantee alone, eventual gives none.")
	}
	if d.Consistency == kv.Causal {
		return append(lines, "Levels: default and session are the same here; read-your-writes, monotonic-reads, monotonic-writes and writes-follow-reads give one guarantee alone, eventual gives none.")
	}
	return append(lines, "Levels: default and eventual are the same here; a level that it cannot give is refused, never lowered.")
}

// explainConflicts says what becomes of writes that do not know of each other.
func (d *Descriptor) explainConflicts() []string {
	sets := judged("A set holds what any replica has added to it, but for what was removed by someone who had seen it added: a removal takes no addition away that it did not know of, and what it took away does not come back.", "sets")
	if d.Terms.CommitOrder {
		return []string{
			judged("All replicas execute all writes in one order in the end, the same everywhere, in which each comes behind what its writer had seen. A write is committed when it has its place there and is on the disks of a majority; no committed write ever changes its place.", "commit-order", "convergence"),
			"Until then it is tentative: it is shown at once, behind all that is committed, and what it does may change when writes of others come before it. Each answer says which it is; level committed waits, for a write, and shows nothing tentative, to a read.",
			"A write may carry conditions, and a merge procedure that says what is done where they do not hold: both are judged at its place, on every replica alike.",
			fmt.Sprintf("Places are decided by the companion keyspace %s while a majority of its replicas is up; without, all stays tentative, and goes on.", CompanionName(d.Name)),
			"There is no time to live, and no clearing of the keyspace."}
	}
	if d.Terms.Siblings {
		return []string{
			"Writes to a key that did not know of each other are kept side by side, on every replica alike, and a plain read shows the newest; a write replaces what its replica holds, or, if it has the context of a read, what that read has shown.",
			sets,
			"There are no counters here, and no time to live.",
		}
	}
	return []string{
		"Of several writes to a key the one with the newest stamp wins, everywhere alike; the others are gone, and nobody is told.",
		sets,
		"Additions of all replicas are summed up; an overwriting or a deletion that competes with additions takes away those that are older, unless their replica went on adding.",
	}
}

// offersMerges says whether a keyspace knows sets and siblings, if a command asks for any.
func offersMerges(ks *kv.Keyspace, c *kv.Command) error {
	for i := range c.Ops {
		if c.Ops[i].Kind.Merges() && !Causal(ks.Consistency) {
			return kv.Errorf(kv.Unsupported, "keyspace %s is %s and has no sets and no siblings; causal and eventual keyspaces have sets, causal ones siblings", ks.Name, ks.Consistency)
		}
	}
	switch {
	case ks.Siblings:
		return bayou.OffersSiblings(c)
	case len(c.Context) > 0:
		return kv.Errorf(kv.Unsupported, "keyspace %s keeps no siblings, and so a context has no meaning; gamut keyspace create NAME --consistency causal --conflict siblings makes one that does", ks.Name)
	}
	return nil
}

// readCausal is Read for keyspaces in which every replica takes writes.
func readCausal(c kv.Consistency, view core.View, command *kv.Command, stamp kv.HLC) (r kv.Result, ok, needsLog bool) {
	if c == kv.Causal {
		r, needsLog = bayou.Read(view, command, stamp)
		return r, !needsLog, needsLog
	}
	whatever := *command
	whatever.Level, whatever.Token = kv.LevelEventual, nil
	r, needsLog = bayou.Read(view, &whatever, stamp)
	r.Token = nil
	return r, !needsLog, needsLog
}

func reportCausal(r *bayou.Replica, now core.Time) kv.GroupStatus {
	st := r.Status()
	c := &kv.CausalStatus{Vector: vectorText(st.Vector), Dropped: vectorText(st.Dropped), Stable: vectorText(st.Stable),
		LogWrites: st.LogCount, LogBytes: st.LogBytes, Waiting: st.Waiting, Peers: []kv.CausalPeer{}}
	newest := st.Vector.Last().UnixMilli()
	for _, p := range st.Peers {
		peer := kv.CausalPeer{Replica: uint32(p.Replica), Up: p.Up, Known: vectorText(p.Known), HeardMillis: -1}
		if p.Heard != 0 {
			peer.HeardMillis = int64(now-p.Heard) / 1e6
			if peer.LagMillis = -1; len(p.Known) > 0 || len(st.Vector) == 0 {
				peer.LagMillis = max(0, newest-p.Known.Last().UnixMilli())
			}
		}
		c.Peers = append(c.Peers, peer)
	}
	c.Order = reportOrder(st.Order)
	return kv.GroupStatus{Role: causalRole(&st), Applied: st.Applied, Durable: st.Durable, Commit: st.Applied, Last: st.Durable, Suspect: st.Suspect, Causal: c}
}

func vectorText(v bayou.Vector) map[string]string {
	m := map[string]string{}
	for _, e := range v {
		m[fmt.Sprint(e.Replica)] = fmt.Sprintf("%d.%d", e.Stamp.UnixMilli(), uint16(e.Stamp))
	}
	return m
}

func causalRole(st *bayou.Status) string {
	switch {
	case st.Joining:
		return "joining"
	case st.Leaving:
		return "leaving"
	}
	return "replica"
}
