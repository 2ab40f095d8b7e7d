// Package core is the line between the protocols and the machine they run on.
//
// A replication protocol is a deterministic state machine: it is told what happened (an Input) and answers what should
// follow (Effects). It owns no goroutine, clock, socket, file, lock or random source, so the simulator can run the very
// code that serves users, and replay any run from its seed.
//
// The invariant that everything rests on, the one rule: a message or a reply leaves only when every write that its replica
// has made so far is on disk. Effects.Send and Effects.Reply follow it; SendEarly and ReplyEarly are the exceptions, and
// each of their calls says why it stays true if this node forgets.
//
// A protocol is a log (what must survive) and a fold over it (what is read): recovery is the same fold.
//
// Start with Replica, then Input and Effects.
package core

import (
	"fmt"
	"math/rand/v2"

	"github.com/gamutdb/gamut/kv"
)

// NodeID names a process of the cluster. It is given once and never used again.
type NodeID uint32

// GroupID names the replicas of one shard.
type GroupID uint64

// ReplicaID names one member of a group, for ever: a replica whose disk is lost comes back under another one (rule M5).
type ReplicaID uint32

// Time is a monotonic reading in nanoseconds since an arbitrary origin of this boot. It goes on while the machine is suspended.
type Time int64

// Replica is one member of one group: a protocol core.
type Replica interface {
	// Step takes one event and says all that follows from it. It must not keep in or out, nor change what the event holds.
	Step(in *Input, out *Effects)
	// Deadline is when the replica next wants a Tick. Early, late and repeated ticks are harmless.
	Deadline() (at Time, ok bool)
}

// Input is one event and all that a replica may know of the world while it handles it.
type Input struct {
	Now Time
	// Stamp is a reading of the node's hybrid logical clock: unique on this node, growing over restarts.
	Stamp kv.HLC
	// StampMax is the durable bound of the clock: a replica that gives several stamps in a Step, each higher than the last,
	// stays below it, and then gives none twice, a crash or not (rule H3).
	StampMax kv.HLC
	// Wall is the node's wall clock in Unix milliseconds. Stamp runs ahead of it after a restart, by up to some seconds.
	Wall int64
	// Rand is seeded by the host; it is the only source of chance.
	Rand *rand.Rand
	// View reads the group's own state, as changed by all earlier Steps.
	View View
	// Unfit means that this node should lead nothing: its clock is far from the others', or its disk is full or stalled.
	Unfit bool
	// Reluctant means that this node's stamps are far ahead of its clock, since that was ahead once: it should lead what
	// nobody else can, and nothing else, or its stamps carry the time of what it leads ahead.
	Reluctant bool
	// Overdue is how long ago the replica wanted a Tick (Deadline) that it has not had: more than some milliseconds mean that the node
	// was paused, or had no time. Whoever seems to have been silent meanwhile may have been unheard.
	Overdue Time
	// LeaseUntil is how long this node may count itself among the members of the group that the latest Configured event
	// named: none of them is left out of a later configuration before that time has passed. 0: it may not.
	LeaseUntil Time
	Event      any
}

// View reads the state of one group: a map of byte strings in byte order.
type View interface {
	// Get returns the value at key. The slice is the caller's.
	Get(key []byte) (value []byte, ok bool)
	// Scan calls f with each pair of from <= key < to (to nil: to the end) until f returns false.
	// The slices are borrowed for the call.
	Scan(from, to []byte, f func(key, value []byte) bool)
	// Snapshot keeps the state as it is now; it must be closed.
	Snapshot() Snapshot
}

// Snapshot is a View of one moment.
type Snapshot interface {
	View
	Close()
}

// Led is a Replica of a protocol in which one member orders the commands.
type Led interface {
	// Leader is the replica that orders commands as far as this one knows; 0: none is known.
	Leader() ReplicaID
}

// Reader is a Replica of a led protocol that answers commands which change nothing by itself, although another one leads.
type Reader interface {
	// Reads says that this replica takes such commands now. One that it cannot answer after all it answers NotLeader, and
	// then the command is the leader's.
	Reads() bool
}

