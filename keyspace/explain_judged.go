package keyspace

import (
	"fmt"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// judged is a line of an explanation with the checkers of the referee that judge whether it holds.
func judged(line string, checkers ...string) string {
	return line + " [" + strings.Join(checkers, ", ") + "]"
}

// howJudged says what the words in brackets are and how to run them.
func (d *Descriptor) howJudged() []string {
	compare := "gamut verify compares the values of all its replicas at any time."
	if onPaxos(d.Consistency) {
		compare = "gamut verify compares the values of all its replicas at any time, gamut audit the chains of their logs."
	}
	promise := string(d.Consistency)
	if d.Terms.CommitOrder {
		promise += " --commit-order"
	}
	return []string{
		fmt.Sprintf("In brackets: the checkers of the referee that judge a line by what clients saw. Against this cluster, if its nodes run with --lab: gamut lab fuzz --live --addr HOST:PORT --consistency %s. Against one that is made for it: the same without --addr. In the simulator, by the thousand: without --live.", promise),
		compare,
	}
}

// sessionCheckers are those of the four guarantees of a session.
var sessionCheckers = []string{"read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads"}

// boundedLine says what bounded reads of keyspaces on paxos groups show and cost.
func boundedLine() string {
	return judged(fmt.Sprintf("Reads at level %s show all that was acknowledged 5 s before, reads at %s all but the last 10 versions of their shard, as of a second before at most; any replica that knows itself to be as fresh answers, without messages, and the leader otherwise.",
		kv.BoundedAge(5e9), kv.BoundedVersions(10)), "bounded-staleness")
}
