package quorum

import (
	"errors"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// Kinds of messages. The numbers are on the wire.
const (
	kindWrite byte = iota + 1
	kindWritten
	kindRead
	kindValues
	kindScan
	kindPage
	kindProbe
	kindLeaves
	kindRange
	kindDifference
	kindLine
	kindLineSet
	kindNewer
	kindReport
)

// Source is on whose behalf records are written: it decides which of them a replica refuses.
type Source uint8

// Sources.
const (
	FromClient  Source = 1
	FromHint    Source = 2
	FromRead    Source = 3 // read repair
	FromEntropy Source = 4 // anti-entropy, which alone may bring what is older than the refusal line
	sources            = 5
)

// Reason says why a replica refused a record.
type Reason uint8

// Reasons.
const (
	// BelowLine: the record is older than what the replica promised to refuse; all replicas held the newest then.
	BelowLine Reason = 1
	// TooFarAhead: its stamp is further ahead of the replica's clock than clocks may be apart (rule H2).
	TooFarAhead Reason = 2
	// Purged: its sender does not know yet what has been forgotten here.
	Purged Reason = 3
	// Doubtful: the replica lost something, and may have forgotten that it refuses this.
	Doubtful Reason = 4
)

// reasons is one more than the last of them.
const reasons = 5

// Write carries records; it is answered by Written with the same number. Epoch, here and in others, is that of the configuration
// that the sender goes by: a replica that knows of a newer one answers Newer instead.
type Write struct {
	Epoch  uint64
	Batch  uint64
	Source Source
	// Purge is the sender's purge line.
	Purge kv.HLC
	Items items
}

// Refusal is one item of a Write that was not stored.
type Refusal struct {
	Item   uint32
	Reason Reason
}

// Written says that for each item of a Write that is not refused, the record that now stands is durable, whichever it is.
type Written struct {
	Batch   uint64
	Refused []Refusal
}

// Read asks for the records of keys. Hash is that of the record that the asker holds, so that an equal one need not be sent.
type Read struct {
	Epoch uint64
	Batch uint64
	Keys  []ReadKey
}

// ReadKey is one key of a Read.
type ReadKey struct {
	Key  []byte
	Hash uint64
}

// Values answers a Read, key by key. A suspect replica does not know what it has lost, and does not count.
type Values struct {
	Batch   uint64
	Suspect bool
	Records []Value
}

// Value is a replica's record for a key: the one with the hash that was named, or Record, empty if there is none.
type Value struct {
	Same   bool
	Record []byte
}

// Scan asks for the records of a range of keys, From <= key < To (empty: to the end), at most Limit of them.
type Scan struct {
	Epoch    uint64
	ID       uint64
	From, To []byte
	Limit    uint32
}

// Page answers a Scan: all records of the range below End; an empty End is the end of the range.
type Page struct {
	ID      uint64
	Suspect bool
	Items   items
	End     []byte
}

// Probe asks a peer to compare: Root sums up all that the sender holds; zero: it does not know yet.
type Probe struct {
	Epoch   uint64
	Session uint64
	Purge   kv.HLC
	Root    uint64
}

// Leaves answers a Probe: nothing differs, or the sums of the answerer's buckets. None, though it differs: it has none yet.
// Epoch says that all is in it that the answerer took before it went by that configuration.
type Leaves struct {
	Epoch   uint64
	Session uint64
	// Refuse and Purge are the answerer's lines.
	Refuse, Purge kv.HLC
	Same          bool
	Suspect       bool
	Sums          []sum
}

// Range names the records of the sender in From <= key < To (empty: to the end) that lie in the buckets.
type Range struct {
	Session  uint64
	Number   uint64
	Purge    kv.HLC
	Buckets  []byte // a bitmap; empty: all
	From, To []byte
	Entries  []Entry
}

// Entry names a record.
type Entry struct {
	Key   []byte
	Stamp Stamp
	Hash  uint64
}

// Difference answers a Range up to the key Until (empty: to its end): the records that are newer here, and the keys of those
// that are newer there.
type Difference struct {
	Session uint64
	Number  uint64
	Purge   kv.HLC
	Until   []byte
	Items   items
	Wanted  [][]byte
}

// Line raises a line for good: to refuse below Refuse, or to forget below Purge.
type Line struct {
	Epoch         uint64
	Session       uint64
	Refuse, Purge kv.HLC
}

// LineSet says that a line is durable.
type LineSet struct{ Session uint64 }

// Newer answers what goes by an older configuration than the answerer does, with that.
type Newer struct{ Config []byte }

// Report tells the others that its sender has done, by the configuration of that epoch, what a change of the members needs.
type Report struct{ Epoch uint64 }

// epochOf is the epoch by which a request goes; ok is false for answers.
func epochOf(m core.Message) (epoch uint64, ok bool) {
	switch m := m.(type) {
	case Write:
		return m.Epoch, true
	case Read:
		return m.Epoch, true
	case Scan:
		return m.Epoch, true
	case Probe:
		return m.Epoch, true
	case Line:
		return m.Epoch, true
	}
	return 0, false
}

// stored is a replica's word to itself: all that it wrote up to Pos is durable.
type stored struct{ Pos uint64 }

// AppendTo is never called: the message does not leave the replica.
func (stored) AppendTo([]byte) []byte { panic("quorum: a message to oneself has no encoding") }

// AppendTo encodes the message.
func (m Write) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindWrite)}}
	w.Uint(m.Epoch)
	w.Uint(m.Batch)
	w.Uint(uint64(m.Source))
	w.Uint(uint64(m.Purge))
	w.Bytes(m.Items)
	return w.B
}