// Leased is a Replica whose state may, for a while, be read without a Step.
type Leased interface {
	// ReadUntil says: until that time, what the group's state shows at the moment of reading is as good an answer to a
	// linearizable read as any that a Step could give. 0: not now.
	ReadUntil() Time
}

// Locking is a Replica whose state may hold locks of transactions. A reader of the state beside its Steps must look at them
// when Locked says so, or has not been asked since a LockNote.
type Locking interface {
	Locked() bool
}

// Resting is a Replica that need not be told the time while nothing is asked of it. When all replicas of a node rest, stamps stand
// still and the node writes nothing; they are right again before commands are handed over.
type Resting interface {
	// Rests says: until the next Requests the stamps of this node may be too early without harm.
	Rests() bool
}

// RestAfter is for how long after commands the next ones need not wait for the clock, since their replica does not rest yet.
const RestAfter = Time(5e9)

// Timed is a Replica whose writes have times, in the order of its log.
type Timed interface {
	// SafeTime says: whatever the state shows from now on holds every write of the group up to that time, those that are
	// still to come included. 0: not known.
	SafeTime() kv.HLC
}

// Fresh is a Replica that knows how old its state may be.
type Fresh interface{ Freshness() Freshness }

// Freshness is how old a state may be, by the clock of its own node. What it says of a state stays true of all later ones.
type Freshness struct {
	// Whole: the state holds all that was acknowledged by then. 0: not known.
	Whole Time
	// Recent is later than Whole, or 0: of what was acknowledged by then, the state lacks the last Lacking entries of the log.
	Recent  Time
	Lacking uint64
}

// Bounded is a Replica that refuses commands as busy when too many wait, so that what it takes is answered soon (rule F2).
type Bounded interface {
	// Room is how many more commands that change something it would take now; 0 or less: none. It is of meaning only while
	// this replica orders the commands, or if none does.
	Room() int
}

// Events. Besides these, a replica is stepped with its protocol's own messages, as Received.
type (
	// Start is the first event of a replica that has never run: it has no log and no state. Config is what the protocol
	// was told to begin with, in the protocol's own encoding.
	Start struct{ Config []byte }
	// Recover is the first event of a replica that has run before: the records of its log, in the order in which they
	// were written, possibly reaching back before what the state already holds.
	Recover struct {
		Config  []byte
		Records []Record
		// Suspect means that the log was damaged where this replica's records may have been: it must not vote on what it
		// may have lost (rule L2).
		Suspect bool
	}
	// Requests are commands of clients, in the order in which they take effect if they come from one connection.
	Requests struct{ List []Request }
	// Received is a message of a peer, or of the replica itself.
	Received struct {
		From    ReplicaID
		Message Message
	}
	// Tick means that the time is at or past what Deadline asked for, or any other time.
	Tick struct{}
	// Again follows a Step that set Effects.Again.
	Again struct{}
	// Flush comes when the host has handed over all that had arrived and the disk can take a batch: what was collected
	// for one log entry should be proposed now.
	Flush struct{}
	// Roll means that a new log segment begins: the replica writes what it must not lose and would not write again (rule L4).
	Roll struct{}
	// PeerDown means that the connection to a peer's node broke. It proves nothing. PeerUp means that there is one (again):
	// a replica begins with none, and is told of each as it is made.
	PeerDown struct{ Peer ReplicaID }
	PeerUp   struct{ Peer ReplicaID }
	// Handoff asks a leader to hand over to a peer.
	Handoff struct{ To ReplicaID }
	// Reconfigure asks the leader to make these replicas the voters of the group, and those its learners, who are given the
	// log and decide nothing. It is answered by nothing but the group's configuration, when it says so: whoever wants it
	// asks again until then.
	// Preferred is the voter that should lead; 0: as before. Lost are members that are gone for good, as an operator has said: a
	// protocol that waits for all of them waits for these no more.
	Reconfigure struct {
		Voters, Learners, Lost []ReplicaID
		Preferred              ReplicaID
	}
	// Split asks the leader to give the keys from Key on to another group, with the same members, which is to begin with Config. It is
	// answered by nothing but the state, when it says so: whoever wants it asks again until then.
	Split struct {
		Child  GroupID
		Key    []byte
		Config []byte
	}
	// Weaned tells a leader that a majority of the disks of a child has what its parent laid aside for it, so that the parent's
	// replicas need not keep it. It is answered by nothing but the state.
	Weaned struct{ Child GroupID }
	// Retire asks the leader to end the group's time as the one that has the keys From <= key < To (To nil: there is no end), so that
	// another group can absorb what it holds. It is answered by nothing but the state, when it says so: whoever wants it asks again
	// until then.
	Retire struct{ From, To []byte }
	// Owned tells what the catalog says of the group's keys: From <= key < To, and since which place in its log all of them. It comes
	// again whenever the catalog says something else; never an older word after a newer one.
	Owned struct {
		From, To []byte
		Since    uint64
	}
	// UnsafeRecover tells a replica of a group that has lost a majority for good who is left: these are to be the group, whatever
	// the others held. Only an operator can know this; what the others alone held is lost. It is answered by nothing but the
	// group having a leader.
	UnsafeRecover struct{ Survivors []ReplicaID }
	// Configured tells what the catalog says of the group, in the protocol's own encoding: who its members are now. It comes
	// after Start or Recover, and again whenever the catalog says something else; never an older word after a newer one.
	Configured struct{ Config []byte }
	// Checkpoint asks the leader to place a mark in the log at which every replica keeps its state (a CheckpointNote).
	Checkpoint struct{ ID RequestID }
	// Repair asks a replica of a leaderless group to make all its replicas equal now.
	Repair struct{}
	// Consulted is the answer of the group's companion to what a replica asked by Effects.Consult, whatever it is: a refusal, or
	// Unknown when no answer came in time.
	Consulted struct{ Result kv.Result }
)

