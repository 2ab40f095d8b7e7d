// Package quorum is the leaderless protocol: any replica coordinates, and each request says how many must answer.
//
// A write gets a stamp of its coordinator's clock and goes to all replicas; it is acknowledged when as many as its level asks
// for have the record, or a newer one, on disk. A read asks as many as its level says, takes the newest record, and has it
// written to those of them that hold an older one before it answers. Whoever misses a write gets it later: by a hint that the
// coordinator keeps, by such a read, or by anti-entropy. A deleted key is a tombstone, and is forgotten only below a line
// up to which all replicas have compared all that they hold, and after which none takes anything older.
//
// Others rely on this: the stamp of a key never decreases on a replica, tombstones purged below the line excepted; what was
// acknowledged at a level is on the disks of as many replicas; what a replica shows is durable there; a write that missed
// its level is never taken back, and is told to be unknown.
//
// Rule ids (Q5, D4 ...) and trap ids (T3.4 ...) in comments are those of docs/QUORUM.md.
// Start with Step, then store.go (what a replica keeps), write.go and read.go (what a coordinator does), hint.go, entropy.go
// (how replicas become equal), repair.go (how tombstones end), members.go (how the members change), recover.go; recent.go saves looks
// into the state, estimate.go says what other levels would miss, rest.go what costs nothing.
package quorum

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/load"
	"github.com/gamutdb/gamut/kv"
)

// Options are the same on all nodes of a cluster. The zero value is usable.
type Options struct {
	// WriteWithin is how long the replicas have to take a write before it is unknown and hints are kept; ReadWithin how
	// long they have to answer a read. Default 1 s.
	WriteWithin, ReadWithin core.Time
	// Hedge is how long a read waits for those that it asked before it asks the others. Default 50 ms.
	Hedge core.Time
	// HintWindow is for how long hints are kept for a replica that is away, HintBytes how many bytes of them; what is beyond is
	// left to anti-entropy. HintRate is how many bytes of hints a second a returning replica is sent. Default 3 h, 1 GiB, 8 MiB.
	HintWindow core.Time
	HintBytes  int64
	HintRate   int64
	// EntropyEvery is how often a replica compares itself with another one, RepairEvery how often all are made equal and the
	// tombstones before that are forgotten. Default 10 min and 24 h.
	EntropyEvery, RepairEvery core.Time
	// RepairLag is how far behind the clock a repair draws its line, so that writes under way are not refused. Default 15 s.
	RepairLag core.Time
	// SkewMax is how far clocks may be apart. Default 500 ms.
	SkewMax core.Time
	// RecentKeys is of how many of the keys that were written last a replica keeps in mind what stands, so that the next write need not
	// read it: of as many at least, and twice as many at most, at about 65 bytes and the key for each. Default 65,536.
	RecentKeys int
	// InsideMax says that longer values in bytes, as the state gives them back, are references (kv.Kept). 0: none are.
	InsideMax int
	// Mutation plants a bug, to show that the checkers find it. 0: none.
	Mutation Mutation
}

func (o Options) withDefaults() Options {
	const ms, second = core.Time(1e6), core.Time(1e9)
	set := func(at *core.Time, value core.Time) {
		if *at == 0 {
			*at = value
		}
	}
	set(&o.WriteWithin, second)
	set(&o.ReadWithin, second)
	set(&o.Hedge, 50*ms)
	set(&o.HintWindow, 3*3600*second)
	set(&o.EntropyEvery, 600*second)
	set(&o.RepairEvery, 24*3600*second)
	set(&o.RepairLag, 15*second)
	set(&o.SkewMax, 500*ms)
	if o.HintBytes == 0 {
		o.HintBytes = 1 << 30
	}
	if o.RecentKeys == 0 {
		o.RecentKeys = 64 << 10
	}
	if o.HintRate == 0 {
		o.HintRate = 8 << 20
	}
	return o
}

// mask is a set of members, by their places in the configuration.
type mask uint8

func (m mask) count() int       { return bits.OnesCount8(uint8(m)) }
func (m mask) has(i int) bool   { return m&(1<<i) != 0 }
func (m mask) with(i int) mask  { return m | 1<<i }
func (m mask) first() (i int)   { return bits.TrailingZeros8(uint8(m)) }
func (m mask) less(o mask) mask { return m &^ o }

// Replica is one member of one group: it keeps records, and coordinates what its node's clients ask.
type Replica struct {
	self    core.ReplicaID
	options Options
	config  Config
	// places number the members: masks and what is kept for a member go by its place, which is this replica's own matter. 0: free.
	places []core.ReplicaID
	me     int
	// old and new are the members and who they shall be; all is both. new is empty unless the members change.
	old, new, all mask
	change        change

	disk     disk
	recent   recent
	clock    clock
	up       mask                    // members that there is a connection to, this one included
	linked   map[core.ReplicaID]bool // replicas that there is a connection to, members or not
	writes   writes
	reads    reads
	scans    scans
	latches  latches
	hints    [MembersMax]hinted
	observed observed
	tree     tree
	walk     walk
	entropy  entropy
	repair   repair
	// doubt is below which nothing is taken while this replica may have forgotten a line.
	doubt    kv.HLC
	number   uint64 // numbers batches, reads, scans and sessions
	command  kv.Command
	load     load.Meter
	deadline core.Time
	// asked is when commands came last.
	asked core.Time
	rests bool

	in  *core.Input
	out *core.Effects
}

