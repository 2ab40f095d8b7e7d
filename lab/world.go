package lab

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// World is a cluster that scripts and workloads may use and attack.
//
// It has one caller at a time. Its clock is its own: virtual in the simulator, real elsewhere; time passes at least
// while Wait, Sleep and Until run, and in the simulator at no other moment but while a method waits for the cluster. All
// errors are for the reader of a script: they name the node or the link and say what to do. A fault that a world cannot
// inflict is an error that wraps ErrCannot, and a world that was not started to be attacked answers every method of
// Attacks with one that wraps ErrNotOurs.
type World interface {
	Attacks

	// Describe is one line that tells people what the world is: "5 simulated nodes, seed 7".
	Describe() string
	// Nodes are the ids of all nodes, in order, whether they run or not. It never changes.
	Nodes() []core.NodeID
	// Running tells whether a node's process runs, and whether it was paused. It asks nobody: the world has started it.
	Running(node core.NodeID) (up, paused bool)
	// Now is how long the world has existed, by its own clock.
	Now() time.Duration

	// CreateKeyspace makes a keyspace and waits until it takes writes. Its errors are those of kv.Admin: a consistency
	// that is not there yet is refused by the cluster, not by the world.
	CreateKeyspace(ctx context.Context, spec kv.CreateKeyspace) error
	// Begin gives a command to a node as a client of that node would, and returns at once. The operation is answered while
	// a later method of the world runs: at the latest after its Timeout, then as unknown if it may have been executed. A
	// node that does not run refuses as unavailable.
	Begin(r Request) *Operation

	// Wait lets time pass until all the operations are answered.
	Wait(ctx context.Context, operations ...*Operation) error
	// Sleep lets time pass.
	Sleep(ctx context.Context, d time.Duration) error
	// Until lets time pass until done says so, at most for limit, and reports whether it did. done is asked whenever
	// something has happened, or some hundred times a second; it may call the methods that observe.
	Until(ctx context.Context, limit time.Duration, done func() bool) (bool, error)

	// Replicas observes all replicas of a keyspace, ordered by shard, then by node.
	Replicas(ctx context.Context, keyspace string) ([]Replica, error)
	// State reads what one node's replicas of a keyspace hold now, in the order of keys; no other node is asked. A node
	// that does not run is an error.
	State(ctx context.Context, node core.NodeID, keyspace string) ([]Item, error)
	// Blocks are the blocks that a node's replica still holds of one shard, with their commands in words; nil if the
	// keyspace's protocol keeps no chain.
	Blocks(ctx context.Context, node core.NodeID, keyspace string, shard int) ([]kv.BlockInfo, error)

	// Close ends the cluster: nothing that the world started is left.
	Close() error
}

// Attacks are the faults of a world. The settings of a link, a disk or a clock replace what was set before; the zero value
// is a healthy one.
type Attacks interface {
	// Start starts nodes that do not run, on what their disks hold, and returns when they have started, not when they are
	// ready. A node that runs is an error.
	Start(ctx context.Context, nodes ...core.NodeID) error
	// Crash ends nodes at one instant. Whatever they did not sync is treated as tail says. A node that does not run is an error.
	Crash(ctx context.Context, tail Tail, nodes ...core.NodeID) error
	// Wipe makes the disk of a node blank that does not run.
	Wipe(ctx context.Context, node core.NodeID) error
	// Damage alters what lies on the disk of a node that does not run.
	Damage(ctx context.Context, node core.NodeID, d Damage) error
	// Pause stops a running node's process without ending it; its network goes on for it. Resume lets it go on.
	Pause(ctx context.Context, node core.NodeID) error
	Resume(ctx context.Context, node core.NodeID) error
	// SetLink changes one direction between two nodes.
	SetLink(ctx context.Context, from, to core.NodeID, l Link) error
	// SetDisk changes how a node's disk behaves; a fault of the disk outlives restarts of the node.
	SetDisk(ctx context.Context, node core.NodeID, d Disk) error
	// SetClock changes how a node reads the time, also over restarts.
	SetClock(ctx context.Context, node core.NodeID, c Clock) error
	// Handoff asks the leader of a shard to hand over to a node; it returns when the leader was asked.
	Handoff(ctx context.Context, keyspace string, shard int, to core.NodeID) error
	// Inject sends bytes to a node as if a peer had, and reports whether they were a message. Neither may end the node.
	Inject(ctx context.Context, to core.NodeID, message []byte) (understood bool, err error)
}

// ErrCannot is what a world cannot do, by its nature.
var ErrCannot = errors.New("this world cannot do that")

