package txn

import "github.com/gamutdb/gamut/kv"

// Attempts goes through the attempts of one transaction: one that lost against another is made again, as old as it was, and
// one whose condition does not hold goes on with Else.
//
// Else is a transaction of its own, under the condition that the one which was found not to hold still does not: at the
// instant at which it commits the conditions do not all hold, as it must be.
type Attempts struct {
	txn     *kv.Txn
	id      kv.TxID
	groupOf func(ks *kv.Keyspace, key []byte) uint64
	// failed is the condition that did not hold when Else began; -1: Then is tried.
	failed   int
	division *Division
}

// NewAttempts begins a transaction that Check has passed. id has its age and its chance.
func NewAttempts(t *kv.Txn, id kv.TxID, groupOf func(ks *kv.Keyspace, key []byte) uint64) (*Attempts, error) {
	a := &Attempts{txn: t, id: id, groupOf: groupOf, failed: -1}
	return a, a.Divide()
}

// Divide makes the parts of the next attempt, by the shards that are known now.
func (a *Attempts) Divide() (err error) {
	conds, ops := a.txn.Conds, a.txn.Then
	if a.failed >= 0 {
		c := conds[a.failed]
		conds, ops = []kv.TxnCond{{Keyspace: c.Keyspace, Cond: c.Negation()}}, a.txn.Else
	}
	if a.division, err = Divide(conds, ops, a.groupOf); err == nil {
		a.id.Anchor = a.division.Parts[0].Group
	}
	return err
}

// ID is that of the attempt.
func (a *Attempts) ID() kv.TxID { return a.id }

// Parts are those of the attempt.
func (a *Attempts) Parts() []Part { return a.division.Parts }

// Next says what follows when the attempt was aborted: another one, or the end.
func (a *Attempts) Next(r Refusal) (res kv.TxnResult, again bool) {
	a.id.Attempt++
	switch {
	case r.Group == 0:
		return kv.TxnResult{Code: kv.ClockSkew, ID: a.id, Detail: "a shard takes the transaction for one of 10 minutes ago; nothing was executed"}, false
	case r.Reason == kv.TxCondition:
		return a.conditionFailed(a.division.Cond(r.Group, r.Cond))
	case r.Reason == kv.TxDropped:
		return kv.TxnResult{Code: kv.NoKeyspace, ID: a.id, Detail: "a keyspace of the transaction is being dropped; nothing was executed"}, false
	case r.Reason == kv.TxConflict, r.Reason == kv.TxRecovered, r.Result.Code == kv.Locked:
		return kv.TxnResult{Code: kv.Aborted, ID: a.id, Detail: "other transactions were in the way; nothing was executed"}, true
	}
	if r.Result.Code == kv.Moved {
		if err := a.Divide(); err != nil {
			return kv.TxnResult{Code: kv.CrossShard, Detail: err.Error()}, false
		}
		return kv.TxnResult{Code: kv.Unavailable, ID: a.id, Detail: "a shard was split, and where its keys are now was not known in time; nothing was executed"}, true
	}
	return kv.TxnResult{Code: r.Result.Code, ID: a.id, Detail: r.Result.Detail}, r.Result.Code == kv.NotLeader
}

// conditionFailed goes on with Else, or from Else back: then the condition holds by now.
func (a *Attempts) conditionFailed(place int) (res kv.TxnResult, again bool) {
	switch {
	case a.failed >= 0:
		a.failed = -1
	case len(a.txn.Else) > 0:
		a.failed = place
	default:
		return kv.TxnResult{Code: kv.ConditionFailed, ID: a.id, Cond: place, Detail: "a condition does not hold; nothing was executed"}, false
	}
	if err := a.Divide(); err != nil {
		return kv.TxnResult{Code: kv.Invalid, Detail: err.Error()}, false
	}
	return kv.TxnResult{Code: kv.Aborted, ID: a.id, Detail: "a condition changed again and again; nothing was executed"}, true
}

// Succeeded is the result of a committed attempt.
func (a *Attempts) Succeeded(c *Coordinator) kv.TxnResult {
	items, ok := a.division.Gather(c.Results)
	res := kv.TxnResult{ID: a.id, Items: items, Else: a.failed >= 0, Cond: max(0, a.failed), Groups: c.Groups()}
	if !ok {
		res.Code, res.Detail = kv.Unknown, "the transaction was committed, but the results of its operations were lost on the way"
	}
	return res
}

// Unknown is the result of an attempt that was not decided in time.
func (a *Attempts) Unknown() kv.TxnResult {
	return kv.TxnResult{Code: kv.Unknown, ID: a.id,
		Detail: "a shard did not answer in time; the transaction may have happened or may happen yet: ask for the outcome of " + a.id.String()}
}
