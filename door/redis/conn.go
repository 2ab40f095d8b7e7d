package redis

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// States of a connection that the sweep may see. A connection that is reading holds nothing but its buffers, so the
// sweep may wake it to give them back.
const (
	stateBusy int32 = iota
	stateReading
	stateReclaim
)

// Sizes of a connection's buffers. A connection begins with the smallest; one that is idle falls back to it, so that ten
// thousand idle ones cost a few megabytes.
const (
	inputSmall  = 512
	inputBusy   = 16 << 10 // for a client that sends more than the smallest at once: a pipeline should be read whole
	inputLarge  = 64 << 10 // beyond it, memory is taken from Server.input
	outputKept  = 64 << 10
	outputFlush = 256 << 10
)

// conn is one client. Its goroutine alone touches it, but for the fields behind mu and the atomic ones.
type conn struct {
	server *Server
	socket net.Conn
	id     int64
	remote string
	local  string
	since  time.Time

	// filled says that the last read filled the buffer: more is waiting.
	filled  bool
	backlog backlog
	parser  parser
	out     writer
	// literals holds answers that are known before those in front of them are; an owed reply names its part.
	literals writer
	batch    *kv.Batch
	owed     []reply
	// scratch is the command that is being planned.
	scratch kv.Command
	single  [1]kv.Result
	gather  []kv.Result

	// keyspace is looked up once a round by its name, since a keyspace that changes becomes another one.
	keyspaceName string
	keyspace     *kv.Keyspace
	level        kv.Level
	// number is that of the next write.
	number      kv.Session
	sessions    kv.Sessions
	receipt     bool // replies say how they were given
	transaction *transaction
	watched     []watch
	mute        bool // CLIENT REPLY OFF
	muteNext    bool // CLIENT REPLY SKIP: the next command's
	muteThis    bool
	closing     bool

	// batchInput is how many bytes of requests the batch holds; batchReads how many values it may bring.
	batchInput int
	batchReads int64
	batchCount int
	// expect is how large a value is thought to be at most, from those that came.
	expect int64
	// inputTaken and outputTaken are taken from the server's allowances.
	inputTaken, outputTaken int64
	writeFailed             bool
	executed                int64
	last                    string

	rounds       atomic.Int64
	state        atomic.Int32
	writingSince atomic.Int64
	// waitingSince is when a large request that is not whole yet has last grown; 0: there is none.
	waitingSince atomic.Int64
	// seenRounds and reclaimed are the sweep's own.
	seenRounds int64
	reclaimed  bool

	mu            sync.Mutex
	name          string
	library       string
	libraryVer    string
	shownKeyspace string
	shownProtocol int
	queued        int // commands in MULTI; -1: none
	lastCommand   string
	lastActive    time.Time
}

func newConn(s *Server, socket net.Conn, id int64) *conn {
	now := time.Now()
	return &conn{
		server: s, socket: socket, id: id, since: now, lastActive: now, backlog: backlog{empty: now}, queued: -1, shownProtocol: 2,
		remote: socket.RemoteAddr().String(), local: socket.LocalAddr().String(),
		parser: newParser(), keyspaceName: s.options.Keyspace, shownKeyspace: s.options.Keyspace,
		batch: &kv.Batch{}, expect: kv.ValueMax,
	}
}

// serve reads, executes and answers until the client goes.
func (c *conn) serve() {
	defer c.server.forget(c)
	defer c.release()
	c.batch.Reset(time.Time{})
	for !c.closing && c.read() {
		c.round()
	}
}

// round executes all whole commands that were read.
func (c *conn) round() {
	c.keyspace = nil
	for !c.closing {
		got := c.parser.next()
		if got == incomplete {
			break
		}
		switch got {
		case complete:
			c.execute(c.parser.args)
		case refused:
			c.refuseRequest()
		case broken:
			c.answer(func(w *writer) { w.fail(c.parser.fault) })
			c.closing = true
		}
		if c.batchFull() {
			c.flush()
			c.write()
		}
	}
	c.flush()
	c.write()
	c.server.commands.Add(c.executed)
	c.executed = 0
	c.rounds.Add(1)
	now := time.Now()
	c.backlog.waited(now)
	c.show(now)
	c.trim()
}

// show tells CLIENT LIST of other connections what this one did.
func (c *conn) show(now time.Time) {
	c.mu.Lock()
	c.lastActive, c.lastCommand = now, c.last
	c.queued = -1
	if c.transaction != nil {
		c.queued = len(c.transaction.commands)
	}
	c.mu.Unlock()
}

// refuseRequest answers a command that was too large to keep; in a transaction it counts as a failed one.
func (c *conn) refuseRequest() {
	c.spoilTransaction()
	fault := c.parser.fault
	c.answer(func(w *writer) { w.fail(fault) })
	c.parser.answered()
}

// batchFull reports whether what is owed should be answered before more is read.
func (c *conn) batchFull() bool {
	return c.batchCount >= batchCommands || c.batchInput >= batchBytes || len(c.literals.buf) >= outputFlush ||
		c.batchReads > 0 && c.batchReads*c.expect >= kv.ValueMax
}

