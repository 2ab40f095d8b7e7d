package kv

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// RequestID names a write for ever, so that it can be asked what became of it: the number under which it was sent, and one of its keys,
// by which the group is found that has executed it, or would.
type RequestID struct {
	Keyspace string
	Key      []byte
	// Session is the client and the number; Acked says nothing here.
	Session Session
}

// String is the id as users see it: KEYSPACE.KEY.CLIENT-NUMBER, the key in base64 for URLs. It needs no quotes anywhere.
func (id RequestID) String() string {
	return id.Keyspace + "." + base64.RawURLEncoding.EncodeToString(id.Key) + "." + id.Session.Number()
}

// Number is a client and the number of one of its requests in words: 32 hexadecimal digits, a dash, a decimal number.
func (s Session) Number() string {
	return hex.EncodeToString(s.Client[:]) + "-" + strconv.FormatUint(s.Seq, 10)
}

// ParseNumber reads what Number wrote.
func ParseNumber(text string) (Session, error) {
	var s Session
	client, number, ok := strings.Cut(text, "-")
	bad := Errorf(Invalid, "%q is not the number of a request: 32 hexadecimal digits, a dash, and a number from 1", text)
	if !ok || len(client) != hex.EncodedLen(len(s.Client)) {
		return Session{}, bad
	}
	if _, err := hex.Decode(s.Client[:], []byte(client)); err != nil {
		return Session{}, bad
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 {
		return Session{}, bad
	}
	s.Seq = seq
	return s, nil
}

// ParseRequestID reads what String wrote.
func ParseRequestID(text string) (id RequestID, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] == "" {
		return RequestID{}, Errorf(Invalid, "%q is not the id of a request, which is KEYSPACE.KEY.NUMBER, as the error said that left it unknown", text)
	}
	id.Keyspace = parts[0]
	if id.Key, err = base64.RawURLEncoding.DecodeString(parts[1]); err != nil || len(id.Key) > KeyMax {
		return RequestID{}, Errorf(Invalid, "%q is not the id of a request: its second part is no key in base64 for URLs", text)
	}
	id.Session, err = ParseNumber(parts[2])
	return id, err
}

// IsTxID reports whether an id has the form of a transaction's, and not that of a request.
func IsTxID(text string) bool { return !strings.Contains(text, ".") }

// RequestOutcome is what became of a request. It is decided, and stays so: one that was not executed never will be.
type RequestOutcome struct {
	ID string `json:"id"`
	// Outcome is done or "not done".
	Outcome string `json:"outcome"`
	// Result is how it ended if it is done, as a Code in words: ok, or what it found instead, as "condition failed". Results are those of
	// its operations, if it had several.
	Result  string   `json:"result,omitempty"`
	Results []string `json:"results,omitempty"`
	// Version is that of the record that it wrote, if it wrote one.
	Version uint64 `json:"version,omitempty"`
	// Int is the number that it answered, as of a counter.
	Int int64 `json:"int,omitempty"`
}

// Outcomes of a request.
const (
	OutcomeDone    = "done"
	OutcomeNotDone = "not done"
)

// NewRequestOutcome reads the answer to an OpOutcome.
func NewRequestOutcome(id RequestID, r *Result) RequestOutcome {
	o := RequestOutcome{ID: id.String(), Outcome: OutcomeNotDone}
	if !r.Existed || len(r.Items) != 1 {
		return o
	}
	stored := &r.Items[0]
	o.Outcome, o.Result, o.Version, o.Int = OutcomeDone, stored.Code.String(), stored.Version, stored.Int
	for i := range stored.Items {
		o.Results = append(o.Results, stored.Items[i].Code.String())
	}
	return o
}

// OutcomeCommand asks what became of a request.
func OutcomeCommand(id RequestID) Command {
	return Command{Session: Session{Client: id.Session.Client, Seq: id.Session.Seq}, Ops: []Op{{Kind: OpOutcome, Key: id.Key}}}
}

