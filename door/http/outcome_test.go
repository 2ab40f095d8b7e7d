package http

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestUnknownWriteNamesItself: the header has the id that GET /v1/outcome takes, and asking decides it.
func TestUnknownWriteNamesItself(t *testing.T) {
	d := newDoor(t)
	number := kv.Session{Seq: 9}
	binary.BigEndian.PutUint64(number.Client[:], uint64(d.fake.now.UnixMilli())<<16)
	d.fake.refuse = func(*kv.Call) kv.Result { return kv.Result{Code: kv.Unknown, Detail: "no answer", Request: &number} }
	want := kv.RequestID{Keyspace: "default", Key: []byte("a"), Session: number}.String()
	for _, w := range []*httptest.ResponseRecorder{d.ask("PUT", a, "x"), d.ask("POST", "/v1/txn", `{"operations":[{"op":"put","key":"a","value":"x"}]}`)} {
		if got := d.want(http.StatusGatewayTimeout, w).Header().Get(HeaderOutcomeID); got != want {
			t.Errorf("id %q, want %q", got, want)
		}
	}
	d.fake.refuse = nil
	for _, target := range []string{want, number.Number() + "?key=a", number.Number() + "?keyspace=default&key=a"} {
		if w := d.want(http.StatusOK, d.ask("GET", "/v1/outcome/"+target, "")); !strings.Contains(w.Body.String(), `"outcome":"not done"`) {
			t.Errorf("%s: %s", target, w.Body)
		}
	}
	d.wantError(http.StatusConflict, "fenced", d.ask("PUT", a, "x", HeaderRequest+": "+number.Number()))
	d.want(http.StatusNoContent, d.ask("PUT", a, "x", HeaderRequest+": "+number.Number()+"0"))
	if w := d.want(http.StatusOK, d.ask("GET", "/v1/outcome/"+want+"0", "")); !strings.Contains(w.Body.String(), `"outcome":"done","result":"ok"`) {
		t.Errorf("%s", w.Body)
	}
	for _, target := range []string{"x", "a.b.c", number.Number(), "x?key=a"} {
		d.wantError(http.StatusBadRequest, "invalid", d.ask("GET", "/v1/outcome/"+target, ""))
	}
	d.wantError(http.StatusNotFound, "no_keyspace", d.ask("GET", "/v1/outcome/nowhere.YQ."+number.Number(), ""))
}

func TestRequestNumbers(t *testing.T) {
	linearizable, causal := &kv.Keyspace{Consistency: kv.Linearizable}, &kv.Keyspace{Consistency: kv.Causal}
	client := strings.Repeat("ab", 16)
	for text, want := range map[string]string{"": "0", client + "-7": "7", client + "-7-3": "7 3", client + "-7; optional": "7", client + "-7-7": "bad",
		client + "-0": "bad", client + "--7": "bad", client + "-7-": "bad", client: "bad", client + "-1-2-3": "bad"} {
		s, err := parseSession(linearizable, text)
		got := "bad"
		switch {
		case err != nil:
		case s.Acked != 0:
			got = s.Number()[33:] + " 3"
		case s.IsZero():
			got = "0"
		default:
			got = s.Number()[33:]
		}
		if got != want {
			t.Errorf("%q is %s (%+v, %v), want %s", text, got, s, err, want)
		}
	}
	if s, err := parseSession(causal, client+"-7; optional"); err != nil || !s.IsZero() {
		t.Errorf("where there is no table: %+v, %v", s, err)
	}
}
