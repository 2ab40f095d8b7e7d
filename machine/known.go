package machine

import (
	"bytes"
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// known is what nearly every step of a transaction asks for, kept beside the state that it is a copy of: a look into the state
// costs more than all else that a vote does. Each part is read from the state when it is first needed.
type known struct {
	// locks are those of all keys; nil: not read yet.
	locks map[string]lock
	// open are the transactions with a vote of yes; nil: not read yet, nor seals. The commands of long ones are left to the state.
	open  map[kv.TxID]open
	seals []kv.TxID
	// marked is an age that no mark is above: a transaction that begins is younger than all that have ended, nearly always, and need
	// not look for a mark that is not there.
	marked kv.HLC
	// ends is a time before which nothing ends, in Unix milliseconds; 0: Next has not looked.
	ends int64
}

// StateReplaced says that the state is not the one any more that the last entry left.
func (m *Machine) StateReplaced() { m.known = known{} }

// lockTable is a copy of all locks as the running entry has left them.
func (m *Machine) lockTable() map[string]lock { return m.locksOf(m.view) }

func (m *Machine) locksOf(view core.View) map[string]lock {
	k := &m.known
	if k.locks != nil {
		return k.locks
	}
	k.locks = map[string]lock{}
	if Locks(view) > 0 {
		view.Scan([]byte{lockKind}, []byte{lockKind + 1}, func(key, b []byte) bool {
			k.locks[string(key[1:])] = mustDecodeLock(b)
			return true
		})
	}
	return k.locks
}

// keptCommand is the longest command that is kept beside the state.
const keptCommand = 1 << 10

// keep is what is kept of an open transaction. The bytes are its own.
func (o *open) keep() open {
	kept := *o
	if kept.command = nil; 0 < len(o.command) && len(o.command) <= keptCommand {
		kept.command = bytes.Clone(o.command)
	}
	return kept
}

// whole reports whether nothing is left to the state. A vote has a command until its outcome is known.
func (o *open) whole() bool { return o.committed || len(o.command) > 0 }

// openTable is a copy of which transactions are open as the running entry has left them.
func (m *Machine) openTable() map[kv.TxID]open {
	k := &m.known
	if k.open != nil {
		return k.open
	}
	k.open = map[kv.TxID]open{}
	m.view.Scan([]byte{openKind}, []byte{openKind + 1}, func(key, b []byte) bool {
		o := mustDecodeOpen(b)
		k.open[kv.TxIDOf(key[1:])] = o.keep()
		return true
	})
	k.marked = m.now
	m.view.Scan(binary.BigEndian.AppendUint64([]byte{closedKind}, uint64(m.now)), []byte{closedKind + 1}, func(key, _ []byte) bool {
		k.marked = max(k.marked, kv.TxIDOf(key[1:]).Age)
		return true
	})
	b, _ := m.view.Get(sealKey)
	for ; len(b) >= kv.TxIDSize; b = b[kv.TxIDSize:] {
		k.seals = append(k.seals, kv.TxIDOf(b))
	}
	return k.open
}

// lockReader is a state and its locks.
type lockReader interface {
	reader
	lockAt(key []byte) (lock, bool)
}

// locksIn are the locks of a state, from the copy if the state has one beside it.
func locksIn(view reader) lockReader {
	if l, ok := view.(lockReader); ok {
		return l
	}
	return stateLocks{view}
}

// Beside is a state as the last entry has left it, with the copy of its locks, for Blocked, Writers and ShouldWait.
func (m *Machine) Beside(view core.View) Beside { return Beside{view, m} }

// Beside is a state whose locks are known without a look.
type Beside struct {
	core.View
	m *Machine
}

func (b Beside) lockAt(key []byte) (lock, bool) {
	l, ok := b.m.locksOf(b.View)[string(key)]
	return l, ok
}

// stateLocks are the locks as they stand in a state.
type stateLocks struct{ reader }

func (s stateLocks) lockAt(key []byte) (lock, bool) {
	b, ok := s.Get(append([]byte{lockKind}, key...))
	if !ok {
		return lock{}, false
	}
	return mustDecodeLock(b), true
}

func (v through) lockAt(key []byte) (lock, bool) {
	l, ok := v.m.lockTable()[string(key)]
	return l, ok
}
