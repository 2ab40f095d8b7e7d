package memcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// start serves a database on a loopback port until the test ends.
func start(t testing.TB, db kv.Database, options Options) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(db, options)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// talk sends input in pieces of at most chunk bytes, then quit, and returns all that comes back.
func talk(t testing.TB, address, input string, chunk int) string {
	t.Helper()
	c := dial(t, address)
	go func() {
		// A server that closes early makes the rest fail to be sent: the reply tells.
		for rest := []byte(input + "quit\r\n"); len(rest) > 0; {
			n, err := c.Write(rest[:min(chunk, len(rest))])
			if err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	out, err := io.ReadAll(c)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("after %q: %v", out, err)
	}
	return string(out)
}

// crlf writes a conversation with \n for \r\n.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestConversations(t *testing.T) {
	long := strings.Repeat("k", 251)
	tests := []struct{ name, in, want string }{
		{"set and get", "set a 5 0 3\nabc\nget a b\n", "STORED\nVALUE a 5 3\nabc\nEND\n"},
		{"gets shows the version", "set a 0 0 1\nx\ngets a\n", "STORED\nVALUE a 0 1 1\nx\nEND\n"},
		{"add", "add a 0 0 1\nx\nadd a 0 0 1\ny\nget a\n", "STORED\nNOT_STORED\nVALUE a 0 1\nx\nEND\n"},
		{"replace", "replace a 0 0 1\nx\nset a 0 0 1\nx\nreplace a 1 0 1\ny\nget a\n", "NOT_STORED\nSTORED\nSTORED\nVALUE a 1 1\ny\nEND\n"},
		{"append and prepend", "append a 0 0 1\nx\nset a 7 0 1\nm\nappend a 1 1 1\nz\nprepend a 0 0 1\na\nget a\n", "NOT_STORED\nSTORED\nSTORED\nSTORED\nVALUE a 7 3\namz\nEND\n"},
		{"cas", "cas a 0 0 1 1\nx\nset a 0 0 1\nx\ncas a 0 0 1 9\ny\ncas a 0 0 1 1\nz\nget a\n", "NOT_FOUND\nSTORED\nEXISTS\nSTORED\nVALUE a 0 1\nz\nEND\n"},
		{"counters", "incr a 1\nset a 0 0 2\n10\nincr a 5\ndecr a 7\ndecr a 99\nincr a x\nset a 0 0 1\nx\nincr a 1\n", "NOT_FOUND\nSTORED\n15\n8\n0\nCLIENT_ERROR invalid numeric delta argument\nSTORED\nCLIENT_ERROR cannot increment or decrement non-numeric value\n"},
		{"incr wraps", "set a 0 0 20\n18446744073709551615\nincr a 2\n", "STORED\n1\n"},
		{"delete", "delete a\nset a 0 0 1\nx\ndelete a 0\ndelete a 5\ndelete a b c\n", "NOT_FOUND\nSTORED\nDELETED\nCLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\nCLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\n"},
		{"touch and gat", "touch a 1\nset a 0 0 1\nx\ntouch a 100\nmg a t\ngat 200 a b\nmg a t\ntouch a 0\nmg a t\ngats -1 a\nget a\ngat x a\n", "NOT_FOUND\nSTORED\nTOUCHED\nHD t100\nVALUE a 0 1\nx\nEND\nHD t200\nTOUCHED\nHD t-1\nVALUE a 0 1 1\nx\nEND\nEND\nCLIENT_ERROR invalid exptime argument\n"},
		{"noreply", "set a 0 0 1 noreply\nx\nincr a 1 noreply\ndelete b noreply\ntouch b 1 noreply\nset a 0 0 1 noreply\nxy\nget a\n", "ERROR\nVALUE a 0 1\nx\nEND\n"},
		{"flush_all", "set a 0 0 1\nx\nset ab 0 0 1\nx\nflush_all\nget a ab\nflush_all 0 noreply\nflush_all x\nflush_all -1\nflush_all 1 2 3\n", "STORED\nSTORED\nOK\nEND\nCLIENT_ERROR invalid exptime argument\nOK\nERROR\n"},
		{"expired at once", "set a 0 -1 1\nx\nget a\n", "STORED\nEND\n"},
		{"exptime in the past", "set a 0 2592001 1\nx\nget a\n", "STORED\nEND\n"},
		{"errors", "foo\n\nget\nset a\nset a x 0 1\nset a 0 0 -1\nincr\nms\nmg\nms a\nmd\nma\nme\nmx\nG\n", "ERROR\nERROR\nERROR\nERROR\nCLIENT_ERROR bad command line format\nCLIENT_ERROR bad command line format\nERROR\nERROR\nERROR\nCLIENT_ERROR bad command line format\nERROR\nERROR\nCLIENT_ERROR bad command line format\nERROR\nERROR\n"},
		{"long keys", "get a " + long + "\nset " + long + " 0 0 1\ndelete " + long + "\nmg " + long + "\nmn\n", strings.Repeat("CLIENT_ERROR bad command line format\n", 4) + "MN\n"},
		{"control characters in a key", "get a\x01b\nmg a\x7f\n", strings.Repeat("CLIENT_ERROR bad command line format\n", 2)},
		{"bad data chunk", "set a 0 0 1\nxyz\nget a\n", "CLIENT_ERROR bad data chunk\nERROR\nEND\n"},
		{"too large", "set a 0 0 8388609\n" + strings.Repeat("x", 8388609) + "\nms a 8388609 q\n" + strings.Repeat("x", 8388609) + "\nget a\n", "SERVER_ERROR object too large for cache\nSERVER_ERROR object too large for cache\nEND\n"},
		{"line too long", "set " + strings.Repeat("x", 3000) + "\nmn\n", "CLIENT_ERROR line too long\n"},
		{"binary", "\x80\x00\n", "CLIENT_ERROR the binary protocol is not offered: use the text or the meta protocol\n"},
		{"http", "GET / HTTP/1.1\nmn\n", ""},
		{"administration", "version\nverbosity 1\nverbosity\nshutdown\ncache_memlimit 1\ncache_memlimit 64\nmisbehave\nstats reset\nstats items\nstats slabs\nstats foo\nstats detail on\n", "VERSION 1.2.3\nOK\nERROR\nERROR: shutdown not enabled\nMEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\nMEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\nERROR\nRESET\nEND\nSTAT active_slabs 0\nSTAT total_malloced 0\nEND\nERROR\nOK\n"},
		{"meta set and get", "ms a 3 T90 F7 c k Oxy\nabc\nmg a v s t f c k Oz q\nmg a\nmg b\nmg b q\nmg b k O1\nmn\n", "HD c1 ka Oxy\nVA 3 s3 t90 f7 c1 ka Oz\nabc\nHD\nEN\nEN kb O1\nMN\n"},
		{"meta modes", "ms a 1 ME\nx\nms a 1 ME\ny\nms a 1 MA s\nz\nms a 1 MP\nw\nms b 1 MA\nx\nms b 1 MA N30\nx\nms c 1 MR\nx\nms c 1 MX\nx\nmg a v\nmg b v t\n", "HD\nNS\nHD s2\nHD\nNS\nHD\nNS\nCLIENT_ERROR invalid mode for ms M token\nVA 3\nwxz\nVA 1 t30\nx\n"},
		{"meta cas", "ms a 1 C1\nx\nms a 1 c\nx\nms a 1 C9\ny\nms a 1 C1 E77 c\ny\nmd a C1\nmd a C77\n", "NF\nHD c1\nEX\nHD c77\nEX\nHD\n"},
		{"meta quiet", "ms a 1 q\nx\nms a 1 q ME\nx\nmd a q\nmd a q\nma a q\nmn\n", "NS\nNF\nNF\nMN\n"},
		{"base64 keys", "ms AQID 1 b k\nx\nmg AQID b k v\nmg !! b\nme AQID b\n", "HD kAQID b\nVA 1 kAQID b\nx\nCLIENT_ERROR error decoding key\nME AQID exp=-1 cas=1 size=1\n"},
		{"arithmetic", "ma a\nma a N90 J13 v t\nma a v\nma a MD D4 v\nma a M- D99 v\nma a T30 t\nma a N60 t\nma a N60 T50 t\nma a MZ\nma a Dx\nma a C99\n", "NF\nVA 2 t90\n13\nVA 2\n14\nVA 2\n10\nVA 1\n0\nHD t30\nHD t30\nHD t50\nCLIENT_ERROR invalid mode for ma M token\nCLIENT_ERROR invalid or duplicate flag\nEX\n"},
		{"vivify", "mg a v N30 t\nmg a v N30 t\nms a 1\nx\nmg a v N30\n", "VA 0 t30 W\n\nVA 0 t30 Z\n\nHD\nVA 1\nx\n"},
		{"recache", "ms a 1 T20\nx\nmg a R30\nmg a R30\nmg a R10\n", "HD\nHD W\nHD Z\nHD Z\n"},
		{"stale", "ms a 1 T90\nx\nmd a I T30\nmg a v t\nmg a v\nms a 1\ny\nmg a v\n", "HD\nHD\nVA 1 t30 X W\nx\nVA 1 Z X\nx\nHD\nVA 1\ny\n"},
		{"set of an older version", "ms a 1 c\nx\nmd a I\nms a 1 I C1\ny\nmg a v\n", "HD c1\nHD\nHD\nVA 1 X W\ny\n"},
		{"md x", "ms a 1 F5\nx\nmd a x\nmg a v f\nms a 1\nx\nmd a x I\nmg a v\nmd b x\n", "HD\nHD\nVA 0 f0\n\nHD\nHD\nVA 0 X W\n\nNF\n"},
		{"touch within get", "ms a 1 T90\nx\nmg a t T30 v\nmg a t\nmg a T60 t\nmg a N5 T40 t\nmg a T50 N5 t\nmg b T30 N5 t\nmg c N5 T30 t\n", "HD\nVA 1 t90\nx\nHD t30\nHD t60\nHD t40\nHD t50\nHD t5 W\nHD t30 W\n"},
		{"meta flags", "mg a v v\nmg a ?\nmg a h\nmg a l\nmg a O" + strings.Repeat("o", 40) + "\nmd a ?\nma a v v\nmg a Tx\nms a 1 C?\nx\nms a x\nmg a" + strings.Repeat(" v", 20) + "\n", "CLIENT_ERROR duplicate flag\nCLIENT_ERROR invalid flag\n" + strings.Repeat(noHits+"\n", 2) + "CLIENT_ERROR opaque token too long\nCLIENT_ERROR invalid or duplicate flag\nCLIENT_ERROR invalid or duplicate flag\nCLIENT_ERROR bad token in command line format\nCLIENT_ERROR bad token in command line format\nCLIENT_ERROR bad command line format\nCLIENT_ERROR options flags are too long\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			chunks := []int{1 << 30, 1000}
			if len(test.in) < 10_000 {
				chunks = append(chunks, 1)
			}
			for _, chunk := range chunks {
				_, address := start(t, newFake(), Options{Version: "1.2.3"})
				got := talk(t, address, crlf(test.in), chunk)
				if want := crlf(test.want); got != want {
					t.Errorf("in pieces of %d bytes\n got %q\nwant %q", chunk, got, want)
				}
			}
		})
	}
}

