package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gamutdb/gamut/client"
)

// TestTransactionWhoseAnswerIsLostIsAskedFor: no answer came, so that nothing of the cluster's names it; the client did.
func TestTransactionWhoseAnswerIsLostIsAskedFor(t *testing.T) {
	ctx := within(t, patience)
	var sent, asked atomic.Int32
	cut := proxy(t, addresses[0], func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v1/txn/") {
			asked.Add(1)
		}
		return r.URL.Path == "/v1/txn" && sent.Add(1) == 1
	})
	c := open(t, []string{cut}, client.Options{})
	keys := accounts("lost", 6)
	x := c.Txn()
	for _, k := range keys {
		x.Then.Incr(k, 1)
	}
	done, err := x.Do(ctx)
	if err != nil || !done.Lost || asked.Load() == 0 || sent.Load() != 1 {
		t.Errorf("%+v, %v, sent %d times, asked %d times", done, err, sent.Load(), asked.Load())
	}
	records, err := c.Snapshot(ctx, keys...)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if number(r) != 1 {
			t.Errorf("%s is %q", r.Key, r.Value)
		}
	}
}

// TestTransactionThatNeverArrivedIsSentAgain: asking settles that it never will, so another try is safe.
func TestTransactionThatNeverArrivedIsSentAgain(t *testing.T) {
	ctx := within(t, patience)
	var sent atomic.Int32
	cut := before(t, addresses[0], func(r *http.Request) bool { return r.URL.Path == "/v1/txn" && sent.Add(1) == 1 })
	x := open(t, []string{cut}, client.Options{}).Txn()
	steps := []*client.Step{}
	for _, k := range accounts("late", 6) {
		steps = append(steps, x.Then.Incr(k, 1))
	}
	done, err := x.Do(ctx)
	if err != nil || done.Lost || sent.Load() != 2 || steps[5].Count != 1 {
		t.Errorf("%+v, %v, sent %d times, counts %d", done, err, sent.Load(), steps[5].Count)
	}
}

// before is a proxy that breaks the connection before it has passed a request on.
func before(t *testing.T, address string, lose func(*http.Request) bool) string {
	t.Helper()
	inner := proxy(t, address, func(http.ResponseWriter, *http.Request) bool { return false })
	to := &httputil.ReverseProxy{Transport: &http.Transport{}, Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", inner }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lose(r) {
			panic(http.ErrAbortHandler)
		}
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { s.Close(); to.Transport.(*http.Transport).CloseIdleConnections() })
	return strings.TrimPrefix(s.URL, "http://")
}

// TestOutcomeOfANumberedWrite: the error has the id, and whoever has the id can ask.
func TestOutcomeOfANumberedWrite(t *testing.T) {
	for name, c := range map[string]struct {
		arrives bool
		want    bool
	}{"it was executed": {true, true}, "it never arrived": {false, false}} {
		lose := func(r *http.Request) bool { return r.Method == http.MethodPut }
		var address string
		if c.arrives {
			address = proxy(t, addresses[0], func(_ http.ResponseWriter, r *http.Request) bool { return lose(r) })
		} else {
			address = before(t, addresses[0], lose)
		}
		_, err := open(t, []string{address}, client.Options{}).Keyspace("orders").Put(within(t, 500*time.Millisecond), "open "+name, []byte("x"))
		var unknown *client.UnknownError
		if !errors.As(err, &unknown) || unknown.ID == "" || !strings.Contains(err.Error(), unknown.ID) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		o, err := open(t, addresses[1:], client.Options{}).Outcome(within(t, patience), unknown.ID)
		if err != nil || o.Done != c.want || (o.Result == "ok") != c.want {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}
