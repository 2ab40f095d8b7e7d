package twophase

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// grid is one write on three members, of which the coordinator is killed at one step and a participant at another.
type grid struct {
	*cluster
	steps   int
	kill    map[int][]core.ReplicaID // by step
	stay    bool                     // who is killed stays down until the others have gone on without it
	lose    bool                     // messages of who is killed are lost on their way
	answers map[core.RequestID]kv.Result
}

func newGrid(mutation Mutation) *grid {
	g := &grid{cluster: newCluster(3, 0, Config{}, Options{Mutation: mutation}), kill: map[int][]core.ReplicaID{}, answers: map[core.RequestID]kv.Result{}}
	g.OnAnswer = func(id core.RequestID, r kv.Result) { g.answers[id] = r }
	g.Settle()
	return g
}

// count counts the steps, and kills who is to die now.
func (g *grid) count() {
	for _, id := range g.kill[g.steps] {
		if m := g.Member(id); m.Replica != nil {
			g.Crash(m)
			if g.lose {
				g.Network = slices.DeleteFunc(g.Network, func(p packet) bool { return p.From == id })
			}
		}
	}
	g.steps++
}

// play delivers one message or syncs one disk at a time until nothing is left to do.
func (g *grid) play() {
	for busy := true; busy; {
		g.count()
		busy = g.Deliver(func(packet) bool { return true })
		for _, m := range g.Members {
			busy = busy || g.Begin(m) && g.End(m)
		}
	}
	g.count()
}

// recover starts who is down and lets the catalog do its work until all are members again. It returns what is wrong.
func (g *grid) recover() string {
	for round := range 200 {
		for _, m := range g.Members {
			if m.Replica == nil && (!g.stay || round > 20) {
				g.Restart(m)
			}
			if m.Replica == nil {
				m.Lease = 0 // nobody renews it
			}
			g.Step(m, core.Tick{})
			g.grant(m)
		}
		for _, m := range g.Members {
			g.tell(m)
			if m.Replica != nil && g.catalog.has(m.ID) {
				m.Lease = forever
			}
		}
		g.Settle()
		if round > 25 && g.whole() {
			return ""
		}
		g.Now += 300 * millisecond
	}
	return fmt.Sprintf("not all are members again: %v", g.catalog)
}

// whole says that all three are members, nothing is in doubt and all have applied the same.
func (g *grid) whole() bool {
	if len(g.catalog.Members) != 3 {
		return false
	}
	first := g.Members[0].Replica.Status()
	return !slices.ContainsFunc(g.Members, func(m *member) bool {
		s := m.Replica.Status()
		return s.Fenced != g.catalog.Epoch || s.Last != s.Applied || s.Applied != first.Applied || s.Sum != first.Sum
	})
}

// check holds what became of the write against what its client was told, and tries another one.
func (g *grid) check() string {
	read := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("k")}}}
	for _, m := range g.Members {
		q := g.Request(&read)
		g.Submit(m, q)
		g.Settle()
		r, ok := g.answers[q.ID]
		told, answered := g.answers[1]
		there := r.Code == kv.OK
		switch {
		case !ok || (r.Code != kv.OK && r.Code != kv.NotFound):
			return fmt.Sprintf("replica %d answers a read with %v", m.ID, r.Code)
		case answered && told.Code == kv.OK && !there:
			return fmt.Sprintf("the write was acknowledged, and is not on replica %d", m.ID)
		case answered && told.Code == kv.Unavailable && there:
			return fmt.Sprintf("the write was told to have failed, and is on replica %d", m.ID)
		}
	}
	q := g.Request(&kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k"), Value: []byte("w")}}})
	g.Submit(g.Member(g.catalog.Coordinator), q)
	g.Settle()
	if r := g.answers[q.ID]; r.Code != kv.OK || r.Version == 0 {
		return fmt.Sprintf("another write: %v", r.Code)
	}
	return ""
}

func (g *grid) write() {
	g.Submit(g.Member(1), g.Request(&kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k"), Value: []byte("v")}}}))
	g.play()
}

// cell is one run of the grid.
func cell(mutation Mutation, coordinator, participant int, who core.ReplicaID, stay, lose bool) (wrong string) {
	g := newGrid(mutation)
	defer func() {
		if p := recover(); p != nil {
			wrong = fmt.Sprint("panic: ", p)
		}
		if wrong != "" {
			wrong = fmt.Sprintf("coordinator killed at %d, %d at %d, stay down %t, messages lost %t: %s\n%s", coordinator, who, participant, stay, lose, wrong, g.Said())
		}
	}()
	g.stay, g.lose = stay, lose
	g.kill[coordinator] = append(g.kill[coordinator], 1)
	g.kill[participant] = append(g.kill[participant], who)
	g.write()
	if wrong = g.recover(); wrong == "" {
		wrong = g.check()
	}
	return wrong
}

// eachCell runs the grid until a cell is wrong.
func eachCell(mutation Mutation) (runs int, wrong string) {
	calm := newGrid(mutation)
	calm.write()
	for coordinator := range calm.steps + 1 {
		for participant := range calm.steps + 1 {
			for _, who := range []core.ReplicaID{2, 3} {
				for variant := range 4 {
					if wrong = cell(mutation, coordinator, participant, who, variant&1 != 0, variant&2 != 0); wrong != "" {
						return runs, wrong
					}
					runs++
				}
			}
		}
	}
	return runs, ""
}

// TestGrid kills the coordinator at each step of a write, and each participant at each step, in all pairs; who was killed starts
// again at once, or stays down until the others have gone on; its messages arrive or are lost. Nothing is lost, nothing stays in doubt, no key stays locked.
func TestGrid(t *testing.T) {
	runs, wrong := eachCell(NoMutation)
	if wrong != "" {
		t.Fatal(wrong)
	}
	t.Logf("%d runs", runs)
}

// TestGridFindsWrongRules: a grid that lets these pass is none.
func TestGridFindsWrongRules(t *testing.T) {
	for _, m := range []Mutation{CommitIfTold, VoteBeforeSync, CommitUnvoted, ForgetAtRestart} {
		runs, wrong := eachCell(m)
		if wrong == "" {
			t.Errorf("the grid does not find %q", m)
		}
		t.Logf("%s: after %d runs: %.200s", m, runs, wrong)
	}
}
