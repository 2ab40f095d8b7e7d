package keyspace

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/twophase"
)

// config is a configuration of epoch 3 whose coordinator is the first member.
func config(least int, members []core.ReplicaID, joiners ...core.ReplicaID) twophase.Config {
	return twophase.Config{Epoch: 3, Coordinator: members[0], Members: members, Joiners: joiners, MinMembers: least}
}

type replicas = []core.ReplicaID

func TestLeaveKeepsAMajority(t *testing.T) {
	for _, c := range []struct {
		from twophase.Config
		id   core.ReplicaID
		want replicas // nil: it stays
	}{
		{config(1, replicas{1, 2, 3}), 3, replicas{1, 2}},
		{config(1, replicas{1, 2, 3}), 1, nil}, // it coordinates
		{config(3, replicas{1, 2, 3}), 3, nil}, // too few would be left for the keyspace
		{config(1, replicas{1, 2}, 3), 2, nil}, // one of three is no majority
		{config(1, replicas{1, 2}, 3), 3, nil}, // it is no member
		{config(1, replicas{1, 2, 3, 4}, 5), 4, replicas{1, 2, 3}},
		{config(1, replicas{1}), 1, nil},
	} {
		got := Leave(c.from.AppendTo(nil), c.id)
		if c.want == nil {
			if got != nil {
				t.Errorf("%v left %v", c.id, c.from)
			}
			continue
		}
		next, err := DecodeRoster(got)
		from, _ := DecodeRoster(c.from.AppendTo(nil))
		if err != nil || from.Follows(&next) != nil || !slices.Equal(next.Members, c.want) || !slices.Contains(next.Joiners, c.id) {
			t.Errorf("%v leaves %v: %+v, %v", c.id, c.from, next, err)
		}
	}
	if Leave([]byte("nonsense"), 1) != nil {
		t.Error("somebody left a view that cannot be read")
	}
}