func TestFailures(t *testing.T) {
	tests := []struct {
		code    kv.Code
		detail  string
		in, out string
	}{
		{kv.Unknown, "deadline", "set a 0 0 1\nx\n", "SERVER_ERROR unknown outcome deadline\n"},
		{kv.Busy, "", "get a b\n", "SERVER_ERROR busy\n"},
		{kv.Busy, "", "set a 0 0 1 noreply\nx\nmn\n", "MN\n"},
		{kv.Busy, "", "ms a 1 q\nx\nmg a q\nmd a q\nma a q\n", strings.Repeat("SERVER_ERROR busy\n", 4)},
		{kv.Unavailable, "1 of 3\nreplicas", "mg a v q\nflush_all\n", strings.Repeat("SERVER_ERROR unavailable 1 of 3 replicas\n", 2)},
		{kv.NotLeader, "", "incr a 1\n", "SERVER_ERROR unavailable no leader\n"},
		{kv.DiskFull, "", "touch a 1\n", "SERVER_ERROR disk full\n"},
		{kv.Invalid, "a reason", "gat 1 a\n", "CLIENT_ERROR a reason\n"},
		{kv.Unsupported, "counters", "ma a N0 T5 v\n", "SERVER_ERROR unsupported counters\n"},
		{kv.TooLong, "", "append a 0 0 1\nx\n", "SERVER_ERROR object too large for cache\n"},
	}
	for _, test := range tests {
		db := newFake()
		db.answer = func(*kv.Call) *kv.Result { return &kv.Result{Code: test.code, Detail: test.detail} }
		_, address := start(t, db, Options{})
		if got, want := talk(t, address, crlf(test.in), 1<<20), crlf(test.out); got != want {
			t.Errorf("%q with %v\n got %q\nwant %q", test.in, test.code, got, want)
		}
	}
}

