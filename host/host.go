// Package host runs the replicas of one node on one log.
//
// It steps whatever has arrived, for all groups, collects what they write into the open batch, hands that batch out when
// the disk is free, and lets messages and replies leave when what they depend on is durable: one sync per node per batch,
// however many groups. It routes clients' commands to the replica that can order them, bounds what waits, and answers
// every command exactly once.
//
// The invariant others rely on is the one rule of package core, kept here and nowhere else: an output of a replica is
// released no earlier than the sync of the last batch that holds a record of that replica from before the output. Early
// outputs are the exception, and even they wait while the disk hangs, so that a leader with a dead disk falls silent.
//
// A Host is a state machine like the replicas it runs: no goroutine, no clock, no file. Package node drives it with real
// ones, package sim with a seed. Start with Step and emit, then TakeBatch and Synced; coordinate.go routes commands, companion.go
// those that a replica has for another group.
package host

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Options bound a Host. The zero value is usable.
type Options struct {
	// RequestsMax bounds the commands that are under way on this node; beyond it they are refused as busy. Default 16,384.
	RequestsMax int
	// BytesMax bounds the bytes of those commands. Default 64 MiB.
	BytesMax int
	// OpenBytesMax bounds what waits for the disk: above it commands are refused as busy. Default 64 MiB.
	OpenBytesMax int
	// Stall is the age of a running sync beyond which nothing leaves any more, heartbeats included. Default 1 s.
	Stall core.Time
}

func (o Options) withDefaults() Options {
	if o.RequestsMax == 0 {
		o.RequestsMax = 16 << 10
	}
	if o.BytesMax == 0 {
		o.BytesMax = 64 << 20
	}
	if o.OpenBytesMax == 0 {
		o.OpenBytesMax = 64 << 20
	}
	if o.Stall == 0 {
		o.Stall = core.Time(1e9)
	}
	return o
}

// Port is where everything that leaves the host goes. Its methods are called within the host's own calls, must not call
// back, and must not keep commands (they are borrowed) unless they copy them; messages and results may be kept.
type Port interface {
	// Message carries a protocol message to a replica on another node. It may be lost.
	Message(to core.NodeID, m Envelope)
	// Forward carries a command to the node whose replica can order it.
	Forward(to core.NodeID, f Forward)
	// Return carries the answer to a Forward back to the node that sent it.
	// read says that the command changed nothing, so that a large answer may be withheld for want of room.
	Return(to core.NodeID, id core.RequestID, r kv.Result, read bool)
	// Reply answers a command of this node's own client, once.
	Reply(token uint64, r kv.Result)
	// Place tells where a command of this node's own client belongs, whose group has answered that its keys were moved.
	Place(token uint64) Placement
	// Configure carries a replica's wish for another configuration of its group to the catalog. It may be lost.
	Configure(g core.GroupID, w Wish)
	// Note reports what a replica told of itself, after the state of that Step was applied.
	Note(g core.GroupID, n core.Note)
}

// Wish is what a replica wants the catalog to say of its group (see core.Effects.Configure).
type Wish struct {
	// Told is what the replica went by: the wish is void once the catalog says something else.
	Told, Wanted []byte
}

// Placement is where a command belongs: to a group with replicas on these nodes, or, with Refused, nowhere.
type Placement struct {
	Group   core.GroupID
	Nodes   []core.NodeID
	Refused *kv.Result
}

// Envelope is a protocol message with its addresses within the group.
type Envelope struct {
	Group    core.GroupID
	From, To core.ReplicaID
	Message  core.Message
}

// State is one group's state: read by its replica, changed only by the host.
type State interface {
	core.View
	// Apply makes all changes visible at once.
	Apply([]core.Change) error
}

// Now is a reading of the node's clocks.
type Now struct {
	Mono core.Time
	// Wall is Unix milliseconds; it may jump.
	Wall int64
}

// Batch is what goes to the log with one sync.
type Batch struct {
	Seq uint64
	// HLCUpper bounds every stamp that this node gives until a later batch is durable (rule H3).
	HLCUpper kv.HLC
	// Roll says that this batch begins a new segment, for which every replica has written what it must not lose.
	Roll  bool
	Items []core.Item
	Bytes int
}

