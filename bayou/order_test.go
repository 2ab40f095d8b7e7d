package bayou

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// companion is a group that executes commands one after the other, whoever asks, and never fails.
type companion struct {
	state   *coretest.State
	machine machine.Machine
	index   uint64
}

func newCompanion() *companion { return &companion{state: coretest.NewState()} }

func (c *companion) execute(command []byte, now kv.HLC) kv.Result {
	c.index++
	c.machine.Begin(c.state, c.index, now)
	res := c.machine.Apply(command, true)
	c.state.Apply(c.machine.Finish())
	return res
}

// lose takes a cut away.
func (c *companion) lose(number uint64) {
	c.state.Apply([]core.Change{{Kind: core.Delete, Key: append([]byte{machine.DataKind}, cutName(number)...)}})
}

// decide lets the companion execute what a replica has asked it.
func (c *cluster) decide(m *member, lost bool) {
	if m.Consult == nil {
		c.Say("%d asks nothing", m.ID)
		return
	}
	res := c.companion.execute(m.Consult, m.Stamp)
	if m.Consult = nil; lost {
		res = kv.Result{Code: kv.Unknown}
	}
	c.Step(m, core.Consulted{Result: res})
}

func (c *cluster) reportOrder() {
	for _, m := range c.Members {
		if m.Replica == nil {
			c.Say("%d is down", m.ID)
			continue
		}
		o := m.Replica.Status().Order
		c.Say("%d: cut %d of %d, %d committed (chain %04x), %d tentative, %d redone", m.ID, o.Cut, o.Known, o.Committed, o.Chain>>48, o.Tentative, o.Undone)
	}
}

// outcome says in a group with a commit order whether the answer may change.
func (c *cluster) outcome(r *kv.Result) string {
	text := outcome(r)
	if r.Code == kv.OK && r.Detail != "" {
		text += " (" + r.Detail + ")"
	}
	if c.ordered && r.Level != kv.LevelDefault {
		text += fmt.Sprintf(", %s", r.Level)
	}
	return text
}

// runMerge asks for writes with a check and a merge procedure.
func (c *cluster) runMerge(statement string, args []string) {
	put := func(key, value string) ([]kv.Cond, []kv.Op) {
		return []kv.Cond{{Kind: kv.CondAbsent, Key: []byte(key)}}, []kv.Op{{Kind: kv.OpSet, Key: []byte(key), Value: []byte(value)}}
	}
	var command kv.Command
	if statement == "book" {
		command.Conds, command.Ops = put(args[3], args[2])
		command.Merge = &kv.Merge{Kind: kv.MergeAlternatives}
		for _, room := range args[4:] {
			conds, ops := put(room, args[2])
			command.Merge.Alternatives = append(command.Merge.Alternatives, kv.Alternative{Conds: conds, Ops: ops})
		}
	} else {
		command.Conds, command.Ops = put(args[3], args[4])
		var err error
		if command.Merge, err = kv.ParseMerge(args[2]); err != nil {
			panic(err)
		}
	}
	c.askIn(c.At(args[0]), args[1], command)
}

// sampleOrder is how far a commit order may be.
func sampleOrder() orderState {
	return orderState{cut: 3, base: sampleVector, done: Dot{7, 1}, count: 9, chain: 77, tentative: 2, oldest: 2, stale: true}
}

// sampleCommand is a write with a check and each merge procedure.
func sampleCommand(merge *kv.Merge) *Write {
	c := kv.Command{Conds: []kv.Cond{{Kind: kv.CondAbsent, Key: []byte("k")}}, Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k"), Value: []byte("7")}}, Merge: merge}
	w := &Write{Dot: Dot{1 << 40, 7}, Ops: []Op{{Kind: Execute, Value: kv.AppendCommand(nil, &c)}}}
	w.seal()
	return w
}

// TestOrderSurvivesItsEncoding: what a state and a message say of a commit order is read as it was written, and not if a byte is missing.
func TestOrderSurvivesItsEncoding(t *testing.T) {
	want := sampleOrder()
	b := want.appendTo(nil)
	got, ok := parseOrder(b)
	if !ok || !bytes.Equal(got.appendTo(nil), b) || got.done != want.done || got.chain != want.chain || !got.stale {
		t.Errorf("%+v, %t", got, ok)
	}
	for n := range b {
		if _, ok := parseOrder(b[:n]); ok {
			t.Errorf("the first %d bytes of %d are taken for all", n, len(b))
		}
	}
	m := Order{Known: 9, Cuts: []cut{{5, sampleVector}, {6, sampleVector}}}
	back, err := DecodeMessage(m.AppendTo(nil))
	if err != nil || back.(Order).String() != m.String() {
		t.Errorf("%v, %v", back, err)
	}
	if _, err := DecodeMessage(Order{Known: 9, Cuts: []cut{{5, sampleVector}, {7, sampleVector}}}.AppendTo(nil)); err == nil {
		t.Error("cuts with a hole between are taken")
	}
}

// FuzzOrder: nothing that comes from a disk or a peer is taken for what it is not, and no write stops the board.
func FuzzOrder(f *testing.F) {
	o, m := sampleOrder(), meta{binding: 7, vector: sampleVector, ordered: true}
	f.Add(o.appendTo(nil))
	f.Add(appendCuts(nil, []cut{{5, sampleVector}, {6, sampleVector}}))
	for kind := kv.MergeAppend; kind <= kv.MergeCopy; kind++ {
		f.Add(sampleCommand(&kv.Merge{Kind: kind}).raw)
	}
	w := sampleCommand(&kv.Merge{Kind: kv.MergeAlternatives, Alternatives: []kv.Alternative{{Ops: []kv.Op{{Kind: kv.OpAppend, Key: []byte("a")}}}}})
	f.Add(w.raw)
	f.Add(Order{Known: 9, Cuts: []cut{{5, sampleVector}}}.AppendTo(nil))
	f.Add(Page{Answer: 1, Meta: m.appendTo(nil), Order: o.appendTo(nil), From: []byte("d"), Pairs: []Pair{{undoKey([]byte("k")), undoValue(nil)},
		{cutKey(5), sampleVector.AppendTo(nil)}, {dotKey(logKind, w.Dot, nil), w.raw}}}.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, ok := parseOrder(b); ok {
			if again, ok := parseOrder(o.appendTo(nil)); !ok || again.count != o.count || again.done != o.done {
				t.Errorf("%+v does not decode again: %+v", o, again)
			}
		}
		in := reader{wire.Reader{B: b}}
		in.cuts()
		if m, err := DecodeMessage(b); err == nil {
			if _, err := DecodeMessage(m.AppendTo(nil)); err != nil {
				t.Errorf("%v does not decode again: %v", m, err)
			}
		}
		if w, err := decodeWrite(b); err == nil {
			_ = w.String()
			first := Replay([]*Write{w, w})
			if again := Replay([]*Write{w, w}); !maps.Equal(first, again) {
				t.Errorf("%v makes %v, then %v", w, first, again)
			}
		}
	})
}
