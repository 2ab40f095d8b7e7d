// Package coretest plays golden scripts on the replicas of a protocol.
//
// A Cluster is replicas with a network, disks and clocks that do nothing by themselves: each message is delivered, each disk
// synced and each replica ticked by a statement of a script. What the replicas then tell, answer and send stands below the
// statement, so that a situation which needs one message too late and one crash too early is a page that can be read. A script
// may name a planted bug, and must then end otherwise with it: else it proves nothing.
//
// What the scripts rely on: the one rule of package core is kept here as a host keeps it. What a replica holds back leaves when
// all that it had written by then is durable, what leaves early leaves at once, and a crash takes what was not durable.
//
// Only tests import this package. Start with Cluster, then Cluster.Run, which lists the statements, then Scripts.
package coretest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Millisecond is one of core.Time's.
const Millisecond = core.Time(1e6)

// Replica is a pointer to a protocol's replica; nil is one that is down.
type Replica interface {
	comparable
	core.Replica
}

// Protocol is what a Cluster must know of the protocol that it steps.
type Protocol[R Replica] struct {
	// New makes a replica that has taken no event.
	New func(id core.ReplicaID) R
	// Config is what the first event of every replica carries.
	Config []byte
	// Decode is the inverse of core.Message.AppendTo.
	Decode func([]byte) (core.Message, error)
	// Message says what a message on its way is; nil: its kind.
	Message func(core.Message) string
	// Answer names a request and says how it was answered; nil: its id and Outcome.
	Answer func(core.RequestID, *kv.Result) string
}

// Cluster steps replicas by hand: nothing is delivered, synced or ticked unless the caller says so.
type Cluster[R Replica] struct {
	Protocol[R]
	Now     core.Time
	Members []*Member[R]
	Network []Packet
	// Requests counts the requests that were made, and is the id of the last one.
	Requests core.RequestID
	// Still means that stamps do not grow.
	Still bool
	// OnNote, if set, sees every note. One that it takes is not said.
	OnNote func(core.ReplicaID, core.Note) (taken bool)
	// OnAnswer, if set, sees every answer after it was said.
	OnAnswer func(core.RequestID, kv.Result)

	cut   map[link]bool
	aside map[string][]Packet
	said  strings.Builder
}

// New is a cluster without members, one second after the origin of its time.
func New[R Replica](p Protocol[R]) *Cluster[R] {
	return &Cluster[R]{Protocol: p, Now: 1000 * Millisecond}
}

// Add makes the next member. Its replica has no event yet: Start gives it the first.
func (c *Cluster[R]) Add() *Member[R] {
	m := NewMember[R](core.ReplicaID(len(c.Members) + 1))
	c.Members = append(c.Members, m)
	return m
}

// Start gives a replica that has never run its first event.
func (c *Cluster[R]) Start(m *Member[R]) { c.Boot(m, core.Start{Config: c.Config}) }

// Restart starts a replica on what its disk holds.
func (c *Cluster[R]) Restart(m *Member[R]) {
	c.Boot(m, core.Recover{Config: c.Config, Records: m.Durable, Suspect: m.Damaged})
}

// Clone copies all that can change, for models that explore every order of events: replicas by a function of their protocol, and
// of what was said nothing.
func (c *Cluster[R]) Clone(replica func(R) R) *Cluster[R] {
	n := *c
	n.said = strings.Builder{}
	n.cut, n.Network, n.aside = maps.Clone(c.cut), slices.Clone(c.Network), maps.Clone(c.aside)
	n.Members = make([]*Member[R], len(c.Members))
	for i, m := range c.Members {
		n.Members[i] = m.clone(replica)
	}
	return &n
}

// Boot makes a member's replica, with a first event.
func (c *Cluster[R]) Boot(m *Member[R], first any) {
	m.Replica = c.New(m.ID)
	c.Step(m, first)
}

// Member is the one with this id.
func (c *Cluster[R]) Member(id core.ReplicaID) *Member[R] { return c.Members[id-1] }

// At is the member that a word of a statement names.
func (c *Cluster[R]) At(word string) *Member[R] { return c.Member(core.ReplicaID(Number(word))) }

// Say adds a line to what happened.
func (c *Cluster[R]) Say(format string, args ...any) { fmt.Fprintf(&c.said, format+"\n", args...) }

// Said is what happened since it was last asked.
func (c *Cluster[R]) Said() string {
	s := c.said.String()
	c.said.Reset()
	return s
}

// Wall is a member's wall clock in milliseconds.
func (c *Cluster[R]) Wall(m *Member[R]) int64 { return int64((c.Now + m.Ahead) / Millisecond) }

