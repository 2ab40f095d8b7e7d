package twophase

// Mutation is a bug that can be planted, one at a time: each is a mistake that somebody made, or could, and that the
// checkers must find. A running cluster never sets one.
type Mutation uint8

// Mutations, with the trap that each one falls into.
const (
	NoMutation      Mutation = iota
	FailAtTimeout            // T2.1: a write is told to have failed when its time is over
	CommitIfTold             // T2.2: a new coordinator commits what some member knows to be committed, and nothing else
	VoteBeforeSync           // T2.3: a member votes before its disk has the batch
	AbortAlone               // T2.4: a member that waits for the outcome aborts by itself
	ObeyAll                  // T2.5: a member obeys coordinators of earlier epochs
	PrepareAnew              // T2.6: a batch is prepared although the member has aborted it
	ForgetAtRestart          // T2.7: a member that restarts takes what is not known to be final for aborted
	JoinEarly                // T2.8: a joiner counts as filled when it has a snapshot
	EvaluateAtOnce           // T2.9: conditions are judged when a command arrives
	ReadInFlight             // T2.10: reads do not wait for keys in flight
	KeepEpoch                // T2.12: a coordinator that restarted goes on in its epoch
	IgnoreLease              // T2.14: reads go on when the lease is over
	SkipMember               // W5: a new coordinator does not wait for every member
	ExecuteTwice             // a command that is sent again is executed again
	ExpireByLogTime          // reads take a key for ended because some other key's batch is late enough
	AskFromOutside           // T2.13: who was left out asks to take over
	CommitUnvoted            // W3: the coordinator does not wait for every member's vote
	DropOldEarly             // W11: who is to go goes before who comes is filled
	WriteBelowLeast          // W11: while the place of a lost member is empty, batches go to fewer disks than the keyspace says
	CountOwnPause            // W6: who was paused takes the others for silent
	LeavePinned              // W11: what a replica prepared alone keeps its node's log until somebody writes
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

var mutationNames = [...]string{"none", "fail at timeout", "commit if told", "vote before sync", "abort alone", "obey all",
	"prepare anew", "forget at restart", "join early", "evaluate at once", "read in flight", "keep epoch", "ignore lease",
	"skip member", "execute twice", "expire by log time", "ask from outside", "commit unvoted",
	"drop old early", "write below least", "count own pause", "leave pinned"}

// String names the mutation.
func (m Mutation) String() string { return mutationNames[m] }