// New makes a replica; its first event must be core.Start or core.Recover.
func New(self core.ReplicaID, options Options) *Replica {
	r := &Replica{self: self, options: options.withDefaults(), asked: -core.RestAfter, linked: map[core.ReplicaID]bool{}}
	r.disk.pending = map[string]standing{}
	r.writes.batches = map[uint64]*batch{}
	r.reads.rounds = map[uint64]*round{}
	r.scans.open = map[uint64]*scan{}
	r.latches.keys = map[string]*latch{}
	return r
}

// Step takes one event.
func (r *Replica) Step(in *core.Input, out *core.Effects) {
	r.in, r.out = in, out
	r.disk.settle()
	r.handle(in.Event)
	r.flush()
	r.sendReads()
	if r.disk.pos > r.disk.asked {
		r.disk.asked = r.disk.pos
		out.Send(r.self, stored{r.disk.pos})
	}
	r.deadline = r.nextDeadline()
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
		for _, q := range e.List {
			r.take(q)
		}
	case core.Received:
		r.receive(e.From, e.Message)
	case core.Tick:
		r.tick()
	case core.Configured:
		r.configured(e.Config)
	case core.PeerUp:
		r.peerUp(e.Peer)
	case core.PeerDown:
		r.peerDown(e.Peer)
	case core.Repair:
		r.repair.wanted = true
	case core.Again:
		r.beginFreed()
	case core.Roll:
		if r.config.Epoch > 0 { // so that the log says whose it is, when another replica of the group comes to live here
			r.out.Write(core.Record{Kind: recordMembers, Body: r.appendMembers(false)})
		}
	case core.Flush, core.Handoff, core.Checkpoint:
		// Nothing waits for a Flush, and there is nobody to hand over or to mark a common log.
	default:
		panic(fmt.Sprintf("quorum: unexpected event %T", event))
	}
}

func (r *Replica) receive(from core.ReplicaID, message core.Message) {
	switch m := message.(type) {
	case stored:
		r.onStored(m)
		return
	case Newer:
		r.configured(m.Config)
		return
	}
	i := r.place(from)
	if i < 0 || i == r.me || r.outside() {
		return // not a member: it does not count (trap T3.7)
	}
	if epoch, ok := epochOf(message); ok && epoch < r.config.Epoch && r.options.Mutation != TakeOldEpoch {
		r.tell(i, Newer{r.config.AppendTo(nil)})
		return
	}
	switch m := message.(type) {
	case Write:
		r.onWrite(from, m)
	case Written:
		r.onWritten(i, m)
	case Read:
		r.onRead(from, m)
	case Values:
		r.onValues(i, m)
	case Scan:
		r.onScan(from, m)
	case Page:
		r.onPage(i, m)
	case Probe:
		r.onProbe(from, m)
	case Leaves:
		r.onLeaves(i, m)
	case Range:
		r.onRange(from, m)
	case Difference:
		r.onDifference(i, m)
	case Line:
		r.onLine(from, m)
	case LineSet:
		r.onLineSet(i, m)
	case Report:
		r.onReport(i, m)
	default:
		panic(fmt.Sprintf("quorum: unexpected message %T", message))
	}
}

// place is a member's number; -1: it is none.
func (r *Replica) place(id core.ReplicaID) int {
	if id == 0 {
		return -1
	}
	return slices.Index(r.places, id)
}

func (r *Replica) peerUp(id core.ReplicaID) {
	r.linked[id] = true
	if i := r.place(id); i >= 0 && r.all.has(i) {
		r.up = r.up.with(i)
		r.hints[i].replayAt = r.in.Now
		r.includeInWrites(i)
		r.compareSoon(mask(0).with(i))
	}
}

func (r *Replica) peerDown(id core.ReplicaID) {
	delete(r.linked, id)
	if i := r.place(id); i >= 0 && r.all.has(i) {
		r.up &^= 1 << i
		r.hedgeNow(i)
		r.entropy.lost(r, i)
	}
}

func (r *Replica) next() uint64 {
	r.number++
	return r.number
}

func (r *Replica) tick() {
	r.endWrites()
	r.endReads()
	r.endScans()
	if r.outside() {
		return
	}
	r.changeTick()
	r.replayHints()
	r.walkOn()
	r.entropyTick()
	r.repairTick()
}

// never is later than any deadline.
const never = core.Time(1<<63 - 1)