// Host runs replicas. Its methods are called by one goroutine.
type Host struct {
	options Options
	port    Port
	rand    *rand.Rand
	now     Now
	clock   clock
	unfit   bool
	// awake counts the replicas that do not rest. asleep says that the clock's bound was due and was not renewed, since all did;
	// delayed are those whose commands wait until it is.
	awake   int
	asleep  bool
	delayed []*slot

	order []*slot // by group: iteration must not depend on a map
	// connected are the nodes to which there is a connection.
	connected map[core.NodeID]bool
	index     map[core.GroupID]*slot

	open      Batch
	spare     []core.Item
	syncing   bool
	syncSeq   uint64
	syncSince core.Time
	durable   uint64

	heldOpen, heldSyncing []held
	stalled               []held
	selfQueue             []held
	// consulted are the answers of companions that have not been handed over.
	consulted []consulted
	touched   []*slot
	effects   core.Effects
	input     core.Input

	requests requests
	lanes    map[core.GroupID]*lanes
	// away are commands that wait to be sent to the next member of a group without a replica here; ordering is the node
	// that could order such a group's commands when last asked.
	away []core.RequestID
	// displaced are commands whose groups have given their keys away.
	displaced []core.RequestID
	ordering  map[core.GroupID]core.NodeID
}

// slot is one replica and what the host knows of it.
type slot struct {
	group   core.GroupID
	self    core.ReplicaID
	nodes   map[core.ReplicaID]core.NodeID
	members []core.ReplicaID // the keys of nodes, in order
	replica core.Replica
	state   State
	// wrote is the batch that holds the replica's latest record.
	wrote uint64
	// companion is the group that the replica may consult.
	companion Companion
	// told is what the catalog says of the group as far as the replica was told; lease is core.Input.LeaseUntil.
	told     []byte
	lease    core.Time
	deadline core.Time
	hasTimer bool
	touched  bool
	// resting is nil for a protocol whose replicas never rest.
	resting core.Resting
	awake   bool
	batch   []core.Request
	// parked wait for a leader. While refuser is the only one known, they wait until retryAt: it refused the last time.
	parked  []core.RequestID
	refuser core.ReplicaID
	retryAt core.Time
	pause   core.Time
}

// held is an output that waits, or a wish, or a question to the companion, if one of them is not nil.
type held struct {
	slot    *slot
	out     core.Output
	wish    *Wish
	consult []byte
}

// New makes an empty host. upper is the highest HLCUpper found in the log.
func New(port Port, rng *rand.Rand, upper kv.HLC, now Now, options Options) *Host {
	h := &Host{options: options.withDefaults(), port: port, rand: rng, now: now, index: map[core.GroupID]*slot{},
		connected: map[core.NodeID]bool{}, lanes: map[core.GroupID]*lanes{}, ordering: map[core.GroupID]core.NodeID{}}
	h.requests.firstGen = rng.Uint32()
	h.open.Seq = 1
	h.clock.start(upper)
	return h
}

// Replica describes a replica to be run.
type Replica struct {
	Group core.GroupID
	Self  core.ReplicaID
	// Nodes says where each member lives, this one included.
	Nodes map[core.ReplicaID]core.NodeID
	Core  core.Replica
	State State
	// First is the replica's first event: core.Start or core.Recover.
	First any
}

// Add starts a replica.
func (h *Host) Add(now Now, r Replica) {
	h.now = now
	if h.index[r.Group] != nil {
		panic("host: group added twice")
	}
	s := &slot{group: r.Group, self: r.Self, nodes: r.Nodes, replica: r.Core, state: r.State,
		members: slices.Sorted(maps.Keys(r.Nodes))}
	s.resting, _ = r.Core.(core.Resting)
	h.index[r.Group] = s
	at := len(h.order)
	for at > 0 && h.order[at-1].group > r.Group {
		at--
	}
	h.order = append(h.order, nil)
	copy(h.order[at+1:], h.order[at:])
	h.order[at] = s
	h.step(s, r.First)
	for _, id := range s.members {
		if h.connected[s.nodes[id]] {
			h.step(s, core.PeerUp{Peer: id})
		}
	}
}

// SetMembers says anew where the members of a group live, when they have changed.
func (h *Host) SetMembers(now Now, g core.GroupID, nodes map[core.ReplicaID]core.NodeID) {
	h.now = now
	s := h.index[g]
	if s == nil {
		return
	}
	before := s.nodes
	s.nodes, s.members = nodes, slices.Sorted(maps.Keys(nodes))
	for _, id := range s.members {
		if _, known := before[id]; !known && h.connected[nodes[id]] {
			h.step(s, core.PeerUp{Peer: id})
		}
	}
}

