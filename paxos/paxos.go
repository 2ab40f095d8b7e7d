// Package paxos is Multi-Paxos over one hash-chained log per group, as a deterministic replica.
//
// One member leads: it won a majority of promises for its ballot (phase 1), adopted the best log among them, and from then
// on appends blocks of commands and has them accepted (phase 2) in order, several in flight. A block is committed when a
// majority holds it durably and it, or a block behind it, is of the leader's own ballot. Blocks keep the ballot of their
// creation for ever, and each holds the hash of the one before: equal hashes at an index mean equal logs up to there.
//
// Others rely on this: two replicas never apply different blocks at one index; what was answered as done survives every
// crash that leaves a majority of disks; a read is answered from a state that held everything answered before it began.
//
// Rule ids (E2, A3, R2 ...) and trap ids (T1.4 ...) in comments are those of docs/PAXOS.md.
// Start with Step, then election.go (who leads), replicate.go (what is accepted and committed), propose.go (what clients
// ask), apply.go (what follows), read.go, time.go (reads at any replica), lock.go (what waits for transactions), split.go (one group
// becomes two), merge.go (two become one), rest.go (a group that nobody asks for anything), snapshot.go, recover.go.
package paxos

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/load"
	"github.com/gamutdb/gamut/core/transfer"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Options are the same on all nodes of a cluster. The zero value is usable.
type Options struct {
	// Heartbeat is how often a leader is heard of. Default 50 ms.
	Heartbeat core.Time
	// ElectionMin and ElectionMax bound the random time without a leader after which a replica nominates itself.
	// Default 500 ms and 1 s.
	ElectionMin, ElectionMax core.Time
	// RetainBytes bounds the blocks kept in memory for followers that lag; who lags further gets a snapshot. Default 16 MiB.
	RetainBytes int
	// Window is how many blocks may be uncommitted before commands are collected instead. A block costs every replica a
	// sync and some messages, whatever it holds, so the same commands are better off in one block than in two. Default 1.
	Window int
	// GroupTime lets every replica know up to which time it holds all of the group's writes, also while there are none, so
	// that a session can read at any of them (rules R4, R5). Binding is written into the sessions' tokens.
	GroupTime bool
	Binding   uint64
	// Divisible says that the group may be split. Then nobody knows how many writes are missing behind a block that is (rule R6).
	Divisible bool
	// Mutation plants a bug, to show that the checkers find it, Transactions one in the part of transactions. 0: none.
	Mutation     Mutation
	Transactions machine.Mutation
	// Split plants one in splits, Merge in merges.
	Split machine.SplitMutation
	Merge machine.MergeMutation
}

func (o Options) withDefaults() Options {
	const ms = core.Time(1e6)
	if o.Heartbeat == 0 {
		o.Heartbeat = 50 * ms
	}
	if o.ElectionMin == 0 {
		o.ElectionMin = 500 * ms
	}
	if o.ElectionMax <= o.ElectionMin {
		o.ElectionMax = 2 * o.ElectionMin
	}
	if o.Window == 0 {
		o.Window = 1
	}
	if o.RetainBytes == 0 {
		o.RetainBytes = 16 << 20
	}
	return o
}

// Role is what a replica does at the moment.
type Role uint8

// Roles.
const (
	Follower  Role = iota
	Nominee        // asks whether it would be promised a ballot
	Candidate      // asks for promises
	Leader
)

var roleNames = [...]string{"follower", "nominee", "candidate", "leader"}

// String is the role's name.
func (r Role) String() string { return roleNames[r] }

