package machine

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// lock is what the state holds for a key that transactions have locked: one holder that will write it, or any number that
// rely on its not being written.
type lock struct {
	exclusive bool
	holders   []kv.TxID
}

func (l *lock) heldBy(id kv.TxID) bool { return slices.Contains(l.holders, id) }

func appendLock(b []byte, l *lock) []byte {
	mode := byte(0)
	if l.exclusive {
		mode = 1
	}
	b = append(b, mode)
	for _, id := range l.holders {
		b = id.AppendTo(b)
	}
	return b
}

func mustDecodeLock(b []byte) (l lock) {
	if len(b) <= kv.TxIDSize || (len(b)-1)%kv.TxIDSize != 0 {
		panic("machine: a lock cannot be decoded")
	}
	l.exclusive = b[0] == 1
	for b = b[1:]; len(b) > 0; b = b[kv.TxIDSize:] {
		l.holders = append(l.holders, kv.TxIDOf(b))
	}
	return l
}

// reader is as much of a state as a look at locks needs.
type reader interface {
	Get(key []byte) ([]byte, bool)
	Scan(from, to []byte, f func(key, value []byte) bool)
}

// Locks is how many keys of a state are locked.
func Locks(view core.View) int {
	b, ok := view.Get(locksKey)
	if !ok {
		return 0
	}
	return int(binary.BigEndian.Uint64(b))
}

// access is a key and whether it is going to be written.
type access struct {
	key   []byte
	write bool
}

// accesses are the keys of a command, each once, in the order of their first mention. unlocked plants a bug: conditions take no locks.
func accesses(c *kv.Command, unlocked bool) (list []access) {
	add := func(key []byte, write bool) {
		if i := slices.IndexFunc(list, func(a access) bool { return bytes.Equal(a.key, key) }); i >= 0 {
			list[i].write = list[i].write || write
			return
		}
		list = append(list, access{key, write})
	}
	for i := range c.Conds {
		if !unlocked {
			add(c.Conds[i].Key, false)
		}
	}
	for i := range c.Ops {
		o := &c.Ops[i]
		switch o.Kind {
		case kv.OpNone, kv.OpScan, kv.OpClear, kv.OpOutcome, kv.OpAbsorb:
		case kv.OpRename, kv.OpCopy:
			add(o.Key, true)
			add(o.Key2, true)
		default:
			add(o.Key, !o.Kind.ReadOnly())
		}
	}
	return list
}

// Blocked reports whether a command that is not part of a transaction must wait for one (rule V6): a write for every holder of
// a lock, a read for one that will write, and both for any holder once the key is past its expiry. What a scan waits for is for
// Writers to say; here it is only kept from passing over a key that is past its expiry.
func Blocked(view reader, c *kv.Command, now kv.HLC) bool { return blockedBy(locksIn(view), c, now) }

func blockedBy(view lockReader, c *kv.Command, now kv.HLC) bool {
	for i := range c.Ops {
		switch o := &c.Ops[i]; {
		case o.Kind == kv.OpClear && anyLock(view), o.Kind == kv.OpScan && len(enders(view, o, now)) > 0:
			return true
		}
	}
	for _, a := range accesses(c, false) {
		l, ok := view.lockAt(a.key)
		if ok && (a.write || l.exclusive || ends(view, a.key, now)) {
			return true
		}
	}
	return false
}

// ends says that a locked key is past its expiry. It lives on until the lock is gone, for a transaction relies on it, and
// nobody may see it either way before.
func ends(view reader, key []byte, now kv.HLC) bool {
	b, ok := view.Get(append([]byte{DataKind}, key...))
	if !ok {
		return false
	}
	r := mustDecode(key, b)
	return r.expired(now)
}

func anyLock(view reader) (any bool) {
	view.Scan([]byte{lockKind}, []byte{lockKind + 1}, func(_, _ []byte) bool {
		any = true
		return false
	})
	return any
}

// Writers are the transactions that are going to write a key of a scan's range, or that rely on one which is past its expiry. A
// scan that arrives now must wait for them, for they may have been answered as done; those that lock a key later are no older
// than the scan.
func Writers(view reader, o *kv.Op, now kv.HLC) (list []kv.TxID) {
	return holders(view, o, func(key []byte, l *lock) bool { return l.exclusive || ends(view, key, now) })
}

// enders are the transactions that keep a key of a scan's range from its end.
func enders(view reader, o *kv.Op, now kv.HLC) (list []kv.TxID) {
	return holders(view, o, func(key []byte, _ *lock) bool { return ends(view, key, now) })
}