// RequestID is the host's name for a request that has not been answered.
type RequestID uint64

// Request is one command of a client.
type Request struct {
	ID RequestID
	// Command is a kv.Command in its encoding.
	Command []byte
	// Read means that the command changes nothing and needs no place in the log.
	Read bool
	// Deadline is when the client's node answers in the replica's stead.
	Deadline Time
}

// Message is what replicas of one protocol say to each other. A message is never changed once it was handed out.
type Message interface {
	// AppendTo encodes the message, its kind first.
	AppendTo(b []byte) []byte
}

// Record is one durable fact in the node's log.
type Record struct {
	// Kind is the protocol's own.
	Kind uint8
	// Pos lets old log segments go: the record is needed until the state that is durable has reached Pos (see
	// AppliedKey); 0 means until the next Roll.
	Pos  uint64
	Body []byte
}

// Item is a record of one group's replica on its way into the node's shared log.
type Item struct {
	Group  GroupID
	Record Record
}

// ChangeKind is what a Change does.
type ChangeKind uint8

// Kinds of Change.
const (
	Put         ChangeKind = 1
	Delete      ChangeKind = 2
	DeleteRange ChangeKind = 3 // Key <= k < End; End nil: to the end
	// Stage adds a pair to a new state that is being received; keys arrive in byte order.
	Stage ChangeKind = 4
	// Unstage throws away what is staged.
	Unstage ChangeKind = 5
	// Install replaces the whole state of the group by what is staged, at once, durably. It comes alone in a Step's State.
	Install ChangeKind = 6
)

// Change is one change of a group's state. Its slices are borrowed until it was applied: a store copies what it keeps.
type Change struct {
	Kind  ChangeKind
	Key   []byte
	Value []byte
	End   []byte
	// Fresh says of a Put that the state has nothing at the key, so that a store need not remember its end if it is deleted soon.
	Fresh bool
}

// AppliedKey is where every protocol keeps, in its state, the log position up to which the state is a fold of the log:
// 8 bytes, big endian, first in the value. It changes with the data, in the same Step, always (trap T1.12).
var AppliedKey = []byte{'m', 'a'}

// Output is a message to a replica of the group, or the answer to a request.
type Output struct {
	To      ReplicaID // 0: a reply
	Message Message
	ID      RequestID
	Result  kv.Result
}

