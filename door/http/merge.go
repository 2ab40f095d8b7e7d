package http

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/gamutdb/gamut/kv"
)

// Sets and siblings, which keyspaces have that merge what replicas have taken alone.

// contextOf is what a write says that it replaces.
func contextOf(r *http.Request) ([]byte, error) {
	text := r.Header.Get(HeaderContext)
	if text == "" {
		return nil, nil
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil, invalid("%s goes with what replaces values, not with a read", HeaderContext)
	}
	return kv.ParseContext(text)
}

// setContext tells with a read where siblings are kept what its context is, and how many values there are beside this one.
func setContext(h http.Header, ks *kv.Keyspace, c *kv.Call) {
	if !ks.Siblings || !c.Command.ReadOnly() || c.Result.Err() != nil {
		return
	}
	h.Set(HeaderContext, kv.FormatToken(c.Result.Token))
	h.Set(HeaderSiblings, strconv.FormatUint(uint64(c.Result.Siblings), 10))
}

// getOp is a GET: of a value, or as the parameter as says of a set or of all siblings.
func getOp(r *http.Request) (kv.Op, answerFunc, error) {
	query, err := parseQuery(r, "as", "member")
	if err != nil {
		return kv.Op{}, nil, err
	}
	as, member := query.Get("as"), query["member"]
	switch {
	case as == "set" && len(member) == 1:
		return kv.Op{Kind: kv.OpMember, Value: []byte(member[0])}, (*Server).answerNumber, nil
	case len(member) > 0:
		return kv.Op{}, nil, invalid("member= is asked for one by one, with as=set")
	case as == "":
		return kv.Op{Kind: kv.OpGet}, (*Server).answerGet, nil
	case as == "set":
		return kv.Op{Kind: kv.OpMembers}, (*Server).answerLines, nil
	case as == "count":
		return kv.Op{Kind: kv.OpMembers, Quiet: true}, (*Server).answerNumber, nil
	case as == "siblings":
		return kv.Op{Kind: kv.OpSiblings}, (*Server).answerLines, nil
	}
	return kv.Op{}, nil, invalid("as=%s is not one of set, count, siblings", as)
}

// eachMember is an operation for each of the members that a change of a set names.
func eachMember(op kv.Op, r *http.Request) ([]kv.Op, error) {
	if op.Kind != kv.OpInclude && op.Kind != kv.OpExclude {
		return []kv.Op{op}, nil
	}
	members := r.URL.Query()["member"]
	if len(members) == 0 {
		return nil, invalid("op=include and op=exclude need member=, once for each member")
	}
	ops := make([]kv.Op, len(members))
	for i, m := range members {
		ops[i] = op
		ops[i].Value = []byte(m)
	}
	return ops, nil
}

// answerChanged answers how many members were put into a set, or taken out.
func (s *Server) answerChanged(w http.ResponseWriter, r *http.Request, res *kv.Result) {
	items := res.Items
	if len(items) == 0 {
		items = []kv.Result{*res}
	}
	n := int64(0)
	include := r.URL.Query().Get("op") == "include"
	for i := range items {
		switch code := items[i].Code; {
		case code == kv.OK && !(include && items[i].Existed):
			n++
		case code != kv.OK && code != kv.NotFound:
			s.failCode(w, code, items[i].Detail)
			return
		}
	}
	answerText(w, n)
}

// answerNumber answers what is not there with 0.
func (s *Server) answerNumber(w http.ResponseWriter, _ *http.Request, res *kv.Result) {
	if res.Code != kv.OK && res.Code != kv.NotFound {
		s.failCode(w, res.Code, res.Detail)
		return
	}
	answerText(w, res.Int)
}

func answerText(w http.ResponseWriter, n int64) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write(strconv.AppendInt(nil, n, 10)) // the client may be gone: nobody is left to tell
}

// answerLines answers with a line of JSON for each of several values of a key.
func (s *Server) answerLines(w http.ResponseWriter, _ *http.Request, res *kv.Result) {
	if res.Code != kv.OK {
		s.failCode(w, res.Code, res.Detail)
		return
	}
	size := int64(0)
	for i := range res.Items {
		size += int64(len(res.Items[i].Value))
	}
	if err := s.hold(size); err != nil {
		s.fail(w, err)
		return
	}
	defer s.release(size)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	lines := json.NewEncoder(w)
	for i := range res.Items {
		one := RecordOf(&res.Items[i], true)
		if one.Stamp = res.Items[i].Stamp(); lines.Encode(one) != nil {
			return // the client is gone
		}
	}
}
