package machine

// Mutation is a bug that can be planted in the part of transactions, for the simulator's canaries. A running cluster never
// sets one.
type Mutation uint8

// Mutations, with the trap that each one falls into.
const (
	NoMutation         Mutation = iota
	VoteAfterRefusal            // T2.6: a late TxPrepare is voted for although the group has refused
	RefuseOverYes               // T2.6: a TxRefuse takes a vote of yes back
	ForgetWithoutMark           // T2.7: nothing is left of a transaction that is forgotten
	UnlockedConditions          // T2.9: what a condition looked at may change before the outcome
	ReadersIgnoreLocks          // T2.10: reads do not wait for transactions
	VoteUnderSeal               // V9: a group whose keyspace is being dropped votes yes
	WaitForAll                  // T2.11: a transaction waits for older ones as well, and two for each other
	StarveScans                 // T2.11: a scan lets in all transactions that come while it waits, and waits for those as well
	KeepOldLocks                // T2.8: a replica that is sent a state goes on with the locks of the one that it had
	OvertakeWaits               // V6: a command does not keep its place behind one that waits on its keys
	mutations
)

// Mutations lists all of them.
func Mutations() (list []Mutation) {
	for m := NoMutation + 1; m < mutations; m++ {
		list = append(list, m)
	}
	return list
}

var mutationNames = [...]string{"none", "vote after refusal", "refuse over yes", "forget without mark", "unlocked conditions",
	"readers ignore locks", "vote under seal", "wait for all", "starve scans", "keep old locks", "overtake waits"}

// String names the mutation.
func (m Mutation) String() string { return mutationNames[m] }
