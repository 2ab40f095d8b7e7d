package kv

import (
	"context"
	"time"
)

// Database is what a door speaks to: one node, which reaches the rest of the cluster.
type Database interface {
	// Keyspace finds a keyspace by name; nil if there is none.
	Keyspace(name string) *Keyspace
	// Keyspaces lists all of them by name.
	Keyspaces() []*Keyspace
	// Ready is nil when the node can serve; the error says what is missing. Until then it may yet learn of keyspaces.
	Ready() error
	// Submit starts all calls of the batch and returns at once; b.Wait tells when they are answered. Commands of one batch
	// that touch the same shard take effect in the batch's order, reads included, but one that has to wait for a transaction on
	// its key may be overtaken by those on other keys. Every call is answered exactly once:
	// at the batch's deadline at the latest, then with Unknown if it may have been proposed.
	Submit(b *Batch)
	// Transact executes a transaction over any number of shards and waits for its end, until the deadline at the latest.
	Transact(t *Txn, deadline time.Time) TxnResult
	// Outcome tells what became of a transaction. One that is not decided yet is decided by asking: a participant that has not
	// voted must refuse then (rule V3). The error is Unavailable if a participant cannot be reached, and TooOld if nobody remembers.
	// AskOutcome is for what became of other writes as well.
	Outcome(id TxID, deadline time.Time) (TxnOutcome, error)
}

// Keyspace is a named set of keys with one promise, as the doors see it. It is immutable: a changed keyspace is another one.
type Keyspace struct {
	Name        string
	ID          uint32
	Consistency Consistency
	Shards      int
	// Replicas is how many hold a key.
	Replicas int
	// ShardOf tells in which shard a key lies, 0 <= shard < Shards.
	ShardOf func(key []byte) int
	// Range tells the first key of a shard and the first one behind it (nil: none), where shards are ranges of keys in byte order;
	// nil: they are not.
	Range func(shard int) (from, to []byte)
	// Binding names the cluster and the keyspace in tokens.
	Binding uint64
	// MergeTokens is what a client has seen that holds both tokens; nil: the keyspace's answers carry none.
	MergeTokens func(a, b []byte) []byte
	// Siblings says that concurrent values of a key are kept side by side.
	Siblings bool
	// CommitOrder says that writes have final places: answers are tentative, or committed.
	CommitOrder bool
	// CheckToken tells what is wrong with a token that a client brings (BadToken); nil: the keyspace has no sessions.
	CheckToken func(token []byte) error
}

// Weak reports whether a command of a level may miss what was acknowledged at the default level: so few replicas are asked, where
// each request says how many, that they and a majority need not have one in common (rule Q8).
func (k *Keyspace) Weak(l Level) bool {
	few := 0
	switch l {
	case LevelOne, LevelEventual:
		few = 1
	case LevelTwo:
		few = 2
	}
	return k.Consistency == Quorum && few > 0 && few+k.Replicas/2+1 <= k.Replicas
}

// Call is one command on its way and its result.
type Call struct {
	Keyspace *Keyspace
	Command  Command
	// Shard is used only for commands without keys (scans, OpClear, OpNone); elsewhere the keys decide.
	Shard int
	// Group is the replica group that the command went to; the node fills it in.
	Group uint64
	// Fixed says that the command is for Group and no other, whatever its keys: the caller fills it in.
	Fixed bool
	// Groups are those of a command that became a transaction, for a split has parted its keys, and Txn is its id; the node fills them in.
	Groups []uint64
	Txn    TxID

	Result Result
	batch  *Batch
}

// Done answers the call. The node calls it exactly once, and touches the call no more.
func (c *Call) Done(r Result) {
	c.Result = r
	c.batch.done()
}

