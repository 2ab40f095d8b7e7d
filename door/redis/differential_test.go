package redis

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/internal/freeport"
)

// startRedis runs Debian's redis-server on a free port and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is missing: install Debian's redis-server")
		}
		t.Skip("redis-server is missing: install Debian's redis-server to compare with it")
	}
	address := freeport.Address(t)
	port := address[strings.LastIndexByte(address, ':')+1:]
	server := exec.Command(path, "--port", port, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { server.Wait(); close(ended) }()
	t.Cleanup(func() { server.Process.Kill(); <-ended })
	if !answers(address, ended) {
		t.Fatal("redis-server does not answer")
	}
	return address
}

// answers waits until a server takes connections; false if it ends instead.
func answers(address string, ended chan struct{}) bool {
	for tries := 0; tries < 1000; tries++ {
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
		if socket, err := net.Dial("tcp", address); err == nil {
			socket.Close()
			return true
		}
	}
	return false
}

var (
	someKeys = []string{"a", "b", "c", "n", "a", "n", "long:key", ""}
	// someTexts are values and, wrongly, numbers and options.
	someTexts = []string{"", "0", "1", "-1", "10", "abc", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
		"1.5", " 1", "01", "+1", "-0", "a\r\nb", "\x00\xff", "nan", "inf", "1e400", "0x10", strings.Repeat("x", 100)}
	someNumbers = []string{"0", "1", "-1", "2", "5", "-5", "100", "1000000", "x", "", "9223372036854775807", "-9223372036854775808",
		"9223372036854775", "9223372036854776", "1.0"}
	// someTimes are far enough in the past or the future that the pace of the test does not matter.
	someTimes = []string{"0", "-1", "-5", "1000000", "2000000", "x", "", "9223372036854775807", "-9223372036854775808",
		"9223372036854775", "9223372036854776", "1.0"}
	setWords    = []string{"NX", "XX", "GET", "EX", "PX", "KEEPTTL", "EXAT", "PXAT", "PERSIST", "foo", "1000000", "0", "-1", "100000000000"}
	expireWords = []string{"NX", "XX", "GT", "LT", "foo"}
)

// shapes are the commands that the two servers must answer alike: k a key, v a value, i an integer, t a time, s a word of SET,
// e a word of EXPIRE, p a pattern; + repeats what precedes it, ? makes it optional.
var shapes = []string{
	"GET k", "SET k v", "SET k v s?+", "SET k v s s s?", "SETNX k v", "SETEX k t v", "PSETEX k t v", "GETSET k v", "GETDEL k",
	"GETEX k s?+", "MGET k k?+", "MSET k v", "MSET k v k v", "MSET k v k", "MSETNX k v k v", "APPEND k v", "STRLEN k",
	"GETRANGE k i i", "SUBSTR k i i", "SETRANGE k i v", "INCR k", "DECR k", "INCRBY k i", "DECRBY k i", "INCR k", "INCRBY k v",
	"DEL k k?+", "UNLINK k", "EXISTS k k?+", "TYPE k", "TOUCH k k?", "EXPIRE k t e?+", "PEXPIRE k t e?+", "EXPIREAT k t e?",
	"PEXPIREAT k t e?", "TTL k", "PERSIST k", "RENAME k k", "RENAMENX k k", "COPY k k", "COPY k k REPLACE",
	"COPY k k v", "KEYS p", "DBSIZE", "FLUSHDB", "GETBIT k i", "PING", "PING v", "ECHO v", "ECHO", "SCAN 0 COUNT 1000 TYPE list",
	"SCAN x", "SCAN 0 COUNT 0", "SCAN 0 COUNT -5", "SCAN 0 COUNT x", "SCAN 0 foo", "MULTI", "MULTI", "EXEC", "EXEC", "EXEC", "DISCARD", "WATCH k k?", "UNWATCH", "UNWATCH k",
	"GET", "SET k", "foo", "foo v v", "CLIENT GETNAME", "CLIENT SETNAME k", "CLIENT foo", "CLIENT", "SELECT 99", "SELECT -1", "INCRBYFLOAT f half", "GET f",
	"WAIT 0 0", "AUTH v", "AUTH default v", "AUTH v v", "GETSET k", "APPEND k", "LASTSAVE v", "OBJECT FREQ",
}

func draw(rng *rand.Rand, shape string) []string {
	var words []string
	for _, part := range strings.Fields(shape) {
		times := 1
		if strings.HasSuffix(part, "?+") {
			times = rng.IntN(4)
		} else if strings.HasSuffix(part, "?") {
			times = rng.IntN(2)
		}
		for range times {
			words = append(words, drawWord(rng, strings.TrimRight(part, "?+")))
		}
	}
	return words
}

func drawWord(rng *rand.Rand, kind string) string {
	pick := func(list []string) string { return list[rng.IntN(len(list))] }
	switch kind {
	case "k":
		return pick(someKeys)
	case "v":
		return pick(someTexts)
	case "i":
		return pick(someNumbers)
	case "t":
		return pick(someTimes)
	case "s":
		return pick(setWords)
	case "e":
		return pick(expireWords)
	case "p":
		return pick([]string{"*", "a*", "?", "[a-b]", "[^a]", "long*", "", "\\a", "nothing"})
	case "half":
		return pick([]string{"0.5", "-0.25", "x", "1e2", "inf", ""})
	}
	return kind
}

// comparable are replies in a form in which both servers must agree: the order of KEYS is nobody's promise, and a long
// string's limit differs.
func comparable(words []string, reply string) string {
	reply = strings.ReplaceAll(reply, "(proto-max-bulk-len)", "(8388608 bytes)")
	if words[0] == "KEYS" && reply[0] == '*' {
		parts := strings.SplitAfter(reply, "\r\n")
		sortPairs(parts[1 : len(parts)-1])
		return strings.Join(parts, "")
	}
	return reply
}

