package http

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// key serves one key: GET, HEAD, PUT, DELETE, and POST with an op.
func (s *Server) key(w http.ResponseWriter, r *http.Request, keyspace, encodedKey string) {
	if err := s.keyCommand(w, r, keyspace, encodedKey); err != nil {
		s.fail(w, err)
	}
}

func (s *Server) keyCommand(w http.ResponseWriter, r *http.Request, keyspace, encodedKey string) error {
	ks, err := s.keyspace(keyspace)
	if err != nil {
		return err
	}
	key, err := decodeKey(encodedKey)
	if err != nil {
		return err
	}
	level, err := kv.ParseLevel(r.Header.Get(HeaderLevel))
	if err != nil {
		return err
	}
	token, err := kv.ParseToken(ks, r.Header.Get(HeaderSession))
	if err != nil {
		return err
	}
	session, err := parseSession(ks, r.Header.Get(HeaderRequest))
	if err != nil {
		return err
	}
	receipt, err := parseSwitch(r.Header, HeaderReceipt)
	if err != nil {
		return err
	}
	context, err := contextOf(r)
	if err != nil {
		return err
	}
	op, answer, err := keyOp(r)
	if err != nil {
		return err
	}
	op.Key = key
	if err := ks.Stamped(&op, r.Header.Get(HeaderStamp)); err != nil {
		return err
	}
	if takesBody(op.Kind) {
		body, release, err := s.body(w, r)
		if err != nil {
			return err
		}
		defer release()
		op.Value = body
	}
	ops, err := eachMember(op, r)
	if err != nil {
		return err
	}
	s.do(ks, level, func(c *kv.Call) {
		if !op.Kind.ReadOnly() {
			c.Command.Session = session
		}
		c.Command.Token, c.Command.Context, c.Command.Receipt = token, context, receipt
		c.Command.Ops = append(c.Command.Ops, ops...)
	}, func(c *kv.Call) {
		res := &c.Result
		setSession(w.Header(), ks, token, res)
		setContext(w.Header(), ks, c)
		setOutcomeID(w.Header(), c)
		if res.Err() == nil {
			setLevel(w.Header(), ks, res)
			setReceipt(w.Header(), ks, c)
		}
		answer(s, w, r, res)
	})
	return nil
}

// parseSwitch reads a header that is on or off; absent is off.
func parseSwitch(h http.Header, name string) (on bool, err error) {
	switch text := h.Get(name); text {
	case "on":
		return true, nil
	case "", "off":
		return false, nil
	default:
		return false, invalid("%s: %s is neither on nor off", name, text)
	}
}

// receiptHeaders are those of a receipt's fields; what is not here has another header, which every answer has.
var receiptHeaders = map[string]string{"asked": HeaderAsked, "weak": HeaderWeak, "evicted": HeaderEvicted, "group": HeaderGroup, "groups": HeaderGroups, "txn": HeaderTxn, "stamp": HeaderStamp,
	"position": HeaderPosition, "as_of": HeaderAsOf}

// ReceiptOf reads what the headers of an answer about a keyspace say of how it was given.
func ReceiptOf(keyspace string, h http.Header) (r kv.Receipt, err error) {
	number := func(name string) (n uint64) {
		if text := h.Get(name); text != "" && err == nil {
			if n, err = strconv.ParseUint(text, 10, 64); err != nil {
				err = fmt.Errorf("header %s of the answer: %w", name, err)
			}
		}
		return n
	}
	r = kv.Receipt{Keyspace: keyspace, Asked: h.Get(HeaderAsked), Met: h.Get(HeaderLevel), Weak: h.Get(HeaderWeak) == "true", Evicted: h.Get(HeaderEvicted) == "true",
		Group: number(HeaderGroup), Version: number(HeaderVersion), Stamp: h.Get(HeaderStamp), Position: number(HeaderPosition),
		Token: h.Get(HeaderSession), Txn: h.Get(HeaderTxn)}
	if names := h.Get(HeaderKeyspaces); names != "" {
		r.Keyspace = names
	}
	if err == nil {
		if r.Groups, err = kv.ParseGroups(h.Get(HeaderGroups)); err != nil {
			err = fmt.Errorf("header %s of the answer: %w", HeaderGroups, err)
		}
	}
	if text := h.Get(HeaderAsOf); text != "" && err == nil {
		if r.AsOf, err = time.Parse(time.RFC3339Nano, text); err != nil {
			err = fmt.Errorf("header %s of the answer: %w", HeaderAsOf, err)
		}
	}
	return r, err
}

