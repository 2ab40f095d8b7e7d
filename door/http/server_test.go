package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

type door struct {
	t    *testing.T
	fake *fake
	*Server
}

func newDoor(t *testing.T) *door {
	f := newFake()
	return &door{t, f, New(f, f, Options{Deadline: 100 * time.Millisecond})}
}

// ask sends a request; headers are "Name: value".
func (d *door) ask(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	return w
}

// want checks the status and returns the answer.
func (d *door) want(status int, w *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	d.t.Helper()
	if w.Code != status {
		d.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	return w
}

// wantError checks an answer that is not a success.
func (d *door) wantError(status int, name string, w *httptest.ResponseRecorder) ErrorBody {
	d.t.Helper()
	d.want(status, w)
	var e ErrorBody
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		d.t.Fatalf("%v: %s", err, w.Body)
	}
	if e.Error != name || e.Detail == "" {
		d.t.Fatalf("answer %+v, want %s with a detail", e, name)
	}
	return e
}

const a = "/v1/keyspaces/default/keys/a"

func TestValueComesBackAsItWas(t *testing.T) {
	d := newDoor(t)
	w := d.want(204, d.ask("PUT", a, "x\x00\xff", "Gamut-Flags: 7"))
	version := w.Header().Get(HeaderVersion)
	w = d.want(200, d.ask("GET", a, ""))
	if w.Body.String() != "x\x00\xff" || w.Header().Get(HeaderFlags) != "7" || w.Header().Get(HeaderVersion) != version || version == "" {
		t.Fatalf("got %q %v", w.Body, w.Header())
	}
	if got := w.Header().Get(HeaderLevel); got != "linearizable" {
		t.Fatalf("level met %q", got)
	}
	d.want(304, d.ask("GET", a, "", "If-None-Match: "+w.Header().Get("ETag")))
	w = d.want(200, d.ask("HEAD", a, ""))
	if w.Header().Get("Content-Length") != "3" || w.Body.Len() != 0 {
		t.Fatalf("HEAD: %v %q", w.Header(), w.Body)
	}
	d.want(204, d.ask("DELETE", a, ""))
	d.wantError(404, "not_found", d.ask("GET", a, ""))
	d.wantError(404, "not_found", d.ask("DELETE", a, ""))
}

func TestKeysAreAnyBytes(t *testing.T) {
	for _, key := range []string{"", "a//b", "..", "a/../b", "/", "ключ", "\x00\xff", "%41", "a?b#c d+e"} {
		d := newDoor(t)
		path := "/v1/keyspaces/default/keys/" + url.PathEscape(key)
		d.want(204, d.ask("PUT", path, "v"))
		lines := scanLines(t, d.want(200, d.ask("GET", "/v1/keyspaces/default/keys", "")))
		got, err := lines[0].KeyBytes()
		if err != nil || string(got) != key {
			t.Errorf("key %q came back as %q, %v", key, got, err)
		}
		d.want(200, d.ask("GET", path, ""))
	}
	d := newDoor(t)
	d.want(204, d.ask("PUT", "/v1/keyspaces/default/keys/raw//slashes/../kept", "v"))
	d.want(200, d.ask("GET", "/v1/keyspaces/default/keys/raw%2f%2Fslashes%2f..%2fkept", ""))
}

func TestConditions(t *testing.T) {
	d := newDoor(t)
	d.wantError(404, "not_found", d.ask("PUT", a, "1", "If-Match: 5"))
	version := d.want(201, d.ask("PUT", a, "1", "If-None-Match: *")).Header().Get("ETag")
	if e := d.wantError(412, "condition_failed", d.ask("PUT", a, "2", "If-None-Match: *")); !strings.Contains(e.Detail, "exists") {
		t.Errorf("detail %q", e.Detail)
	}
	d.want(204, d.ask("PUT", a, "2", "If-Match: "+version))
	if e := d.wantError(412, "condition_failed", d.ask("PUT", a, "3", "If-Match: "+version)); !strings.Contains(e.Detail, version) {
		t.Errorf("detail %q", e.Detail)
	}
	d.wantError(412, "condition_failed", d.ask("DELETE", a, "", "If-Match: "+version))
	d.want(204, d.ask("DELETE", a, "", "If-Match: *"))
	d.wantError(404, "not_found", d.ask("PUT", a, "4", "If-Match: *"))
}

