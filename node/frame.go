package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/values"
)

// A frame is a head, then any number of parcels. The head is
//
//	length u32 | crc32c u32 | wall u64 | sent u64 | echo u64 | held u64
//
// where the checksum covers all that follows it, and length counts the parcels. A parcel is length u32, kind u8, body.
const (
	frameHead  = 4 + 4 + 8 + 8 + 8 + 8
	parcelHead = 4 + 1
	// frameMax bounds what a peer can make this node allocate. The largest parcel is a command of 2*kv.ValueMax and its keys.
	frameMax = 40 << 20
	// frameFill is where a frame is closed and the next one begun.
	frameFill = 1 << 20
	// parcelsMax is more than fit into a frame that is closed in time: a list of parcels is larger than the frame.
	parcelsMax = 2 * frameFill / parcelHead
)

const (
	parcelMessage = 1
	parcelForward = 2
	parcelReturn  = 3
	parcelWant    = 4
	parcelValue   = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// times are the clock readings on a frame, for round-trip times and skew.
type times struct {
	wall int64 // sender's clock in Unix milliseconds
	sent int64 // sender's monotonic clock, in nanoseconds; 0: this frame has no readings, one of the last 10 ms has
	echo int64 // the last sent that the sender received from us; 0: none
	held int64 // how long ago that was
}

// sealFrame fills in the head of a frame whose parcels stand behind it.
func sealFrame(frame []byte, t times) {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-frameHead))
	binary.BigEndian.PutUint64(frame[8:], uint64(t.wall))
	binary.BigEndian.PutUint64(frame[16:], uint64(t.sent))
	binary.BigEndian.PutUint64(frame[24:], uint64(t.echo))
	binary.BigEndian.PutUint64(frame[32:], uint64(t.held))
	binary.BigEndian.PutUint32(frame[4:], crc32.Checksum(frame[8:], castagnoli))
}

// frameLength reads the size of the parcels from a head, and checks it before anyone allocates.
func frameLength(head []byte) (int, error) {
	n := binary.BigEndian.Uint32(head)
	if n > frameMax {
		return 0, fmt.Errorf("a frame of %d bytes; the limit is %d", n, frameMax)
	}
	return int(n), nil
}

var errChecksum = errors.New("the frame does not match its checksum")

// openFrame checks a whole frame and takes it apart.
func openFrame(head, parcels []byte) (times, error) {
	sum := crc32.Update(crc32.Checksum(head[8:frameHead], castagnoli), castagnoli, parcels)
	if sum != binary.BigEndian.Uint32(head[4:]) {
		return times{}, errChecksum
	}
	word := func(at int) int64 { return int64(binary.BigEndian.Uint64(head[at:])) }
	return times{wall: word(8), sent: word(16), echo: word(24), held: word(32)}, nil
}

// beginParcel leaves room for a parcel's length, which endParcel fills in.
func beginParcel(b []byte, kind byte) []byte { return append(b, 0, 0, 0, 0, kind) }

func endParcel(b []byte, from int) []byte {
	binary.BigEndian.PutUint32(b[from:], uint32(len(b)-from-parcelHead))
	return b
}

func appendMessage(b []byte, m host.Envelope) []byte {
	from := len(b)
	b = beginParcel(b, parcelMessage)
	b = binary.AppendUvarint(b, uint64(m.Group))
	b = binary.AppendUvarint(b, uint64(m.From))
	b = binary.AppendUvarint(b, uint64(m.To))
	return endParcel(m.Message.AppendTo(b), from)
}

func appendForward(b []byte, f host.Forward) []byte {
	from := len(b)
	b = beginParcel(b, parcelForward)
	b = binary.AppendUvarint(b, uint64(f.ID))
	b = binary.AppendUvarint(b, uint64(f.Group))
	b = binary.AppendUvarint(b, uint64(max(f.Within, 0)))
	read := byte(0)
	if f.Read {
		read = 1
	}
	return endParcel(append(append(b, read), f.Encoded...), from)
}

func appendReturn(b []byte, id core.RequestID, r *kv.Result) []byte {
	from := len(b)
	b = beginParcel(b, parcelReturn)
	b = binary.AppendUvarint(b, uint64(id))
	b = kv.AppendResult(b, r)
	if len(b)-from > frameMax/2 {
		tooLarge := kv.Result{Code: kv.Unknown, Detail: "the answer is too large to be passed between nodes; ask for less at once"}
		return appendReturn(b[:from], id, &tooLarge)
	}
	return endParcel(b, from)
}

