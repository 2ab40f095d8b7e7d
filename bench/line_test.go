package main

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadReply(t *testing.T) {
	cases := []struct {
		name  string
		codec codec
		write bool
		reply string
		want  outcome
		text  string
		fails bool // the connection is of no more use
	}{
		{"stored", resp{}, true, "+OK\r\n", done, "", false},
		{"value", resp{}, false, "$3\r\nabc\r\n", done, "", false},
		{"no value", resp{}, false, "$-1\r\n", failed, "length -1", false},
		{"no value, RESP3", resp{}, false, "_\r\n", failed, "length -1", false},
		{"value of another length", resp{}, false, "$2\r\nab\r\n", failed, "length 2", false},
		{"busy", resp{}, true, "-TRYAGAIN busy: full\r\n", refused, "TRYAGAIN busy: full", false},
		{"unknown outcome", resp{}, true, "-UNKNOWN outcome\r\n", failed, "UNKNOWN outcome", false},
		{"a value for a write", resp{}, true, "$3\r\nabc\r\n", failed, "kind", false},
		{"array", resp{}, true, "*1\r\n", failed, "", true},
		{"cut off", resp{}, false, "$3\r\nab", failed, "", true},
		{"value without end", resp{}, false, "$3\r\nabcd\r\n", failed, "", true},
		{"line without CR", resp{}, true, "+OK\n", failed, "", true},
		{"no number", resp{}, false, "$x\r\n", failed, "", true},
		{"too long", resp{}, false, "$999999999\r\n", failed, "", true},
		{"waited", resp{wait: true}, true, "+OK\r\n:1\r\n", done, "", false},
		{"no replica has it", resp{wait: true}, true, "+OK\r\n:0\r\n", failed, "WAIT", false},
		{"refused before WAIT", resp{wait: true}, true, "-TRYAGAIN busy\r\n:0\r\n", refused, "TRYAGAIN", false},
		{"stored", memcached{}, true, "STORED\r\n", done, "", false},
		{"value", memcached{}, false, "VALUE k 0 3\r\nabc\r\nEND\r\n", done, "", false},
		{"no value", memcached{}, false, "END\r\n", failed, "END", false},
		{"value of another length", memcached{}, false, "VALUE k 0 2\r\nab\r\nEND\r\n", failed, "2 bytes", false},
		{"busy", memcached{}, false, "SERVER_ERROR busy\r\n", refused, "busy", false},
		{"out of memory", memcached{}, true, "SERVER_ERROR out of memory storing object\r\n", failed, "memory", false},
		{"no END", memcached{}, false, "VALUE k 0 3\r\nabc\r\nVALUE", failed, "", true},
	}
	for _, c := range cases {
		in := bufio.NewReader(strings.NewReader(c.reply))
		o, text, err := c.codec.readReply(in, c.write, 3)
		if o != c.want || !strings.Contains(text, c.text) || (err != nil) != c.fails {
			t.Errorf("%T, %s: %q gave %v %q %v; want %v %q, an error: %v", c.codec, c.name, c.reply, o, text, err, c.want, c.text, c.fails)
		}
		if rest, _ := io.ReadAll(in); !c.fails && len(rest) > 0 {
			t.Errorf("%T, %s: %q was not read", c.codec, c.name, rest)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "$3\r\nabc\r\n", "$-1\r\n", ":12\r\n", "VALUE k 0 3\r\nabc\r\nEND\r\n", "STORED\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		for _, c := range []codec{resp{}, resp{wait: true}, memcached{}} {
			for _, write := range []bool{true, false} {
				o, _, err := c.readReply(bufio.NewReader(strings.NewReader(reply)), write, 3)
				if o == done && (err != nil || !strings.ContainsAny(reply, "+$SV")) {
					t.Errorf("%T took %q for success (%v)", c, reply, err)
				}
			}
		}
	})
}

