package kv

import (
	"encoding/binary"
	"encoding/hex"
)

// TxID names one attempt of a transaction for ever: no other one gets it, not even after its coordinator was started anew
// (trap T2.12).
type TxID struct {
	// Age is when the transaction first began. Its retries keep it, so that of two in conflict the older one wins, and the
	// oldest of all at last (rule V5).
	Age HLC
	// Anchor is the group that is asked what became of the transaction by those who know nothing but the id.
	Anchor uint64
	// Nonce is chance; Attempt counts the retries, from 0.
	Nonce   uint64
	Attempt uint32
}

// TxIDSize is the length of an encoded id.
const TxIDSize = 28

// IsZero reports whether there is no id.
func (id TxID) IsZero() bool { return id == TxID{} }

// AppendTo encodes the id so that ids in byte order are in order of age.
func (id TxID) AppendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(id.Age))
	b = binary.BigEndian.AppendUint64(b, id.Anchor)
	b = binary.BigEndian.AppendUint64(b, id.Nonce)
	return binary.BigEndian.AppendUint32(b, id.Attempt)
}

// TxIDOf decodes the id that begins b, which holds at least TxIDSize bytes.
func TxIDOf(b []byte) TxID {
	return TxID{Age: HLC(binary.BigEndian.Uint64(b)), Anchor: binary.BigEndian.Uint64(b[8:]), Nonce: binary.BigEndian.Uint64(b[16:]),
		Attempt: binary.BigEndian.Uint32(b[24:])}
}

// String is the id as users see it: hexadecimal.
func (id TxID) String() string { return hex.EncodeToString(id.AppendTo(nil)) }

// ParseTxID reads what String wrote.
func ParseTxID(text string) (TxID, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != TxIDSize {
		return TxID{}, Errorf(Invalid, "%q is not the id of a transaction, which has %d hexadecimal digits", text, hex.EncodedLen(TxIDSize))
	}
	return TxIDOf(b), nil
}

// Younger reports whether the transaction began after another. Attempts of one are equally old.
func (id TxID) Younger(other TxID) bool {
	return id.Age > other.Age || (id.Age == other.Age && id.Nonce > other.Nonce)
}

// TxStep is what a command does in the protocol of transactions. The numbers are on disk and on the wire.
type TxStep uint8

// Steps of a transaction in one group (rules V1 to V4).
const (
	// TxPrepare asks for the group's vote: yes locks the keys of the command's conditions and operations until TxResolve.
	TxPrepare TxStep = 1
	// TxRefuse makes a group that has not voted vote no, for ever, and tells how it voted if it has.
	TxRefuse TxStep = 2
	// TxResolve tells the outcome: the operations take effect or not, the locks are gone.
	TxResolve TxStep = 3
	// TxForget tells that every participant knows the outcome.
	TxForget TxStep = 4
	// TxSeal lets the group vote yes no more, or with Commit false again: its keyspace is going to be dropped. The id is that of
	// the drop, the answer's Int how many transactions are open here.
	TxSeal TxStep = 5
	// TxForgetMany is TxForget of ID and of Others.
	TxForgetMany TxStep = 6
)

// Tx makes a Command a step of a transaction. Doors never send one: nodes do, among themselves.
type Tx struct {
	Step TxStep
	ID   TxID
	// Participants are all groups of the transaction, in TxPrepare.
	Participants []uint64
	// Commit is the outcome, in TxResolve; in TxSeal, whether the seal is put on.
	Commit bool
	// Others are further transactions, in TxForgetMany.
	Others []TxID
}

// Ends reports whether the step can but end what is under way, so that it needs no room beside it.
func (t *Tx) Ends() bool { return t != nil && t.Step != TxPrepare }

// TxState is what a group's table says of a transaction. The numbers are on disk and on the wire.
type TxState uint8