// AsksOutcome reports whether the command asks what became of the one whose number it carries.
func (c *Command) AsksOutcome() bool { return len(c.Ops) == 1 && c.Ops[0].Kind == OpOutcome }

// RequestID is the id under which it can be asked what became of the call; ok is false if it cannot: the answer is certain, the
// keyspace keeps no table of requests, or the command has no key.
func (c *Call) RequestID() (id RequestID, ok bool) { return c.requestID(&c.Result) }

func (c *Call) requestID(r *Result) (id RequestID, ok bool) {
	if r.Code != Unknown || r.Request == nil || c.Command.AsksOutcome() {
		return RequestID{}, false
	}
	c.Command.Keys(func(key []byte) {
		if !ok {
			id, ok = RequestID{c.Keyspace.Name, key, *r.Request}, true
		}
	})
	return id, ok
}

// NameRequest tells in the detail of an answer of unknown outcome under which id it can be asked for.
func (c *Call) NameRequest(r *Result) {
	if id, ok := c.requestID(r); ok {
		r.Detail += "; its outcome can be asked for: " + id.String()
	}
}

// Tracked reports whether the keyspace's groups keep a table of the requests that they have executed, so that a number is executed
// once, and can be asked for.
func (k *Keyspace) Tracked() bool {
	return k.Consistency == Linearizable || k.Consistency == Sequential || k.Consistency == Atomic
}

// Untracked says why nobody can tell what became of a write to a keyspace without such a table.
func (k *Keyspace) Untracked() error {
	how := "each of its replicas takes writes alone, and any of them may still deliver one that another has not seen"
	look := "gamut inspect KEY shows what each replica holds"
	return Errorf(Unsupported, "keyspace %s is %s and keeps no table of requests: %s, so that \"not done\" could never be said; %s", k.Name, k.Consistency, how, look)
}

// AskOutcome asks what became of a request, or of a transaction, and returns a RequestOutcome or a TxnOutcome. What is not decided yet
// is decided by asking. The error is Unavailable while that cannot be, TooOld if nobody remembers, and Unsupported where
// nobody could know.
func AskOutcome(db Database, text string, deadline time.Time) (any, error) {
	if err := CheckOutcomeID(text); err != nil {
		return nil, err
	}
	if IsTxID(text) {
		id, _ := ParseTxID(text)
		return db.Outcome(id, deadline)
	}
	id, _ := ParseRequestID(text)
	return askRequest(db, id, deadline)
}

// CheckOutcomeID says what is wrong with an id for AskOutcome.
func CheckOutcomeID(text string) (err error) {
	if !IsTxID(text) {
		_, err = ParseRequestID(text)
	} else if _, err = ParseTxID(text); err != nil {
		err = Errorf(Invalid, "%q is neither the id of a transaction, which has %d hexadecimal digits, nor that of another write, which is KEYSPACE.KEY.NUMBER; the error that left the outcome open has it", text, 2*TxIDSize)
	}
	return err
}

func askRequest(db Database, id RequestID, deadline time.Time) (any, error) {
	ks := db.Keyspace(id.Keyspace)
	switch {
	case ks == nil && db.Ready() != nil:
		return nil, Errorf(Unavailable, "this node is not ready: %v", db.Ready())
	case ks == nil:
		return nil, Errorf(NoKeyspace, "there is no keyspace %q", id.Keyspace)
	case !ks.Tracked():
		return nil, ks.Untracked()
	}
	var b Batch
	b.Reset(deadline)
	call := b.Add()
	call.Keyspace, call.Command = ks, OutcomeCommand(id)
	db.Submit(&b)
	b.Wait()
	switch r := &call.Result; r.Code {
	case OK:
		return NewRequestOutcome(id, r), nil
	case Unknown:
		return nil, Errorf(Unavailable, "the outcome of request %s is not decided yet; ask again: %s", id, r.Detail)
	default:
		return nil, r.Err()
	}
}
