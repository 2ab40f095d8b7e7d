package paxos

import (
	"errors"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/transfer"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// Kinds of messages. The numbers are on the wire.
const (
	kindNominate byte = iota + 1
	kindNominateReply
	kindPrepare
	kindPromise
	kindFetch
	kindBlocks
	kindAccept
	kindAccepted
	kindHeartbeat
	kindHeartbeatReply
	kindHandoffNow
	kindSnapshotChunk
	kindSnapshotReply
	kindCured
	kindTimedHeartbeat
	kindTimedReply
)

// Nominate asks whether a ballot would be promised; it changes nothing (pre-vote).
type Nominate struct {
	Ballot     Ballot
	LastBallot Ballot
	LastIndex  uint64
}

// NominateReply answers Nominate. Promised lets a nominee that is behind choose a higher ballot.
type NominateReply struct {
	Ballot   Ballot
	Grant    bool
	Promised Ballot
}

// Prepare asks for a promise (phase 1).
type Prepare struct {
	Ballot     Ballot
	LastBallot Ballot
	LastIndex  uint64
	// Handoff is the ballot of the leader that handed over, whose lease grants need not be waited for; zero: none.
	Handoff Ballot
}

// Promise answers Prepare: no lower ballot will be accepted any more; the log ends here.
type Promise struct {
	Ballot     Ballot
	OK         bool
	Promised   Ballot
	LastBallot Ballot
	LastIndex  uint64
	LastHash   Hash
	Time       kv.HLC
}

// Fetch asks for blocks From..To of the log that the Promise described.
type Fetch struct {
	Ballot   Ballot
	From, To uint64
}

// Blocks answers Fetch; none: they are no longer held.
type Blocks struct {
	Ballot Ballot
	Blocks []*Block
}

// Accept carries blocks behind a position (phase 2). Blocks may be of older ballots: a leader passes on what it recovered.
type Accept struct {
	Ballot    Ballot
	PrevIndex uint64
	PrevHash  Hash
	Commit    uint64
	Seq       uint64
	Blocks    []*Block
}

// Accepted answers Accept. OK: the log agrees with the leader's up to Match, durably. Not OK under the same ballot: it
// does not reach or does not agree at PrevIndex; Match is where it certainly agrees.
type Accepted struct {
	Ballot   Ballot
	OK       bool
	Match    uint64
	Promised Ballot
	Seq      uint64
	Suspect  bool
}

// Heartbeat says that the leader lives. Commit is never beyond what the receiver's log agreed on with this leader (trap T1.5).
type Heartbeat struct {
	Ballot Ballot
	Commit uint64
	Seq    uint64
	Fresh  FreshPoint
}

// HeartbeatReply answers Heartbeat; not OK: a higher ballot was promised.
type HeartbeatReply struct {
	Ballot   Ballot
	OK       bool
	Promised Ballot
	Seq      uint64
	Suspect  bool
	// Unwilling says that the replica should not be handed the leadership: its node is unfit, or its stamps are ahead.
	Unwilling bool
}

// TimedHeartbeat is the Heartbeat of a group that keeps a common time: Time is the leader's clock, Safe what its replicas may
// read by.
type TimedHeartbeat struct {
	Heartbeat
	Time kv.HLC
	Safe SafeTime
}

// TimedReply answers TimedHeartbeat: every promise that its sender gives from now on tells Time or later.
type TimedReply struct {
	HeartbeatReply
	Time kv.HLC
}

// HandoffNow tells its receiver to take over from the leader of Ballot at once.
type HandoffNow struct{ Ballot Ballot }

// SnapshotChunk is a part of the leader's state as of a position, for a replica whose next block is no longer held.
type SnapshotChunk struct {
	Ballot Ballot
	At     position
	transfer.Part
}

// SnapshotReply asks for part N, or says with Done that the replica holds the state up to Match.
type SnapshotReply struct {
	Ballot Ballot
	N      uint32
	Done   bool
	Match  uint64
}

// Cured tells a suspect replica that a majority without it has committed all that it may have lost.
type Cured struct {
	Ballot Ballot
	Index  uint64
}

// stored is a replica's word to itself: its log up to Index, as of generation Gen, is durable.
type stored struct {
	Gen   uint64
	Index uint64
}

// AppendTo is never called: the message does not leave the replica.
func (stored) AppendTo(b []byte) []byte { panic("paxos: a message to oneself has no encoding") }

// AppendTo encodes the message.
func (m Nominate) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindNominate)}}
	w.ballot(m.Ballot)
	w.ballot(m.LastBallot)
	w.Uint(m.LastIndex)
	return w.B
}

