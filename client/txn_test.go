package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gamutdb/gamut/client"
	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/kv"
)

func number(r client.Record) int64 {
	n, _ := strconv.ParseInt(string(r.Value), 10, 64)
	return n
}

// accounts are keys of two keyspaces with several shards.
func accounts(name string, n int) (list []client.Key) {
	for i := range n {
		list = append(list, client.Key{Keyspace: []string{"orders", "bank"}[i%2], Key: fmt.Sprint(name, " ", i)})
	}
	return list
}

// TestUpdatesKeepTheTotal: transfers that read, decide and write, side by side over few accounts of two keyspaces; each snapshot finds
// the total, and none spends what is not there.
func TestUpdatesKeepTheTotal(t *testing.T) {
	ctx := within(t, patience)
	all := accounts("account", 6)
	first := open(t, addresses, client.Options{})
	fill := first.Txn()
	for _, a := range all {
		fill.Then.Put(a, []byte("10"))
	}
	if _, err := fill.Do(ctx); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for i := range 4 {
		c := open(t, addresses, client.Options{})
		clients.Go(func() {
			for j := range 10 {
				from, to := all[(i+j)%len(all)], all[(i+2*j+1)%len(all)]
				if from == to {
					continue
				}
				if err := c.Update(ctx, transfer(from, to, int64(1+j%4))); err != nil && !errors.Is(err, errPoor) {
					t.Errorf("transfer: %v", err)
				}
				records, err := c.Snapshot(ctx, all...)
				if err != nil {
					t.Errorf("snapshot: %v", err)
					continue
				}
				total := int64(0)
				for _, r := range records {
					if number(r) < 0 {
						t.Errorf("%s has %d", r.Key, number(r))
					}
					total += number(r)
				}
				if total != 60 {
					t.Errorf("the total is %d", total)
				}
			}
		})
	}
	clients.Wait()
}

var errPoor = errors.New("not enough")

func transfer(from, to client.Key, amount int64) func(tx *client.Tx) error {
	return func(tx *client.Tx) error {
		a, err := tx.Get(from)
		if err != nil {
			return err
		}
		b, err := tx.Get(to)
		if err != nil {
			return err
		}
		if number(a) < amount {
			return errPoor
		}
		tx.Put(from, []byte(fmt.Sprint(number(a)-amount)))
		tx.Put(to, []byte(fmt.Sprint(number(b)+amount)))
		return nil
	}
}

// TestUpdateSeesItsOwnWrites, and only its own.
func TestUpdateSeesItsOwnWrites(t *testing.T) {
	ctx := within(t, patience)
	c := open(t, addresses, client.Options{})
	keys := accounts("own", 3)
	tries := 0
	err := c.Update(ctx, func(tx *client.Tx) error {
		if tries++; tries == 1 {
			// Somebody else is faster once: what was decided by the old value must not happen.
			defer func() {
				if _, err := c.Keyspace(keys[0].Keyspace).Put(ctx, keys[0].Key, []byte("faster")); err != nil {
					t.Error(err)
				}
			}()
		}
		r, err := tx.Get(keys[0])
		if tries == 1 && !errors.Is(err, client.ErrNotFound) || tries == 2 && string(r.Value) != "faster" {
			t.Errorf("try %d: %q, %v", tries, r.Value, err)
		}
		tx.Put(keys[1], []byte("x"))
		tx.Put(keys[2], nil)
		if r, err := tx.Get(keys[1]); err != nil || string(r.Value) != "x" {
			t.Errorf("what it wrote: %q, %v", r.Value, err)
		}
		if r, err := tx.Get(keys[2]); err != nil || r.Value == nil {
			t.Errorf("what it wrote: %q, %v", r.Value, err)
		}
		tx.Delete(keys[1])
		if _, err := tx.Get(keys[1]); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("what it deleted: %v", err)
		}
		tx.Delete(keys[0])
		return nil
	})
	if err != nil || tries != 2 {
		t.Fatalf("%v after %d tries", err, tries)
	}
	records, err := c.Snapshot(ctx, keys...)
	if err != nil || records[0].Version != 0 || records[1].Version != 0 || records[2].Version == 0 {
		t.Errorf("%+v, %v", records, err)
	}
}

