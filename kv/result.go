package kv

import "fmt"

// Code is the outcome of a command. Codes are numbered for ever: they cross the wire and rest in session tables.
type Code uint8

// Outcomes. Up to codeDecided the command was executed as asked; the definite failures were not executed and never will
// be, so they may be retried freely; after Unknown the command may have been executed, or may still be.
const (
	OK              Code = 0
	NotFound        Code = 1
	ConditionFailed Code = 2
	// Aborted: a transaction lost against another.
	Aborted Code = 3
	// NotInteger, NotFloat, Overflow, TooLong: the record is not what the operation needs; nothing was changed.
	NotInteger Code = 4
	NotFloat   Code = 5
	Overflow   Code = 6
	TooLong    Code = 7
	// WrongType: the key holds a set where a value was asked for, or the other way round.
	WrongType Code = 8

	// Unavailable: too few replicas were known to be up; nothing was sent.
	Unavailable Code = 32
	// Busy: a bounded queue is full.
	Busy Code = 33
	// NotLeader: this replica cannot order the command; Result.Detail may name who can.
	NotLeader Code = 34
	// Sealed: the keyspace is being migrated.
	Sealed Code = 35
	// TooOld: the session is unknown and too old to be taken up again.
	TooOld Code = 36
	// ClockSkew: a stamp or a clock is too far from the others'.
	ClockSkew Code = 37
	// Unsupported: the keyspace's protocol cannot honestly offer this operation or level.
	Unsupported Code = 38
	// BehindSession: the replica has not yet seen what the session has.
	BehindSession Code = 39
	BadToken      Code = 40
	// Invalid: the request itself is wrong (a size, a range, a combination); Result.Detail says what.
	Invalid Code = 41
	// NoKeyspace: no keyspace of that name.
	NoKeyspace Code = 42
	// CrossShard: the keys of one command lie in several shards.
	CrossShard Code = 43
	// DiskFull: the node keeps its last space for recovery and takes no writes.
	DiskFull Code = 44
	// Exists: what was to be created is there already.
	Exists Code = 45
	// SessionLost: what the session has seen is gone with the disk of its only holder; the client must begin a new session.
	SessionLost Code = 46
	// Locked: a transaction that is not decided yet holds a key of the command. No client sees it: the group's leader waits for
	// the transaction and tries again.
	Locked Code = 47
	// Moved: a key of the command is no longer the group's, since the group was split. Clients see it only where the rest of the
	// cluster did not learn of the other group in time: nodes send the command there.
	Moved Code = 48
	// ValueLost: the key is there, and its value was kept outside of the replicas, where no copy of it is left. Writing the
	// key anew mends it.
	ValueLost Code = 49
	// Fenced: before the request was executed somebody asked for its outcome, and was told that it is not done. So it never is; it
	// may be sent anew under another number.
	Fenced Code = 50

	// Unknown: the outcome is not known; the command may have happened, or may happen yet.
	Unknown Code = 64
)

var codeNames = map[Code]string{
	OK: "ok", NotFound: "not found", ConditionFailed: "condition failed", Aborted: "aborted", NotInteger: "not an integer",
	NotFloat: "not a number", Overflow: "overflow", TooLong: "value too long", WrongType: "wrong type", Unavailable: "unavailable", Busy: "busy",
	NotLeader: "not leader", Sealed: "sealed", TooOld: "session too old", ClockSkew: "clock skew",
	Unsupported: "unsupported", BehindSession: "behind session", BadToken: "bad token", Invalid: "invalid request",
	NoKeyspace: "no such keyspace", CrossShard: "keys in several shards", DiskFull: "disk full", Exists: "already exists",
	SessionLost: "session lost", Locked: "locked by a transaction", Moved: "moved to another shard", ValueLost: "value lost",
	Fenced:  "fenced",
	Unknown: "unknown outcome",
}

// String is the code in words.
func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// Definite reports whether the outcome is certain: executed as the code says, or certainly not executed.
func (c Code) Definite() bool { return c != Unknown }

// Refused reports whether the command was certainly not executed, so that it may be sent again.
func (c Code) Refused() bool { return c >= Unavailable && c < Unknown }

// Mark tells a memcached meta client where it stands with a record that is being recached, and what kind a record is of.
type Mark uint8

// Marks of OpRecache and of any read of such a record.
const (
	MarkWon   Mark = 1 << 0 // the asker should recache
	MarkSent  Mark = 1 << 1 // another asker has been told so already
	MarkStale Mark = 1 << 2 // the value is marked stale
	// MarkSet says that the key holds a set, in what asks for no value and in scans, whose Items are its members.
	MarkSet Mark = 1 << 3
	// MarkEvicted says that a key is missing from the answer because the stores had lost its value, for which it was deleted: its
	// keyspace is evictable.
	MarkEvicted Mark = 1 << 4
)

// Result answers a command. For a command of one operation it is that operation's result; for several, Items has one each.
type Result struct {
	Code Code
	// Existed tells whether the key was there before the operation.
	Existed bool
	Marks   Mark
	Flags   uint32
	// Version grows with every change of the record; 0: missing. It is also the position of the change in its group.
	Version uint64
	// Origin is the replica that gave the record its stamp, in keyspaces whose versions are stamps: (Version as HLC, Origin); else 0.
	Origin uint32
	// ExpireAt is in Unix milliseconds; 0: never.
	ExpireAt int64
	// AsOf is the log time in Unix milliseconds at which the result was true.
	AsOf  int64
	Int   int64
	Float float64
	Value []byte
	// Key is the key of a scanned item, or where a cut scan goes on.
	Key   []byte
	Items []Result
	// Siblings is how many values the key has beside the one that was read, which is the newest (see OpSiblings).
	Siblings uint32
	// Position is how far the group's log was applied to the state that answered, if the command asked for a receipt and the
	// protocol has one log; of a change, its own place in the log.
	Position uint64
	// Level is the level met, if the request asked for one or the protocol has more than one.
	Level Level
	// Token is what the client has seen with this answer, to go with its next command; empty: nothing new.
	Token  []byte
	Detail string
	// Tx answers a step of a transaction; nil elsewhere.
	Tx *TxAnswer
	// Request is the number under which a command of unknown outcome was sent, if it had one.
	Request *Session
}

// Err is the result as an error; nil for the outcomes of an executed command.
func (r *Result) Err() error {
	if r.Code < Unavailable {
		return nil
	}
	return &Error{Code: r.Code, Detail: r.Detail}
}

// Error is an outcome that is not a success, with what is wrong and what to do.
type Error struct {
	Code   Code
	Detail string
}

// Error is the detail behind the code in words.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Detail
}

// Errorf makes an *Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// TooMuch stands in for an answer that would pass AnswerMax. A change that was executed must not look refused.
func TooMuch(read bool) Result {
	if read {
		return Result{Code: TooLong, Detail: "the answers are over 64 MiB together; ask for fewer keys at once"}
	}
	return Result{Code: Unknown, Detail: "the change was executed, but the answers are over 64 MiB together"}
}

// Failed is the Result of an error: its code if it is ours, else Unknown, since nothing is known about it.
func Failed(err error) Result {
	if e, ok := err.(*Error); ok {
		return Result{Code: e.Code, Detail: e.Detail}
	}
	return Result{Code: Unknown, Detail: err.Error()}
}
