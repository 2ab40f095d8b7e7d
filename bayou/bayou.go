// Package bayou is a replication protocol in which every replica takes writes on its own.
//
// A replica gives each write a stamp, makes it durable in its own log, and only then shows it, answers, and offers it to
// the others. Replicas ask each other for what they lack: a vector of stamps says, for each replica, up to which of its
// writes all are held, so what is moved is the difference. Writes are handed on in the order of their stamps, which is an
// order that respects what their writers had seen; so what a replica shows at any moment holds, with each write, all that
// led to it.
//
// Others rely on this: of what a replica has acknowledged nothing is lost with fewer than its own disk; replicas whose
// vectors are equal show the same; and a session that carries its token from one replica to the next finds all that it has
// read and written, or is told at once that it does not.
//
// Rule ids (B1, B3 ...) and trap ids (T4.2 ...) in comments are those of docs/BAYOU.md.
// Start with Step, then accept.go (what clients ask), apply.go (what is shown), entropy.go (how replicas agree), log.go (what they may lack), record.go (who
// wins), part.go (sets and siblings), stable.go (what may be forgotten), transfer.go, recover.go. A group with a commit order executes
// its writes in one order besides: cut.go (which come next), order.go (who decides), tentative.go (what is undone), execute.go.
package bayou

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/load"
	"github.com/gamutdb/gamut/kv"
)

// Options are the same on all nodes of a cluster. The zero value is usable.
type Options struct {
	// Interval is how often a replica asks each peer for what it lacks; four times as long while there is nothing to ask
	// for. Writes are offered at once besides. Default 250 ms.
	Interval core.Time
	// LogBytes is the size of the write log beyond which writes are dropped although a peer may lack them; who does is sent
	// the state instead. Default 1 GiB.
	LogBytes uint64
	// MemoryTime is how long writes of the log are in memory alone while some member may lack them, and MemoryBytes how many bytes
	// there may be of them: then they are written to the state, too. Defaults 2 s and 16 MiB.
	MemoryTime  core.Time
	MemoryBytes uint64
	// KeepWrites is how many writes stay in the log for people to look at, although all have them. Default 256.
	KeepWrites uint64
	// ChunkBytes bounds one message of writes or of state. Default 512 KiB.
	ChunkBytes int
	// CommitInterval is how long a replica of a group with a commit order waits at least between two cuts. Default 50 ms.
	CommitInterval core.Time
	// KeepCuts is how many cuts the companion keeps although all members hold them: their logs may be damaged. Default 256.
	KeepCuts uint64
	// CommitMax bounds the writes that are committed in a Step. Default 1,000.
	CommitMax int
	// Counting lets stamps count writes instead of following the time: each is one more than the highest that its replica has
	// seen, or the session that it is for. So courses order writes (S3.16), and so ties can be shown, which clocks avoid.
	Counting bool
	// Mutation plants a bug, to show that the checkers find it. 0: none.
	Mutation Mutation
}

const millisecond = core.Time(1e6)

func (o Options) withDefaults() Options {
	if o.Interval == 0 {
		o.Interval = 250 * millisecond
	}
	if o.LogBytes == 0 {
		o.LogBytes = 1 << 30
	}
	if o.MemoryTime == 0 {
		o.MemoryTime = 2000 * millisecond
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 16 << 20
	}
	if o.KeepWrites == 0 {
		o.KeepWrites = 256
	}
	if o.ChunkBytes == 0 {
		o.ChunkBytes = 512 << 10
	}
	if o.CommitInterval == 0 {
		o.CommitInterval = 50 * millisecond
	}
	if o.KeepCuts == 0 {
		o.KeepCuts = 256
	}
	if o.CommitMax == 0 {
		o.CommitMax = 1000
	}
	return o
}

