package quorum

// Mutation is a bug that can be planted, one at a time: each is a mistake that somebody made, or could, and that a script or
// the simulator's checkers must find. A running cluster never sets one.
type Mutation uint8

// Mutations, with the trap that each one falls into.
const (
	NoMutation          Mutation = iota
	RollBack                     // T3.1: a write that missed its level is undone
	CountHints                   // T3.2: a hint counts toward the level
	DropByTarget                 // T3.2: all hints of a replica are deleted when some have arrived
	PurgeByAge                   // T3.3: tombstones go by their age
	EntropyIgnoresPurge          // T3.3: a late push of anti-entropy brings back what was purged
	AnswerBeforeRepair           // T3.4: a read does not wait for its repair
	RestampRepairs               // T3.5: a repair gets a stamp of its own
	StoreBlindly                 // T3.6: what arrives last stands
	CountTwice                   // T3.7: an answer that comes twice counts twice
	TiesByArrival                // T3.8: of equal stamps the one that arrives last stands
	TrustAnyStamp                // T3.9: stamps from far ahead are taken
	LateUnavailable              // T3.11: a write that some replicas have is said not to have happened
	AckBeforeDurable             // T3.12: a replica answers before its disk has the record
	ShowBeforeDurable            // T3.12: a replica shows what its disk does not have
	CompareDead                  // T3.13: what may be forgotten is compared
	PurgeWithoutRefusal          // T3.14: the line is not drawn before the comparison
	RepairDead                   // T3.15: a tombstone that may be forgotten is written back for ever
	SkipFirstPhase               // T3.16: an atomic write trusts its own clock
	SkipNextSet                  // T3.10: while the members change, writes need the old ones only
	ReadNewEarly                 // T3.10: while the members change, reads go to the new ones, filled or not
	DropOldEarly                 // T3.10: the old members are dropped before the new ones have all that they took
	TakeOldEpoch                 // T3.10: a replica heeds who goes by an older configuration
	KeepOldState                 // C7: what a crash brings back of a replica that lived on the disk before is taken for one's own
	NumberAgain                  // T3.7: after a restart questions have the numbers of earlier ones, so that late answers pass for theirs
	TrustPlaces                  // T3.7: what one replica answered counts for another one that has got its place
	ForgetRefused                // T3.3: a repair goes on although a replica refused what it was sent
	DrawAnyLine                  // T3.9: a replica draws a line that is far ahead of its clock
	StaleGists                   // T3.6: what is kept in mind of a key does not follow what is stored
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

var mutationNames = [mutations]string{"none", "roll back", "count hints", "drop by target", "purge by age", "entropy ignores purge",
	"answer before repair", "restamp repairs", "store blindly", "count twice", "ties by arrival", "trust any stamp", "late unavailable",
	"ack before durable", "show before durable", "compare dead", "purge without refusal", "repair dead", "skip first phase",
	"skip next set", "read new early", "drop old early", "take old epoch",
	"keep old state", "number again", "trust places",
	"forget refused", "draw any line", "stale gists"}

// String is the mutation in words.
func (m Mutation) String() string { return mutationNames[m] }