// AppendTo encodes the message.
func (m NominateReply) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindNominateReply)}}
	w.ballot(m.Ballot)
	w.Bool(m.Grant)
	w.ballot(m.Promised)
	return w.B
}

// AppendTo encodes the message.
func (m Prepare) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindPrepare)}}
	w.ballot(m.Ballot)
	w.ballot(m.LastBallot)
	w.Uint(m.LastIndex)
	w.ballot(m.Handoff)
	return w.B
}

// AppendTo encodes the message.
func (m Promise) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindPromise)}}
	w.ballot(m.Ballot)
	w.Bool(m.OK)
	w.ballot(m.Promised)
	w.ballot(m.LastBallot)
	w.Uint(m.LastIndex)
	w.hash(m.LastHash)
	w.Uint(uint64(m.Time))
	return w.B
}

// AppendTo encodes the message.
func (m Fetch) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindFetch)}}
	w.ballot(m.Ballot)
	w.Uint(m.From)
	w.Uint(m.To)
	return w.B
}

// AppendTo encodes the message.
func (m Blocks) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindBlocks)}}
	w.ballot(m.Ballot)
	w.blocks(m.Blocks)
	return w.B
}

// AppendTo encodes the message.
func (m Accept) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindAccept)}}
	w.ballot(m.Ballot)
	w.Uint(m.PrevIndex)
	w.hash(m.PrevHash)
	w.Uint(m.Commit)
	w.Uint(m.Seq)
	w.blocks(m.Blocks)
	return w.B
}

// AppendTo encodes the message.
func (m Accepted) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindAccepted)}}
	w.ballot(m.Ballot)
	w.Bool(m.OK)
	w.Uint(m.Match)
	w.ballot(m.Promised)
	w.Uint(m.Seq)
	w.Bool(m.Suspect)
	return w.B
}

// AppendTo encodes the message.
func (m Heartbeat) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindHeartbeat)}}
	w.heartbeat(m)
	return w.B
}

// AppendTo encodes the message.
func (m HeartbeatReply) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindHeartbeatReply)}}
	w.heartbeatReply(m)
	return w.B
}

// AppendTo encodes the message.
func (m TimedHeartbeat) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindTimedHeartbeat)}}
	w.heartbeat(m.Heartbeat)
	w.Uint(uint64(m.Time))
	w.Uint(uint64(m.Safe.Time))
	w.Uint(m.Safe.Index)
	return w.B
}

// AppendTo encodes the message.
func (m TimedReply) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindTimedReply)}}
	w.heartbeatReply(m.HeartbeatReply)
	w.Uint(uint64(m.Time))
	return w.B
}

// AppendTo encodes the message.
func (m HandoffNow) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindHandoffNow)}}
	w.ballot(m.Ballot)
	return w.B
}

// AppendTo encodes the message.
func (m SnapshotChunk) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindSnapshotChunk)}}
	w.ballot(m.Ballot)
	w.position(m.At)
	m.Part.AppendTo(&w.Writer)
	return w.B
}

// AppendTo encodes the message.
func (m SnapshotReply) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindSnapshotReply)}}
	w.ballot(m.Ballot)
	w.Uint(uint64(m.N))
	w.Bool(m.Done)
	w.Uint(m.Match)
	return w.B
}

// AppendTo encodes the message.
func (m Cured) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindCured)}}
	w.ballot(m.Ballot)
	w.Uint(m.Index)
	return w.B
}

type writer struct{ wire.Writer }

func (w *writer) ballot(v Ballot) { w.Uint(v.Round); w.Uint(uint64(v.Replica)) }
func (w *writer) hash(v Hash)     { w.B = append(w.B, v[:]...) }
func (w *writer) heartbeat(m Heartbeat) {
	w.ballot(m.Ballot)
	w.Uint(m.Commit)
	w.Uint(m.Seq)
	w.Uint(m.Fresh.Seq)
	w.Uint(m.Fresh.Index)
}