func TestExpiry(t *testing.T) {
	d := newDoor(t)
	w := d.want(204, d.ask("PUT", a+"?ttl=10s", "x"))
	if got := w.Header().Get(HeaderExpires); got != "2023-11-14T22:13:30.000Z" {
		t.Fatalf("expires %q", got)
	}
	d.want(204, d.ask("POST", a+"?op=append", "y"))
	d.fake.now = d.fake.now.Add(9 * time.Second)
	if got := d.want(200, d.ask("GET", a, "")).Body.String(); got != "xy" {
		t.Fatalf("value %q", got)
	}
	d.want(204, d.ask("POST", a+"?op=expire&ttl=5", ""))
	d.fake.now = d.fake.now.Add(4 * time.Second)
	d.want(204, d.ask("POST", a+"?op=persist", ""))
	d.fake.now = d.fake.now.Add(time.Hour)
	d.want(200, d.ask("GET", a, ""))
	d.want(204, d.ask("PUT", a, "x", "Gamut-TTL: 1ms"))
	d.fake.now = d.fake.now.Add(time.Millisecond)
	d.wantError(404, "not_found", d.ask("GET", a, ""))
	d.wantError(404, "not_found", d.ask("POST", a+"?op=expire&ttl=5", ""))
}

func TestIncrement(t *testing.T) {
	d := newDoor(t)
	for by, want := range []string{"1", "3", "1", "0"} {
		if got := d.want(200, d.ask("POST", fmt.Sprintf("%s?op=incr&by=%d", a, []int{1, 2, -2, -1}[by]), "")).Body.String(); got != want {
			t.Fatalf("counter %s, want %s", got, want)
		}
	}
	d.want(204, d.ask("PUT", a, "text"))
	d.wantError(409, "not_integer", d.ask("POST", a+"?op=incr", ""))
	d.want(204, d.ask("PUT", a, "9223372036854775807"))
	d.wantError(409, "overflow", d.ask("POST", a+"?op=incr", ""))
}

func TestRetryWithOneRequestIDExecutesOnce(t *testing.T) {
	d := newDoor(t)
	d.fake.now = time.Now()
	id := fmt.Sprintf("%012x%020x", d.fake.now.UnixMilli(), 7)
	for range 3 {
		w := d.want(200, d.ask("POST", a+"?op=incr", "", "Gamut-Request: "+id+"-1"))
		if w.Body.String() != "1" {
			t.Fatalf("counter %s after a retry", w.Body)
		}
	}
	if w := d.want(200, d.ask("POST", a+"?op=incr", "", "Gamut-Request: "+id+"-2-1")); w.Body.String() != "2" {
		t.Fatalf("counter %s", w.Body)
	}
}