// States of a transaction in one group.
const (
	// TxNone: nothing is known, and it is too old to be voted for: either it has ended everywhere, or it never will begin here.
	TxNone TxState = 0
	// TxYes: the group voted yes and does not know the outcome.
	TxYes TxState = 1
	// TxRefused: the group voted no.
	TxRefused TxState = 2
	// TxCommitted and TxAborted: the outcome is known here.
	TxCommitted TxState = 3
	TxAborted   TxState = 4
	txStates            = 5
)

var txStateNames = [txStates]string{"none", "yes", "refused", "committed", "aborted"}

// String is the state in a word.
func (s TxState) String() string {
	if s < txStates {
		return txStateNames[s]
	}
	return "unknown state"
}

// TxReason says why a group voted no.
type TxReason uint8

// Reasons for a vote of no.
const (
	// TxConflict: an older transaction, or one that was not waited for any longer, holds a lock.
	TxConflict TxReason = 1
	// TxCondition: a condition does not hold; TxAnswer.Cond says which.
	TxCondition TxReason = 2
	// TxRecovered: somebody met the transaction's locks, found this group without a vote, and had it refuse.
	TxRecovered TxReason = 3
	// TxDropped: the keyspace is being dropped.
	TxDropped TxReason = 4
)

// TxAnswer answers a step of a transaction. The results of the operations stand in Result.Items, in the order of the group's part.
type TxAnswer struct {
	State  TxState
	Reason TxReason
	// Cond is the place of the condition that does not hold among those of the group's part.
	Cond uint32
	// Participants are all groups, as long as the group knows them.
	Participants []uint64
}

func appendTx(b []byte, t *Tx) []byte {
	b = append(b, byte(t.Step))
	b = t.ID.AppendTo(b)
	commit := byte(0)
	if t.Commit {
		commit = 1
	}
	b = append(b, commit)
	if b = AppendGroups(b, t.Participants); t.Step != TxForgetMany {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(t.Others)))
	for _, id := range t.Others {
		b = id.AppendTo(b)
	}
	return b
}

// AppendGroups encodes a list of groups.
func AppendGroups(b []byte, groups []uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(groups)))
	for _, g := range groups {
		b = binary.AppendUvarint(b, g)
	}
	return b
}

// DecodeGroups decodes a list of groups and returns what follows it.
func DecodeGroups(b []byte) (groups []uint64, rest []byte, err error) {
	r := reader{b: b}
	if groups = r.groups(); r.bad {
		return nil, nil, errCodec
	}
	return groups, r.b, nil
}

func (r *reader) tx() *Tx {
	t := &Tx{Step: TxStep(r.byte())}
	if len(r.b) < TxIDSize {
		r.bad = true
		return t
	}
	t.ID, r.b = TxIDOf(r.b), r.b[TxIDSize:]
	commit := r.byte()
	r.bad = r.bad || commit > 1 || t.Step < TxPrepare || t.Step > TxForgetMany
	t.Commit = commit == 1
	if t.Participants = r.groups(); t.Step == TxForgetMany {
		for n := r.count(TxIDSize); n > 0 && !r.bad; n-- {
			t.Others, r.b = append(t.Others, TxIDOf(r.b)), r.b[TxIDSize:]
		}
	}
	return t
}

func (r *reader) groups() (groups []uint64) {
	for n := r.count(1); n > 0 && !r.bad; n-- {
		groups = append(groups, r.uvarint())
	}
	return groups
}

func appendTxAnswer(b []byte, t *TxAnswer) []byte {
	b = append(b, byte(t.State), byte(t.Reason))
	b = binary.AppendUvarint(b, uint64(t.Cond))
	return AppendGroups(b, t.Participants)
}

func (r *reader) txAnswer() *TxAnswer {
	t := &TxAnswer{State: TxState(r.byte()), Reason: TxReason(r.byte()), Cond: uint32(r.uvarint())}
	r.bad = r.bad || t.State >= txStates
	t.Participants = r.groups()
	return t
}