// CreateKeyspace describes a keyspace to be made. Zero values mean the defaults.
type CreateKeyspace struct {
	Name        string      `json:"name"`
	Consistency Consistency `json:"consistency"`
	Shards      int         `json:"shards,omitempty"`
	Replicas    int         `json:"replicas,omitempty"`
	// Lease "off" makes every read confirm the leadership by a round of messages instead of trusting bounded clock drift.
	Lease string `json:"lease,omitempty"`
	// Partitioner says how keys are spread over the shards: hash, ordered (ranges of bytes) or numeric (ranges of decimal numbers).
	Partitioner string `json:"partitioner,omitempty"`
	// Splits are the first keys of all shards but the first, in order; ordered and numeric keyspaces have one shard more.
	Splits []string `json:"splits,omitempty"`
	// Atomic makes gets, puts and deletions of a quorum keyspace linearizable, by one more round of messages for each write.
	Atomic bool `json:"atomic,omitempty"`
	// ClientStamps lets clients of a quorum keyspace give their writes stamps of their own.
	ClientStamps bool `json:"clientStamps,omitempty"`
	// MinMembers is how many replicas an atomic keyspace's views keep: when fewer would be left, writes wait for those that are
	// silent instead.
	MinMembers int `json:"minMembers,omitempty"`
	// Conflict says what a write to a key that is being written does in an atomic keyspace: wait, or be refused (refuse). In a causal
	// one it says which of concurrent writes to a key stay: the newest, or all of them (siblings).
	Conflict string `json:"conflict,omitempty"`
	// SplitBytes is at how many bytes a shard of an ordered keyspace is split by itself, SplitWrites at how many writes per second;
	// 0: at the default, -1: never.
	SplitBytes  int64 `json:"splitBytes,omitempty"`
	SplitWrites int64 `json:"splitWrites,omitempty"`
	// CommitOrder gives the writes of a causal keyspace final places, which a companion keyspace decides.
	CommitOrder bool `json:"commitOrder,omitempty"`
	// Store is where long values are kept: in each node's "pebble", beside all else (the default), in its "memory", or in the store
	// that the "node" was started with.
	Store string `json:"store,omitempty"`
	// Evictable makes the keyspace a cache: a value that all stores have lost is answered as a miss, and its key deleted.
	Evictable bool `json:"evictable,omitempty"`
}

// Admin is what the doors and the command line ask of a node beside commands. All results are plain data for JSON.
type Admin interface {
	CreateKeyspace(ctx context.Context, spec CreateKeyspace) error
	// DropKeyspace waits until the keyspace has no part in transactions with others; by force it does not.
	DropKeyspace(ctx context.Context, name string, force bool) error
	// DescribeKeyspaces tells options, placement and, in plain words, what each keyspace promises.
	DescribeKeyspaces() []KeyspaceInfo
	Status() Status
	// Ready is nil when the node can serve; the error says what is missing.
	Ready() error
	// Handoff asks the leader of a group to hand its leadership to the replica on another node; only its leader's node accepts.
	Handoff(ctx context.Context, group uint64, toNode uint32) error
	// MoveGroup begins a change of members: in the end the replicas of a shard live on these nodes. The shard is named by its group,
	// for splits and merges change the places of shards.
	MoveGroup(ctx context.Context, keyspace string, group uint64, nodes []uint32) error
	// SplitShard makes the keys from one on, to the end of their shard, a shard of their own, and waits until it serves. Only the
	// shards of ordered keyspaces that are linearizable or sequential can be split.
	SplitShard(ctx context.Context, keyspace string, key []byte) error
	// MergeShards makes the shard that begins at a key one with the shard before it, and waits until that serves.
	MergeShards(ctx context.Context, keyspace string, key []byte) error
	// DrainNode lets a node leave: it is given nothing new, and its replicas are moved away.
	DrainNode(ctx context.Context, node uint32) error
	// ReplaceNode is DrainNode for a node whose disk is gone: nobody waits for what only that held.
	ReplaceNode(ctx context.Context, node uint32) error
	// RemoveNode ends the membership of a node that was drained and is empty. Its id is never given again.
	RemoveNode(ctx context.Context, node uint32) error
	// UnsafeRecover makes this node's replica of a group, and those on the other nodes named, all that the group has: its other
	// replicas are lost for good, and what they alone held. It is refused while the group has a leader that is none of these.
	UnsafeRecover(ctx context.Context, group uint64, nodes []uint32) error
	// LoseNode ends the membership of a node that is lost for good, whatever it held.
	LoseNode(ctx context.Context, node uint32) error
	// Balance tells what is moving and what would move next.
	Balance(ctx context.Context) (BalancePlan, error)
	// Checkpoint makes all replicas of a group keep their state as of one log position for a while, and returns it.
	Checkpoint(ctx context.Context, group uint64) (index uint64, err error)
	// StatePage reads this node's replica of a group as kept at a checkpoint: pairs from a key on, and where to go on (nil: at the end).
	StatePage(ctx context.Context, group, index uint64, from []byte, limit int) (page StatePage, err error)
	// StateDigest is the digest of this node's replica as kept at a checkpoint.
	StateDigest(ctx context.Context, group, index uint64) (StateDigest, error)
	// Repair asks this node's replica of a leaderless group to make all replicas equal and let deleted keys go; Status tells how
	// it gets on.
	Repair(ctx context.Context, group uint64) error
	// Inspect tells what this node's replica of a group holds now, from a key on; of one key also for whom it keeps hints.
	Inspect(ctx context.Context, group uint64, from []byte, one bool, limit int) (InspectPage, error)
	// Blocks are the headers of the blocks that this node's replica still holds, from an index on.
	Blocks(ctx context.Context, group, from uint64, limit int, payload bool) ([]BlockInfo, error)
	// StoredValues reads values that this node's replica of a group keeps in a store, from a key on, and tells which are not as they
	// should be.
	StoredValues(ctx context.Context, group uint64, from []byte, limit int) (StoredPage, error)
}