// AppendTo encodes the message.
func (m Written) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindWritten)}}
	w.Uint(m.Batch)
	w.Uint(uint64(len(m.Refused)))
	for _, f := range m.Refused {
		w.Uint(uint64(f.Item))
		w.Uint(uint64(f.Reason))
	}
	return w.B
}

// AppendTo encodes the message.
func (m Read) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindRead)}}
	w.Uint(m.Epoch)
	w.Uint(m.Batch)
	w.Uint(uint64(len(m.Keys)))
	for i := range m.Keys {
		w.Bytes(m.Keys[i].Key)
		w.Fixed(m.Keys[i].Hash)
	}
	return w.B
}

// AppendTo encodes the message.
func (m Values) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindValues)}}
	w.Uint(m.Batch)
	w.Bool(m.Suspect)
	w.Uint(uint64(len(m.Records)))
	for i := range m.Records {
		w.Bool(m.Records[i].Same)
		w.Bytes(m.Records[i].Record)
	}
	return w.B
}

// AppendTo encodes the message.
func (m Scan) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindScan)}}
	w.Uint(m.Epoch)
	w.Uint(m.ID)
	w.Bytes(m.From)
	w.Bytes(m.To)
	w.Uint(uint64(m.Limit))
	return w.B
}

// AppendTo encodes the message.
func (m Page) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindPage)}}
	w.Uint(m.ID)
	w.Bool(m.Suspect)
	w.Bytes(m.Items)
	w.Bytes(m.End)
	return w.B
}

// AppendTo encodes the message.
func (m Probe) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindProbe)}}
	w.Uint(m.Epoch)
	w.Uint(m.Session)
	w.Uint(uint64(m.Purge))
	w.Fixed(m.Root)
	return w.B
}

// AppendTo encodes the message.
func (m Leaves) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindLeaves)}}
	w.Uint(m.Epoch)
	w.Uint(m.Session)
	w.Uint(uint64(m.Refuse))
	w.Uint(uint64(m.Purge))
	w.Bool(m.Same)
	w.Bool(m.Suspect)
	w.Uint(uint64(len(m.Sums)))
	for _, s := range m.Sums {
		w.Fixed(s[0])
		w.Fixed(s[1])
	}
	return w.B
}

// AppendTo encodes the message.
func (m Range) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindRange)}}
	w.Uint(m.Session)
	w.Uint(m.Number)
	w.Uint(uint64(m.Purge))
	w.Bytes(m.Buckets)
	w.Bytes(m.From)
	w.Bytes(m.To)
	w.Uint(uint64(len(m.Entries)))
	for i := range m.Entries {
		e := &m.Entries[i]
		w.Bytes(e.Key)
		w.stamp(e.Stamp)
		w.Fixed(e.Hash)
	}
	return w.B
}

// AppendTo encodes the message.
func (m Difference) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindDifference)}}
	w.Uint(m.Session)
	w.Uint(m.Number)
	w.Uint(uint64(m.Purge))
	w.Bytes(m.Until)
	w.Bytes(m.Items)
	w.Uint(uint64(len(m.Wanted)))
	for _, key := range m.Wanted {
		w.Bytes(key)
	}
	return w.B
}

// AppendTo encodes the message.
func (m Line) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindLine)}}
	w.Uint(m.Epoch)
	w.Uint(m.Session)
	w.Uint(uint64(m.Refuse))
	w.Uint(uint64(m.Purge))
	return w.B
}

// AppendTo encodes the message.
func (m LineSet) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindLineSet)}}
	w.Uint(m.Session)
	return w.B
}

// AppendTo encodes the message.
func (m Newer) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindNewer)}}
	w.Bytes(m.Config)
	return w.B
}

// AppendTo encodes the message.
func (m Report) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, kindReport)}}
	w.Uint(m.Epoch)
	return w.B
}

type writer struct{ wire.Writer }

func (w *writer) stamp(v Stamp) { w.Uint(uint64(v.Time)); w.Uint(uint64(v.Origin)) }

