// Package machine is the state machine behind every ordered keyspace: commands in log order go in, results and changes
// of the state come out.
//
// It is evaluated when a log entry is applied, on every replica, so it must give the same on all of them: it knows no
// clock but the entry's time, no limit of its node, no chance. A key ends when the log's time passes its expiry, not when
// somebody's clock does.
//
// Others rely on this: all changes of one log entry come out together, so that the data, the expiry index and the table
// of client sessions never disagree; and what Read answers is what a logged read at the same state would.
//
// Start with Machine.Apply, then ops.go; read.go serves reads that need no place in the log, session.go suppresses
// duplicates, txn.go and lock.go have the part of transactions that is a group's own, split.go what a split divides.
package machine

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// versionBits is how many changes one log entry can make: kv.OpsMax operations of each of as many commands.
const versionBits = 24

// Position is the log index at which a version was given, unless the group has absorbed another one: then versions run ahead (rule G6).
func Position(version uint64) uint64 { return version >> versionBits }

// Machine applies the commands of one log entry after the other. Between entries it holds memory to reuse, and a copy of the locks
// and of which transactions are open: whoever replaces the state tells it (StateReplaced).
type Machine struct {
	view    core.View
	now     kv.HLC
	version uint64
	changes []core.Change
	arena   []byte
	// written finds the latest change of a state key by its hash. It is built only once a command has to read.
	written map[uint64]int
	indexed int
	// cleared is how many changes stood before the last OpClear: reads of data look no further back.
	cleared int
	wiped   bool
	command kv.Command
	// sessions are the rows of the session table that this entry has opened.
	sessions  []*session
	sessionAt map[[16]byte]int
	// Forgetful plants a bug for the simulator's canaries: commands sent again are executed again (trap T1.11).
	Forgetful bool
	// Unfenced plants another one: what was not executed is told to be not done, and may be executed later (trap T1.19).
	Unfenced bool
	locks    lockChanges
	known    known
	// trial evaluates the operations of a vote.
	trial *Machine
	// Bounds are the keys that the group still has, as of the last entry; nil: it was never split.
	Bounds *Bounds
	// Mutation plants a bug in the part of transactions, the others one in those of splits and merges. 0: none.
	Mutation      Mutation
	SplitMutation SplitMutation
	MergeMutation MergeMutation
	// Lift is by how much versions run ahead of the log, as of the last entry (rule G6); index is that of the entry under way.
	Lift  uint64
	index uint64
	// stamped is the version of all that a write changes; 0: versions are numbered along the log.
	stamped uint64
}

// Begin starts the log entry at an index, with its time, over the state that holds all earlier entries.
func (m *Machine) Begin(view core.View, index uint64, now kv.HLC) {
	m.view, m.now, m.index, m.version, m.stamped = view, now, index, (index+m.Lift)<<versionBits, 0
	m.changes, m.arena = m.changes[:0], m.arena[:0]
	m.indexed, m.cleared, m.wiped = 0, 0, false
	m.locks = lockChanges{}
	if len(m.written) > 0 {
		clear(m.written)
	}
}

// BeginWrite starts a write that has no place in a log yet: its stamp is its time and the version of all that it changes.
func (m *Machine) BeginWrite(view core.View, stamp kv.HLC) {
	m.Begin(view, 0, stamp)
	m.stamped = uint64(stamp)
}

// Finish ends the entry and returns all that it changes. The changes are valid until the next Begin.
func (m *Machine) Finish() []core.Change {
	m.writeSessions()
	m.writeLocks()
	return m.changes
}

// Apply executes one command. want says whether anyone will see the result: a read that nobody waits for is skipped.
// A command that cannot be decoded is answered Invalid everywhere alike. One that a transaction is in the way of is answered
// Locked, one whose keys the group gave away Moved, and nothing is recorded of it.
func (m *Machine) Apply(encoded []byte, want bool) kv.Result {
	c := &m.command
	if err := kv.DecodeCommand(encoded, c); err != nil {
		return kv.Result{Code: kv.Invalid, Detail: "command: " + err.Error()}
	}
	if !m.Bounds.Has(c) && m.SplitMutation != SplitKeepsWriting {
		return kv.Result{Code: kv.Moved}
	}
	if c.Tx != nil {
		return m.applyTx(c, encoded)
	}
	if c.Session.IsZero() || m.Forgetful && !c.AsksOutcome() {
		if !want && c.ReadOnly() {
			return kv.Result{}
		}
		if m.blocked(c) {
			return kv.Result{Code: kv.Locked}
		}
		return m.execute(c)
	}
	if c.AsksOutcome() {
		return m.outcome(c)
	}
	return m.applyOnce(c)
}

