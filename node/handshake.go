package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
)

// wireVersion is the version of frames and handshakes. Two nodes speak only if theirs are equal.
const wireVersion = 2

var helloMagic = []byte("GAMUTPEER\n")

// hello is what both sides of a connection say first.
type hello struct {
	version uint16
	cluster [16]byte
	node    core.NodeID
	store   keyspace.StoreID
	boot    uint64
	// refused is why the answering side will not go on; empty: it will.
	refused refusal
}

// refusal is a reason not to speak with a peer. The numbers cross the wire.
type refusal uint8

const (
	refusedNot refusal = iota
	refusedVersion
	refusedCluster
	refusedNode
	refusedStore
	refusedRemoved
)

var refusals = [...]string{"", "the wire versions differ; run the same release on all nodes",
	"the nodes belong to different clusters; check the cluster lists and names",
	"the address belongs to another node than the cluster list says",
	"the disk is not the one that the cluster knows for this node; a lost disk comes back as a new node",
	"the node was removed from the cluster, and its number is used up; give the machine an empty folder and let it join"}

func (r refusal) Error() string {
	if int(r) < len(refusals) {
		return refusals[r]
	}
	return fmt.Sprintf("reason %d", r)
}

const helloSize = 10 + 2 + 16 + 4 + 16 + 8 + 1

func (h *hello) append(b []byte) []byte {
	b = append(b, helloMagic...)
	b = binary.BigEndian.AppendUint16(b, h.version)
	b = append(b, h.cluster[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(h.node))
	b = append(b, h.store[:]...)
	b = binary.BigEndian.AppendUint64(b, h.boot)
	return append(b, byte(h.refused))
}

var errHello = errors.New("not a node of ours: the greeting is not Gamut's")

func decodeHello(b []byte) (h hello, err error) {
	if len(b) != helloSize || !bytes.Equal(b[:len(helloMagic)], helloMagic) {
		return h, errHello
	}
	b = b[len(helloMagic):]
	h.version = binary.BigEndian.Uint16(b)
	copy(h.cluster[:], b[2:])
	h.node = core.NodeID(binary.BigEndian.Uint32(b[18:]))
	copy(h.store[:], b[22:])
	h.boot = binary.BigEndian.Uint64(b[38:])
	h.refused = refusal(b[46])
	return h, nil
}

func readHello(r io.Reader) (hello, error) {
	var space [helloSize]byte
	if _, err := io.ReadFull(r, space[:len(helloMagic)]); err != nil {
		return hello{}, err
	}
	if isJoin(space[:len(helloMagic)]) {
		return hello{}, errJoins
	}
	if _, err := io.ReadFull(r, space[len(helloMagic):]); err != nil {
		return hello{}, err
	}
	return decodeHello(space[:])
}

// errJoins says that whoever greets asks to join the cluster.
var errJoins = errors.New("a node asks to join")

// judge says whether a node may speak with a peer that greets so. known is the disk that the catalog has for it.
func (h *hello) judge(self *hello, known keyspace.StoreID, member bool) refusal {
	switch {
	case h.version != self.version:
		return refusedVersion
	case h.cluster != self.cluster:
		return refusedCluster
	case !member || h.node == self.node:
		return refusedNode
	case known != keyspace.StoreID{} && h.store != known:
		return refusedStore
	}
	return refusedNot
}