// Move is a replica that should live elsewhere, and why.
type Move struct {
	Keyspace string `json:"keyspace"`
	Shard    int    `json:"shard"`
	Group    uint64 `json:"group"`
	From     uint32 `json:"from"`
	To       uint32 `json:"to"`
	// Nodes are where the shard's replicas are in the end; the first should lead. From and To are the same two leaders when
	// no replica moves.
	Nodes []uint32 `json:"nodes"`
	Why   string   `json:"why"`
}

// Split is a shard that is to become two.
type Split struct {
	Keyspace string `json:"keyspace"`
	Shard    int    `json:"shard"`
	// Key is where, as text; Key64, in base64, is set instead where it is no text. Neither: no key would help, and Why tells why.
	Key   string `json:"key,omitempty"`
	Key64 []byte `json:"key64,omitempty"`
	// Underway says that the split has begun.
	Underway bool   `json:"underway,omitempty"`
	Why      string `json:"why"`
}

// BalancePlan is what a cluster would do to hold replicas evenly and empty nodes that leave.
type BalancePlan struct {
	Moves []Move `json:"moves"`
	// Underway are the shards whose members are changing now.
	Underway []Move `json:"underway"`
	// Splits are the shards that the nodes asked will split next, or are splitting.
	Splits []Split `json:"splits,omitempty"`
	// Stuck are sentences about what cannot be moved, and what would help.
	Stuck []string `json:"stuck,omitempty"`
}

// KeyspaceInfo is a keyspace as operators see it.
type KeyspaceInfo struct {
	CreateKeyspace
	ID     uint32      `json:"id"`
	Groups []GroupInfo `json:"groups"`
	// Explain is what the keyspace promises, what it survives and what it costs, a sentence a line.
	Explain []string `json:"explain"`
}

// GroupInfo is one shard's replicas.
type GroupInfo struct {
	Group    uint64            `json:"group"`
	Shard    int               `json:"shard"`
	Replicas map[string]uint32 `json:"replicas"` // replica id -> node
	// From is the first key of the shard of an ordered keyspace, To the first one behind it; empty: there is none.
	From []byte `json:"from,omitempty"`
	To   []byte `json:"to,omitempty"`
	// SplitAt is where the shard is being split; empty: it is not.
	SplitAt []byte `json:"splitAt,omitempty"`
	// Absorbs is the group of the next shard while that is being merged into this one; 0: it is not.
	Absorbs uint64 `json:"absorbs,omitempty"`
}

