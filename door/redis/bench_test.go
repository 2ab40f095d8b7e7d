package redis

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// trivialDatabase is the least that can be behind the door, so that a benchmark shows the door's own ceiling.
type trivialDatabase struct {
	kv.Database // what no benchmark asks for
	keyspace    kv.Keyspace
	mu          sync.RWMutex
	values      map[string][]byte
}

func newTrivial() *trivialDatabase {
	return &trivialDatabase{keyspace: kv.Keyspace{Name: "default", Shards: 1}, values: map[string][]byte{}}
}

func (d *trivialDatabase) Keyspace(name string) *kv.Keyspace {
	if name != d.keyspace.Name {
		return nil
	}
	return &d.keyspace
}

func (d *trivialDatabase) Ready() error { return nil }

func (d *trivialDatabase) Keyspaces() []*kv.Keyspace { return []*kv.Keyspace{&d.keyspace} }

func (d *trivialDatabase) Submit(b *kv.Batch) {
	b.Start()
	for _, call := range b.Calls() {
		op := &call.Command.Ops[0]
		if op.Kind == kv.OpSet {
			d.set(op)
			call.Done(kv.Result{})
			continue
		}
		d.mu.RLock()
		value, ok := d.values[string(op.Key)]
		d.mu.RUnlock()
		if !ok {
			call.Done(kv.Result{Code: kv.NotFound})
			continue
		}
		call.Done(kv.Result{Value: value})
	}
}

// set overwrites in place where it can: the benchmark counts the door's allocations, not its own.
func (d *trivialDatabase) set(op *kv.Op) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.values[string(op.Key)]; ok && len(old) == len(op.Value) {
		copy(old, op.Value)
		return
	}
	d.values[string(op.Key)] = append([]byte(nil), op.Value...)
}

// BenchmarkDoor measures requests through sockets, the clients' work included.
func BenchmarkDoor(b *testing.B) {
	for _, pipeline := range []int{1, 16} {
		for _, clients := range []int{1, 256} {
			b.Run(fmt.Sprintf("clients=%d/pipeline=%d", clients, pipeline), func(b *testing.B) {
				_, address := start(b, newTrivial(), Options{})
				var left atomic.Int64
				left.Store(int64(b.N))
				request, reply := benchmarkRound(pipeline)
				sockets := make([]net.Conn, clients)
				for i := range sockets {
					socket, err := net.Dial("tcp", address)
					if err != nil {
						b.Fatal(err)
					}
					defer socket.Close()
					sockets[i] = socket
				}
				b.ReportAllocs()
				b.ResetTimer()
				var wait sync.WaitGroup
				for _, socket := range sockets {
					wait.Go(func() {
						room := make([]byte, len(reply))
						for left.Add(-int64(pipeline)) > -int64(pipeline) {
							socket.Write(request)
							if _, err := io.ReadFull(socket, room); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wait.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			})
		}
	}
}

// benchmarkRound is a pipeline of alternating SET and GET and its replies.
func benchmarkRound(pipeline int) (request, reply []byte) {
	for i := range pipeline {
		if i%2 == 0 {
			request = append(request, encode("SET", "key:000001", "0123456789abcdef0123456789abcdef")...)
			reply = append(reply, "+OK\r\n"...)
			continue
		}
		request = append(request, encode("GET", "key:000001")...)
		reply = append(reply, "$32\r\n0123456789abcdef0123456789abcdef\r\n"...)
	}
	return request, reply
}

// scriptSocket is a connection whose input is one request again and again, so that only the door's work is measured.
type scriptSocket struct {
	net.Conn
	request []byte
	rounds  int
}

func (s *scriptSocket) Read(b []byte) (int, error) {
	if s.rounds == 0 {
		return 0, io.EOF
	}
	s.rounds--
	return copy(b, s.request), nil
}

func (s *scriptSocket) Write(b []byte) (int, error) { return len(b), nil }
func (s *scriptSocket) Close() error                { return nil }
func (s *scriptSocket) RemoteAddr() net.Addr        { return &net.TCPAddr{} }
func (s *scriptSocket) LocalAddr() net.Addr         { return &net.TCPAddr{} }

func scripted(b testing.TB, request string, rounds int) {
	s := New(newTrivial(), Options{})
	c := newConn(s, &scriptSocket{request: []byte(request), rounds: rounds}, 1)
	c.parser.buf = make([]byte, 16<<10)
	s.conns[c.id] = c
	s.serving.Add(1)
	c.serve()
}

// BenchmarkCommand measures one command within the door, without sockets.
func BenchmarkCommand(b *testing.B) {
	for _, test := range []struct{ name, request string }{
		{"get", encode("GET", "key:000001")},
		{"set", encode("SET", "key:000001", "0123456789abcdef0123456789abcdef")},
		{"set-expiry", encode("SET", "key:000001", "0123456789abcdef", "NX", "EX", "100")},
		{"ping", encode("PING")},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			all := ""
			for range 16 {
				all += test.request
			}
			scripted(b, all, b.N/16+1)
		})
	}
}

// TestNoAllocationPerCommand: the path of a plain GET, SET and PING allocates nothing once its buffers are there.
func TestNoAllocationPerCommand(t *testing.T) {
	for _, request := range []string{encode("GET", "a"), encode("SET", "a", "1"), encode("SET", "a", "1", "EX", "10"), encode("INCR", "a"), encode("PING")} {
		few := testing.AllocsPerRun(5, func() { scripted(t, request, 200) })
		many := testing.AllocsPerRun(5, func() { scripted(t, request, 10_200) })
		if per := (many - few) / 10_000; per > 0.01 {
			t.Errorf("%q: %.2f allocations each", request, per)
		}
	}
}
