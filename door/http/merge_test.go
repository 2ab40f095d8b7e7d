package http

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestSetsAndSiblings asks in every form, of a database that only says what it was asked.
func TestSetsAndSiblings(t *testing.T) {
	d := newDoor(t)
	ks := d.fake.Keyspace("default")
	ks.Siblings = true
	var asked kv.Command
	var answer kv.Result
	d.fake.answer = func(c *kv.Call) kv.Result {
		asked = c.Command
		return answer
	}
	for _, c := range []struct {
		method, query string
		headers       []string
		answer        kv.Result
		status        int
		body          string
		kind          kv.OpKind
	}{
		{"POST", "?op=include&member=a&member=b", nil, kv.Result{Items: []kv.Result{{Existed: true}, {}}}, 200, "1", kv.OpInclude},
		{"POST", "?op=include&member=a", nil, kv.Result{}, 200, "1", kv.OpInclude},
		{"POST", "?op=exclude&member=a", nil, kv.Result{Code: kv.NotFound}, 200, "0", kv.OpExclude},
		{"POST", "?op=include&member=a", nil, kv.Result{Code: kv.WrongType}, 409, "wrong_type", kv.OpInclude},
		{"POST", "?op=include", nil, kv.Result{}, 400, "member=", 0},
		{"GET", "?as=set", nil, kv.Result{Items: []kv.Result{{Value: []byte("a")}, {Value: []byte{0xff}}}}, 200, "{\"value\":\"a\"}\n{\"value64\":\"/w==\"}\n", kv.OpMembers},
		{"GET", "?as=set&member=a", nil, kv.Result{Int: 1}, 200, "1", kv.OpMember},
		{"GET", "?as=count", nil, kv.Result{Code: kv.NotFound}, 200, "0", kv.OpMembers},
		{"GET", "?as=siblings", nil, kv.Result{Items: []kv.Result{{Value: []byte("v"), Version: 1 << 16, Origin: 2}}}, 200, `"stamp":"1.0@2"`, kv.OpSiblings},
		{"GET", "?as=tree", nil, kv.Result{}, 400, "as=tree", 0},
		{"GET", "?member=a", nil, kv.Result{}, 400, "as=set", 0},
		{"GET", "?ttl=1", nil, kv.Result{}, 400, "means nothing here", 0},
		{"GET", "", []string{"Gamut-Context: c2Vlbg"}, kv.Result{}, 400, "not with a read", 0},
		{"PUT", "", []string{"Gamut-Context: !"}, kv.Result{}, 400, "bad_token", 0},
		{"PUT", "", []string{"Gamut-Context: c2Vlbg"}, kv.Result{}, 204, "", kv.OpSet},
	} {
		asked, answer = kv.Command{}, c.answer
		r := d.ask(c.method, a+c.query, "", c.headers...)
		if r.Code != c.status || !strings.Contains(r.Body.String(), c.body) {
			t.Errorf("%s %s: %d %s", c.method, c.query, r.Code, r.Body)
		}
		if c.kind != 0 && asked.Ops[0].Kind != c.kind || c.kind == 0 && asked.Ops != nil {
			t.Errorf("%s %s: asked %+v", c.method, c.query, asked)
		}
	}
	if string(asked.Context) != "seen" {
		t.Errorf("the context is %q", asked.Context)
	}
	answer = kv.Result{Value: []byte("v"), Siblings: 2, Token: []byte("seen")}
	h := d.want(200, d.ask("GET", a, "")).Header()
	if h.Get(HeaderSiblings) != "2" || h.Get(HeaderContext) != "c2Vlbg" {
		t.Errorf("%v", h)
	}
}
