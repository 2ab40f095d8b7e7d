package bayou

// Mutation is a bug that can be planted, one at a time, to show that scripts and checkers find it. A running cluster never
// sets one.
type Mutation uint8

// Mutations, with the trap that each one falls into.
const (
	NoMutation      Mutation = iota
	OfferUnsynced            // T4.2: a write is offered to peers before it is durable
	CopyVector               // T4.3: the sender's vector is taken over although the stream was cut
	ForgetMerge              // T4.4: a stamp does not follow what the replica and the session have seen
	ReadsOnly                // T4.5: the token is checked on reads and not on writes
	SmallestWins             // T4.6: of two writes with one stamp the lower replica wins where they arrive, the higher one elsewhere
	ReuseStamps              // T4.7: a replica that lost its log goes on where its disk ends
	TruncateEarly            // T4.8: a write leaves the log when one peer has it
	ReplaceState             // T4.8: a state that is received replaces newer records
	IgnoreBase               // T5.1: writes are taken although what precedes them is not there
	ArrivalOrder             // T4.10: of two writes the one that arrives last wins
	DropTombstones           // T4.13: a deletion is forgotten before every member has it
	DropUnsettled            // T4.13: it is forgotten although older writes of members are still on their way
	IgnoreLost               // T4.14: a session that saw a lost write is served silently
	LoseAdditions            // B4: a set takes away additions that are newer than it and that its writer had not seen
	DropEntry                // T4.9: the vector entry of a retired replica is dropped, and its writes are taken again
	RetireEarly              // B8: a replica is taken for retired before all that it wrote is here
	ServeUnjoined            // B8: a replica serves before it has joined
	IgnoreFormer             // T4.14: a session that saw a write which was lost with a retired replica is served silently
	TakeUnseen               // B11: what takes parts of a set or siblings away takes those that its writer had not seen, too
	ReviveParts              // B11: a state that is received brings back parts that were taken away here
	WidenContext             // B12: a write with a context replaces what its replica holds, though its client had not read it
	StampSealed              // B8: a replica that leaves gives a stamp all the same, when its disk has lost something
	CommitAlone              // B6: a cut commits what no other member has on disk
	CommitByArrival          // T4.11: of a cut those writes are committed that are here, and the others when they come
	CommitTwice              // B6: a cut that was committed in part is begun anew after a crash
	SkipRedo                 // B4: what is tentative stays as it was when something is committed before it
	ExecuteLast              // B4: a write that comes late is executed behind those that it precedes
	MergeDiffers             // T4.12: a merge procedure does on some replicas what it does not on others
	ReplyTentative           // B6: a write is called committed when it is not
	LateVector               // T4.1: the vector of a message is read after the writes that it should describe
	TrustReports             // B13: what a peer reports counts before the writes that it reports are here
	CoverMemory              // B7: the node's log is called covered although the write log has some of it in memory only
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

var mutationNames = [...]string{"none", "offer unsynced", "copy vector", "forget merge", "reads only", "smallest wins", "reuse stamps",
	"truncate early", "replace state", "ignore base", "arrival order", "drop tombstones", "drop unsettled", "ignore lost", "lose additions",
	"drop entry", "retire early", "serve unjoined", "ignore former", "take unseen", "revive parts",
	"widen context", "stamp sealed", "commit alone", "commit by arrival", "commit twice",
	"skip redo", "execute last", "merge differs", "reply tentative", "late vector", "trust reports", "cover memory"}

// String names the mutation.
func (m Mutation) String() string { return mutationNames[m] }
