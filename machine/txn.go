package machine

import (
	"encoding/binary"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// The part of transactions over several groups that each group keeps in its state (rules V1 to V4 of docs/TRANSACTIONS.md):
// the locks, and a table of votes in two parts. Open are transactions with a vote of yes, until every participant is known to
// know the outcome. Closed are marks of those that were refused or have ended: they make sure that no late or repeated
// command begins one anew, and may go when such a command would be refused for its age alone.

// floorMillis is how old a transaction may be to be voted for. It is far above the time for which one is tried.
const floorMillis = 10 * 60 * 1000

// locksKey holds how many keys are locked, sealKey the drops that are under way.
var locksKey, sealKey = []byte{'n'}, []byte{'z'}

// open is a transaction with a vote of yes.
type open struct {
	committed bool
	// at and version are the time and the numbers by which the operations were evaluated when the vote was given. They are
	// evaluated by the same ones when they take effect: the keys are locked in between, so the results are those of the vote.
	at           kv.HLC
	version      uint64
	participants []uint64
	// command is the TxPrepare; empty once committed.
	command []byte
}

func appendOpen(b []byte, o *open) []byte {
	b = append(b, recordVersion)
	if o.committed {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(o.at))
	b = binary.BigEndian.AppendUint64(b, o.version)
	b = kv.AppendGroups(b, o.participants)
	return append(b, o.command...)
}

func mustDecodeOpen(b []byte) (o open) {
	if len(b) < 19 || b[0] != recordVersion {
		panic("machine: a transaction's vote cannot be decoded")
	}
	o.committed = b[1] == 1
	o.at, o.version = kv.HLC(binary.BigEndian.Uint64(b[2:])), binary.BigEndian.Uint64(b[10:])
	groups, rest, err := kv.DecodeGroups(b[18:])
	if err != nil {
		panic("machine: a transaction's participants cannot be decoded")
	}
	o.participants, o.command = groups, rest
	return o
}

func txKey(kind byte, id kv.TxID) []byte { return id.AppendTo([]byte{kind}) }

// applyTx executes a step of a transaction.
func (m *Machine) applyTx(c *kv.Command, encoded []byte) kv.Result {
	var res kv.Result
	switch c.Tx.Step {
	case kv.TxPrepare:
		res = m.prepare(c, encoded)
	case kv.TxRefuse:
		res = m.refuseTx(c.Tx.ID, kv.TxRecovered)
	case kv.TxResolve:
		res = m.resolve(c.Tx)
	case kv.TxForget:
		res = m.forgetTx(c.Tx.ID)
	case kv.TxForgetMany:
		// The answer is that for the first one: those of a command are known to have ended, and nobody needs to be told.
		res = m.forgetTx(c.Tx.ID)
		for _, id := range c.Tx.Others {
			m.forgetTx(id)
		}
	case kv.TxSeal:
		res = m.seal(c.Tx)
	}
	res.AsOf = m.now.UnixMilli()
	return res
}

// prepare votes (rule V1). A vote never changes: asked again, it is told again.
func (m *Machine) prepare(c *kv.Command, encoded []byte) kv.Result {
	id := c.Tx.ID
	if o, ok := m.openTx(id); ok {
		var voted kv.Command
		if !o.committed {
			mustDecodeCommand(o.command, &voted)
		}
		return m.votedYes(&o, voted.Ops)
	}
	if a, ok := m.closedTx(id); ok && !(m.Mutation == VoteAfterRefusal && a.State == kv.TxRefused) {
		return kv.Result{Tx: a}
	}
	if m.belowFloor(id) {
		return kv.Result{Tx: &kv.TxAnswer{State: kv.TxNone}}
	}
	if m.sealed() && m.Mutation != VoteUnderSeal {
		return m.close(id, kv.TxAnswer{State: kv.TxRefused, Reason: kv.TxDropped})
	}
	wanted := accesses(c, m.Mutation == UnlockedConditions)
	if m.heldLocks() > 0 && len(conflicts(through{m}, id, wanted, m.now)) > 0 {
		return m.close(id, kv.TxAnswer{State: kv.TxRefused, Reason: kv.TxConflict})
	}
	for i := range c.Conds {
		if !m.holds(&c.Conds[i]) {
			return m.close(id, kv.TxAnswer{State: kv.TxRefused, Reason: kv.TxCondition, Cond: uint32(i)})
		}
	}
	o := open{at: m.now, version: m.version, participants: c.Tx.Participants, command: encoded}
	m.takeLocks(id, wanted)
	m.putOpen(id, &o)
	return m.votedYes(&o, c.Ops)
}

// votedYes is the answer of a group that voted yes: with the results that the operations have, or will have.
func (m *Machine) votedYes(o *open, ops []kv.Op) kv.Result {
	if o.committed {
		return kv.Result{Tx: &kv.TxAnswer{State: kv.TxCommitted, Participants: o.participants}}
	}
	// On a machine of its own: what it changes is the answer's, and the state's only with the outcome.
	if m.trial == nil {
		m.trial = &Machine{}
	}
	m.trial.StateReplaced()
	m.trial.Bounds = m.Bounds
	m.trial.Begin(through{m}, 0, o.at)
	m.trial.version = o.version
	items := m.trial.doAll(ops)
	m.version = max(m.version, m.trial.version) // the numbers are used
	return kv.Result{Items: items, Tx: &kv.TxAnswer{State: kv.TxYes, Participants: o.participants}}
}

func (m *Machine) doAll(ops []kv.Op) (items []kv.Result) {
	items = make([]kv.Result, len(ops))
	room := kv.AnswerMax
	for i := range ops {
		items[i] = m.do(&ops[i])
		items[i].AsOf = m.now.UnixMilli()
		room = fit(&items[i], room, ops[i].Kind.ReadOnly())
	}
	return items
}

// refuseTx votes no unless the group has voted, and tells how it stands (rule V3).
func (m *Machine) refuseTx(id kv.TxID, why kv.TxReason) kv.Result {
	if o, ok := m.openTx(id); ok {
		if m.Mutation == RefuseOverYes && !o.committed {
			m.release(id, o.ops())
			return m.close(id, kv.TxAnswer{State: kv.TxRefused, Reason: why})
		}
		state := kv.TxYes
		if o.committed {
			state = kv.TxCommitted
		}
		return kv.Result{Tx: &kv.TxAnswer{State: state, Participants: o.participants}}
	}
	if a, ok := m.closedTx(id); ok {
		return kv.Result{Tx: a}
	}
	if m.belowFloor(id) {
		return kv.Result{Tx: &kv.TxAnswer{State: kv.TxNone}}
	}
	return m.close(id, kv.TxAnswer{State: kv.TxRefused, Reason: why})
}

// resolve lets a transaction take effect, or not.
func (m *Machine) resolve(t *kv.Tx) kv.Result {
	o, ok := m.openTx(t.ID)
	switch {
	case ok && o.committed && !t.Commit, !ok && t.Commit:
		if a, closed := m.closedTx(t.ID); closed && a.State == kv.TxCommitted {
			return kv.Result{Tx: a}
		}
		return kv.Result{Code: kv.Invalid, Detail: "transaction " + t.ID.String() + " cannot end like that: this group's vote says otherwise"}
	case !ok:
		return m.refuseTx(t.ID, kv.TxRecovered)
	case o.committed:
		return kv.Result{Tx: &kv.TxAnswer{State: kv.TxCommitted, Participants: o.participants}}
	case !t.Commit:
		m.release(t.ID, o.ops())
		m.dropOpen(t.ID)
		return m.close(t.ID, kv.TxAnswer{State: kv.TxAborted})
	}
	c := o.ops()
	m.takeEffect(&o, c.Ops)
	m.release(t.ID, c)
	o = open{committed: true, at: o.at, version: o.version, participants: o.participants}
	m.putOpen(t.ID, &o)
	return kv.Result{Tx: &kv.TxAnswer{State: kv.TxCommitted, Participants: o.participants}}
}

// ops is the command that was voted for.
func (o *open) ops() *kv.Command {
	c := new(kv.Command)
	mustDecodeCommand(o.command, c)
	return c
}

// takeEffect executes the operations as they were evaluated for the vote.
func (m *Machine) takeEffect(o *open, ops []kv.Op) {
	now, version := m.now, m.version
	m.now, m.version = o.at, o.version
	m.doAll(ops)
	m.now, m.version = now, version
}

func (m *Machine) release(id kv.TxID, c *kv.Command) { m.dropLocks(id, accesses(c, false)) }

// forgetTx leaves no more than a mark of a transaction of which every participant knows the outcome (rule V4).
func (m *Machine) forgetTx(id kv.TxID) kv.Result {
	o, ok := m.openTable()[id]
	switch {
	case !ok:
		return m.refuseTx(id, kv.TxRecovered)
	case !o.committed:
		return kv.Result{Code: kv.Invalid, Detail: "transaction " + id.String() + " cannot be forgotten: this group does not know its outcome"}
	}
	m.dropOpen(id)
	if m.Mutation == ForgetWithoutMark {
		return kv.Result{Tx: &kv.TxAnswer{State: kv.TxCommitted}}
	}
	return m.close(id, kv.TxAnswer{State: kv.TxCommitted})
}

// belowFloor says that a transaction is too old to be voted for (rule V4): its mark may be gone.
func (m *Machine) belowFloor(id kv.TxID) bool {
	return id.Age.UnixMilli() < m.now.UnixMilli()-floorMillis
}

func (m *Machine) openTx(id kv.TxID) (open, bool) {
	if o, ok := m.openTable()[id]; !ok || o.whole() {
		return o, ok
	}
	b, ok := m.get(m.stateKey(openKind, id.AppendTo(nil)))
	if !ok {
		return open{}, false
	}
	return mustDecodeOpen(b), true
}

func (m *Machine) putOpen(id kv.TxID, o *open) {
	at := m.stateKey(openKind, id.AppendTo(nil))
	from := len(m.arena)
	m.arena = appendOpen(m.arena, o)
	_, known := m.openTable()[id]
	m.changes = append(m.changes, core.Change{Kind: core.Put, Key: at, Value: m.arena[from:len(m.arena):len(m.arena)], Fresh: !known})
	m.openTable()[id] = o.keep()
}

func (m *Machine) dropOpen(id kv.TxID) {
	m.delete(m.stateKey(openKind, id.AppendTo(nil)))
	delete(m.openTable(), id)
}

func (m *Machine) closedTx(id kv.TxID) (*kv.TxAnswer, bool) {
	if m.openTable(); id.Age > m.known.marked {
		return nil, false
	}
	b, ok := m.get(m.stateKey(closedKind, id.AppendTo(nil)))
	if !ok {
		return nil, false
	}
	if len(b) != 7 || b[0] != recordVersion {
		panic("machine: a transaction's mark cannot be decoded")
	}
	return &kv.TxAnswer{State: kv.TxState(b[1]), Reason: kv.TxReason(b[2]), Cond: binary.BigEndian.Uint32(b[3:])}, true
}

// close leaves a mark.
func (m *Machine) close(id kv.TxID, a kv.TxAnswer) kv.Result {
	m.openTable()
	m.known.marked = max(m.known.marked, id.Age)
	b := binary.BigEndian.AppendUint32([]byte{recordVersion, byte(a.State), byte(a.Reason)}, a.Cond)
	m.put(m.stateKey(closedKind, id.AppendTo(nil)), b)
	return kv.Result{Tx: &a}
}

// expireMarks drops the marks of transactions that would be refused for their age.
func (m *Machine) expireMarks() {
	if m.now.UnixMilli() <= floorMillis {
		return
	}
	until := uint64(kv.HLCOf(m.now.UnixMilli() - floorMillis))
	left := expireBatch
	m.view.Scan([]byte{closedKind}, m.stateKey(closedKind, binary.BigEndian.AppendUint64(nil, until)), func(k, _ []byte) bool {
		m.delete(m.stateKey(closedKind, k[1:]))
		left--
		return left > 0
	})
}

// markEnd is when expireMarks drops a mark, in Unix milliseconds.
func markEnd(age kv.HLC) int64 { return age.UnixMilli() + floorMillis + 1 }

// seals are the drops that are under way, by their ids. One of which nothing was heard for so long that it would be refused as a
// transaction has come to nothing.
func (m *Machine) seals() (list []kv.TxID) {
	m.openTable()
	for _, id := range m.known.seals {
		if !m.belowFloor(id) {
			list = append(list, id)
		}
	}
	return list
}

func (m *Machine) sealed() bool { return len(m.seals()) > 0 }

// seal keeps the group from voting yes, so that what is open here can only become less, or ends that (rule V9). Several drops may
// be under way, each with a seal of its own: one that fails must not take off that of another.
func (m *Machine) seal(t *kv.Tx) kv.Result {
	list := slices.DeleteFunc(m.seals(), func(id kv.TxID) bool { return id == t.ID })
	if t.Commit {
		list = append(list, t.ID)
	}
	m.known.seals = list
	var b []byte
	for _, id := range list {
		b = id.AppendTo(b)
	}
	if m.delete(sealKey); len(b) > 0 {
		m.put(sealKey, b)
	}
	if t.Commit && m.belowFloor(t.ID) {
		return kv.Result{Code: kv.ClockSkew, Detail: "the clock of the node that drops the keyspace is minutes behind; ask another node"}
	}
	return kv.Result{Int: int64(len(m.openTable()))}
}

// OpenTx is a transaction that a state has a vote of yes for.
type OpenTx struct {
	ID kv.TxID
	// Committed: the outcome is known here, perhaps not everywhere.
	Committed    bool
	At           kv.HLC
	Participants []uint64
}

// OpenTxs are the transactions that a state has a vote of yes for, the oldest first, at most limit, behind one of them; the zero
// id is before all.
func OpenTxs(view core.View, after kv.TxID, limit int) (list []OpenTx) {
	from := []byte{openKind}
	if !after.IsZero() {
		from = append(txKey(openKind, after), 0)
	}
	view.Scan(from, []byte{openKind + 1}, func(k, b []byte) bool {
		o := mustDecodeOpen(b)
		list = append(list, OpenTx{kv.TxIDOf(k[1:]), o.committed, o.at, o.participants})
		return len(list) < limit
	})
	return list
}

// Transactions calls f with each transaction that a state knows of and how it stands there.
func Transactions(view core.View, f func(id kv.TxID, state kv.TxState)) {
	for _, o := range OpenTxs(view, kv.TxID{}, int(^uint(0)>>1)) {
		state := kv.TxYes
		if o.Committed {
			state = kv.TxCommitted
		}
		f(o.ID, state)
	}
	view.Scan([]byte{closedKind}, []byte{closedKind + 1}, func(k, b []byte) bool {
		f(kv.TxIDOf(k[1:]), kv.TxState(b[1]))
		return true
	})
}

// mustDecodeCommand is for commands that this replica has decoded before.
func mustDecodeCommand(b []byte, c *kv.Command) {
	if err := kv.DecodeCommand(b, c); err != nil {
		panic("machine: a transaction's command cannot be decoded: " + err.Error())
	}
}
