package keyspace

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/core"
)

// Keys of the catalog, which are ordinary keys of the keyspace system.
const (
	NextKey = "next"
	// SystemKey is where the catalog's own members stand, once they have changed; before, they are those of the nodes' lists.
	SystemKey      = "system"
	keyspacePrefix = "keyspaces/"
	nodePrefix     = "nodes/"
)

// NodeKeys and NodeKeysEnd bound the keys of nodes.
var NodeKeys, NodeKeysEnd = []byte(nodePrefix), []byte("nodes0")

// KeyspaceKeysEnd ends the keys of keyspaces, which begin with that of the empty name.
var KeyspaceKeysEnd = []byte("keyspaces0")

// DescriptorKey is where the catalog holds a keyspace.
func DescriptorKey(name string) []byte { return []byte(keyspacePrefix + name) }

// NodeKey is where the catalog holds a node.
func NodeKey(node core.NodeID) []byte {
	return strconv.AppendUint([]byte(nodePrefix), uint64(node), 10)
}

// Node is what the catalog knows of a node.
type Node struct {
	// Store is the disk under which the node is known: another one must not speak for it (rule M5).
	Store StoreID `json:"store"`
	// Addresses are where it can be reached: http, peer, redis, memcached.
	Addresses map[string]string `json:"addresses"`
	State     NodeState         `json:"state,omitempty"`
	// Zone is what may fail at once with others in it.
	Zone string `json:"zone,omitempty"`
	// Lost says that the disk of a node that leaves is gone: nobody waits for what only that held.
	Lost bool `json:"lost,omitempty"`
	// Ticket is what the node asked to join with: asked twice, it is given one id. Its disk is known when it first serves.
	Ticket string `json:"ticket,omitempty"`
	// Level is the newest feature level that the node's program knows; 0: it knows no levels.
	Level int `json:"level,omitempty"`
}

// Open says that the node may be given replicas and votes. One that has joined must have served first: until its disk is known,
// any copy of its folder could speak for it, and it may never come up (rule M5).
func (n Node) Open() bool { return n.State == "" && (n.Ticket == "" || n.Store != StoreID{}) }

// NodeState is how a node takes part; the empty one: fully.
type NodeState string

// States of a node. One that leaves is given nothing new and its replicas are moved away; it is drained when it holds none
// and the catalog's group does without its vote; one that was removed never comes back: its id is used up.
const (
	NodeLeaving NodeState = "leaving"
	NodeDrained NodeState = "drained"
	NodeRemoved NodeState = "removed"
)

// StoreID names a formatted disk.
type StoreID [16]byte

// String is the id in hexadecimal.
func (s StoreID) String() string { return hex.EncodeToString(s[:]) }

// MarshalText writes the id in hexadecimal.
func (s StoreID) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *StoreID) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(s)) {
		return fmt.Errorf("a store id of %d characters; it has %d", len(b), hex.EncodedLen(len(s)))
	}
	_, err := hex.Decode(s[:], b)
	return err
}

// Catalog is all that the system keyspace holds.
type Catalog struct {
	Next      Next
	Nodes     map[core.NodeID]Node
	Keyspaces map[string]*Descriptor
	// Views are the members of the groups that do not decide on them themselves.
	Views map[core.GroupID]*View
	// Level is the feature level that all nodes know.
	Level int
	// System are the catalog's own members; nil: those of the nodes' lists.
	System *Descriptor
}

// NewCatalog is the catalog of a cluster that has nothing yet.
func NewCatalog() *Catalog {
	return &Catalog{Next: FirstNext(), Level: 1, Nodes: map[core.NodeID]Node{}, Keyspaces: map[string]*Descriptor{}, Views: map[core.GroupID]*View{}}
}

// Put adds one record of the system keyspace. Keys that it does not know are left to newer programs.
func (c *Catalog) Put(key, value []byte) error {
	k := string(key)
	if k == NextKey {
		return json.Unmarshal(value, &c.Next)
	}
	if k == LevelKey {
		return json.Unmarshal(value, &c.Level)
	}
	if k == SystemKey {
		d, err := DecodeDescriptor(value)
		if err == nil {
			c.System = d
		}
		return err
	}
	if name, ok := strings.CutPrefix(k, keyspacePrefix); ok {
		d, err := DecodeDescriptor(value)
		if err == nil && d.Name != name {
			err = fmt.Errorf("the catalog holds keyspace %q under the name %q", d.Name, name)
		}
		if err == nil {
			c.Keyspaces[name] = d
		}
		return err
	}
	if digits, ok := strings.CutPrefix(k, viewPrefix); ok {
		id, err := strconv.ParseUint(digits, 10, 64)
		var v *View
		if err == nil {
			v, err = DecodeView(value)
		}
		if err != nil {
			return fmt.Errorf("catalog record %s: %w", k, err)
		}
		c.Views[core.GroupID(id)] = v
		return nil
	}
	if digits, ok := strings.CutPrefix(k, nodePrefix); ok {
		id, err := strconv.ParseUint(digits, 10, 32)
		var n Node
		if err == nil {
			err = json.Unmarshal(value, &n)
		}
		if err != nil {
			return fmt.Errorf("decode catalog record %s: %w", k, err)
		}
		c.Nodes[core.NodeID(id)] = n
	}
	return nil
}

// Holds reports whether a shard has a replica on the node; those of the catalog do not count.
func (c *Catalog) Holds(node core.NodeID) bool {
	// order does not matter: one is enough.
	for _, d := range c.Keyspaces {
		for i := range d.Shards {
			if d.Shards[i].On(node) != 0 {
				return true
			}
		}
		for i := range d.Retired {
			if d.Retired[i].On(node) != 0 {
				return true
			}
		}
	}
	return false
}

// Gone reports whether a group was dropped: it was given out before this state of the catalog, which no longer has it.
// A group that the catalog does not have because it is behind is not gone.
func (c *Catalog) Gone(g core.GroupID) bool {
	if g == SystemGroup || g >= c.Next.Group {
		return false
	}
	// order does not matter: at most one keyspace has the group.
	for _, d := range c.Keyspaces {
		for i := range d.Shards {
			if s := &d.Shards[i]; s.Group == g || s.Split != nil && s.Split.Group == g {
				return false
			}
		}
		if d.retired(g) != nil {
			return false
		}
	}
	return true
}

// EncodeNext is the value at NextKey.
func EncodeNext(n Next) []byte { return mustJSON(n) }

// EncodeNode is the value at NodeKey.
func EncodeNode(n Node) []byte { return mustJSON(n) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("keyspace: encode: " + err.Error()) // it is plain data; map keys are sorted
	}
	return b
}
