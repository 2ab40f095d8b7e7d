package bayou

import (
	"encoding/binary"
	"github.com/gamutdb/gamut/core/wire"
	"hash/crc32"

	"github.com/gamutdb/gamut/kv"
)

// Token is what a session has seen: Read by its reads, Written by its own writes. Each guarantee asks for one of them or
// both. Tokens only ever grow: they are merged by maximum, never replaced (trap T4.5).
type Token struct {
	// Binding names the cluster and the keyspace; a token of another one is refused.
	Binding       uint64
	Read, Written Vector
}

const tokenVersion = 1

// tokenMax bounds a token in bytes, before anything of it is read.
const tokenMax = 4 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendTo encodes the token under a checksum.
func (t *Token) AppendTo(b []byte) []byte {
	from := len(b)
	b = append(b, tokenVersion)
	b = binary.BigEndian.AppendUint64(b, t.Binding)
	b = t.Read.AppendTo(b)
	b = t.Written.AppendTo(b)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

var errToken = kv.Errorf(kv.BadToken, "the session token is damaged; begin a new session without one")

// DecodeToken reads what AppendTo wrote; kv.BadToken says that it was damaged.
func DecodeToken(b []byte) (t Token, err error) {
	if len(b) < 15 || len(b) > tokenMax {
		return t, errToken
	}
	body := b[:len(b)-4]
	r := reader{wire.Reader{B: body}}
	if r.Byte() != tokenVersion || binary.BigEndian.Uint32(b[len(body):]) != crc32.Checksum(body, castagnoli) {
		return t, errToken
	}
	t.Binding = uint64(r.stamp())
	t.Read, t.Written = r.vector(), r.vector()
	if r.Bad || len(r.B) > 0 {
		return Token{}, errToken
	}
	return t, nil
}

// CheckToken refuses a token that is damaged or that belongs to another keyspace.
func CheckToken(binding uint64, b []byte) error {
	_, err := openToken(binding, b)
	return err
}

// openToken is the token of a command; none: nothing was seen.
func openToken(binding uint64, b []byte) (t Token, err error) {
	if len(b) == 0 {
		return Token{Binding: binding}, nil
	}
	if t, err = DecodeToken(b); err != nil {
		return t, err
	}
	if t.Binding != binding {
		return t, kv.Errorf(kv.BadToken, "the session token belongs to another cluster or keyspace; begin a new session without one")
	}
	return t, nil
}

// MergeTokens is what a session has seen that holds both. What is no token of this keyspace is kept as it is, so that the
// next command is refused for it.
func MergeTokens(a, b []byte) []byte {
	if len(a) == 0 || string(a) == string(b) {
		return b
	}
	if len(b) == 0 {
		return a
	}
	t, err := DecodeToken(a)
	if err != nil {
		return a
	}
	u, err := DecodeToken(b)
	if err != nil || u.Binding != t.Binding {
		return b
	}
	t.Read.Merge(u.Read)
	t.Written.Merge(u.Written)
	return t.AppendTo(nil)
}

// needs says how much of a token a replica must hold before it executes a command at a level: read your writes and
// monotonic writes ask for what the session wrote, monotonic reads and writes follow reads for what it read (rules B1, B2).
func (t *Token) needs(level kv.Level, write bool) (read, written Vector) {
	switch level {
	case kv.LevelEventual:
		return nil, nil
	case kv.LevelCommitted:
		if !write { // what is committed is shown as far as it is known, and never waited for
			return nil, nil
		}
		return t.Read, t.Written
	case kv.LevelReadYourWrites:
		if !write {
			written = t.Written
		}
	case kv.LevelMonotonicReads:
		if !write {
			read = t.Read
		}
	case kv.LevelMonotonicWrites:
		if write {
			written = t.Written
		}
	case kv.LevelWritesFollowReads:
		if write {
			read = t.Read
		}
	default:
		return t.Read, t.Written
	}
	return read, written
}