// read waits for more input; false when the connection is over.
func (c *conn) read() bool {
	for {
		if c.server.draining.Load() {
			return false
		}
		c.makeRoom()
		if !c.state.CompareAndSwap(stateBusy, stateReading) {
			panic("redis: connection reads twice")
		}
		n, err := c.socket.Read(c.parser.buf[c.parser.w:])
		reclaim := c.state.Swap(stateBusy) == stateReclaim
		c.parser.w += n
		left := c.filled
		c.filled = c.parser.w == len(c.parser.buf)
		if n > 0 {
			c.backlog.read(left, c.filled, c.lastActive, time.Now)
			if c.inputTaken > 0 {
				c.waitingSince.Store(time.Now().UnixNano())
			}
			if reclaim {
				c.socket.SetReadDeadline(time.Time{})
			}
			return true
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		// The sweep or Shutdown has woken us. The deadline is taken back before draining is looked at, so that one of
		// the two sees the other.
		c.socket.SetReadDeadline(time.Time{})
		c.reclaim()
	}
}

// makeRoom has the buffer take more: it moves what is left to the front, or grows.
func (c *conn) makeRoom() {
	p := &c.parser
	if p.r == p.w {
		p.r, p.w = 0, 0
	}
	if p.buf == nil {
		p.buf = make([]byte, inputSmall)
	}
	if c.filled && len(p.buf) < inputBusy {
		c.grow(inputBusy)
		return
	}
	if p.w < len(p.buf) {
		return
	}
	if p.r > 0 && p.w-p.r <= len(p.buf)/2 {
		p.w = copy(p.buf, p.buf[p.r:p.w])
		p.r = 0
		return
	}
	size := 2 * len(p.buf)
	if size > inputLarge {
		need := int64(size) - c.inputTaken
		if !c.server.input.try(need) {
			p.refuse("TRYAGAIN the node's memory for large requests is in use; the command was not executed")
			p.w = copy(p.buf, p.buf[p.r:p.w])
			p.r = 0
			return
		}
		c.inputTaken += need
		c.waitingSince.Store(time.Now().UnixNano())
	}
	c.grow(size)
}

// grow gives the parser a larger buffer.
func (c *conn) grow(size int) {
	p := &c.parser
	grown := make([]byte, size)
	p.w = copy(grown, p.buf[p.r:p.w])
	p.r = 0
	p.buf = grown
}

// trim gives back what a large request or reply has needed.
func (c *conn) trim() {
	p := &c.parser
	if len(p.buf) > inputLarge && p.w-p.r <= inputLarge/2 {
		small := make([]byte, inputLarge)
		p.w = copy(small, p.buf[p.r:p.w])
		p.r = 0
		p.buf = small
		c.server.input.give(c.inputTaken)
		c.inputTaken = 0
		c.waitingSince.Store(0)
	}
	if cap(c.literals.buf) > outputKept {
		c.literals.buf = nil
	}
	if cap(p.args) > batchCommands {
		p.args = nil
	}
	if cap(p.spans) > batchCommands && len(p.spans) == 0 {
		p.spans = nil
	}
	if cap(c.scratch.Ops) > batchCommands/8 {
		c.scratch = kv.Command{}
	}
	if cap(c.gather) > batchCommands/8 {
		c.gather = nil
	}
}

// reclaim gives back all buffers of a connection that waits for its client.
func (c *conn) reclaim() {
	p := &c.parser
	if p.r == p.w {
		p.buf, p.r, p.w = nil, 0, 0
		p.args, p.spans = nil, nil
	}
	c.out.buf, c.literals.buf = nil, nil
	c.owed, c.gather, c.scratch = nil, nil, kv.Command{}
	c.batch = &kv.Batch{}
	c.batch.Reset(time.Time{})
}

// writePiece is the part of a reply for which the client's patience is counted anew.
const writePiece = 256 << 10

// write sends what is answered. The time at which it began is shown to the sweep, which spares each write a deadline.
func (c *conn) write() {
	b := c.out.buf
	for len(b) > 0 && !c.writeFailed {
		c.writingSince.Store(time.Now().UnixNano())
		n, err := c.socket.Write(b[:min(len(b), writePiece)])
		if err != nil {
			c.writeFailed, c.closing = true, true
		}
		b = b[n:]
	}
	c.writingSince.Store(0)
	c.out.buf = c.out.buf[:0]
	if cap(c.out.buf) > outputKept {
		c.out.buf = nil
	}
}

// wake interrupts a connection that is waiting for input.
func (c *conn) wake() { c.socket.SetReadDeadline(time.Unix(1, 0)) }

// cutOff ends the connection at once and drops what it has not read.
func (c *conn) cutOff() {
	if tcp, ok := c.socket.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.socket.Close()
}

func (c *conn) release() {
	c.socket.Close()
	c.server.input.give(c.inputTaken)
	c.server.output.give(c.outputTaken)
	c.inputTaken, c.outputTaken = 0, 0
}

// lower copies a name in lower case to the front of dst, cut to its length.
func lower(dst, name []byte) []byte {
	n := copy(dst, name)
	for i, b := range dst[:n] {
		if b >= 'A' && b <= 'Z' {
			dst[i] = b + 'a' - 'A'
		}
	}
	return dst[:n]
}

// is compares an argument with a word in upper case, whatever its case.
func is(arg []byte, word string) bool {
	return len(arg) == len(word) && strings.EqualFold(string(arg), word)
}
