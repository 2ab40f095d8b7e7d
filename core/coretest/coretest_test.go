package coretest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// parrot is the least replica that has something to get wrong: it writes down each command, tells its one peer, and answers.
type parrot struct {
	id  core.ReplicaID
	bug bug
}

type bug int

const (
	none bug = iota
	hasty
	idle
)

func (b bug) String() string {
	return []string{"none", "tells before it is durable", "no difference"}[b]
}

// word is what parrots say to each other.
type word struct{ text string }

func (w word) AppendTo(b []byte) []byte { return append(b, w.text...) }

type note string

func (n note) String() string { return string(n) }

func (p *parrot) Deadline() (core.Time, bool) { return 0, false }

func (p *parrot) Step(in *core.Input, out *core.Effects) {
	switch e := in.Event.(type) {
	case core.Recover:
		v, _ := in.View.Get([]byte("last"))
		out.Note(note(fmt.Sprintf("finds %d records and %q, suspect %t", len(e.Records), v, e.Suspect)))
	case core.Requests:
		for _, q := range e.List {
			p.repeat(q, out)
		}
	case core.Received:
		out.Note(note(fmt.Sprintf("hears %q from %d", e.Message.(word).text, e.From)))
	case core.Repair:
		out.State = []core.Change{{Kind: core.Stage, Key: []byte("last"), Value: []byte("installed")}}
		out.Again = true
	case core.Again:
		v, _ := in.View.Get([]byte("last"))
		out.Note(note(fmt.Sprintf("installs over %q", v)))
		out.State = []core.Change{{Kind: core.Install}}
	case core.Configured:
		out.Write(core.Record{Kind: 2, Body: e.Config})
		out.Configure = append([]byte("after "), e.Config...)
	}
}

func (p *parrot) repeat(q core.Request, out *core.Effects) {
	out.Write(core.Record{Kind: 1, Body: q.Command})
	out.State = append(out.State, core.Change{Kind: core.Put, Key: []byte("last"), Value: fmt.Append(nil, q.ID)})
	said, peer := word{fmt.Sprint("request ", q.ID)}, 3-p.id
	if p.bug == hasty {
		out.SendEarly(peer, said)
		out.ReplyEarly(q.ID, kv.Result{})
		return
	}
	out.Send(p.id, word{"myself"})
	out.Send(peer, said)
	out.Reply(q.ID, kv.Result{})
}

// talk is two parrots.
type talk struct{ *Cluster[*parrot] }

func startTalk(b bug, _ []string) Player {
	t := &talk{New(Protocol[*parrot]{
		New:    func(id core.ReplicaID) *parrot { return &parrot{id, b} },
		Decode: func(b []byte) (core.Message, error) { return word{string(b)}, nil },
	})}
	for range 2 {
		t.Start(t.Add())
	}
	return t
}

func (t *talk) Run(statement string, args []string) {
	switch statement {
	case "ask":
		t.Ask(t.At(args[0]), &kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k")}}})
	case "tell":
		m := t.At(args[0])
		m.Told = []byte(args[1])
		t.Step(m, core.Configured{Config: m.Told})
	case "wish":
		m := t.At(args[0])
		if m.Wish == nil {
			t.Say("%d wishes nothing", m.ID)
			return
		}
		t.Say("%d wishes %q, going by %q", m.ID, m.Wish.Wanted, m.Wish.Told)
	case "repair":
		t.Step(t.At(args[0]), core.Repair{})
	case "damage":
		m := t.At(args[0])
		m.Damaged = true
		m.Lose(func(core.Record) bool { return true })
	default:
		t.Cluster.Run(statement, args)
	}
}

// TestScripts plays the player's own situations.
func TestScripts(t *testing.T) {
	Scripts(t, []bug{hasty}, startTalk)
}

func scriptWith(b bug) *script {
	return &script{start: func(args []string) Player { return startTalk(b, args) }}
}

// TestScriptThatEndsTheSameProvesNothing: a bug that makes no difference is not taken for one that was found.
func TestScriptThatEndsTheSameProvesNothing(t *testing.T) {
	var steps []step
	s := scriptWith(none)
	for _, lines := range []string{"start", "do\nask 1\nnetwork", "sync 1", "settle"} {
		got, failed := s.play(lines)
		if failed != nil {
			t.Fatal(failed)
		}
		steps = append(steps, step{lines, got})
	}
	if where, found := differs(scriptWith(idle), steps); found {
		t.Errorf("the same replica ends otherwise: %s", where)
	}
	if where, found := differs(scriptWith(hasty), steps); !found || !strings.HasPrefix(where, "do\nask 1") {
		t.Errorf("a replica that answers too early is found: %t, %s", found, where)
	}
}

// TestMistakesInScriptsAreTold: a statement that does nothing would prove nothing.
func TestMistakesInScriptsAreTold(t *testing.T) {
	if got, failed := scriptWith(none).play("ask 1"); failed == nil {
		t.Errorf("a statement before the start says %q", got)
	}
	for _, line := range []string{"fly 1", "deliver 1->2", "deliver 1-2", "tick one", "pass long", "sync 3", "aside x 1->2"} {
		if got, failed := scriptWith(none).play("start\n" + line); failed == nil {
			t.Errorf("%q says %q", line, got)
		}
	}
}

// TestCloneIsAWorldOfItsOwn: what happens in a copy does not happen in what it was copied from.
func TestCloneIsAWorldOfItsOwn(t *testing.T) {
	first := startTalk(none, nil).(*talk)
	first.Run("ask", []string{"1"})
	first.Run("begin", []string{"1"})
	first.Cut(2)
	second := &talk{first.Clone(func(p *parrot) *parrot { return &parrot{p.id, p.bug} })}
	second.Heal()
	second.Settle()
	second.Run("end", []string{"1"})
	second.Run("crash", []string{"2"})
	if m := first.Member(1); !first.Member(2).Up() || len(m.Durable) > 0 || len(m.Held) == 0 || len(first.Network) > 0 || first.Linked(1, 2) {
		t.Errorf("the first has %d records and %d held outputs of replica 1, %v under way", len(m.Durable), len(m.Held), first.Network)
	}
	if got := second.Said(); len(second.Network) != 1 || got != "1 hears \"myself\" from 1\n1 answers request 1: ok\n" {
		t.Errorf("in the second %q happened, and %v is under way", got, second.Network)
	}
}
