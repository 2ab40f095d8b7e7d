package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab/inject"
)

// ask asks until the outcome is told.
func ask(t *testing.T, n *Node, id string) (o kv.RequestOutcome) {
	t.Helper()
	eventually(t, "outcome of "+id, func() error {
		answer, err := kv.AskOutcome(n, id, time.Now().Add(time.Second))
		if err == nil {
			o = answer.(kv.RequestOutcome)
		}
		return err
	})
	return o
}

// leader is the node that leads the first shard of a keyspace as far as a node knows; 0: it knows none.
func (c *cluster) leader(at core.NodeID, name string) core.NodeID {
	return core.NodeID(c.nodes[at].table.Load().byName[name].shards[0].leader.Load())
}

// leftOpen sends a write to a leader that cannot end it before its deadline, and returns the id that the answer has.
func leftOpen(t *testing.T, c *cluster, name string, leader core.NodeID, all map[core.NodeID]*inject.Injector, ways ...string) (id string) {
	t.Helper()
	for peer := range all {
		for _, way := range ways {
			if peer != leader {
				hurt(t, all[leader], fmt.Sprintf("links/%d/%s", peer, way), `{"down":true}`)
			}
		}
	}
	var b kv.Batch
	b.Reset(time.Now().Add(150 * time.Millisecond))
	call := b.Add()
	call.Keyspace, call.Command = c.nodes[leader].Keyspace(name), kv.Command{Ops: []kv.Op{{Kind: kv.OpIncr, Key: []byte("n"), Delta: 1}}}
	c.nodes[leader].Submit(&b)
	b.Wait()
	request, ok := call.RequestID()
	if !ok {
		t.Fatalf("the write ended as %+v", call.Result)
	}
	return request.String()
}

// TestOutcomeOfAWriteOfADeposedLeader: the leader had it alone, or others as well, and its client was told that nobody knows. Whoever asks
// at another node hears what is so, and hears it again after a restart of all nodes.
func TestOutcomeOfAWriteOfADeposedLeader(t *testing.T) {
	for _, promise := range []kv.Consistency{kv.Linearizable, kv.Sequential} {
		c := newCluster(t, 3)
		all := c.attackable()
		c.start(1, 2, 3)
		c.ready()
		c.create(1, kv.CreateKeyspace{Name: "default", Consistency: promise})
		c.hasKeyspace("default")
		mustSet(t, c.nodes[1], "default", "n", "0")
		told := map[string]string{}
		for _, way := range [][]string{{"in", "out"}, {"in"}} {
			was := c.leader(1, "default")
			heir := was%3 + 1
			id := leftOpen(t, c, "default", was, all, way...)
			eventually(t, "another leader", func() error {
				if now := c.leader(heir, "default"); now == 0 || now == was {
					return fmt.Errorf("node %d takes node %d for the leader", heir, now)
				}
				return nil
			})
			for _, i := range all {
				hurt(t, i, "faults", `{}`)
			}
			told[id] = ask(t, c.nodes[heir], id).Outcome
			eventually(t, "node 1 knows the leader", func() error {
				if now := c.leader(1, "default"); now == 0 || now == was {
					return fmt.Errorf("it takes node %d for it", now)
				}
				return nil
			})
		}
		counts := map[string]int{}
		for _, outcome := range told {
			counts[outcome]++
		}
		if promise == kv.Linearizable {
			mustGet(t, c.nodes[1], "default", "n", fmt.Sprint(counts[kv.OutcomeDone]))
		}
		for id := range c.nodes {
			c.close(id)
		}
		c.start(1, 2, 3)
		c.ready()
		c.hasKeyspace("default")
		for id, before := range told {
			if o := ask(t, c.nodes[2], id); o.Outcome != before {
				t.Errorf("%s: %s was %s, and is %s after the restart", promise, id, before, o.Outcome)
			}
		}
		c.closeAll()
	}
}

// TestOutcomeAcrossASplit: what was asked for in the shard that the key was in stays so in the one that it goes to, and the other way.
func TestOutcomeAcrossASplit(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "ordered", Partitioner: "ordered"})
	c.hasKeyspace("ordered")
	number := func(seq uint64) kv.Session {
		s := kv.Session{Client: client(time.Now()), Seq: seq}
		return s
	}
	done, fenced := number(1), number(2)
	write := func(s kv.Session) kv.Command {
		return kv.Command{Session: s, Ops: []kv.Op{{Kind: kv.OpIncr, Key: []byte("n"), Delta: 1}}}
	}
	if r := submit(c.nodes[1], "ordered", write(done))[0]; r.Code != kv.OK {
		t.Fatalf("%+v", r)
	}
	id := func(s kv.Session) string {
		return kv.RequestID{Keyspace: "ordered", Key: []byte("n"), Session: s}.String()
	}
	if o := ask(t, c.nodes[2], id(fenced)); o.Outcome != kv.OutcomeNotDone {
		t.Errorf("%+v", o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[1].SplitShard(ctx, "ordered", []byte("m")); err != nil {
		t.Fatal(err)
	}
	if o := ask(t, c.nodes[3], id(done)); o.Outcome != kv.OutcomeDone || o.Int != 1 {
		t.Errorf("%+v", o)
	}
	eventually(t, "the late write is answered", func() error {
		r := submit(c.nodes[2], "ordered", write(fenced))[0]
		if r.Code == kv.OK {
			t.Fatalf("a write that is not done was executed: %+v", r)
		}
		if r.Code != kv.Fenced {
			return r.Err()
		}
		return nil
	})
	mustGet(t, c.nodes[1], "ordered", "n", "1")
}

// client names a client that begins at a time.
func client(at time.Time) (id [16]byte) {
	for i := range 6 {
		id[i] = byte(at.UnixMilli() >> (8 * (5 - i)))
	}
	return id
}

// TestOutcomeOfOtherKeyspaces: an atomic one has a table as well; those whose replicas take writes alone refuse, and say why.
func TestOutcomeOfOtherKeyspaces(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	session := kv.Session{Client: client(time.Now()), Seq: 1}
	for _, promise := range []kv.Consistency{kv.Atomic, kv.Quorum, kv.Causal, kv.Eventual} {
		name := string(promise)
		c.create(1, kv.CreateKeyspace{Name: name, Consistency: promise})
		c.hasKeyspace(name)
		id := kv.RequestID{Keyspace: name, Key: []byte("n"), Session: session}.String()
		if promise != kv.Atomic {
			if _, err := kv.AskOutcome(c.nodes[2], id, time.Now().Add(patience)); err == nil || err.(*kv.Error).Code != kv.Unsupported {
				t.Errorf("%s: %v", promise, err)
			}
			continue
		}
		write := kv.Command{Session: session, Ops: set("n", "1").Ops}
		eventually(t, "the write is answered", func() error { r := submit(c.nodes[3], name, write)[0]; return r.Err() })
		if o := ask(t, c.nodes[2], id); o.Outcome != kv.OutcomeDone {
			t.Errorf("%+v", o)
		}
		write.Session.Seq = 2
		late := kv.RequestID{Keyspace: name, Key: []byte("n"), Session: write.Session}
		if o := ask(t, c.nodes[2], late.String()); o.Outcome != kv.OutcomeNotDone {
			t.Errorf("%+v", o)
		}
		if r := submit(c.nodes[3], name, write)[0]; r.Code != kv.Fenced {
			t.Errorf("%+v", r)
		}
	}
}
