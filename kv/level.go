package kv

import (
	"slices"
	"strings"
)

// Level is what one request asks of its keyspace. A level that the keyspace cannot give is answered Unsupported, never lowered.
// Levels are numbered for ever: they cross the wire.
type Level uint8

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
	levels                       = 14
)

var levelNames = [levels]string{"default", "linearizable", "sequential", "session", "prefix", "eventual", "one", "two", "quorum", "all",
	"read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads"}

// String is the level as users write it.
func (l Level) String() string {
	if l < levels {
		return levelNames[l]
	}
	return "unknown level"
}

// ParseLevel reads a level as users write it, in any case; the empty word is LevelDefault.
func ParseLevel(word string) (Level, error) {
	if word == "" {
		return LevelDefault, nil
	}
	if i := slices.Index(levelNames[:], strings.ToLower(word)); i >= 0 {
		return Level(i), nil
	}
	return 0, Errorf(Invalid, "level %q is not known; the levels are %s", word, strings.Join(levelNames[:], ", "))
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