// TestErrorOfAnUpdateIsOfOneInstant: what f decided by values that never were together does not count.
func TestErrorOfAnUpdateIsOfOneInstant(t *testing.T) {
	ctx := within(t, patience)
	c := open(t, addresses, client.Options{})
	k := accounts("instant", 2)
	both := func(v string) {
		x := c.Txn()
		x.Then.Put(k[0], []byte(v))
		x.Then.Put(k[1], []byte(v))
		if _, err := x.Do(ctx); err != nil {
			t.Error(err)
		}
	}
	both("1")
	tries := 0
	err := c.Update(ctx, func(tx *client.Tx) error {
		tries++
		a, _ := tx.Get(k[0])
		if tries == 1 {
			both("2")
		}
		b, _ := tx.Get(k[1])
		if string(a.Value) != string(b.Value) {
			return errors.New("torn")
		}
		return errPoor
	})
	if !errors.Is(err, errPoor) || tries != 2 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

// TestUpdateEndsWithItsContext, when others are always faster.
func TestUpdateEndsWithItsContext(t *testing.T) {
	c := open(t, addresses, client.Options{})
	k := accounts("contested", 1)[0]
	ctx, cancel := context.WithCancel(within(t, patience))
	tries := 0
	err := c.Update(ctx, func(tx *client.Tx) error {
		if tries++; tries == 3 {
			cancel()
		}
		_, _ = tx.Get(k)
		if _, err := c.Keyspace(k.Keyspace).Incr(context.Background(), k.Key, 1); err != nil {
			t.Error(err)
		}
		tx.Put(k, []byte("0"))
		return nil
	})
	var refused *client.RefusedError
	if !errors.As(err, &refused) && !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if r, err := c.Keyspace(k.Keyspace).Get(within(t, patience), k.Key); err != nil || string(r.Value) != fmt.Sprint(tries) {
		t.Errorf("%q after %d, %v", r.Value, tries, err)
	}
}

func TestTxnBranchesAndReceipt(t *testing.T) {
	ctx := within(t, patience)
	c := open(t, addresses, client.Options{})
	k := accounts("branch \xff", 4)
	var receipt kv.Receipt
	x := c.Txn()
	x.Receipt = &receipt
	x.IfAbsent(k[0])
	one, n := x.Then.Put(k[0], []byte("\xfe")), x.Then.Incr(k[1], 5)
	x.Then.Put(k[2], []byte("short"))
	x.Then.Expire(k[2], 50e6)
	got := x.Else.Get(k[0])
	done, err := x.Do(ctx)
	if err != nil || done.Else || done.ID == "" || one.Version == 0 || n.Count != 5 || receipt.Txn != done.ID || len(receipt.Groups) < 2 || receipt.Keyspace != "orders,bank" {
		t.Errorf("%+v, %v; %+v, %+v; %+v", done, err, one, n, receipt)
	}
	if done, err = x.Do(ctx); err != nil || !done.Else || string(got.Record.Value) != "\xfe" || got.Record.Version != one.Version {
		t.Errorf("%+v, %v; %+v", done, err, got)
	}
	for name, cond := range map[string]func(*client.Txn){
		"version": func(x *client.Txn) { x.IfVersion(k[0], one.Version+1) },
		"absent":  func(x *client.Txn) { x.IfAbsent(k[0]) },
		"present": func(x *client.Txn) { x.IfPresent(k[3]) },
		"value":   func(x *client.Txn) { x.IfValue(k[0], []byte("other")) },
	} {
		y := c.Txn()
		cond(y)
		y.Then.Delete(k[0])
		if _, err := y.Do(ctx); !errors.Is(err, client.ErrCondition) {
			t.Errorf("%s: %v", name, err)
		}
	}
	y := c.Txn()
	y.IfVersion(k[0], one.Version)
	y.IfValue(k[0], []byte("\xfe"))
	y.Then.Delete(k[0])
	missing := y.Then.Delete(k[3])
	if _, err := y.Do(ctx); err != nil || !errors.Is(missing.Err, client.ErrNotFound) {
		t.Errorf("%v, %v", err, missing.Err)
	}
	if _, err := c.Txn().Do(ctx); err == nil || !strings.Contains(err.Error(), "Then is empty") {
		t.Errorf("%v", err)
	}
	z := c.Txn()
	z.Then.Put(client.Key{Keyspace: "clicks", Key: "a"}, nil)
	z.Then.Put(k[0], nil)
	var refused *client.RefusedError
	if _, err := z.Do(ctx); !errors.As(err, &refused) || refused.Code != kv.Unsupported || !strings.Contains(err.Error(), "keyspace clicks is quorum") {
		t.Errorf("%v", err)
	}
}

// TestTxnInOneShardIsExecutedOnce: its answer is cut off, and it is sent again under its number.
func TestTxnInOneShardIsExecutedOnce(t *testing.T) {
	ctx := within(t, patience)
	var numbers []string
	cut := proxy(t, addresses[0], func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/txn" {
			numbers = append(numbers, r.Header.Get(doorhttp.HeaderRequest))
		}
		return r.URL.Path == "/v1/txn" && len(numbers) == 1
	})
	x := open(t, []string{cut}, client.Options{}).Txn()
	n := x.Then.Incr(client.Key{Keyspace: "lone", Key: "once"}, 1)
	if _, err := x.Do(ctx); err != nil {
		t.Fatal(err)
	}
	if n.Count != 1 || len(numbers) != 2 || numbers[0] == "" || numbers[0] != numbers[1] {
		t.Errorf("count %d, numbers %q", n.Count, numbers)
	}
}

// TestUnknownTransactionIsAskedFor: the answer says that the outcome is not known, and which transaction it is.
func TestUnknownTransactionIsAskedFor(t *testing.T) {
	ctx := within(t, patience)
	var asked, sent atomic.Int32
	to := &httputil.ReverseProxy{Transport: &http.Transport{}, Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", addresses[0] }}
	to.ModifyResponse = func(resp *http.Response) error {
		text := ""
		switch path := resp.Request.URL.Path; {
		case path == "/v1/status":
			text = `{"nodes":[],"groups":[]}`
		case path == "/v1/txn":
			sent.Add(1)
			resp.StatusCode, text = http.StatusGatewayTimeout, `{"error":"unknown","detail":"a shard did not answer in time","outcome":"unknown"}`
		case strings.HasPrefix(path, "/v1/txn/"):
			asked.Add(1)
		}
		if text != "" {
			resp.Body.Close()
			resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
			resp.Header.Del("Content-Length")
		}
		return nil
	}
	s := httptest.NewServer(to)
	defer to.Transport.(*http.Transport).CloseIdleConnections()
	defer s.Close()
	x := open(t, []string{strings.TrimPrefix(s.URL, "http://")}, client.Options{}).Txn()
	for _, k := range accounts("unknown", 4) {
		x.Then.Incr(k, 1)
	}
	done, err := x.Do(ctx)
	if err != nil || !done.Lost || done.ID == "" || asked.Load() == 0 || sent.Load() != 1 {
		t.Errorf("%+v, %v, sent %d times, asked %d times", done, err, sent.Load(), asked.Load())
	}
}
