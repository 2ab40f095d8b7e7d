package bayou

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// Write is what one command changed: the unit that replicas hand each other. Its operations are shown together or not at all.
type Write struct {
	Dot
	Ops []Op
	// Seen is what the writer had seen, if an operation takes parts away by it; empty: none does.
	Seen Vector
	// raw is the encoding, which the log and all messages share.
	raw []byte
	// touched are the keys of the command, once they were asked for.
	touched [][]byte
}

// OpKind is what an operation of a write does. The numbers are on disk and on the wire.
type OpKind uint8

// Kinds of operations.
const (
	Set    OpKind = 1
	Delete OpKind = 2
	Add    OpKind = 3
	// Lost says that the writes of this write's replica between Since and this one are lost with its disk, but for those
	// up to Since (rule B8).
	Lost OpKind = 4
	// Join says that a replica is a member; Retire, that it is none any more and that its last write is that of stamp Since.
	Join   OpKind = 5
	Retire OpKind = 6
	// Include and Exclude put a value into a set and take it out. Sibling puts a value beside those that its writer had not seen.
	Include OpKind = 7
	Exclude OpKind = 8
	Sibling OpKind = 9
	// past precedes the operations of a write in its encoding, with its Seen.
	past OpKind = 10
	// Execute is a kv.Command in its encoding, in a group with a commit order.
	Execute OpKind = 32
)

// Op is one operation of a write.
type Op struct {
	Kind     OpKind
	Key      []byte
	Value    []byte         // Set, Include, Exclude, Sibling, Execute
	Flags    uint32         // Set, Sibling
	ExpireAt int64          // Set: Unix milliseconds; 0: never
	Delta    int64          // Add
	Run      kv.HLC         // Add: the run that it continues, or begins with its own stamp
	Sums     []Sum          // Set, Delete: how much its writer had seen of what was added
	Since    kv.HLC         // Lost, Retire
	Member   core.ReplicaID // Join, Retire
}

// onData says that the operation changes a key.
func (o *Op) onData() bool { return o.Kind <= Add || o.Kind.parts() }

// parts says that the operation puts parts into a record or takes them away.
func (k OpKind) parts() bool { return k >= Include && k <= Sibling }

// merges says that the operation changes what others have put into a record, instead of replacing it.
func (k OpKind) merges() bool { return k == Add || k.parts() }

const writeVersion = 2

var errWrite = errors.New("malformed write")

// seal encodes the write.
func (w *Write) seal() {
	size := 32 + 16*len(w.Seen)
	for i := range w.Ops {
		o := &w.Ops[i]
		size += len(o.Key) + len(o.Value) + 32 + 24*len(o.Sums)
	}
	b := append(make([]byte, 0, size), writeVersion)
	b = appendDot(b, w.Dot)
	if len(w.Seen) > 0 {
		b = append(binary.AppendUvarint(b, uint64(len(w.Ops)+1)), byte(past))
		b = w.Seen.AppendTo(wire.AppendBytes(b, nil))
	} else {
		b = binary.AppendUvarint(b, uint64(len(w.Ops)))
	}
	for i := range w.Ops {
		o := &w.Ops[i]
		b = wire.AppendBytes(append(b, byte(o.Kind)), o.Key)
		switch o.Kind {
		case Set:
			b = binary.AppendVarint(binary.AppendUvarint(b, uint64(o.Flags)), o.ExpireAt)
			b = appendSums(wire.AppendBytes(b, o.Value), o.Sums)
		case Delete:
			b = appendSums(b, o.Sums)
		case Add:
			b = binary.BigEndian.AppendUint64(binary.AppendVarint(b, o.Delta), uint64(o.Run))
		case Include, Exclude, Execute:
			b = wire.AppendBytes(b, o.Value)
		case Sibling:
			b = wire.AppendBytes(binary.AppendUvarint(b, uint64(o.Flags)), o.Value)
		case Lost:
			b = binary.BigEndian.AppendUint64(b, uint64(o.Since))
		case Join, Retire:
			b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, uint64(o.Member)), uint64(o.Since))
		}
	}
	w.raw = b
}

