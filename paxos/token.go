package paxos

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/gamutdb/gamut/kv"
)

// Token is what a session of a sequential keyspace has seen: its place in the one order of the keyspace, over all groups. A
// number for each group would not do: it orders nothing between two groups (trap T5.2).
type Token struct {
	// Binding names the cluster and the keyspace; a token of another one is refused.
	Binding uint64
	Time    kv.HLC
}

const (
	tokenVersion = 2
	// tokenSize: version, binding, time, checksum.
	tokenSize = 1 + 8 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendTo encodes the token under a checksum.
func (t Token) AppendTo(b []byte) []byte {
	from := len(b)
	b = append(b, tokenVersion)
	b = binary.BigEndian.AppendUint64(b, t.Binding)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Time))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// DecodeToken reads what AppendTo wrote; kv.BadToken says that it was damaged.
func DecodeToken(b []byte) (t Token, err error) {
	const body = tokenSize - 4
	if len(b) != tokenSize || b[0] != tokenVersion || binary.BigEndian.Uint32(b[body:]) != crc32.Checksum(b[:body], castagnoli) {
		return t, kv.Errorf(kv.BadToken, "the session token is damaged; begin a new session without one")
	}
	return Token{binary.BigEndian.Uint64(b[1:]), kv.HLC(binary.BigEndian.Uint64(b[9:]))}, nil
}

// OpenToken is the time that a command's token stands for; none: nothing was seen. kv.BadToken says that it is damaged or
// belongs to another cluster or keyspace.
func OpenToken(binding uint64, b []byte) (kv.HLC, error) {
	if len(b) == 0 {
		return 0, nil
	}
	t, err := DecodeToken(b)
	if err != nil {
		return 0, err
	}
	if t.Binding != binding {
		return 0, kv.Errorf(kv.BadToken, "the session token belongs to another cluster or keyspace; begin a new session without one")
	}
	return t.Time, nil
}

// CheckToken refuses a token that is damaged or that belongs to another cluster or keyspace.
func CheckToken(binding uint64, b []byte) error {
	_, err := OpenToken(binding, b)
	return err
}

// MergeTokens is what a session has seen that holds both: the later one. What is no token is kept as it is, so that the next
// command is refused for it.
func MergeTokens(a, b []byte) []byte {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	t, err := DecodeToken(a)
	if err != nil {
		return a
	}
	if u, err := DecodeToken(b); err == nil && u.Binding == t.Binding && u.Time < t.Time {
		return a
	}
	return b
}
