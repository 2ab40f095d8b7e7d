package client

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// Key is a key of a keyspace, for transactions, whose keys may lie in several.
type Key struct{ Keyspace, Key string }

// Key names one of the keyspace's keys.
func (k *Keyspace) Key(key string) Key { return Key{k.name, key} }

// String names the key in a sentence.
func (k Key) String() string {
	return "key " + strconv.Quote(k.Key) + " in keyspace " + strconv.Quote(k.Keyspace)
}

// Txn is a transaction that is sent whole: at one instant all of Then happens if all conditions hold, else all of Else. Its keys
// may lie in any shards of any linearizable keyspaces, or in one shard of another that orders its writes. The zero value of the
// branches is empty; Client.Txn makes one.
type Txn struct {
	// Then is what happens if all conditions hold, Else if one does not. Else may stay empty.
	Then, Else Branch
	// Receipt, if it is not nil, is told how the answer was given.
	Receipt *kv.Receipt

	client *Client
	conds  []doorhttp.TxnCondition
	relied []Key // those of conds
}

// Branch is operations that happen together.
type Branch struct {
	ops   []doorhttp.TxnOperation
	steps []*Step
}

// Done is how a transaction ended that was executed.
type Done struct {
	// ID names a transaction over several shards; empty: it took place in one.
	ID string
	// Else says that a condition did not hold, and Else was executed.
	Else bool
	// Lost says that it is known to have been executed, but the results of its operations were lost on the way: the steps have none.
	Lost bool
}

// Txn makes an empty transaction.
func (c *Client) Txn() *Txn { return &Txn{client: c} }

// IfVersion wants a key to have a version, as a read or a write told it; 0: not to be there.
func (t *Txn) IfVersion(k Key, version uint64) { t.cond(k).Version = &version }

// IfAbsent wants a key not to be there.
func (t *Txn) IfAbsent(k Key) { t.cond(k).Absent = true }

// IfPresent wants a key to be there.
func (t *Txn) IfPresent(k Key) { t.cond(k).Present = true }

// IfValue wants a key to have a value.
func (t *Txn) IfValue(k Key, value []byte) {
	c := t.cond(k)
	c.Value, c.Value64 = textOr64(value)
}

func (t *Txn) cond(k Key) *doorhttp.TxnCondition {
	c := doorhttp.TxnCondition{Keyspace: k.Keyspace}
	c.Key, c.Key64 = keyOr64(k.Key)
	t.conds, t.relied = append(t.conds, c), append(t.relied, k)
	return &t.conds[len(t.conds)-1]
}

// Get adds a read; ErrNotFound is its error if the key is not there.
func (b *Branch) Get(k Key) *Step { return b.add(k, "get") }

// Put adds a write.
func (b *Branch) Put(k Key, value []byte) *Step {
	s := b.add(k, "put")
	o := &b.ops[len(b.ops)-1]
	o.Value, o.Value64 = textOr64(value)
	return s
}

// Delete adds a deletion; ErrNotFound is its error if the key was not there.
func (b *Branch) Delete(k Key) *Step { return b.add(k, "delete") }

// Incr adds an addition to a counter.
func (b *Branch) Incr(k Key, by int64) *Step {
	s := b.add(k, "incr")
	b.ops[len(b.ops)-1].By = &by
	return s
}

// Expire ends a key after a time, of at least a millisecond.
func (b *Branch) Expire(k Key, after time.Duration) *Step {
	s := b.add(k, "expire")
	b.ops[len(b.ops)-1].TTL = after.String()
	return s
}

func (b *Branch) add(k Key, op string) *Step {
	o := doorhttp.TxnOperation{Op: op, Keyspace: k.Keyspace}
	o.Key, o.Key64 = keyOr64(k.Key)
	s := &Step{Key: k.Key}
	b.ops, b.steps = append(b.ops, o), append(b.steps, s)
	return s
}

// Do sends the transaction; the results of its steps are there when it has returned nil. ErrCondition: a condition does not hold,
// there is no Else, and nothing was done. What was certainly not executed, for want of a leader or since others were in the way, is
// sent again until the context ends; of what was left open the cluster is asked for the outcome.
func (t *Txn) Do(ctx context.Context) (Done, error) {
	if len(t.Then.ops) == 0 {
		return Done{}, errors.New("transaction: Then is empty; a transaction does at least one operation")
	}
	ctx, cancel := t.client.within(ctx)
	defer cancel()
	r := txnRun{txn: t, first: Key{t.Then.ops[0].Keyspace, t.Then.steps[0].Key}}
	body, err := json.Marshal(&doorhttp.Txn{Keyspace: r.first.Keyspace, Conditions: t.conds, Operations: t.Then.ops, Else: t.Else.ops})
	if err != nil {
		return Done{}, fmt.Errorf("transaction: %w", err)
	}
	r.body = body
	method := http.MethodPost
	if t.reads() {
		method = http.MethodGet // what leaves nothing open is sent again as reads are
	}
	r.try = try{keyspace: t.client.Keyspace(r.first.Keyspace), request: &request{method: method, key: r.first.Key}}
	done, err := r.run(ctx)
	r.try.end(err)
	var e *kv.Error
	if t.reads() && errors.As(err, &e) && e.Code == kv.Unknown {
		err = &kv.Error{Code: kv.Unavailable, Detail: e.Detail}
	}
	err = r.try.named(outcome("transaction", err, r.try.maybe))
	var u *UnknownError
	if errors.As(err, &u) && u.ID == "" {
		u.ID = r.id
	}
	return done, err
}

