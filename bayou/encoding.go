package bayou

import (
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func appendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// reader takes an encoding apart. After a malformed part it stays bad and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if v := r.take(1); len(v) == 1 {
		return v[0]
	}
	return 0
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(r.uint()) }

func (r *reader) stamp() kv.HLC {
	if v := r.take(8); len(v) == 8 {
		return kv.HLC(binary.BigEndian.Uint64(v))
	}
	return 0
}

func (r *reader) replica() core.ReplicaID { return core.ReplicaID(r.uint()) }

func (r *reader) dot() Dot { return Dot{Stamp: r.stamp(), Replica: r.replica()} }

func appendDot(b []byte, d Dot) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(d.Stamp))
	return binary.AppendUvarint(b, uint64(d.Replica))
}

// count reads a number of parts of at least size bytes each, so that a lie cannot make us allocate.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.b)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) vector() Vector {
	n := r.count(9)
	if n == 0 {
		return nil
	}
	v := make(Vector, n)
	for i := range v {
		v[i] = Entry{r.replica(), r.stamp()}
		if i > 0 && v[i].Replica <= v[i-1].Replica {
			r.bad = true
		}
	}
	if r.bad {
		return nil
	}
	return v
}

func (r *reader) bool() bool { return r.byte() == 1 }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