func TestMalformedRequestsSayWhatIsWrong(t *testing.T) {
	id := strings.Repeat("0", 32)
	for _, c := range []struct {
		method, target, body, header, name, detail string
		status                                     int
	}{
		{"GET", "/v1/keyspaces/none/keys/a", "", "", "no_keyspace", `"none"`, 404},
		{"GET", "/v1/keyspaces/none/keys", "", "", "no_keyspace", `"none"`, 404},
		{"GET", "/v1/keyspaces/none", "", "", "no_keyspace", `"none"`, 404},
		{"PATCH", a, "", "", "method", "PATCH", 405},
		{"GET", "/v1/keyspaces/default/keys/" + strings.Repeat("k", kv.KeyMax+1), "", "", "invalid", "4097", 400},
		{"GET", a, "", "Gamut-Level: strongest", "invalid", "strongest", 400},
		{"PUT", a, "", "Gamut-Request: 12-1", "invalid", "Gamut-Request", 400},
		{"PUT", a, "", "Gamut-Request: " + id + "-0", "invalid", "Gamut-Request", 400},
		{"PUT", a, "", "Gamut-Request: " + id + "-3-3", "invalid", "Gamut-Request", 400},
		{"PUT", a, "", "Gamut-Request: " + strings.Repeat("x", 32) + "-1", "invalid", "Gamut-Request", 400},
		{"PUT", a, "", "Gamut-Flags: -1", "invalid", "Gamut-Flags", 400},
		{"PUT", a, "", "If-Match: W/abc", "invalid", "version", 400},
		{"PUT", a, "", `If-None-Match: "3"`, "invalid", "If-None-Match", 400},
		{"PUT", a + "?tll=10s", "", "", "invalid", "tll", 400},
		{"PUT", a + "?ttl=soon", "", "", "invalid", "soon", 400},
		{"PUT", a + "?ttl=-1s", "", "", "invalid", "at least", 400},
		{"PUT", a + "?ttl=0", "", "", "invalid", "at least", 400},
		{"PUT", a + "?ttl=1s", "", "Gamut-TTL: 1s", "invalid", "once", 400},
		{"POST", a + "?op=frob", "", "", "invalid", "frob", 400},
		{"POST", a + "?op=incr&by=1.5", "", "", "invalid", "1.5", 400},
		{"POST", a + "?op=expire", "", "", "invalid", "ttl", 400},
		{"GET", "/v1/keyspaces/default/keys?limit=x", "", "", "invalid", "limit", 400},
		{"GET", "/v1/keyspaces/default/keys?values=x", "", "", "invalid", "values", 400},
		{"GET", "/v1/keyspaces/default/keys?match=x", "", "", "invalid", "match", 400},
		{"POST", "/v1/txn", "", "", "invalid", "JSON", 400},
		{"POST", "/v1/txn", `{"operations":[]}`, "", "invalid", "operations", 400},
		{"POST", "/v1/txn", `{"keyspace":"none","operations":[{"op":"get"}]}`, "", "no_keyspace", "none", 404},
		{"POST", "/v1/txn", `{"operations":[{"op":"frob"}]}`, "", "invalid", "operation 0", 400},
		{"POST", "/v1/txn", `{"operations":[{"op":"put","key":"a"}]}`, "", "invalid", "needs a value", 400},
		{"POST", "/v1/txn", `{"operations":[{"op":"get","key":"a","ttl":"1s"}]}`, "", "invalid", "no ttl", 400},
		{"POST", "/v1/txn", `{"operations":[{"op":"expire","key":"a"}]}`, "", "invalid", "ttl", 400},
		{"POST", "/v1/txn", `{"operations":[{"op":"get","key64":"!"}]}`, "", "invalid", "base64", 400},
		{"POST", "/v1/txn", `{"operations":[{"op":"get","key":"a","kye":"b"}]}`, "", "invalid", "kye", 400},
		{"POST", "/v1/txn", `{"operations":[{"op":"get","key":"a"}]} x`, "", "invalid", "follows", 400},
		{"POST", "/v1/txn", `{"conditions":[{"key":"a","absent":true,"present":true}],"operations":[{"op":"get"}]}`, "", "invalid", "condition 0", 400},
		{"POST", "/v1/keyspaces", `{"nam":"x"}`, "", "invalid", "nam", 400},
		{"POST", "/v1/keyspaces", `{"name":"default"}`, "", "exists", "default", 409},
		{"DELETE", "/v1/keyspaces/none", "", "", "no_keyspace", "none", 404},
		{"POST", "/v1/groups/x/handoff?to=2", "", "", "invalid", "x", 400},
		{"POST", "/v1/groups/7/handoff", "", "", "invalid", "to", 400},
		{"GET", "/v1/groups/7/digest?index=1", "", "", "invalid", "checkpoint", 400},
		{"GET", "/nowhere", "", "", "no_such_path", "/nowhere", 404},
	} {
		t.Run(c.method+" "+strings.ReplaceAll(c.target[:min(len(c.target), 60)], "/", " ")+c.header+c.body, func(t *testing.T) {
			d := newDoor(t)
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			e := d.wantError(c.status, c.name, d.ask(c.method, c.target, c.body, headers...))
			if !strings.Contains(e.Detail, c.detail) || e.Outcome != "definite" {
				t.Errorf("answer %+v, want a definite one with %q", e, c.detail)
			}
		})
	}
}

