package http

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"github.com/gamutdb/gamut/kv"
)

// Txn is the body of POST /v1/txn: all operations happen at one instant if all conditions hold, otherwise none does.
// Its keys may lie in any shards of any linearizable keyspaces, and in one shard of any keyspace that orders its writes.
type Txn struct {
	Keyspace   string         `json:"keyspace,omitempty"`
	Conditions []TxnCondition `json:"conditions"`
	Operations []TxnOperation `json:"operations"`
	// Else happens, all of it, if a condition does not hold.
	Else []TxnOperation `json:"else"`
	// Alternatives, of a keyspace with a commit order: if a condition does not hold, the first of these whose conditions hold.
	Alternatives []TxnAlternative `json:"alternatives,omitempty"`
	// Merge, of a keyspace with a commit order: what is done with puts if a condition does not hold (append, max, min, sum, copy).
	Merge string `json:"merge,omitempty"`
}

// TxnAlternative is what a transaction does if the conditions before do not hold, and its own do.
type TxnAlternative struct {
	Conditions []TxnCondition `json:"conditions"`
	Operations []TxnOperation `json:"operations"`
}

// TxnCondition holds exactly one test of its key: absent, present, version or value.
type TxnCondition struct {
	// Keyspace is that of the transaction unless it is named.
	Keyspace string `json:"keyspace,omitempty"`

	Key     string  `json:"key"`
	Key64   string  `json:"key64"`
	Absent  bool    `json:"absent"`
	Present bool    `json:"present"`
	Version *uint64 `json:"version"`
	Value   *string `json:"value"`
	Value64 string  `json:"value64"`
}

// TxnOperation is one of get, put, delete, incr, append, prepend, expire and persist.
type TxnOperation struct {
	// Keyspace is that of the transaction unless it is named.
	Keyspace string `json:"keyspace,omitempty"`

	Op      string  `json:"op"`
	Key     string  `json:"key"`
	Key64   string  `json:"key64"`
	Value   *string `json:"value"`
	Value64 string  `json:"value64"`
	TTL     string  `json:"ttl"`
	Flags   uint32  `json:"flags"`
	By      *int64  `json:"by"`
}

// TxnResult is the answer to one operation.
type TxnResult struct {
	Result string `json:"result"` // ok, or a code as in ErrorBody
	Record
	Int *int64 `json:"int,omitempty"`
}

func (s *Server) transact(w http.ResponseWriter, r *http.Request) {
	body, release, err := s.body(w, r)
	if err != nil {
		s.fail(w, err)
		return
	}
	defer release()
	txn, err := parseTxn(body)
	if err != nil {
		s.fail(w, err)
		return
	}
	if err := s.runTxn(w, r, txn); err != nil {
		s.fail(w, err)
	}
}

func parseTxn(body []byte) (*Txn, error) {
	txn := new(Txn)
	if err := decodeStrict(body, txn); err != nil {
		return nil, err
	}
	switch n := len(txn.Operations); {
	case n == 0:
		return nil, invalid("operations is empty: a transaction does at least one")
	case max(n, len(txn.Else)) > kv.OpsMax || len(txn.Conditions) > kv.OpsMax:
		return nil, invalid("a transaction has at most %d operations and as many conditions", kv.OpsMax)
	}
	return txn, nil
}

func (s *Server) runTxn(w http.ResponseWriter, r *http.Request, txn *Txn) error {
	name := txn.Keyspace
	if name == "" {
		name = "default"
	}
	ks := s.db.Keyspace(name)
	if ks == nil {
		return s.noKeyspace(name)
	}
	level, err := kv.ParseLevel(r.Header.Get(HeaderLevel))
	if err != nil {
		return err
	}
	var cmd kv.Command
	if err := txn.command(&cmd); err != nil {
		return err
	}
	if ks.CommitOrder {
		if cmd.Merge, err = txn.merge(ks); err != nil {
			return err
		}
	} else if len(txn.Alternatives) > 0 || txn.Merge != "" {
		return kv.Errorf(kv.Unsupported, "keyspace %s has no commit order, and so neither alternatives nor merge procedures", ks.Name)
	}
	if !txn.alone(ks, &cmd) || r.Header.Get(HeaderTxn) != "" {
		return s.transactAcross(w, r, ks, txn, level)
	}
	if cmd.Token, err = kv.ParseToken(ks, r.Header.Get(HeaderSession)); err != nil {
		return err
	}
	if cmd.Session, err = parseSession(ks, r.Header.Get(HeaderRequest)); err != nil {
		return err
	}
	if cmd.Receipt, err = parseSwitch(r.Header, HeaderReceipt); err != nil {
		return err
	}
	if cmd.ReadOnly() {
		cmd.Session = kv.Session{}
	}
	s.do(ks, level, func(c *kv.Call) { c.Command = cmd }, func(c *kv.Call) {
		setSession(w.Header(), ks, cmd.Token, &c.Result)
		setOutcomeID(w.Header(), c)
		if c.Result.Err() == nil {
			setReceipt(w.Header(), ks, c)
		}
		s.answerTxn(w, ks, txn, &c.Result)
	})
	return nil
}

