package workload

import (
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// Workload draws operations. It is not for use by several goroutines at once.
type Workload interface {
	// Next is what a client, 0 <= client < Options.Clients, does next. It is called when the client is free.
	Next(client int) Step
	// Observe takes what became of the client's last step: its Op with the answer in it.
	Observe(client int, op *referee.Op)
	// Close lists reads of every key that was touched, for after the last heal: their answers make Run.Final, and they
	// belong into the history.
	Close() []Step
	// Describe tells the checkers what they cannot see in a history: the accounts of a bank and their total.
	Describe(r *referee.Run)
}

// Step is one operation to do. Who runs it adds the session and the token to the command, and fills in the client, the
// node, the times and the answer (referee.Op.Answer).
// A client whose Op.Session is another one than before starts it without what it has seen: it forgets its token.
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
	// Clients is how many there are (0: 5); Keys is over how many keys a workload spreads (0: what suits it).
	Clients, Keys int
	// Prefix is what all keys, and all sessions that are named, begin with.
	Prefix string
	// Kinds are the operations that the keyspace offers (nil: all).
	Kinds []referee.Kind
	// Levels are the levels to ask for, drawn anew each time (nil: the keyspace's own).
	Levels []kv.Level
	// Shard tells in which shard a key lies, so that the keys of a transaction are chosen from one (nil: there is one).
	Shard func(key string) int
}

// Definition is a workload by name.
type Definition struct {
	// Name is one word; Doc says in a line what it does and what it is good at finding.
	Name, Doc string
	// Needs are the operations that it cannot do without; Uses those that it takes if they are offered.
	Needs, Uses []referee.Kind
	// Checkers are the names of those that its histories are made for.
	Checkers []string
	// New makes one; all chance comes from rng.
	New func(rng *rand.Rand, o Options) Workload
}

// Suits reports whether a keyspace that offers these operations can run the workload.
func (d *Definition) Suits(offered []referee.Kind) bool { return len(d.lacks(offered)) == 0 }

// lacks are the operations that the workload needs and that are not offered.
func (d *Definition) lacks(offered []referee.Kind) []referee.Kind {
	return slices.DeleteFunc(slices.Clone(d.Needs), func(k referee.Kind) bool { return slices.Contains(offered, k) })
}

// totals is the checker of banks, which needs no promise but that of the workload itself.
const totals = "totals"

// Judges are the names of the checkers that judge this workload on a keyspace of a consistency: those that it is made for
// among what the keyspace promises.
func (d *Definition) Judges(consistency string) (names []string) {
	promised := referee.Promised[consistency]
	for _, name := range d.Checkers {
		if slices.Contains(promised, name) || name == totals {
			names = append(names, name)
		}
	}
	return names
}

// Judge applies them to a run.
func (d *Definition) Judge(r *referee.Run) (verdicts []referee.Verdict) {
	for _, name := range d.Judges(r.Consistency) {
		if c, ok := referee.CheckerNamed(name); ok {
			verdicts = append(verdicts, c.Check(r))
		}
	}
	return verdicts
}

// Command is what an operation asks of the cluster, at the keyspace's own level.
func Command(o *referee.Op) kv.Command {
	if o.Kind != referee.Txn {
		return kv.Command{Ops: []kv.Op{operation(&referee.Sub{Kind: o.Kind, Key: o.Key, Value: o.Value, Expect: o.Expect, Delta: o.Delta, TTL: o.TTL})}}
	}
	var c kv.Command
	for i := range o.Subs {
		s := &o.Subs[i]
		if s.Kind == referee.Cas {
			// Its condition is one of the whole: otherwise the rest would be done without it.
			c.Conds = append(c.Conds, kv.Cond{Kind: kv.CondValue, Key: []byte(s.Key), Value: []byte(s.Expect)})
		}
		c.Ops = append(c.Ops, operation(s))
	}
	return c
}

func operation(s *referee.Sub) kv.Op {
	op := kv.Op{Kind: kv.OpSet, Key: []byte(s.Key), Value: []byte(s.Value), Delta: s.Delta}
	switch s.Kind {
	case referee.Get:
		op.Kind = kv.OpGet
	case referee.Create:
		op.When = kv.IfAbsent
	case referee.Cas:
		op.When, op.Expect = kv.IfValue, []byte(s.Expect)
	case referee.Delete:
		op.Kind = kv.OpDelete
	case referee.Incr:
		op.Kind = kv.OpIncr
	case referee.Append:
		op.Kind = kv.OpAppend
	case referee.Include:
		op.Kind = kv.OpInclude
	case referee.Exclude:
		op.Kind, op.Value = kv.OpExclude, []byte(s.Expect)
	case referee.Members:
		op.Kind = kv.OpMembers
	}
	if s.TTL > 0 {
		op.Expiry, op.Expire = kv.ExpireIn, s.TTL
	}
	return op
}