func TestTooLongBodyNamesTheLimit(t *testing.T) {
	d := newDoor(t)
	for _, length := range []int64{BodyMax + 1, -1} {
		r := httptest.NewRequest("PUT", a, io.LimitReader(zeros{}, BodyMax+1))
		r.ContentLength = length
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, r)
		if e := d.wantError(413, "too_large", w); !strings.Contains(e.Detail, "8388608") {
			t.Errorf("detail %q", e.Detail)
		}
	}
	r := httptest.NewRequest("PUT", a, io.LimitReader(zeros{}, BodyMax))
	r.ContentLength = BodyMax
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	d.want(204, w)
	if held := d.held.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
	d.opts.HeldMax = BodyMax - 1
	w = d.ask("GET", a, "")
	d.wantError(429, "busy", w)
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestEveryCodeHasAnAnswer(t *testing.T) {
	names := map[string]bool{}
	for i := range 256 {
		code := kv.Code(i)
		if strings.HasPrefix(code.String(), "code ") || code == kv.OK {
			continue
		}
		d := newDoor(t)
		d.fake.refuse = func(*kv.Call) kv.Result { return kv.Result{Code: code, Detail: "because"} }
		name := answers[code].name
		w := d.ask("PUT", a, "x")
		e := d.wantError(answers[code].status, name, w)
		if names[name] || name == "" {
			t.Errorf("%v has the name %q, which another code has too", code, name)
		}
		names[name] = true
		if back, ok := CodeNamed(name); !ok || back != code {
			t.Errorf("%q leads back to %v", name, back)
		}
		unknown := e.Outcome == "unknown" && w.Header().Get(HeaderOutcome) == "unknown" && w.Code == 504
		if unknown == code.Definite() {
			t.Errorf("%v is answered %d %+v", code, w.Code, e)
		}
	}
}

