package redis

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// start serves a database on a free port until the test ends.
func start(t testing.TB, db kv.Database, options Options) (*Server, string) {
	t.Helper()
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(db, options)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != ErrServerClosed {
			t.Errorf("serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

// rawClient speaks the protocol itself, so that tests see every byte.
type rawClient struct {
	t      testing.TB
	socket net.Conn
	reader *bufio.Reader
}

func dial(t testing.TB, address string) *rawClient {
	t.Helper()
	socket, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	socket.SetDeadline(time.Now().Add(30 * time.Second))
	return &rawClient{t, socket, bufio.NewReader(socket)}
}

func (c *rawClient) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.socket, text); err != nil {
		c.t.Fatal(err)
	}
}

// do sends a command and returns its reply as it came.
func (c *rawClient) do(words ...string) string {
	c.t.Helper()
	c.send(encode(words...))
	return c.reply()
}

func (c *rawClient) reply() string {
	c.t.Helper()
	reply, err := readReply(c.reader)
	if err != nil {
		c.t.Fatalf("after %.200q: %v", reply, err)
	}
	return reply
}

func encode(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	return b.String()
}

// readReply reads one whole reply.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return line, err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=':
		if n < 0 {
			return line, nil
		}
		body := make([]byte, n+2)
		_, err := io.ReadFull(r, body)
		return line + string(body), err
	case '|':
		// Attributes stand before the reply that they belong to.
		n = 2*n + 1
		fallthrough
	case '*', '~', '%':
		if line[0] == '%' {
			n *= 2
		}
		for range n {
			part, err := readReply(r)
			line += part
			if err != nil {
				return line, err
			}
		}
	}
	return line, nil
}

// words splits a line of a table as people write it, with Redis' quotes.
func words(t testing.TB, line string) []string {
	t.Helper()
	args, ok := splitLine([]byte(line), nil)
	if !ok {
		t.Fatalf("unbalanced quotes: %s", line)
	}
	var all []string
	for _, arg := range args {
		all = append(all, string(arg))
	}
	return all
}

const nothing = "$-1\r\n"

