package kv

import "time"

// Limits of a transaction over several shards.
const (
	// TxnBytesMax bounds its keys and values together.
	TxnBytesMax = 1 << 20
	// TxnGroupsMax bounds the shards that it touches.
	TxnGroupsMax = 64
	// TxnTimeMax bounds how long it may be tried.
	TxnTimeMax = 10 * time.Second
)

// Txn is a transaction over any number of shards and linearizable keyspaces: if all conditions hold, all of Then happens
// at one instant, else all of Else does. Nobody sees a part of it.
type Txn struct {
	// ID is one that its client made up, so that the client can ask for the outcome although no answer came: its age is the present, its
	// anchor the lowest of its groups. Then there is no Else, and one attempt only. Zero: the node makes it up.
	ID    TxID
	Conds []TxnCond
	Then  []TxnOp
	Else  []TxnOp
}

// TxnCond is a condition on a key of one keyspace.
type TxnCond struct {
	Keyspace *Keyspace
	Cond
}

// TxnOp is an operation on a key of one keyspace.
type TxnOp struct {
	Keyspace *Keyspace
	Op
}

// ReadOnly reports whether the transaction can change nothing and depends on nothing.
func (t *Txn) ReadOnly() bool {
	for i := range t.Then {
		if !t.Then[i].Kind.ReadOnly() {
			return false
		}
	}
	return len(t.Conds) == 0 && len(t.Else) == 0 && len(t.Then) > 0
}

// TxnResult is the end of a transaction.
type TxnResult struct {
	// Code is OK if Then was executed, or Else; ConditionFailed: a condition did not hold and there is no Else; Aborted: others
	// were in the way all the time; Unknown: ask Outcome. All but OK and Unknown mean that nothing was executed, nor will be.
	Code   Code
	Detail string
	// ID names a transaction over several shards, for Outcome; zero: it took place in one, as one command.
	ID TxID
	// Request is the id for AskOutcome of one in a single shard whose outcome is Unknown; empty: it has none.
	Request string
	// Else says that the operations of Else were executed. Cond is the place of a condition that did not hold then, or with ConditionFailed.
	Else bool
	Cond int
	// Items are the results of the operations that were executed, in their order.
	Items []Result
	// Groups are the replica groups that it took part in, if it was executed.
	Groups []uint64
}

// Err is the result as an error; nil if operations were executed.
func (r *TxnResult) Err() error {
	if r.Code == OK {
		return nil
	}
	return &Error{Code: r.Code, Detail: r.Detail}
}

// TxnOutcome is what became of a transaction.
type TxnOutcome struct {
	ID string `json:"id"`
	// Outcome is committed or aborted: it is decided, and stays so.
	Outcome string `json:"outcome"`
	// Participants are the groups that know of it still.
	Participants []uint64 `json:"participants,omitempty"`
}

// OpenTxn is a transaction that a group has voted for and that has not ended everywhere.
type OpenTxn struct {
	ID       string `json:"id"`
	Group    uint64 `json:"group"`
	Keyspace string `json:"keyspace"`
	Shard    int    `json:"shard"`
	// State is yes while the group does not know the outcome and holds the locks, then committed, until all participants know it.
	State        string   `json:"state"`
	AgeMillis    int64    `json:"ageMillis"`
	Participants []uint64 `json:"participants"`
}
