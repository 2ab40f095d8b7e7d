package paxos

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Ballot orders leaderships. Two replicas never use the same one, so two candidates cannot tie.
type Ballot struct {
	Round   uint64
	Replica core.ReplicaID
}

// Less orders ballots by round, then replica.
func (b Ballot) Less(o Ballot) bool {
	return b.Round < o.Round || (b.Round == o.Round && b.Replica < o.Replica)
}

// String is round.replica.
func (b Ballot) String() string { return fmt.Sprintf("%d.%d", b.Round, b.Replica) }

// Hash is a SHA-256 sum.
type Hash [sha256.Size]byte

// String is the first eight bytes in hexadecimal, enough for a reader to compare.
func (h Hash) String() string { return hex.EncodeToString(h[:8]) }

// BlockKind says what a block's payload is. The numbers are on disk and on the wire.
type BlockKind uint8

// Kinds of blocks.
const (
	// Noop holds nothing: a new leader commits all before it through it.
	Noop BlockKind = 1
	// Commands holds encoded commands of package kv, each behind its length.
	Commands BlockKind = 2
	// Configuration holds a Config, in force as soon as the block is appended (rule M1).
	Configuration BlockKind = 3
	// Expiry ends what is past its time by the block's time.
	Expiry BlockKind = 4
	// Mark is a position at which every replica keeps its state for comparison.
	Mark BlockKind = 5
	// Split gives the keys from one on to another group.
	Split BlockKind = 6
	// Weaned frees the state of what a split has laid aside for another group.
	Weaned BlockKind = 7
	// Retire gives up all keys, so that another group can absorb them.
	Retire BlockKind = 8
)

var blockKindNames = map[BlockKind]string{Noop: "noop", Commands: "commands", Configuration: "config", Expiry: "expiry", Mark: "mark", Split: "split",
	Weaned: "weaned", Retire: "retire"}

// String is the kind's name.
func (k BlockKind) String() string {
	if s, ok := blockKindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

const (
	blockVersion = 1
	// headerSize: version, index, ballot, time, previous hash, kind, payload hash.
	headerSize = 1 + 8 + 12 + 8 + sha256.Size + 1 + sha256.Size
	// BlockMax bounds a payload, in bytes, unless a single command is longer; CommandsMax bounds its commands.
	BlockMax    = 1 << 20
	CommandsMax = 4096
)

// Block is one entry of the log. It is immutable: a new leader passes it on as it was created, ballot included (rule E5),
// because a log of re-stamped entries can lose chosen ones (trap T1.3).
type Block struct {
	Index   uint64
	Ballot  Ballot
	Time    kv.HLC
	Prev    Hash // of the block before; of the genesis for the first
	Kind    BlockKind
	Payload []byte
	// Hash covers all of the above, the payload by its own hash.
	Hash Hash
	// raw is the encoding, made once: the log and both messages carry the same bytes.
	raw []byte
}

// position is what the chain continues from.
type position struct {
	Index  uint64
	Ballot Ballot
	Time   kv.HLC
	Hash   Hash
}

func (b *Block) position() position {
	return position{Index: b.Index, Ballot: b.Ballot, Time: b.Time, Hash: b.Hash}
}

// newBlock makes the block behind prev. raw is headerSize bytes of room, then the payload, and is kept.
func newBlock(prev position, ballot Ballot, time kv.HLC, kind BlockKind, raw []byte) *Block {
	payload := raw[headerSize:]
	sum := sha256.Sum256(payload)
	h := append(raw[:0], blockVersion)
	h = binary.BigEndian.AppendUint64(h, prev.Index+1)
	h = appendBallot(h, ballot)
	h = binary.BigEndian.AppendUint64(h, uint64(time))
	h = append(h, prev.Hash[:]...)
	h = append(h, byte(kind))
	_ = append(h, sum[:]...)
	return &Block{Index: prev.Index + 1, Ballot: ballot, Time: time, Prev: prev.Hash, Kind: kind, Payload: payload,
		Hash: sha256.Sum256(raw[:headerSize]), raw: raw}
}

var errBlock = errors.New("malformed block")

// DecodeBlock takes a block apart and verifies its payload against its header. The block keeps raw.
func DecodeBlock(raw []byte) (*Block, error) {
	if len(raw) < headerSize || raw[0] != blockVersion {
		return nil, errBlock
	}
	b := &Block{raw: raw, Payload: raw[headerSize:]}
	b.Index = binary.BigEndian.Uint64(raw[1:])
	b.Ballot = ballotAt(raw[9:])
	b.Time = kv.HLC(binary.BigEndian.Uint64(raw[21:]))
	copy(b.Prev[:], raw[29:])
	b.Kind = BlockKind(raw[61])
	sum := sha256.Sum256(b.Payload)
	if !bytes.Equal(sum[:], raw[62:headerSize]) {
		return nil, fmt.Errorf("block %d: the payload does not match its hash", b.Index)
	}
	b.Hash = sha256.Sum256(raw[:headerSize])
	return b, nil
}

// Intact computes the hashes again and compares.
func (b *Block) Intact() bool {
	again, err := DecodeBlock(b.raw)
	return err == nil && again.Hash == b.Hash
}

func appendBallot(b []byte, v Ballot) []byte {
	b = binary.BigEndian.AppendUint64(b, v.Round)
	return binary.BigEndian.AppendUint32(b, uint32(v.Replica))
}

func ballotAt(b []byte) Ballot {
	return Ballot{Round: binary.BigEndian.Uint64(b), Replica: core.ReplicaID(binary.BigEndian.Uint32(b[8:]))}
}

// EachCommand calls f with each encoded command of a Commands payload, in order.
func EachCommand(payload []byte, f func(i int, command []byte)) error {
	for i := 0; len(payload) > 0; i++ {
		n, used := binary.Uvarint(payload)
		if used <= 0 || n > uint64(len(payload)-used) {
			return errBlock
		}
		f(i, payload[used:used+int(n):used+int(n)])
		payload = payload[used+int(n):]
	}
	return nil
}
