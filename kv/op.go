package kv

// Limits on what a client may send, checked by Command.Validate before anything is proposed.
const (
	// KeyMax is the longest key in bytes.
	KeyMax = 4 << 10
	// ValueMax is the longest value in bytes. It is far below a peer's frame limit, so that one value always fits a block.
	ValueMax = 8 << 20
	// AnswerMax bounds the values in the answer to one command, and to one batch, in bytes: many large values that are asked
	// for at once would fill a node's memory before the first is sent.
	AnswerMax = 64 << 20
	// OpsMax bounds the operations of one command: a command is applied in one step, and a step must not stall a node.
	OpsMax = 4096
	// SetMax bounds what the members of a set have together in bytes, and a few for each, where one is put into it. Sets that
	// several replicas fill at once may pass it, each by as much.
	SetMax = 256 << 10
	// SiblingsMax bounds the siblings of a key, SiblingsBytesMax their bytes together, SiblingMax those of one: they are read,
	// written and sent together.
	SiblingsMax      = 64
	SiblingsBytesMax = 4 << 20
	SiblingMax       = 1 << 20
)

// OpKind names what an operation does. The numbers are on disk and on the wire: they are never reordered.
type OpKind uint8

// Operations. "Missing" includes a key past its expiry in log time.
const (
	// OpNone does nothing; a command of it is a barrier in the order of writes.
	OpNone OpKind = 0
	// OpGet reads one key: NotFound, or its value, Flags, Version and ExpireAt. The result's Int is the value's length.
	OpGet OpKind = 1
	// OpScan reads Key <= k < End in byte order into Result.Items, at most Limit of them (0: ScanMax), keys only with KeysOnly.
	// If more remain, Result.Key is the key to go on from.
	OpScan OpKind = 2
	// OpSet stores Value under When and Expiry; Flags replace the old ones.
	OpSet OpKind = 3
	// OpDelete removes the key under When; NotFound if it was missing.
	OpDelete OpKind = 4
	// OpIncr adds Delta to a decimal int64 (missing: 0) as Redis does; NotInteger or Overflow change nothing. Expiry is kept.
	OpIncr OpKind = 5
	// OpIncrFloat adds Float to a decimal number (missing: 0) as Redis' INCRBYFLOAT does. The result's Value is the new
	// number as it is stored; NotFloat or Overflow change nothing. Expiry is kept.
	OpIncrFloat OpKind = 6
	// OpCounter adds (Delta >= 0) or subtracts a uint64 as memcached does: addition wraps at 2^64, subtraction stops at 0.
	// A missing key is NotFound unless HasInitial, which stores Initial with Expiry, whatever When says. A present one gets
	// Expiry if HasInitial is not set or Touch is. The result's Value is the new number.
	OpCounter OpKind = 7
	// OpAppend puts Value behind the present one; missing: creates it with Flags and Expiry, unless When
	// says IfPresent. The record keeps its own flags and expiry otherwise. The result's Int is the new length.
	OpAppend OpKind = 8
	// OpPrepend puts Value before the present one; all else is as in OpAppend.
	OpPrepend OpKind = 9
	// OpSetRange overwrites from Offset, padding with zero bytes; the result's Int is the new length.
	OpSetRange OpKind = 10
	// OpExpire changes only the expiry, under ExpireWhen; NotFound if missing. With Expiry ExpireNever it removes the expiry.
	// The result's Value, Flags and Version are the record's (so that get-and-touch is this operation). An absolute
	// expiry in the past deletes.
	OpExpire OpKind = 11
	// OpRename moves the record at Key to Key2 with its expiry; When IfAbsent speaks of Key2 (ConditionFailed). NotFound if Key is missing.
	OpRename OpKind = 12
	// OpCopy copies the record at Key to Key2 with its expiry; When IfAbsent speaks of Key2.
	OpCopy OpKind = 13
	// OpClear removes every key of the shard. Of a group that was split it removes those that the group still has, and the result's
	// Key is where to go on, if the range of Key and End does not end there.
	OpClear OpKind = 14
	// OpRecache is memcached's meta get with a write in it: on a miss with HasInitial it stores an empty value that
	// expires by Expiry and wins; on a hit that is stale, or that expires within Delta milliseconds, the first asker wins.
	// The result's Marks say won, sent or stale.
	OpRecache OpKind = 15
	// OpInvalidate marks the record stale instead of deleting it, under When, with a new Version; Expiry applies unless
	// ExpireKeep. With KeysOnly the value and the flags go too.
	OpInvalidate OpKind = 16
	// OpInclude puts Value into the set at Key, OpExclude takes it out; Existed tells whether it was a member. WrongType: the key
	// holds no set; TooLong: its members would pass SetMax. OpExclude of what is no member is NotFound.
	OpInclude OpKind = 17
	OpExclude OpKind = 18
	// OpMembers reads a set: the result's Int counts its members, which are the Values of its Items in byte order unless Quiet.
	// OpMember looks for Value alone: the result's Int is 1 or 0.
	OpMembers OpKind = 19
	OpMember  OpKind = 20
	// OpSiblings reads all values that a key has into Items, the newest first.
	OpSiblings OpKind = 21
	// OpOutcome asks what became of the command whose Session its command carries, and of which Key is a key: Existed says that it was
	// executed, and Items has its result. If it was not, it never will be from then on: it is answered Fenced whenever it comes.
	OpOutcome OpKind = 22
	// OpAbsorb carries Value, a part of what the group's neighbour held when it retired, into the group. Doors never send one: nodes do,
	// among themselves, alone in a command. The result says in Value where the next part begins that the group lacks, or, with Existed,
	// in Position behind which place in its log it has all.
	OpAbsorb OpKind = 23

	opKinds OpKind = 24
)

