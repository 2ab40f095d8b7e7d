package keyspace

import (
	"fmt"
	"strings"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/quorum"
)

// Where the replicas of a keyspace keep long values (Terms.Store).
const (
	// StorePebble: in the node's own Pebble, beside all else.
	StorePebble = ""
	// StoreMemory: in the memory of the node's process, and nowhere on its disk but in the log.
	StoreMemory = "memory"
	// StoreNode: in the store that each node was told at its start.
	StoreNode = "node"
)

// checkStore checks where values are to be kept, and spells the default as it is kept.
func checkStore(spec *kv.CreateKeyspace) error {
	switch spec.Store {
	case "pebble":
		spec.Store = StorePebble
	case StorePebble:
	case StoreMemory, StoreNode:
		if spec.CommitOrder {
			return kv.Errorf(kv.Unsupported, "the values of a commit order are kept in Pebble, since a key has a committed and a tentative one; leave out store %s or commit order", spec.Store)
		}
		if spec.Conflict == siblings {
			return kv.Errorf(kv.Unsupported, "siblings are kept in Pebble, beside each other; leave out store %s or conflict siblings", spec.Store)
		}
	default:
		if strings.Contains(spec.Store, "://") {
			return kv.Errorf(kv.Invalid, "a keyspace does not name a store's address, since each node has a store of its own: start the nodes with it, and create the keyspace with store node")
		}
		return kv.Errorf(kv.Invalid, "there is no store %q for the values of a keyspace; give pebble (beside all else), memory, or node (the store that each node was started with)", spec.Store)
	}
	return checkEvictable(spec)
}

// checkEvictable: an eviction is a deletion under the condition that the key was not written since. Without one order of writes
// nobody can hold to that, and a write that was acknowledged could go for the sake of a value before it.
func checkEvictable(spec *kv.CreateKeyspace) error {
	switch {
	case !spec.Evictable:
	case spec.Store == StorePebble:
		return kv.Errorf(kv.Invalid, "values that lie in Pebble are never evicted; give store memory or node with evictable")
	case !Led(spec.Consistency):
		return kv.Errorf(kv.Unsupported, "an eviction deletes a key unless it was written meanwhile, and keyspaces of consistency %s have no order of writes to tell that by; give consistency linearizable, sequential or atomic with evictable", spec.Consistency)
	}
	return nil
}

// InsideMax is the longest value in bytes that the replicas' states hold themselves; 0: any.
func (d *Descriptor) InsideMax() int {
	if d.Terms.Store == StorePebble {
		return 0
	}
	return kv.InsideMax
}

// ValueAt is where the value begins in a client's record as the state of such a keyspace holds it; it goes on to the record's end.
func ValueAt(c kv.Consistency, record []byte) int {
	size, err := 0, error(nil)
	switch {
	case c == kv.Quorum:
		var r quorum.Record
		r, err = quorum.DecodeRecord(record)
		size = len(r.Value)
	case Causal(c):
		size, err = bayou.ValueSize(record)
	default:
		var r machine.Record
		r, err = machine.DecodeRecord(record)
		size = len(r.Value)
	}
	if err != nil {
		panic(fmt.Sprintf("keyspace: a record of a %s keyspace cannot be decoded: %v", c, err)) // this replica wrote it
	}
	return len(record) - size
}

// explainStore says what it means that values are kept elsewhere.
func (d *Descriptor) explainStore() []string {
	where, lost := "in the store that each node was started with (gamut start --store)", "A store that evicts or starts empty"
	switch d.Terms.Store {
	case StorePebble:
		return nil
	case StoreMemory:
		where, lost = "in the memory of each node's process", "A node that is killed, but not one that is stopped,"
	}
	return append([]string{
		fmt.Sprintf("Values of more than %d bytes are kept %s; keys, versions, expiry, counters and the SHA-256 of each value stay in the replicas, and decide.", kv.InsideMax, where),
		judged("A value is checked against its hash whenever it is read: a wrong one is never served, and a missing one is fetched from another replica and put back.", "linearizable", "durability"),
		"A node that was killed puts back what its log holds beyond its last checkpoint, which is a minute of writes or 64 MiB.",
		"Until the store has taken a value it lies on the node's disk; so does one that is too long for it, or for which it has no room.",
		"Appending, writing a range, renaming and copying read such a value first and write it under the condition that its version has not changed; within a transaction, MULTI or a session they are refused.",
	}, d.explainLoss(lost)...)
}

// explainLoss says what becomes of values that who is named loses.
func (d *Descriptor) explainLoss(who string) []string {
	loses := fmt.Sprintf("What that can lose, whatever is said above of disks and power cuts: %s loses its own copies of values.", who)
	if d.Terms.Evictable {
		return []string{
			loses + " When all replicas have lost theirs, the key is evicted: the next read deletes it, unless it was written meanwhile, and is answered as a miss; its receipt says evicted, and gamut status --stores counts it.",
			"For the checkers such a miss is a loss: they judge this keyspace where no value is lost on all replicas.",
		}
	}
	return []string{loses + " When all replicas have lost theirs, a read of the key is answered \"value lost\", and never by another value, until the key is written again."}
}