func scanLines(t *testing.T, w *httptest.ResponseRecorder) (records []Record) {
	t.Helper()
	for line := range strings.Lines(w.Body.String()) {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

func TestScanMergesShardsInKeyOrder(t *testing.T) {
	d := newDoor(t)
	var want []string
	for i := range 3000 {
		key := fmt.Sprintf("k%04d", i)
		want = append(want, key)
		d.want(204, d.ask("PUT", "/v1/keyspaces/wide/keys/"+key, "v"+key))
	}
	d.want(204, d.ask("PUT", "/v1/keyspaces/wide/keys/other", "v"))
	for _, values := range []string{"true", "false"} {
		var got []string
		for _, r := range scanLines(t, d.want(200, d.ask("GET", "/v1/keyspaces/wide/keys?prefix=k&values="+values, ""))) {
			got = append(got, r.Key)
			if value, _ := r.ValueBytes(); (values == "true") != (string(value) == "v"+r.Key) || r.Version == 0 {
				t.Fatalf("record %+v", r)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d keys, want %d in order", len(got), len(want))
		}
	}
	if held := d.held.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

func TestScanGoesOnWhereItWasCut(t *testing.T) {
	d := newDoor(t)
	var want, got []string
	for i := range 25 {
		key := fmt.Sprintf("k\xff%02d", i)
		want = append(want, key)
		d.want(204, d.ask("PUT", "/v1/keyspaces/wide/keys/"+url.PathEscape(key), "v"))
	}
	from, cuts := "", 0
	for {
		w := d.want(200, d.ask("GET", "/v1/keyspaces/wide/keys?prefix=k&limit=10&from="+url.QueryEscape(from), ""))
		body := bytes.TrimSpace(w.Body.Bytes())
		lines := bytes.Split(body, []byte("\n"))
		var next Next
		if err := json.Unmarshal(lines[len(lines)-1], &next); err != nil {
			t.Fatal(err)
		}
		for _, r := range scanLines(t, w) {
			if key, _ := r.KeyBytes(); len(key) > 0 {
				got = append(got, string(key))
			}
		}
		if next.Next64 == "" {
			break
		}
		b, _ := bytesOf(nil, next.Next64)
		from = string(b)
		if trailer, _ := url.PathUnescape(w.Result().Trailer.Get(HeaderNext)); trailer != from {
			t.Fatalf("trailer %q, last line %q", trailer, from)
		}
		cuts++
	}
	if !slices.Equal(got, want) || cuts != 2 {
		t.Fatalf("%d cuts, keys %q", cuts, got)
	}
}

func TestScanThatFailsOnTheWaySaysWhereToGoOn(t *testing.T) {
	d := newDoor(t)
	for i := range 3 * scanKeysPage {
		d.want(204, d.ask("PUT", fmt.Sprintf("/v1/keyspaces/default/keys/%05d", i), ""))
	}
	pages := 0
	d.fake.refuse = func(*kv.Call) kv.Result {
		if pages++; pages > 2 {
			return kv.Result{Code: kv.Unavailable, Detail: "no majority"}
		}
		return kv.Result{}
	}
	w := d.want(200, d.ask("GET", "/v1/keyspaces/default/keys", ""))
	lines := bytes.Split(bytes.TrimSpace(w.Body.Bytes()), []byte("\n"))
	var last Next
	if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil {
		t.Fatal(err)
	}
	if last.ErrorBody == nil || last.Error != "unavailable" || last.Next != "01999\x00" || len(lines) != 2*scanKeysPage+1 {
		t.Fatalf("%d lines, last %+v %+v", len(lines), last, last.ErrorBody)
	}
	d.wantError(503, "unavailable", d.ask("GET", "/v1/keyspaces/default/keys", ""))
}

func TestTransaction(t *testing.T) {
	d := newDoor(t)
	body := `{"conditions":[{"key":"a","absent":true}],"operations":[
		{"op":"put","key":"a","value":"1","ttl":"1h"},{"op":"incr","key":"a","by":4},{"op":"get","key":"a"},
		{"op":"put","key64":"/w==","value64":"/g=="},{"op":"delete","key":"missing"}]}`
	var answer struct{ Results []TxnResult }
	w := d.want(200, d.ask("POST", "/v1/txn", body))
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	r := answer.Results
	if len(r) != 5 || *r[1].Int != 5 || *r[2].Value != "5" || r[2].Expires == "" || r[4].Result != "not_found" {
		t.Fatalf("%s", w.Body)
	}
	if got := d.want(200, d.ask("GET", "/v1/keyspaces/default/keys/%ff", "")).Body.String(); got != "\xfe" {
		t.Fatalf("value %q", got)
	}
	d.wantError(409, "condition_failed", d.ask("POST", "/v1/txn", body))
	w = d.want(200, d.ask("POST", "/v1/txn", `{"conditions":[{"key":"a","value":"5"}],"operations":[{"op":"get","key":"a"}]}`))
	if !strings.Contains(w.Body.String(), `"value":"5"`) {
		t.Fatalf("%s", w.Body)
	}
}

func TestTransactionOverShards(t *testing.T) {
	d := newDoor(t)
	var ops []string
	for i := range 20 {
		ops = append(ops, fmt.Sprintf(`{"op":"put","key":"k%d","value":"v"}`, i))
	}
	w := d.want(200, d.ask("POST", "/v1/txn", `{"keyspace":"wide","operations":[`+strings.Join(ops, ",")+`]}`))
	var body TxnBody
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Results) != 20 || body.ID == "" || body.Branch != "" {
		t.Fatalf("%v, %s", err, w.Body)
	}
	if w.Header().Get(HeaderTxn) != body.ID || w.Header().Get(HeaderLevel) != "linearizable" {
		t.Errorf("headers %v", w.Header())
	}
	d.want(200, d.ask("GET", "/v1/keyspaces/wide/keys/k19", ""))
	w = d.want(200, d.ask("GET", "/v1/txn/"+body.ID, ""))
	if !strings.Contains(w.Body.String(), `"outcome":"committed"`) {
		t.Errorf("%s", w.Body)
	}
	d.wantError(400, "invalid", d.ask("GET", "/v1/txn/none", ""))
	d.wantError(409, "too_old", d.ask("GET", "/v1/txn/"+strings.Repeat("ab", 28), ""))
}

func TestTransactionOverKeyspacesWithElse(t *testing.T) {
	d := newDoor(t)
	const body = `{"conditions":[{"keyspace":"wide","key":"a","absent":true}],"operations":[{"op":"put","key":"b","value":"1"},
		{"op":"put","keyspace":"wide","key":"a","value":"2"}],"else":[{"op":"incr","key":"b"}]}`
	for _, want := range []string{`"branch":"then"`, `"branch":"else"`} {
		w := d.want(200, d.ask("POST", "/v1/txn", body))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("want %s in %s", want, w.Body)
		}
	}
	if got := d.want(200, d.ask("GET", "/v1/keyspaces/default/keys/b", "")).Body.String(); got != "2" {
		t.Errorf("b is %q", got)
	}
	d.wantError(404, "no_keyspace", d.ask("POST", "/v1/txn", `{"operations":[{"op":"put","keyspace":"nowhere","key":"a","value":"1"}]}`))
	d.wantError(400, "invalid", d.ask("POST", "/v1/txn", `{"operations":[{"op":"get","key":"a"}],"else":[{"op":"dance","key":"a"}]}`))
	e := d.wantError(409, "condition_failed", d.ask("POST", "/v1/txn", `{"conditions":[{"key":"b","present":true},{"keyspace":"wide","key":"a","absent":true}],"operations":[{"op":"get","key":"b"}]}`))
	if e.Detail != "condition 1 does not hold; nothing was done" {
		t.Errorf("detail %q", e.Detail)
	}
}

func TestTransactionOverShardsFails(t *testing.T) {
	d := newDoor(t)
	const body = `{"operations":[{"op":"put","key":"a","value":"1"},{"op":"put","keyspace":"wide","key":"a","value":"2"}]}`
	for code, want := range map[kv.Code]int{kv.Aborted: 409, kv.Unknown: 504, kv.Unavailable: 503} {
		d.fake.refuse = func(*kv.Call) kv.Result { return kv.Result{Code: code, Detail: "so it is"} }
		w := d.ask("POST", "/v1/txn", body)
		d.want(want, w)
		if w.Header().Get(HeaderTxn) == "" || (w.Header().Get(HeaderOutcome) == "unknown") != (code == kv.Unknown) {
			t.Errorf("%v: headers %v", code, w.Header())
		}
	}
	d.fake.refuse = nil
	d.wantError(400, "unsupported", d.ask("POST", "/v1/txn", body, HeaderLevel+": eventual"))
	d.wantError(400, "unsupported", d.ask("POST", "/v1/txn", body, HeaderRequest+": 0190c5f5a000000000000000000000aa-1-0"))
}

func TestOperatorsTree(t *testing.T) {
	d := newDoor(t)
	for _, c := range []struct {
		method, target, body, want string
		status                     int
	}{
		{"GET", "/v1/keyspaces", "", `"name":"wide"`, 200},
		{"GET", "/v1/keyspaces/wide", "", `"explain":["reads see`, 200},
		{"POST", "/v1/keyspaces", `{"name":"new","shards":2}`, `"new"`, 201},
		{"PUT", "/v1/keyspaces/new/keys/x", "1", "", 204},
		{"DELETE", "/v1/keyspaces/new", "", `"dropped":"new"`, 200},
		{"GET", "/v1/status", "", `"cluster":"test"`, 200},
		{"GET", "/livez", "", "ok", 200},
		{"GET", "/readyz", "", "ready", 200},
		{"POST", "/v1/groups/7/handoff?to=3", "", `"to":3`, 200},
		{"GET", "/v1/groups/7/values?from=k&limit=3", "", `"values":3,"bytes":0,"bad":[{"key":"aw==","sum":"7","size":0,"fault":"missing"}]`, 200},
		{"POST", "/v1/groups/7/checkpoint", "", `"index":99`, 200},
		{"GET", "/v1/groups/7/state?index=99&from=%ff&limit=5", "", `"key":"/w==","record":"N0A5OS81"`, 200},
		{"GET", "/v1/groups/7/digest?index=99", "", `"digest":"abc"`, 200},
		{"GET", "/v1/groups/7/blocks?from=4&payload=true", "", `"index":4`, 200},
		{"GET", "/metrics", "", `gamut_group_replica_lag{group="7",keyspace="default",replica="2",shard="0"} 7`, 200},
		{"GET", "/metrics", "", `gamut_commands_total 42`, 200},
		{"GET", "/metrics", "", `gamut_peer_clock_skew_seconds{peer="2"} -0.02`, 200},
		{"GET", "/metrics", "", `gamut_requests_total{code="204",door="http"} 1`, 200},
		// A limit of 0 makes the fake hang until the door's deadline.
		{"GET", "/v1/groups/7/blocks?limit=0", "", `"outcome":"unknown"`, 504},
	} {
		if w := d.want(c.status, d.ask(c.method, c.target, c.body)); !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: no %s in %s", c.method, c.target, c.want, w.Body)
		}
	}
	d.fake.notReady = errors.New("no leader of the system group is known")
	if e := d.wantError(503, "not_ready", d.ask("GET", "/readyz", "")); !strings.Contains(e.Detail, "system group") {
		t.Errorf("detail %q", e.Detail)
	}
	d.want(200, d.ask("GET", "/livez", ""))
	// What a node does not know before it is ready may be there all the same.
	for _, target := range []string{"/v1/keyspaces/elsewhere/keys/k", "/v1/keyspaces/elsewhere"} {
		if e := d.wantError(503, "unavailable", d.ask("GET", target, "")); !strings.Contains(e.Detail, `"elsewhere" is not known to it: no leader`) {
			t.Errorf("detail %q", e.Detail)
		}
		d.fake.notReady = nil
		d.wantError(404, "no_keyspace", d.ask("GET", target, ""))
		d.fake.notReady = errors.New("no leader")
	}
}

func TestPageOfAnotherOriginMayNotWrite(t *testing.T) {
	d := newDoor(t)
	d.wantError(403, "cross_origin", d.ask("PUT", a, "x", "Origin: http://evil.example"))
	d.wantError(403, "cross_origin", d.ask("POST", "/v1/groups/7/checkpoint", "", "Sec-Fetch-Site: cross-site"))
}

func TestDebugListensOnTheLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "10.0.0.1:0", "example.com:0", "nonsense"} {
		if ln, err := ListenDebug(address); err == nil {
			ln.Close()
			t.Errorf("%s was accepted", address)
		}
	}
	ln, err := ListenDebug("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewDebug()
	go s.Serve(ln)
	defer s.Close()
	resp, err := http.Get("http://" + ln.Addr().String() + "/debug/pprof/cmdline")
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
}