// holders are those of the locks in a scan's range that are asked for, each once.
func holders(view reader, o *kv.Op, of func(key []byte, l *lock) bool) (list []kv.TxID) {
	from, to := append([]byte{lockKind}, o.Key...), []byte{lockKind + 1}
	if len(o.End) > 0 {
		to = append([]byte{lockKind}, o.End...)
	}
	var keys [][]byte
	var locks []lock
	view.Scan(from, to, func(k, b []byte) bool {
		keys, locks = append(keys, bytes.Clone(k[1:])), append(locks, mustDecodeLock(b))
		return true
	})
	for i := range locks {
		if !of(keys[i], &locks[i]) {
			continue
		}
		for _, id := range locks[i].holders {
			if !slices.Contains(list, id) {
				list = append(list, id)
			}
		}
	}
	return list
}

// Undecided reports whether the outcome of a transaction that was voted for is not known in this state.
func Undecided(view reader, id kv.TxID) bool {
	b, ok := view.Get(txKey(openKind, id))
	if !ok {
		return false
	}
	o := mustDecodeOpen(b)
	return !o.committed
}

// ShouldWait judges a transaction that asks for a vote (rule V5): it waits for locks that are in its way if none of their
// holders is older. A younger one is refused, so nobody ever waits in a circle.
func ShouldWait(view reader, c *kv.Command, now kv.HLC, m Mutation) bool {
	conflict := false
	for _, l := range conflicts(locksIn(view), c.Tx.ID, accesses(c, false), now) {
		conflict = true
		for _, holder := range l.holders {
			if c.Tx.ID.Younger(holder) && m != WaitForAll {
				return false
			}
		}
	}
	return conflict
}

// Disturbs reports whether a scan would have to wait for a transaction that has locked its keys.
func Disturbs(view reader, c *kv.Command, scan *kv.Op, now kv.HLC) bool {
	return slices.ContainsFunc(accesses(c, false), func(a access) bool {
		return bytes.Compare(a.key, scan.Key) >= 0 && (len(scan.End) == 0 || bytes.Compare(a.key, scan.End) < 0) && (a.write || ends(view, a.key, now))
	})
}

// conflicts are the locks of others that are in the way of a transaction. Two may rely on one key, but not if it is past its expiry:
// the first relies on its being there.
func conflicts(view lockReader, id kv.TxID, wanted []access, now kv.HLC) (list []lock) {
	for _, a := range wanted {
		if l, ok := view.lockAt(a.key); ok && !l.heldBy(id) && (a.write || l.exclusive || ends(view, a.key, now)) {
			list = append(list, l)
		}
	}
	return list
}

// takeLocks locks keys for a transaction that nothing is in the way of.
func (m *Machine) takeLocks(id kv.TxID, wanted []access) {
	table := m.lockTable()
	m.locks.changed = true
	for _, a := range wanted {
		l, ok := table[string(a.key)]
		m.locks.counted = m.locks.counted || !ok
		l.exclusive, l.holders = a.write, append(l.holders, id)
		m.putLock(a.key, &l, !ok)
	}
}

func (m *Machine) dropLocks(id kv.TxID, wanted []access) {
	table := m.lockTable()
	m.locks.changed = true
	for _, a := range wanted {
		l, ok := table[string(a.key)]
		if !ok || !l.heldBy(id) {
			continue
		}
		l.holders = slices.DeleteFunc(l.holders, func(h kv.TxID) bool { return h == id })
		if len(l.holders) > 0 {
			m.putLock(a.key, &l, false)
			continue
		}
		m.delete(m.stateKey(lockKind, a.key))
		delete(table, string(a.key))
		m.locks.counted = true
	}
}

func (m *Machine) putLock(key []byte, l *lock, fresh bool) {
	at := m.stateKey(lockKind, key)
	from := len(m.arena)
	m.arena = appendLock(m.arena, l)
	m.changes = append(m.changes, core.Change{Kind: core.Put, Key: at, Value: m.arena[from:len(m.arena):len(m.arena)], Fresh: fresh})
	m.lockTable()[string(key)] = *l
}

// heldLocks is how many keys are locked; most entries need to know it and no more.
func (m *Machine) heldLocks() int { return len(m.lockTable()) }

// lockChanges is what the running entry has done to locks: counted says that other keys are locked than before, changed that some
// lock is another one.
type lockChanges struct{ counted, changed bool }

func (m *Machine) writeLocks() {
	if m.locks.counted {
		m.put(locksKey, binary.BigEndian.AppendUint64(nil, uint64(m.heldLocks())))
	}
}

// Held is how many keys are locked behind the entry that was finished last, if that entry has changed any lock.
func (m *Machine) Held() (locks int, changed bool) {
	if !m.locks.changed {
		return 0, false
	}
	return m.heldLocks(), true
}

// through reads the state as a command sees it: with the changes that its entry has made so far.
type through struct{ m *Machine }

func (v through) Get(key []byte) ([]byte, bool) { return v.m.get(key) }

func (v through) Scan(from, to []byte, f func(key, value []byte) bool) {
	(&overlay{v.m}).Scan(from, to, f)
}

func (v through) Snapshot() core.Snapshot { panic("machine: no snapshot within an entry") }