func TestOneFailedReadEndsAGetInEachRound(t *testing.T) {
	db := newFake()
	db.answer = func(c *kv.Call) *kv.Result {
		if string(c.Command.Ops[0].Key) == "k3" {
			return &kv.Result{Code: kv.Busy}
		}
		return nil
	}
	_, address := start(t, db, Options{})
	got := talk(t, address, "get k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11\r\nmn\r\n", 1<<20)
	if got != "SERVER_ERROR busy\r\nMN\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestAKeyspaceNotKnownYet(t *testing.T) {
	db := newFake()
	db.notReady = errors.New("no leader")
	_, address := start(t, db, Options{Prefixes: map[string]string{"carts:": "carts"}})
	want := strings.Repeat("SERVER_ERROR unavailable this node is not ready, and keyspace carts is not known to it: no leader\r\n", 2)
	if got := talk(t, address, "set carts:a 0 0 1\r\nx\r\nget carts:a\r\n", 1<<20); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestPrefixes(t *testing.T) {
	db := newFake("clicks", "deep")
	_, address := start(t, db, Options{Prefixes: map[string]string{"clicks:": "clicks", "clicks:deep:": "deep", "gone:": "gone"}})
	got := talk(t, address, crlf("set a 0 0 1\nx\nset clicks:a 0 0 1\ny\nset clicks:deep:a 0 0 1\nz\nset gone:a 0 0 1\nx\nget a gone:a\nmg gone:a\nget a clicks:a clicks:deep:a\n"), 1<<20)
	want := crlf("STORED\nSTORED\nSTORED\nSERVER_ERROR no such keyspace gone\nSERVER_ERROR no such keyspace gone\nSERVER_ERROR no such keyspace gone\nVALUE a 0 1\nx\nVALUE clicks:a 0 1\ny\nVALUE clicks:deep:a 0 1\nz\nEND\n")
	got = strings.Replace(got, "VALUE a 0 1\r\nx\r\nSERVER", "SERVER", 1)
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	for space, key := range map[string]string{"default": "a", "clicks": "clicks:a", "deep": "clicks:deep:a"} {
		if len(db.records[space]) != 1 || db.records[space][key] == nil {
			t.Errorf("keyspace %s holds %v, not just %s", space, db.records[space], key)
		}
	}
}

func TestPipelineOfManyCommands(t *testing.T) {
	db := newFake()
	_, address := start(t, db, Options{})
	var in, want bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&in, "set k%d 0 0 4\r\n%04d\r\nget k%d\r\n", i, i, i)
		fmt.Fprintf(&want, "STORED\r\nVALUE k%d 0 4\r\n%04d\r\nEND\r\n", i, i)
	}
	in.WriteString("get")
	for i := range 5000 {
		fmt.Fprintf(&in, " k%d", i)
		fmt.Fprintf(&want, "VALUE k%d 0 4\r\n%04d\r\n", i, i)
	}
	in.WriteString("\r\n")
	want.WriteString("END\r\n")
	if got := talk(t, address, in.String(), 1<<30); got != want.String() {
		t.Errorf("%d bytes answered, want %d", len(got), want.Len())
	}
	if db.largest > roundCalls || db.largest < 100 {
		t.Errorf("the largest batch had %d calls; more than 100 and at most %d were meant to be", db.largest, roundCalls)
	}
}
