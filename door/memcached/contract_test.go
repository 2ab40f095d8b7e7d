package memcached

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

func TestBoundedListenerAsksItOfReadsAlone(t *testing.T) {
	db := newFake()
	var asked []kv.Level
	db.answer = func(c *kv.Call) *kv.Result {
		asked = append(asked, c.Command.Level)
		return nil
	}
	bound := kv.BoundedAge(2 * time.Second)
	_, address := start(t, db, Options{Level: bound})
	talk(t, address, crlf("set a 0 0 1\nx\nget a\nmg a v\nincr a 1\ngat 100 a\nflush_all\n"), 4096)
	want := []kv.Level{0, bound, bound, 0, 0, 0, 0}
	if len(asked) != len(want) {
		t.Fatalf("asked for %v", asked)
	}
	for i := range want {
		if asked[i] != want[i] {
			t.Errorf("command %d asks for %v, not %v", i, asked[i], want[i])
		}
	}
}

func TestConnectionCarriesItsSession(t *testing.T) {
	db := newFake()
	ks := db.spaces["default"]
	ks.MergeTokens = func(a, b []byte) []byte {
		if len(a) > len(b) {
			return a
		}
		return b
	}
	var brought []string
	db.answer = func(c *kv.Call) *kv.Result {
		brought = append(brought, string(c.Command.Token))
		return &kv.Result{Code: kv.NotFound, Token: []byte("seen " + strings.Repeat("x", 3-len(brought)%3))}
	}
	_, address := start(t, db, Options{})
	for range 2 {
		c := dial(t, address)
		replies := bufio.NewReader(c)
		for range 3 {
			if _, err := io.WriteString(c, "mg a\r\n"); err != nil {
				t.Fatal(err)
			}
			if line, err := replies.ReadString('\n'); line != "EN\r\n" {
				t.Fatalf("%q, %v", line, err)
			}
		}
	}
	if got := strings.Join(brought, ","); got != ",seen xx,seen xx,,seen xx,seen xx" {
		t.Errorf("the door dropped a token, put it back, or gave it to another connection: %s", got)
	}
}