// reads reports whether it changes nothing.
func (t *Txn) reads() bool {
	for _, b := range []*Branch{&t.Then, &t.Else} {
		for i := range b.ops {
			if b.ops[i].Op != "get" {
				return false
			}
		}
	}
	return true
}

// txnRun is a transaction under way.
type txnRun struct {
	txn *Txn
	// first is a key of it: whose leader it is sent to.
	first Key
	body  []byte
	try   try
	// across says that the cluster took it for one over several shards, which carry no numbers.
	across bool
	// id is that of one over several shards that was left open. unnamed says that the cluster did not take the id that was made up here.
	id      string
	unnamed bool
	age     kv.HLC
	nonce   uint64
}

func (r *txnRun) run(ctx context.Context) (done Done, err error) {
	c := r.txn.client
	for {
		var id string
		if r.try.place, err = c.place(ctx, r.first.Keyspace); err == nil && r.alone() {
			err = r.try.number()
		}
		if err == nil && ctx.Err() != nil {
			err = kv.Errorf(kv.Unavailable, "nothing was sent: %v", ctx.Err())
		}
		if err == nil {
			route := c.route(r.try.place, []byte(r.first.Key), true)
			done, id, err = r.once(ctx, route[r.try.tries%len(route)])
		}
		if r.id = id; r.try.maybe && id != "" {
			done, err = r.settle(ctx, id, err)
		}
		if err == nil || !r.again(err) || !r.try.pause(ctx) {
			return done, err
		}
		r.try.tries++
	}
}

// alone reports whether all keys lie in one shard, as far as is known here: then the transaction is one command there, and carries
// a number as single writes do.
func (r *txnRun) alone() bool {
	if r.across || len(r.txn.Else.ops) > 0 {
		return false
	}
	shard := r.try.place.shardOf([]byte(r.first.Key))
	at := func(k Key) bool { return k.Keyspace == r.first.Keyspace && r.try.place.shardOf([]byte(k.Key)) == shard }
	for i, s := range r.txn.Then.steps {
		if !at(Key{r.txn.Then.ops[i].Keyspace, s.Key}) {
			return false
		}
	}
	for _, k := range r.txn.relied {
		if !at(k) {
			return false
		}
	}
	return true
}

// name makes up the id of the next try, if there is to be one: so the cluster can be asked for the outcome although no answer came.
// Tries have one age, as those of a node have, so that the oldest transaction wins at last.
func (r *txnRun) name() (id kv.TxID, ok bool) {
	if r.unnamed || r.try.ticket.lane != nil || len(r.txn.Else.ops) > 0 || r.txn.reads() {
		return id, false
	}
	anchor, ok := r.anchor()
	if !ok {
		return id, false
	}
	if r.age == 0 {
		r.age, r.nonce = kv.HLCOf(r.txn.client.lanes.now().UnixMilli()), rand.Uint64()
	}
	return kv.TxID{Age: r.age, Anchor: anchor, Nonce: r.nonce, Attempt: uint32(r.try.tries)}, true
}

// anchor is the lowest of the groups that have a part, as far as is known here.
func (r *txnRun) anchor() (anchor uint64, ok bool) {
	keys := slices.Clone(r.txn.relied)
	for i, s := range r.txn.Then.steps {
		keys = append(keys, Key{r.txn.Then.ops[i].Keyspace, s.Key})
	}
	for _, k := range keys {
		p := r.txn.client.known(k.Keyspace)
		if p == nil || p.info.Consistency != kv.Linearizable {
			return 0, false
		}
		if g := p.info.Groups[p.shardOf([]byte(k.Key))].Group; anchor == 0 || g < anchor {
			anchor = g
		}
	}
	return anchor, true
}

// again says that the transaction may be sent again, and that this could help.
func (r *txnRun) again(err error) bool {
	var e *kv.Error
	isCode := errors.As(err, &e)
	if isCode && e.Code == kv.Unsupported && r.try.ticket.lane != nil && !r.try.maybe {
		// Its keyspace was split since its place was learned.
		r.try.end(err)
		r.across, r.try.ticket = true, ticket{}
		return true
	}
	if named := r.id != ""; isCode && named && !r.try.maybe && (e.Code == kv.Moved || e.Code == kv.ClockSkew || e.Code == kv.Unsupported) {
		r.unnamed = true // our map or our clock is not the cluster's
		return true
	}
	return r.try.again(err) || isCode && e.Code == kv.Aborted
}

