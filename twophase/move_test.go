package twophase

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// moving is a group of three in which 4 takes the place of 1, who coordinates, while a client writes one value after the other. A
// replica is killed at some step.
type moving struct {
	*grid
	who   core.ReplicaID // to be killed; 0: whoever coordinates then
	at    int            // the step
	since int            // the round in which it was killed; 0: not yet
	acked int
}

var moveTarget = []core.ReplicaID{2, 3, 4}

func newMoving(mutation Mutation, who core.ReplicaID, at int, stay, lose bool) *moving {
	m := &moving{grid: newGrid(mutation), who: who, at: at}
	m.stay, m.lose = stay, lose
	m.add()
	return m
}

// strike kills who is to die at this step.
func (m *moving) strike(round int) {
	if m.steps++; m.since > 0 || m.steps < m.at {
		return
	}
	who := m.who
	if who == 0 {
		who = m.catalog.Coordinator
	}
	m.since = max(1, round)
	x := m.Member(who)
	m.Crash(x)
	if m.lose {
		m.Drop(func(p packet) bool { return p.From == who })
	}
}

// rest delivers one message or syncs one disk at a time until nothing is left to do.
func (m *moving) rest(round int) {
	for busy := true; busy; {
		m.strike(round)
		busy = m.Deliver(func(packet) bool { return true })
		for _, x := range m.Members {
			busy = busy || m.Begin(x) && m.End(x)
		}
	}
}

// run lets nodes and catalog do their work until 4 has the place of 1, and returns what is wrong.
func (m *moving) run() string {
	for round := range 300 {
		for _, x := range m.Members {
			m.turn(x, round)
		}
		if wrong := m.client(round); wrong != "" {
			return wrong
		}
		if m.over() && round > m.since+m.away()+8 {
			return m.check()
		}
		m.Now += 150 * millisecond
	}
	return fmt.Sprintf("the move is not over: %v", m.catalog)
}

// away is for how many rounds a replica stays down: until it is missed, or not at all.
func (m *moving) away() int {
	if m.stay {
		return 35
	}
	return 0
}

// turn is what a node does for its replica.
func (m *moving) turn(x *member, round int) {
	if x.Replica == nil && round >= m.since+m.away() {
		m.Restart(x)
	}
	if x.Lease = 0; x.Replica != nil && m.catalog.has(x.ID) && x.Wish == nil {
		x.Lease = forever
	}
	m.Step(x, core.Reconfigure{Voters: moveTarget, Preferred: 4})
	m.Step(x, core.Tick{})
	m.rest(round)
	if x.Wish != nil {
		m.lapse()
		m.grant(x)
	}
	for _, other := range m.Members {
		m.tell(other)
	}
	m.rest(round)
}

// lapse ends all leases, as they end before anybody is left out.
func (m *moving) lapse() {
	for _, x := range m.Members {
		x.Lease = 0
	}
}

// client writes the next value, and reads at every replica that may be read: nothing acknowledged is missing anywhere.
func (m *moving) client(round int) string {
	n := round + 1
	q := m.Request(&kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k"), Value: []byte(strconv.Itoa(n))}}})
	m.Submit(m.Member(m.catalog.Coordinator), q)
	m.rest(round)
	if r, answered := m.answers[q.ID]; answered && r.Code == kv.OK {
		m.acked = n
	}
	for _, x := range m.Members {
		if x.Replica == nil || !m.catalog.has(x.ID) {
			continue
		}
		x.Lease = forever
		read := m.Request(&kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("k")}}})
		m.Submit(x, read)
		m.rest(round)
		r, answered := m.answers[read.ID]
		if got, _ := strconv.Atoi(string(r.Value)); answered && got < m.acked && (r.Code == kv.OK || r.Code == kv.NotFound) {
			return fmt.Sprintf("round %d: replica %d answers %q after %d was acknowledged", round, x.ID, r.Value, m.acked)
		}
	}
	return ""
}

// over says that the view is as it was wanted.
func (m *moving) over() bool {
	return slices.Equal(m.catalog.Members, moveTarget) && len(m.catalog.Joiners) == 0
}

// check holds the members against each other, and what was acknowledged.
func (m *moving) check() string {
	m.Settle()
	for _, id := range moveTarget {
		v, _ := m.Member(id).State.Get([]byte("dk"))
		if got, _ := strconv.Atoi(describeRecord(v)); got < m.acked {
			return fmt.Sprintf("replica %d has %d in the end, and %d was acknowledged", id, got, m.acked)
		}
	}
	if m.acked < m.since+m.away()+5 {
		return fmt.Sprintf("the last write acknowledged is the %dth", m.acked)
	}
	return ""
}

func moveCell(mutation Mutation, who core.ReplicaID, at int, stay, lose bool) (wrong string) {
	m := newMoving(mutation, who, at, stay, lose)
	defer func() {
		if p := recover(); p != nil {
			wrong = fmt.Sprint("panic: ", p)
		}
		if wrong != "" {
			said := m.Said()
			wrong = fmt.Sprintf("%d killed at %d, stays down %t, messages lost %t: %s\n%s", who, at, stay, lose, wrong, said[max(0, len(said)-4000):])
		}
	}()
	return m.run()
}

// stepsOfMove is how many steps a move takes, writes and reads included, and some more.
const stepsOfMove = 210

func eachMove(mutation Mutation) (runs int, wrong string) {
	for at := range stepsOfMove {
		for who := range core.ReplicaID(5) {
			if who > 0 && (at+int(who))%3 > 0 {
				continue
			}
			for _, stay := range []bool{true, false} {
				if wrong = moveCell(mutation, who, at+1, stay, at%2 == 0); wrong != "" {
					return runs, wrong
				}
				runs++
			}
		}
	}
	return runs, ""
}

// TestMoveGrid kills the coordinator at each step of a change of members under writes, and each replica at each third; it starts again at once, or
// stays down until the others have gone on; what it sent arrives or is lost. The change comes to its end, and nothing that was acknowledged is missing anywhere on the way.
func TestMoveGrid(t *testing.T) {
	runs, wrong := eachMove(NoMutation)
	if wrong != "" {
		t.Fatal(wrong)
	}
	t.Logf("%d runs", runs)
}

// TestMoveGridFindsWrongRules: a grid that lets these pass is none.
func TestMoveGridFindsWrongRules(t *testing.T) {
	for _, mutation := range []Mutation{CommitIfTold, SkipMember, CommitUnvoted} {
		runs, wrong := eachMove(mutation)
		if wrong == "" {
			t.Errorf("the grid does not find %q", mutation)
		}
		t.Logf("%s: after %d runs: %.200s", mutation, runs, wrong)
	}
}