// Replica is one member of one group.
type Replica struct {
	self    core.ReplicaID
	options Options
	config  Config
	peers   []*peer // by id
	// up are the replicas to which there are connections, peers or not.
	up []core.ReplicaID
	// told is the epoch of the configuration that is durable here, configPos the end of the log when it came; obeyed is the
	// epoch of which this replica has told that it goes by it.
	told, obeyed, configPos uint64
	// sealed: this replica leaves and gives no stamps any more; whatever the catalog says later, that remains.
	sealed bool
	// life numbers this run of the replica.
	life uint64
	// suspect: its disk has lost something, and it must not give a stamp that it may have given before (rule B8).
	suspect bool
	voids   []void

	// meta is what the state is a fold of; it changes with the state.
	meta meta
	// held is the vector with what is written to the log and not yet durable; last is the highest stamp seen anywhere.
	held Vector
	last kv.HLC
	// ownLast is the highest stamp that this replica gave.
	ownLast kv.HLC
	// pos numbers the records of the log; applied is that of the last one that the state holds.
	pos, applied, durable uint64
	// flight are the records that are not applied yet, in order.
	flight []*flight
	// arrived are writes of peers that wait for the next record: held knows of them.
	arrived *flight
	// untold says that the replica has yet to ask when the end of its log is durable.
	untold bool
	cells  cells
	recent recent
	log    writeLog
	// judged are the records as they will be when all that is in the log is applied.
	judged cells
	// adds says that additions were ever made, or are on their way: where there are none, a set need not look what it takes away.
	adds bool

	// queue are commands that wait for the next Flush; behind wait until the replica has caught up with their sessions.
	queue  []*request
	behind []*request
	// accepting: what was accepted, or begun here otherwise, is not applied yet. Base is what the replica held when it was.
	accepting bool
	base      Vector
	fresh     []*Write // applied in this Step, to be offered
	// under are the commands of queue and flight; load measures how many may be.
	under int
	load  load.Meter
	// answered is how many commands the latest record answered, and when; until gatherUntil the next waits for company (0: it does not).
	answered                int
	answeredAt, gatherUntil core.Time
	// early are offers whose base is not there yet.
	early    []earlyWrites
	transfer transfer
	// ordering is how far the commit order is, in a group that has one.
	ordering ordering

	nextChore core.Time
	chores    chores
	// asked is when commands came last, or something else that needs the clock.
	asked core.Time
	rests bool
	// met: the peers are those of the log.
	met bool
	// metaChanged: the meta record has to be written with this Step.
	metaChanged bool

	in  *core.Input
	out *core.Effects
}

// peer is another member.
type peer struct {
	id core.ReplicaID
	up bool
	// gone: it is no member any more, and nothing is taken from it. asks: it wants to join.
	gone, asks bool
	// obeyed is the epoch of the configuration that it goes by, vow what it held when it first said so.
	obeyed uint64
	vow    Vector
	// known is what it holds for certain; settled is the latest report of it whose own writes have all arrived here: what it
	// accepts from then on follows what that report covers.
	known, settled, reported Vector
	heard                    core.Time // when it last said what it holds
	recency                  recency
	pulled, nextPull         core.Time
	// claim is what it said that it holds, at claimedAt, of which something had not arrived here; nil: nothing was missing.
	claim     Vector
	claimedAt core.Time
	// met says that it has spoken since it was last connected; toldAt is when it was last told what is here, toldEpoch which
	// configuration this replica went by when it last asked.
	met       bool
	toldAt    core.Time
	toldEpoch uint64
	// more: its last answer did not hold all that this replica lacks.
	more bool
	// surveyed: it has told this run what it holds.
	surveyed bool
	// life is the run that said that an earlier one has lost something; 0: none did. latest is the run last heard of, former
	// are those of which nothing is taken any more.
	life, latest uint64
	former       []uint64
	// cut is the last cut of the commit order that it holds for certain, if it was heard.
	cut       uint64
	cutsHeard bool
	// sending is the state that it is being sent.
	sending *sending
}

// New makes a replica; its first event must be core.Start or core.Recover.
func New(self core.ReplicaID, options Options) *Replica {
	return &Replica{self: self, options: options.withDefaults(), asked: -core.RestAfter}
}

// Step takes one event.
func (r *Replica) Step(in *core.Input, out *core.Effects) {
	r.in, r.out = in, out
	r.cells.begin(in.View)
	r.handle(in.Event)
	r.proceed()
	r.finish()
	r.rest()
	r.in, r.out = nil, nil
}

func (r *Replica) handle(event any) {
	switch e := event.(type) {
	case core.Start:
		r.start(e.Config)
	case core.Recover:
		r.recover(e)
	case core.Requests:
		r.asked = r.in.Now
		r.take(e.List)
	case core.Flush:
		r.accept()
	case core.Received:
		r.receive(e.From, e.Message)
	case core.Tick:
		r.tick()
	case core.Roll:
		r.writeMark()
	case core.Configured:
		r.learn(e.Config)
	case core.PeerUp:
		r.peerUp(e.Peer)
	case core.PeerDown:
		r.peerDown(e.Peer)
	case core.Consulted:
		r.consulted(e.Result)
	case core.Again, core.Handoff, core.Reconfigure, core.Checkpoint, core.Repair:
	default:
		panic(fmt.Sprintf("bayou: unexpected event %T", event))
	}
}

func (r *Replica) receive(from core.ReplicaID, message core.Message) {
	switch m := message.(type) {
	case stored:
		r.durable = max(r.durable, m.Pos)
		return
	case configured:
		r.told = max(r.told, m.Epoch)
		return
	}
	p := r.peer(from)
	if p == nil || p.gone {
		return
	}
	switch m := message.(type) {
	case Pull:
		m.Vector, m.At = r.meta.full(m.Vector), r.meta.full(m.At)
		r.onPull(p, m)
	case Writes:
		m.Base, m.Vector = r.meta.full(m.Base), r.meta.full(m.Vector)
		r.onWrites(p, m)
	case Page:
		r.onPage(p, m)
	case Order:
		r.onOrder(p, m)
	default:
		panic(fmt.Sprintf("bayou: unexpected message %T", message))
	}
}