// TestFollows holds wishes against what no view may become (trap T2.13).
func TestFollows(t *testing.T) {
	from := Roster{Epoch: 3, Coordinator: 1, Members: replicas{1, 2}, Joiners: replicas{3}}
	for _, c := range []struct {
		next Roster
		says string // empty: it follows
	}{
		{Roster{Epoch: 4, Coordinator: 2, Members: replicas{2}}, ""},
		{Roster{Epoch: 4, Coordinator: 1, Members: replicas{1, 2, 3}}, ""},
		{Roster{Epoch: 4, Coordinator: 3, Members: replicas{1, 3}}, ""},
		{Roster{Epoch: 5, Coordinator: 1, Members: replicas{1}}, "does not follow"},
		{Roster{Epoch: 4, Coordinator: 1}, "none of the members"},
		{Roster{Epoch: 4, Coordinator: 2, Members: replicas{1}}, "none of the members"},
		{Roster{Epoch: 4, Coordinator: 3, Members: replicas{3}}, "none of the members of before"},
		{Roster{Epoch: 4, Coordinator: 1, Members: replicas{1, 4}}, "neither a member nor a joiner"},
	} {
		switch err := from.Follows(&c.next); {
		case c.says == "" && err != nil:
			t.Errorf("%+v: %v", c.next, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%+v: %v, want %q", c.next, err, c.says)
		}
	}
}

func TestViewsSurviveTheCatalog(t *testing.T) {
	d, _, err := Plan(kv.CreateKeyspace{Name: "a", Consistency: kv.Atomic, Shards: 2, MinMembers: 2, Conflict: "refuse"}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	if spec := d.Spec(); spec.MinMembers != 2 || spec.Conflict != "refuse" || spec.Lease != "" {
		t.Errorf("%+v", spec)
	}
	c := NewCatalog()
	keys, values := d.FirstViews([16]byte{}, Options{})
	for i := range keys {
		if err := c.Put(keys[i], values[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range d.Shards {
		v := c.Views[d.Shards[i].Group]
		if v == nil {
			t.Fatalf("shard %d has no view", i)
		}
		first, err := twophase.DecodeConfig(v.Config)
		if err != nil || first.Epoch != 1 || first.MinMembers != 2 || first.Coordinator != d.Shards[i].Preferred || len(first.Members) != 3 {
			t.Errorf("shard %d begins with %+v, %v", i, first, err)
		}
		v.Next = []byte{1}
		changed := v
		for epoch := range uint64(historyMax + 3) {
			changed = changed.Changed([]byte{2}, kv.ViewChange{Epoch: epoch, Text: "x"})
		}
		again, err := DecodeView(changed.Encode())
		if err != nil || !cmp.Equal(again, changed) {
			t.Errorf("%v, %v", err, cmp.Diff(again, changed))
		}
		if again.Next != nil || len(again.History) != historyMax || again.History[0].Epoch != 3 {
			t.Errorf("%+v", again)
		}
	}
	if keys, _ := (&Descriptor{Consistency: kv.Linearizable, Shards: d.Shards}).FirstViews([16]byte{}, Options{}); keys != nil {
		t.Errorf("a linearizable keyspace has views: %q", keys)
	}
	if err := c.Put(ViewKey(9), []byte("nonsense")); err == nil {
		t.Error("a view that cannot be read was taken")
	}
	if node, ok := LeaseNode(LeaseKey(7)); !ok || node != 7 {
		t.Errorf("lease of %d, %v", node, ok)
	}
}

func TestAtomicOffers(t *testing.T) {
	ks := &kv.Keyspace{Name: "a", Consistency: kv.Atomic}
	read, write := []kv.Op{{Kind: kv.OpGet, Key: []byte("k")}}, []kv.Op{{Kind: kv.OpIncr, Key: []byte("k")}}
	for _, c := range []struct {
		level       kv.Level
		read, write bool
	}{
		{kv.LevelDefault, true, true}, {kv.LevelLinearizable, true, true}, {kv.LevelEventual, true, false}, {kv.LevelPrefix, false, false},
		{kv.LevelSequential, true, true}, {kv.LevelSession, true, true}, {kv.BoundedAge(5e9), true, false}, {kv.LevelOne, false, false}, {kv.LevelQuorum, false, false},
	} {
		for ops, want := range map[*[]kv.Op]bool{&read: c.read, &write: c.write} {
			err := Offers(ks, &kv.Command{Level: c.level, Ops: *ops})
			var e *kv.Error
			if (err == nil) != want || err != nil && (!errors.As(err, &e) || e.Code != kv.Unsupported) {
				t.Errorf("level %s, %v: %v", c.level, *ops, err)
			}
		}
	}
}

func TestExplainAtomic(t *testing.T) {
	for _, c := range []struct {
		spec kv.CreateKeyspace
		says []string
	}{
		{kv.CreateKeyspace{}, []string{"on every member of its view or on none", "waits for its turn", "keeps 1 member and", "3 seconds"}},
		{kv.CreateKeyspace{MinMembers: 3}, []string{"none is ever left out"}},
		{kv.CreateKeyspace{Replicas: 1, Conflict: "refuse"}, []string{"refused at once", "lost only with the disk"}},
		{kv.CreateKeyspace{Shards: 4}, []string{"4 shards, each with a view of its own"}},
	} {
		c.spec.Name, c.spec.Consistency = "a", kv.Atomic
		d, _, err := Plan(c.spec, three, FirstNext())
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(strings.Join(d.Explain(), "\n"))
		for _, says := range c.says {
			if !strings.Contains(text, says) {
				t.Errorf("%+v: nothing about %q in:\n%s", c.spec, says, text)
			}
		}
	}
}

// TestLets holds changes of a view against the shard's descriptor: replicas 1 to 3 are there, and 4 shall have the place of 1.
func TestLets(t *testing.T) {
	still := Shard{Replicas: []Member{{1, 1}, {2, 2}, {3, 3}}}
	moves := Shard{Replicas: []Member{{1, 1}, {2, 2}, {3, 3}, {4, 4}}, Target: replicas{2, 3, 4}}
	view := func(members replicas, joiners ...core.ReplicaID) Roster {
		return Roster{Members: members, Joiners: joiners}
	}
	for _, c := range []struct {
		shard      *Shard
		from, next Roster
		says       string // empty: it may be
	}{
		{&still, view(replicas{1, 2, 3}), view(replicas{1, 2}, 3), ""},
		{&still, view(replicas{1, 2}, 3), view(replicas{1, 2, 3}), ""},
		{&still, view(replicas{1, 2, 3}), view(replicas{1, 2, 3}, 4), "replica 4 is none of those that are to stay"},
		{&still, view(replicas{1, 2}, 3), view(replicas{1, 2}), "replica 3 is to stay"},
		{&moves, view(replicas{1, 2, 3}), view(replicas{1, 2, 3}, 4), ""},
		{&moves, view(replicas{1, 2, 3}, 4), view(replicas{1, 2, 3, 4}), ""},
		{&moves, view(replicas{1, 2, 3, 4}), view(replicas{2, 3, 4}), ""},
		{&moves, view(replicas{1, 2, 3}, 4), view(replicas{2, 3}, 4), "replica 1 is to go when all"},
		{&moves, view(replicas{1, 2, 3}, 4), view(replicas{2, 3}, 1, 4), ""}, // it is left out, as one that is silent
		{&moves, view(replicas{2, 3}, 1, 4), view(replicas{2, 3}, 4), ""},
		{&moves, view(replicas{2, 3}, 4), view(replicas{2, 3}, 1, 4), "replica 1 is none of those that are to stay"},
		{&moves, view(replicas{1, 2, 3, 4}), view(replicas{1, 3, 4}), "replica 2 is to stay"},
	} {
		switch err := c.shard.Lets(&c.from, &c.next); {
		case c.says == "" && err != nil:
			t.Errorf("%+v to %+v: %v", c.from, c.next, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%+v to %+v: %v, want %q", c.from, c.next, err, c.says)
		}
	}
	for _, c := range []struct {
		view Roster
		want bool
	}{{view(replicas{4, 3, 2}), true}, {view(replicas{1, 2, 3, 4}), false}, {view(replicas{2, 3}, 4), false}, {view(replicas{2, 3, 4}, 1), false}} {
		if got := moves.Reached(&c.view); got != c.want {
			t.Errorf("%+v is what the move wants: %t", c.view, got)
		}
	}
}

// TestMovesKeepTheLeastMembers: a shard is not moved to fewer nodes than its views keep members.
func TestMovesKeepTheLeastMembers(t *testing.T) {
	d, _, err := Plan(kv.CreateKeyspace{Name: "a", Consistency: kv.Atomic, MinMembers: 2}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Move(0, []core.NodeID{1}, nil); err == nil || !strings.Contains(err.Error(), "keeps 2 members") {
		t.Errorf("moved to one node: %v", err)
	}
	moved, err := d.Move(0, []core.NodeID{2, 3, 4}, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeDescriptor(moved.Encode())
	if err != nil || !cmp.Equal(again, moved) || again.Format != descriptorMoving {
		t.Errorf("%v, %v", err, cmp.Diff(again, moved))
	}
}
