package http

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// TxnBody is the answer to POST /v1/txn.
type TxnBody struct {
	Results []TxnResult `json:"results"`
	// Branch is "then" or "else": whose operations were executed; empty for a transaction without else.
	Branch string `json:"branch,omitempty"`
	// ID names a transaction over several shards, for /v1/txn/ID.
	ID string `json:"id,omitempty"`
}

// transactAcross runs a transaction that no single command is.
func (s *Server) transactAcross(w http.ResponseWriter, r *http.Request, ks *kv.Keyspace, t *Txn, level kv.Level) error {
	if level != kv.LevelDefault && level != kv.LevelLinearizable {
		return kv.Errorf(kv.Unsupported, "a transaction over several shards is linearizable; it cannot give level %s", level)
	}
	if r.Header.Get(HeaderRequest) != "" {
		return kv.Errorf(kv.Unsupported, "a transaction over several shards takes no %s header: when its outcome is unknown, the answer names it, and GET /v1/txn/ID tells", HeaderRequest)
	}
	if ks.MergeTokens != nil && r.Header.Get(HeaderSession) != "" {
		return kv.Errorf(kv.Unsupported, "a transaction with else, or over several keyspaces, is part of no session; leave the header %s out", HeaderSession)
	}
	across, err := s.txnOf(ks, t)
	if err != nil {
		return err
	}
	if text := r.Header.Get(HeaderTxn); text != "" {
		if across.ID, err = kv.ParseTxID(text); err != nil {
			return err
		}
	}
	asked, err := parseSwitch(r.Header, HeaderReceipt)
	if err != nil {
		return err
	}
	res := s.db.Transact(across, time.Now().Add(s.opts.Deadline))
	if asked && res.Code == kv.OK {
		receipt := kv.NewTxnReceipt(across, &res, level)
		tellReceipt(w.Header(), &receipt)
		w.Header().Set(HeaderKeyspaces, receipt.Keyspace)
	}
	s.answerAcross(w, t, &res)
	return nil
}

// txnOf is the transaction with the keyspaces that it names.
func (s *Server) txnOf(ks *kv.Keyspace, t *Txn) (*kv.Txn, error) {
	out := &kv.Txn{}
	for i := range t.Conditions {
		at, err := s.namedKeyspace(ks, t.Conditions[i].Keyspace)
		if err != nil {
			return nil, err
		}
		cond, err := t.Conditions[i].cond()
		if err != nil {
			return nil, inPlace("condition", i, err)
		}
		out.Conds = append(out.Conds, kv.TxnCond{Keyspace: at, Cond: cond})
	}
	var err error
	if out.Then, err = s.txnOps(ks, "operation", t.Operations); err != nil {
		return nil, err
	}
	out.Else, err = s.txnOps(ks, "else", t.Else)
	return out, err
}

func (s *Server) txnOps(ks *kv.Keyspace, what string, list []TxnOperation) (ops []kv.TxnOp, err error) {
	for i := range list {
		at, err := s.namedKeyspace(ks, list[i].Keyspace)
		if err != nil {
			return nil, err
		}
		op, err := list[i].op()
		if err != nil {
			return nil, inPlace(what, i, err)
		}
		ops = append(ops, kv.TxnOp{Keyspace: at, Op: op})
	}
	return ops, nil
}

func (s *Server) namedKeyspace(ks *kv.Keyspace, name string) (*kv.Keyspace, error) {
	if name == "" || name == ks.Name {
		return ks, nil
	}
	if at := s.db.Keyspace(name); at != nil {
		return at, nil
	}
	return nil, s.noKeyspace(name)
}

func (s *Server) answerAcross(w http.ResponseWriter, t *Txn, res *kv.TxnResult) {
	id := ""
	if !res.ID.IsZero() {
		id = res.ID.String()
		w.Header().Set(HeaderTxn, id)
	}
	if ask := cmp.Or(res.Request, id); ask != "" && res.Code == kv.Unknown {
		w.Header().Set(HeaderOutcomeID, ask)
	}
	switch res.Code {
	case kv.OK:
	case kv.ConditionFailed:
		s.conditionFailed(w, res.Cond)
		return
	default:
		s.failCode(w, res.Code, res.Detail)
		return
	}
	body := TxnBody{Results: []TxnResult{}, ID: id}
	ops := t.Operations
	if len(t.Else) > 0 {
		body.Branch = "then"
	}
	if res.Else {
		ops, body.Branch = t.Else, "else"
	}
	for i := range res.Items {
		body.Results = append(body.Results, txnResult(&ops[i], &res.Items[i]))
	}
	w.Header().Set(HeaderLevel, kv.LevelLinearizable.String())
	writeJSON(w, http.StatusOK, body)
}

func (s *Server) conditionFailed(w http.ResponseWriter, place int) {
	err := kv.Errorf(kv.ConditionFailed, "condition %d does not hold; nothing was done", place)
	writeError(w, answer{name: answers[kv.ConditionFailed].name, status: http.StatusConflict}, err.Detail, true)
}

// outcome tells what became of a request or a transaction. A request may be named by its number, as Gamut-Request gave it, and by its
// keyspace and key beside that.
func (s *Server) outcome(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	query, err := parseQuery(r, "keyspace", "key")
	if err == nil && query.Has("key") {
		id, err = numberedID(query, id)
	}
	var o any
	if err == nil {
		o, err = kv.AskOutcome(s.db, id, time.Now().Add(s.opts.Deadline))
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, o)
}

func numberedID(query url.Values, number string) (string, error) {
	session, err := kv.ParseNumber(number)
	if err != nil {
		return "", err
	}
	return kv.RequestID{Keyspace: cmp.Or(query.Get("keyspace"), "default"), Key: []byte(query.Get("key")), Session: session}.String(), nil
}

// setOutcomeID tells under which id the outcome of a call can be asked for that ended as unknown.
func setOutcomeID(h http.Header, c *kv.Call) {
	if id, ok := c.RequestID(); ok {
		h.Set(HeaderOutcomeID, id.String())
	}
}