// ErrNotOurs is the answer of a cluster that was not started to be attacked.
var ErrNotOurs = errors.New("the cluster was not started to be attacked; the lab attacks only clusters that it started")

// Request is one command of a client.
type Request struct {
	// Node is whom the client asks.
	Node     core.NodeID
	Keyspace string
	// Command carries the level that it asks for, and the token of what its client has seen.
	Command kv.Command
	// Shard is used only for commands without keys (scans): elsewhere the keys decide.
	Shard int
	// Timeout is how long the client gives the node. It is positive.
	Timeout time.Duration
}

// Operation is a request on its way and its answer. Its fields change only while a method of its world runs.
type Operation struct {
	Request Request
	// Done says that it was answered: Result and Returned are set. Times are readings of World.Now.
	Done             bool
	Called, Returned time.Duration
	Result           kv.Result
}

// Replica is a replica of one shard as the world sees it from outside.
type Replica struct {
	Node  core.NodeID
	Shard int
	// Up says that its node's process runs; Paused, that it runs but was stopped. If it is not up, or paused in a world that
	// has to ask it, Status holds nothing but its names.
	Up, Paused bool
	Status     kv.GroupStatus
}

// Item is a key as one replica holds it.
type Item struct {
	Key, Value []byte
	Version    uint64
	// Origin is the replica that gave the version, where it is a stamp; 0: it is none.
	Origin   uint32
	Flags    uint32
	ExpireAt int64 // Unix milliseconds; 0: never
}

func sortItems(items []Item) {
	slices.SortFunc(items, func(a, b Item) int { return bytes.Compare(a.Key, b.Key) })
}

// Tail says what becomes of what a crashing node wrote and did not sync.
type Tail uint8

// Tails. TailKept is a process that was killed: what it gave to the system is written, batch by batch. TailLost is a power
// loss that leaves nothing unsynced; TailTorn is one in the middle of the last write, which leaves a part of it. TailLeast is
// the least that the world can leave: nothing unsynced in the simulator, what a kill -9 leaves among real processes.
const (
	TailKept Tail = iota
	TailLost
	TailTorn
	TailLeast
)

// DamageKind is what happened to a disk.
type DamageKind uint8

// Kinds of damage, all at rest. LogBitFlip flips a bit in the log; LogCut takes the log's end away although it was synced;
// StateBitFlip flips a bit in the state, which is a fold of the log.
const (
	LogBitFlip DamageKind = iota + 1
	LogCut
	StateBitFlip
)

// Damage is what to alter on a disk. Where is drawn from Seed, so that it can be repeated.
type Damage struct {
	Kind DamageKind
	Seed uint64
}

// Link is one direction between two nodes.
type Link struct {
	// Down loses everything. With Flap it is down for that long, then up for as long, and so on, beginning with down.
	Down bool
	Flap time.Duration
	// Delay comes on top of what the network takes, Jitter is the most that is drawn on top of both for each message.
	Delay, Jitter time.Duration
	// Loss, Duplicate and Reorder are chances from 0 to 1 of each message.
	Loss, Duplicate, Reorder float64
}

// Disk is how a disk behaves.
type Disk struct {
	// SyncDelay is how much longer each sync takes.
	SyncDelay time.Duration
	// Hung: syncs do not return until it is false again.
	Hung bool
	// SyncError: the next sync fails, which ends the process. It fails once; then the world clears it.
	SyncError bool
	// Full: there is no room; the node keeps running, refuses writes and should lead nothing.
	Full bool
}

// Clock is how a node's clocks differ from the true time.
type Clock struct {
	// Offset is how far the wall clock is ahead (behind, if negative). Setting it makes the clock jump.
	Offset time.Duration
	// Rate is how much too fast the monotonic clock runs, in millionths: -50,000 to 50,000.
	Rate int64
}

// Setting is what a script asks of the world that it runs in. The zero value of a field means the world's default.
type Setting struct {
	// Nodes is the number of nodes, Seed what all chance is drawn from; a live world uses it for what it draws itself.
	Nodes int
	Seed  uint64
	// BasePort is where the ports of a live cluster begin.
	BasePort int
	// Tie is which server wins of two whose writes have one time, "low" or "high": a world that takes it counts the writes of
	// causal and eventual keyspaces, as courses do, instead of going by clocks. Empty: it goes by clocks.
	Tie string
	// Absent are nodes that the script starts itself (joinServer): the world begins without them.
	Absent []core.NodeID
}

// Open makes a world and returns when its nodes serve, the absent ones excepted.
type Open func(ctx context.Context, s Setting) (World, error)