// blocked reports whether a command must wait for a transaction.
func (m *Machine) blocked(c *kv.Command) bool {
	if m.heldLocks() == 0 || m.Mutation == ReadersIgnoreLocks && c.ReadOnly() {
		return false
	}
	return blockedBy(through{m}, c, m.now)
}

// execute executes a command, and says at which place in the log if a receipt was asked for.
func (m *Machine) execute(c *kv.Command) kv.Result {
	r := m.evaluate(c)
	if c.Receipt {
		r.Position = m.index
	}
	return r
}

// evaluate evaluates the conditions, then the operations. Either all operations take effect or, if one of several fails
// in a way that a condition would have caught, those before it stay: Redis' MULTI does the same.
func (m *Machine) evaluate(c *kv.Command) kv.Result {
	for i := range c.Conds {
		if !m.holds(&c.Conds[i]) {
			return kv.Result{Code: kv.ConditionFailed, AsOf: m.now.UnixMilli(), Int: int64(i)}
		}
	}
	if len(c.Ops) == 1 {
		r := m.do(&c.Ops[0])
		r.AsOf = m.now.UnixMilli()
		return r
	}
	return kv.Result{AsOf: m.now.UnixMilli(), Items: m.doAll(c.Ops)}
}

// fit replaces an answer that has no room, and returns the room that is left.
func fit(r *kv.Result, room int, read bool) int {
	if size := kv.ValueSize(r.Value); size <= room {
		return room - size
	}
	*r = kv.TooMuch(read)
	return 0
}

func (m *Machine) holds(c *kv.Cond) bool {
	r, ok := m.load(c.Key)
	switch c.Kind {
	case kv.CondAbsent:
		return !ok
	case kv.CondPresent:
		return ok
	case kv.CondVersion:
		return r.Version == c.Version
	case kv.CondValue:
		return ok && kv.SameValue(r.Value, c.Value)
	case kv.CondOtherVersion:
		return r.Version != c.Version
	case kv.CondOtherValue:
		return !ok || !kv.SameValue(r.Value, c.Value)
	}
	return false
}

// load reads the record of a client's key as the command sees it: with the changes of this entry, without what is past
// its expiry.
func (m *Machine) load(key []byte) (Record, bool) {
	b, ok := m.get(m.stateKey(DataKind, key))
	if !ok {
		return Record{}, false
	}
	r := mustDecode(key, b)
	if r.expired(m.now) {
		return Record{}, false
	}
	return r, true
}

// get reads a state key through the changes of this entry.
func (m *Machine) get(key []byte) ([]byte, bool) {
	if c := m.pending(key); c != nil {
		// A copy: the answer to the client outlives the arena.
		return bytes.Clone(c.Value), c.Kind == core.Put
	}
	if m.wiped && key[0] == DataKind {
		return nil, false
	}
	return m.view.Get(key)
}

// pending finds the latest change of a key within this entry.
func (m *Machine) pending(key []byte) *core.Change {
	if len(m.changes) == 0 {
		return nil
	}
	if m.written == nil {
		m.written = map[uint64]int{}
	}
	for ; m.indexed < len(m.changes); m.indexed++ {
		if c := &m.changes[m.indexed]; c.Kind != core.DeleteRange {
			m.written[xxhash.Sum64(c.Key)] = m.indexed
		}
	}
	at, ok := m.written[xxhash.Sum64(key)]
	if !ok {
		return nil
	}
	// Two keys may share a hash: then the latest change of this one is somewhere before.
	for ; at >= 0; at-- {
		if c := &m.changes[at]; c.Kind != core.DeleteRange && bytes.Equal(c.Key, key) {
			if at < m.cleared && key[0] == DataKind {
				return nil
			}
			return c
		}
	}
	return nil
}

// stateKey builds a key of the state in the arena.
func (m *Machine) stateKey(kind byte, parts ...[]byte) []byte {
	from := len(m.arena)
	m.arena = append(m.arena, kind)
	for _, p := range parts {
		m.arena = append(m.arena, p...)
	}
	return m.arena[from:len(m.arena):len(m.arena)]
}

func (m *Machine) put(key, value []byte) {
	if k := key[0]; k == expiryKind || k == idleKind || k == closedKind {
		m.known.ends = min(m.known.ends, endOf(key))
	}
	m.changes = append(m.changes, core.Change{Kind: core.Put, Key: key, Value: value})
}

