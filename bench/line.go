package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// codec is how a protocol over TCP writes an operation and reads its reply.
type codec interface {
	appendWrite(to, key, value []byte) []byte
	appendRead(to, key []byte) []byte
	// readReply returns an error only if the connection is of no more use.
	readReply(from *bufio.Reader, write bool, valueBytes int) (o outcome, text string, err error)
}

const bufferBytes = 32 << 10

// lineDialer opens one TCP connection per client.
type lineDialer struct {
	codec     codec
	endpoints []string
	// greeting is sent on each new connection, which answers it with so many lines.
	greeting string
	welcomes int
}

func (d *lineDialer) prepare(endpoints []string, _ int) error {
	d.endpoints = endpoints
	return nil
}

func (d *lineDialer) close() {}

func (d *lineDialer) dial(i int) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", d.endpoints[i%len(d.endpoints)], 2*time.Second)
	if err != nil || d.greeting == "" {
		return conn, err
	}
	if err := d.greet(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// greet says what the connection is for. Nothing else is under way, so that no byte of an answer is read too many.
func (d *lineDialer) greet(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, d.greeting); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	for range d.welcomes {
		line, err := readLine(in)
		if err != nil {
			return err
		}
		if len(line) == 0 || line[0] != '+' {
			return fmt.Errorf("the greeting is answered by %q", line)
		}
	}
	return conn.SetDeadline(time.Time{})
}

func (d *lineDialer) session(i int, limit time.Duration) (session, error) {
	conn, err := d.dial(i)
	if err != nil {
		return nil, err
	}
	return &lineSession{conn: conn, codec: d.codec, limit: limit, in: bufio.NewReaderSize(conn, bufferBytes)}, nil
}

// lineSession sends a batch in one write and then reads its replies.
type lineSession struct {
	conn  net.Conn
	codec codec
	limit time.Duration
	in    *bufio.Reader
	out   []byte
	key   []byte
}

func (s *lineSession) close() { _ = s.conn.Close() } // nothing is lost that was awaited

func (s *lineSession) do(b *batch) (tally, error) {
	s.out = s.out[:0]
	for _, n := range b.keys {
		s.key = appendKey(s.key[:0], n)
		if b.write {
			s.out = s.codec.appendWrite(s.out, s.key, b.data.value(b.random))
		} else {
			s.out = s.codec.appendRead(s.out, s.key)
		}
	}
	var t tally
	if s.limit > 0 {
		if err := s.conn.SetDeadline(time.Now().Add(s.limit)); err != nil {
			return t, err
		}
	}
	if _, err := s.conn.Write(s.out); err != nil {
		return t, err
	}
	for range b.keys {
		o, text, err := s.codec.readReply(s.in, b.write, b.data.valueBytes)
		if err != nil {
			return t, err
		}
		t.count(o, text)
	}
	return t, nil
}

func (d *lineDialer) stream(i, window int, data *data, arrived arrived) (stream, error) {
	conn, err := d.dial(i)
	if err != nil {
		return nil, err
	}
	s := &lineStream{
		conn: conn, codec: d.codec, data: data, arrived: arrived,
		random: rand.New(rand.NewPCG(uint64(i), 11)),
		ring:   make([]sending, window),
		wake:   make(chan struct{}, 1),
	}
	s.both.Go(s.write)
	s.both.Go(s.read)
	return s, nil
}

// sending is a write under way.
type sending struct{ due, sent time.Time }

// lineStream has a goroutine that writes what was asked since its last write, and one that reads the replies, which come
// in the order of asking.
type lineStream struct {
	conn    net.Conn
	codec   codec
	data    *data
	arrived arrived
	random  *rand.Rand
	key     []byte
	wake    chan struct{}
	both    sync.WaitGroup

	mutex       sync.Mutex
	pending     []byte
	ring        []sending
	first, used int
	broken      error
}

func (s *lineStream) send(due time.Time, key int) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.used == len(s.ring) || s.broken != nil {
		return false
	}
	s.ring[(s.first+s.used)%len(s.ring)] = sending{due, time.Now()}
	s.used++
	s.key = appendKey(s.key[:0], key)
	s.pending = s.codec.appendWrite(s.pending, s.key, s.data.value(s.random))
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

func (s *lineStream) underWay() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.used
}

func (s *lineStream) write() {
	var out []byte
	for range s.wake {
		s.mutex.Lock()
		out, s.pending = s.pending, out[:0]
		s.mutex.Unlock()
		if _, err := s.conn.Write(out); err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *lineStream) read() {
	in := bufio.NewReaderSize(s.conn, bufferBytes)
	for {
		o, text, err := s.codec.readReply(in, true, 0)
		if err != nil {
			s.fail(err)
			return
		}
		s.mutex.Lock()
		at := s.ring[s.first]
		s.first = (s.first + 1) % len(s.ring)
		s.used--
		s.mutex.Unlock()
		s.arrived(at.due, at.sent, o, text)
	}
}

// fail counts all that is under way as failed, unless the stream was closed on purpose.
func (s *lineStream) fail(err error) {
	s.mutex.Lock()
	lost := s.used
	if s.broken != nil {
		lost = 0
	}
	s.broken, s.used = err, 0
	s.mutex.Unlock()
	_ = s.conn.Close()
	if errors.Is(err, net.ErrClosed) {
		return
	}
	for range lost {
		s.arrived(time.Time{}, time.Time{}, failed, err.Error())
	}
}

func (s *lineStream) close() {
	_ = s.conn.Close()
	s.mutex.Lock()
	if s.broken == nil {
		s.broken = net.ErrClosed
	}
	s.mutex.Unlock()
	close(s.wake)
	s.both.Wait()
}