// Replica is one member of one group.
type Replica struct {
	self    core.ReplicaID
	options Options

	// Durable: promised never decreases; every block's ballot is at most promised.
	promised Ballot
	suspect  bool // its disk lost something: it must not vote on what it may have forgotten (rule L2)
	log      blockLog

	// Derived from the log and the state.
	commit  uint64
	applied position
	config  Config
	configs []placedConfig
	machine machine.Machine
	// locks is how many keys transactions have locked in the state.
	locks int
	meta  []byte

	role   Role
	leader core.ReplicaID // that this replica follows; 0: none known
	// leaderDown: the connection to the leader broke, so nobody need wait out the election time-out; the lease they must.
	leaderDown bool
	heard      core.Time // when the leader was last heard
	// Until grantUntil this replica promises nothing to anyone but the leader of grantBallot (rule A1). It is volatile:
	// after a start, a replica behaves as if it had just granted (rule R2).
	grantUntil  core.Time
	grantBallot Ballot
	deadline    core.Time
	// reluctance counts the elections that this replica let others go first (core.Input.Reluctant).
	reluctance int
	// survivors, if any, are all that is left of the group, by the word of an operator.
	survivors []core.ReplicaID
	maxRound  uint64 // highest round seen anywhere

	votes      map[core.ReplicaID]Promise // candidate: by voter; nominee: empty promises
	handoffOf  Ballot                     // candidate: the ballot whose leader handed over to us
	recovering core.ReplicaID             // candidate: fetches this replica's log
	fetched    []*Block

	lead leadership
	// waiting are proposed blocks whose clients wait, in the order of proposal. That is not always the order of the log:
	// what an overwritten leadership proposed may lie beyond what the next one proposes.
	waiting []waiter
	pending queue
	// proposed counts the commands of waiting; gatherUntil is when the next block waits for company no longer (0: it does not).
	proposed    int
	gatherUntil core.Time
	load        load.Meter
	written     written
	// owned is what the catalog says of the group's keys; nil: nothing.
	owned *core.Owned
	// retired: the group\'s keys are another one\'s.
	retired bool
	time    groupTime
	fresh   freshness
	staging transfer.Staging[origin]
	// replayed is, during recovery, the latest run of blocks that the state holds already.
	replayed []*Block

	in  *core.Input
	out *core.Effects
}

// placedConfig is a configuration and the block that brought it; the last one is in force (rule M1).
type placedConfig struct {
	index  uint64
	config Config
}

// New makes a replica; its first event must be core.Start or core.Recover.
func New(self core.ReplicaID, options Options) *Replica {
	r := &Replica{self: self, options: options.withDefaults(), meta: make([]byte, 0, metaSize)}
	r.machine.Forgetful = options.Mutation == ApplyTwice
	r.machine.Unfenced = options.Mutation == OutcomeUnfenced
	r.machine.Mutation, r.machine.SplitMutation, r.machine.MergeMutation = options.Transactions, options.Split, options.Merge
	return r
}

// Step takes one event.
func (r *Replica) Step(in *core.Input, out *core.Effects) {
	r.in, r.out = in, out
	r.handle(in.Event)
	r.proceed()
	r.in, r.out = nil, nil
}

func (r *Replica) handle(event any) {
	switch e := event.(type) {
	case core.Start:
		r.start(e.Config)
	case core.Recover:
		r.recover(e)
	case core.Requests:
		r.take(e.List)
	case core.Received:
		r.receive(e.From, e.Message)
	case core.Tick:
		r.tick()
	case core.Flush:
		r.propose()
	case core.Roll:
		r.writeHard()
	case core.PeerDown:
		r.peerDown(e.Peer)
	case core.Handoff:
		r.handoff(e.To)
	case core.Reconfigure:
		r.onReconfigure(e)
	case core.Split:
		r.onSplit(e)
	case core.Weaned:
		r.onWeaned(e.Child)
	case core.Retire:
		r.onRetire(e)
	case core.Owned:
		r.owned = &e
	case core.UnsafeRecover:
		r.onUnsafeRecover(e)
	case core.Checkpoint:
		r.mark(e.ID)
	case core.PeerUp, core.Again, core.Repair:
	default:
		panic(fmt.Sprintf("paxos: unexpected event %T", event))
	}
}

