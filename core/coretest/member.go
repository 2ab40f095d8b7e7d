package coretest

import (
	"bytes"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Member is one replica with a disk that syncs when it is told to.
type Member[R Replica] struct {
	ID      core.ReplicaID
	Replica R // nil: crashed
	Rand    *rand.Rand
	State   *State
	Flushed *State // what a crash leaves of the state
	Durable []core.Record
	Open    []core.Record // written, not yet taken by the disk
	Syncing []core.Record // taken, not yet durable
	// Synced is the last batch of records that is durable.
	Synced int
	// batch numbers the open one, wrote is the last one that holds a record.
	batch, wrote int
	Held         []Held
	// Damaged means that the disk has lost something, and that the replica has not yet written that it knows.
	Damaged bool

	// The rest is what its node tells it with each event.

	Stamp            kv.HLC
	Ahead            core.Time // of its wall clock
	Late             core.Time // how far its other clock is ahead
	Unfit, Reluctant bool
	Overdue          core.Time // how late its ticks are
	Lease            core.Time
	Told             []byte // the catalog's word as it was told since it was started
	Wish             *Wish  // what it asked of the catalog
	Consult          []byte // what it asked of its group's companion, and was not answered
}

// Held is what leaves when a batch is durable: a wish, a question to the companion, or else an output.
type Held struct {
	Batch   int
	Output  core.Output
	Wish    *Wish
	Consult []byte
}

// Wish is what a replica asks of the catalog, with the word of the catalog that it goes by.
type Wish struct{ Told, Wanted []byte }

// NewMember is one whose replica has never run.
func NewMember[R Replica](id core.ReplicaID) *Member[R] {
	return &Member[R]{ID: id, Rand: rand.New(rand.NewPCG(uint64(id), 7)), State: NewState(), Flushed: NewState(), batch: 1}
}

// Up says that the replica has not crashed.
func (m *Member[R]) Up() bool {
	var down R
	return m.Replica != down
}

// Flush makes the state durable as it is.
func (m *Member[R]) Flush() { m.Flushed = m.State.installed() }

// Lose takes records from the disk.
func (m *Member[R]) Lose(what func(core.Record) bool) { m.Durable = slices.DeleteFunc(m.Durable, what) }

func (m *Member[R]) clone(replica func(R) R) *Member[R] {
	n := *m
	n.State, n.Flushed = m.State.Clone(), m.Flushed.Clone()
	n.Durable, n.Open, n.Syncing, n.Held = slices.Clip(m.Durable), slices.Clone(m.Open), slices.Clip(m.Syncing), slices.Clone(m.Held)
	if m.Up() {
		n.Replica = replica(m.Replica)
	}
	return &n
}

func (m *Member[R]) write(log []core.Record) {
	for _, r := range log {
		m.Open = append(m.Open, core.Record{Kind: r.Kind, Pos: r.Pos, Body: bytes.Clone(r.Body)})
		m.wrote = m.batch
	}
}

// Begin lets the disk take what was written; false: there is nothing, or a sync is under way.
func (c *Cluster[R]) Begin(m *Member[R]) bool {
	if !m.Up() || len(m.Open) == 0 || len(m.Syncing) > 0 {
		return false
	}
	m.Syncing, m.Open = m.Open, nil
	m.batch++
	return true
}

// End makes durable what the disk has taken; false: nothing.
func (c *Cluster[R]) End(m *Member[R]) bool {
	if len(m.Syncing) == 0 {
		return false
	}
	m.Durable = append(m.Durable, m.Syncing...)
	m.Syncing = nil
	m.Synced = m.batch - 1
	m.Damaged = false // the replica's own word that it is suspect is on disk now
	c.releaseHeld(m)
	return true
}

// Sync makes durable what was written before it; false: there is nothing.
func (c *Cluster[R]) Sync(m *Member[R]) bool {
	ended := c.End(m)
	return c.Begin(m) && c.End(m) || ended
}

// Crash takes all that a replica knew and did not have on its disk.
func (c *Cluster[R]) Crash(m *Member[R]) {
	var down R
	m.Replica, m.Open, m.Syncing, m.Held = down, nil, nil, nil
	m.batch++
	m.Synced, m.wrote = m.batch-1, 0
	m.State = m.Flushed.installed()
	m.Lease, m.Told, m.Consult = 0, nil, nil
}
