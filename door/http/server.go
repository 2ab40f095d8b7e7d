// Package http is the door through which HTTP clients reach a node.
//
// Keys are resources: /v1/keyspaces/{keyspace}/keys/{key}, the key being the percent-decoded rest of the path, any bytes.
// Bodies are raw values; what belongs to a record beside its value travels in Gamut-… headers. The rest of the tree is for
// operators: keyspaces, status, health, metrics, and the raw material of audits.
//
// Others rely on this: every answer that is not a success is one JSON object with a code from the table in errors.go, and
// an unknown outcome is never dressed as a failure (status 504, Gamut-Outcome: unknown). What a client can make the door
// hold is bounded: one body by BodyMax, all of them by HeldMax, a silent connection by the time-outs.
//
// Start with Server, then the handlers in keys.go.
package http

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// BodyMax is the longest request body in bytes: as long as the longest value.
const BodyMax = kv.ValueMax

// Options of a Server. The zero value is usable.
type Options struct {
	// Deadline is when an unanswered request ends as unknown; 5 s.
	Deadline time.Duration
	// HeldMax bounds the bytes of all bodies in flight, both ways; 128 MiB. Beyond it requests are refused as busy.
	HeldMax int64
	// TransferTimeout bounds how long one body may take, either way; 60 s. A scan may take as long for each of its pages.
	TransferTimeout time.Duration
	// IdleTimeout ends a kept-alive connection without a request; 2 min.
	IdleTimeout time.Duration
	// Lab serves the paths under /v1/lab of a node that was started to be attacked; nil refuses them.
	Lab http.Handler
	// Log takes what a server has to say about connections; none.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Deadline == 0 {
		o.Deadline = 5 * time.Second
	}
	if o.HeldMax == 0 {
		o.HeldMax = 128 << 20
	}
	if o.TransferTimeout == 0 {
		o.TransferTimeout = time.Minute
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 2 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Server serves HTTP on behalf of one node.
type Server struct {
	db      kv.Database
	admin   kv.Admin
	opts    Options
	metrics *Metrics
	http    *http.Server
	batches sync.Pool
	held    atomic.Int64
	fresh   fresh
}

// fresh are the connections that have not sent a byte. A shutdown would wait seconds for each, to tell them from others.
type fresh struct {
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closing bool
}

// changed follows a connection's state, as http.Server.ConnState.
func (f *fresh) changed(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(f.conns, c)
	case f.closing:
		c.Close()
	default:
		f.conns[c] = struct{}{}
	}
}

func (f *fresh) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closing = true
	for c := range f.conns {
		c.Close()
	}
}

