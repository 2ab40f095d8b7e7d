// Package audit holds the replicas of a group against each other.
//
// Chain walks their hash-chained logs: every block must be what its hash says, every link must lead to the block before,
// and committed blocks at one index must be the same everywhere. State compares what the replicas' states hold as of one
// position of the log: digests first, and only if they differ pair by pair.
//
// Values reads what replicas keep in stores beside the nodes, and tells what these lack and what is lost.
//
// SideBySide tells what replicas hold for their keys at this moment, and Apart which of them differ, for groups whose replicas
// have no log in common.
//
// Others rely on this: a report says what was compared and what was not, and why; silence never means "equal".
//
// Start with Chain (chain.go) and State (state.go).
package audit

import (
	"context"
	"fmt"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// Reader is what one node can tell of its own replicas. A kv.Admin is one.
type Reader interface {
	Checkpoint(ctx context.Context, group uint64) (index uint64, err error)
	StatePage(ctx context.Context, group, index uint64, from []byte, limit int) (kv.StatePage, error)
	StateDigest(ctx context.Context, group, index uint64) (kv.StateDigest, error)
	Inspect(ctx context.Context, group uint64, from []byte, one bool, limit int) (kv.InspectPage, error)
	Blocks(ctx context.Context, group, from uint64, limit int, payload bool) ([]kv.BlockInfo, error)
	StoredValues(ctx context.Context, group uint64, from []byte, limit int) (kv.StoredPage, error)
}

// Replica is one replica of the group.
type Replica struct {
	Node uint32
	// Reader is nil if the node cannot be asked; Why says why.
	Reader Reader
	Why    string
	// Commit is an index up to which the replica knew the log to be committed: what lies beyond may rightly differ.
	Commit uint64
	// Leads tells whether the replica took itself for the leader: it is the first to be asked for a checkpoint.
	Leads bool
}

// Group names what is audited.
type Group struct {
	Group    uint64 `json:"group"`
	Keyspace string `json:"keyspace"`
	Shard    int    `json:"shard"`
	// Consistency is that of the keyspace; empty: not known.
	Consistency kv.Consistency `json:"consistency,omitempty"`
	// Store is where its long values are kept; empty: beside all else.
	Store string `json:"store,omitempty"`
	// Evictable: a value that is lost is a miss.
	Evictable bool `json:"evictable,omitempty"`
}

// Unchecked is a replica that was left out.
type Unchecked struct {
	Node uint32 `json:"node"`
	Why  string `json:"why"`
}

// String reads as a line of a report.
func (u Unchecked) String() string { return fmt.Sprintf("node %d: %s", u.Node, u.Why) }

// Witness is what one node says where the replicas differ.
type Witness struct {
	Node uint32 `json:"node"`
	Has  string `json:"has"`
}

// Finding is a broken promise.
type Finding struct {
	// Index is the block, or the position of the log at which the states were compared.
	Index uint64 `json:"index"`
	// Key is set if states differ.
	Key     string    `json:"key,omitempty"`
	Problem string    `json:"problem"`
	Who     []Witness `json:"who"`
}

// String reads as a line of a report.
func (f *Finding) String() string {
	var b strings.Builder
	b.WriteString(f.Problem)
	for i, w := range f.Who {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		fmt.Fprintf(&b, "node %d has %s", w.Node, w.Has)
	}
	return b.String()
}
