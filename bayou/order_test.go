package bayou

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
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