// exchanges are commands and their replies on one connection with a fixed clock; a third text is the reply in RESP3 where
// it differs.
var exchanges = []struct {
	name  string
	lines [][]string
}{
	{"get and set", [][]string{
		{"GET a", nothing, "_\r\n"},
		{"SET a 1", "+OK\r\n"},
		{"get a", "$1\r\n1\r\n"},
		{"SET a 2 NX", nothing, "_\r\n"},
		{"SET b 2 XX", nothing, "_\r\n"},
		{"SET a 2 XX GET", "$1\r\n1\r\n"},
		{"SET a 3 NX GET", "$1\r\n2\r\n"},
		{"GET a", "$1\r\n2\r\n"},
		{"SET n 3 NX GET", nothing, "_\r\n"},
		{"GET n", "$1\r\n3\r\n"},
		{"SET a 3 NX XX", "-ERR syntax error\r\n"},
		{"SET a 3 EX", "-ERR syntax error\r\n"},
		{"SET a 3 EX 0", "-ERR invalid expire time in 'set' command\r\n"},
		{"SET a 3 EX 1 PX 1", "-ERR syntax error\r\n"},
		{"SET a 3 EX 1 KEEPTTL", "-ERR syntax error\r\n"},
		{"SET a 3 EX x", "-ERR value is not an integer or out of range\r\n"},
		{"SET a", "-ERR wrong number of arguments for 'set' command\r\n"},
		{"SETNX a 9", ":0\r\n"},
		{"SETNX c 9", ":1\r\n"},
		{"GETSET c 8", "$1\r\n9\r\n"},
		{"GETDEL c", "$1\r\n8\r\n"},
		{"GETDEL c", nothing, "_\r\n"},
		{"MSET x 1 y 2", "+OK\r\n"},
		{"MSET x 1 y", "-ERR wrong number of arguments for 'mset' command\r\n"},
		{"MGET x nothing y", "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n", "*3\r\n$1\r\n1\r\n_\r\n$1\r\n2\r\n"},
		{"MSETNX y 1 z 1", ":0\r\n"},
		{"EXISTS z", ":0\r\n"},
		{"MSETNX z 1 w 1", ":1\r\n"},
		{"MSETNX v 1", ":1\r\n"},
		{"MSETNX v 1", ":0\r\n"},
	}},
	{"parts of values", [][]string{
		{"APPEND a Hello", ":5\r\n"},
		{"APPEND a World", ":10\r\n"},
		{"STRLEN a", ":10\r\n"},
		{"STRLEN nothing", ":0\r\n"},
		{"GETRANGE a 0 -1", "$10\r\nHelloWorld\r\n"},
		{"GETRANGE a -3 -1", "$3\r\nrld\r\n"},
		{"SUBSTR a 0 0", "$1\r\nH\r\n"},
		{"GETRANGE a 5 3", "$0\r\n\r\n"},
		{"GETRANGE nothing 0 3", "$0\r\n\r\n"},
		{"GETRANGE a x 3", "-ERR value is not an integer or out of range\r\n"},
		{"SETRANGE a 12 !", ":13\r\n"},
		{"GET a", "$13\r\nHelloWorld\x00\x00!\r\n"},
		{"SETRANGE a -1 !", "-ERR offset is out of range\r\n"},
		{"SETRANGE a 8388608 !", "-ERR string exceeds maximum allowed size (8388608 bytes)\r\n"},
		{"SETRANGE nothing 5 ''", ":0\r\n"},
		{"EXISTS nothing", ":0\r\n"},
		{"GETBIT a 1", ":1\r\n"},
		{"GETBIT a 0", ":0\r\n"},
		{"GETBIT a 99999", ":0\r\n"},
		{"GETBIT a -1", "-ERR bit offset is not an integer or out of range\r\n"},
	}},
	{"counters", [][]string{
		{"INCR n", ":1\r\n"},
		{"INCRBY n 41", ":42\r\n"},
		{"DECR n", ":41\r\n"},
		{"DECRBY n 1", ":40\r\n"},
		{"DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"},
		{"INCRBY n 9223372036854775807", "-ERR increment or decrement would overflow\r\n"},
		{"INCRBY n 1.5", "-ERR value is not an integer or out of range\r\n"},
		{"SET s abc", "+OK\r\n"},
		{"INCR s", "-ERR value is not an integer or out of range\r\n"},
		{"INCRBYFLOAT n 0.5", "$4\r\n40.5\r\n"},
		{"INCRBYFLOAT n abc", "-ERR value is not a valid float\r\n"},
		{"INCRBYFLOAT s 1", "-ERR value is not a valid float\r\n"},
		{"INCRBYFLOAT n inf", "-ERR increment would produce NaN or Infinity\r\n"},
	}},
	{"expiry", [][]string{
		{"SET a 1 EX 100", "+OK\r\n"},
		{"TTL a", ":100\r\n"},
		{"PTTL a", ":100000\r\n"},
		{"EXPIRETIME a", ":1700000100\r\n"},
		{"PEXPIRETIME a", ":1700000100000\r\n"},
		{"PEXPIRE a 1499", ":1\r\n"},
		{"TTL a", ":1\r\n"},
		{"PEXPIRE a 1500", ":1\r\n"},
		{"TTL a", ":2\r\n"},
		{"EXPIRE a 100 NX", ":0\r\n"},
		{"EXPIRE a 100 LT", ":0\r\n"},
		{"EXPIRE a 100 GT", ":1\r\n"},
		{"EXPIRE a 50 XX LT", ":1\r\n"},
		{"EXPIRE a 50 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"},
		{"EXPIRE a 50 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"},
		{"EXPIRE a 50 foo", "-ERR Unsupported option foo\r\n"},
		{"EXPIRE a x", "-ERR value is not an integer or out of range\r\n"},
		{"EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"},
		{"SET a 2 KEEPTTL", "+OK\r\n"},
		{"TTL a", ":50\r\n"},
		{"PERSIST a", ":1\r\n"},
		{"PERSIST a", ":0\r\n"},
		{"TTL a", ":-1\r\n"},
		{"EXPIRE a 50 XX LT", ":0\r\n"},
		{"EXPIRE a 50 GT", ":0\r\n"},
		{"GETEX a EX 10", "$1\r\n2\r\n"},
		{"TTL a", ":10\r\n"},
		{"GETEX a", "$1\r\n2\r\n"},
		{"TTL a", ":10\r\n"},
		{"GETEX a PERSIST", "$1\r\n2\r\n"},
		{"TTL a", ":-1\r\n"},
		{"GETEX a PERSIST EX 1", "-ERR syntax error\r\n"},
		{"GETEX nothing EX 1", nothing, "_\r\n"},
		{"EXPIRE a -1", ":1\r\n"},
		{"EXISTS a", ":0\r\n"},
		{"TTL a", ":-2\r\n"},
		{"EXPIRE a 1", ":0\r\n"},
		{"SETEX a 10 v", "+OK\r\n"},
		{"PSETEX a 0 v", "-ERR invalid expire time in 'psetex' command\r\n"},
		{"EXPIREAT a 1", ":1\r\n"},
		{"GET a", nothing, "_\r\n"},
	}},
	{"keys", [][]string{
		{"MSET a 1 b 2 c 3", "+OK\r\n"},
		{"EXISTS a b a nothing", ":3\r\n"},
		{"TOUCH a nothing", ":1\r\n"},
		{"DEL a a nothing", ":1\r\n"},
		{"UNLINK b", ":1\r\n"},
		{"TYPE c", "+string\r\n"},
		{"TYPE a", "+none\r\n"},
		{"RENAME a x", "-ERR no such key\r\n"},
		{"RENAME c x", "+OK\r\n"},
		{"RENAME x x", "+OK\r\n"},
		{"RENAMENX x x", ":0\r\n"},
		{"SET y 1", "+OK\r\n"},
		{"RENAMENX x y", ":0\r\n"},
		{"COPY x y", ":0\r\n"},
		{"COPY x y REPLACE", ":1\r\n"},
		{"COPY x x", "-ERR source and destination objects are the same\r\n"},
		{"COPY nothing z", ":0\r\n"},
		{"GET y", "$1\r\n3\r\n"},
		{"DBSIZE", ":2\r\n"},
		{"KEYS *", "*2\r\n$1\r\nx\r\n$1\r\ny\r\n"},
		{"KEYS [^x]", "*1\r\n$1\r\ny\r\n"},
		{"SCAN 0", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n"},
		{"SCAN 0 MATCH y* TYPE string", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\ny\r\n"},
		{"SCAN 0 TYPE list", "*2\r\n$1\r\n0\r\n*0\r\n"},
		{"SCAN x", "-ERR invalid cursor\r\n"},
		{"SCAN 0 COUNT 0", "-ERR syntax error\r\n"},
		{"SCAN 12", "-ERR unknown cursor 12: it is too old, or of another node or keyspace; start again from 0\r\n"},
		{"OBJECT ENCODING x", "$3\r\nint\r\n"},
		{"OBJECT ENCODING nothing", nothing, "_\r\n"},
		{"OBJECT REFCOUNT x", ":1\r\n"},
		{"MEMORY USAGE x", ":2\r\n"},
		{"DEL x", ":1\r\n"},
		{"RANDOMKEY", "$1\r\ny\r\n"},
		{"FLUSHDB", "+OK\r\n"},
		{"FLUSHDB NOW", "-ERR syntax error\r\n"},
		{"RANDOMKEY", nothing, "_\r\n"},
		{"FLUSHALL ASYNC", "+OK\r\n"},
	}},
	{"transactions", [][]string{
		{"EXEC", "-ERR EXEC without MULTI\r\n"},
		{"DISCARD", "-ERR DISCARD without MULTI\r\n"},
		{"MULTI", "+OK\r\n"},
		{"MULTI", "-ERR MULTI calls can not be nested\r\n"},
		{"WATCH a", "-ERR WATCH inside MULTI is not allowed\r\n"},
		{"SET a 1", "+QUEUED\r\n"},
		{"GET a", "+QUEUED\r\n"},
		{"GET nothing", "+QUEUED\r\n"},
		{"SET a", "-ERR wrong number of arguments for 'set' command\r\n"},
		{"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"},
		{"EXISTS a", ":0\r\n"},
		{"MULTI", "+OK\r\n"},
		{"SET a x", "+QUEUED\r\n"},
		{"INCR a", "+QUEUED\r\n"},
		{"SET a 1 EX x", "+QUEUED\r\n"},
		{"MGET a nothing", "+QUEUED\r\n"},
		{"PING", "+QUEUED\r\n"},
		{"EXEC", "*5\r\n+OK\r\n-ERR value is not an integer or out of range\r\n-ERR value is not an integer or out of range\r\n" +
			"*2\r\n$1\r\nx\r\n$-1\r\n+PONG\r\n", "*5\r\n+OK\r\n-ERR value is not an integer or out of range\r\n" +
			"-ERR value is not an integer or out of range\r\n*2\r\n$1\r\nx\r\n_\r\n+PONG\r\n"},
		{"MULTI", "+OK\r\n"},
		{"EXEC", "*0\r\n"},
		{"MULTI", "+OK\r\n"},
		{"SET a y", "+QUEUED\r\n"},
		{"DISCARD", "+OK\r\n"},
		{"GET a", "$1\r\nx\r\n"},
		{"WATCH a nothing", "+OK\r\n"},
		{"SET a z", "+OK\r\n"},
		{"MULTI", "+OK\r\n"},
		{"SET a w", "+QUEUED\r\n"},
		{"EXEC", "*-1\r\n", "_\r\n"},
		{"WATCH a", "+OK\r\n"},
		{"MULTI", "+OK\r\n"},
		{"SET a w NX", "+QUEUED\r\n"},
		{"EXEC", "*1\r\n$-1\r\n", "*1\r\n_\r\n"},
		{"WATCH a", "+OK\r\n"},
		{"SET a v", "+OK\r\n"},
		{"UNWATCH", "+OK\r\n"},
		{"MULTI", "+OK\r\n"},
		{"GET a", "+QUEUED\r\n"},
		{"EXEC", "*1\r\n$1\r\nv\r\n"},
		{"WATCH gone", "+OK\r\n"},
		{"MULTI", "+OK\r\n"},
		{"EXEC", "*0\r\n"},
		{"MULTI", "+OK\r\n"},
		{"SCAN 0", "-ERR Command not allowed inside a transaction\r\n"},
		{"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"},
		{"MULTI", "+OK\r\n"},
		{"FLUSHDB", "+QUEUED\r\n"},
		{"SET only 1", "+QUEUED\r\n"},
		{"EXEC", "*2\r\n+OK\r\n+OK\r\n"},
		{"KEYS *", "*1\r\n$4\r\nonly\r\n"},
	}},
	{"connection", [][]string{
		{"PING", "+PONG\r\n"},
		{"PING hi", "$2\r\nhi\r\n"},
		{"PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"},
		{"ECHO hi", "$2\r\nhi\r\n"},
		{"SELECT 7", "+OK\r\n"},
		{"SET a seven", "+OK\r\n"},
		{"SELECT default", "+OK\r\n"},
		{"GET a", nothing, "_\r\n"},
		{"SELECT 3", "-ERR DB index is out of range\r\n"},
		{"SELECT elsewhere", "-ERR no keyspace \"elsewhere\"\r\n"},
		{"SELECT 7", "+OK\r\n"},
		{"GET a", "$5\r\nseven\r\n"},
		{"SELECT 0", "+OK\r\n"},
		{"GET a", nothing, "_\r\n"},
		{"CLIENT GETNAME", nothing, "_\r\n"},
		{"CLIENT SETNAME 'a b'", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
		{"CLIENT SETNAME me", "+OK\r\n"},
		{"CLIENT GETNAME", "$2\r\nme\r\n"},
		{"CLIENT SETINFO lib-name x", "+OK\r\n"},
		{"CLIENT NO-EVICT on", "+OK\r\n"},
		{"CLIENT foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n"},
		{"CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n"},
		{"CLIENT KILL ID 99 ADDR x", ":0\r\n"},
		{"AUTH x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n"},
		{"AUTH default x", "+OK\r\n"},
		{"AUTH me x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
		{"HELLO 4", "-NOPROTO unsupported protocol version\r\n"},
		{"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"},
		{"HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"},
		{"foo", "-ERR unknown command 'foo', with args beginning with: \r\n"},
		{"foo a 'b c'", "-ERR unknown command 'foo', with args beginning with: 'a' 'b c' \r\n"},
		{"LPUSH a b", "-ERR 'lpush' is not offered: Gamut stores strings, not lists\r\n"},
		{"DEBUG sleep 1", "-ERR 'debug' is not offered: nodes are run by the command line and by HTTP, not by their clients\r\n"},
		{"CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n"},
		{"CONFIG GET append*", "*4\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n",
			"%2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n"},
		{"WAIT 1 0", ":0\r\n"},
		{"COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
		{"COMMAND LIST FILTERBY PATTERN getr*", "*1\r\n$8\r\ngetrange\r\n"},
		{"GAMUT.SET 1700000000000 k v", "-ERR unsupported: keyspace default is linearizable and orders its writes itself; a stamp of the client's own is for quorum keyspaces\r\n"},
		{"GAMUT.DEL 1700000000000 k", "-ERR unsupported: keyspace default is linearizable and orders its writes itself; a stamp of the client's own is for quorum keyspaces\r\n"},
		{"GAMUT.LEVEL", "$7\r\ndefault\r\n"},
		{"GAMUT.LEVEL linearizable", "+OK\r\n"},
		{"GAMUT.LEVEL", "$12\r\nlinearizable\r\n"},
		{"GAMUT.LEVEL strongest", "-ERR invalid request: level \"strongest\" is not known; the levels are default, linearizable, sequential, session, prefix, eventual, one, two, quorum, all, read-your-writes, monotonic-reads, monotonic-writes, writes-follow-reads, tentative, committed, bounded:5s, bounded:10v\r\n"},
		{"GAMUT.EXPLAIN", "*1\r\n$16\r\ndefault is fine.\r\n"},
		{"GAMUT.EXPLAIN 7", "*1\r\n$10\r\n7 is fine.\r\n"},
		{"GAMUT.EXPLAIN x", "-ERR no keyspace \"x\"\r\n"},
	}},
	{"several shards", [][]string{
		{"SELECT wide", "+OK\r\n"},
		{"MSET a 1 b 2 c 3", "+OK\r\n"},
		{"SET d 4", "+OK\r\n"},
		{"MGET a b nothing c d", "*5\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n$1\r\n4\r\n", "*5\r\n$1\r\n1\r\n$1\r\n2\r\n_\r\n$1\r\n3\r\n$1\r\n4\r\n"},
		{"EXISTS a b c d nothing", ":4\r\n"},
		{"RENAME a b", "-" + crossShard("rename") + "\r\n"},
		{"COPY a b", "-" + crossShard("copy") + "\r\n"},
		{"MSETNX e 1 b 1", ":0\r\n"},
		{"MSETNX e 5 f 6", ":1\r\n"},
		{"MULTI", "+OK\r\n"},
		{"GET a", "+QUEUED\r\n"},
		{"SET a x", "+QUEUED\r\n"},
		{"PING", "+QUEUED\r\n"},
		{"INCR a", "+QUEUED\r\n"},
		{"GET b", "+QUEUED\r\n"},
		{"EXEC", "*5\r\n$1\r\n1\r\n+OK\r\n+PONG\r\n-ERR value is not an integer or out of range\r\n$1\r\n2\r\n"},
		{"WATCH a b", "+OK\r\n"},
		{"SET b 3", "+OK\r\n"},
		{"MULTI", "+OK\r\n"},
		{"SET a y", "+QUEUED\r\n"},
		{"EXEC", "*-1\r\n", "_\r\n"},
		{"WATCH a b", "+OK\r\n"},
		{"MULTI", "+OK\r\n"},
		{"SET a y", "+QUEUED\r\n"},
		{"EXEC", "*1\r\n+OK\r\n"},
		{"WATCH a", "+OK\r\n"},
		{"SELECT default", "+OK\r\n"},
		{"MULTI", "+OK\r\n"},
		{"SET z 1", "+QUEUED\r\n"},
		{"EXEC", "*1\r\n+OK\r\n"},
		{"SELECT wide", "+OK\r\n"},
		{"MULTI", "+OK\r\n"},
		{"RENAME a b", "+QUEUED\r\n"},
		{"EXEC", "-" + crossShard("exec") + "\r\n"},
		{"DBSIZE", ":6\r\n"},
		{"GAMUT.LEVEL eventual", "+OK\r\n"},
		{"MSET a 1 b 2 c 3", "-" + crossShard("mset") + "\r\n"},
		{"GAMUT.LEVEL default", "+OK\r\n"},
		{"DEL a b", ":2\r\n"},
		{"FLUSHDB", "+OK\r\n"},
		{"DBSIZE", ":0\r\n"},
	}},
}

func TestCommands(t *testing.T) {
	options := Options{Explain: func(keyspace string) ([]string, bool) { return []string{keyspace + " is fine."}, keyspace != "x" }}
	for _, test := range exchanges {
		for _, version := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s/resp%d", test.name, version), func(t *testing.T) {
				db := newFake()
				db.now = func() int64 { return 1_700_000_000_000 }
				_, address := start(t, db, options)
				c := dial(t, address)
				if version == 3 {
					c.do("HELLO", "3")
				}
				for _, line := range test.lines {
					want := line[1]
					if version == 3 && len(line) > 2 {
						want = line[2]
					}
					if got := c.do(words(t, line[0])...); got != want {
						t.Errorf("%s\n got %q\nwant %q", line[0], got, want)
					}
				}
			})
		}
	}
}

// TestPipeline sends all exchanges that need no pause as one write: order and answers must be the same.
func TestPipeline(t *testing.T) {
	for _, test := range exchanges {
		db := newFake()
		db.now = func() int64 { return 1_700_000_000_000 }
		_, address := start(t, db, Options{Explain: func(keyspace string) ([]string, bool) { return []string{keyspace + " is fine."}, keyspace != "x" }})
		c := dial(t, address)
		var all strings.Builder
		for _, line := range test.lines {
			all.WriteString(encode(words(t, line[0])...))
		}
		c.send(all.String())
		for _, line := range test.lines {
			if got := c.reply(); got != line[1] {
				t.Errorf("%s: %s\n got %q\nwant %q", test.name, line[0], got, line[1])
			}
		}
	}
}
