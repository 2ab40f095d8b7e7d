package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab/inject"
	"github.com/gamutdb/gamut/twophase"
)

// newAtomic starts three nodes that can be attacked, with the keyspace config on all of them.
func newAtomic(t *testing.T, spec kv.CreateKeyspace) (*cluster, map[core.NodeID]*inject.Injector) {
	c := newCluster(t, 3)
	all := c.attackable()
	c.start(1, 2, 3)
	c.ready()
	spec.Name, spec.Consistency = "config", kv.Atomic
	c.create(1, spec)
	c.hasKeyspace("config")
	c.members(1, 2, 3)
	return c, all
}

// atomicStatus is what a node says of its replica of the keyspace config.
func atomicStatus(n *Node) kv.GroupStatus {
	for _, g := range n.Status().Groups {
		if g.Keyspace == "config" {
			return g
		}
	}
	return kv.GroupStatus{Atomic: &kv.AtomicStatus{}}
}

// members waits until these nodes agree that they are the members of the view, and hold leases.
func (c *cluster) members(ids ...core.NodeID) {
	c.t.Helper()
	for _, id := range ids {
		eventually(c.t, fmt.Sprintf("node %d knows the members %v", id, ids), func() error {
			g := atomicStatus(c.nodes[id])
			if len(g.Atomic.Members) != len(ids) || g.Leader == 0 || g.LeaseMS <= 0 {
				return fmt.Errorf("%+v of epoch %d, coordinator %d, lease %d ms", g.Atomic.Members, g.Atomic.Epoch, g.Leader, g.LeaseMS)
			}
			return nil
		})
	}
}

// cutOff cuts all links between a node and these peers, both ways.
func cutOff(t *testing.T, all map[core.NodeID]*inject.Injector, id core.NodeID, peers ...core.NodeID) {
	t.Helper()
	for _, peer := range peers {
		hurt(t, all[id], fmt.Sprintf("links/%d/in", peer), `{"down":true}`)
		hurt(t, all[id], fmt.Sprintf("links/%d/out", peer), `{"down":true}`)
	}
}

func (c *cluster) rest(id core.NodeID) []core.NodeID {
	return slices.DeleteFunc([]core.NodeID{1, 2, 3}, func(other core.NodeID) bool { return other == id })
}

// try submits one command with a deadline of its own.
func try(n *Node, within time.Duration, command kv.Command) kv.Result {
	var b kv.Batch
	b.Reset(time.Now().Add(within))
	call := b.Add()
	call.Keyspace, call.Command = n.Keyspace("config"), command
	n.Submit(&b)
	b.Wait()
	return call.Result
}

func TestAMemberThatIsCutOffIsLeftOutAndTakenBack(t *testing.T) {
	c, all := newAtomic(t, kv.CreateKeyspace{})
	for round, name := range []string{"a member", "the coordinator"} {
		key := fmt.Sprint("k", round)
		for _, n := range c.nodes {
			mustSet(t, n, "config", key, "before")
			mustGet(t, n, "config", key, "before")
		}
		lost := core.NodeID(atomicStatus(c.nodes[1]).Leader)
		if round == 0 {
			lost = c.rest(lost)[0]
		}
		rest := c.rest(lost)
		cutOff(t, all, lost, rest...)
		c.members(rest...)
		for _, id := range rest {
			mustSet(t, c.nodes[id], "config", key, "after")
			mustGet(t, c.nodes[id], "config", key, "after")
		}
		if r := try(c.nodes[lost], 300*time.Millisecond, get(key)); r.Code == kv.OK {
			t.Errorf("%s was left out, and answers %q", name, r.Value)
		}
		if r := try(c.nodes[lost], 300*time.Millisecond, set(key, "never")); r.Code == kv.OK {
			t.Errorf("%s was left out, and acknowledges a write", name)
		}
		history := atomicStatus(c.nodes[rest[0]]).Atomic.History
		if text := history[len(history)-1].Text; !strings.Contains(text, fmt.Sprintf("node %d is left out: its lease was over", lost)) {
			t.Errorf("the history ends with %q", text)
		}
		hurt(t, all[lost], "faults", `{}`)
		c.members(1, 2, 3)
		for _, n := range c.nodes {
			mustGet(t, n, "config", key, "after")
		}
	}
}

// If the coordinator and a member cannot reach each other, one of them is left out, though both may reach the catalog.
func TestACoordinatorAndAMemberThatMissEachOther(t *testing.T) {
	c, all := newAtomic(t, kv.CreateKeyspace{})
	coordinator := core.NodeID(atomicStatus(c.nodes[1]).Leader)
	lost, third := c.rest(coordinator)[0], c.rest(coordinator)[1]
	mustSet(t, c.nodes[lost], "config", "k", "before")
	cutOff(t, all, lost, coordinator)
	eventually(t, "one of them is left out", func() error {
		if g := atomicStatus(c.nodes[third]); g.Atomic.Epoch == 1 || len(g.Atomic.Members) != 2 {
			return fmt.Errorf("%+v", g.Atomic)
		}
		return nil
	})
	mustSet(t, c.nodes[third], "config", "k", "after")
	for _, id := range []core.NodeID{lost, coordinator} {
		if r := try(c.nodes[id], 300*time.Millisecond, get("k")); r.Code == kv.OK && string(r.Value) != "after" {
			t.Errorf("node %d answers %q", id, r.Value)
		}
	}
	hurt(t, all[lost], "faults", `{}`)
	c.members(1, 2, 3)
	mustGet(t, c.nodes[lost], "config", "k", "after")
}