// setReceipt says how the answer was given, if that was asked for.
func setReceipt(h http.Header, ks *kv.Keyspace, c *kv.Call) {
	if !c.Command.Receipt {
		return
	}
	receipt := kv.NewReceipt(ks, c, &c.Result)
	tellReceipt(h, &receipt)
}

func tellReceipt(h http.Header, receipt *kv.Receipt) {
	for _, f := range receipt.Fields() {
		if name := receiptHeaders[f.Name]; name != "" {
			h.Set(name, f.Text)
		}
	}
}

// setSession tells the client all that it has seen now.
func setSession(h http.Header, ks *kv.Keyspace, before []byte, res *kv.Result) {
	if ks.MergeTokens != nil && len(res.Token) > 0 {
		h.Set(HeaderSession, kv.FormatToken(ks.MergeTokens(before, res.Token)))
	}
}

func takesBody(kind kv.OpKind) bool {
	return kind == kv.OpSet || kind == kv.OpAppend || kind == kv.OpPrepend
}

// answerFunc writes the result of one operation.
type answerFunc func(s *Server, w http.ResponseWriter, r *http.Request, res *kv.Result)

// keyOp reads what the request asks of its key, and how it is to be answered.
func keyOp(r *http.Request) (kv.Op, answerFunc, error) {
	switch r.Method {
	case http.MethodGet:
		return getOp(r)
	case http.MethodHead:
		return kv.Op{Kind: kv.OpGet, Quiet: true}, (*Server).answerHead, nil
	case http.MethodPut:
		op, err := setOp(r)
		return op, (*Server).answerWrite, err
	case http.MethodDelete:
		op := kv.Op{Kind: kv.OpDelete}
		return op, (*Server).answerWrite, parseConditions(&op, r.Header)
	case http.MethodPost:
		return postOp(r)
	}
	return kv.Op{}, nil, &problem{http.StatusMethodNotAllowed, "method", "a key takes GET, HEAD, PUT, DELETE and POST, not " + r.Method}
}

func setOp(r *http.Request) (kv.Op, error) {
	op := kv.Op{Kind: kv.OpSet}
	query, err := parseQuery(r, "ttl")
	if err != nil {
		return op, err
	}
	ttl := query.Get("ttl")
	if header := r.Header.Get(HeaderTTL); header != "" {
		if ttl != "" {
			return op, invalid("give the ttl once: in the query or as %s", HeaderTTL)
		}
		ttl = header
	}
	if err := parseTTL(&op, ttl); err != nil {
		return op, err
	}
	if op.Flags, err = parseFlags(r.Header.Get(HeaderFlags)); err != nil {
		return op, err
	}
	return op, parseConditions(&op, r.Header)
}

func postOp(r *http.Request) (kv.Op, answerFunc, error) {
	query, err := parseQuery(r, "op", "by", "ttl", "member")
	if err != nil {
		return kv.Op{}, nil, err
	}
	op := kv.Op{Expiry: kv.ExpireKeep}
	answer := (*Server).answerWrite
	switch name := query.Get("op"); name {
	case "incr":
		op.Kind, op.Delta = kv.OpIncr, 1
		if by := query.Get("by"); by != "" {
			if op.Delta, err = strconv.ParseInt(by, 10, 64); err != nil {
				return op, nil, invalid("by=%s is not a 64-bit integer", by)
			}
		}
		answer = (*Server).answerInt
	case "append":
		op.Kind = kv.OpAppend
	case "prepend":
		op.Kind = kv.OpPrepend
	case "expire":
		op.Kind = kv.OpExpire
		if query.Get("ttl") == "" {
			return op, nil, invalid("op=expire needs ttl=, such as ttl=90s; op=persist removes an expiry")
		}
		err = parseTTL(&op, query.Get("ttl"))
	case "include", "exclude":
		op = kv.Op{Kind: kv.OpInclude}
		if name == "exclude" {
			op.Kind = kv.OpExclude
		}
		answer = (*Server).answerChanged
	case "persist":
		op.Kind, op.Expiry = kv.OpExpire, kv.ExpireNever
	default:
		return op, nil, invalid("op=%s is not one of incr, append, prepend, expire, persist, include, exclude", name)
	}
	return op, answer, err
}