// Remove ends a replica: what it has not answered is unknown, what it holds back is forgotten.
func (h *Host) Remove(now Now, g core.GroupID) {
	h.now = now
	s := h.index[g]
	if s == nil {
		return
	}
	delete(h.index, g)
	for i := range h.order {
		if h.order[i] == s {
			h.order = append(h.order[:i], h.order[i+1:]...)
			break
		}
	}
	h.setAwake(s, false)
	s.replica, s.resting = gone{}, gone{}
	h.endRequests(s)
	delete(h.lanes, g)
}

// gone stands in for a removed replica until the last held output that names it has left.
type gone struct{}

func (gone) Step(*core.Input, *core.Effects)   {}
func (gone) Deadline() (at core.Time, ok bool) { return 0, false }
func (gone) Rests() bool                       { return true }

// Has reports whether the host runs a replica of the group.
func (h *Host) Has(g core.GroupID) bool { return h.index[g] != nil }

// Replica is the core that runs for a group, for reports; nil if none.
func (h *Host) Replica(g core.GroupID) core.Replica {
	if s := h.index[g]; s != nil {
		return s.replica
	}
	return nil
}

// SetUnfit says whether this node should lead nothing (see core.Input.Unfit).
func (h *Host) SetUnfit(unfit bool) { h.unfit = unfit }

// Receive hands a peer's message to its replica. A message for a replica that is not here is dropped.
func (h *Host) Receive(now Now, m Envelope) {
	h.now = now
	if s := h.index[m.Group]; s != nil && s.self == m.To {
		h.step(s, core.Received{From: m.From, Message: m.Message})
	}
}

// Event steps the replica of a group with an event of package core.
func (h *Host) Event(now Now, g core.GroupID, event any) {
	h.now = now
	if s := h.index[g]; s != nil {
		h.step(s, event)
	}
}

// wall is the wall time that stamps may follow. While the node is unfit its wall clock may be an hour ahead: stamps that had
// followed it could never go back, and would carry the time of every group that this node comes to lead an hour ahead,
// long after the clock was set right.
func (h *Host) wall() int64 {
	if h.unfit {
		return 0
	}
	return h.now.Wall
}

// Configure tells a replica what the catalog says of its group now.
func (h *Host) Configure(now Now, g core.GroupID, config []byte) {
	h.now = now
	if s := h.index[g]; s != nil {
		s.told = config
		h.step(s, core.Configured{Config: config})
	}
}

// SetLease says until when this node may count itself among the members of a group (core.Input.LeaseUntil).
func (h *Host) SetLease(now Now, g core.GroupID, until core.Time) {
	h.now = now
	if s := h.index[g]; s != nil && s.lease != until {
		s.lease = until
		h.step(s, core.Tick{})
	}
}

// step lets a replica handle one event, and then all that it asked itself.
func (h *Host) step(s *slot, event any) {
	again := true
	for again {
		h.effects.Reset()
		h.input = core.Input{Now: h.now.Mono, Overdue: s.overdue(h.now.Mono), Stamp: h.clock.read(h.wall()), StampMax: h.clock.upper, Wall: h.now.Wall, Rand: h.rand, View: s.state,
			Unfit: h.unfit || h.Stalled(), Reluctant: h.clock.ahead(h.now.Wall), LeaseUntil: s.lease, Event: event}
		s.replica.Step(&h.input, &h.effects)
		again = h.effects.Again
		h.emit(s)
		event = core.Again{}
	}
	s.deadline, s.hasTimer = s.replica.Deadline()
	h.setAwake(s, s.resting == nil || !s.resting.Rests())
}

func (h *Host) setAwake(s *slot, awake bool) {
	switch {
	case awake && !s.awake:
		h.noteSleep()
		h.awake++
	case s.awake && !awake:
		h.awake--
	}
	s.awake = awake
}

// noteSleep takes note that the clock's bound is due while all replicas rest. Once in each life of the node the bound is renewed all
// the same: runs are told apart by it.
func (h *Host) noteSleep() {
	h.asleep = h.asleep || h.awake == 0 && h.durable > 0 && h.clock.wantsRefresh(h.wall())
}

// overdue is how long ago the replica wanted a Tick.
func (s *slot) overdue(now core.Time) core.Time {
	if !s.hasTimer {
		return 0
	}
	return max(0, now-s.deadline)
}