func (r *Replica) receive(from core.ReplicaID, message core.Message) {
	switch m := message.(type) {
	case stored:
		r.onStored(m)
	case Accept:
		r.onAccept(from, m)
	case Accepted:
		r.onAccepted(from, m)
	case Heartbeat:
		r.onHeartbeat(from, m)
	case HeartbeatReply:
		r.onHeartbeatReply(from, m)
	case TimedHeartbeat:
		r.onTimedHeartbeat(from, m)
	case TimedReply:
		r.onTimedReply(from, m)
	case Nominate:
		r.onNominate(from, m)
	case NominateReply:
		r.onNominateReply(from, m)
	case Prepare:
		r.onPrepare(from, m)
	case Promise:
		r.onPromise(from, m)
	case Fetch:
		r.onFetch(from, m)
	case Blocks:
		r.onBlocks(from, m)
	case HandoffNow:
		r.onHandoffNow(from, m)
	case SnapshotChunk:
		r.onSnapshotChunk(from, m)
	case SnapshotReply:
		r.onSnapshotReply(from, m)
	case Cured:
		r.onCured(m)
	default:
		panic(fmt.Sprintf("paxos: unexpected message %T", message))
	}
}

// proceed does what may have become possible: commit, apply one block, propose, send, answer reads.
func (r *Replica) proceed() {
	switch {
	case r.staging.Installed():
		r.finishInstall()
	case r.staging.Ready() && len(r.out.State) == 0:
		r.staging.Install(r.out)
	}
	if r.role == Leader {
		r.changeMembers()
		r.advanceCommit()
	}
	r.apply()
	r.settleTime()
	r.settleFresh()
	if r.role == Leader {
		r.trySplit()
		r.tryRetire()
		r.retryWaits()
		r.proposeIfIdle()
		r.replicate()
		r.serveReads()
	}
}

// Deadline is when the replica next wants a Tick.
func (r *Replica) Deadline() (core.Time, bool) {
	at := r.deadline
	if r.gatherUntil != 0 {
		at = min(at, r.gatherUntil)
	}
	if until, ok := r.waitDeadline(); ok {
		at = min(at, until)
	}
	return at, true
}

// Leader is the replica that orders commands, as far as this one knows.
func (r *Replica) Leader() core.ReplicaID {
	if r.role == Leader && r.lead.handoffTo != 0 {
		return 0
	}
	return r.leader
}

func (r *Replica) tick() {
	if r.gatherUntil != 0 && r.in.Now >= r.gatherUntil {
		// Once only: while another block is under way nothing can be proposed, and its commit tries again.
		r.gatherUntil = 0
		r.propose()
	}
	if until, ok := r.waitDeadline(); ok && until <= r.in.Now {
		r.lead.unlocked = true
	}
	if r.in.Now < r.deadline {
		return
	}
	if r.role == Leader {
		r.leaderTick()
		return
	}
	r.electionTick()
}

// Note lines of a trace.
type (
	// LedNote tells that this replica leads.
	LedNote struct {
		Ballot Ballot
		Last   uint64
	}
	// SteppedDownNote tells that it leads no more, and why.
	SteppedDownNote struct {
		Ballot Ballot
		Reason string
	}
	// AppliedNote tells that a block was applied.
	AppliedNote struct {
		Index uint64
		Hash  Hash
	}
	// SuspectNote tells that the replica found its disk damaged, or that it is cured.
	SuspectNote struct{ Suspect bool }
	// InstalledNote tells that a snapshot replaced the state.
	InstalledNote struct{ Index uint64 }
)

// String is a line of a trace.
func (n LedNote) String() string {
	return fmt.Sprintf("leads ballot %v, log ends at %d", n.Ballot, n.Last)
}

// String is a line of a trace.
func (n SteppedDownNote) String() string {
	return fmt.Sprintf("leads ballot %v no more: %s", n.Ballot, n.Reason)
}

// String is a line of a trace.
func (n AppliedNote) String() string { return fmt.Sprintf("applied %d %v", n.Index, n.Hash) }

// String is a line of a trace.
func (n SuspectNote) String() string { return fmt.Sprintf("suspect %t", n.Suspect) }

// String is a line of a trace.
func (n InstalledNote) String() string { return fmt.Sprintf("installed a snapshot of %d", n.Index) }

