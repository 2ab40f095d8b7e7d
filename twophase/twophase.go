// Package twophase is two-phase commit over all members of a group, as a deterministic replica.
//
// Who the members are the catalog says, epoch by epoch; one of them coordinates. It numbers batches of commands, has every
// member write each batch to its disk (prepare), and when all have, the batch is committed: that is the whole of the first
// phase, and the client is answered. The second phase tells the members how far batches are final, and they apply them in
// order. A batch that not all prepare in time is aborted, and that is told only when all have written the abortion.
//
// Others rely on this: what was answered as done is on the disk of every member; what was answered as failed never
// happens; a member may be read alone, while its node's lease holds, but for the keys of batches that are not final.
//
// Rule ids (W1 to W11) and trap ids (T2.1 to T2.18) in comments are those of docs/ATOMIC.md.
// Start with Step, then work.go (what every member does), open.go (a new epoch, and what it finds), lead.go (prepare, decide,
// abort), propose.go (what clients ask), apply.go, read.go, rest.go (a group that nobody asks for anything), view.go (who is left
// out), join.go (who is filled), move.go (who comes and goes for good), recover.go.
package twophase

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/transfer"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Options are the same on all nodes of a cluster. The zero value is usable.
type Options struct {
	// Heartbeat is how often a coordinator is heard of, and asks again for what was not answered. Default 100 ms.
	Heartbeat core.Time
	// VoteWithin is how long a batch may wait for its votes before it is aborted, and a command for its batch (rule W4).
	// Default 1 s.
	VoteWithin core.Time
	// Suspect is how long a replica may be silent before the catalog is asked to do without it (rule W6). Default 3 s.
	Suspect core.Time
	// Window is how many batches may be under way. Default 1: the same commands are better off in one batch than in two.
	Window int
	// RetainBytes bounds the final batches kept for a replica that is being filled. Default 64 MiB.
	RetainBytes int
	// Refuse makes a write to a key that is being written be refused at once, instead of taking its turn.
	Refuse bool
	// Mutation plants a bug, to show that the checkers find it. 0: none.
	Mutation Mutation
}

func (o Options) withDefaults() Options {
	const ms = core.Time(1e6)
	if o.Heartbeat == 0 {
		o.Heartbeat = 100 * ms
	}
	if o.VoteWithin == 0 {
		o.VoteWithin = 1000 * ms
	}
	if o.Suspect == 0 {
		o.Suspect = 3000 * ms
	}
	if o.Window == 0 {
		o.Window = 1
	}
	if o.RetainBytes == 0 {
		o.RetainBytes = 64 << 20
	}
	return o
}

// Replica is one replica of one group.
type Replica struct {
	self    core.ReplicaID
	options Options

	// Durable: fenced never goes back to an earlier epoch; a slot that is aborted stays so.
	fenced Config // of the highest epoch that it obeys (rule W1)
	slots  slots
	// suspect: its disk lost something, or contradicts the others', so its silence about a batch means nothing.
	suspect bool
	// joined is the epoch in which it was filled as a joiner; what its slots held before counts no more.
	joined uint64

	// told is the catalog's latest word.
	told Config
	// resolved: all slots up to it are final, so whatever stands in one here, prepared or aborted, is its outcome. applied is
	// how far the state has come. applied <= resolved.
	resolved, applied uint64
	time              kv.HLC // of the latest batch applied
	// held is the highest slot that was ever written here, whatever became of it: the log keeps it until applied is there.
	held    uint64
	sums    sums
	machine machine.Machine
	meta    []byte

	lead *leadership // nil: somebody else coordinates
	// lost are replicas that are gone for good, as an operator has said.
	lost []core.ReplicaID
	// heard is when the coordinator was last heard; patience how long its silence is borne.
	heard, patience core.Time
	asked           core.Time // when the catalog was asked last
	// waiting are batches that this replica proposed and whose clients wait.
	waiting []waiter
	reads   []core.Request // that wait for keys in flight
	staging transfer.Staging[origin]

	deadline core.Time
	// busy is when there was last something to do, taken when commands came last, rests what the latest beat found (see Rests).
	busy, taken core.Time
	rests       bool
	// now and lease are as the latest Step had them.
	now, lease core.Time

	in  *core.Input
	out *core.Effects
}

