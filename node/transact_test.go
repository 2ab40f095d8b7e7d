package node

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/txn"
)

// newBank is three nodes with a keyspace of some shards.
func newBank(t *testing.T) (*cluster, *kv.Keyspace) {
	t.Helper()
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "bank", Consistency: kv.Linearizable, Shards: 6})
	c.hasKeyspace("bank")
	return c, c.nodes[1].Keyspace("bank")
}

func addTo(ks *kv.Keyspace, key string, by int64) kv.TxnOp {
	return kv.TxnOp{Keyspace: ks, Op: kv.Op{Kind: kv.OpIncr, Key: []byte(key), Delta: by}}
}

// locksGone waits until no group of a keyspace has a lock or a transaction that is not over.
func locksGone(c *cluster, ks *kv.Keyspace) {
	c.t.Helper()
	for _, n := range c.nodes {
		for _, sh := range n.table.Load().byID[ks.ID].shards {
			eventually(c.t, "locks are gone", func() error {
				if locks, open := machine.Locks(sh.state), machine.OpenTxs(sh.state, kv.TxID{}, 1); locks > 0 || len(open) > 0 {
					return fmt.Errorf("%d keys are locked, open is %v", locks, open)
				}
				return nil
			})
		}
	}
}

// TestTransfers: many at once over few accounts, through all nodes, and the total is the same at every instant.
func TestTransfers(t *testing.T) {
	c, ks := newBank(t)
	const accounts = 8
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			n := c.nodes[core.NodeID(1+i%3)]
			for j := range 25 {
				from, to := fmt.Sprint("a", (i+j)%accounts), fmt.Sprint("a", (i+3*j+1)%accounts)
				if from == to {
					continue
				}
				r := n.Transact(&kv.Txn{Then: []kv.TxnOp{addTo(ks, from, -1), addTo(ks, to, 1)}}, time.Now().Add(patience))
				if r.Code != kv.OK && r.Code != kv.Aborted {
					t.Errorf("transfer: %v %s", r.Code, r.Detail)
				}
				if total := readAll(t, n, ks, accounts); total != 0 {
					t.Errorf("the total is %d", total)
				}
			}
		}()
	}
	clients.Wait()
	locksGone(c, ks)
}

func readAll(t *testing.T, n *Node, ks *kv.Keyspace, accounts int) (total int64) {
	all := &kv.Txn{}
	for i := range accounts {
		all.Then = append(all.Then, kv.TxnOp{Keyspace: ks, Op: get(fmt.Sprint("a", i)).Ops[0]})
	}
	r := n.Transact(all, time.Now().Add(patience))
	if r.Code == kv.Aborted {
		return 0
	}
	if r.Code != kv.OK || len(r.Items) != accounts {
		t.Errorf("read of all accounts: %v %s", r.Code, r.Detail)
	}
	for i := range r.Items {
		v, _ := strconv.ParseInt(string(r.Items[i].Value), 10, 64)
		total += v
	}
	return total
}

// TestLocksOfACoordinatorThatIsGone: it had all votes, or not all, and told nobody. Whoever waits for the locks need not ask: the
// leaders of the groups see to it. What Outcome says is what took effect.
func TestLocksOfACoordinatorThatIsGone(t *testing.T) {
	c, ks := newBank(t)
	n := c.nodes[1]
	for name, votes := range map[string]int{"committed": 2, "aborted": 1} {
		a, err := txn.NewAttempts(&kv.Txn{Then: []kv.TxnOp{addTo(ks, name+"1", 7), addTo(ks, name+"3", 7)}}, n.newTxID(), (&routes{node: n}).groupOf)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Parts()) != 2 {
			t.Fatalf("%d parts", len(a.Parts()))
		}
		_, sends := txn.Begin(a.ID(), a.Parts(), txn.NoMutation)
		n.ask(sends[:votes], time.Now().Add(patience), func(_ *txn.Send, r *kv.Result) {
			if r.Tx == nil || r.Tx.State != kv.TxYes {
				t.Errorf("vote %+v", r)
			}
		})
		var text string
		eventually(t, "the key can be written", func() error {
			r := c.nodes[2].Transact(&kv.Txn{Then: []kv.TxnOp{addTo(ks, name+"1", 0)}}, time.Now().Add(patience))
			if r.Code == kv.OK {
				text = strconv.FormatInt(r.Items[0].Int, 10)
			}
			return r.Err()
		})
		o, err := c.nodes[3].Outcome(a.ID(), time.Now().Add(patience))
		if err != nil || o.Outcome != name || text != map[string]string{"committed": "7", "aborted": "0"}[name] {
			t.Errorf("%s: outcome %+v, %v; the value is %s", name, o, err, text)
		}
	}
	locksGone(c, ks)
}