// Status is a replica as operators see it.
type Status struct {
	Role                                  Role
	Ballot                                Ballot // promised
	Leader                                core.ReplicaID
	Commit, Applied, Durable, First, Last uint64
	Hash                                  Hash   // of the block at Applied
	Time                                  kv.HLC // of the same
	LeaseUntil                            core.Time
	Suspect                               bool
	Config                                Config
	Match                                 map[core.ReplicaID]uint64
}

// Status reports on the replica.
func (r *Replica) Status() Status {
	s := Status{Role: r.role, Ballot: r.promised, Leader: r.Leader(), Commit: r.commit, Applied: r.applied.Index,
		Durable: r.log.durable, First: r.log.base.Index + 1, Last: r.log.last().Index, Hash: r.applied.Hash, Time: r.applied.Time,
		LeaseUntil: r.ReadUntil(), Suspect: r.suspect, Config: r.config}
	if r.role == Leader {
		s.Match = map[core.ReplicaID]uint64{r.self: r.log.durable}
		for _, p := range r.lead.peers {
			s.Match[p.id] = p.match
		}
	}
	return s
}

// Blocks returns the blocks that are held in memory from an index on, at most limit.
func (r *Replica) Blocks(from uint64, limit int) []*Block {
	from = max(from, r.log.base.Index+1)
	if from > r.log.last().Index {
		return nil
	}
	list := r.log.blocks[from-r.log.base.Index-1:]
	return slices.Clone(list[:min(limit, len(list))])
}

// otherVoters calls f for each other replica that is asked to promise.
func (r *Replica) otherVoters(f func(id core.ReplicaID)) {
	for _, id := range r.electors() {
		if id != r.self {
			f(id)
		}
	}
}

// writeHard records what must survive besides blocks.
func (r *Replica) writeHard() {
	r.out.Write(core.Record{Kind: recordHard, Body: appendHard(nil, hard{r.promised, r.suspect, r.self})})
}

// promise raises the promised ballot; the caller's messages wait for it to be durable.
func (r *Replica) promise(b Ballot) {
	if b.Less(r.promised) {
		panic(fmt.Sprintf("paxos: promise %v after %v", b, r.promised))
	}
	r.promised = b
	r.maxRound = max(r.maxRound, b.Round)
	r.writeHard()
}

// write appends a block to the log and asks to be told when it is durable.
func (r *Replica) write(b *Block) {
	if r.promised.Less(b.Ballot) {
		panic(fmt.Sprintf("paxos: block %d of ballot %v under promise %v", b.Index, b.Ballot, r.promised))
	}
	r.log.append(b)
	r.out.Write(core.Record{Kind: recordBlock, Pos: b.Index, Body: b.raw})
	if b.Kind == Configuration {
		r.placeConfig(b)
	}
}

// askStored lets the replica learn when all that it wrote so far is durable.
func (r *Replica) askStored() {
	m := stored{Gen: r.log.gen, Index: r.log.last().Index}
	if r.options.Mutation == CountBeforeSync {
		r.log.durable = m.Index
	}
	r.out.Send(r.self, m)
}

func (r *Replica) onStored(m stored) {
	if m.Gen == r.log.gen || r.options.Mutation == IgnoreTruncation {
		r.log.durable = max(r.log.durable, min(m.Index, r.log.last().Index))
	}
}

func (r *Replica) placeConfig(b *Block) {
	c, err := DecodeConfig(b.Payload)
	if err != nil {
		panic(fmt.Sprintf("paxos: block %d: %v", b.Index, err))
	}
	r.configs = append(r.configs, placedConfig{b.Index, c})
	r.config = c
	r.followConfig()
}

// revertConfigs forgets the configurations of blocks that were truncated.
func (r *Replica) revertConfigs() {
	last := r.log.last().Index
	if r.options.Mutation == KeepTruncatedConfig {
		return
	}
	for n := len(r.configs); n > 1 && r.configs[n-1].index > last; n-- {
		r.configs = r.configs[:n-1]
	}
	r.config = r.configs[len(r.configs)-1].config
}

// stamp is a time for the next block: later than all before it and than what is safe, and no earlier than the node's clock.
func (r *Replica) stamp() kv.HLC { return max(r.log.nextTime(r.in.Stamp), r.lead.safe.Time+1) }
