package txn

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// epoch is the log time at which every script begins, in Unix milliseconds.
const epoch = int64(1_700_000_000_000)

// stage plays a script: groups are state machines without replicas, and every command and answer is delivered by hand.
type stage struct {
	groups   map[uint64]*stageGroup
	now      int64
	planted  Mutation
	actors   map[string]*actor
	mutation string
}

// actor is a coordinator, or a recovery.
type actor struct {
	id    kv.TxID
	c     *Coordinator
	out   []Send // sent and not delivered
	sent  []Send // all that was ever sent
	ended bool
}

type stageGroup struct {
	pairs   map[string][]byte
	machine machine.Machine
	index   uint64
}

// newStage makes a stage; mutation plants a bug, "" none.
func newStage(mutation string) *stage {
	s := &stage{groups: map[uint64]*stageGroup{}, now: epoch, actors: map[string]*actor{}, mutation: mutation}
	for _, m := range Mutations() {
		if m.String() == mutation {
			s.planted = m
		}
	}
	for g := uint64(1); g <= 3; g++ {
		s.groups[g] = &stageGroup{pairs: map[string][]byte{}}
		for _, m := range machine.Mutations() {
			if m.String() == mutation {
				s.groups[g].machine.Mutation = m
			}
		}
	}
	return s
}

func (g *stageGroup) Get(key []byte) ([]byte, bool) {
	v, ok := g.pairs[string(key)]
	return bytes.Clone(v), ok
}

func (g *stageGroup) Scan(from, to []byte, f func(key, value []byte) bool) {
	for _, k := range slices.Sorted(maps.Keys(g.pairs)) {
		if k >= string(from) && (to == nil || k < string(to)) && !f([]byte(k), bytes.Clone(g.pairs[k])) {
			return
		}
	}
}

func (g *stageGroup) Snapshot() core.Snapshot { panic("no script takes a snapshot") }

// entry applies one command as a log entry; nil: what is past its time ends.
func (s *stage) entry(group uint64, c *kv.Command) (r kv.Result) {
	g := s.groups[group]
	if g == nil {
		return Gone(c.Tx.Step, c.Tx.Commit, s.planted)
	}
	g.index++
	s.now++
	g.machine.Begin(g, g.index, kv.HLCOf(s.now))
	if c == nil {
		g.machine.Expire()
	} else {
		r = g.machine.Apply(kv.AppendCommand(nil, c), true)
	}
	for _, change := range g.machine.Finish() {
		if change.Kind == core.Put {
			g.pairs[string(change.Key)] = bytes.Clone(change.Value)
		} else {
			delete(g.pairs, string(change.Key))
		}
	}
	return r
}

// play executes one statement of a script and returns what it shows.
func (s *stage) play(command string, args []string, input string) string {
	switch command {
	case "begin":
		return s.begin(args[0], args[1], input)
	case "deliver", "lose", "drop":
		return s.deliver(command, args[0], group(args[1]))
	case "repeat":
		return s.repeat(args[0], group(args[1]))
	case "waits":
		a := s.actors[args[0]]
		i := slices.IndexFunc(a.out, func(o Send) bool { return o.Group == group(args[1]) })
		return fmt.Sprintln(machine.ShouldWait(s.groups[group(args[1])], &a.out[i].Command, kv.HLCOf(s.now), s.groups[group(args[1])].machine.Mutation))
	case "kill":
		s.actors[args[0]].out, s.actors[args[0]].ended = nil, true
		return "ok\n"
	case "recover":
		return s.recover(args)
	case "write", "read":
		return s.single(group(args[0]), input)
	case "seal":
		r := s.entry(group(args[0]), &kv.Command{Tx: &kv.Tx{Step: kv.TxSeal, Commit: true, ID: kv.TxID{Age: kv.HLCOf(s.now), Nonce: 1}}})
		return fmt.Sprintf("%d open\n", r.Int)
	case "gone":
		delete(s.groups, group(args[0]))
		return "ok\n"
	case "pass":
		return s.pass(args[0])
	case "state":
		return s.state()
	}
	panic("no such statement: " + command)
}

func group(text string) uint64 {
	g, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return g
}

// begin begins a transaction: lines of a group and what is done there.
func (s *stage) begin(name, age, input string) string {
	old, _ := strconv.ParseInt(age, 10, 64)
	var parts []Part
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		words := strings.Fields(line)
		p := Part{Group: group(words[0])}
		if words[1] == "if" {
			p.Conds = append(p.Conds, kv.Cond{Key: []byte(words[2]), Kind: kv.CondValue, Value: []byte(words[4])})
			words = append(words[:1], words[5:]...)
		}
		if len(words) > 1 {
			p.Ops = append(p.Ops, op(words[1:]))
		}
		parts = append(parts, p)
	}
	a := &actor{id: kv.TxID{Age: kv.HLCOf(epoch + old), Anchor: parts[0].Group, Nonce: uint64(len(s.actors) + 1)}}
	s.actors[name] = a
	var sends []Send
	a.c, sends = Begin(a.id, parts, s.planted)
	return a.take(sends)
}

func op(words []string) kv.Op {
	o := kv.Op{Kind: kv.OpGet, Key: []byte(words[1])}
	switch words[0] {
	case "set":
		o.Kind, o.Value = kv.OpSet, []byte(words[2])
	case "incr":
		o.Kind = kv.OpIncr
		o.Delta, _ = strconv.ParseInt(words[2], 10, 64)
	}
	return o
}