// Status is a node's view of itself and of its peers.
type Status struct {
	Cluster string `json:"cluster"`
	Node    uint32 `json:"node"`
	Version string `json:"version"`
	// FeatureLevel is what all nodes of the cluster know; records and commands of a higher one are not used.
	FeatureLevel int       `json:"featureLevel"`
	Boot         uint64    `json:"boot"`
	Started      time.Time `json:"started"`
	Dir          string    `json:"dir"`
	Ready        bool      `json:"ready"`
	NotReady     string    `json:"notReady,omitempty"`
	Alarms       []string  `json:"alarms,omitempty"`
	// Lab says that the node was started to be attacked.
	Lab    bool          `json:"lab,omitempty"`
	Nodes  []NodeStatus  `json:"nodes"`
	Groups []GroupStatus `json:"groups"`
	// Transactions are those that the groups led by this node have voted for and that have not ended, the oldest first.
	Transactions []OpenTxn `json:"transactions,omitempty"`
	// Reads tells how old what was read here could be.
	Reads []ReadAges `json:"reads,omitempty"`
	// Times are how long replicas of quorum keyspaces took to answer this node.
	Times []SeenTimes `json:"times,omitempty"`
	// Stores are those in which this node keeps long values of keyspaces beside its own.
	Stores   []StoreStatus `json:"stores,omitempty"`
	Counters Counters      `json:"counters"`
}

// StoreStatus is a store of long values as its node sees it. The counters are since the node's start.
type StoreStatus struct {
	// Store is what it is and where, such as memcached://127.0.0.1:11211; memory: this process's.
	Store string `json:"store"`
	// Trouble is why it is left alone for the moment; Note, what should be set otherwise.
	Trouble string `json:"trouble,omitempty"`
	Note    string `json:"note,omitempty"`
	// Hits and Misses count what the store was asked for; Wrong, values that were not what had been put there; Errors, calls
	// that failed; Inside, reads of values that lie on the node's own disk.
	Hits   uint64 `json:"hits"`
	Misses uint64 `json:"misses"`
	Wrong  uint64 `json:"wrong"`
	Errors uint64 `json:"errors"`
	Inside uint64 `json:"inside"`
	// Stored, Removed: values put and taken out. TooLong: values that it does not take for their size, and that stay inside.
	Stored  uint64 `json:"stored"`
	Removed uint64 `json:"removed"`
	TooLong uint64 `json:"tooLong"`
	// Refetched counts values had from other replicas; Lost, searches that found a value nowhere.
	Refetched uint64 `json:"refetched"`
	Lost      uint64 `json:"lost"`
	// Evicted counts keys of evictable keyspaces that a read deleted because their values were lost.
	Evicted uint64 `json:"evicted"`
	// Waiting values lie inside until the store takes them, Settling ones until it has given them back once. Refilling says that the store is being looked through for what
	// is missing.
	Waiting   int  `json:"waiting"`
	Settling  int  `json:"settling"`
	Refilling bool `json:"refilling,omitempty"`
}

// AgeBuckets are the upper ends of the buckets in which ages of reads are counted.
var AgeBuckets = [...]time.Duration{0, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second}

// ReadAges counts the reads of a keyspace at a level that a node answered from its own states since its start, by how old
// those could be at most: as of when they were known to hold all that was acknowledged. Levels that are never old are left out.
type ReadAges struct {
	Keyspace string `json:"keyspace"`
	Level    string `json:"level"`
	Reads    uint64 `json:"reads"`
	// Checked: the keyspace is one whose replicas cannot know that. Counted are then some of the reads at levels that may miss writes, those
	// that were made once more of all replicas, by how long before the read the record had been stamped that it had missed; 0: it
	// had missed none.
	Checked bool `json:"checked,omitempty"`
	// Counts has one number for each of AgeBuckets, and one for what was older or of an age that nobody knew.
	Counts []uint64 `json:"counts"`
}

