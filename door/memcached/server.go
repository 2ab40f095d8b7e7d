package memcached

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Server speaks the memcached protocols for a database.
type Server struct {
	db       kv.Database
	options  Options
	bindings []binding
	started  time.Time
	rounds   sync.Pool // of *pipeline
	// inputHeld is the sum of all large input buffers.
	inputHeld atomic.Int64
	// outputHeld is the sum of the large answers that are being written.
	outputHeld atomic.Int64
	counters   counters
	flush      delayedFlush

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	stopping  bool
	running   sync.WaitGroup
}

// New makes a server; it panics on options that do not validate.
func New(db kv.Database, options Options) *Server {
	if err := options.Validate(); err != nil {
		panic(err)
	}
	s := &Server{db: db, options: options, bindings: options.bindings(), started: time.Now(),
		listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{}}
	s.rounds.New = func() any { return newPipeline(s) }
	return s
}

// Serve accepts connections until the listener fails or Shutdown is called, which is no error.
func (s *Server) Serve(l net.Listener) error {
	if !s.track(l) {
		return errors.Join(errors.New("memcached door: it was shut down already"), l.Close())
	}
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			s.accept(c)
			continue
		}
		if s.isStopping() {
			return nil
		}
		// Out of file descriptors: connections that end free some.
		if ne, ok := err.(net.Error); ok && ne.Timeout() || isTooManyFiles(err) {
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.options.Logger.Warn("memcached door cannot accept", "error", err, "retry", pause)
			time.Sleep(pause)
			continue
		}
		return err
	}
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

func (s *Server) accept(nc net.Conn) {
	c := &conn{server: s, net: nc, readsMax: readsAtFirst}
	s.mu.Lock()
	full := len(s.conns) >= s.options.ConnectionsMax
	if !full && !s.stopping {
		s.conns[c] = struct{}{}
		s.running.Add(1)
	}
	stopping := s.stopping
	s.mu.Unlock()
	switch {
	case stopping:
		nc.Close()
	case full:
		s.counters.rejected.Add(1)
		nc.SetWriteDeadline(time.Now().Add(time.Second))
		nc.Write([]byte("ERROR Too many open connections\r\n"))
		nc.Close()
	default:
		s.counters.connections.Add(1)
		go s.serve(c)
	}
}

func (s *Server) serve(c *conn) {
	defer s.running.Done()
	c.serve()
	c.net.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// Shutdown stops accepting, lets commands in flight be answered, and closes the connections. When the context ends first
// it cuts them off and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		// Wakes those that wait for a command; those in a round find out when they next read.
		c.net.SetReadDeadline(time.Unix(1, 0))
	}
	s.mu.Unlock()
	if s.flush.stop() {
		s.options.Logger.Warn("memcached door stops before a delayed flush_all was due; it will not take place")
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		for c := range s.conns {
			c.net.Close()
		}
		s.mu.Unlock()
		<-done
		return ctx.Err()
	}
}

func (s *Server) connectionCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