var errMessage = errors.New("malformed quorum message")

type reader struct{ wire.Reader }

func (r *reader) hlc() kv.HLC  { return kv.HLC(r.Uint()) }
func (r *reader) stamp() Stamp { return Stamp{r.hlc(), core.ReplicaID(r.Uint())} }

// small reads a number below a bound.
func (r *reader) small(bound uint64) uint64 {
	v := r.Uint()
	r.Bad = r.Bad || v >= bound
	return v
}

// key reads a key of a client's record, or of the end of a range.
func (r *reader) key() []byte {
	k := r.Bytes()
	r.Bad = r.Bad || len(k) == 0 || k[0] != DataKind && k[0] != DataKind+1
	return k
}

func (r *reader) items() items {
	b := items(r.Bytes())
	r.Bad = r.Bad || b.check() != nil
	return b
}

// record reads a record, or nothing.
func (r *reader) record() []byte {
	b := r.Bytes()
	if len(b) > 0 {
		if _, err := DecodeRecord(b); err != nil {
			r.Bad = true
		}
	}
	return b
}

// each calls f as often as the number that comes says, unless what follows is too short for that.
func (r *reader) each(size int, f func()) {
	for n := r.Count(size); n > 0 && !r.Bad; n-- {
		f()
	}
}

// DecodeMessage decodes a message of a peer. The message keeps b.
func DecodeMessage(b []byte) (core.Message, error) {
	if len(b) == 0 {
		return nil, errMessage
	}
	r := &reader{wire.Reader{B: b[1:]}}
	m := r.message(b[0])
	if m == nil || r.Bad || len(r.B) > 0 {
		return nil, errMessage
	}
	return m, nil
}

func (r *reader) message(kind byte) core.Message {
	switch kind {
	case kindWrite:
		return Write{r.Uint(), r.Uint(), Source(r.small(sources)), r.hlc(), r.items()}
	case kindWritten:
		m := Written{Batch: r.Uint()}
		r.each(2, func() { m.Refused = append(m.Refused, Refusal{uint32(r.small(1 << 32)), Reason(r.small(reasons))}) })
		return m
	case kindRead:
		m := Read{Epoch: r.Uint(), Batch: r.Uint()}
		r.each(9, func() { m.Keys = append(m.Keys, ReadKey{r.key(), r.Fixed()}) })
		return m
	case kindValues:
		m := Values{Batch: r.Uint(), Suspect: r.Bool()}
		r.each(2, func() { m.Records = append(m.Records, Value{r.Bool(), r.record()}) })
		return m
	case kindScan:
		return Scan{r.Uint(), r.Uint(), r.key(), r.Bytes(), uint32(r.small(1 << 32))}
	case kindPage:
		return Page{r.Uint(), r.Bool(), r.items(), r.Bytes()}
	case kindProbe:
		return Probe{r.Uint(), r.Uint(), r.hlc(), r.Fixed()}
	case kindLeaves:
		m := Leaves{Epoch: r.Uint(), Session: r.Uint(), Refuse: r.hlc(), Purge: r.hlc(), Same: r.Bool(), Suspect: r.Bool()}
		r.each(16, func() { m.Sums = append(m.Sums, sum{r.Fixed(), r.Fixed()}) })
		r.Bad = r.Bad || len(m.Sums) != 0 && len(m.Sums) != buckets
		return m
	case kindRange:
		return r.rangeMessage()
	case kindDifference:
		m := Difference{Session: r.Uint(), Number: r.Uint(), Purge: r.hlc(), Until: r.Bytes(), Items: r.items()}
		r.each(2, func() { m.Wanted = append(m.Wanted, r.key()) })
		return m
	case kindLine:
		return Line{r.Uint(), r.Uint(), r.hlc(), r.hlc()}
	case kindLineSet:
		return LineSet{r.Uint()}
	case kindNewer:
		m := Newer{r.Bytes()}
		_, err := DecodeConfig(m.Config)
		r.Bad = r.Bad || err != nil
		return m
	case kindReport:
		return Report{r.Uint()}
	}
	return nil
}

func (r *reader) rangeMessage() Range {
	m := Range{Session: r.Uint(), Number: r.Uint(), Purge: r.hlc(), Buckets: r.Bytes(), From: r.key(), To: r.Bytes()}
	r.Bad = r.Bad || len(m.Buckets) != 0 && len(m.Buckets) != buckets/8
	r.each(11, func() { m.Entries = append(m.Entries, Entry{r.key(), r.stamp(), r.Fixed()}) })
	return m
}

// String is the message without its sums, for traces.
func (m Leaves) String() string {
	return fmt.Sprintf("{%d %d same %t suspect %t, %d sums}", m.Session, m.Purge, m.Same, m.Suspect, len(m.Sums))
}