// proceed does what may have become possible: apply what is durable, serve who waits, accept what has queued up.
func (r *Replica) proceed() {
	if r.proceedTransfer() || r.refresh() {
		return
	}
	r.apply()
	r.commit()
	r.spreadTold()
	r.offer()
	r.retryEarly()
	r.cure()
	r.obey()
	r.serveBehind()
	r.lookAfterMembers()
	r.accept()
	r.flyAlone()
	r.serveWaiting()
	r.propose()
}

func (r *Replica) peer(id core.ReplicaID) *peer {
	i, ok := slices.BinarySearchFunc(r.peers, id, func(p *peer, id core.ReplicaID) int { return cmp.Compare(p.id, id) })
	if !ok {
		return nil
	}
	return r.peers[i]
}

// Deadline is when the replica next wants a Tick.
func (r *Replica) Deadline() (core.Time, bool) {
	at := r.nextChore
	for _, p := range r.peers {
		if p.up && !p.gone {
			at = min(at, p.nextPull)
			if p.claim != nil {
				at = min(at, p.claimedAt+r.patience())
			}
		}
	}
	for _, q := range r.behind {
		at = min(at, q.until)
	}
	if r.gatherUntil != 0 {
		at = min(at, r.gatherUntil)
	}
	if r.ordering.on {
		at = min(at, r.orderDeadline())
	}
	return at, true
}

func (r *Replica) tick() {
	if r.in.Now >= r.gatherUntil {
		r.gatherUntil = 0
	}
	for _, p := range r.peers {
		if p.up && !p.gone {
			r.ask(p)
		}
	}
	if r.in.Now >= r.nextChore {
		r.nextChore = r.in.Now + r.options.Interval
		if r.doChores(); r.chores.behind {
			r.nextChore = r.in.Now + r.options.Interval/16
		}
	}
}

// ReadUntil lets connections read the state themselves: what it shows at any moment is an answer (rule B2). Whether it has
// what the session has seen, Read finds out.
func (r *Replica) ReadUntil() core.Time {
	if r.suspect || !r.joined() {
		return 0
	}
	return math.MaxInt64
}

// Note lines of a trace.
type (
	// SuspectNote tells that the replica found its disk damaged, or that it is cured.
	SuspectNote struct{ Suspect bool }
	// MergedNote tells that a peer's state was taken over.
	MergedNote struct {
		From   core.ReplicaID
		Vector Vector
	}
	// AppliedNote tells that a write is shown.
	AppliedNote struct{ Write *Write }
)

// String is a line of a trace.
func (n SuspectNote) String() string { return fmt.Sprintf("suspect %t", n.Suspect) }

// String is a line of a trace.
func (n MergedNote) String() string {
	return fmt.Sprintf("merged the state of replica %d, %v", n.From, n.Vector)
}

// String is a line of a trace.
func (n AppliedNote) String() string { return "applied " + n.Write.String() }

// Status is a replica as operators see it.
type Status struct {
	// Vector is what the state holds, as peers are told it; Held has the replicas that have retired, too.
	Vector, Held, Dropped Vector
	// Stable is what every member is known to hold.
	Stable             Vector
	LogCount, LogBytes uint64
	Applied, Durable   uint64
	// Waiting is how many commands wait for writes that their sessions have seen.
	Waiting int
	Suspect bool
	// Joining: it serves nobody yet. Leaving: it takes no writes any more.
	Joining, Leaving bool
	// Members are those who joined and have not retired.
	Members []core.ReplicaID
	Peers   []PeerStatus
	// Order is how far the commit order is; nil: the group has none.
	Order *OrderStatus
}

// PeerStatus is what a replica knows of another one.
type PeerStatus struct {
	Replica core.ReplicaID
	Up      bool
	// Known is what the peer holds at least; Heard is when it last said so.
	Known Vector
	Heard core.Time
}

// Status reports on the replica.
func (r *Replica) Status() Status {
	s := Status{Vector: r.meta.brief(r.meta.vector), Held: slices.Clone(r.meta.vector), Dropped: lowest(r.meta.brief(r.meta.vector), r.meta.dropped), Stable: lowest(r.meta.brief(r.meta.vector), r.stable()),
		Applied: r.applied - r.firstPos(), Durable: r.durable - r.firstPos(), Waiting: len(r.behind), Suspect: r.suspect, Joining: !r.joined(), Leaving: r.leaving()}
	s.LogCount, s.LogBytes = r.logSize()
	for _, m := range r.meta.members {
		s.Members = append(s.Members, m.id)
	}
	for _, p := range r.peers {
		s.Peers = append(s.Peers, PeerStatus{p.id, p.up, r.meta.brief(p.known), p.heard})
	}
	if r.ordering.on {
		s.Order = r.ordering.status()
	}
	return s
}
