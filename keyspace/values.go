package keyspace

import (
	"fmt"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/quorum"
)

// Where the replicas of a keyspace keep long values (Terms.Values).
const (
	// ValuesInside: in the node's own store, beside all else.
	ValuesInside = ""
	// ValuesMemory: in the memory of the node's process, and nowhere on its disk but in the log.
	ValuesMemory = "memory"
	// ValuesOutside: in the store that each node was told at its start.
	ValuesOutside = "outside"
)

// checkValues checks where values are to be kept, and spells the default as it is kept.
func checkValues(spec *kv.CreateKeyspace) error {
	switch spec.Values {
	case "inside":
		spec.Values = ValuesInside
	case ValuesInside:
	case ValuesMemory, ValuesOutside:
		if spec.CommitOrder {
			return kv.Errorf(kv.Unsupported, "the values of a commit order are kept inside, since a key has a committed and a tentative one; leave out values %s or commit order", spec.Values)
		}
		if spec.Conflict == siblings {
			return kv.Errorf(kv.Unsupported, "siblings are kept inside, beside each other; leave out values %s or conflict siblings", spec.Values)
		}
	default:
		return kv.Errorf(kv.Invalid, "values %q are kept nowhere; give inside (the node's own store), memory, or outside (the store that each node was started with)", spec.Values)
	}
	return nil
}

// InsideMax is the longest value in bytes that the replicas' states hold themselves; 0: any.
func (d *Descriptor) InsideMax() int {
	if d.Terms.Values == ValuesInside {
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

// explainValues says what it means that values are kept elsewhere.
func (d *Descriptor) explainValues() []string {
	where, lost := "in the store outside that each node was started with (--outside)", "An outside store that evicts or starts empty"
	switch d.Terms.Values {
	case ValuesInside:
		return nil
	case ValuesMemory:
		where, lost = "in the memory of each node's process", "A node that is killed, but not one that is stopped,"
	}
	return []string{
		fmt.Sprintf("Values of more than %d bytes are kept %s; keys, versions, expiry, counters and the SHA-256 of each value stay in the replicas, and decide.", kv.InsideMax, where),
		judged("A value is checked against its hash whenever it is read: a wrong one is never served, and a missing one is fetched from another replica and put back.", "linearizable", "durability"),
		fmt.Sprintf("What that can lose, whatever is said above of disks and power cuts: %s loses its own copies of values. When all replicas have lost theirs, a read of the key is answered \"value lost\", and never by another value, until the key is written again.", lost),
		"A node that was killed puts back what its log holds beyond its last checkpoint, which is a minute of writes or 64 MiB.",
		"Until the store has taken a value it lies on the node's disk; so does one that is too long for it, or for which it has no room.",
		"Appending, writing a range, renaming and copying read such a value first and write it under the condition that its version has not changed; within a transaction, MULTI or a session they are refused.",
	}
}