// New makes a replica; its first event must be core.Start or core.Recover.
func New(self core.ReplicaID, options Options) *Replica {
	r := &Replica{self: self, options: options.withDefaults(), meta: make([]byte, 0, metaSize)}
	r.machine.Forgetful = options.Mutation == ExecuteTwice
	return r
}

// Step takes one event.
func (r *Replica) Step(in *core.Input, out *core.Effects) {
	r.in, r.out = in, out
	r.now, r.lease = in.Now, in.LeaseUntil
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
	case core.Configured:
		r.configured(e.Config)
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
	case core.Handoff:
		r.handoff(e.To)
	case core.Reconfigure:
		r.onReconfigure(e)
	case core.Checkpoint:
		r.mark(e.ID)
	case core.PeerDown, core.PeerUp, core.Again, core.Repair, core.UnsafeRecover:
	default:
		panic(fmt.Sprintf("twophase: unexpected event %T", event))
	}
}

func (r *Replica) receive(from core.ReplicaID, message core.Message) {
	switch m := message.(type) {
	case Fence:
		r.onFence(from, m)
	case FenceOK:
		r.onFenceOK(from, m)
	case Prepare:
		r.onPrepare(from, m)
	case Vote:
		r.onVote(from, m)
	case Abort:
		r.onAbort(from, m)
	case AbortOK:
		r.onAbortOK(from, m)
	case Resolved:
		r.onResolved(from, m)
	case Heartbeat:
		r.onHeartbeat(from, m)
	case Alive:
		r.onAlive(from, m)
	case SnapshotChunk:
		r.onSnapshotChunk(from, m)
	case SnapshotReply:
		r.onSnapshotReply(from, m)
	case Feed:
		r.onFeed(from, m)
	default:
		panic(fmt.Sprintf("twophase: unexpected message %T", message))
	}
}

// proceed does what may have become possible: decide, apply one batch, propose, answer reads.
func (r *Replica) proceed() {
	switch {
	case r.staging.Installed():
		r.finishInstall()
	case r.staging.Ready() && len(r.out.State) == 0:
		r.staging.Install(r.out)
	}
	r.decide()
	r.apply()
	r.proposeIfIdle()
	r.announce()
	r.serveReads()
}

// Deadline is when the replica next wants a Tick.
func (r *Replica) Deadline() (core.Time, bool) {
	if r.lead != nil && r.lead.queue.until != 0 {
		return min(r.deadline, r.lead.queue.until), true
	}
	return r.deadline, true
}

// Leader is the replica that orders commands, as far as this one knows: not before the epoch in which it does is known here
// to have begun.
func (r *Replica) Leader() core.ReplicaID {
	leader := r.fenced.Coordinator
	if r.told.Epoch > r.fenced.Epoch {
		leader = r.told.Coordinator
	}
	if leader == r.self && r.lead == nil {
		return 0
	}
	return leader
}

func (r *Replica) tick() {
	if r.in.Now >= r.deadline {
		r.excuse(r.in.Overdue)
		r.forgetReads()
		r.leadTick()
		r.workTick()
		r.ask()
		r.deadline = r.nextBeat()
		r.noteRest()
	}
	r.propose()
}

// excuse takes from the others' silence the time in which this node was paused, and could not have heard them: else it would
// want to leave out those that are well, as soon as it is back (rule W6). Ticks are always a little late.
func (r *Replica) excuse(paused core.Time) {
	if paused < r.options.Suspect/3 || r.options.Mutation == CountOwnPause {
		return
	}
	r.heard = min(r.in.Now, r.heard+paused)
	if r.lead == nil {
		return
	}
	for _, p := range r.lead.peers {
		p.heard = min(r.in.Now, p.heard+paused)
	}
}

// member says whether this replica holds everything that members must hold, as far as it knows.
func (r *Replica) member() bool { return r.told.has(r.self) && !r.suspect }

