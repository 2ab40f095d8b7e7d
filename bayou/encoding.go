package bayou

import (
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

type reader struct{ wire.Reader }

func (r *reader) stamp() kv.HLC { return kv.HLC(r.Fixed()) }

func (r *reader) replica() core.ReplicaID { return core.ReplicaID(r.Uint()) }

func (r *reader) dot() Dot { return Dot{Stamp: r.stamp(), Replica: r.replica()} }

func appendDot(b []byte, d Dot) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(d.Stamp))
	return binary.AppendUvarint(b, uint64(d.Replica))
}

func (r *reader) vector() Vector {
	n := r.Count(9)
	if n == 0 {
		return nil
	}
	v := make(Vector, n)
	for i := range v {
		v[i] = Entry{r.replica(), r.stamp()}
		if i > 0 && v[i].Replica <= v[i-1].Replica {
			r.Bad = true
		}
	}
	if r.Bad {
		return nil
	}
	return v
}