// emit carries out the effects of one Step in the order that the one rule asks for: state, log, then what leaves.
func (h *Host) emit(s *slot) {
	e := &h.effects
	if len(e.State) > 0 {
		if err := s.state.Apply(e.State); err != nil {
			panic(fmt.Errorf("host: apply state: %w", err))
		}
	}
	for i := range e.Log {
		h.open.Items = append(h.open.Items, core.Item{Group: s.group, Record: e.Log[i]})
		h.open.Bytes += len(e.Log[i].Body) + 32
		s.wrote = h.open.Seq
	}
	for i := range e.Notes {
		h.port.Note(s.group, e.Notes[i])
	}
	for i := range e.Early {
		if h.Stalled() {
			h.stalled = append(h.stalled, held{slot: s, out: e.Early[i]})
		} else {
			h.release(s, &e.Early[i])
		}
	}
	for i := range e.Held {
		switch {
		case s.wrote <= h.durable:
			h.release(s, &e.Held[i])
		case s.wrote == h.open.Seq:
			h.heldOpen = append(h.heldOpen, held{slot: s, out: e.Held[i]})
		default:
			h.heldSyncing = append(h.heldSyncing, held{slot: s, out: e.Held[i]})
		}
	}
	if e.Configure != nil {
		h.ask(held{slot: s, wish: &Wish{Told: s.told, Wanted: e.Configure}})
	}
	if e.Consult != nil {
		h.ask(held{slot: s, consult: e.Consult})
	}
}

// ask lets a replica's wish, or its question to the companion, leave under the one rule: what is asked of the catalog or of another
// group is as binding as what is said to a peer.
func (h *Host) ask(one held) {
	switch s := one.slot; {
	case s.wrote <= h.durable:
		h.leave(&one)
	case s.wrote == h.open.Seq:
		h.heldOpen = append(h.heldOpen, one)
	default:
		h.heldSyncing = append(h.heldSyncing, one)
	}
}

// leave lets go what was held.
func (h *Host) leave(one *held) {
	switch {
	case one.wish != nil:
		h.port.Configure(one.slot.group, *one.wish)
	case one.consult != nil:
		h.consult(one.slot, one.consult)
	default:
		h.release(one.slot, &one.out)
	}
}

// release lets one output go. What a replica says to itself is queued, not handled at once: Step must not nest.
func (h *Host) release(s *slot, out *core.Output) {
	switch {
	case out.To == 0:
		h.answer(s, out.ID, &out.Result)
	case out.To == s.self:
		h.selfQueue = append(h.selfQueue, held{slot: s, out: *out})
	default:
		if node, ok := s.nodes[out.To]; ok {
			h.port.Message(node, Envelope{Group: s.group, From: s.self, To: out.To, Message: out.Message})
		}
	}
}

// Settle finishes a pass: everything that had arrived was handed over. Replicas that collected commands propose them, and
// what replicas said to themselves is delivered until nothing is left.
func (h *Host) Settle(now Now) {
	h.now = now
	h.placeParked()
	for len(h.touched) > 0 || len(h.selfQueue) > 0 || len(h.consulted) > 0 {
		touched := h.touched
		h.touched = nil
		for _, s := range touched {
			s.touched = false
			h.handOver(s)
		}
		h.touched = append(touched[:0], h.touched...)
		queue := h.selfQueue
		h.selfQueue = nil
		for i := range queue {
			s := queue[i].slot
			h.step(s, core.Received{From: s.self, Message: queue[i].out.Message})
		}
		clear(queue)
		h.selfQueue = append(queue[:0], h.selfQueue...)
		h.handConsulted()
	}
}

func (h *Host) touch(s *slot) {
	if !s.touched {
		s.touched = true
		h.touched = append(h.touched, s)
	}
}

// handOver gives a replica the commands that were collected for it, then the word that these are all for now. After a rest it
// waits for the clock: the times of what the commands write must not be those at which the rest began.
func (h *Host) handOver(s *slot) {
	if len(s.batch) > 0 {
		if h.noteSleep(); h.asleep && h.clock.behind(h.wall()) {
			h.delayed = append(h.delayed, s)
			return
		}
		list := s.batch
		s.batch = nil
		h.step(s, core.Requests{List: list})
		clear(list)
		s.batch = append(list[:0], s.batch...)
	}
	h.step(s, core.Flush{})
}