// decodeWrite decodes a write, which keeps b.
func decodeWrite(b []byte) (*Write, error) {
	r := reader{wire.Reader{B: b}}
	version := r.Byte()
	w := &Write{Dot: r.dot(), raw: b}
	if version != writeVersion || w.Stamp == 0 || w.Replica == 0 {
		return nil, errWrite
	}
	for n := r.Count(2); n > 0 && !r.Bad; n-- {
		o := Op{Kind: OpKind(r.Byte()), Key: r.Bytes()}
		switch o.Kind {
		case Set:
			o.Flags, o.ExpireAt, o.Value = uint32(r.Uint()), r.Int(), r.Bytes()
			o.Sums = r.sums()
		case Add:
			o.Delta, o.Run = r.Int(), r.stamp()
		case Execute:
			var c kv.Command
			o.Value = r.Bytes()
			r.Bad = r.Bad || kv.DecodeCommand(o.Value, &c) != nil || c.Tx != nil
		case Lost:
			o.Since = r.stamp()
		case Join, Retire:
			o.Member, o.Since = r.replica(), r.stamp()
			r.Bad = r.Bad || o.Member == 0
		case Delete:
			o.Sums = r.sums()
		case Include, Exclude:
			o.Value = r.Bytes()
		case Sibling:
			o.Flags, o.Value = uint32(r.Uint()), r.Bytes()
		case past:
			w.Seen = r.vector()
			r.Bad = r.Bad || len(w.Ops) > 0 || len(o.Key) > 0 || len(w.Seen) == 0
			continue
		default:
			r.Bad = true
		}
		w.Ops = append(w.Ops, o)
	}
	if r.Bad || len(r.B) > 0 {
		return nil, errWrite
	}
	return w, nil
}

func appendSums(b []byte, sums []Sum) []byte {
	b = binary.AppendUvarint(b, uint64(len(sums)))
	for _, s := range sums {
		b = binary.AppendVarint(appendDot(b, Dot{s.Run, s.Replica}), s.Total)
	}
	return b
}

func (r *reader) sums() (list []Sum) {
	for n := r.Count(10); n > 0 && !r.Bad; n-- {
		d := r.dot()
		list = append(list, Sum{d.Replica, d.Stamp, r.Int()})
	}
	return list
}

// Size is the length of the encoding in bytes.
func (w *Write) Size() int { return len(w.raw) }

// String tells of the write in a line.
func (w *Write) String() string { return w.Dot.String() + w.Changes() }

// Changes tells what the write does.
func (w *Write) Changes() (text string) {
	for i := range w.Ops {
		o := &w.Ops[i]
		if i == 3 {
			return text + fmt.Sprintf(" and %d more", len(w.Ops)-i)
		}
		switch o.Kind {
		case Set:
			text += fmt.Sprintf(" set %q (%d bytes)", o.Key[:min(64, len(o.Key))], len(o.Value))
		case Delete:
			text += fmt.Sprintf(" delete %q", o.Key[:min(64, len(o.Key))])
		case Add:
			text += fmt.Sprintf(" add %d to %q", o.Delta, o.Key[:min(64, len(o.Key))])
		case Include:
			text += fmt.Sprintf(" include %q in %q", o.Value[:min(64, len(o.Value))], o.Key[:min(64, len(o.Key))])
		case Exclude:
			text += fmt.Sprintf(" exclude %q from %q", o.Value[:min(64, len(o.Value))], o.Key[:min(64, len(o.Key))])
		case Sibling:
			text += fmt.Sprintf(" keep a sibling of %q (%d bytes)", o.Key[:min(64, len(o.Key))], len(o.Value))
		case Execute:
			text += executes(o.Value)
		case Lost:
			text += fmt.Sprintf(" lost since %d.%d", o.Since.UnixMilli(), uint16(o.Since))
		case Join:
			text += fmt.Sprintf(" replica %d joins", o.Member)
		case Retire:
			text += fmt.Sprintf(" replica %d retires after %d.%d", o.Member, o.Since.UnixMilli(), uint16(o.Since))
		}
	}
	return text
}

// Kinds of state keys: the first byte of each. The protocol's own are below 'm'.
const (
	dataKind = 'd' // then a client's key: a record
	logKind  = 'w' // then a dot: the write
	// removedKind precedes the dot of a deletion, then a client's key: what may be forgotten once that is stable.
	removedKind = 'g'
	// expiryKind precedes 8 bytes of Unix milliseconds, then a client's key: what ends when.
	expiryKind = 't'
)

