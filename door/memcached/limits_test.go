package memcached

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gamutdb/gamut/kv"
)

func TestClientThatNeverReadsIsCutOff(t *testing.T) {
	db := newFake()
	s, address := start(t, db, Options{WriteTimeout: 50 * time.Millisecond})
	talk(t, address, "set big 0 0 1000000\r\n"+strings.Repeat("x", 1000000)+"\r\n", 1<<20)
	c := dial(t, address)
	var err error
	for err == nil {
		_, err = c.Write(bytes.Repeat([]byte("get big\r\n"), 1000))
	}
	if got := talk(t, address, "mn\r\n", 100); got != "MN\r\n" {
		t.Errorf("another client got %q", got)
	}
	for s.connectionCount() > 0 { // the test's own time limit ends this if one stays
		runtime.Gosched()
	}
}

func TestOutputMemoryIsBounded(t *testing.T) {
	s, address := start(t, newFake(), Options{OutputMax: 1 << 20})
	value := strings.Repeat("x", 800_000)
	talk(t, address, crlf("set big 0 0 800000\n"+value+"\nset small 0 0 1\nx\n"), 1<<20)
	s.outputHeld.Add(500_000)
	if got := talk(t, address, crlf("get big\nmg big v T0\nget small\n"), 1<<20); got != crlf("SERVER_ERROR busy too many answers wait for clients to read them\nSERVER_ERROR unknown outcome it was executed, but too many answers wait for clients to read them\nVALUE small 0 1\nx\nEND\n") {
		t.Errorf("got %.200q", got)
	}
	s.outputHeld.Add(-500_000)
	if got := talk(t, address, "get big\r\n", 1<<20); len(got) < len(value) || s.outputHeld.Load() != 0 {
		t.Errorf("got %.200q, %d bytes are still counted", got, s.outputHeld.Load())
	}
}

// TestRoundsOfLargeValuesAreSmall pins that a pipeline of large gets is not read all at once.
func TestRoundsOfLargeValuesAreSmall(t *testing.T) {
	db := newFake()
	_, address := start(t, db, Options{})
	in := "set big 0 0 1000000\r\n" + strings.Repeat("x", 1000000) + "\r\n"
	talk(t, address, in, 1<<30)
	db.largest = 0
	got := talk(t, address, "get"+strings.Repeat(" big", 60)+"\r\n"+strings.Repeat("mg big v\r\n", 40), 1<<20)
	if want := 100*1000000 + 60*len("VALUE big 0 1000000\r\n\r\n") + 5 + 40*len("VA 1000000\r\n\r\n"); len(got) != want {
		t.Errorf("%d bytes answered, want %d", len(got), want)
	}
	if db.largest > readsAtFirst {
		t.Errorf("a batch read %d values of 1 MB", db.largest)
	}
}

func TestTooManyConnections(t *testing.T) {
	_, address := start(t, newFake(), Options{ConnectionsMax: 1})
	first := dial(t, address)
	io.WriteString(first, "mn\r\n")
	io.ReadFull(first, make([]byte, 4))
	second, err := io.ReadAll(dial(t, address))
	if err != nil || string(second) != "ERROR Too many open connections\r\n" {
		t.Errorf("got %q, %v", second, err)
	}
}

func TestInputMemoryIsBounded(t *testing.T) {
	s, address := start(t, newFake(), Options{InputMax: 300 << 10})
	value := strings.Repeat("x", 1<<20)
	got := talk(t, address, "set a 0 0 1048576\r\n"+value+"\r\nset b 0 0 1\r\nx\r\nget a b\r\n", 8<<10)
	if want := "SERVER_ERROR out of memory storing object\r\nSTORED\r\nVALUE b 0 1\r\nx\r\nEND\r\n"; got != want {
		t.Errorf("got %q", got)
	}
	if held := s.inputHeld.Load(); held != 0 {
		t.Errorf("%d bytes are still counted", held)
	}
}

func TestIdleConnectionsAreCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("opens a thousand connections")
	}
	_, address := start(t, newFake(), Options{})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := heap()
	const count = 1000
	for range count {
		c := dial(t, address)
		io.WriteString(c, "set a 0 0 1\r\nx\r\n")
		io.ReadFull(c, make([]byte, 8))
	}
	// Both ends live in this process; a goroutine's stack and the buffer are the server's.
	if each := int64(heap()-before) / count; each > 24<<10 {
		t.Errorf("%d bytes for each idle connection", each)
	}
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	defer goleak.VerifyNone(t)
	db := &slowDatabase{fakeDatabase: newFake(), arrived: make(chan struct{}), release: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(db, Options{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c := dial(t, l.Addr().String())
	io.WriteString(c, "set a 0 0 1\r\nx\r\n")
	<-db.arrived
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	if err := <-served; err != nil {
		t.Error(err)
	}
	close(db.release)
	got, _ := io.ReadAll(c)
	if err := <-stopped; err != nil || string(got) != "STORED\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
	c.Close()
}

// slowDatabase answers when it is told to.
type slowDatabase struct {
	*fakeDatabase
	once             sync.Once
	arrived, release chan struct{}
}

func (db *slowDatabase) Submit(b *kv.Batch) {
	db.once.Do(func() {
		close(db.arrived)
		<-db.release
	})
	db.fakeDatabase.Submit(b)
}

func TestDelayedFlush(t *testing.T) {
	var log syncBuffer
	db := newFake()
	s, address := start(t, db, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if got := talk(t, address, crlf("set a 0 0 1\nx\nflush_all 3600\nget a\n"), 100); got != crlf("STORED\nOK\nVALUE a 0 1\nx\nEND\n") {
		t.Errorf("got %q", got)
	}
	s.flushNow()
	if got := talk(t, address, "get a\r\n", 100); got != "END\r\n" {
		t.Errorf("after the flush: %q", got)
	}
	db.mu.Lock()
	db.answer = func(*kv.Call) *kv.Result { return &kv.Result{Code: kv.Busy} }
	db.mu.Unlock()
	s.flushNow()
	if !strings.Contains(log.String(), "did not clear") {
		t.Errorf("the log says %q", log.String())
	}
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestStats(t *testing.T) {
	_, address := start(t, newFake(), Options{Prefixes: map[string]string{"p:": "q"}})
	talk(t, address, crlf("set a 0 0 1\nx\nget a b\nmn\n"), 1)
	wants := []string{"STAT cmd_get 2", "STAT cmd_set 1", "STAT get_hits 1", "STAT get_misses 1", "STAT curr_connections 1", "STAT item_size_max 8388608", "STAT gamut_prefix_p: q"}
	// A round is counted after it was answered, and a connection until it was seen to end.
	var missing []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		got := talk(t, address, crlf("stats\nstats settings\n"), 1)
		missing = slices.DeleteFunc(slices.Clone(wants), func(want string) bool { return strings.Contains(got, want+"\r\n") })
		if len(missing) == 0 {
			return
		}
	}
	t.Errorf("missing for 10 s: %q", missing)
}

func TestOptions(t *testing.T) {
	for _, bad := range []Options{{Deadline: -1}, {ConnectionsMax: -1}, {Prefixes: map[string]string{"": "a"}}, {Prefixes: map[string]string{"a b": "a"}}, {Prefixes: map[string]string{"a": ""}}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	var o Options
	if err := o.Validate(); err != nil || o.Deadline != 5*time.Second || o.Keyspace != "default" {
		t.Errorf("%+v, %v", o, err)
	}
}

func FuzzParser(f *testing.F) {
	for _, seed := range []string{"set a 0 0 3\r\nabc\r\nget a b\r\n", "ms a 2 T9 c k q\r\nxy\r\nmg a v t N30 T5\r\nmd a I x\r\nmg a v\r\n",
		"get a a a a a a a a a a a a\r\nincr a 1\r\n", "ma a N0 J5 v\r\nset a 0 0 9999999\r\n", "\x80\x01", "gat 5 a b\r\nmg AQ== b k v\r\n"} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		whole, pieces := replay(in, len(in)), replay(in, int(chunk)+1)
		if !bytes.Equal(whole, pieces) {
			t.Errorf("%q in pieces of %d:\n%q, whole:\n%q", in, int(chunk)+1, pieces, whole)
		}
	})
}

// replay feeds a connection in pieces, without a network.
func replay(in []byte, piece int) []byte {
	db := newFake()
	db.now = func() int64 { return 1e12 }
	n := &memoryConn{in: in, piece: max(piece, 1)}
	c := &conn{server: New(db, Options{}), net: n, readsMax: readsAtFirst}
	c.serve()
	// What depends on the clock or on the number of bytes read so far is no reply of the parser's.
	return maskStats(n.out.Bytes())
}

func maskStats(b []byte) []byte {
	var kept []byte
	for line := range bytes.SplitAfterSeq(b, []byte("\n")) {
		if !bytes.HasPrefix(line, []byte("STAT ")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// memoryConn is a connection whose client has sent all it will send.
type memoryConn struct {
	net.Conn
	in    []byte
	piece int
	out   bytes.Buffer
}

func (m *memoryConn) Read(p []byte) (int, error) {
	if len(m.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, m.in[:min(m.piece, len(m.in))])
	m.in = m.in[n:]
	return n, nil
}

func (m *memoryConn) Write(p []byte) (int, error)      { return m.out.Write(p) }
func (m *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// mapDatabase is the least that can be behind a door.
type mapDatabase struct {
	kv.Database // transactions, which are not for this door

	mu    sync.RWMutex
	space *kv.Keyspace
	m     map[string][]byte
}

func (d *mapDatabase) Keyspace(string) *kv.Keyspace { return d.space }
func (d *mapDatabase) Ready() error                 { return nil }
func (d *mapDatabase) Keyspaces() []*kv.Keyspace    { return nil }

func (d *mapDatabase) Submit(b *kv.Batch) {
	b.Start()
	d.mu.Lock()
	for _, c := range b.Calls() {
		o := &c.Command.Ops[0]
		old, ok := d.m[string(o.Key)]
		switch {
		case o.Kind == kv.OpSet && ok && len(old) == len(o.Value):
			copy(old, o.Value)
			c.Done(kv.Result{Version: 1})
		case o.Kind == kv.OpSet:
			d.m[string(o.Key)] = bytes.Clone(o.Value)
			c.Done(kv.Result{Version: 1})
		case ok:
			c.Done(kv.Result{Value: old, Version: 1, Existed: true})
		default:
			c.Done(kv.Result{Code: kv.NotFound})
		}
	}
	d.mu.Unlock()
}

// BenchmarkDoor is the door's ceiling: 50 connections, one command or a pipeline of 16, over a map.
func BenchmarkDoor(b *testing.B) {
	value := strings.Repeat("v", 256)
	for _, depth := range []int{1, 16} {
		for name, command := range map[string]string{"set": "set key:%04d 0 0 256\r\n" + value + "\r\n", "get": "get key:%04d\r\n"} {
			b.Run(fmt.Sprintf("%s/P=%d", name, depth), func(b *testing.B) { benchmark(b, command, depth, value) })
		}
	}
}

func benchmark(b *testing.B, command string, depth int, value string) {
	db := &mapDatabase{space: &kv.Keyspace{Name: "default", Shards: 1}, m: map[string][]byte{}}
	for i := range 1000 {
		db.m[fmt.Sprintf("key:%04d", i)] = []byte(value)
	}
	_, address := start(b, db, Options{})
	const connections = 50
	reply := len("STORED\r\n")
	if strings.HasPrefix(command, "get") {
		reply = len("VALUE key:0000 0 256\r\n" + value + "\r\nEND\r\n")
	}
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	for i := range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			c := dial(b, address)
			c.SetDeadline(time.Time{})
			in := []byte(strings.Repeat(fmt.Sprintf(command, i), depth))
			out := make([]byte, reply*depth)
			for range b.N / connections / depth {
				c.Write(in)
				if _, err := io.ReadFull(c, out); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	group.Wait()
}