// writeHard records what must survive besides slots.
func (r *Replica) writeHard() {
	r.out.Write(core.Record{Kind: recordHard, Body: appendHard(nil, hard{r.self, r.suspect, r.joined, r.fenced})})
}

// distrust makes this replica one that lost something: it speaks for nothing until it was filled again.
func (r *Replica) distrust(format string, args ...any) {
	r.out.Note(core.DamageNote{Text: fmt.Sprintf(format, args...)})
	r.suspect = true
	r.stepDown()
	r.writeHard()
}

// Status is a replica as operators see it.
type Status struct {
	// Epoch, Coordinator, Members and Joiners are the catalog's latest word, Fenced the epoch that this replica obeys.
	Epoch, Fenced    uint64
	Coordinator      core.ReplicaID
	Members, Joiners []core.ReplicaID
	// Leads says that this replica coordinates; Opening that it does not know yet what the epoch before left.
	Leads, Opening bool
	// Applied, Resolved and Last are batches: in the state, final, and known of. In between they are in doubt.
	Applied, Resolved, Last uint64
	Time                    kv.HLC
	// Sum stands for all that was applied.
	Sum     uint64
	Suspect bool
	// LeaseUntil is until when reads are answered here.
	LeaseUntil core.Time
	// InDoubt is how long the oldest batch that is not final has been waited for, by the coordinator.
	InDoubt core.Time
	// WaitingReads wait for keys in flight; WaitingWrites for their turn or their votes.
	WaitingReads, WaitingWrites int
}

// Status reports on the replica.
func (r *Replica) Status() Status {
	s := Status{Epoch: r.told.Epoch, Fenced: r.fenced.Epoch, Coordinator: r.told.Coordinator, Members: slices.Clone(r.told.Members),
		Joiners: slices.Clone(r.told.Joiners), Applied: r.applied, Resolved: r.resolved, Last: r.slots.last(), Time: r.time,
		Sum: r.sums.at(r.applied), Suspect: r.suspect, WaitingReads: len(r.reads)}
	if r.member() {
		s.LeaseUntil = r.lease
	}
	if l := r.lead; l != nil {
		s.Leads, s.Opening = true, l.opening
		s.WaitingWrites = len(l.queue.list) + r.proposed()
		if oldest := r.slots.at(r.resolved + 1); oldest != nil && oldest.since != 0 {
			s.InDoubt = r.now - oldest.since
		}
	}
	return s
}

// Note lines of a trace.
type (
	// FencedNote tells that this replica obeys an epoch.
	FencedNote struct {
		Epoch       uint64
		Coordinator core.ReplicaID
	}
	// OpenedNote tells that this replica coordinates an epoch, and what became of the batches that it found in doubt.
	OpenedNote struct {
		Epoch              uint64
		Committed, Aborted []uint64
	}
	// AskedNote tells which configuration the catalog is asked for.
	AskedNote struct{ Config Config }
	// AppliedNote tells that a batch was applied, or passed over as aborted.
	AppliedNote struct {
		N       uint64
		Aborted bool
		Sum     uint64
	}
	// InstalledNote tells that a snapshot replaced the state.
	InstalledNote struct{ N uint64 }
)

// String is a line of a trace.
func (n FencedNote) String() string {
	return fmt.Sprintf("obeys epoch %d of %d", n.Epoch, n.Coordinator)
}

// String is a line of a trace.
func (n OpenedNote) String() string {
	return fmt.Sprintf("coordinates epoch %d; finds committed %d, aborts %d", n.Epoch, n.Committed, n.Aborted)
}

// String is a line of a trace.
func (n AskedNote) String() string { return "asks for " + n.Config.String() }

// String is a line of a trace.
func (n AppliedNote) String() string {
	if n.Aborted {
		return fmt.Sprintf("passes over %d", n.N)
	}
	return fmt.Sprintf("applied %d, sum %x", n.N, n.Sum)
}

// String is a line of a trace.
func (n InstalledNote) String() string { return fmt.Sprintf("installed a snapshot of %d", n.N) }