// When is a condition on the record that an operation would change.
type When uint8

// Conditions; what does not hold is answered ConditionFailed, or NotFound where the key is missing and had to be there.
const (
	Always    When = 0
	IfAbsent  When = 1
	IfPresent When = 2
	// IfVersion holds when the record's version equals Op.Version; a missing key is NotFound.
	IfVersion When = 3
	// IfVersionOrOlder is memcached's invalidating set: it holds when Op.Version is the record's version, or lower; then
	// the new record is marked stale and keeps its expiry. Missing: NotFound.
	IfVersionOrOlder When = 4
	// IfValue holds when the record's value equals Op.Expect; a missing key is NotFound.
	IfValue When = 5
)

// Expiry says what an operation does to the time at which its key ends.
type Expiry uint8

// Expiries. Times are Unix milliseconds, judged by the time of the log entry that applies the operation, so that all
// replicas agree and no clock of a reader matters.
const (
	// ExpireNever removes an expiry.
	ExpireNever Expiry = 0
	// ExpireKeep leaves it as it is.
	ExpireKeep Expiry = 1
	// ExpireAt sets it to Op.Expire, absolute. In the past: the key is deleted.
	ExpireAt Expiry = 2
	// ExpireIn sets it to Op.Expire milliseconds after the log time of the operation.
	ExpireIn Expiry = 3
)

// ExpireWhen is Redis' condition of EXPIRE. A key without expiry counts as one that ends never (greater than any).
type ExpireWhen uint8

// Conditions on the present expiry.
const (
	ExpireAlways    ExpireWhen = 0
	ExpireIfNone    ExpireWhen = 1
	ExpireIfSome    ExpireWhen = 2
	ExpireIfGreater ExpireWhen = 3
	ExpireIfLess    ExpireWhen = 4
	// ExpireIfSomeAndLess is ExpireIfLess, but fails for a key without expiry.
	ExpireIfSomeAndLess ExpireWhen = 5
)

// Op is one operation on one key (OpRename and OpCopy: on two). Fields that a kind does not name are ignored.
// The byte slices are borrowed: they must stay unchanged until the command is answered.
type Op struct {
	Kind       OpKind
	When       When
	Expiry     Expiry
	ExpireWhen ExpireWhen
	// Old asks for the record as it was before the change in the result's Value, Flags and Existed.
	Old        bool
	HasInitial bool
	KeysOnly   bool
	// Quiet asks for no Value in the result of an OpGet, OpExpire or OpRecache (existence checks need not carry 8 MiB over
	// the wire).
	Quiet bool
	// Touch asks an OpCounter with HasInitial to give Expiry to a present record too.
	Touch bool

	Key    []byte
	Key2   []byte // OpRename, OpCopy: the target
	End    []byte // OpScan: first key beyond; empty: to the end
	Value  []byte
	Expect []byte // IfValue

	Flags   uint32
	Version uint64 // IfVersion, IfVersionOrOlder
	// NewVersion, if not 0, is stored as the record's version instead of the one the log gives (memcached's E flag).
	NewVersion uint64
	Expire     int64 // milliseconds, see Expiry
	Delta      int64
	Down       bool // OpCounter: subtract Magnitude
	Magnitude  uint64
	Initial    uint64
	Float      float64
	Offset     uint32
	Limit      uint32
}