// Within is an age that at least a part of the reads, from 0 to 1, did not pass; ok is false if that is more than the last of
// AgeBuckets.
func (r *ReadAges) Within(part float64) (age time.Duration, ok bool) {
	sum := uint64(0)
	for i, n := range r.Counts {
		if sum += n; i < len(AgeBuckets) && float64(sum) >= part*float64(r.Reads) {
			return AgeBuckets[i], true
		}
	}
	return 0, false
}

// Add counts the reads of another node as well.
func (r *ReadAges) Add(o *ReadAges) {
	r.Reads += o.Reads
	for i, n := range o.Counts {
		if i < len(r.Counts) {
			r.Counts[i] += n
		}
	}
}

// NodeStatus is a peer as this node sees it.
type NodeStatus struct {
	Node      uint32            `json:"node"`
	Addresses map[string]string `json:"addresses"` // http, peer, redis, memcached
	Up        bool              `json:"up"`
	// State is "leaving" while the node's replicas are moved away, then "drained"; empty: a full member.
	State string `json:"state,omitempty"`
	// Zone is what may fail at once with other nodes in it, as the node was told at its start.
	Zone      string    `json:"zone,omitempty"`
	LastSeen  time.Time `json:"lastSeen"`
	RTTMicros int64     `json:"rttMicros"`
	// SkewMillis is the peer's clock minus this node's.
	SkewMillis int64 `json:"skewMillis"`
}

// GroupStatus is this node's replica of a group.
type GroupStatus struct {
	Group    uint64 `json:"group"`
	Keyspace string `json:"keyspace"`
	Shard    int    `json:"shard"`
	// Retired says that another group has the keys; Shard means nothing then.
	Retired bool   `json:"retired,omitempty"`
	Replica uint32 `json:"replica"`
	Role    string `json:"role"`
	Ballot  string `json:"ballot"`
	Leader  uint32 `json:"leader"` // node; 0: none known
	Commit  uint64 `json:"commit"`
	Applied uint64 `json:"applied"`
	Durable uint64 `json:"durable"`
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Hash    string `json:"hash"` // of the block at Applied
	LeaseMS int64  `json:"leaseMillis"`
	Suspect bool   `json:"suspect,omitempty"`
	// From is the first key that the replica has left after splits, To the first one behind them; empty: there is none.
	From  []byte            `json:"from,omitempty"`
	To    []byte            `json:"to,omitempty"`
	Match map[string]uint64 `json:"match,omitempty"` // leader only: replica -> highest index durable there
	// Causal is what a replica without a leader says of itself.
	Causal *CausalStatus `json:"causal,omitempty"`
	// Quorum is a replica of a group without a leader; nil in others.
	Quorum *QuorumStatus `json:"quorum,omitempty"`
	// Atomic is a replica of a group that writes to all of its members; nil in others.
	Atomic *AtomicStatus `json:"atomic,omitempty"`
}

// AtomicStatus is a replica of an atomic keyspace, and the view of its group as far as it was told.
type AtomicStatus struct {
	// Epoch counts the views. Members are the nodes that hold every write, Joiners those that are being filled; this replica
	// works for epoch Fenced.
	Epoch   uint64   `json:"epoch"`
	Fenced  uint64   `json:"fenced"`
	Members []uint32 `json:"members"`
	Joiners []uint32 `json:"joiners,omitempty"`
	// InDoubt is how many batches of writes are known here whose outcome is not; the oldest of them has been waited for so long
	// by the coordinator, which alone says so.
	InDoubt       uint64 `json:"inDoubt"`
	InDoubtMillis int64  `json:"inDoubtMillis,omitempty"`
	// WaitingReads wait for keys that are being written, WaitingWrites for their turn or their votes.
	WaitingReads  int `json:"waitingReads"`
	WaitingWrites int `json:"waitingWrites"`
	// Announced is the view that will follow when those whom it leaves out can no longer count themselves among the members.
	Announced uint64 `json:"announced,omitempty"`
	// History are the latest changes of the view, oldest first.
	History []ViewChange `json:"history,omitempty"`
}

