package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gamutdb/gamut/client"
	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/internal/trial"
	"github.com/gamutdb/gamut/kv"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	c, err := trial.Start(3)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, spec := range []kv.CreateKeyspace{{Name: "orders", Consistency: kv.Linearizable, Shards: 2}, {Name: "news", Consistency: kv.Sequential, Shards: 2},
		{Name: "carts", Consistency: kv.Causal}, {Name: "notes", Consistency: kv.Causal, Conflict: "siblings"}, {Name: "clicks", Consistency: kv.Quorum}, {Name: "bank", Consistency: kv.Linearizable, Shards: 4}, {Name: "lone", Consistency: kv.Linearizable}} {
		if err := c.Create(spec); err != nil {
			fmt.Fprintln(os.Stderr, spec.Name, err)
			return 1
		}
	}
	addresses = c.Addresses()
	code = m.Run()
	if err := errors.Join(c.Close(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func open(t *testing.T, list []string, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Open(list, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

const patience = 30 * time.Second

func TestReceiptsOfAllKeyspaces(t *testing.T) {
	ctx := within(t, patience)
	c := open(t, addresses, client.Options{})
	for _, step := range []struct {
		keyspace string
		level    kv.Level
		met      string
		weak     bool
		position bool
	}{
		{"orders", kv.LevelDefault, "linearizable", false, true},
		{"orders", kv.LevelEventual, "eventual", false, true},
		{"orders", kv.BoundedAge(10 * time.Second), "bounded:10s", false, true},
		{"orders", kv.BoundedVersions(3), "bounded:3v", false, true},
		{"news", kv.LevelDefault, "sequential", false, true},
		{"news", kv.LevelLinearizable, "linearizable", false, true},
		{"news", kv.BoundedAge(10 * time.Second), "bounded:10s", false, true},
		{"carts", kv.LevelDefault, "session", false, false},
		{"carts", kv.LevelReadYourWrites, "read-your-writes", false, false},
		{"clicks", kv.LevelDefault, "quorum", false, false},
		{"clicks", kv.LevelOne, "one", true, false},
		{"clicks", kv.LevelAll, "all", false, false},
	} {
		k := c.Keyspace(step.keyspace)
		if _, err := k.Put(ctx, "receipt", []byte("x")); err != nil {
			t.Fatal(step.keyspace, err)
		}
		var r kv.Receipt
		if _, err := k.Get(ctx, "receipt", client.Level(step.level), client.Receipt(&r)); err != nil && !errors.Is(err, client.ErrNotFound) {
			t.Errorf("%s at %s: %v", step.keyspace, step.level, err)
			continue
		}
		if r.Keyspace != step.keyspace || r.Asked != step.level.String() || r.Met != step.met || r.Weak != step.weak || r.Group == 0 || (r.Position != 0) != step.position {
			t.Errorf("%s at %s: %+v", step.keyspace, step.level, r)
		}
		if age := time.Since(r.AsOf); step.level != kv.LevelEventual && (age < -time.Second || age > 10*time.Second) {
			t.Errorf("%s at %s: as of %v ago", step.keyspace, step.level, age)
		}
		if stamped := step.keyspace == "carts" || step.keyspace == "clicks"; r.Version != 0 && stamped != (r.Stamp != "") {
			t.Errorf("%s at %s: stamp %q", step.keyspace, step.level, r.Stamp)
		}
		if sessions := step.keyspace == "carts" || step.keyspace == "news"; step.level == kv.LevelDefault && sessions != (r.Token != "") {
			t.Errorf("%s at %s: token %q", step.keyspace, step.level, r.Token)
		}
	}
}

func TestReceiptOfAWriteNamesItsPlaceInTheLog(t *testing.T) {
	ctx := within(t, patience)
	k := open(t, addresses, client.Options{}).Keyspace("orders")
	var wrote, read kv.Receipt
	if _, err := k.Put(ctx, "place", []byte("x"), client.Receipt(&wrote)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Get(ctx, "place", client.Receipt(&read)); err != nil {
		t.Fatal(err)
	}
	if wrote.Position == 0 || wrote.Position != wrote.Version>>24 || read.Position < wrote.Position || read.Version != wrote.Version || read.Group != wrote.Group {
		t.Errorf("wrote %+v, read %+v", wrote, read)
	}
}

func TestSessionSeesItsWritesAtEveryNode(t *testing.T) {
	ctx := within(t, patience)
	for _, name := range []string{"news", "carts"} {
		session := client.NewSession()
		for i := range 30 {
			value := fmt.Sprint(i)
			writer := open(t, addresses[i%3:i%3+1], client.Options{Session: session})
			if _, err := writer.Keyspace(name).Put(ctx, "mine", []byte(value)); err != nil {
				t.Fatal(err)
			}
			reader := open(t, addresses[(i+1)%3:(i+1)%3+1], client.Options{Session: session})
			r, err := reader.Keyspace(name).Get(ctx, "mine")
			if err != nil || string(r.Value) != value {
				t.Fatalf("%s: %q after %q, %v", name, r.Value, value, err)
			}
		}
	}
}

func TestConcurrentOperationsOfOneSessionKeepAllThatWasSeen(t *testing.T) {
	ctx := within(t, patience)
	k := open(t, addresses, client.Options{}).Keyspace("carts")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if _, err := k.Put(ctx, fmt.Sprint("item", i), []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 20 {
		if _, err := k.Get(ctx, fmt.Sprint("item", i)); err != nil {
			t.Error(err)
		}
	}
}

func TestNumberedWritesCountOnce(t *testing.T) {
	ctx := within(t, patience)
	// Every second answer to an addition is lost on its way.
	var n atomic.Int64
	lossy := proxy(t, addresses[0], func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodPost && n.Add(1)%2 == 1
	})
	c := open(t, []string{lossy}, client.Options{})
	k := c.Keyspace("orders")
	for i := range int64(20) {
		got, err := k.Incr(ctx, "counted", 1)
		if err != nil || got != i+1 {
			t.Fatalf("%d after %d: %v", got, i, err)
		}
	}
}

// proxy passes requests on to a node that says that it is the only one. lose says that the answer to a request gets lost: the
// connection breaks.
func proxy(t *testing.T, address string, lose func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	transport := &http.Transport{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", address, ""
		resp, err := transport.RoundTrip(out)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		if lose(w, r) {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/v1/status" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"nodes":[],"groups":[]}`)
			return
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		var b [32 << 10]byte
		for {
			n, err := resp.Body.Read(b[:])
			w.Write(b[:n])
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(func() { s.Close(); transport.CloseIdleConnections() })
	return strings.TrimPrefix(s.URL, "http://")
}

func TestUnknownIsNotSentAgainWhereItWouldCountTwice(t *testing.T) {
	ctx := within(t, patience)
	var writes atomic.Int64
	lossy := proxy(t, addresses[0], func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method != http.MethodGet && writes.Add(1) > 0
	})
	c := open(t, []string{lossy}, client.Options{})
	_, err := c.Keyspace("carts").Incr(ctx, "twice", 1)
	var unknown *client.UnknownError
	if !errors.As(err, &unknown) || writes.Load() != 1 {
		t.Errorf("%v after %d requests", err, writes.Load())
	}
	var e *kv.Error
	if !errors.As(err, &e) || e.Code != kv.Unknown {
		t.Errorf("no code in %v", err)
	}
}

func TestRefusedIsNotUnknown(t *testing.T) {
	ctx := within(t, 2*time.Second)
	c := open(t, []string{freeport.Address(t)}, client.Options{Timeout: time.Second})
	_, err := c.Keyspace("orders").Put(ctx, "k", []byte("v"))
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Code != kv.Unavailable {
		t.Errorf("%v", err)
	}
	_, err = open(t, addresses, client.Options{}).Keyspace("nowhere").Get(within(t, patience), "k")
	if !errors.As(err, &refused) || refused.Code != kv.NoKeyspace {
		t.Errorf("%v", err)
	}
}

func TestBusyIsAskedAgain(t *testing.T) {
	ctx := within(t, patience)
	var n atomic.Int64
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/keyspaces":
			fmt.Fprint(w, `[{"name":"q","consistency":"quorum","shards":1,"groups":[]}]`)
		case r.URL.Path == "/v1/status":
			fmt.Fprint(w, `{}`)
		case n.Add(1) < 4:
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"error":"busy","detail":"later","outcome":"definite"}`)
		default:
			w.Header().Set(doorhttp.HeaderVersion, "7")
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer s.Close()
	c := open(t, []string{strings.TrimPrefix(s.URL, "http://")}, client.Options{})
	v, err := c.Keyspace("q").Put(ctx, "k", []byte("v"))
	if err != nil || v != 7 || n.Load() != 4 {
		t.Errorf("version %d, %v, %d requests", v, err, n.Load())
	}
}

func TestForeignTokensAreRefusedAtOnce(t *testing.T) {
	ctx := within(t, patience)
	session := client.NewSession()
	c := open(t, addresses, client.Options{Session: session})
	if _, err := c.Keyspace("news").Put(ctx, "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"carts": session.Token("news"), "news": "AAAA", "orders": "AAAA"} {
		other := client.NewSession()
		other.Restore(name, token)
		_, err := c.Keyspace(name).In(other).Get(ctx, "k")
		var refused *client.RefusedError
		if !errors.As(err, &refused) || refused.Code != kv.BadToken {
			t.Errorf("%s with %q: %v", name, token, err)
		}
	}
}

func TestPipelineKeepsTheOrderOfEachKey(t *testing.T) {
	ctx := within(t, patience)
	p := open(t, addresses, client.Options{}).Keyspace("orders").Pipeline()
	var last []*client.Step
	for key := range 20 {
		for i := range 5 {
			p.Put(fmt.Sprint("ordered", key), fmt.Append(nil, i))
		}
		last = append(last, p.Get(fmt.Sprint("ordered", key)))
	}
	if err := p.Do(ctx); err != nil {
		t.Fatal(err)
	}
	for _, s := range last {
		if string(s.Record.Value) != "4" {
			t.Errorf("%s is %q", s.Key, s.Record.Value)
		}
	}
}

func TestScanGoesOnElsewhere(t *testing.T) {
	ctx := within(t, patience)
	k := open(t, addresses, client.Options{}).Keyspace("orders")
	p := k.Pipeline()
	const many = 3000
	for i := range many {
		p.Put(fmt.Sprintf("scan/%05d", i), []byte("value"))
	}
	if err := p.Do(ctx); err != nil {
		t.Fatal(err)
	}
	var broken atomic.Int64
	cut := proxy(t, addresses[0], func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "/keys") && broken.Add(1) == 1
	})
	i := 0
	for r, err := range open(t, []string{cut}, client.Options{}).Keyspace("orders").Scan(ctx, client.Range{Prefix: "scan/"}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("scan/%05d", i); r.Key != want || string(r.Value) != "value" {
			t.Fatalf("%q for %q", r.Key, want)
		}
		i++
	}
	if i != many || broken.Load() < 2 {
		t.Errorf("%d records after %d requests", i, broken.Load())
	}
}