func TestRequests(t *testing.T) {
	key, value := []byte("key:1"), []byte("ab")
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{resp{}.appendWrite(nil, key, value), "*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n$2\r\nab\r\n"},
		{resp{}.appendRead(nil, key), "*2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n"},
		{resp{wait: true}.appendWrite(nil, key, value), "*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n$2\r\nab\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n5000\r\n"},
		{memcached{}.appendWrite(nil, key, value), "set key:1 0 0 2\r\nab\r\n"},
		{memcached{}.appendRead(nil, key), "get key:1\r\n"},
		{appendKey(nil, 42), "key:000000000042"},
	} {
		if string(c.got) != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// serve answers each connection by the given function until the test ends.
func serve(t *testing.T, answer func(net.Conn)) (endpoint string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				answer(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func TestSessionSendsABatchAndReadsItsReplies(t *testing.T) {
	endpoint := serve(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for range 3 { // an array of SET, a key and a value has 7 lines
			for range 7 {
				if _, err := in.ReadSlice('\n'); err != nil {
					return
				}
			}
		}
		io.WriteString(conn, "+OK\r\n-TRYAGAIN busy\r\n-ERR no\r\n")
	})
	d := &lineDialer{codec: resp{}}
	if err := d.prepare([]string{endpoint}, 1); err != nil {
		t.Fatal(err)
	}
	s, err := d.session(0, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	plain := &data{keys: 9, valueBytes: 5, noise: []byte("abcdefg")}
	b := newBatch(plain, 1, true, 3)
	b.draw()
	got, err := s.do(b)
	if want := (tally{1, 1, 1, "TRYAGAIN busy"}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := s.do(b); err == nil {
		t.Error("a session that the server closed went on")
	}
}

// TestStreamKeepsItsWindow: what is under way is bounded, each reply is told with the time of its own write, and a broken
// connection makes the rest fail.
func TestStreamKeepsItsWindow(t *testing.T) {
	next, replied := make(chan struct{}), make(chan struct{}, 8)
	endpoint := serve(t, func(conn net.Conn) {
		<-next
		io.WriteString(conn, "+OK\r\n")
		<-next
	})
	d := &lineDialer{codec: resp{}, endpoints: []string{endpoint}}
	var mutex sync.Mutex
	var dues []time.Time
	outcomes := map[outcome]int{}
	s, err := d.stream(0, 2, newData(9, 5), func(due, _ time.Time, o outcome, _ string) {
		mutex.Lock()
		dues = append(dues, due)
		outcomes[o]++
		mutex.Unlock()
		replied <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	first := time.Unix(1, 0)
	if !s.send(first, 1) || !s.send(time.Unix(2, 0), 1) || s.send(time.Unix(3, 0), 1) {
		t.Error("want two of three sent with a window of two")
	}
	next <- struct{}{}
	<-replied
	mutex.Lock()
	if n := s.underWay(); n != 1 || !dues[0].Equal(first) {
		t.Errorf("after the first reply %d are under way, it was due at %v", n, dues[0])
	}
	mutex.Unlock()
	close(next)
	<-replied
	mutex.Lock()
	defer mutex.Unlock()
	if outcomes[done] != 1 || outcomes[failed] != 1 {
		t.Errorf("outcomes %v, want one done and one failed", outcomes)
	}
}

// slowStream answers each write a second after it was sent.
type slowStream struct {
	arrived arrived
	answers sync.WaitGroup
}

func (s *slowStream) send(due time.Time, _ int) bool {
	s.answers.Go(func() {
		sent := time.Now()
		time.Sleep(time.Second)
		s.arrived(due, sent, done, "")
	})
	return true
}
func (s *slowStream) underWay() int { return 0 }
func (s *slowStream) close()        {}

// TestLatencyCountsFromWhenAWriteWasDue: replies after the turn are in the percentiles, but not in the throughput, and what
// was due before the turn is in neither.
func TestLatencyCountsFromWhenAWriteWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loop := &openLoop{begin: time.Now()}
		loop.phase.Store(int32(measuring))
		s := &sink{loop: loop, sinceDue: newHistogram(), since: newHistogram()}
		loop.sinks = []*sink{s}
		stream := &slowStream{arrived: s.arrived}
		stream.send(loop.begin.Add(-time.Second), 0) // of the warm-up
		stream.send(loop.begin, 0)
		time.Sleep(1500 * time.Millisecond)
		stream.send(loop.begin.Add(500*time.Millisecond), 0) // sent a second late, answered after the turn
		loop.phase.Store(int32(stopping))
		stream.answers.Wait()
		got := loop.sum(clocks{at: loop.begin}, clocks{at: loop.begin.Add(time.Second)})
		if got.OpsPerSecond != 2 || s.sinceDue.TotalCount() != 2 || int(got.P99Millis) < 1990 || int(got.SentP99Millis) > 1010 {
			t.Errorf("got %+v with %d latencies", got, s.sinceDue.TotalCount())
		}
	})
}

func TestOpenLoopHoldsTheRate(t *testing.T) {
	sent := 0
	loop := &openLoop{rate: 1000, data: newData(5, 5), random: rand.New(rand.NewPCG(1, 1))}
	loop.streams = []stream{countingStream{&sent, true}, countingStream{&sent, false}}
	offered, held, late := loop.send(t.Context(), 50*time.Millisecond)
	if offered != 50 || sent+held != 50 || held < 25 || int(late.TotalCount()) > 50 {
		t.Errorf("offered %d, sent %d, held back %d", offered, sent, held)
	}
}

// countingStream takes all writes or none.
type countingStream struct {
	sent  *int
	takes bool
}

func (s countingStream) send(time.Time, int) bool {
	if s.takes {
		*s.sent++
	}
	return s.takes
}
func (s countingStream) underWay() int { return 0 }
func (s countingStream) close()        {}