// appendWant asks for a value of a replica's state that is kept elsewhere.
func appendWant(b []byte, id uint64, p values.Place) []byte {
	from := len(b)
	b = beginParcel(b, parcelWant)
	b = binary.AppendUvarint(b, id)
	b = binary.AppendUvarint(b, uint64(p.Group))
	b = p.Ref.AppendTo(b)
	return endParcel(append(b, p.Key...), from)
}

// appendValue answers a want.
func appendValue(b []byte, id core.RequestID, found values.Finding, value []byte) []byte {
	from := len(b)
	b = beginParcel(b, parcelValue)
	b = binary.AppendUvarint(b, uint64(id))
	return endParcel(append(append(b, byte(found)), value...), from)
}

// parcel is one of the things that nodes say to each other.
type parcel struct {
	kind     byte
	envelope host.Envelope
	forward  host.Forward
	id       core.RequestID
	result   kv.Result
	place    values.Place
	finding  values.Finding
	value    []byte
}

var errParcel = errors.New("malformed parcel")

// decoder says how to read the messages of a group; nil: no such group is known here.
type decoder func(core.GroupID, []byte) (core.Message, error)

// readParcels appends the parcels of a frame to list. They keep b. A message for a group that is not known here is
// skipped: its sender knows more of the catalog, and says it again.
func readParcels(list []parcel, b []byte, decode decoder) ([]parcel, error) {
	n := countParcels(b)
	if n > parcelsMax {
		return list, errParcel
	}
	list = slices.Grow(list, n)
	for len(b) > 0 {
		if len(b) < parcelHead || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-parcelHead) {
			return list, errParcel
		}
		end := parcelHead + int(binary.BigEndian.Uint32(b))
		p := parcel{kind: b[4]}
		known, err := p.read(b[parcelHead:end:end], decode)
		if err != nil {
			return list, err
		}
		if known {
			list = append(list, p)
		}
		b = b[end:]
	}
	return list, nil
}

// countParcels is how many parcels begin in a frame.
func countParcels(b []byte) (n int) {
	for len(b) >= parcelHead {
		size := uint64(binary.BigEndian.Uint32(b))
		b = b[parcelHead:]
		n++
		if size > uint64(len(b)) {
			break
		}
		b = b[size:]
	}
	return n
}

func (p *parcel) read(body []byte, decode decoder) (known bool, err error) {
	r := numbers{b: body}
	switch p.kind {
	case parcelMessage:
		p.envelope = host.Envelope{Group: core.GroupID(r.next()), From: core.ReplicaID(r.next()), To: core.ReplicaID(r.next())}
		if r.bad {
			return false, errParcel
		}
		p.envelope.Message, err = decode(p.envelope.Group, r.b)
		return p.envelope.Message != nil, err
	case parcelForward:
		p.forward = host.Forward{ID: core.RequestID(r.next()), Group: core.GroupID(r.next()), Within: core.Time(r.next())}
		if r.bad || len(r.b) == 0 || r.b[0] > 1 || p.forward.Within < 0 || p.forward.Within > forwardMax {
			return false, errParcel
		}
		p.forward.Read, p.forward.Encoded = r.b[0] == 1, r.b[1:]
		return true, nil
	case parcelReturn:
		p.id = core.RequestID(r.next())
		if r.bad {
			return false, errParcel
		}
		rest, err := kv.DecodeResult(r.b, &p.result)
		if err != nil || len(rest) > 0 {
			return false, errParcel
		}
		return true, nil
	case parcelWant:
		return p.readWant(&r)
	case parcelValue:
		p.id = core.RequestID(r.next())
		if r.bad || len(r.b) == 0 || r.b[0] > byte(values.Unasked) {
			return false, errParcel
		}
		p.finding, p.value = values.Finding(r.b[0]), r.b[1:]
		return true, nil
	}
	return false, errParcel
}

func (p *parcel) readWant(r *numbers) (known bool, err error) {
	p.id, p.place.Group = core.RequestID(r.next()), core.GroupID(r.next())
	if r.bad || len(r.b) < kv.ReferenceSize {
		return false, errParcel
	}
	ref, ok := kv.ParseReference(r.b[:kv.ReferenceSize])
	if !ok {
		return false, errParcel
	}
	p.place.Ref, p.place.Key = ref, string(r.b[kv.ReferenceSize:])
	return true, nil
}

// forwardMax bounds how long a forwarded command may ask to be kept, in nanoseconds.
const forwardMax = core.Time(24 * 3600e9)

// numbers reads unsigned varints from the front of a slice.
type numbers struct {
	b   []byte
	bad bool
}

func (r *numbers) next() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