func (r *Replica) nextDeadline() core.Time {
	at := min(r.writes.deadline(), r.reads.deadline(), r.scans.deadline())
	if r.outside() {
		return at
	}
	at = min(at, r.walk.deadline(), r.entropy.deadline(), r.repair.deadline(), r.changeDeadline())
	for i := range r.hints {
		if r.up.has(i) && r.hints[i].count > 0 {
			at = min(at, r.hints[i].replayAt)
		}
	}
	return at
}

// Deadline is when the replica next wants a Tick.
func (r *Replica) Deadline() (core.Time, bool) { return r.deadline, r.deadline != never }

// ReadUntil is until when the state may be read as it stands by those who ask for one replica only: always, since it shows
// nothing that is not durable (rule Q4), unless its disk lost something, or the keyspace promises more.
func (r *Replica) ReadUntil() core.Time {
	if r.disk.meta.Suspect || r.config.Atomic || r.outside() {
		return 0
	}
	return never
}

// Status is a replica as operators see it.
type Status struct {
	// Position numbers the records of this replica's own log; Applied is how far its state has them.
	Position, Applied uint64
	Suspect           bool
	Up                []core.ReplicaID
	// RefuseBelow and PurgeBelow are the lines; Purged is the one up to which tombstones were swept away.
	RefuseBelow, PurgeBelow, Purged kv.HLC
	// Tally counts records once Counted; Counted is false while the state is still being read after a start.
	Tally   tally
	Counted bool
	Hints   []HintStatus
	// Repair says what the repair is doing that this replica conducts; no words: none.
	Repair Saying
	// RepairedAt is the line of the latest repair that was completed.
	RepairedAt kv.HLC
	// Behind are the replicas for which hints were dropped and that have not been compared since.
	Behind []core.ReplicaID
	// Repaired and Compared count records that reads and anti-entropy brought up to date here or elsewhere.
	ReadRepairs, EntropyRepairs uint64
	// Change says how far a change of the members is; no words: there is none.
	Change Saying
	// Observed are the times that it has seen as a coordinator.
	Observed Observed
}

// Saying is words about replicas, which stand where the words have a %s. Operators know nodes, so the names are for others to give.
type Saying struct {
	Words    string
	Replicas []core.ReplicaID
}

// String names replicas by their ids.
func (s Saying) String() string {
	return s.Of(strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Replicas), " ", ", "), "[]"))
}

// Of says it with other names for the replicas.
func (s Saying) Of(names string) string {
	if names == "" {
		names = "none"
	}
	return strings.Replace(s.Words, "%s", names, 1)
}

// HintStatus is what waits for a replica.
type HintStatus struct {
	Replica core.ReplicaID
	Count   int
	Bytes   int64
	Oldest  kv.HLC
}

// Suspect reports whether the replica's disk lost something, and it does not count yet.
func (r *Replica) Suspect() bool { return r.disk.meta.Suspect && !r.blank() }

// Status reports on the replica.
func (r *Replica) Status() Status {
	d := &r.disk
	s := Status{Position: d.pos, Applied: d.applied, Suspect: d.meta.Suspect, RefuseBelow: d.meta.Refuse, PurgeBelow: d.shown.Purge,
		Purged: r.walk.swept, Tally: r.tree.tally, Counted: r.tree.built, Repair: r.repair.describe(r), RepairedAt: d.meta.Purge,
		Change: r.describeChange(), Observed: r.sawTimes(), Up: r.members(r.up), Behind: r.members(d.meta.Behind), ReadRepairs: r.reads.repairs, EntropyRepairs: r.entropy.repairs}
	for i := range r.hints {
		if h := &r.hints[i]; h.count > 0 {
			s.Hints = append(s.Hints, HintStatus{r.places[i], h.count, h.bytes, h.oldest})
		}
	}
	return s
}

func (r *Replica) members(m mask) (list []core.ReplicaID) {
	for i, id := range r.places {
		if m.has(i) {
			list = append(list, id)
		}
	}
	return list
}

// Notes.
type (
	// SuspectNote tells that the replica found its disk damaged, or that it is cured.
	SuspectNote struct{ Suspect bool }
	// RepairedNote tells that all replicas were made equal below a line, and that tombstones before it go.
	RepairedNote struct{ Below kv.HLC }
	// HintsDroppedNote tells that a replica was away for too long: it has to be compared.
	HintsDroppedNote struct{ Replica core.ReplicaID }
	// HintsReplayedNote tells that a replica got all that was kept for it.
	HintsReplayedNote struct{ Replica core.ReplicaID }
)

// String is a line of a trace.
func (n SuspectNote) String() string { return fmt.Sprintf("suspect %t", n.Suspect) }

// String is a line of a trace.
func (n RepairedNote) String() string {
	return fmt.Sprintf("all replicas are equal below %s", n.Below.Time().Format("15:04:05.000"))
}

// String is a line of a trace.
func (n HintsDroppedNote) String() string {
	return fmt.Sprintf("no more hints are kept for replica %d; it will be compared", n.Replica)
}

// String is a line of a trace.
func (n HintsReplayedNote) String() string {
	return fmt.Sprintf("replica %d has all hints that were kept for it", n.Replica)
}