// once asks one address. id names a transaction whose outcome is not known, if the answer did.
func (r *txnRun) once(ctx context.Context, address string) (done Done, id string, err error) {
	c := r.txn.client
	header := http.Header{}
	if r.txn.Receipt != nil {
		header.Set(doorhttp.HeaderReceipt, "on")
	}
	if r.try.ticket.lane != nil {
		header.Set(doorhttp.HeaderRequest, c.lanes.header(r.try.ticket))
	}
	if own, ok := r.name(); ok {
		id = own.String()
		header.Set(doorhttp.HeaderTxn, id)
	}
	session := r.try.keyspace.session
	if token := session.Token(r.first.Keyspace); token != "" {
		header.Set(doorhttp.HeaderSession, token)
	}
	resp, err := c.wire.Node(address).Do(ctx, remote.Request{Method: http.MethodPost, Path: "/v1/txn", Header: header, Body: r.body})
	if resp != nil {
		c.answered(address)
		c.lanes.learn(resp.Header.Get("Date"))
		session.learn(r.first.Keyspace, r.try.place.info.Consistency, resp.Header.Get(doorhttp.HeaderSession))
		id = cmp.Or(id, resp.Header.Get(doorhttp.HeaderTxn))
	}
	if err != nil {
		r.try.failed(address, err)
		return done, id, err
	}
	defer resp.Body.Close()
	var body doorhttp.TxnBody
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		err = kv.Errorf(kv.Unknown, "the answer of %s broke off: %v", address, err)
		r.try.failed(address, err)
		return done, id, err
	}
	if r.txn.Receipt != nil {
		if *r.txn.Receipt, err = doorhttp.ReceiptOf(r.first.Keyspace, resp.Header); err != nil {
			return done, "", err
		}
	}
	return Done{ID: body.ID, Else: body.Branch == "else"}, "", r.txn.take(&body)
}

// take gives the results to the steps.
func (t *Txn) take(body *doorhttp.TxnBody) error {
	branch := &t.Then
	if body.Branch == "else" {
		branch = &t.Else
	}
	if len(body.Results) != len(branch.steps) {
		return fmt.Errorf("the answer has %d results of %d operations", len(body.Results), len(branch.steps))
	}
	for i := range body.Results {
		if err := branch.steps[i].take(&body.Results[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Step) take(r *doorhttp.TxnResult) (err error) {
	s.Err = nil
	if r.Result != "ok" {
		code, _ := doorhttp.CodeNamed(r.Result)
		s.Err = outcome("key "+strconv.Quote(s.Key), &kv.Error{Code: code}, false)
		return nil
	}
	if r.Int != nil {
		s.Count = *r.Int
	}
	s.Version = r.Version
	if s.Record, err = recordOf(&r.Record); err != nil {
		return fmt.Errorf("key %q: %w", s.Key, err)
	}
	s.Record.Key = s.Key
	return nil
}

// settle asks what became of a transaction that was left open, which decides it.
func (r *txnRun) settle(ctx context.Context, id string, open error) (Done, error) {
	c := r.txn.client
	for pause := backoffMin; ; pause = min(2*pause, backoffMax) {
		var o kv.TxnOutcome
		err := c.wire.JSON(ctx, remote.Request{Method: http.MethodGet, Path: "/v1/txn/" + url.PathEscape(id)}, &o)
		switch {
		case err == nil && o.Outcome == "committed":
			r.try.maybe = false
			return Done{ID: id, Lost: true}, nil
		case err == nil:
			r.try.maybe = false
			return Done{}, &kv.Error{Code: kv.Aborted, Detail: "it was found open, and aborted"}
		case !r.try.again(err):
			return Done{}, open
		}
		select {
		case <-ctx.Done():
			return Done{}, open
		case <-time.After(pause):
		}
	}
}

// Snapshot reads keys of any shards and linearizable keyspaces as of one instant. The records stand in the order of the keys; one
// that is not there has version 0.
func (c *Client) Snapshot(ctx context.Context, keys ...Key) ([]Record, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	t := c.Txn()
	var steps []*Step
	for _, k := range keys {
		steps = append(steps, t.Then.Get(k))
	}
	if _, err := t.Do(ctx); err != nil {
		return nil, err
	}
	records := make([]Record, len(keys))
	for i, s := range steps {
		switch {
		case errors.Is(s.Err, ErrNotFound):
			records[i] = Record{Key: s.Key}
		case s.Err != nil:
			return nil, s.Err
		default:
			records[i] = s.Record
		}
	}
	return records, nil
}

func textOr64(b []byte) (text *string, coded string) {
	if s := string(b); utf8.Valid(b) {
		return &s, ""
	}
	return nil, base64.StdEncoding.EncodeToString(b)
}

func keyOr64(key string) (text, coded string) {
	if utf8.ValidString(key) {
		return key, ""
	}
	return "", base64.StdEncoding.EncodeToString([]byte(key))
}
