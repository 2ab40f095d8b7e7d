package referee

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// Kind is what an operation did. The words stand in exported histories.
type Kind string

// Kinds of operation. Cas stores Value if the present value is Expect; Create stores it if the key is missing. A Txn is
// several operations on one or more keys, its Subs, that take effect together or not at all; a Cas in it is a condition of the whole.
const (
	Get    Kind = "get"
	Set    Kind = "set"
	Create Kind = "create"
	Cas    Kind = "cas"
	Delete Kind = "delete"
	Incr   Kind = "incr"
	Append Kind = "append"
	Txn    Kind = "txn"
	// Include puts Value into the set at Key, Exclude takes Expect out, and Members reads the set: Got is its members, apart by spaces.
	Include Kind = "include"
	Exclude Kind = "exclude"
	Members Kind = "members"
)

// Writes reports whether the operation may change its key. Of a Txn only its Subs tell, see Op.Writes.
func (k Kind) Writes() bool { return k != Get && k != Members }

// Outcome is how certain an answer is.
type Outcome string

// Outcomes. Done: executed, with the result that its Code names. Refused: certainly not executed, now or later.
// Unknown: perhaps executed, perhaps later.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused"
	Unknown Outcome = "unknown"
)

// Op is one operation of one client.
type Op struct {
	ID int `json:"id"`
	// Client is who called; Session is on whose behalf, if not its own: a session may move between nodes, and between clients.
	Client  int    `json:"client"`
	Session string `json:"session,omitempty"`
	// Node was asked (1 is the first; 0: not recorded), at Level; the answer says that it Met a level. Empty: the keyspace's promise.
	Node  uint32 `json:"node,omitempty"`
	Level string `json:"level,omitempty"`
	Met   string `json:"met,omitempty"`
	// Group is the replica group of the key; 0: not recorded.
	Group uint64 `json:"group,omitempty"`

	Key    string `json:"key"`
	Kind   Kind   `json:"kind"`
	Value  string `json:"value,omitempty"`
	Expect string `json:"expect,omitempty"`
	Delta  int64  `json:"delta,omitempty"`
	// TTL is how many milliseconds after the write its key ends; 0: never. Keys that have one are not counted with or appended to.
	TTL int64 `json:"ttl,omitempty"`
	// Subs are the operations of a Txn; its own Key is empty.
	Subs []Sub `json:"subs,omitempty"`

	// Call and Return are nanoseconds on one clock. The Return of an unknown outcome says when the client gave up, no more.
	Call    int64   `json:"call"`
	Return  int64   `json:"return"`
	Outcome Outcome `json:"outcome"`
	// Code and what follows are the result of a done operation. Version and Stamp are two ways to tell the order of the
	// writes of a key: those of the write that was made, or of the one that was read. A zero says nothing.
	Code    kv.Code `json:"-"`
	Got     string  `json:"got,omitempty"`
	Int     int64   `json:"int,omitempty"`
	Version uint64  `json:"version,omitempty"`
	Stamp   Stamp   `json:"stamp,omitzero"`
	// Position is how far its group's log was applied where it was answered; AsOf the log time of that, in Unix milliseconds.
	Position uint64 `json:"position,omitempty"`
	AsOf     int64  `json:"asOf,omitempty"`
	// Where tells people more about how it was asked.
	Where string `json:"where,omitempty"`
}

// Sub is one operation of a Txn; its fields mean what they mean in an Op.
type Sub struct {
	Kind    Kind    `json:"kind"`
	Key     string  `json:"key"`
	Value   string  `json:"value,omitempty"`
	Expect  string  `json:"expect,omitempty"`
	Delta   int64   `json:"delta,omitempty"`
	TTL     int64   `json:"ttl,omitempty"`
	Code    kv.Code `json:"-"`
	Got     string  `json:"got,omitempty"`
	Int     int64   `json:"int,omitempty"`
	Version uint64  `json:"version,omitempty"`
	Stamp   Stamp   `json:"stamp,omitzero"`
}

// Answer takes the result of an operation over: its outcome, and what it says. r.Items answer the Subs of a Txn, in order.
func (o *Op) Answer(at int64, r *kv.Result) {
	o.Return, o.Code = at, r.Code
	switch {
	case r.Code == kv.Unknown:
		o.Outcome = Unknown
	case r.Code.Refused():
		o.Outcome = Refused
	default:
		o.Outcome, o.Got, o.Int, o.AsOf = Done, string(r.Value), r.Int, r.AsOf
		o.Version, o.Stamp = order(r)
		if o.Kind == Members {
			o.Got = membersText(r)
		}
		if r.Level != kv.LevelDefault {
			o.Met = r.Level.String()
		}
		o.answerSubs(r)
	}
}