// Tick steps every replica whose deadline has come and ends the commands whose time is over.
func (h *Host) Tick(now Now) {
	h.now = now
	for _, s := range h.order {
		if s.hasTimer && s.deadline <= now.Mono {
			h.step(s, core.Tick{})
		}
	}
	h.endOverdue()
}

// Deadline is when Tick is wanted next.
func (h *Host) Deadline() core.Time {
	at := core.Time(math.MaxInt64)
	if h.requests.count > 0 {
		at = h.requests.nextSweep
	}
	for _, s := range h.order {
		if s.hasTimer && s.deadline < at {
			at = s.deadline
		}
		if len(s.parked) > 0 && s.retryAt > h.now.Mono && s.retryAt < at {
			at = s.retryAt
		}
	}
	for _, id := range h.displaced {
		if p := h.requests.get(id); p != nil {
			at = min(at, p.retryAt)
		}
	}
	for _, id := range h.away {
		if p := h.requests.get(id); p != nil {
			at = min(at, p.retryAt)
		}
	}
	return at
}

// PeerUp tells all replicas that there is a connection to a node.
func (h *Host) PeerUp(now Now, node core.NodeID) {
	h.now = now
	h.connected[node] = true
	h.stepPeers(node, func(id core.ReplicaID) any { return core.PeerUp{Peer: id} })
}

// PeerDown tells all replicas that the connection to a node broke, and gives up on what was forwarded there.
func (h *Host) PeerDown(now Now, node core.NodeID) {
	h.now = now
	delete(h.connected, node)
	h.stepPeers(node, func(id core.ReplicaID) any { return core.PeerDown{Peer: id} })
	h.loseForwards(node)
}

// stepPeers steps every replica that has a peer on the node.
func (h *Host) stepPeers(node core.NodeID, event func(core.ReplicaID) any) {
	for _, s := range h.order {
		for _, id := range s.members {
			if s.nodes[id] == node && id != s.self {
				h.step(s, event(id))
			}
		}
	}
}

// Roll steps every replica with core.Roll; the next batch begins a new segment.
func (h *Host) Roll(now Now) {
	h.now = now
	h.open.Roll = true
	for _, s := range h.order {
		h.step(s, core.Roll{})
	}
}

// TakeBatch hands out the open batch if there is anything to write and no sync is running. The caller writes it, syncs,
// and calls Synced; until then the batch's items are the caller's to read.
func (h *Host) TakeBatch(now Now) (Batch, bool) {
	h.now = now
	if h.syncing || (len(h.open.Items) == 0 && !h.open.Roll && !h.clockDue()) {
		return Batch{}, false
	}
	b := h.open
	b.HLCUpper = h.clock.propose(h.wall())
	h.syncing, h.syncSeq, h.syncSince = true, b.Seq, now.Mono
	h.open = Batch{Seq: b.Seq + 1, Items: h.spare[:0]}
	h.spare = nil
	h.heldOpen, h.heldSyncing = h.heldSyncing, h.heldOpen
	return b, true
}

// clockDue says that the clock's bound is to be renewed although there is nothing else to write.
func (h *Host) clockDue() bool {
	if !h.clock.wantsRefresh(h.wall()) {
		return false
	}
	h.noteSleep()
	return h.awake > 0 || h.durable == 0 || len(h.delayed) > 0
}

// Synced tells that a batch is durable and lets go what waited for it.
func (h *Host) Synced(now Now, b Batch) {
	h.now = now
	if !h.syncing || b.Seq != h.syncSeq {
		panic("host: synced a batch that was not being written")
	}
	h.syncing, h.durable = false, b.Seq
	h.clock.durable(b.HLCUpper)
	h.asleep = false
	for _, s := range h.delayed {
		h.touch(s)
	}
	clear(h.delayed)
	h.delayed = h.delayed[:0]
	clear(b.Items)
	h.spare = b.Items[:0]
	h.releaseAll(&h.stalled)
	h.releaseAll(&h.heldSyncing)
}

func (h *Host) releaseAll(list *[]held) {
	queue := *list
	*list = nil
	for i := range queue {
		q := &queue[i]
		if h.index[q.slot.group] == q.slot || q.wish == nil && q.consult == nil {
			h.leave(q)
		}
	}
	clear(queue)
	*list = append(queue[:0], *list...)
}

// Stalled reports whether the running sync is older than the limit.
func (h *Host) Stalled() bool {
	return h.syncing && h.now.Mono-h.syncSince > h.options.Stall
}