// parseQuery reads the query and refuses parameters that mean nothing here: a misspelt ttl must not store for ever.
func parseQuery(r *http.Request, known ...string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the query is malformed: %v", err)
	}
next:
	for name := range query {
		for _, k := range known {
			if name == k {
				continue next
			}
		}
		return nil, invalid("parameter %q means nothing here; known: %s", name, strings.Join(known, ", "))
	}
	return query, nil
}

// FormatExpiry is a record's expiry as this door writes it; empty for none.
func FormatExpiry(unixMilli int64) string {
	if unixMilli == 0 {
		return ""
	}
	return time.UnixMilli(unixMilli).UTC().Format("2006-01-02T15:04:05.000Z")
}

func setRecordHeaders(h http.Header, res *kv.Result) {
	if res.Version != 0 {
		version := strconv.FormatUint(res.Version, 10)
		h.Set(HeaderVersion, version)
		h.Set("ETag", `"`+version+`"`)
	}
	if res.ExpireAt != 0 {
		h.Set(HeaderExpires, FormatExpiry(res.ExpireAt))
	}
}

func (s *Server) answerGet(w http.ResponseWriter, r *http.Request, res *kv.Result) {
	if res.Code != kv.OK {
		s.failCode(w, res.Code, res.Detail)
		return
	}
	h := w.Header()
	setRecordHeaders(h, res)
	h.Set(HeaderFlags, strconv.FormatUint(uint64(res.Flags), 10))
	if tag := r.Header.Get("If-None-Match"); tag != "" && (tag == "*" || tag == h.Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	size := int64(len(res.Value))
	if err := s.hold(size); err != nil {
		s.fail(w, err)
		return
	}
	defer s.release(size)
	h.Set("Content-Type", "application/octet-stream")
	// A browser that guesses a stored value to be a page would run it in this origin.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	w.Write(res.Value) // the client may be gone: nobody is left to tell
}

func (s *Server) answerHead(w http.ResponseWriter, _ *http.Request, res *kv.Result) {
	if res.Code != kv.OK {
		s.failCode(w, res.Code, res.Detail)
		return
	}
	setRecordHeaders(w.Header(), res)
	w.Header().Set(HeaderFlags, strconv.FormatUint(uint64(res.Flags), 10))
	w.Header().Set("Content-Length", strconv.FormatInt(res.Int, 10))
	w.WriteHeader(http.StatusOK)
}

func (s *Server) answerWrite(w http.ResponseWriter, r *http.Request, res *kv.Result) {
	switch {
	case res.Code != kv.OK:
		setRecordHeaders(w.Header(), res)
		detail := res.Detail
		if detail == "" {
			detail = whyNot(r, res)
		}
		s.failCode(w, res.Code, detail)
	case r.Header.Get("If-None-Match") == "*":
		// Only here is it known that the key is new: a plain write does not look for what it replaces.
		setRecordHeaders(w.Header(), res)
		w.WriteHeader(http.StatusCreated)
	default:
		setRecordHeaders(w.Header(), res)
		w.WriteHeader(http.StatusNoContent)
	}
}

// whyNot says which of the request's conditions did not hold.
func whyNot(r *http.Request, res *kv.Result) string {
	match := r.Header.Get("If-Match")
	switch {
	case res.Code == kv.NotFound:
		return "the key does not exist"
	case res.Code != kv.ConditionFailed:
		return ""
	case r.Header.Get("If-None-Match") == "*":
		return "the key exists already"
	case res.Version != 0:
		return "the key has version " + strconv.FormatUint(res.Version, 10) + ", not " + match
	}
	return "the key does not have version " + match
}

func (s *Server) answerInt(w http.ResponseWriter, _ *http.Request, res *kv.Result) {
	if res.Code != kv.OK {
		s.failCode(w, res.Code, res.Detail)
		return
	}
	setRecordHeaders(w.Header(), res)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write(strconv.AppendInt(nil, res.Int, 10)) // as in answerGet
}
