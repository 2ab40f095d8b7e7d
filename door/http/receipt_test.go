package http

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

func TestReceiptSaysHowAnAnswerWasGiven(t *testing.T) {
	d := newDoor(t)
	plain := d.want(204, d.ask("PUT", a, "x")).Header()
	for name := range plain {
		if name == HeaderAsked || name == HeaderGroup || name == HeaderPosition {
			t.Errorf("nobody asked for %s", name)
		}
	}
	h := d.want(204, d.ask("PUT", a, "x", "Gamut-Receipt: on")).Header()
	r, err := ReceiptOf("default", h)
	if err != nil || r.Asked != "default" || r.Met != "linearizable" || r.Version == 0 || r.Position != r.Version>>24 || r.AsOf.UnixMilli() != d.fake.now.UnixMilli() {
		t.Errorf("%+v, %v", r, err)
	}
	h = d.want(404, d.ask("GET", "/v1/keyspaces/default/keys/nothing", "", "Gamut-Receipt: on", "Gamut-Level: bounded:5s")).Header()
	if r, err = ReceiptOf("default", h); err != nil || r.Asked != "bounded:5s" || r.Met == "" {
		t.Errorf("of a missing key: %+v, %v", r, err)
	}
	d.wantError(400, "invalid", d.ask("GET", a, "", "Gamut-Receipt: yes"))
	h = d.want(200, d.ask("POST", "/v1/txn", `{"operations":[{"op":"get","key":"a"}]}`, "Gamut-Receipt: on")).Header()
	if h.Get(HeaderAsked) != "default" {
		t.Errorf("of a transaction: %v", h)
	}
	h = d.want(200, d.ask("POST", "/v1/txn", `{"operations":[{"op":"put","key":"a","value":"1"}],"else":[{"op":"get","key":"a"}]}`, "Gamut-Receipt: on")).Header()
	if r, err = ReceiptOf("x", h); err != nil || r.Keyspace != "default" || r.Txn == "" || !slices.Equal(r.Groups, []uint64{2, 4}) || r.Met != "linearizable" || r.Asked != "default" {
		t.Errorf("of a transaction over shards: %+v, %v", r, err)
	}
	h.Set(HeaderGroups, "2,x")
	if _, err = ReceiptOf("x", h); err == nil || !strings.Contains(err.Error(), HeaderGroups) {
		t.Errorf("groups: %v", err)
	}
	h.Del(HeaderGroups)
	for name, text := range map[string]string{HeaderGroup: "x", HeaderVersion: "-1", HeaderPosition: "", HeaderAsOf: "yesterday"} {
		bad := h.Clone()
		bad.Set(name, text)
		if _, err := ReceiptOf("default", bad); (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%s %q: %v", name, text, err)
		}
	}
}

// sessions make the default keyspace one whose token is the longest that was seen.
func sessions(ks *kv.Keyspace) {
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

func TestSessionsTravelInTheirHeader(t *testing.T) {
	d := newDoor(t)
	ks := &d.fake.keyspaces["default"].Keyspace
	var brought []byte
	answer := []byte("seen 1")
	d.fake.refuse = func(c *kv.Call) kv.Result {
		brought = bytes.Clone(c.Command.Token)
		return kv.Result{Code: kv.NotFound, Token: answer}
	}
	d.wantError(400, "bad_token", d.ask("GET", a, "", "Gamut-Session: "+kv.FormatToken([]byte("seen"))))
	sessions(ks)
	w := d.ask("GET", a, "")
	token := w.Header().Get(HeaderSession)
	if token != kv.FormatToken(answer) || len(brought) != 0 {
		t.Fatalf("%q after %q was brought", token, brought)
	}
	answer = []byte("seen")
	if got := d.ask("GET", a, "", "Gamut-Session: "+token).Header().Get(HeaderSession); got != token || string(brought) != "seen 1" {
		t.Errorf("the door dropped the token or put it back: %q, brought %q", got, brought)
	}
	brought = nil
	for _, bad := range []string{"!", token[:len(token)-1] + "?", kv.FormatToken([]byte("foreign"))} {
		d.wantError(400, "bad_token", d.ask("GET", a, "", "Gamut-Session: "+bad))
		d.wantError(400, "bad_token", d.ask("PUT", a, "v", "Gamut-Session: "+bad))
		d.wantError(400, "bad_token", d.ask("GET", "/v1/keyspaces/default/keys", "", "Gamut-Session: "+bad))
		d.wantError(400, "bad_token", d.ask("POST", "/v1/txn", `{"operations":[{"op":"get","key":"a"}]}`, "Gamut-Session: "+bad))
	}
	if brought != nil {
		t.Errorf("a bad token reached the node: %q", brought)
	}
}

func TestBoundedLevelReachesTheNode(t *testing.T) {
	d := newDoor(t)
	var asked []kv.Level
	d.fake.refuse = func(c *kv.Call) kv.Result {
		asked = append(asked, c.Command.Level)
		return kv.Result{Code: kv.NotFound}
	}
	d.ask("GET", a, "", "Gamut-Level: bounded:250ms")
	d.ask("GET", "/v1/keyspaces/default/keys", "", "Gamut-Level: bounded:3v")
	if len(asked) != 2 || asked[0] != kv.BoundedAge(250*time.Millisecond) || asked[1] != kv.BoundedVersions(3) {
		t.Errorf("asked for %v", asked)
	}
	d.wantError(400, "invalid", d.ask("GET", a, "", "Gamut-Level: bounded"))
}