// TestOutcomeOfATransactionThatNeverBegan decides it: nobody can begin it any more.
func TestOutcomeOfATransactionThatNeverBegan(t *testing.T) {
	c, ks := newBank(t)
	n := c.nodes[1]
	a, err := txn.NewAttempts(&kv.Txn{Then: []kv.TxnOp{addTo(ks, "x", 1), addTo(ks, "y", 1)}}, n.newTxID(), (&routes{node: n}).groupOf)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := n.Outcome(a.ID(), time.Now().Add(patience)); err != nil || o.Outcome != "aborted" {
		t.Errorf("%+v, %v", o, err)
	}
	old := a.ID()
	old.Age = kv.HLCOf(1)
	if _, err := n.Outcome(old, time.Now().Add(patience)); err == nil || err.(*kv.Error).Code != kv.TooOld {
		t.Errorf("outcome of one of 1970: %v", err)
	}
}

// TestElse: the branch that is executed is that of the instant of the commit.
func TestElse(t *testing.T) {
	c, ks := newBank(t)
	n := c.nodes[2]
	absent := kv.TxnCond{Keyspace: ks, Cond: kv.Cond{Key: []byte("flag"), Kind: kv.CondAbsent}}
	for i, keys := range [][]string{{"flag", "flag"}, {"one", "two"}} {
		t2 := &kv.Txn{Conds: []kv.TxnCond{absent}, Then: []kv.TxnOp{addTo(ks, keys[0], 1)}, Else: []kv.TxnOp{addTo(ks, keys[1], 10)}}
		r := n.Transact(t2, time.Now().Add(patience))
		if r.Code != kv.OK || r.Else != (i == 1) {
			t.Errorf("%v: %+v", keys, r)
		}
	}
	r := n.Transact(&kv.Txn{Conds: []kv.TxnCond{absent}, Then: []kv.TxnOp{addTo(ks, "one", 1), addTo(ks, "two", 1)}}, time.Now().Add(patience))
	if r.Code != kv.ConditionFailed || r.Cond != 0 {
		t.Errorf("%+v", r)
	}
}

// TestDropWaitsForTransactions: both shards have voted yes, the client was told, and the coordinator is gone. The keyspace of one of
// them goes only when the other one knows the outcome.
func TestDropWaitsForTransactions(t *testing.T) {
	c, ks := newBank(t)
	n := c.nodes[1]
	c.create(1, kv.CreateKeyspace{Name: "side", Consistency: kv.Linearizable})
	c.hasKeyspace("side")
	side := n.Keyspace("side")
	both := &kv.Txn{Then: []kv.TxnOp{addTo(ks, "a", 7), addTo(side, "b", 7)}}
	a, err := txn.NewAttempts(both, n.newTxID(), (&routes{node: n}).groupOf)
	if err != nil {
		t.Fatal(err)
	}
	_, sends := txn.Begin(a.ID(), a.Parts(), txn.NoMutation)
	n.ask(sends, time.Now().Add(patience), func(_ *txn.Send, r *kv.Result) {
		if r.Tx == nil || r.Tx.State != kv.TxYes {
			t.Errorf("vote %+v", r)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[2].DropKeyspace(ctx, "side", false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the part of the other keyspace is there", func() error {
		r := c.nodes[3].Transact(&kv.Txn{Then: []kv.TxnOp{addTo(ks, "a", 0)}}, time.Now().Add(patience))
		if r.Code == kv.OK && r.Items[0].Int != 7 {
			t.Fatalf("it is %d", r.Items[0].Int)
		}
		return r.Err()
	})
	if r := n.Transact(both, time.Now().Add(patience)); r.Code != kv.NoKeyspace {
		t.Errorf("a transaction with it: %v %s", r.Code, r.Detail)
	}
	locksGone(c, ks)
}

// TestDropThatCannotWait says why, and leaves the keyspace as it was; by force it does not wait.
func TestDropThatCannotWait(t *testing.T) {
	c, ks := newBank(t)
	n := c.nodes[1]
	id := n.newTxID()
	shard := ks.ShardOf([]byte("x"))
	// A participant that nobody ever heard of keeps the transaction open.
	id.Anchor = (&routes{node: n}).groupOf(ks, []byte("x"))
	prepare := kv.Command{Tx: &kv.Tx{Step: kv.TxPrepare, ID: id, Participants: []uint64{id.Anchor, 1 << 40}}, Ops: []kv.Op{addTo(ks, "x", 1).Op}}
	if r := n.do(context.Background(), ks, shard, prepare); r.Tx == nil || r.Tx.State != kv.TxYes {
		t.Fatalf("vote %+v", r)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second) // it waits for most of that
	defer cancel()
	err := c.nodes[2].DropKeyspace(ctx, "bank", false)
	if err == nil || err.(*kv.Error).Code != kv.Busy || !strings.Contains(err.Error(), fmt.Sprintf("1 transactions of group %d of keyspace", id.Anchor)) {
		t.Errorf("%v", err)
	}
	eventually(t, "transactions go on", func() error {
		r := n.Transact(&kv.Txn{Then: []kv.TxnOp{addTo(ks, "a1", 1), addTo(ks, "a2", 1)}}, time.Now().Add(patience))
		return r.Err()
	})
	if err := c.nodes[2].DropKeyspace(context.Background(), "bank", true); err != nil {
		t.Error(err)
	}
}
