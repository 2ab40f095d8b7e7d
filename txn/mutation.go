package txn

// Mutation is a bug that can be planted in a coordinator, for the simulator's canaries. A running cluster never sets one.
type Mutation uint8

// Mutations, with the trap that each one falls into.
const (
	NoMutation Mutation = iota
	// AbortWhenUnknown: T2.1: a vote that does not come counts as no, although nobody has made the group refuse.
	AbortWhenUnknown
	// CommitOnlyWhatIsCommitted: T2.2: a recovery commits only if a participant has committed already, although the client of a
	// transaction of which all have voted yes was told that it is done.
	CommitOnlyWhatIsCommitted
	// CommitWithoutAll: V2: more than half of the votes commit.
	CommitWithoutAll
	// ForgetEarly: T2.7: participants forget before all of them know the outcome.
	ForgetEarly
	// ReadOnce: T2.10: a snapshot is whatever one reading of each key finds.
	ReadOnce
	// GoneMeansNo: V9: a group that was dropped counts as one that voted no, although it may have voted yes, and all others know.
	GoneMeansNo
	mutations
)

// Mutations lists all of them.
func Mutations() (list []Mutation) {
	for m := NoMutation + 1; m < mutations; m++ {
		list = append(list, m)
	}
	return list
}

var mutationNames = [...]string{"none", "abort when unknown", "commit only what is committed", "commit without all", "forget early", "read once", "gone means no"}

// String names the mutation.
func (m Mutation) String() string { return mutationNames[m] }