func (m *Machine) delete(key []byte) {
	m.changes = append(m.changes, core.Change{Kind: core.Delete, Key: key})
}

// nextVersion numbers a change; versions grow along the log.
func (m *Machine) nextVersion() uint64 {
	if m.stamped != 0 {
		return m.stamped
	}
	m.version++
	return m.version
}

// store writes a client's record, or removes it if it is past its expiry at once. It returns the record's version.
func (m *Machine) store(key []byte, r *Record) uint64 {
	if r.Version == 0 {
		r.Version = m.nextVersion()
	}
	if r.expired(m.now) {
		m.remove(key)
		return r.Version
	}
	from := len(m.arena)
	m.arena = appendRecord(m.arena, r)
	record := m.arena[from:len(m.arena):len(m.arena)]
	m.put(m.stateKey(DataKind, key), record)
	if r.ExpireAt != 0 {
		m.put(m.stateKey(expiryKind, timeKey(r.ExpireAt), key), nil)
	}
	return r.Version
}

func (m *Machine) remove(key []byte) { m.delete(m.stateKey(DataKind, key)) }

func timeKey(unixMilli int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(unixMilli))
}

// expireBatch bounds how much one log entry ends, so that no entry stalls a node.
const expireBatch = 512

// Expire ends what is past its time: records, and sessions that were idle too long. The leader proposes an entry for it
// when Next says so; what one entry leaves over, the next one ends.
func (m *Machine) Expire() {
	m.expireMarks()
	m.expireKind(expiryKind, func(at int64, key []byte) {
		if !m.Bounds.Holds(key) && !m.arrives(key) {
			return // its record is the child's, whether it is here still or not
		}
		// The record may have been given a later expiry, or none, since.
		b, ok := m.get(m.stateKey(DataKind, key))
		if !ok || mustDecode(key, b).ExpireAt != at || m.heldLocks() > 0 && m.keep(at, key) {
			return
		}
		m.remove(key)
	})
	m.expireKind(idleKind, m.endSession)
}

// lockedFor is how much later the end of a locked key is looked at again, in milliseconds.
const lockedFor = 100

// keep puts off the end of a key that a transaction has locked: what it relies on must not go before it is decided.
func (m *Machine) keep(at int64, key []byte) bool {
	if _, locked := m.lockTable()[string(key)]; !locked {
		return false
	}
	m.put(m.stateKey(expiryKind, timeKey(m.now.UnixMilli()+lockedFor), key), timeKey(at))
	return true
}

func (m *Machine) expireKind(kind byte, end func(at int64, key []byte)) {
	left := expireBatch
	m.view.Scan([]byte{kind}, m.stateKey(kind, timeKey(m.now.UnixMilli()+1)), func(k, v []byte) bool {
		entry := m.stateKey(kind, k[1:])
		m.delete(entry)
		end(dueAt(entry, v), entry[9:])
		left--
		return left > 0
	})
}

// dueAt is when the end was due that an entry of an index stands for: at its own time, unless it was put off.
func dueAt(entry, value []byte) int64 {
	if len(value) == 8 {
		return int64(binary.BigEndian.Uint64(value))
	}
	return int64(binary.BigEndian.Uint64(entry[1:]))
}

// Next is the earliest time at which Expire may have something to do, in Unix milliseconds.
func Next(view core.View) (unixMilli int64, ok bool) {
	for _, kind := range []byte{expiryKind, idleKind, closedKind} {
		view.Scan([]byte{kind}, []byte{kind + 1}, func(k, _ []byte) bool {
			if at := endOf(k); !ok || at < unixMilli {
				unixMilli, ok = at, true
			}
			return false
		})
	}
	return unixMilli, ok
}

// endOf is when an entry of an index, or a mark, asks for Expire.
func endOf(key []byte) int64 {
	if key[0] == closedKind {
		return markEnd(kv.TxIDOf(key[1:]).Age)
	}
	return int64(binary.BigEndian.Uint64(key[1:]))
}

// never is a time that does not come.
const never = int64(math.MaxInt64)

// Next is Next for a state as the last entry has left it. If the time is later than soon, it may be too early, and there may be none:
// that spares nearly all looks into the state.
func (m *Machine) Next(view core.View, soon int64) (unixMilli int64, ok bool) {
	k := &m.known
	if k.ends <= soon {
		if k.ends, ok = Next(view); !ok {
			k.ends = never
		}
	}
	return k.ends, k.ends != never
}
