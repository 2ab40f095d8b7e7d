package paxos

import "github.com/gamutdb/gamut/kv"

// Mutation is a bug that can be planted, one at a time: each is a mistake that somebody made, or could, and that the
// simulator's checkers must find. A running cluster never sets one. Each but the last two shows in a swarm of faults
// that package sim names for it; each but ApplyTwice, LocalTime and OutcomeUnfenced, which are about the machine, has a script in testdata
// that ends otherwise under it.
type Mutation uint8

// Mutations, with the trap that each one falls into.
const (
	NoMutation         Mutation = iota
	CountBeforeSync             // T1.18: a replica counts its own block before it is durable
	CommitOlderBallot           // T1.2: a block of an older ballot is committed by counting
	RestampBlocks               // T1.3: recovered blocks are given the new leader's ballot
	TruncateBeyond              // T1.4: what lies beyond an Accept is cut
	CommitBeyondMatch           // T1.5: a heartbeat commits what was not compared
	LeaseFromReceipt            // T1.6: the lease runs from the receipt of the grant
	ForgetGrant                 // T1.6: a voter that restarted promises at once
	PromiseDuringLease          // T1.6: a voter promises although it granted a lease
	ReadBeforeNoop              // T1.7: a new leader reads before its first block is committed
	CountEarlierRound           // T1.8: an answer to an earlier round confirms a read
	// T1.10: the notice of an overwritten block counts for the one in its place. No client can see it, because what is told
	// to others waits for the disk by the one rule, and no replica leads before all that it wrote as a follower is durable;
	// but blocks are applied that are not on disk, and the state is no fold of the log any more.
	IgnoreTruncation
	KeepOwnLog         // E5: a new leader does not adopt the best log
	InstallOldSnapshot // T1.13: a snapshot older than what is committed is installed
	ApplyTwice         // T1.11: a command sent again is executed again
	LocalTime          // T1.15: commands are judged by the replica's clock instead of the log's
	IgnoreOutgoing     // T1.14: while voters change, a majority of the new ones alone commits
	// T1.14: a new leader goes on with a change of voters before its first block is committed.
	ReconfigureUnsettled
	KeepTruncatedConfig // T1.14: the configuration of a truncated block stays in force
	TrustOldConfig      // T1.14: a candidate that adopts a change of voters does not ask the new ones
	SafeByCommit        // T1.9: the group's time is published with what is committed instead of all that is on its way
	IgnoreToken         // R5: a write is not made later than what its session has seen
	ForgetTime          // R4: a promise does not tell how late it is, and the new leader's blocks may be earlier than what was read by
	FreshUnconfirmed    // R6: a leader tells how fresh states are before a majority has confirmed that it leads
	OutcomeUnfenced     // T1.19: what was not executed is told to be not done, and executed later
	mutations
)

// Mutations lists all of them.
func Mutations() []Mutation {
	var list []Mutation
	for m := NoMutation + 1; m < mutations; m++ {
		list = append(list, m)
	}
	return list
}

var mutationNames = [...]string{"none", "count before sync", "commit older ballot", "restamp blocks", "truncate beyond",
	"commit beyond match", "lease from receipt", "forget grant", "promise during lease", "read before noop",
	"count earlier round", "ignore truncation", "keep own log", "install old snapshot", "apply twice", "local time",
	"ignore outgoing", "reconfigure unsettled", "keep truncated config", "trust old config",
	"safe by commit", "ignore token", "forget time", "fresh unconfirmed", "outcome unfenced"}

// String names the mutation.
func (m Mutation) String() string { return mutationNames[m] }

// restamp is what RestampBlocks does to the uncommitted part of the log.
func (r *Replica) restamp() {
	var old []*Block
	for i := r.commit + 1; i <= r.log.last().Index; i++ {
		old = append(old, r.log.at(i))
	}
	if len(old) == 0 {
		return
	}
	r.log.truncate(old[0].Index)
	r.revertConfigs()
	for _, b := range old {
		r.appendBlock(b.Kind, b.Payload, max(b.Time, r.log.last().Time+1))
	}
}

// blockTime is the time by which a block's commands are judged: its own.
func (r *Replica) blockTime(b *Block) kv.HLC {
	if r.options.Mutation == LocalTime {
		return r.in.Stamp
	}
	return b.Time
}
