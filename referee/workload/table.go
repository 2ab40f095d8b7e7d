package workload

import (
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

var (
	registers = []string{"linearizable", "strict-serializable", "sequential", "serializable", "causal", "read-your-writes", "monotonic-reads",
		"monotonic-writes", "writes-follow-reads", "quorum", "atomic", "versions", "convergence", "durability"}
	writes = []string{"linearizable", "quorum", "atomic", "versions", "convergence", "durability"}
)

// Table are all workloads.
var Table = []Definition{
	{"register", "reads and writes few keys in every way that is offered", kinds("get set"), kinds("cas create delete"), registers,
		func(rng *rand.Rand, o Options) Workload { return &register{start(rng, o, "r", 3)} }},
	{"counter", "adds to few numbers: finds what is lost or done twice", kinds("get incr"), nil,
		[]string{"linearizable", "strict-serializable", "sequential", "versions", "atomic", "convergence", "durability"},
		func(rng *rand.Rand, o Options) Workload { return &counter{start(rng, o, "c", 2)} }},
	{"list-append", "appends to lists, several in one transaction: every read tells all that came before", kinds("get append"), kinds("txn"),
		[]string{"linearizable", "strict-serializable", "serializable", "sequential", "atomic", "versions", referee.CommitOrder, "convergence", "durability"},
		func(rng *rand.Rand, o Options) Workload { return newLists(start(rng, o, "l", 3)) }},
	{"bank", "moves money between accounts in transactions, and reads all of them at once", kinds("get incr txn"), nil,
		[]string{"totals", "strict-serializable", "serializable", "atomic", "versions", "convergence", "durability"},
		func(rng *rand.Rand, o Options) Workload { return &bank{start(rng, o, "b", 5)} }},
	{"sessions", "writes, and answers what it read, in sessions that move from node to node", kinds("get set"), nil, registers, newSessions},
	{"delete-expiry", "lets keys end, by deletes and by themselves: finds what comes back", kinds("get set delete"), kinds("create"), writes,
		func(rng *rand.Rand, o Options) Workload { return &expiry{start(rng, o, "e", 3)} }},
	{"hot-key", "has all clients at one key without a pause", kinds("get set"), kinds("cas"), registers,
		func(rng *rand.Rand, o Options) Workload {
			o.Keys = 1
			return &register{start(rng, o, "h", 1).hurried()}
		}},
	{"sets", "adds to sets and removes from them on all nodes, and empties one now and then", kinds("include exclude members delete"), nil,
		[]string{"sets", "convergence"},
		func(rng *rand.Rand, o Options) Workload { return newSets(start(rng, o, "o", 2)) }},
	{"rapidset", "sets one key many times in a row, from all clients at once", kinds("get set"), nil, writes,
		func(rng *rand.Rand, o Options) Workload { return newBursts(start(rng, o, "s", 1).hurried(), false) }},
	{"multiset", "sets different keys in quick succession, together where transactions are offered", kinds("get set"), kinds("txn"), writes,
		func(rng *rand.Rand, o Options) Workload { return newBursts(start(rng, o, "m", 50).hurried(), true) }},
}

// Offers are the operations that a keyspace of each promise takes that the referee can judge. With a commit order it takes all, but
// which of several plain writes comes last is for that order to say.
var Offers = map[string][]referee.Kind{
	"linearizable": kinds("get set create cas delete incr append txn"),
	"sequential":   kinds("get set create cas delete incr append txn"),
	"atomic":       kinds("get set create cas delete incr append txn"),
	"quorum":       kinds("get set delete"),
	"causal":       kinds("get set delete incr include exclude members"),
	"eventual":     kinds("get set delete incr include exclude members"),

	referee.CommitOrder: kinds("get append incr txn"),
}

// Levels are the levels to ask for in a keyspace of a promise; nil: its own.
func Levels(promise string) []kv.Level {
	if promise == referee.CommitOrder {
		return []kv.Level{kv.LevelDefault, kv.LevelDefault, kv.LevelCommitted}
	}
	return nil
}

// Named finds a workload; ok is false if there is none of this name.
func Named(name string) (d Definition, ok bool) {
	i := slices.IndexFunc(Table, func(d Definition) bool { return d.Name == name })
	if i < 0 {
		return Definition{}, false
	}
	return Table[i], true
}

// For are the workloads that a keyspace of a consistency can run.
func For(consistency string) (list []Definition) {
	for _, d := range Table {
		if d.Suits(Offers[consistency]) {
			list = append(list, d)
		}
	}
	return list
}
