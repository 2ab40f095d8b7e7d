package redis

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

func TestReceiptsAreAttributes(t *testing.T) {
	db := newFake()
	_, address := start(t, db, Options{})
	c := dial(t, address)
	c.want("GAMUT.RECEIPT", "$3\r\noff\r\n")
	c.want("GAMUT.RECEIPT ON", "-ERR receipts are attributes of replies, which RESP3 has and RESP2 has not: say HELLO 3 first\r\n")
	c.do("HELLO", "3")
	c.want("GAMUT.RECEIPT maybe", "-ERR syntax error\r\n")
	c.want("GAMUT.RECEIPT on", "+OK\r\n")
	c.want("GAMUT.RECEIPT", "$2\r\non\r\n")
	c.want("SET k v", "|3\r\n$8\r\nkeyspace\r\n$7\r\ndefault\r\n$5\r\nasked\r\n$7\r\ndefault\r\n$3\r\nmet\r\n$12\r\nlinearizable\r\n+OK\r\n", "as_of")
	c.want("PING", "+PONG\r\n")
	c.want("GAMUT.RECEIPT off", "+OK\r\n")
	c.want("GET k", "$1\r\nv\r\n")
}

// TestReceiptsOfTransactions: of those over several shards, one for all of it, before the reply; none where nothing was executed.
func TestReceiptsOfTransactions(t *testing.T) {
	db := newFake()
	_, address := start(t, db, Options{})
	c := dial(t, address)
	c.do("HELLO", "3")
	c.want("SELECT wide", "+OK\r\n")
	c.want("GAMUT.RECEIPT on", "+OK\r\n")
	id := kv.TxID{Nonce: 7}.String()
	receipt := "|5\r\n$8\r\nkeyspace\r\n$4\r\nwide\r\n$5\r\nasked\r\n$7\r\ndefault\r\n$3\r\nmet\r\n$12\r\nlinearizable\r\n" +
		"$6\r\ngroups\r\n$3\r\n2,4\r\n$3\r\ntxn\r\n$56\r\n" + id + "\r\n"
	c.want("MSET a 1 b 2 c 3 d 4", receipt+"+OK\r\n")
	c.do("MULTI")
	c.do("INCR", "a")
	c.do("INCR", "b")
	c.do("INCR", "c")
	c.want("EXEC", receipt+"*3\r\n:2\r\n:3\r\n:4\r\n")
	c.want("MSETNX a 1 b 2 e 3 f 4", ":0\r\n")
}

// want sends a command and compares the whole answer, without the fields of a receipt that are named.
func (c *rawClient) want(command, want string, without ...string) {
	c.t.Helper()
	got := c.do(strings.Fields(command)...)
	for _, name := range without {
		got = withoutField(got, name)
	}
	if got != want {
		c.t.Errorf("%s: %q, not %q", command, got, want)
	}
}

// withoutField takes a pair out of the attributes of a reply.
func withoutField(reply, name string) string {
	lines := strings.SplitAfter(reply, "\r\n")
	for i, line := range lines {
		if strings.TrimSpace(line) == name {
			lines[0] = "|" + string(lines[0][1]-1) + "\r\n"
			return strings.Join(append(lines[:i-1:i-1], lines[i+3:]...), "")
		}
	}
	return reply
}

// withSessions makes the keyspace default one whose token is the longest that was seen.
func withSessions(db *fakeDatabase) {
	ks := db.Keyspace("default")
	ks.MergeTokens = func(a, b []byte) []byte {
		if len(a) > len(b) {
			return a
		}
		return b
	}
	ks.CheckToken = func(token []byte) error {
		if !bytes.HasPrefix(token, []byte("seen")) {
			return kv.Errorf(kv.BadToken, "the session token belongs to another keyspace")
		}
		return nil
	}
}

func TestConnectionCarriesItsSession(t *testing.T) {
	db := newFake()
	withSessions(db)
	var brought []string
	answers := []string{"seen 1", "seen", "", "seen 1 2"}
	db.fail = func(c *kv.Call) kv.Result {
		brought = append(brought, string(c.Command.Token))
		return kv.Result{Code: kv.NotFound, Token: []byte(answers[len(brought)-1])}
	}
	_, address := start(t, db, Options{})
	c := dial(t, address)
	for range 4 {
		c.want("GET k", "$-1\r\n")
	}
	if got := strings.Join(brought, ","); got != ",seen 1,seen 1,seen 1" {
		t.Errorf("the door dropped a token or put it back: %s", got)
	}
	token := kv.FormatToken([]byte("seen 1 2"))
	c.want("GAMUT.SESSION", "$"+"11"+"\r\n"+token+"\r\n")
	for _, bad := range []string{"!", kv.FormatToken([]byte("foreign"))} {
		if got := c.do("GAMUT.SESSION", bad); !strings.HasPrefix(got, "-BADTOKEN") {
			t.Errorf("%q: %q", bad, got)
		}
	}
	c.want("GAMUT.SESSION", "$"+"11"+"\r\n"+token+"\r\n")
	c.want("SELECT wide", "+OK\r\n")
	if got := c.do("GAMUT.SESSION", token); !strings.Contains(got, "has no sessions") {
		t.Errorf("a token for a keyspace without sessions: %q", got)
	}
}

func TestBoundedLevelOfAConnection(t *testing.T) {
	db := newFake()
	var asked []kv.Level
	db.fail = func(c *kv.Call) kv.Result {
		asked = append(asked, c.Command.Level)
		return kv.Result{Code: kv.NotFound}
	}
	_, address := start(t, db, Options{})
	c := dial(t, address)
	c.want("GAMUT.LEVEL bounded:250ms", "+OK\r\n")
	c.want("GAMUT.LEVEL", "$13\r\nbounded:250ms\r\n")
	c.want("GET k", "$-1\r\n")
	c.want("GAMUT.LEVEL bounded:3v", "+OK\r\n")
	c.want("GET k", "$-1\r\n")
	if len(asked) != 2 || asked[0] != kv.BoundedAge(250*time.Millisecond) || asked[1] != kv.BoundedVersions(3) {
		t.Errorf("asked for %v", asked)
	}
}
