package paxos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// The model walks at random through the orders in which the events of a small group can happen to real replicas: three of them, a few
// elections, a few commands. Each message arrives at any later time, once, twice or never, each disk syncs at any time, nodes crash and
// start again. Whatever the order, no two replicas apply different blocks at one index (rule E5 and those behind traps T1.2 to T1.4).

// walk is one run of the model.
type walk struct {
	*cluster
	chance *rand.Rand
	left   struct{ elections, commands, crashes, doubles int }
	// applied are the blocks that some replica has applied, by index.
	applied map[uint64][32]byte
	broken  string
	how     []string
}

func newWalk(seed uint64, mutation Mutation) *walk {
	w := &walk{chance: rand.New(rand.NewPCG(seed, 1)), applied: map[uint64][32]byte{}}
	w.cluster = newCluster(3, Config{}, Options{Mutation: mutation})
	w.onApplied = func(id core.ReplicaID, n AppliedNote) {
		was, known := w.applied[n.Index]
		if known && was != n.Hash {
			w.broken = fmt.Sprintf("replica %d applies another block at %d than was applied before", id, n.Index)
		}
		w.applied[n.Index] = n.Hash
	}
	w.left.elections, w.left.commands, w.left.crashes, w.left.doubles = 5, 4, 1, 3
	w.Settle()
	return w
}

// move is something that can happen.
type move struct {
	name string
	do   func()
}

// moves are all that can happen. Messages are more likely than the rest, as there are more of them.
func (w *walk) moves() (list []move) {
	add := func(do func(), name string, args ...any) { list = append(list, move{fmt.Sprintf(name, args...), do}) }
	for i, p := range w.Network {
		add(func() {
			if w.left.doubles > 0 && w.chance.IntN(20) == 0 {
				w.left.doubles--
			} else {
				w.Network = slices.Delete(w.Network, i, i+1)
			}
			w.Arrive(p)
		}, "%d->%d %s", p.From, p.To, describeMessage(p.Message))
	}
	for _, x := range w.Members {
		w.movesOf(x, add)
	}
	return list
}

func (w *walk) movesOf(x *member, add func(func(), string, ...any)) {
	if x.Replica == nil {
		add(func() { w.Restart(x) }, "restart %d", x.ID)
		return
	}
	if len(x.Open) > 0 {
		add(func() { w.Sync(x) }, "sync %d", x.ID)
	}
	if w.left.crashes > 0 && w.chance.IntN(8) == 0 {
		add(func() { w.left.crashes--; w.Crash(x) }, "crash %d", x.ID)
	}
	if x.Replica.role == Leader {
		if w.left.commands > 0 {
			add(func() { w.left.commands--; w.write(x) }, "%d is asked to write", x.ID)
		}
		add(func() { w.Step(x, core.Tick{}) }, "tick %d", x.ID)
	} else if w.left.elections > 0 && w.chance.IntN(4) == 0 {
		add(func() { w.left.elections--; w.timeOut(x) }, "time-out at %d", x.ID)
	}
}

func (w *walk) write(x *member) {
	value := []byte(fmt.Sprint(w.left.commands))
	w.Submit(x, w.Request(&kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k"), Value: value}}}))
}

// timeOut lets everybody forget that there was a leader, and one of them see it first.
func (w *walk) timeOut(x *member) {
	w.Now += 2000 * millisecond
	w.Step(x, core.Tick{})
}

const walkMoves = 150

// run walks until something breaks or the walk is over.
func (w *walk) run() {
	defer func() {
		if p := recover(); p != nil {
			w.broken = fmt.Sprint("panic: ", p)
		}
	}()
	for range walkMoves {
		list := w.moves()
		if len(list) == 0 {
			return
		}
		m := list[w.chance.IntN(len(list))]
		w.how = append(w.how, m.name)
		m.do()
		w.Said()
		if w.broken != "" {
			return
		}
	}
}

// TestLogsAgreeInEveryWalk is the model of a change of leaders over an ordered log.
func TestLogsAgreeInEveryWalk(t *testing.T) {
	applied, walks := 0, uint64(2000)
	if testing.Short() {
		walks = 500
	}
	for seed := range walks {
		w := newWalk(seed, NoMutation)
		w.run()
		if w.broken != "" {
			t.Fatalf("walk %d: %s\n  %s", seed, w.broken, strings.Join(w.how, "\n  "))
		}
		applied += len(w.applied)
	}
	if applied < int(walks) {
		t.Errorf("only %d blocks were applied in %d walks", applied, walks)
	}
	t.Logf("%d blocks applied in %d walks", applied, walks)
}

// TestWalksFindWrongRules plants wrong rules of recovery: a model that lets one pass is none. Committing a block of an older ballot by
// counting takes a row of events that chance does not find in 200,000 walks; a script of that row shows it, and the simulator's swarms.
func TestWalksFindWrongRules(t *testing.T) {
	for _, m := range []Mutation{RestampBlocks, TruncateBeyond, KeepOwnLog} {
		t.Run(m.String(), func(t *testing.T) {
			for seed := range uint64(20_000) {
				w := newWalk(seed, m)
				if w.run(); w.broken != "" {
					t.Logf("walk %d: %s\n  %s", seed, w.broken, strings.Join(w.how, "\n  "))
					return
				}
			}
			t.Error("not found in 20,000 walks")
		})
	}
}
