package memcached

import (
	"encoding/base64"
	"fmt"
	"io"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestSessionsTravelInOpaques: a meta command that brings a session is answered with what that has seen now, whatever others do on
// the connection, and a level holds for its command alone. Here a session has seen what all tokens say together, one behind the other.
func TestSessionsTravelInOpaques(t *testing.T) {
	db := newFake("weak")
	db.spaces["default"].MergeTokens = func(a, b []byte) []byte { return append(append([]byte{}, a...), b...) }
	db.spaces["default"].CheckToken = func(token []byte) error {
		if token[0] != '+' {
			return kv.Errorf(kv.BadToken, "of another keyspace")
		}
		return nil
	}
	db.spaces["weak"].Consistency = kv.Eventual
	var asked string
	answered := 0
	db.answer = func(c *kv.Call) *kv.Result {
		answered++
		asked = fmt.Sprintf("%s %s", c.Command.Token, c.Command.Level)
		return &kv.Result{Value: []byte("v"), Token: fmt.Appendf(nil, "+%d", answered)}
	}
	_, address := start(t, db, Options{Prefixes: map[string]string{"w:": "weak"}})
	c := dial(t, address)
	o := func(token string) string { return "O@" + base64.RawURLEncoding.EncodeToString([]byte(token)) }
	const fault = "CLIENT_ERROR "
	for _, step := range []struct{ in, want, asked string }{
		{"mg a v O@", "VA 1 " + o("+1") + "\nv", " default"},
		{"ms a 1 " + o("+1") + "\nx", "HD " + o("+1+2"), "+1 default"},
		{"mg a Oplain", "HD Oplain", " default"}, // the connection's own
		{"md a " + o("+1+2") + " L@eventual", "HD " + o("+1+2+4"), "+1+2 eventual"},
		{"ma a O@", "HD " + o("+5"), " default"},
		{"mg a", "HD", "+3 default"},
		{"mg a L5 O5", "HD O5", "+3+6 default"},
		{"mg a " + o("x"), fault + "session: bad token: of another keyspace", ""},
		{"ms a 1 O@!\ny", fault + "session: bad token: the session token is not base64; begin a new session without one", ""},
		{"md a L@never", fault + "level: invalid request: " + unknownLevel("never"), ""},
		{"ms a 1 L@\nx", fault + "level: invalid request: L@ needs a level, such as L@eventual", ""},
		{"mg w:a O@", fault + "session: keyspace weak is eventual and has none", ""},
	} {
		asked = ""
		fmt.Fprint(c, crlf(step.in+"\n"))
		got := make([]byte, len(crlf(step.want+"\n")))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != crlf(step.want+"\n") || asked != step.asked {
			t.Errorf("%s: %q, %v, want %q; asked %q, want %q", step.in, got, err, step.want, asked, step.asked)
		}
	}
}

func unknownLevel(word string) string {
	_, err := kv.ParseLevel(word)
	return err.(*kv.Error).Detail
}