// take notes what an actor sends.
func (a *actor) take(sends []Send) string {
	text := ""
	for _, o := range sends {
		a.out, a.sent = append(a.out, o), append(a.sent, o)
		text += fmt.Sprintf("-> %d %s\n", o.Group, stepText(o.Command.Tx))
	}
	return text
}

func stepText(t *kv.Tx) string {
	switch t.Step {
	case kv.TxPrepare:
		return "prepare"
	case kv.TxRefuse:
		return "refuse"
	case kv.TxForget:
		return "forget"
	}
	return fmt.Sprintf("resolve commit=%t", t.Commit)
}

// deliver executes the oldest command to a group, or drops it; unless it does, the answer is lost.
func (s *stage) deliver(how, name string, g uint64) string {
	a := s.actors[name]
	i := slices.IndexFunc(a.out, func(o Send) bool { return o.Group == g })
	if i < 0 {
		return "nothing is on its way there\n"
	}
	o := a.out[i]
	a.out = slices.Delete(a.out, i, i+1)
	r := kv.Result{Code: kv.Unknown}
	if how != "drop" {
		r = s.entry(g, &o.Command)
	}
	text := answerText(&r)
	if how == "lose" {
		r = kv.Result{Code: kv.Unknown}
	}
	before := a.c.Outcome()
	text += a.take(a.c.Answer(&o, &r))
	if a.c.Outcome() != before {
		text += a.c.Outcome().String() + "\n"
	}
	return text
}

// repeat delivers the first command that was ever sent to a group once more; nobody hears the answer.
func (s *stage) repeat(name string, g uint64) string {
	a := s.actors[name]
	i := slices.IndexFunc(a.sent, func(o Send) bool { return o.Group == g })
	r := s.entry(g, &a.sent[i].Command)
	return answerText(&r)
}

func answerText(r *kv.Result) string {
	if r.Tx == nil {
		return strings.TrimSpace(r.Code.String()+" "+r.Detail) + "\n"
	}
	text := r.Tx.State.String()
	switch r.Tx.Reason {
	case kv.TxConflict:
		text += ": conflict"
	case kv.TxCondition:
		text += fmt.Sprintf(": condition %d", r.Tx.Cond)
	case kv.TxRecovered:
		text += ": recovered"
	case kv.TxDropped:
		text += ": dropped"
	}
	for i := range r.Items {
		text += " [" + itemText(&r.Items[i]) + "]"
	}
	return text + "\n"
}

func itemText(r *kv.Result) string {
	switch {
	case r.Code != kv.OK:
		return r.Code.String()
	case r.Value != nil:
		return string(r.Value)
	}
	return strconv.FormatInt(r.Int, 10)
}

// recover NAME of TRANSACTION at GROUP: somebody has met the locks there.
func (s *stage) recover(args []string) string {
	a := &actor{id: s.actors[args[2]].id}
	s.actors[args[0]] = a
	var sends []Send
	a.c, sends = Recover(a.id, []uint64{group(args[4])}, s.planted)
	return a.take(sends)
}

// single is a command that is no transaction.
func (s *stage) single(g uint64, input string) string {
	c := kv.Command{Ops: []kv.Op{op(strings.Fields(input))}}
	r := s.entry(g, &c)
	return itemText(&r) + "\n"
}

func (s *stage) pass(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	s.now += d.Milliseconds()
	for _, g := range slices.Sorted(maps.Keys(s.groups)) {
		s.entry(g, nil)
	}
	return "ok\n"
}

// state shows the tables, the locks and the values of all groups.
func (s *stage) state() (text string) {
	names := map[kv.TxID]string{}
	for _, name := range slices.Sorted(maps.Keys(s.actors)) {
		if a := s.actors[name]; names[a.id] == "" {
			names[a.id] = name
		}
	}
	for _, g := range slices.Sorted(maps.Keys(s.groups)) {
		view := s.groups[g]
		text += fmt.Sprintf("%d: %d locked", g, machine.Locks(view))
		machine.Transactions(view, func(id kv.TxID, state kv.TxState) { text += fmt.Sprintf(", %s %s", names[id], state) })
		view.Scan([]byte{machine.DataKind}, []byte{machine.DataKind + 1}, func(k, v []byte) bool {
			r, _ := machine.DecodeRecord(v)
			text += fmt.Sprintf(", %s=%s", k[1:], r.Value)
			return true
		})
		text += "\n"
	}
	return text
}

// TestScripts plays the situations in testdata. The statement under names a planted bug under
// which the script must end otherwise.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		plain, mutants := newStage(""), map[string]*stage{}
		differs := map[string]bool{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var args []string
			for _, a := range d.CmdArgs {
				args = append(args, a.String())
			}
			if d.Cmd == "under" {
				name := strings.TrimSpace(d.Input)
				mutants[name] = newStage(name)
				return "ok\n"
			}
			out := plain.play(d.Cmd, args, d.Input)
			for name, m := range mutants {
				if !differs[name] && m.play(d.Cmd, args, d.Input) != out {
					differs[name] = true
				}
			}
			return out
		})
		for name := range mutants {
			if !differs[name] {
				t.Errorf("the script ends the same under %q", name)
			}
		}
	})
}