// New makes a server that asks db for data and admin for everything else.
func New(db kv.Database, admin kv.Admin, opts Options) *Server {
	s := &Server{db: db, admin: admin, opts: opts.withDefaults(), metrics: NewMetrics(admin)}
	s.batches.New = func() any { return new(kv.Batch) }
	s.fresh.conns = map[net.Conn]struct{}{}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       s.opts.TransferTimeout,
		// The answer begins after the body was read and the command was answered, hence the sum.
		WriteTimeout:   2*s.opts.TransferTimeout + s.opts.Deadline,
		IdleTimeout:    s.opts.IdleTimeout,
		ConnState:      s.fresh.changed,
		MaxHeaderBytes: 32 << 10, // a key of kv.KeyMax is three times as long when all of it is percent-encoded
		ErrorLog:       slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Metrics is where other doors count their requests, so that one page shows all.
func (s *Server) Metrics() *Metrics { return s.metrics }

// Handler is the whole tree, for tests and for mounting elsewhere.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Serve answers connections of ln until Shutdown, then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops listening and lets running requests finish; when ctx ends first it cuts them off. Connections on which
// nothing was asked end at once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.fresh.close()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	return err
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/keyspaces", s.listKeyspaces)
	mux.HandleFunc("POST /v1/keyspaces", s.createKeyspace)
	mux.HandleFunc("GET /v1/keyspaces/{keyspace}", s.explainKeyspace)
	mux.HandleFunc("DELETE /v1/keyspaces/{keyspace}", s.dropKeyspace)
	mux.HandleFunc("GET /v1/keyspaces/{keyspace}/keys", s.scan)
	mux.HandleFunc("POST /v1/keyspaces/{keyspace}/wait", s.awaitCommitted)
	mux.HandleFunc("POST /v1/txn", s.transact)
	mux.HandleFunc("GET /v1/txn/{id}", s.outcome)
	mux.HandleFunc("GET /v1/outcome/{id}", s.outcome)
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("POST /v1/keyspaces/{keyspace}/groups/{group}/move", s.moveGroup)
	mux.HandleFunc("POST /v1/keyspaces/{keyspace}/split", s.bound(kv.Admin.SplitShard))
	mux.HandleFunc("POST /v1/keyspaces/{keyspace}/merge", s.bound(kv.Admin.MergeShards))
	mux.HandleFunc("GET /v1/balance", s.balance)
	mux.HandleFunc("POST /v1/nodes/{node}/drain", s.node(kv.Admin.DrainNode))
	mux.HandleFunc("POST /v1/nodes/{node}/replace", s.node(kv.Admin.ReplaceNode))
	mux.HandleFunc("POST /v1/nodes/{node}/remove", s.node(kv.Admin.RemoveNode))
	mux.HandleFunc("GET /livez", s.live)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("POST /v1/nodes/{node}/lose", s.node(kv.Admin.LoseNode))
	mux.HandleFunc("POST /v1/groups/{group}/handoff", s.handoff)
	mux.HandleFunc("POST /v1/groups/{group}/unsafe-recover", s.unsafeRecover)
	mux.HandleFunc("POST /v1/groups/{group}/checkpoint", s.checkpoint)
	mux.HandleFunc("POST /v1/groups/{group}/repair", s.repair)
	mux.HandleFunc("GET /v1/groups/{group}/inspect", s.inspect)
	mux.HandleFunc("GET /v1/groups/{group}/values", s.storedValues)
	mux.HandleFunc("GET /v1/groups/{group}/state", s.state)
	mux.HandleFunc("GET /v1/groups/{group}/digest", s.digest)
	mux.HandleFunc("GET /v1/groups/{group}/blocks", s.blocks)
	mux.Handle("/v1/lab/", s.lab())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, &problem{status: http.StatusNotFound, name: "no_such_path", detail: r.Method + " " + r.URL.Path + " is not served here; see /v1/status and /v1/keyspaces"})
	})

	// A web page that the operator happens to visit must not write to a node on the loopback.
	foreign := http.NewCrossOriginProtection()
	foreign.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, &problem{status: http.StatusForbidden, name: "cross_origin", detail: "a page of another origin may not change data"})
	}))
	return foreign.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		counted := &counting{ResponseWriter: w, status: http.StatusOK}
		// The mux would clean the path, and "a//b" or ".." are keys like any others.
		if keyspace, key, ok := splitKeyPath(r.URL.EscapedPath()); ok {
			s.key(counted, r, keyspace, key)
		} else {
			mux.ServeHTTP(counted, r)
		}
		s.metrics.observeHTTP(counted.status, time.Since(started))
	}))
}

// counting remembers the status for the metrics.
type counting struct {
	http.ResponseWriter
	status int
}

func (c *counting) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// hold takes n bytes of the node's allowance for bodies. The caller gives back what it took.
func (s *Server) hold(n int64) error {
	if s.held.Add(n) > s.opts.HeldMax {
		s.held.Add(-n)
		return kv.Errorf(kv.Busy, "the HTTP door holds as many bytes of bodies as it may (%d); try again", s.opts.HeldMax)
	}
	return nil
}

func (s *Server) release(n int64) { s.held.Add(-n) }

// do runs one command and hands it, answered, to use, which must not keep any of it.
func (s *Server) do(ks *kv.Keyspace, level kv.Level, fill func(c *kv.Call), use func(c *kv.Call)) {
	b := s.batches.Get().(*kv.Batch)
	b.Reset(time.Now().Add(s.opts.Deadline))
	c := b.Add()
	c.Keyspace = ks
	fill(c)
	c.Command.Level = level
	s.db.Submit(b)
	b.Wait()
	use(c)
	c.Result = kv.Result{}
	s.batches.Put(b)
}