// ScanMax is the number of keys that one OpScan returns at most.
const ScanMax = 10_000

// ReadOnly reports whether the operation can change nothing, so that it needs no place in the log.
func (k OpKind) ReadOnly() bool {
	return k == OpGet || k == OpScan || k == OpMembers || k == OpMember || k == OpSiblings
}

// Merges reports whether only keyspaces that merge what replicas have taken alone know the operation: sets and siblings.
func (k OpKind) Merges() bool { return k >= OpInclude && k <= OpSiblings }

// Cond must hold for a command's operations to be executed; otherwise none is, and the answer is ConditionFailed.
type Cond struct {
	Key     []byte
	Kind    CondKind
	Version uint64
	Value   []byte
}

// CondKind is what a Cond compares.
type CondKind uint8

// Kinds of Cond.
const (
	CondAbsent  CondKind = 1
	CondPresent CondKind = 2
	// CondVersion compares the version; a missing key has version 0.
	CondVersion CondKind = 3
	CondValue   CondKind = 4
	// CondOtherVersion and CondOtherValue hold when CondVersion and CondValue do not.
	CondOtherVersion CondKind = 5
	CondOtherValue   CondKind = 6
)

// Negation holds whenever the condition does not.
func (c Cond) Negation() Cond {
	c.Kind = [...]CondKind{0, CondPresent, CondAbsent, CondOtherVersion, CondOtherValue, CondVersion, CondValue}[c.Kind]
	return c
}

// Session makes a command safe to send again: the same Client and Seq execute at most once. Zero means none.
type Session struct {
	// Client is 48 bits of creation time in Unix milliseconds, then 80 random bits.
	Client [16]byte
	// Seq counts the client's commands from 1.
	Seq uint64
	// Acked is the highest Seq such that all answers up to it have arrived; the servers forget those.
	Acked uint64
}

// IsZero reports whether there is no session.
func (s Session) IsZero() bool { return s.Seq == 0 }

// Command is what one request asks of one shard: all its conditions and operations take effect at one instant, or none.
type Command struct {
	Session Session
	// Level is what the request asks of its keyspace.
	Level Level
	// Receipt asks for what a Receipt says of the answer and what takes some work to find: Result.Position.
	Receipt bool
	// Token is what the client has seen so far, as the last Result.Token said; opaque to all but the keyspace's protocol.
	Token []byte
	// Context, where siblings are kept, is the token that came with a read: a write replaces what was there then, and nothing else.
	// Empty: what its replica holds.
	Context []byte
	// Tx makes the command a step of a transaction over several groups; nil in what clients ask for.
	Tx    *Tx
	Conds []Cond
	Ops   []Op
	// Merge says what is done where the conditions do not hold, in a keyspace with a commit order; nil: nothing.
	Merge *Merge
}

// ReadOnly reports whether no operation of the command can change anything.
func (c *Command) ReadOnly() bool {
	for i := range c.Ops {
		if !c.Ops[i].Kind.ReadOnly() {
			return false
		}
	}
	return len(c.Ops) > 0 && c.Tx == nil
}

// absorbs reports whether the command is a part of a merge.
func (c *Command) absorbs() bool { return len(c.Ops) == 1 && c.Ops[0].Kind == OpAbsorb }

// Keys calls f with each key that the command touches, in order, the bounds of scans excepted.
func (c *Command) Keys(f func(key []byte)) {
	for i := range c.Conds {
		f(c.Conds[i].Key)
	}
	for i := range c.Ops {
		op := &c.Ops[i]
		switch op.Kind {
		case OpNone, OpScan, OpClear, OpAbsorb:
		case OpRename, OpCopy:
			f(op.Key)
			f(op.Key2)
		default:
			f(op.Key)
		}
	}
	c.Merge.keys(f)
}
