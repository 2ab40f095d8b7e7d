package live

import (
	"fmt"
	"math/rand/v2"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/referee/workload"
)

// mixed is a workload of registers, counters and lists on few hot keys. After roundLength operations it goes on to other
// keys, so that the history of each stays short enough to be judged however many outcomes are unknown.
type mixed struct {
	rng   *rand.Rand
	count int
	keys  []string
	known map[string]bool
	seen  map[string]string // the last value that some client read
}

// roundLength is how many operations of all clients share the keys of a round.
const roundLength = 300

func newMixed(rng *rand.Rand) workload.Workload {
	return &mixed{rng: rng, known: map[string]bool{}, seen: map[string]string{}}
}

// Next is workload.Workload's.
func (m *mixed) Next(client int) workload.Step {
	m.count++
	unique := fmt.Sprintf("[%d.%d]", client, m.count)
	var op referee.Op
	switch n := m.rng.IntN(100); {
	case n < 30:
		op = referee.Op{Kind: referee.Set, Key: m.key("register", 3), Value: unique}
	case n < 65:
		op = referee.Op{Kind: referee.Get, Key: m.key("register", 3)}
	case n < 75:
		op = referee.Op{Kind: referee.Cas, Key: m.key("register", 3), Value: unique}
		op.Expect = m.seen[op.Key]
	case n < 85:
		op = referee.Op{Kind: referee.Incr, Key: m.key("counter", 2), Delta: 1}
	case n < 92:
		op = referee.Op{Kind: referee.Get, Key: m.key("counter", 2)}
	default:
		op = referee.Op{Kind: referee.Append, Key: m.key("list", 1), Value: unique}
	}
	if !m.known[op.Key] {
		m.known[op.Key] = true
		m.keys = append(m.keys, op.Key)
	}
	return workload.Step{Op: op, Command: command(&op), Move: m.rng.IntN(4) == 0}
}

func (m *mixed) key(kind string, few int) string {
	return fmt.Sprintf("%s %d.%d", kind, m.count/roundLength, m.rng.IntN(few))
}

// command is an operation as nodes take it.
func command(op *referee.Op) kv.Command {
	o := kv.Op{Key: []byte(op.Key), Value: []byte(op.Value), Expiry: kv.ExpireKeep}
	switch op.Kind {
	case referee.Get:
		o.Kind = kv.OpGet
	case referee.Set:
		o.Kind = kv.OpSet
	case referee.Cas:
		o.Kind, o.When, o.Expect = kv.OpSet, kv.IfValue, []byte(op.Expect)
	case referee.Incr:
		o.Kind, o.Delta, o.Value = kv.OpIncr, op.Delta, nil
	case referee.Append:
		o.Kind = kv.OpAppend
	}
	return kv.Command{Ops: []kv.Op{o}}
}

// Observe is workload.Workload's.
func (m *mixed) Observe(_ int, op *referee.Op) {
	if op.Kind == referee.Get && op.Outcome == referee.Done {
		m.seen[op.Key] = op.Got
	}
}

// Close is workload.Workload's.
func (m *mixed) Close() (steps []workload.Step) {
	for _, key := range m.keys {
		op := referee.Op{Kind: referee.Get, Key: key}
		steps = append(steps, workload.Step{Op: op, Command: command(&op)})
	}
	return steps
}

// Describe is workload.Workload's.
func (m *mixed) Describe(*referee.Run) {}
