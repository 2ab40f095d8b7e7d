package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// accounts is how many accounts the bank has, over eight shards.
const accounts = 24

// transfer is what a client asked for; its marker is written by the same transaction, so that the marker tells whether it happened.
type transfer struct {
	from, to string
	amount   int64
	marker   string
	outcome  kv.Code
	id       string
}

// bank is eight clients that move money between accounts in several shards while nodes are killed.
type bank struct {
	c                         *cluster
	done, unknown, aborted    atomic.Int64
	refused, reads, wrongSums atomic.Int64
	mu                        sync.Mutex
	transfers                 []transfer
}

// TestBank moves money between shards for a while, with a node killed with -9 every second. Every read of all accounts finds the
// total, and in the end each account holds exactly what the transfers say that happened: those of unknown outcome, too, once asked.
func TestBank(t *testing.T) {
	length := 15 * time.Second
	if text := os.Getenv("GAMUT_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t)
	if code, out := c.gamut("keyspace", "create", "bank", "--consistency", "linearizable", "--shards", "8"); code != 0 {
		t.Fatalf("create: %s", out)
	}
	b := &bank{c: c}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() { b.client(i, stop) })
	}
	kills := killSome(c, length)
	before := b.done.Load()
	await(t, patience, func() error { return atLeast(b.done.Load()-before, 50) })
	close(stop)
	clients.Wait()
	c.awaitReady(1, 2, 3)
	t.Logf("%d kills; %d transfers done, %d aborted, %d refused, %d unknown; %d reads of all accounts", kills, b.done.Load(), b.aborted.Load(),
		b.refused.Load(), b.unknown.Load(), b.reads.Load())
	if n := b.wrongSums.Load(); n > 0 {
		t.Errorf("%d reads of all accounts found another total than 0", n)
	}
	if b.reads.Load() == 0 {
		t.Error("nobody has read all accounts")
	}
	b.audit(t)
	await(t, patience, b.noneOpen)
	c.checkReplicas()
}

// killSome kills a node every second or so, and starts it again.
func killSome(c *cluster, length time.Duration) (kills int) {
	chance := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 7))
	for end := time.Now().Add(length); time.Now().Before(end); kills++ {
		next := time.Now().Add(time.Second)
		id := 1 + chance.IntN(3)
		c.kill(id)
		pause(time.Now().Add(time.Duration(chance.Int64N(int64(800 * time.Millisecond)))))
		c.start(id)
		pause(next)
	}
	c.awaitReady(1, 2, 3)
	return kills
}

func account(i int) string { return fmt.Sprint("account", i) }

// client moves money, and looks at all of it now and then, until it is told to stop.
func (b *bank) client(id int, stop <-chan struct{}) {
	chance := rand.New(rand.NewPCG(uint64(id), uint64(time.Now().UnixNano())))
	nodes := []*remote.Cluster{b.c.remote(1), b.c.remote(2), b.c.remote(3)}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		node := nodes[chance.IntN(3)]
		if i%8 == 7 {
			b.readAll(node)
			continue
		}
		from := chance.IntN(accounts)
		x := transfer{from: account(from), to: account((from + 1 + chance.IntN(accounts-1)) % accounts), amount: 1 + chance.Int64N(9),
			marker: fmt.Sprintf("marker%d.%d", id, i)}
		x.outcome, x.id = move(node, &x)
		b.count(x.outcome)
		b.mu.Lock()
		b.transfers = append(b.transfers, x)
		b.mu.Unlock()
		if x.outcome.Refused() {
			pause(time.Now().Add(20 * time.Millisecond)) // a node that is dead refuses fast
		}
	}
}

func (b *bank) count(code kv.Code) {
	switch {
	case code == kv.OK:
		b.done.Add(1)
	case code == kv.Unknown:
		b.unknown.Add(1)
	case code == kv.Aborted:
		b.aborted.Add(1)
	default:
		b.refused.Add(1)
	}
}

// move asks a node for a transfer.
func move(node *remote.Cluster, x *transfer) (kv.Code, string) {
	back, value := -x.amount, "done"
	answer, err := transact(node, doorhttp.Txn{Keyspace: "bank", Operations: []doorhttp.TxnOperation{
		{Op: "incr", Key: x.from, By: &back}, {Op: "incr", Key: x.to, By: &x.amount}, {Op: "put", Key: x.marker, Value: &value}}})
	return codeOfHTTP(err), answer.ID
}

func transact(node *remote.Cluster, t doorhttp.Txn) (answer doorhttp.TxnBody, err error) {
	body, err := json.Marshal(t)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	err = node.JSON(ctx, remote.Request{Method: "POST", Path: "/v1/txn", Body: body}, &answer)
	return answer, err
}

// codeOfHTTP is the outcome that an error stands for: what a node does not say, nobody knows, unless it was never reached.
func codeOfHTTP(err error) kv.Code {
	var e *kv.Error
	switch {
	case err == nil:
		return kv.OK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, remote.ErrNoAnswer):
		return kv.Unavailable
	}
	return kv.Unknown
}

func (b *bank) readAll(node *remote.Cluster) {
	t := doorhttp.Txn{Keyspace: "bank"}
	for i := range accounts {
		t.Operations = append(t.Operations, doorhttp.TxnOperation{Op: "get", Key: account(i)})
	}
	answer, err := transact(node, t)
	if err != nil {
		return
	}
	b.reads.Add(1)
	if sum := balanceOf(answer.Results); sum != 0 {
		b.wrongSums.Add(1)
	}
}

func balanceOf(results []doorhttp.TxnResult) (sum int64) {
	for i := range results {
		if results[i].Value != nil {
			n, _ := strconv.ParseInt(*results[i].Value, 10, 64)
			sum += n
		}
	}
	return sum
}

// audit compares each account with the transfers that happened.
func (b *bank) audit(t *testing.T) {
	want := map[string]int64{}
	node := b.c.remote(1)
	for i := range b.transfers {
		x := &b.transfers[i]
		happened := b.happened(t, node, x)
		if happened {
			want[x.from] -= x.amount
			want[x.to] += x.amount
		}
		if x.outcome != kv.Unknown && happened != (x.outcome == kv.OK) {
			t.Errorf("%s was answered %v, and its marker is there: %t", x.marker, x.outcome, happened)
		}
	}
	for i := range accounts {
		resp, err := transact(node, doorhttp.Txn{Keyspace: "bank", Operations: []doorhttp.TxnOperation{{Op: "get", Key: account(i)}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := balanceOf(resp.Results); got != want[account(i)] {
			t.Errorf("%s holds %d, the transfers say %d", account(i), got, want[account(i)])
		}
	}
}

// happened looks for a transfer's marker.
func (b *bank) happened(t *testing.T, node *remote.Cluster, x *transfer) bool {
	answer, err := transact(node, doorhttp.Txn{Keyspace: "bank", Operations: []doorhttp.TxnOperation{{Op: "get", Key: x.marker}}})
	if err != nil {
		t.Fatalf("marker %s: %v", x.marker, err)
	}
	return answer.Results[0].Result == "ok"
}

// noneOpen says whether every transaction has ended everywhere.
func (b *bank) noneOpen() error {
	for id := 1; id <= 3; id++ {
		s, err := b.c.status(id)
		if err != nil {
			return err
		}
		if len(s.Transactions) > 0 {
			return fmt.Errorf("%d transactions are open, the first is %+v", len(s.Transactions), s.Transactions[0])
		}
	}
	return nil
}
