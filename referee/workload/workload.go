package workload

import (
	"math/rand/v2"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// Workload draws operations. It is not for use by several goroutines at once.
type Workload interface {
	// Next is what a client, 0 <= client < Options.Clients, does next. It is called when the client is free.
	Next(client int) Step
	// Observe takes what became of the client's last step: its Op with the answer in it.
	Observe(client int, op *referee.Op)
	// Close lists reads of every key, for after the last heal: their answers are Run.Final, and belong into the history.
	Close() []Step
	// Describe tells the checkers what they cannot see in a history: the accounts of a bank and their total.
	Describe(r *referee.Run)
}

// Step is one operation to do. Who runs it fills in the times, the client, the node and the answer (referee.Op.Answer).
type Step struct {
	Op      referee.Op
	Command kv.Command
	// Move asks another node than the client's last step did.
	Move bool
	// Hurry leaves no pause before it.
	Hurry bool
}

// Options shape a workload. The zero value is usable.
type Options struct {
	// Clients is how many there are (0: 5); Keys is over how many keys a workload spreads (0: what it likes).
	Clients, Keys int
	// Kinds are the operations that the keyspace offers (nil: all).
	Kinds []referee.Kind
	// Levels are the levels to ask for, drawn anew each time (nil: the keyspace's own).
	Levels []string
	// Shard, if set, is where a key lies: the keys of a transaction are chosen from one shard unless CrossShard.
	Shard      func(key string) int
	CrossShard bool
}

// Definition is a workload by name.
type Definition struct {
	// Name is one word; Doc says in a line what it does and what it is good at finding.
	Name, Doc string
	// Needs are the operations that it cannot do without; Uses those that it takes if they are offered.
	Needs, Uses []referee.Kind
	// Checkers are the names of those that its histories are made for.
	Checkers []string
	New      func(rng *rand.Rand, o Options) Workload
}
