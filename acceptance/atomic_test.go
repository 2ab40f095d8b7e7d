package acceptance

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// newAtomicCluster starts three nodes whose keyspace default is atomic.
func newAtomicCluster(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t, "--keyspaces", "other")
	if code, out := c.gamut("keyspace", "create", "default", "--consistency", "atomic"); code != 0 {
		t.Fatalf("create: %d, %s", code, out)
	}
	c.awaitMembers(1, 2, 3)
	return c
}

// view is what a node says of its replica of the keyspace default.
func (c *cluster) view(id int) (kv.GroupStatus, error) {
	g, err := c.replica(id, "default")
	if err == nil && g.Atomic == nil {
		err = fmt.Errorf("node %d has no view", id)
	}
	return g, err
}

// awaitMembers waits until these nodes say that they are the members.
func (c *cluster) awaitMembers(ids ...int) {
	c.t.Helper()
	for _, id := range ids {
		await(c.t, patience, func() error {
			g, err := c.view(id)
			if err == nil && (len(g.Atomic.Members) != len(ids) || g.Leader == 0) {
				err = fmt.Errorf("node %d knows the members %v and the coordinator %d", id, g.Atomic.Members, g.Leader)
			}
			return err
		})
	}
}

// coordinator is the node that the nodes which run take for it.
func (c *cluster) coordinator() (id int) {
	c.t.Helper()
	await(c.t, patience, func() error {
		g, err := c.view(1)
		if err == nil && g.Leader == 0 {
			err = fmt.Errorf("no coordinator")
		}
		id = int(g.Leader)
		return err
	})
	return id
}

// TestAtomicUnderKills lets eight clients work while the coordinator and other members are killed with -9 in turn, each long
// enough to be left out, or only for a moment, or stopped for longer than a lease. Whoever is back is taken in again by itself;
// then the referee judges what the clients saw, and all replicas must be equal.
func TestAtomicUnderKills(t *testing.T) {
	c := newAtomicCluster(t)
	r := newRecorder(c)
	stop := make(chan struct{})
	clients := r.clients(8, 8*time.Second, stop)
	chance := rand.New(rand.NewPCG(uint64(r.began.UnixNano()), 99))
	for round := range 6 {
		victim := c.coordinator()
		if round%2 == 1 {
			victim = others(victim)[chance.IntN(2)]
		}
		before := r.done.Load()
		switch round / 2 {
		case 0: // until the others have gone on without it
			c.kill(victim)
			await(t, patience, func() error { return c.without(victim) })
			c.start(victim)
		case 1: // for less time than it takes to be suspected
			c.kill(victim)
			c.start(victim)
		default: // for longer than its lease, and it wakes up believing that it is a member
			c.signal(victim, syscall.SIGSTOP)
			await(t, patience, func() error { return c.without(victim) })
			c.signal(victim, syscall.SIGCONT)
		}
		c.awaitReady(1, 2, 3)
		c.awaitMembers(1, 2, 3)
		await(t, patience, func() error { return atLeast(r.done.Load()-before, 100) })
	}
	close(stop)
	clients.Wait()
	t.Logf("%s; longest gap %v", r.counts(), r.longestGap().Round(time.Millisecond))
	r.judge()
	c.checkMembers()
}

// without is nil when the other nodes know a view without the node.
func (c *cluster) without(left int) error {
	for _, id := range others(left) {
		g, err := c.view(id)
		switch {
		case err != nil:
			return err
		case len(g.Atomic.Members) != 2 || int(g.Leader) == left:
			return fmt.Errorf("node %d knows the members %v and the coordinator %d", id, g.Atomic.Members, g.Leader)
		}
	}
	return nil
}

// checkMembers asks verify, which must compare all three replicas and find them equal.
func (c *cluster) checkMembers() {
	c.t.Helper()
	code, out := c.gamut("verify", "--keyspace", "default")
	if code != 0 || strings.Contains(out, "not checked") || strings.Contains(out, "NOT COMPARED") || !strings.Contains(out, "equal") {
		c.t.Errorf("gamut verify exits with %d:\n%s", code, out)
	}
}

// TestStoppedMemberReadsNothingStale stops a member for longer than its lease while others write. Clients that were connected
// to it read as soon as it wakes up: what they see must be what was written, or they must be told that it cannot say.
func TestStoppedMemberReadsNothingStale(t *testing.T) {
	c := newAtomicCluster(t)
	r := newRecorder(c)
	for round := range 2 {
		victim := c.coordinator()
		if round == 0 {
			victim = others(victim)[0]
		}
		waiting := r.readers(victim, 6)
		c.signal(victim, syscall.SIGSTOP)
		await(t, patience, func() error { return c.without(victim) })
		if r.writeUntil(others(victim), time.Now().Add(2*time.Second)) == 0 {
			t.Errorf("nobody could write while node %d was stopped", victim)
		}
		c.signal(victim, syscall.SIGCONT)
		close(waiting.goOn)
		waiting.done.Wait()
		c.awaitReady(victim)
		c.awaitMembers(1, 2, 3)
	}
	t.Log(r.counts())
	read := 0
	for _, o := range r.history {
		if o.Kind == referee.Get && o.Outcome == referee.Done {
			read++
		}
	}
	if read == 0 {
		t.Error("no reader was answered")
	}
	r.judge()
	c.checkMembers()
}

// TestAtomicMembersChangeUnderLoad lets a fourth node join three, drains one of these, and has another one, killed with its disk wiped,
// replaced by a fifth: under load by redis clients, on a keyspace whose views may shrink to one member and on one whose views may not
// shrink. What was acknowledged is read back at nodes old and new, and the replicas that are left are equal.
func TestAtomicMembersChangeUnderLoad(t *testing.T) {
	c := newCluster(t)
	c.must("keyspace", "create", "plain", "--consistency", "atomic", "--replicas", "3", "--shards", "2")
	c.must("keyspace", "create", "strict", "--consistency", "atomic", "--replicas", "3", "--min-members", "3")
	loads := []*keyspaceLoad{c.load("plain", 1), c.load("plain", 2), c.load("strict", 1)}
	(&change{c: c, loads: loads, each: 100}).happen("plain", "strict")
}
