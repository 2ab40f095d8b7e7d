package memcached

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// kind says how a request is answered.
type kind uint8

const (
	answerText kind = iota
	answerValues
	answerStored
	answerNumber
	answerDeleted
	answerTouched
	answerFlushed
	answerStats
	answerClose
	answerMetaGet
	answerMetaSet
	answerMetaDelete
	answerMetaNumber
	answerMetaDebug
)

// request is one parsed command, waiting for the results of its calls.
type request struct {
	kind kind
	// quiet means noreply, or the meta flag q.
	quiet bool
	// binary: the key came in base64 and goes back so.
	binary bool
	// version: the client asked for cas uniques, or its write depends on one.
	version bool
	// missing: what the store command answers if the record was not there.
	missing string
	// carries: the command brought a session in its opaque.
	carries bool
	// last: no more keys of this get follow in a later round.
	last     bool
	from, to int // its calls
	text     string
	key      []byte
	flags    []byte // of a meta command, as sent
	plan     getPlan
	size     int
}

// pipeline is the memory of one round: all that was parsed from one read, its calls, its answers.
type pipeline struct {
	server   *Server
	conn     *conn
	batch    kv.Batch
	second   kv.Batch // see recacheStale
	requests []request
	spaces   []*kv.Keyspace // by binding, looked up once a round
	tokens   [tokensMax][]byte
	keys     []byte // decoded keys
	out      []byte
	reads    int
	largest  int
	broken   bool
	// peeked marks the hashes of keys that meta gets of this round read, see mustWait.
	peeked    [16]uint64
	anyPeeked bool
	tally     tally
}

func newPipeline(s *Server) *pipeline {
	return &pipeline{server: s, spaces: make([]*kv.Keyspace, len(s.bindings))}
}

// round parses what is complete in the connection's buffer, has it executed, and answers.
func (p *pipeline) round(c *conn) (used int, closing bool) {
	p.conn = c
	began := time.Now()
	p.batch.Reset(began.Add(p.server.options.Deadline))
	used, closing = p.parse(c.buf[c.start:c.end])
	if len(p.batch.Calls()) > 0 {
		p.boundReads()
		p.server.db.Submit(&p.batch)
		p.batch.Wait()
		p.learn()
		p.recacheStale()
		p.server.observe(p.batch.Calls(), began)
	}
	held := p.hold()
	for i := range p.requests {
		p.answer(&p.requests[i])
	}
	p.flush()
	p.server.outputHeld.Add(-held)
	p.server.counters.add(&p.tally)
	c.adapt(p.reads, p.largest)
	closing = closing || p.broken
	p.clear()
	return used, closing
}

// learn takes note of what the connection's session has seen.
func (p *pipeline) learn() {
	calls := p.batch.Calls()
	for i := range p.requests {
		r := &p.requests[i]
		for _, c := range calls[r.from:r.to] {
			if !r.carries {
				p.conn.sessions.Learn(c.Keyspace, &c.Result)
			}
		}
	}
}

// hold counts what the round has read, until the client has read it. If too much waits already, large values are let go
// and their gets refused; small answers always pass, so that clients that do not read hurt none that do.
func (p *pipeline) hold() (held int64) {
	if p.reads == 0 {
		return 0
	}
	for _, c := range p.batch.Calls() {
		held += valueBytes(&c.Result)
	}
	if held <= bufferFree {
		return 0
	}
	if p.server.outputHeld.Add(held) <= p.server.options.OutputMax {
		return held
	}
	p.server.outputHeld.Add(-held)
	for _, c := range p.batch.Calls() {
		switch {
		case valueBytes(&c.Result) < directMin:
		case c.Command.ReadOnly():
			c.Result = kv.Result{Code: kv.Busy, Detail: "too many answers wait for clients to read them"}
		default:
			// A refusal would say that nothing was changed.
			c.Result = kv.Result{Code: kv.Unknown, Detail: "it was executed, but too many answers wait for clients to read them"}
		}
	}
	return 0
}

func valueBytes(r *kv.Result) int64 {
	n := len(r.Value)
	for i := range r.Items {
		n += len(r.Items[i].Value)
	}
	return int64(n)
}

// adapt sets how many values the next round reads.
func (c *conn) adapt(reads, largest int) {
	if reads == 0 {
		return
	}
	fit := roundValues / max(largest, 1)
	c.readsMax = max(1, min(2*c.readsMax, fit, roundCalls))
}

// clear drops all references of a round, so that a pooled pipeline holds no values.
func (p *pipeline) clear() {
	for _, b := range []*kv.Batch{&p.batch, &p.second} {
		for _, c := range b.Calls() {
			c.Result = kv.Result{}
			clear(c.Command.Ops)
			clear(c.Command.Conds)
		}
	}
	clear(p.requests)
	clear(p.spaces)
	clear(p.tokens[:])
	p.requests, p.keys, p.out = p.requests[:0], p.keys[:0], p.out[:0]
	p.reads, p.largest, p.broken = 0, 0, false
	if p.anyPeeked {
		p.peeked, p.anyPeeked = [16]uint64{}, false
	}
	p.tally = tally{}
}

func (p *pipeline) recycle() {
	p.conn = nil
	if cap(p.keys) > bufferFree || cap(p.out) > 4*bufferFree {
		p.keys, p.out = nil, nil
	}
	p.server.rounds.Put(p)
}

var peekSeed = maphash.MakeSeed()

// peek remembers that a meta get of this round reads a key, and may have to be followed by a write (see recacheStale).
func (p *pipeline) peek(key []byte) {
	h := maphash.Bytes(peekSeed, key)
	p.peeked[h>>6&15] |= 1 << (h & 63)
	p.anyPeeked = true
}

