package twophase

import (
	"errors"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/transfer"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// Kinds of messages. The numbers are on the wire.
const (
	kindFence byte = iota + 1
	kindFenceOK
	kindPrepare
	kindVote
	kindAbort
	kindAbortOK
	kindHeartbeat
	kindAlive
	kindSnapshotChunk
	kindSnapshotReply
	kindFeed
	kindResolved
)

// Fence begins an epoch: who hears it obeys no earlier one (rule W5).
type Fence struct{ Config Config }

// FenceOK answers Fence: no earlier epoch is obeyed any more, which is on disk. All slots up to Resolved are final; Open are those
// behind that hold something.
type FenceOK struct {
	Epoch, Resolved uint64
	// Time is that of the latest batch known.
	Time kv.HLC
	Open []OpenSlot
}

// OpenSlot is a slot whose outcome is in doubt. Digest is of the batch.
type OpenSlot struct {
	N       uint64
	Aborted bool
	Digest  uint64
}

// Prepare asks a member to write a batch to its disk. All slots up to Resolved are final.
type Prepare struct {
	Epoch, N, Resolved uint64
	Batch              []byte
}

// Vote answers Prepare: the batch is on disk, or the member has aborted it.
type Vote struct {
	Epoch, N uint64
	Yes      bool
}

// Abort asks a member to abort a slot, whatever it holds.
type Abort struct{ Epoch, N uint64 }

// AbortOK answers Abort: the abortion is on disk.
type AbortOK struct{ Epoch, N uint64 }

// Heartbeat tells that the coordinator lives, and how far slots are final. Sum stands for all that it has applied up to Applied;
// 0: nothing is said of it.
type Heartbeat struct{ Epoch, Resolved, Applied, Sum uint64 }

// Resolved tells that all slots up to UpTo are final.
type Resolved struct{ Epoch, UpTo uint64 }

// Alive answers Heartbeat and Feed. Joined says that this replica was filled in this epoch: then all slots up to Resolved are
// final and on its disk. Sick says that its disk lost something. Held is the highest slot of which its log holds a record.
type Alive struct {
	Epoch, Resolved, Held uint64
	Joined, Sick          bool
}

// SnapshotChunk is a part of the state as of At.
type SnapshotChunk struct {
	Epoch uint64
	At    position
	transfer.Part
}

// SnapshotReply asks for a part.
type SnapshotReply struct {
	Epoch uint64
	N     uint32
}

// Feed is a final slot for a joiner; no batch: it was aborted.
type Feed struct {
	Epoch, N uint64
	Batch    []byte
}

// AppendTo encodes the message.
func (m Fence) AppendTo(b []byte) []byte { return m.Config.AppendTo(append(b, kindFence)) }

// AppendTo encodes the message.
func (m FenceOK) AppendTo(b []byte) []byte {
	w := wire.Writer{B: append(b, kindFenceOK)}
	w.Uint(m.Epoch)
	w.Uint(m.Resolved)
	w.Fixed(uint64(m.Time))
	w.Uint(uint64(len(m.Open)))
	for _, o := range m.Open {
		w.Uint(o.N)
		w.Bool(o.Aborted)
		w.Fixed(o.Digest)
	}
	return w.B
}

// AppendTo encodes the message.
func (m Prepare) AppendTo(b []byte) []byte {
	w := wire.Writer{B: append(b, kindPrepare)}
	w.Uint(m.Epoch)
	w.Uint(m.N)
	w.Uint(m.Resolved)
	w.Bytes(m.Batch)
	return w.B
}

// AppendTo encodes the message.
func (m Vote) AppendTo(b []byte) []byte {
	w := wire.Writer{B: append(b, kindVote)}
	w.Uint(m.Epoch)
	w.Uint(m.N)
	w.Bool(m.Yes)
	return w.B
}

// AppendTo encodes the message.
func (m Abort) AppendTo(b []byte) []byte { return appendNumbers(b, kindAbort, m.Epoch, m.N) }

// AppendTo encodes the message.
func (m AbortOK) AppendTo(b []byte) []byte { return appendNumbers(b, kindAbortOK, m.Epoch, m.N) }

// AppendTo encodes the message.
func (m Heartbeat) AppendTo(b []byte) []byte {
	return appendNumbers(b, kindHeartbeat, m.Epoch, m.Resolved, m.Applied, m.Sum)
}

// AppendTo encodes the message.
func (m Resolved) AppendTo(b []byte) []byte { return appendNumbers(b, kindResolved, m.Epoch, m.UpTo) }

func appendNumbers(b []byte, kind byte, numbers ...uint64) []byte {
	w := wire.Writer{B: append(b, kind)}
	for _, n := range numbers {
		w.Uint(n)
	}
	return w.B
}

// AppendTo encodes the message.
func (m Alive) AppendTo(b []byte) []byte {
	w := wire.Writer{B: append(b, kindAlive)}
	w.Uint(m.Epoch)
	w.Uint(m.Resolved)
	w.Uint(m.Held)
	w.Bool(m.Joined)
	w.Bool(m.Sick)
	return w.B
}

// AppendTo encodes the message.
func (m SnapshotChunk) AppendTo(b []byte) []byte {
	w := wire.Writer{B: append(b, kindSnapshotChunk)}
	w.Uint(m.Epoch)
	w.B = appendMeta(w.B, m.At)
	m.Part.AppendTo(&w)
	return w.B
}

// AppendTo encodes the message.
func (m SnapshotReply) AppendTo(b []byte) []byte {
	return appendNumbers(b, kindSnapshotReply, m.Epoch, uint64(m.N))
}

// AppendTo encodes the message.
func (m Feed) AppendTo(b []byte) []byte {
	w := wire.Writer{B: append(b, kindFeed)}
	w.Uint(m.Epoch)
	w.Uint(m.N)
	w.Bytes(m.Batch)
	return w.B
}

var errMessage = errors.New("malformed message")

// DecodeMessage reads what AppendTo wrote. The message keeps b.
func DecodeMessage(b []byte) (core.Message, error) {
	r := wire.Reader{B: b}
	var m core.Message
	switch kind := r.Byte(); kind {
	case kindFence:
		c, err := DecodeConfig(r.Take(uint64(len(r.B))))
		if err != nil {
			return nil, err
		}
		m = Fence{c}
	case kindFenceOK:
		m = decodeFenceOK(&r)
	case kindPrepare:
		m = Prepare{Epoch: r.Uint(), N: r.Uint(), Resolved: r.Uint(), Batch: r.Bytes()}
	case kindVote:
		m = Vote{Epoch: r.Uint(), N: r.Uint(), Yes: r.Bool()}
	case kindAbort:
		m = Abort{Epoch: r.Uint(), N: r.Uint()}
	case kindAbortOK:
		m = AbortOK{Epoch: r.Uint(), N: r.Uint()}
	case kindHeartbeat:
		m = Heartbeat{Epoch: r.Uint(), Resolved: r.Uint(), Applied: r.Uint(), Sum: r.Uint()}
	case kindAlive:
		m = Alive{Epoch: r.Uint(), Resolved: r.Uint(), Held: r.Uint(), Joined: r.Bool(), Sick: r.Bool()}
	case kindSnapshotChunk:
		m = decodeChunk(&r)
	case kindSnapshotReply:
		m = SnapshotReply{Epoch: r.Uint(), N: uint32(r.Uint())}
	case kindFeed:
		m = Feed{Epoch: r.Uint(), N: r.Uint(), Batch: r.Bytes()}
	case kindResolved:
		m = Resolved{Epoch: r.Uint(), UpTo: r.Uint()}
	default:
		return nil, errMessage
	}
	if r.Bad || len(r.B) > 0 || !readable(m) {
		return nil, errMessage
	}
	return m, nil
}

// readable says that the batch of a message can be taken apart.
func readable(m core.Message) bool {
	var raw []byte
	switch m := m.(type) {
	case Prepare:
		raw = m.Batch
	case Feed:
		if raw = m.Batch; len(raw) == 0 {
			return true
		}
	default:
		return true
	}
	_, err := decodeBatch(raw)
	return err == nil
}

func decodeFenceOK(r *wire.Reader) FenceOK {
	m := FenceOK{Epoch: r.Uint(), Resolved: r.Uint(), Time: kv.HLC(r.Fixed())}
	for n := r.Count(10); n > 0 && !r.Bad; n-- {
		m.Open = append(m.Open, OpenSlot{N: r.Uint(), Aborted: r.Bool(), Digest: r.Fixed()})
	}
	return m
}

func decodeChunk(r *wire.Reader) SnapshotChunk {
	m := SnapshotChunk{Epoch: r.Uint()}
	if meta := r.Take(metaSize); meta != nil {
		m.At = decodeMeta(meta)
	}
	m.Part = transfer.ReadPart(r)
	return m
}