// ViewChange tells of a change of a view.
type ViewChange struct {
	Epoch uint64 `json:"epoch"`
	// At is in Unix milliseconds, by the clock of the node that made the change.
	At   int64  `json:"at"`
	Node uint32 `json:"node"`
	Text string `json:"text"`
}

// CausalStatus is what a replica of a causal or eventual keyspace holds and knows. A vector maps each replica to the stamp up
// to which its writes are held, as milliseconds, a dot, and a counter.
type CausalStatus struct {
	Vector map[string]string `json:"vector"`
	// Dropped is what of it the write log has no more; Stable is what every replica is known to hold.
	Dropped map[string]string `json:"dropped"`
	Stable  map[string]string `json:"stable"`
	// LogWrites and LogBytes are the size of the write log.
	LogWrites uint64 `json:"logWrites"`
	LogBytes  uint64 `json:"logBytes"`
	// Waiting is how many commands wait for what their sessions have seen.
	Waiting int          `json:"waiting"`
	Peers   []CausalPeer `json:"peers"`
	// Order is how far the commit order is; nil: the keyspace has none.
	Order *OrderStatus `json:"order,omitempty"`
}

// OrderStatus is how far a replica is with the commit order of its keyspace.
type OrderStatus struct {
	// Committed and Tentative are how many writes have their final places here, and how many have not.
	Committed uint64 `json:"committed"`
	Tentative uint64 `json:"tentative"`
	// Chain sums up which writes are committed in which order: replicas that have committed equally many have equal chains.
	Chain string `json:"chain"`
	// Cut is the last decision of the companion that is applied, Known the last that is on disk here.
	Cut   uint64 `json:"cut"`
	Known uint64 `json:"known"`
	// Undone is how many writes were executed again since the replica started, because something came before them.
	Undone uint64 `json:"undone"`
	// Waiting is how many clients wait until something is committed.
	Waiting int `json:"waiting"`
}

// CausalPeer is another replica as one knows it.
type CausalPeer struct {
	Replica uint32            `json:"replica"`
	Up      bool              `json:"up"`
	Known   map[string]string `json:"known"`
	// HeardMillis is how long ago it last said what it holds; -1: it has not. LagMillis is how much older the newest write is
	// that it is known to hold than the newest one here; -1: it is not known to hold any.
	HeardMillis int64 `json:"heardMillis"`
	LagMillis   int64 `json:"lagMillis"`
}

// QuorumStatus is a replica of a leaderless group.
type QuorumStatus struct {
	// Up are the nodes of replicas that can be reached, this one included.
	Up []uint32 `json:"up"`
	// Hints are what is kept for replicas that missed writes.
	Hints []HintStatus `json:"hints,omitempty"`
	// Behind are nodes for which hints were dropped and that have not been compared since.
	Behind []uint32 `json:"behind,omitempty"`
	// Repair says what the repair is doing that this replica conducts, or what it waits for.
	Repair string `json:"repair,omitempty"`
	// Change says how far a change of the members is; empty: there is none.
	Change string `json:"change,omitempty"`
	// RepairedAt is the line below which all replicas were made equal and deleted keys may go; zero: never.
	RepairedAt time.Time `json:"repairedAt,omitzero"`
	// PurgedTo is the line up to which this replica has let deleted keys go.
	PurgedTo time.Time `json:"purgedTo,omitzero"`
	// Keys and Tombstones count its records once Counted: deleted keys that cannot go yet are a debt to the next repair.
	Keys       int64 `json:"keys"`
	Tombstones int64 `json:"tombstones"`
	Bytes      int64 `json:"bytes"`
	Counted    bool  `json:"counted"`
	// ReadRepairs and EntropyRepairs count, since the start, reads that found replicas apart, and records that comparisons moved.
	ReadRepairs    uint64 `json:"readRepairs"`
	EntropyRepairs uint64 `json:"entropyRepairs"`
	// Times are what it has seen as a coordinator; Status has those of all groups together.
	Times SeenTimes `json:"-"`
}