// sortPairs sorts the bulk strings of an array, each a length and a text.
func sortPairs(lines []string) {
	for i := 0; i+1 < len(lines); i += 2 {
		for j := i + 2; j+1 < len(lines); j += 2 {
			if lines[j+1] < lines[i+1] {
				lines[i], lines[i+1], lines[j], lines[j+1] = lines[j], lines[j+1], lines[i], lines[i+1]
			}
		}
	}
}

// aloneHere reports whether a command is allowed in MULTI by Redis but not by the door, which says so.
func aloneHere(words []string) bool {
	var args [][]byte
	for _, word := range words {
		args = append(args, []byte(word))
	}
	cmd, fault := lookup(args)
	return fault == "" && cmd.alone
}

// TestLikeRedis sends the same random commands to a real Redis and to the door; every reply must be the same.
func TestLikeRedis(t *testing.T) {
	theirs := startRedis(t)
	_, ours := start(t, newFake(), Options{})
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		a, b := dial(t, theirs), dial(t, ours)
		a.do("FLUSHALL")
		b.do("FLUSHALL")
		if seed%2 == 1 {
			a.send("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
			b.send("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
			a.reply()
			b.reply()
		}
		var history []string
		inMulti := false
		for range 300 {
			words := draw(rng, shapes[rng.IntN(len(shapes))])
			if len(words) == 0 || inMulti && aloneHere(words) {
				continue
			}
			if words[0] == "WATCH" && !inMulti && len(words) > 1 && b.do(append([]string{"EXISTS"}, words[1:]...)...) != fmt.Sprintf(":%d\r\n", len(words)-1) {
				// Of a key that was missing, set and deleted again the door says that it has not changed.
				continue
			}
			history = append(history, fmt.Sprintf("%q", words))
			want, got := comparable(words, a.do(words...)), comparable(words, b.do(words...))
			switch words[0] {
			case "MULTI":
				inMulti = true
			case "EXEC", "DISCARD":
				inMulti = inMulti && len(words) != 1
			}
			if got != want {
				t.Fatalf("seed %d, after\n%s\n got %q\nwant %q", seed, strings.Join(history[max(0, len(history)-12):], "\n"), got, want)
			}
		}
	}
}

// TestProtocolLikeRedis sends broken and odd bytes to both and compares everything until the end of the connection.
func TestProtocolLikeRedis(t *testing.T) {
	theirs := startRedis(t)
	_, ours := start(t, newFake(), Options{})
	for _, input := range []string{
		"*x\r\n", "*99999999999\r\n", "*3000000000\r\n", "*-1\r\nPING\r\n", "*0\r\nPING\r\n", "*\r\n", "*1\r\nPING\r\n", "*1\r\n\r\n",
		"*1\r\n$x\r\n", "*1\r\n$-1\r\n", "*1\r\n$600000000\r\n", "*1\r\n$536870913\r\n", "*+1\r\n", "*01\r\n", "*1\r\n$04\r\nPING\r\n",
		"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", "PING\r\n", "PING\n", "\r\n\r\nPING\r\n", "   PING  \r\n", "ECHO 'a b'\r\n",
		`ECHO "a\x41\n\t\\\"b"` + "\r\n", `ECHO 'a\'b\n'` + "\r\n", `ECHO "abc` + "\r\n", `ECHO "a"b` + "\r\n", "ECHO 'a\r\n",
		`ECHO ""` + "\r\n", `ECHO a"b"` + "\r\n", `ECHO "\xzz\q"` + "\r\n", strings.Repeat("x", 70000), "*" + strings.Repeat("1", 70000),
		"*1\r\n$" + strings.Repeat("1", 70000), "PING\r\n*1\r\n:4\r\n", "*2\r\n$3\r\nfoo\r\n$4\r\na\r\nb\r\n",
		"*1\r\n$8\r\nfoo\r\nbar\r\n", "*1\r\n$0\r\n\r\n", "SET a b c d\r\nGET a\r\n", "QUIT\r\nPING\r\n", "GET nothing\r\nRESET\r\nGET nothing\r\n",
		"CLIENT REPLY SKIP\r\nPING\r\nECHO a\r\n", "CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\n", "CLIENT REPLY\r\n", "CLIENT REPLY x\r\n",
		"CLIENT REPLY OFF\r\nfoo\r\nCLIENT REPLY SKIP\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\n",
		"MULTI\r\nfoo\r\nEXEC\r\n", "MULTI\r\nQUIT\r\n", "MULTI\r\nRESET\r\nEXEC\r\n", "MULTI\r\nWATCH a\r\nMULTI\r\nPING\r\nEXEC\r\n",
		"WATCH a\r\nSET a 1\r\nMULTI\r\nPING\r\nEXEC\r\nMULTI\r\nPING\r\nEXEC\r\n", "WATCH a\r\nWATCH b\r\nSET a 1\r\nWATCH a\r\nMULTI\r\nEXEC\r\n",
	} {
		want, got := converse(t, theirs, input), converse(t, ours, input)
		if got != want {
			t.Errorf("%.80q\n got %q\nwant %q", input, got, want)
		}
	}
}

// converse sends an input, closes its side and returns all that comes back.
func converse(t *testing.T, address, input string) string {
	c := dial(t, address)
	c.socket.Write([]byte(input))
	c.socket.(*net.TCPConn).CloseWrite()
	var all []byte
	room := make([]byte, 4096)
	for {
		n, err := c.socket.Read(room)
		all = append(all, room[:n]...)
		if err != nil {
			return string(all)
		}
	}
}
