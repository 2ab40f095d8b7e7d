package store

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Store is what Disk, Oracle and Memory have in common, besides how a batch becomes durable.
type Store interface {
	// NeedsRoll says that the next batch should have Roll set, and hold the protocols' Roll records first.
	NeedsRoll() bool
	// Group is the state of one group. It is cheap, and exists for any group.
	Group(core.GroupID) Group
	// GroupsWithState lists the groups that hold at least one key, in order.
	GroupsWithState() []core.GroupID
	// Flush makes the state durable, then lets go of the log's segments that no group needs.
	Flush() error
	// Drop removes a group's state at once and durably; its records no longer keep segments of the log.
	Drop(core.GroupID) error
}

// Group is the state of one group. Reads may come from any goroutine; Apply from one at a time.
type Group interface {
	core.View
	// GetInto appends the value at key to buf. Unlike Get it returns what it could not read as an error.
	GetInto(buf, key []byte) (value []byte, ok bool, err error)
	// ScanErr is Scan for those who check the disk: it returns what it could not read as an error.
	ScanErr(from, to []byte, f func(key, value []byte) bool) error
	// Apply makes the changes together.
	Apply([]core.Change) error
	// Applied is the position up to which the state is a fold of the log; 0 if there is none.
	Applied() uint64
	// DurableApplied is what Applied would be after a crash now.
	DurableApplied() uint64
}

// Item is a record of one group.
type Item = core.Item

// Batch is what one Append makes durable, together or not at all.
type Batch struct {
	// HLCUpper is the bound of the node's clock readings from now on (rule H3).
	HLCUpper kv.HLC
	Items    []Item
	// Roll means that a new segment begins with this batch: its items replace every earlier record with Pos 0.
	Roll bool
}

// Recovered is what a disk holds when it is opened.
type Recovered struct {
	// HLCUpper is the highest bound that was made durable.
	HLCUpper kv.HLC
	// Groups holds each group's records in the order in which they were written: all that its durable state does not cover,
	// and the latest of those that it does, within a bound.
	Groups map[core.GroupID][]core.Record
	// Suspect names the groups that may have lost records that were durable.
	Suspect map[core.GroupID]bool
	// AllSuspect means that any group may have lost records, even one that is not in Groups.
	AllSuspect bool
	// Reports say in plain words what is damaged, and where.
	Reports []string
}

func newRecovered() Recovered {
	return Recovered{Groups: map[core.GroupID][]core.Record{}, Suspect: map[core.GroupID]bool{}}
}

// ReadError is what a View panics with when the disk cannot give what it holds.
type ReadError struct {
	Group core.GroupID
	Err   error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("read the state of group %d: %v", e.Group, e.Err)
}

func (e *ReadError) Unwrap() error { return e.Err }
