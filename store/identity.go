package store

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
)

// FormatVersion is the layout of the folder that this program writes.
const FormatVersion = 1

// Identity is whose disk a folder is (it stands in the folder's file IDENTITY).
type Identity struct {
	Cluster [16]byte
	Node    core.NodeID
	// Store is drawn when the folder is formatted: a blank disk is another store, whatever its node says it is.
	Store [16]byte
	// Boot counts the openings of the folder. It is durable before anything is read.
	Boot   uint64
	Format uint32
}

func (id Identity) tag() uint64 { return binary.LittleEndian.Uint64(id.Store[:]) }

// MembershipName is the file in which a node that joins keeps what it was told, before it has an identity. The store leaves it alone.
const MembershipName = "MEMBERSHIP"

// ourNames may lie in a folder that has no identity yet.
var ourNames = []string{logName, stateName, lockName, IdentityName + newSuffix, MembershipName, MembershipName + newSuffix}

const identityHead = "gamut store"

// encode writes the identity as lines that a person can read, a checksum last.
func (id Identity) encode() []byte {
	text := fmt.Sprintf("%s\nformat %d\ncluster %x\nnode %d\nstore %x\nboot %d\n",
		identityHead, id.Format, id.Cluster, id.Node, id.Store, id.Boot)
	return fmt.Appendf(nil, "%scrc32c %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

var errIdentity = errors.New("the file is damaged; restore it or let the node rejoin with an empty folder")

func decodeIdentity(data []byte) (id Identity, err error) {
	at := bytes.LastIndex(data, []byte("crc32c "))
	if at < 0 {
		return id, errIdentity
	}
	text := string(data[:at])
	if string(data[at:]) != fmt.Sprintf("crc32c %08x\n", crc32.Checksum([]byte(text), castagnoli)) {
		return id, errIdentity
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 2 || lines[0] != identityHead {
		return id, errIdentity
	}
	fields := map[string]string{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, " ")
		fields[name] = value
	}
	format, err := strconv.ParseUint(fields["format"], 10, 32)
	if err != nil {
		return id, errIdentity
	}
	id.Format = uint32(format)
	if id.Format > FormatVersion {
		return id, nil // the rest may mean anything
	}
	node, nodeErr := strconv.ParseUint(fields["node"], 10, 32)
	boot, bootErr := strconv.ParseUint(fields["boot"], 10, 64)
	id.Node, id.Boot = core.NodeID(node), boot
	if nodeErr != nil || bootErr != nil || !decodeID(fields["cluster"], &id.Cluster) || !decodeID(fields["store"], &id.Store) {
		return Identity{}, errIdentity
	}
	return id, nil
}

func decodeID(text string, id *[16]byte) bool {
	b, err := hex.DecodeString(text)
	return err == nil && copy(id[:], b) == len(id) && len(b) == len(id)
}

// check compares what the folder says with who wants it. A zero cluster or node in want stands for any.
func (id Identity) check(dir string, want Identity) error {
	switch {
	case id.Format > FormatVersion:
		return fmt.Errorf("open %s: it has format %d, this program knows up to %d; start a newer program", dir, id.Format, FormatVersion)
	case want.Cluster != [16]byte{} && id.Cluster != want.Cluster:
		return fmt.Errorf("open %s: it belongs to cluster %x, this node to cluster %x; give the node its own folder", dir, id.Cluster, want.Cluster)
	case want.Node != 0 && id.Node != want.Node:
		return fmt.Errorf("open %s: it belongs to node %d, this is node %d; give each node its own folder", dir, id.Node, want.Node)
	}
	return nil
}

// claimFolder reads the identity of a folder, or formats an empty one, and counts the boot.
func claimFolder(fs vfs.FS, dir string, want Identity) (Identity, error) {
	path := fs.PathJoin(dir, IdentityName)
	data, err := readFile(fs, path, nil)
	if oserror.IsNotExist(err) {
		return formatFolder(fs, dir, want)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("read %s: %w", path, err)
	}
	id, err := decodeIdentity(data)
	if err != nil {
		return Identity{}, fmt.Errorf("read %s: %w", path, err)
	}
	if err := id.check(dir, want); err != nil {
		return Identity{}, err
	}
	id.Boot++
	return id, writeIdentity(fs, dir, id)
}

func formatFolder(fs vfs.FS, dir string, want Identity) (Identity, error) {
	for _, sub := range []string{dir, fs.PathJoin(dir, logName), fs.PathJoin(dir, stateName)} {
		names, err := fs.List(sub)
		if err != nil && !oserror.IsNotExist(err) {
			return Identity{}, fmt.Errorf("format %s: %w", dir, err)
		}
		for _, name := range names {
			// A format that was cut short leaves empty folders and perhaps half an identity.
			if sub != dir || !slices.Contains(ourNames, name) {
				return Identity{}, fmt.Errorf("format %s: it holds %q but no %s; use an empty folder, or restore that file", dir, name, IdentityName)
			}
		}
	}
	id := Identity{Cluster: want.Cluster, Node: want.Node, Store: want.Store, Boot: 1, Format: FormatVersion}
	if id.Store == [16]byte{} {
		rand.Read(id.Store[:])
	}
	return id, writeIdentity(fs, dir, id)
}

const newSuffix = ".new"

func writeIdentity(fs vfs.FS, dir string, id Identity) error {
	return replaceFile(fs, dir, IdentityName, id.encode())
}