// membersText are the members of a set that was read, apart by spaces.
func membersText(r *kv.Result) string {
	values := make([]string, len(r.Items))
	for i := range r.Items {
		values[i] = string(r.Items[i].Value)
	}
	return strings.Join(values, " ")
}

// order is the place of a result among the writes of its key: a version, or a stamp where replicas give their own.
func order(r *kv.Result) (version uint64, s Stamp) {
	if r.Origin != 0 {
		return 0, Stamp{kv.HLC(r.Version), r.Origin}
	}
	return r.Version, Stamp{}
}

// answerSubs spreads the results of a command over the operations of a Txn. One that was not executed has none, and a
// command of one operation is answered by that operation's result itself.
func (o *Op) answerSubs(r *kv.Result) {
	if o.Kind != Txn {
		return
	}
	o.Got, o.Int, o.Version, o.Stamp = "", 0, 0, Stamp{}
	items := r.Items
	if len(o.Subs) == 1 {
		items = []kv.Result{*r}
	}
	for i := 0; o.Executed() && i < min(len(items), len(o.Subs)); i++ {
		s := &o.Subs[i]
		s.Code, s.Got, s.Int = items[i].Code, string(items[i].Value), items[i].Int
		s.Version, s.Stamp = order(&items[i])
	}
}

// Executed reports whether the operation is known to have been carried out. A Txn whose condition failed was not.
func (o *Op) Executed() bool {
	return o.Outcome == Done && (o.Kind != Txn || o.Code == kv.OK)
}

// Writes reports whether the operation may change anything.
func (o *Op) Writes() bool {
	if o.Kind != Txn {
		return o.Kind.Writes()
	}
	return slices.ContainsFunc(o.Subs, func(s Sub) bool { return s.Kind.Writes() })
}

// session is on whose behalf the operation was called.
func (o *Op) session() string {
	if o.Session != "" {
		return o.Session
	}
	return "client " + strconv.Itoa(o.Client)
}

// end is the time after which the operation cannot take effect any more.
func (o *Op) end() int64 {
	if o.Outcome == Unknown {
		return math.MaxInt64
	}
	return o.Return
}

// History is what all clients did.
type History []Op

// Sort orders the operations by their calls and numbers them.
func (h History) Sort() {
	slices.SortStableFunc(h, func(a, b Op) int {
		switch {
		case a.Call < b.Call:
			return -1
		case a.Call > b.Call:
			return 1
		}
		return a.Client - b.Client
	})
	for i := range h {
		h[i].ID = i
	}
}

// keys are the keys of the history, each with its operations in order. A Txn counts as one operation for each of its Subs,
// over the same time: what holds for it holds for them.
func (h History) keys() (names []string, ops map[string]History) {
	ops = map[string]History{}
	add := func(o Op) {
		if _, ok := ops[o.Key]; !ok {
			names = append(names, o.Key)
		}
		ops[o.Key] = append(ops[o.Key], o)
	}
	for _, o := range h.flat() {
		add(o)
	}
	slices.Sort(names)
	return names, ops
}

// flat are the operations, and those of each Txn in its place.
func (h History) flat() (ops History) {
	for i := range h {
		if h[i].Kind == Txn {
			ops = append(ops, h[i].single()...)
		} else {
			ops = append(ops, h[i])
		}
	}
	return ops
}

// single are the operations of a Txn as operations of their own.
func (o *Op) single() (ops []Op) {
	for _, s := range o.Subs {
		one := *o
		one.Subs = nil
		one.Kind, one.Key, one.Value, one.Expect, one.Delta, one.TTL = s.Kind, s.Key, s.Value, s.Expect, s.Delta, s.TTL
		if o.Outcome == Done {
			one.Code, one.Got, one.Int, one.Version, one.Stamp = s.Code, s.Got, s.Int, s.Version, s.Stamp
		}
		if !o.Executed() && o.Outcome == Done {
			// Its conditions failed together: which of them did is not known, so it tells nothing of any key.
			one.Outcome = Refused
		}
		ops = append(ops, one)
	}
	return ops
}