// Effects is all that follows from one Step.
type Effects struct {
	// Log is appended to the node's log: durable together or not at all.
	Log []Record
	// State is applied at once, together; it is re-derived from the log after a crash and never synced for itself.
	State []Change
	// Held leaves when this Step's Log, and all that this replica wrote earlier, is durable.
	Held []Output
	// Early leaves at once, unless the disk has stalled.
	Early []Output
	// Configure asks the catalog to make this the group's configuration, if what it says is still what the replica was last
	// told by a Configured event; nil: nothing is asked. It is held like a message, may be lost, and its answer is another
	// Configured event, or nothing: whoever wants it asks again until then.
	Configure []byte
	// Consult is a command in its encoding, sent to the group's companion as a client of this node would send it; nil: none is. The
	// companion is another group, whose log decides what the replicas of this one cannot decide by themselves. The command
	// may be executed twice, so it must be safe to repeat. It is held like a message; unless this node crashes, its answer comes
	// as a Consulted event. A replica has one such command under way at a time.
	Consult []byte
	// Notes tell what happened, for traces, golden files, checkers and metrics.
	Notes []Note
	// Again asks for an Again event after State was applied: there is more to do that must see it.
	Again bool
}

// Note is something worth telling. Its String is a line of a trace.
type Note interface{ String() string }

// CheckpointNote asks the host to keep the group's state as it is after this Step.
type CheckpointNote struct{ Index uint64 }

// DamageNote tells that replicas contradict each other in a way that no crash and no message explains: one of their disks
// does not hold what was written to it.
type DamageNote struct{ Text string }

// SplitNote tells that the keys from Key on are the group Child's from now on, and that the state holds what it begins with.
type SplitNote struct {
	Child GroupID
	Key   []byte
}

// RetiredNote tells that the group has no keys any more, and that the state holds what another one is to absorb.
type RetiredNote struct{}

// LockNote tells that the state has come to hold locks of transactions, and held none before.
type LockNote struct{}

// Write appends a record to the log.
func (e *Effects) Write(r Record) { e.Log = append(e.Log, r) }

// Send sends a message once all that this replica wrote so far is durable. A replica may send to itself: that is how it
// learns that its own write is durable.
func (e *Effects) Send(to ReplicaID, m Message) { e.Held = append(e.Held, Output{To: to, Message: m}) }

// SendEarly sends a message at once. The caller says beside the call why the message stays true if this node forgets.
func (e *Effects) SendEarly(to ReplicaID, m Message) {
	e.Early = append(e.Early, Output{To: to, Message: m})
}

// Reply answers a request once all that this replica wrote so far is durable.
func (e *Effects) Reply(id RequestID, r kv.Result) {
	e.Held = append(e.Held, Output{ID: id, Result: r})
}

// ReplyEarly answers a request at once. The caller says beside the call why the answer stays true if this node forgets.
func (e *Effects) ReplyEarly(id RequestID, r kv.Result) {
	e.Early = append(e.Early, Output{ID: id, Result: r})
}

// Note tells of something.
func (e *Effects) Note(n Note) { e.Notes = append(e.Notes, n) }

// Reset empties the effects and keeps their memory.
func (e *Effects) Reset() {
	clear(e.Log)
	clear(e.State)
	clear(e.Held)
	clear(e.Early)
	clear(e.Notes)
	e.Log, e.State, e.Held, e.Early, e.Notes = e.Log[:0], e.State[:0], e.Held[:0], e.Early[:0], e.Notes[:0]
	e.Configure, e.Consult = nil, nil
	e.Again = false
}

// String is a line of a trace.
func (n LockNote) String() string { return "locks are held" }

// String is a line of a trace.
func (n RetiredNote) String() string { return "the group has retired" }

// String is a line of a trace.
func (n SplitNote) String() string { return fmt.Sprintf("group %d begins at %q", n.Child, n.Key) }

// String is a line of a trace.
func (n CheckpointNote) String() string { return fmt.Sprintf("checkpoint %d", n.Index) }

// String is a line of a trace.
func (n DamageNote) String() string { return "damage: " + n.Text }