func FuzzKeyPath(f *testing.F) {
	for _, seed := range []string{"/v1/keyspaces/default/keys/a", "/v1/keyspaces//keys/", "/v1/keyspaces/x/keys/%zz", "/v1/keyspaces/x/keys/%00/..//"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		keyspace, key, ok := splitKeyPath(path)
		if ok && "/v1/keyspaces/"+keyspace+"/keys/"+key != path {
			t.Fatalf("%q was taken apart as %q and %q", path, keyspace, key)
		}
		if decoded, err := decodeKey(key); ok && err == nil {
			again, err := decodeKey(url.PathEscape(string(decoded)))
			if err != nil || !bytes.Equal(again, decoded) {
				t.Fatalf("%q: %q, then %q, %v", key, decoded, again, err)
			}
		}
	})
}

func FuzzTxn(f *testing.F) {
	f.Add([]byte(`{"keyspace":"default","conditions":[{"key":"a","version":3}],"operations":[{"op":"put","key":"a","value":"b"}]}`))
	f.Add([]byte(`{"operations":[{"op":"incr","key64":"/w==","by":-1},{"op":"expire","key":"a","ttl":"1h"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		txn, err := parseTxn(body)
		if err != nil {
			return
		}
		var cmd kv.Command
		if txn.command(&cmd) == nil && len(cmd.Ops) != len(txn.Operations) {
			t.Fatalf("%d operations became %d", len(txn.Operations), len(cmd.Ops))
		}
	})
}

// TestShutdownDoesNotWaitForConnectionsThatAskedNothing: http.Server gives each of them seconds to say something.
func TestShutdownDoesNotWaitForConnectionsThatAskedNothing(t *testing.T) {
	d := newDoor(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- d.Serve(ln) }()
	silent, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// Connections are accepted in turn: when this one is answered, the first is known.
	resp, err := http.Get("http://" + ln.Addr().String() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	if err := d.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