// HintStatus is what is kept for one node.
type HintStatus struct {
	Node   uint32    `json:"node"`
	Count  int       `json:"count"`
	Bytes  int64     `json:"bytes"`
	Oldest time.Time `json:"oldest"`
}

// InspectPage is what a replica holds.
type InspectPage struct {
	Node    uint32        `json:"node"`
	Replica uint32        `json:"replica"`
	Items   []InspectItem `json:"items"`
	Next    []byte        `json:"next,omitempty"`
	// Hints are the nodes for which hints about the one key are kept here.
	Hints []uint32 `json:"hints,omitempty"`
}

// InspectItem is a record as a replica holds it.
type InspectItem struct {
	Key     []byte `json:"key"`
	Version uint64 `json:"version"`
	// Origin is the replica that gave the version, where it is a stamp; 0: it is none.
	Origin uint32 `json:"origin,omitempty"`
	// Stamp is the version in words, where it is a stamp: milliseconds, counter, and the replica that gave it.
	Stamp   string `json:"stamp,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	// ExpireAt is in Unix milliseconds; 0: never.
	ExpireAt int64  `json:"expireAt,omitempty"`
	Flags    uint32 `json:"flags,omitempty"`
	Value    []byte `json:"value"`
}

// StoreFault is what is wrong with a value that a store should have.
type StoreFault string

// Store faults.
const (
	// ValueMissing: the store answers, and does not have it. ValueDamaged: it gives something else. ValueNotAsked: it does not answer.
	ValueMissing  StoreFault = "missing"
	ValueDamaged  StoreFault = "damaged"
	ValueNotAsked StoreFault = "not asked"
)

// StoredPage is what a store has of some of a replica's values.
type StoredPage struct {
	Node uint32 `json:"node"`
	// Values and Bytes are how much was read.
	Values int   `json:"values"`
	Bytes  int64 `json:"bytes"`
	// Bad are those that are not as they should be. Next is where to go on; nil: at the end.
	Bad  []StoredValue `json:"bad,omitempty"`
	Next []byte        `json:"next,omitempty"`
}

// StoredValue is a value that is not as it should be: its key, the SHA-256 that the replica's state has of it, its length, and why.
type StoredValue struct {
	Key   []byte     `json:"key"`
	Sum   string     `json:"sum"`
	Size  uint64     `json:"size"`
	Fault StoreFault `json:"fault"`
}

// Counters are totals since the start of the node.
type Counters struct {
	Requests     uint64 `json:"requests"`
	Refused      uint64 `json:"refused"`
	UnknownCount uint64 `json:"unknown"`
	Syncs        uint64 `json:"syncs"`
	SyncBytes    uint64 `json:"syncBytes"`
	Blocks       uint64 `json:"blocks"`
	// Recovered counts transactions whose ends this node looked after because their coordinators had not.
	Recovered uint64 `json:"recovered"`
}

// StatePage is a run of raw records.
type StatePage struct {
	Items []StateItem `json:"items"`
	Next  []byte      `json:"next,omitempty"`
}

// StateItem is one raw record of a replica's state.
type StateItem struct {
	Key    []byte `json:"key"`
	Record []byte `json:"record"`
}

// StateDigest sums up a replica's state at one log position.
type StateDigest struct {
	Node   uint32 `json:"node"`
	Index  uint64 `json:"index"`
	Keys   int64  `json:"keys"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
	// Rest sums up what clients do not see, and is no less a part of the state: sessions, expiry, the configuration.
	Rest string `json:"rest"`
}

// BlockInfo is a block of a group's log.
type BlockInfo struct {
	Index   uint64    `json:"index"`
	Ballot  string    `json:"ballot"`
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Prev    string    `json:"prev"`
	Hash    string    `json:"hash"`
	Bytes   int       `json:"bytes"`
	Intact  bool      `json:"intact"` // payload and link were computed again and hold
	Summary []string  `json:"summary,omitempty"`
}
