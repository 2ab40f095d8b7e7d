package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Server serves Redis clients from one database.
type Server struct {
	db      kv.Database
	options Options
	started time.Time
	cursors cursors
	// input and output count the bytes of large requests and replies, for all connections together.
	input, output allowance

	draining atomic.Bool
	done     chan struct{}
	sweeping sync.Once
	serving  sync.WaitGroup

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[int64]*conn
	nextID    int64

	commands, accepted, rejected, cut atomic.Int64
}

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("redis door: closed")

// New makes a server; Serve starts it. It panics on options that do not validate.
func New(db kv.Database, options Options) *Server {
	if err := options.Validate(); err != nil {
		panic(err)
	}
	return &Server{
		db: db, options: options, started: time.Now(), done: make(chan struct{}),
		cursors: newCursors(rand.Uint64()>>20 + 1),
		input:   newAllowance(options.InputMax), output: newAllowance(options.OutputMax),
		listeners: map[net.Listener]struct{}{}, conns: map[int64]*conn{},
	}
}

// Serve accepts clients until Shutdown, or until the listener fails.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		l.Close()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	s.sweeping.Do(func() { go s.sweep() })
	for wait := time.Millisecond; ; {
		socket, err := l.Accept()
		if s.draining.Load() {
			if err == nil {
				socket.Close()
			}
			return ErrServerClosed
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			// Out of file descriptors, or the client is gone again: neither is a reason to stop serving.
			s.options.Logger.Warn("redis client not accepted", "error", err)
			time.Sleep(wait)
			wait = min(2*wait, time.Second)
			continue
		}
		wait = time.Millisecond
		s.admit(socket)
	}
}

// admit starts a connection, or tells the client that there are too many.
func (s *Server) admit(socket net.Conn) {
	s.mu.Lock()
	if s.draining.Load() || len(s.conns) >= s.options.ConnectionsMax {
		s.mu.Unlock()
		s.rejected.Add(1)
		socket.SetWriteDeadline(time.Now().Add(time.Second))
		socket.Write([]byte("-ERR max number of clients reached\r\n"))
		socket.Close()
		return
	}
	s.nextID++
	c := newConn(s, socket, s.nextID)
	s.conns[c.id] = c
	s.serving.Add(1)
	s.mu.Unlock()
	s.accepted.Add(1)
	go c.serve()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c.id)
	s.mu.Unlock()
	s.serving.Done()
}

// clients is a copy of the list of connections, oldest first.
func (s *Server) clients() []*conn {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	sortByID(all)
	return all
}

// Shutdown stops accepting, lets every connection answer what it is executing, and closes it. When ctx ends first, the
// rest is cut off and its error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.draining.Swap(true)
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	if first {
		close(s.done)
	}
	for _, c := range s.clients() {
		c.wake()
	}
	gone := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	for _, c := range s.clients() {
		c.cutOff()
	}
	return ctx.Err()
}

const sweepEvery = time.Second

// sweep looks after all connections from time to time: it cuts off those that leave a reply unread, sooner when
// replies fill their allowance, and has idle ones give back their buffers.
func (s *Server) sweep() {
	every := min(sweepEvery, s.options.WriteStall/2)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-s.done:
			return
		case now := <-ticker.C:
			stall := s.options.WriteStall
			if s.output.pressed() {
				stall = min(stall, sweepEvery)
			}
			for _, c := range s.clients() {
				s.look(c, now, stall)
			}
		}
	}
}

func (s *Server) look(c *conn, now time.Time, stall time.Duration) {
	if since := c.writingSince.Load(); since != 0 && now.UnixNano()-since > int64(stall) {
		s.cutStalled(c, "it does not read its replies", now, since)
		return
	}
	// While a large request is incomplete it keeps others from theirs.
	since := c.waitingSince.Load()
	if since != 0 && now.UnixNano()-since > int64(s.options.WriteStall) && c.state.Load() == stateReading {
		s.cutStalled(c, "it does not finish its large request", now, since)
		return
	}
	rounds := c.rounds.Load()
	if rounds != c.seenRounds {
		c.seenRounds, c.reclaimed = rounds, false
		return
	}
	if rounds != 0 && !c.reclaimed && c.state.CompareAndSwap(stateReading, stateReclaim) {
		c.reclaimed = true
		c.wake()
	}
}

func (s *Server) cutStalled(c *conn, why string, now time.Time, since int64) {
	s.cut.Add(1)
	s.options.Logger.Warn("redis client cut off: "+why, "client", c.remote, "id", c.id,
		"stalled", now.Sub(time.Unix(0, since)).Round(time.Millisecond))
	c.cutOff()
}