// A member whose node goes on renewing its lease is left out when that was announced and the announcement has stood; one that nobody
// carries out any more is withdrawn.
func TestAMemberWithALeaseIsLeftOutByAnnouncement(t *testing.T) {
	c, _ := newAtomic(t, kv.CreateKeyspace{})
	coordinator := core.NodeID(atomicStatus(c.nodes[1]).Leader)
	n, member := c.nodes[coordinator], c.nodes[c.rest(coordinator)[0]]
	sh := n.table.Load().byName["config"].shards[0]
	self := sh.replicaOn(member.config.Node)
	announced := func() bool { v := member.table.Load().views[sh.group]; return v.leaves(self) }
	wish := func() host.Wish {
		told := n.table.Load().views[sh.group].record.Config
		before, err := twophase.DecodeConfig(told)
		if err != nil {
			t.Fatal(err)
		}
		without := func(id core.ReplicaID) bool { return id == self }
		wanted := twophase.Config{Epoch: before.Epoch + 1, Coordinator: before.Coordinator, Members: slices.DeleteFunc(before.Members, without),
			Joiners: append(before.Joiners, self), MinMembers: before.MinMembers}
		return host.Wish{Told: told, Wanted: wanted.AppendTo(nil)}
	}

	n.Configure(sh.group, wish())
	eventually(t, "it is announced", func() error {
		if !announced() {
			return errors.New("not yet")
		}
		return nil
	})
	eventually(t, "it is withdrawn", func() error {
		if announced() {
			member.withdraw(context.Background(), 0)
			return errors.New("not yet") // while the wish is pursued, it is announced again
		}
		return nil
	})
	if g := atomicStatus(n); g.Atomic.Epoch != 1 || len(g.Atomic.Members) != 3 {
		t.Fatalf("%+v, although the announcement was withdrawn again and again", g.Atomic)
	}

	w := wish()
	eventually(t, "it is left out", func() error {
		n.Configure(sh.group, w)
		for _, change := range atomicStatus(n).Atomic.History {
			if strings.Contains(change.Text, fmt.Sprintf("node %d is left out: it did not answer, though", member.config.Node)) {
				return nil
			}
		}
		return errors.New("not yet")
	})
	c.members(1, 2, 3)
	mustSet(t, member, "config", "k", "v")
}

func TestADroppedAtomicKeyspaceLeavesNoViews(t *testing.T) {
	c, _ := newAtomic(t, kv.CreateKeyspace{Shards: 3})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	views := func() int { return len(c.nodes[1].table.Load().catalog.Views) }
	if views() != 3 {
		t.Errorf("%d views of 3 shards", views())
	}
	if err := c.nodes[1].DropKeyspace(ctx, "config", false); err != nil {
		t.Fatal(err)
	}
	if views() != 0 {
		t.Errorf("%d views are left", views())
	}
}

// A node that is stopped in order gives its lease back and leaves the view, so nobody waits for it; the keyspace takes it back when
// it is started again. When all stop, a majority stays in the view.
func TestAtomicKeyspacesSurviveRestarts(t *testing.T) {
	c, _ := newAtomic(t, kv.CreateKeyspace{})
	mustSet(t, c.nodes[1], "config", "k", "0")
	for id := core.NodeID(1); id <= 3; id++ {
		c.close(id)
		rest := c.rest(id)
		eventually(t, "it has left", func() error {
			if g := atomicStatus(c.nodes[rest[0]]); len(g.Atomic.Members) != 2 || g.Leader == 0 {
				return fmt.Errorf("%+v", g.Atomic)
			}
			return nil
		})
		// A node that nobody read at has let its lease end: that may be noticed before its word that it stops.
		history := atomicStatus(c.nodes[rest[0]]).Atomic.History
		if last := history[len(history)-1].Text; !strings.Contains(last, "is left out: it stops") && !strings.Contains(last, "is left out: its lease was over") {
			t.Errorf("the history is %+v", history)
		}
		mustSet(t, c.nodes[rest[0]], "config", "k", fmt.Sprint(id))
		mustGet(t, c.nodes[rest[1]], "config", "k", fmt.Sprint(id))
		c.start(id)
		c.members(1, 2, 3)
		mustGet(t, c.nodes[id], "config", "k", fmt.Sprint(id))
	}
	c.closeAll()
	c.start(2, 3) // one of the three was the first to stop, and is not needed
	for _, id := range []core.NodeID{2, 3} {
		eventually(t, "the rest is enough", func() error { return submit(c.nodes[id], "config", get("k"))[0].Err() })
	}
	c.start(1)
	c.members(1, 2, 3)
	for _, n := range c.nodes {
		mustGet(t, n, "config", "k", "3")
	}
}