// metaKey is where the state keeps what it is a fold of.
var metaKey = []byte{'m', 'v'}

func dotKey(kind byte, d Dot, rest []byte) []byte {
	b := make([]byte, 0, 13+len(rest))
	b = binary.BigEndian.AppendUint64(append(b, kind), uint64(d.Stamp))
	b = binary.BigEndian.AppendUint32(b, uint32(d.Replica))
	return append(b, rest...)
}

func dotOfKey(key []byte) Dot {
	return Dot{kv.HLC(binary.BigEndian.Uint64(key[1:])), core.ReplicaID(binary.BigEndian.Uint32(key[9:]))}
}

func dataKey(key []byte) []byte { return append(append(make([]byte, 0, 1+len(key)), dataKind), key...) }

func expiryKey(at int64, key []byte) []byte {
	b := binary.BigEndian.AppendUint64(append(make([]byte, 0, 9+len(key)), expiryKind), uint64(at))
	return append(b, key...)
}

// gap is a stretch of a replica's stamps whose writes are lost: those between after and before, both excluded.
type gap struct {
	replica       core.ReplicaID
	after, before kv.HLC
}

// meta is what the state is a fold of. The state's data and its meta change together, always.
type meta struct {
	binding uint64
	// vector is what the state holds; dropped is what of it the write log lacks.
	vector, dropped Vector
	gaps            []gap
	// members are those who joined and have not retired, by id; formers those who have, in the order in which they did.
	members []membership
	formers []former
	// added says that there may be runs or parts somewhere in the state, ordered that the group has a commit order.
	added, ordered bool
	logCount       uint64
	logBytes       uint64
}

const metaVersion = 2

func (m *meta) appendTo(b []byte) []byte {
	version := byte(metaVersion)
	if m.ordered {
		version |= orderedFlag
	}
	b = binary.BigEndian.AppendUint64(append(b, version), m.binding)
	b = m.vector.AppendTo(b)
	b = binary.AppendUvarint(b, uint64(len(m.gaps)))
	for _, g := range m.gaps {
		b = appendDot(b, Dot{g.after, g.replica})
		b = binary.BigEndian.AppendUint64(b, uint64(g.before))
	}
	b = wire.AppendBool(m.appendMembers(b), m.added)
	b = m.dropped.AppendTo(b)
	b = binary.AppendUvarint(b, m.logCount)
	return binary.AppendUvarint(b, m.logBytes)
}

// decodeMeta is for what this replica wrote: a record that cannot be read is a broken invariant.
func decodeMeta(b []byte) meta {
	m, ok := parseMeta(b)
	if !ok {
		panic(fmt.Sprintf("bayou: the meta record %x cannot be decoded", b))
	}
	return m
}

func parseMeta(b []byte) (m meta, ok bool) {
	r := reader{wire.Reader{B: b}}
	version := r.Byte()
	m.ordered = version&orderedFlag != 0
	m.binding, m.vector = uint64(r.stamp()), r.vector()
	for n := r.Count(17); n > 0 && !r.Bad; n-- {
		d := r.dot()
		m.gaps = append(m.gaps, gap{d.Replica, d.Stamp, r.stamp()})
	}
	r.members(&m)
	m.added = r.Bool()
	m.dropped, m.logCount, m.logBytes = r.vector(), r.Uint(), r.Uint()
	return m, !r.Bad && len(r.B) == 0 && version&^orderedFlag == metaVersion
}

// judge says whether the state may serve a session that needs so much: behind says that it has yet to get some of it; an
// error that some is lost for ever.
func (m *meta) judge(read, written Vector) (behind bool, err error) {
	for _, v := range [...]Vector{read, written} {
		for _, e := range v {
			for _, g := range m.gaps {
				if g.replica == e.Replica && g.after < e.Stamp && e.Stamp < g.before {
					return false, kv.Errorf(kv.SessionLost, "the session has seen writes of replica %d that were lost with its disk; begin a new session", g.replica)
				}
			}
			if f, was := m.former(e.Replica); was {
				if e.Stamp > f.last {
					return false, kv.Errorf(kv.SessionLost, "the session has seen writes of replica %d that were lost with its disk; begin a new session", e.Replica)
				}
				continue
			}
			behind = behind || m.vector.At(e.Replica) < e.Stamp
		}
	}
	return behind, nil
}