// mustWait reports whether a command may change a record that a meta get of this round reads. It begins the next round
// then, so that recacheStale finds the record as the meta get did.
func (p *pipeline) mustWait(words int) bool {
	if !p.anyPeeked {
		return false
	}
	switch string(p.tokens[0]) {
	case "set", "add", "replace", "append", "prepend", "cas", "incr", "decr", "delete", "ms", "md", "ma":
		h := maphash.Bytes(peekSeed, p.tokens[1])
		return words > 1 && p.peeked[h>>6&15]&(1<<(h&63)) != 0
	case "flush_all":
		return true
	}
	return false
}

// full reports whether the round has enough to do.
func (p *pipeline) full(used int) bool {
	return len(p.requests) >= roundCalls || len(p.batch.Calls()) >= roundCalls || used >= roundBytes || p.reads >= p.conn.readsMax
}

// parse takes commands off the buffer until one is incomplete or the round is full.
func (p *pipeline) parse(buf []byte) (used int, closing bool) {
	p.conn.want = 0
	for used < len(buf) && !p.full(used) {
		n, end := p.command(buf[used:])
		used += n
		if end {
			return used, true
		}
		if n == 0 {
			break
		}
	}
	return used, false
}

// command takes one command, or a part of one that can be taken alone. n is 0 if it needs more bytes.
func (p *pipeline) command(buf []byte) (n int, closing bool) {
	c := p.conn
	switch {
	case c.swallow > 0:
		n = int(min(c.swallow, int64(len(buf))))
		c.swallow -= int64(n)
		return n, false
	case c.keys.active:
		return p.getMore(buf, 0), false
	case buf[0] == 0x80:
		p.say("CLIENT_ERROR the binary protocol is not offered: use the text or the meta protocol")
		return len(buf), true
	}
	end := bytes.IndexByte(buf, '\n')
	length := end
	if end < 0 {
		length = len(buf)
	}
	if length > lineMax && (length > lineGetMax || !namesKeys(buf)) {
		p.say("CLIENT_ERROR line too long")
		return len(buf), true
	}
	if end < 0 {
		return 0, false
	}
	line := buf[:end]
	if end > 1 && line[end-1] == '\r' {
		line = line[:end-1]
	}
	return p.dispatch(buf, line, end+1)
}

// namesKeys reports whether a line is of a command that takes any number of keys.
func namesKeys(line []byte) bool {
	for _, name := range [...]string{"get ", "gets ", "gat ", "gats "} {
		if len(line) >= len(name) && string(line[:len(name)]) == name {
			return true
		}
	}
	return false
}

// say answers a command by itself.
func (p *pipeline) say(text string) { p.requests = append(p.requests, request{text: text}) }

// sayUnlessQuiet answers a command that may have asked for no reply.
func (p *pipeline) sayUnlessQuiet(text string, quiet bool) {
	p.requests = append(p.requests, request{text: text, quiet: quiet})
}

// keyspace finds the keyspace of a key.
func (p *pipeline) keyspace(key []byte) (*kv.Keyspace, *binding) {
	for i := range p.server.bindings {
		b := &p.server.bindings[i]
		if len(key) >= len(b.prefix) && string(key[:len(b.prefix)]) == b.prefix {
			if p.spaces[i] == nil {
				p.spaces[i] = p.server.db.Keyspace(b.keyspace)
			}
			return p.spaces[i], b
		}
	}
	panic("memcached: the last binding takes every key")
}

// noKeyspace is why there is none of this name. A node that is still starting has yet to learn which there are.
func (p *pipeline) noKeyspace(name string) string {
	if err := p.server.db.Ready(); err != nil {
		return "SERVER_ERROR " + detailed("unavailable", fmt.Sprintf("this node is not ready, and keyspace %s is not known to it: %v", name, err))
	}
	return "SERVER_ERROR no such keyspace " + name
}

// add begins a request with one call of one operation on a key. Without a keyspace it answers so and returns nil.
func (p *pipeline) add(r request, key []byte) *kv.Op {
	space, b := p.keyspace(key)
	if space == nil {
		p.say(p.noKeyspace(b.keyspace))
		return nil
	}
	r.from = len(p.batch.Calls())
	r.to = r.from + 1
	r.key = key
	call := p.batch.Add()
	call.Keyspace, call.Command.Level = space, p.server.options.Level
	call.Command.Token = p.conn.sessions.Token(space)
	p.requests = append(p.requests, r)
	return addOp(&call.Command, key)
}

// addOp adds an operation to a command.
func addOp(c *kv.Command, key []byte) *kv.Op {
	c.Ops = append(c.Ops, kv.Op{Key: key})
	return &c.Ops[len(c.Ops)-1]
}

// boundReads asks a bounded level of reads alone: it says how old what is read may be.
func (p *pipeline) boundReads() {
	if p.server.options.Level.Kind() != kv.LevelBounded {
		return
	}
	for _, c := range p.batch.Calls() {
		if !c.Command.ReadOnly() && c.Command.Level == p.server.options.Level {
			c.Command.Level = p.server.options.writeLevel()
		}
	}
}

// call is the only call of a request.
func (p *pipeline) call(r *request) *kv.Call { return p.batch.Calls()[r.from] }

// flush writes what was answered so far.
func (p *pipeline) flush() {
	if len(p.out) > 0 && !p.broken {
		p.broken = !p.conn.write(p.out)
	}
	p.out = p.out[:0]
}