func (w *writer) heartbeatReply(m HeartbeatReply) {
	w.ballot(m.Ballot)
	w.Bool(m.OK)
	w.ballot(m.Promised)
	w.Uint(m.Seq)
	w.Bool(m.Suspect)
	w.Bool(m.Unwilling)
}

func (w *writer) position(p position) {
	w.Uint(p.Index)
	w.ballot(p.Ballot)
	w.Uint(uint64(p.Time))
	w.hash(p.Hash)
}

func (w *writer) blocks(list []*Block) {
	w.Uint(uint64(len(list)))
	for _, b := range list {
		w.Bytes(b.raw)
	}
}

var errMessage = errors.New("malformed paxos message")

type reader struct{ wire.Reader }

func (r *reader) ballot() Ballot { return Ballot{r.Uint(), core.ReplicaID(r.Uint())} }
func (r *reader) hash() (h Hash) { copy(h[:], r.Take(uint64(len(h)))); return h }

func (r *reader) heartbeat() Heartbeat {
	return Heartbeat{r.ballot(), r.Uint(), r.Uint(), FreshPoint{r.Uint(), r.Uint()}}
}

func (r *reader) heartbeatReply() HeartbeatReply {
	return HeartbeatReply{r.ballot(), r.Bool(), r.ballot(), r.Uint(), r.Bool(), r.Bool()}
}

func (r *reader) position() position {
	return position{Index: r.Uint(), Ballot: r.ballot(), Time: kv.HLC(r.Uint()), Hash: r.hash()}
}

// blocks decodes and verifies blocks; one that does not match its own hash spoils the message.
func (r *reader) blocks() (list []*Block) {
	for n := r.Uint(); n > 0 && !r.Bad; n-- {
		b, err := DecodeBlock(r.Bytes())
		if err != nil {
			r.Bad = true
			return nil
		}
		list = append(list, b)
	}
	return list
}

// DecodeMessage decodes a message of a peer. The message keeps b.
func DecodeMessage(b []byte) (m core.Message, err error) {
	if len(b) == 0 {
		return nil, errMessage
	}
	r := &reader{wire.Reader{B: b[1:]}}
	switch b[0] {
	case kindNominate:
		m = Nominate{r.ballot(), r.ballot(), r.Uint()}
	case kindNominateReply:
		m = NominateReply{r.ballot(), r.Bool(), r.ballot()}
	case kindPrepare:
		m = Prepare{r.ballot(), r.ballot(), r.Uint(), r.ballot()}
	case kindPromise:
		m = Promise{r.ballot(), r.Bool(), r.ballot(), r.ballot(), r.Uint(), r.hash(), kv.HLC(r.Uint())}
	case kindFetch:
		m = Fetch{r.ballot(), r.Uint(), r.Uint()}
	case kindBlocks:
		m = Blocks{r.ballot(), r.blocks()}
	case kindAccept:
		m = Accept{r.ballot(), r.Uint(), r.hash(), r.Uint(), r.Uint(), r.blocks()}
	case kindAccepted:
		m = Accepted{r.ballot(), r.Bool(), r.Uint(), r.ballot(), r.Uint(), r.Bool()}
	case kindHeartbeat:
		m = r.heartbeat()
	case kindHeartbeatReply:
		m = r.heartbeatReply()
	case kindHandoffNow:
		m = HandoffNow{r.ballot()}
	case kindSnapshotChunk:
		m = SnapshotChunk{r.ballot(), r.position(), transfer.ReadPart(&r.Reader)}
	case kindSnapshotReply:
		m = SnapshotReply{r.ballot(), uint32(r.Uint()), r.Bool(), r.Uint()}
	case kindCured:
		m = Cured{r.ballot(), r.Uint()}
	case kindTimedHeartbeat:
		m = TimedHeartbeat{r.heartbeat(), kv.HLC(r.Uint()), SafeTime{kv.HLC(r.Uint()), r.Uint()}}
	case kindTimedReply:
		m = TimedReply{r.heartbeatReply(), kv.HLC(r.Uint())}
	default:
		return nil, errMessage
	}
	if r.Bad || len(r.B) > 0 {
		return nil, errMessage
	}
	return m, nil
}
