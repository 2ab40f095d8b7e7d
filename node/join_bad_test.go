package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

func TestNodesJoinAtOneMoment(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wait sync.WaitGroup
	ids := make([]core.NodeID, 6)
	for i := range ids {
		ticket, through := strings.Repeat(string(rune('a'+i)), 26), c.configs[core.NodeID(i%3+1)].Cluster[core.NodeID(i%3+1)]
		address := freeport.Address(t)
		wait.Go(func() {
			eventually(t, "join", func() error {
				m, err := askToJoin(ctx, through, joinRequest{ticket, address})
				if err == nil {
					ids[i] = m.Node
				}
				return err
			})
		})
	}
	wait.Wait()
	seen := map[core.NodeID]bool{1: true, 2: true, 3: true}
	for _, id := range ids {
		if seen[id] {
			t.Errorf("the ids given are %v", ids)
		}
		seen[id] = true
	}
	// None of them has come up: none is asked for its vote, or given a replica.
	m, err := c.nodes[1].readMembers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if voters, learners := m.SystemMembers(); len(voters) != 3 || len(learners) != 6 {
		t.Errorf("voters %v, learners %v", voters, learners)
	}
	var e *kv.Error
	eventually(t, "node 4 is known", func() error {
		if c.nodes[1].table.Load().catalog.Nodes[4].Ticket == "" {
			return errors.New("not yet")
		}
		return nil
	})
	if err := c.nodes[1].MoveGroup(ctx, "default", c.groupOf("default", 0), []uint32{1, 4}); !errors.As(err, &e) || !strings.Contains(e.Detail, "never come up") {
		t.Errorf("a move to a node that never came up: %v", err)
	}
}

func TestJoinsThatMakeNoSenseAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	through, ticket := c.configs[1].Cluster[1], strings.Repeat("t", 26)
	var e *kv.Error
	for _, q := range []joinRequest{{"", "127.0.0.1:9"}, {strings.Repeat("t", 65), "127.0.0.1:9"}, {ticket, "127.0.0.1:"}, {ticket, ":9"},
		{ticket, "127.0.0.1:peer"}, {ticket, "127.0.0.1:65536"}, {ticket, strings.Repeat("h", 1000) + ":9"}} {
		if _, err := askToJoin(ctx, through, q); !errors.As(err, &e) || e.Code != kv.Invalid {
			t.Errorf("%.80v: %v", q, err)
		}
	}
	// A folder that is a node's is not given away.
	if _, err := Join(ctx, c.configs[1].Dir, through, "127.0.0.1:9"); err == nil || !strings.Contains(err.Error(), "belongs to a node already") {
		t.Errorf("a folder in use: %v", err)
	}
	if m, err := c.nodes[1].readMembers(ctx); err != nil || len(m.Nodes) != 1 {
		t.Errorf("the members are %+v, %v", m, err)
	}
	// A node that was removed is not given back its id for its ticket.
	m, err := askToJoin(ctx, through, joinRequest{ticket, "127.0.0.1:9"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "drain", func() error { return c.nodes[1].DrainNode(ctx, uint32(m.Node)) })
	eventually(t, "remove", func() error { return c.nodes[1].RemoveNode(ctx, uint32(m.Node)) })
	if again, err := askToJoin(ctx, through, joinRequest{ticket, "127.0.0.1:9"}); !errors.As(err, &e) || !strings.Contains(e.Detail, "removed") {
		t.Errorf("the ticket of a removed node: %+v, %v", again, err)
	}
}

func TestADamagedMembershipIsNotBelieved(t *testing.T) {
	system := string(keyspace.System([]core.NodeID{1}).Founded([]byte{1}).Encode())
	good := `{"ticket":"t","membership":{"cluster":"` + strings.Repeat("0", 32) + `","node":1,"peers":{"1":"a:1"},"system":` + system + `}}`
	dir := t.TempDir()
	path := filepath.Join(dir, store.MembershipName)
	for _, text := range []string{"", "{", "[]", `{"membership":{}}`, `{"membership":{"node":4}}`, strings.Replace(good, `"node":1,"peers"`, `"node":2,"peers"`, 1),
		strings.Replace(good, `"system":`, `"sistem":`, 1), strings.Replace(good, `a:1`, `a`, 1), strings.Replace(good, `"format":1`, `"format":9`, 1),
		strings.Replace(good, `"founders"`, `"flounders"`, 1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := Join(context.Background(), dir, "127.0.0.1:1", "127.0.0.1:2"); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := Join(context.Background(), dir, "127.0.0.1:1", "127.0.0.1:2"); err != nil || m.Node != 1 {
		t.Errorf("%s: %+v, %v", good, m, err)
	}
}

// TestWhoIsThereIsSoonDurable: a node must not fall back, in a crash, to a copy of the catalog that lacks its members of today.
func TestWhoIsThereIsSoonDurable(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := askToJoin(ctx, c.configs[1].Cluster[1], joinRequest{strings.Repeat("t", 26), "127.0.0.1:9"}); err != nil {
		t.Fatal(err)
	}
	joined := c.nodes[1].disk.Group(keyspace.SystemGroup).Applied()
	eventually(t, "the catalog is durable", func() error {
		if at := c.nodes[1].disk.Group(keyspace.SystemGroup).DurableApplied(); at < joined {
			return errors.New("not yet")
		}
		return nil
	})
}

func TestManyJoinersDoNotKeepPeersOut(t *testing.T) {
	c := newCluster(t, 2)
	c.start(1)
	n := c.nodes[1]
	n.joiners.Store(joinersMax)
	if _, err := askToJoin(context.Background(), c.configs[1].Cluster[1], joinRequest{strings.Repeat("t", 26), "127.0.0.1:9"}); err == nil {
		t.Error("one more is admitted")
	}
	if got := n.joiners.Load(); got != joinersMax {
		eventually(t, "it is counted no more", func() error {
			if got := n.joiners.Load(); got != joinersMax {
				return errors.New("still counted")
			}
			return nil
		})
	}
	// Without a majority nobody is admitted soon: more than there are places for strangers ask, and a peer comes in all the same.
	n.joiners.Store(-2 * strangersMax)
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for i := range strangersMax + 1 {
		wait.Go(func() {
			_, _ = askToJoin(ctx, c.configs[1].Cluster[1], joinRequest{strings.Repeat(string(rune('A'+i%26)), 26), "127.0.0.1:9"})
		})
	}
	eventually(t, "all of them wait", func() error {
		if got := n.joiners.Load(); got < 1-strangersMax {
			return errors.New("not yet")
		}
		return nil
	})
	c.start(2)
	c.ready()
	cancel()
	wait.Wait()
}
