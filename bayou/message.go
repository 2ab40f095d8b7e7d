package bayou

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
)

// Kinds of messages. The numbers are on the wire.
const (
	kindPull byte = iota + 1
	kindWrites
	kindPage
)

// Pull asks a peer for what the sender lacks, and tells it what the sender holds.
type Pull struct {
	// Vector is what the sender's state holds, durably.
	Vector Vector
	// Life is the number of the sender's run, drawn by chance.
	Life uint64
	// Suspect says that the sender's disk has lost something: it wants an answer in any case, and the peer shall take no
	// writes any more that an earlier run sent.
	Suspect bool
	// Epoch is that of the configuration that the sender goes by: nothing that it did before is under way any more.
	Epoch  uint64
	Clocks Clocks
	// Page asks for the part of the state that begins at that key, of the state whose vector is At; empty: for writes, if
	// the peer still has them, or else for the first part of its state.
	Page []byte
	At   Vector
}

// Writes carries the writes that the sender's state holds beyond Base, in the order of writes, as far as they fit: who holds
// Base may take them, and holds then, without a hole, what precedes each of them.
type Writes struct {
	Base Vector
	// Vector is what the sender's state holds.
	Vector Vector
	Life   uint64
	Clocks Clocks
	// Answer is the Life of the Pull that is answered; 0: none, the writes are new.
	Answer uint64
	// More says that the sender holds more than did fit.
	More bool
	List []*Write
}

// Page carries a part of the sender's state, for a peer that lacks writes which the sender's log has no more.
type Page struct {
	Answer uint64
	// Meta is the meta record of the state that the part belongs to.
	Meta []byte
	// Order is how far its commit order is; empty: the group has none.
	Order []byte
	// The part holds the records and the indices of From <= key < Next; Next empty: to the end.
	From, Next []byte
	Pairs      []Pair
}

// Pair is a pair of the state.
type Pair struct{ Key, Value []byte }

// stored is a replica's word to itself: its log is durable up to Pos.
type stored struct{ Pos uint64 }

// AppendTo is never called: the message does not leave the replica.
func (stored) AppendTo(b []byte) []byte { panic("bayou: a message to oneself has no encoding") }

// AppendTo encodes the message.
func (m Pull) AppendTo(b []byte) []byte {
	b = m.Vector.AppendTo(append(b, kindPull))
	b = binary.AppendUvarint(b, m.Life)
	b = wire.AppendBool(b, m.Suspect)
	b = binary.AppendUvarint(b, m.Epoch)
	b = m.Clocks.appendTo(b)
	b = wire.AppendBytes(b, m.Page)
	return m.At.AppendTo(b)
}

// AppendTo encodes the message.
func (m Writes) AppendTo(b []byte) []byte {
	b = m.Base.AppendTo(append(b, kindWrites))
	b = m.Vector.AppendTo(b)
	b = binary.AppendUvarint(b, m.Life)
	b = m.Clocks.appendTo(b)
	b = binary.AppendUvarint(b, m.Answer)
	b = wire.AppendBool(b, m.More)
	b = binary.AppendUvarint(b, uint64(len(m.List)))
	for _, w := range m.List {
		b = wire.AppendBytes(b, w.raw)
	}
	return b
}

// AppendTo encodes the message.
func (m Page) AppendTo(b []byte) []byte {
	b = binary.AppendUvarint(append(b, kindPage), m.Answer)
	b = wire.AppendBytes(wire.AppendBytes(b, m.Meta), m.Order)
	b = wire.AppendBytes(b, m.From)
	b = wire.AppendBytes(b, m.Next)
	b = binary.AppendUvarint(b, uint64(len(m.Pairs)))
	for _, p := range m.Pairs {
		b = wire.AppendBytes(wire.AppendBytes(b, p.Key), p.Value)
	}
	return b
}

var errMessage = errors.New("malformed bayou message")

// DecodeMessage decodes a message of a peer. The message keeps b.
func DecodeMessage(b []byte) (m core.Message, err error) {
	if len(b) == 0 {
		return nil, errMessage
	}
	r := &reader{wire.Reader{B: b[1:]}}
	switch b[0] {
	case kindPull:
		m = Pull{Vector: r.vector(), Life: r.Uint(), Suspect: r.Bool(), Epoch: r.Uint(), Clocks: r.clocks(), Page: r.Bytes(), At: r.vector()}
	case kindWrites:
		w := Writes{Base: r.vector(), Vector: r.vector(), Life: r.Uint(), Clocks: r.clocks(), Answer: r.Uint(), More: r.Bool()}
		w.List = r.writes()
		m = w
	case kindPage:
		p := Page{Answer: r.Uint(), Meta: r.Bytes(), Order: r.Bytes(), From: r.Bytes(), Next: r.Bytes()}
		p.Pairs = r.pairs(len(p.Order) > 0)
		_, ok := parseMeta(p.Meta)
		if _, ordered := parseOrder(p.Order); len(p.Order) > 0 {
			ok = ok && ordered
		}
		r.Bad = r.Bad || !ok
		m = p
	case kindOrder:
		m = r.order()
	default:
		return nil, errMessage
	}
	if r.Bad || len(r.B) > 0 {
		return nil, errMessage
	}
	return m, nil
}

// writes decodes writes, which must come in their order.
func (r *reader) writes() (list []*Write) {
	for n := r.Count(12); n > 0 && !r.Bad; n-- {
		w, err := decodeWrite(r.Bytes())
		if err != nil || len(list) > 0 && w.Compare(list[len(list)-1].Dot) <= 0 {
			r.Bad = true
			return nil
		}
		list = append(list, w)
	}
	return list
}

// pairs decodes pairs of a state, which must come in the order of their keys and be what a part may hold.
func (r *reader) pairs(ordered bool) (list []Pair) {
	for n := r.Count(2); n > 0 && !r.Bad; n-- {
		p := Pair{r.Bytes(), r.Bytes()}
		if !p.valid(ordered) || len(list) > 0 && bytes.Compare(p.Key, list[len(list)-1].Key) <= 0 {
			r.Bad = true
			return nil
		}
		list = append(list, p)
	}
	return list
}

// valid says that a pair may be part of a state. One with a commit order has other records, and cuts and writes besides.
func (p *Pair) valid(ordered bool) bool {
	if len(p.Key) == 0 {
		return false
	}
	if ordered {
		return p.validOrdered()
	}
	switch p.Key[0] {
	case dataKind:
		_, err := decodeRecord(p.Value)
		return err == nil
	case removedKind:
		return len(p.Key) >= 13
	case expiryKind:
		return len(p.Key) >= 9
	}
	return false
}

// String tells of the message in a line.
func (m Pull) String() string {
	text := "pull " + m.Vector.String()
	if m.Suspect {
		text += " suspect"
	}
	if m.Epoch > 0 {
		text += fmt.Sprintf(" epoch %d", m.Epoch)
	}
	if len(m.Page) > 0 {
		text += fmt.Sprintf(" state from %q", m.Page)
	}
	return text
}

// String tells of the message in a line.
func (m Writes) String() string {
	text := fmt.Sprintf("writes behind %v of %v", m.Base, m.Vector)
	for _, w := range m.List {
		text += "; " + w.String()
	}
	if m.More {
		text += "; more"
	}
	return text
}

// String tells of the message in a line.
func (m Page) String() string {
	return fmt.Sprintf("state from %q, %d pairs, then %q", m.From, len(m.Pairs), m.Next)
}