// Step does what a host does: one event, then all that the replica asked itself. It does nothing to a replica that is down.
func (c *Cluster[R]) Step(m *Member[R], event any) {
	for again := true; again && m.Up(); {
		var out core.Effects
		if !c.Still {
			m.Stamp = max(m.Stamp+1, kv.HLCOf(c.Wall(m)))
		}
		in := core.Input{Now: c.Now + m.Late, Stamp: m.Stamp, StampMax: m.Stamp + 1<<30, Wall: c.Wall(m), Rand: m.Rand, View: m.State,
			Unfit: m.Unfit, Reluctant: m.Reluctant, Overdue: m.Overdue, LeaseUntil: m.Lease, Event: event}
		m.Replica.Step(&in, &out)
		again, event = out.Again, core.Again{}
		c.Emit(m, &out)
	}
}

// Emit does what a step asked for.
func (c *Cluster[R]) Emit(m *Member[R], out *core.Effects) {
	m.State.Apply(out.State)
	for _, change := range out.State {
		if change.Kind == core.Install {
			m.Flush() // an install is durable at once
		}
	}
	m.write(out.Log)
	for _, n := range out.Notes {
		if c.OnNote == nil || !c.OnNote(m.ID, n) {
			c.Say("%d %s", m.ID, n)
		}
	}
	for _, o := range out.Early {
		c.release(m, o)
	}
	for _, o := range out.Held {
		m.Held = append(m.Held, Held{Batch: m.wrote, Output: o})
	}
	if out.Configure != nil {
		m.Held = append(m.Held, Held{Batch: m.wrote, Wish: &Wish{m.Told, out.Configure}})
	}
	if out.Consult != nil {
		m.Held = append(m.Held, Held{Batch: m.wrote, Consult: out.Consult})
	}
	c.releaseHeld(m)
}

// releaseHeld lets go what depends on durable batches only. What it releases to the replica itself may hold back more.
func (c *Cluster[R]) releaseHeld(m *Member[R]) {
	for len(m.Held) > 0 && m.Held[0].Batch <= m.Synced {
		h := m.Held[0]
		m.Held = m.Held[1:]
		switch {
		case h.Wish != nil:
			m.Wish = h.Wish
		case h.Consult != nil:
			m.Consult = h.Consult
		default:
			c.release(m, h.Output)
		}
	}
}

func (c *Cluster[R]) release(m *Member[R], o core.Output) {
	switch {
	case o.To == 0:
		c.Say("%d answers %s", m.ID, c.answer(&o))
		if c.OnAnswer != nil {
			c.OnAnswer(o.ID, o.Result)
		}
	case o.To == m.ID:
		c.Step(m, core.Received{From: m.ID, Message: o.Message})
	case c.Linked(m.ID, o.To):
		c.Network = append(c.Network, Packet{m.ID, o.To, o.Message})
	}
}

func (c *Cluster[R]) answer(o *core.Output) string {
	if c.Answer == nil {
		return fmt.Sprintf("request %d: %s", o.ID, Outcome(&o.Result))
	}
	return c.Answer(o.ID, &o.Result)
}

// Outcome is a result's code and what it gives.
func Outcome(r *kv.Result) string {
	switch {
	case r.Code == kv.OK && r.Value != nil:
		return fmt.Sprintf("%v %q", r.Code, r.Value)
	case r.Code == kv.OK && r.Int != 0:
		return fmt.Sprintf("%v %d", r.Code, r.Int)
	}
	return r.Code.String()
}

// Request makes a request of a command.
func (c *Cluster[R]) Request(command *kv.Command) core.Request {
	c.Requests++
	return core.Request{ID: c.Requests, Command: kv.AppendCommand(nil, command), Read: command.ReadOnly()}
}

// Submit hands commands to a replica and lets it propose.
func (c *Cluster[R]) Submit(m *Member[R], list ...core.Request) {
	c.Step(m, core.Requests{List: list})
	c.Step(m, core.Flush{})
}

// Ask submits a command, and says under which id it will be answered.
func (c *Cluster[R]) Ask(m *Member[R], command *kv.Command) {
	q := c.Request(command)
	c.Say("request %d", q.ID)
	c.Submit(m, q)
}

// Mark asks for a checkpoint.
func (c *Cluster[R]) Mark(m *Member[R]) {
	c.Requests++
	c.Say("request %d", c.Requests)
	c.Step(m, core.Checkpoint{ID: c.Requests})
}

// Settle delivers and syncs until nothing is left to do at this time. A sync that was begun by hand is ended by hand.
func (c *Cluster[R]) Settle() {
	for range 10_000 {
		busy := c.Deliver(func(Packet) bool { return true })
		for _, m := range c.Members {
			if len(m.Syncing) == 0 {
				busy = c.Sync(m) || busy
			}
		}
		if !busy {
			return
		}
	}
	panic("the cluster does not come to rest")
}