func (s *Server) answerTxn(w http.ResponseWriter, ks *kv.Keyspace, txn *Txn, res *kv.Result) {
	if res.Code == kv.ConditionFailed {
		s.conditionFailed(w, int(res.Int))
		return
	}
	if res.Err() != nil {
		s.failCode(w, res.Code, res.Detail)
		return
	}
	items, ops, branch := res.Items, txn.Operations, ""
	if ks.CommitOrder {
		ops, branch = txn.executed(res)
	}
	if len(ops) == 1 {
		items = []kv.Result{*res}
	}
	results := make([]TxnResult, 0, len(items))
	for i := range items {
		results = append(results, txnResult(&ops[i], &items[i]))
	}
	setLevel(w.Header(), ks, res)
	writeJSON(w, http.StatusOK, TxnBody{Results: results, Branch: branch})
}

func txnResult(op *TxnOperation, res *kv.Result) TxnResult {
	out := TxnResult{Result: "ok"}
	if res.Code != kv.OK {
		out.Result = answers[res.Code].name
	}
	out.Record = RecordOf(res, op.Op == "get" && res.Code == kv.OK)
	out.Key, out.Key64 = op.Key, op.Key64
	if op.Op == "incr" && res.Code == kv.OK {
		out.Int = &res.Int
	}
	return out
}

// command translates the transaction.
func (t *Txn) command(cmd *kv.Command) error {
	for i := range t.Conditions {
		cond, err := t.Conditions[i].cond()
		if err != nil {
			return inPlace("condition", i, err)
		}
		cmd.Conds = append(cmd.Conds, cond)
	}
	for i := range t.Operations {
		op, err := t.Operations[i].op()
		if err != nil {
			return inPlace("operation", i, err)
		}
		cmd.Ops = append(cmd.Ops, op)
	}
	return nil
}

func inPlace(what string, i int, err error) error {
	if e, ok := err.(*kv.Error); ok {
		return invalid("%s %d: %s", what, i, e.Detail)
	}
	return invalid("%s %d: %v", what, i, err)
}

func (c *TxnCondition) cond() (kv.Cond, error) {
	var cond kv.Cond
	var err error
	if cond.Key, err = keyOf(&c.Key, c.Key64); err != nil {
		return cond, err
	}
	tests := 0
	if c.Absent {
		cond.Kind, tests = kv.CondAbsent, tests+1
	}
	if c.Present {
		cond.Kind, tests = kv.CondPresent, tests+1
	}
	if c.Version != nil {
		cond.Kind, cond.Version, tests = kv.CondVersion, *c.Version, tests+1
	}
	if c.Value != nil || c.Value64 != "" {
		cond.Kind, tests = kv.CondValue, tests+1
		if cond.Value, err = bytesOf(c.Value, c.Value64); err != nil {
			return cond, err
		}
	}
	if tests != 1 {
		return cond, invalid("give exactly one of absent, present, version and value")
	}
	return cond, nil
}

var txnKinds = map[string]kv.OpKind{
	"get": kv.OpGet, "put": kv.OpSet, "delete": kv.OpDelete, "incr": kv.OpIncr, "append": kv.OpAppend,
	"prepend": kv.OpPrepend, "expire": kv.OpExpire, "persist": kv.OpExpire,
}

func (o *TxnOperation) op() (kv.Op, error) {
	kind, ok := txnKinds[o.Op]
	if !ok {
		return kv.Op{}, invalid("op %q is not one of get, put, delete, incr, append, prepend, expire, persist", o.Op)
	}
	op := kv.Op{Kind: kind, Flags: o.Flags, Delta: 1}
	var err error
	if op.Key, err = keyOf(&o.Key, o.Key64); err != nil {
		return op, err
	}
	if o.By != nil {
		op.Delta = *o.By
	}
	if takesBody(kind) {
		if o.Value == nil && o.Value64 == "" {
			return op, invalid("op %s needs a value", o.Op)
		}
		if op.Value, err = bytesOf(o.Value, o.Value64); err != nil {
			return op, err
		}
	}
	switch {
	case o.Op == "expire" && o.TTL == "":
		return op, invalid("op expire needs a ttl, such as 90s")
	case o.Op == "put" || o.Op == "expire":
		err = parseTTL(&op, o.TTL)
	case o.TTL != "":
		return op, invalid("op %s takes no ttl", o.Op)
	case o.Op != "persist":
		op.Expiry = kv.ExpireKeep
	}
	return op, err
}

func keyOf(text *string, coded string) ([]byte, error) {
	key, err := bytesOf(text, coded)
	if err == nil && len(key) > kv.KeyMax {
		return nil, invalid("the key has %d bytes; the limit is %d", len(key), kv.KeyMax)
	}
	return key, err
}

// alone reports whether one command to one shard is the whole transaction.
func (t *Txn) alone(ks *kv.Keyspace, cmd *kv.Command) bool {
	one := len(t.Else) == 0 || ks.CommitOrder
	for i := range t.Conditions {
		one = one && (t.Conditions[i].Keyspace == "" || t.Conditions[i].Keyspace == ks.Name)
	}
	for i := range t.Operations {
		one = one && (t.Operations[i].Keyspace == "" || t.Operations[i].Keyspace == ks.Name)
	}
	shard := -1
	cmd.Keys(func(key []byte) {
		s := ks.ShardOf(key)
		one = one && (shard == -1 || s == shard)
		shard = s
	})
	return one
}

// decodeStrict reads one JSON value and refuses unknown fields and anything behind it.
func decodeStrict(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalid("the body is not the JSON that is expected here: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return invalid("something follows the JSON of the body")
	}
	return nil
}
