package kv

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Level is what one request asks of its keyspace. A level that the keyspace cannot give is answered Unsupported, never lowered.
// Levels are numbered for ever: they cross the wire. The number is the low byte; above it lies how far a bounded level goes.
type Level uint64

// Levels. LevelDefault is the keyspace's own promise.
const (
	LevelDefault Level = 0
	// LevelLinearizable: the operation takes effect at one instant between call and reply.
	LevelLinearizable Level = 1
	// LevelSequential: one order of all writes; a session never goes back in it and sees its own writes.
	LevelSequential Level = 2
	// LevelSession: the four guarantees of a session, on any replica.
	LevelSession Level = 3
	// LevelPrefix: some moment of the past, whole.
	LevelPrefix Level = 4
	// LevelEventual: whatever the replica at hand holds.
	LevelEventual Level = 5
	// LevelOne, LevelTwo, LevelQuorum and LevelAll: so many replicas of the key answered; a quorum is more than half.
	LevelOne    Level = 6
	LevelTwo    Level = 7
	LevelQuorum Level = 8
	LevelAll    Level = 9
	// Each guarantee of a session alone.
	LevelReadYourWrites    Level = 10
	LevelMonotonicReads    Level = 11
	LevelMonotonicWrites   Level = 12
	LevelWritesFollowReads Level = 13
	// LevelBounded: everything that was acknowledged so long ago, or all but so many versions of its shard (rule R6). It is made by
	// BoundedAge and BoundedVersions; alone it bounds nothing, and nothing gives it.
	LevelBounded Level = 14
	// LevelTentative and LevelCommitted are those of keyspaces with a commit order. Tentative: with all writes that the replica has
	// heard of, in an order that may still change. Committed: of a read, what is in its final place; of a write, that it is.
	LevelTentative Level = 15
	LevelCommitted Level = 16
	levels         Level = 17
)

// LevelKinds is how many kinds of levels there are.
const LevelKinds = levels

var levelNames = [levels]string{"default", "linearizable", "sequential", "session", "prefix", "eventual", "one", "two", "quorum", "all",
	"read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads", "bounded",
	"tentative", "committed"}

// Bounds of LevelBounded: no clock can be asked for less than BoundedAgeMin, and who asks for more than the others asks for
// nothing.
const (
	BoundedAgeMin      = time.Millisecond
	BoundedAgeMax      = 24 * time.Hour
	BoundedVersionsMax = 1_000_000
)

const (
	levelKinds = 1<<8 - 1
	// boundVersions marks a bound that counts versions; otherwise it counts milliseconds. boundShift is where the number begins.
	boundVersions Level = 1 << 8
	boundShift          = 9
)

// BoundedAge is the level that shows everything that was committed so long ago, to the millisecond.
func BoundedAge(d time.Duration) Level {
	return LevelBounded | Level(d/time.Millisecond)<<boundShift
}

// BoundedVersions is the level that shows all but the last so many versions of a shard, as of a second ago at most. Each block
// of the shard's log makes one, out of all the commands that arrived together.
func BoundedVersions(n uint64) Level { return LevelBounded | boundVersions | Level(n)<<boundShift }

// Kind is the level without its bound: LevelBounded for all bounded ones, the level itself for all others.
func (l Level) Kind() Level { return l & levelKinds }

// Bound is how far a bounded level goes: an age, or if that is 0 so many versions. Both are 0 for other levels.
func (l Level) Bound() (age time.Duration, versions uint64) {
	switch n := uint64(l >> boundShift); {
	case l.Kind() != LevelBounded:
		return 0, 0
	case l&boundVersions != 0:
		return 0, n
	default:
		return time.Duration(n) * time.Millisecond, 0
	}
}

// valid says that the level has a name, and a bound within its limits if it is bounded.
func (l Level) valid() bool {
	if l.Kind() != LevelBounded {
		return l < levels
	}
	age, versions := l.Bound()
	if l&boundVersions != 0 {
		return versions > 0 && versions <= BoundedVersionsMax
	}
	return age >= BoundedAgeMin && age <= BoundedAgeMax
}

// String is the level as users write it.
func (l Level) String() string {
	age, versions := l.Bound()
	switch {
	case age > 0:
		return "bounded:" + age.String()
	case versions > 0:
		return "bounded:" + strconv.FormatUint(versions, 10) + "v"
	case l < levels:
		return levelNames[l]
	}
	return "unknown level"
}

// ParseLevel reads a level as users write it, in any case; the empty word is LevelDefault.
func ParseLevel(word string) (Level, error) {
	if word == "" {
		return LevelDefault, nil
	}
	name := strings.ToLower(word)
	if bound, ok := strings.CutPrefix(name, levelNames[LevelBounded]); ok {
		return parseBound(word, strings.TrimPrefix(bound, ":"))
	}
	if i := slices.Index(levelNames[:], name); i >= 0 {
		return Level(i), nil
	}
	return 0, Errorf(Invalid, "level %q is not known; the levels are %s", word, strings.Join(LevelWords(), ", "))
}

// LevelWords are all levels as users write them, with an example of each bound.
func LevelWords() []string {
	return append(slices.Concat(levelNames[:LevelBounded], levelNames[LevelBounded+1:]), BoundedAge(5*time.Second).String(), BoundedVersions(10).String())
}

// parseBound reads what stands behind "bounded:".
func parseBound(word, bound string) (Level, error) {
	if count, ok := strings.CutSuffix(bound, "v"); ok {
		n, err := strconv.ParseUint(count, 10, 32)
		if err != nil || n == 0 || n > BoundedVersionsMax {
			return 0, Errorf(Invalid, "level %q: a bound by versions is a number from 1 to %d and a v, as in bounded:10v", word, BoundedVersionsMax)
		}
		return BoundedVersions(n), nil
	}
	d, err := time.ParseDuration(bound)
	if err != nil || d < BoundedAgeMin || d > BoundedAgeMax || d%time.Millisecond != 0 {
		return 0, Errorf(Invalid, "level %q: a bounded read says how old it may be, as in bounded:5s (1ms to 24h, in whole milliseconds), or how many versions it may lack, as in bounded:10v", word)
	}
	return BoundedAge(d), nil
}

// Consistency is the one word by which a keyspace chooses how its replicas agree.
type Consistency string

// Consistencies.
const (
	Linearizable Consistency = "linearizable"
	Sequential   Consistency = "sequential"
	Atomic       Consistency = "atomic"
	Quorum       Consistency = "quorum"
	Causal       Consistency = "causal"
	Eventual     Consistency = "eventual"
)

// Consistencies are all of them, the strongest first.
var Consistencies = []Consistency{Linearizable, Sequential, Atomic, Quorum, Causal, Eventual}
