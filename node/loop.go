package node

import (
	"math"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// timerMin is the finest wait of the loop: nothing in a host needs a finer one.
const timerMin = time.Millisecond

// loop owns the host until the node stops.
func (n *Node) loop() {
	defer n.workers.Done()
	defer close(n.loopEnded)
	timer := time.NewTimer(0)
	defer timer.Stop()
	// alarm is what the timer is set to. A deadline that moves away, as most do in each pass, leaves it alone: one early
	// pass costs less than setting the timer thousands of times.
	alarm := core.Time(math.MinInt64)
	var got arrivals
	for !n.stopped {
		select {
		case <-n.inbox.wake:
		case <-timer.C:
			alarm = core.Time(math.MaxInt64)
		}
		n.inbox.take(&got)
		if n.failed.Load() != nil {
			// It must not go on leading what it cannot write: without this, a node that only reports its failure would.
			n.refuseInbox(&got)
			break
		}
		// The clock is read after the messages were taken: a lease granted "now" must not begin before its request came.
		now := n.now()
		if err := guarded(func() { n.pass(now, &got) }); err != nil {
			n.fail(err)
			n.refuseInbox(&got)
			break
		}
		got.reset()
		if at := max(n.host.Deadline(), now.Mono+core.Time(timerMin)); at < alarm {
			alarm = at
			timer.Reset(time.Duration(at - now.Mono))
		}
	}
	n.abandon()
}

func (n *Node) now() host.Now {
	mono := n.clocks.mono()
	return host.Now{Mono: mono, Wall: n.clocks.millis(mono)}
}

// pass lets everything that has arrived take effect. Overdue commands end first, before the memory of new ones is lent to
// replicas; permits are published before anything leaves for a peer, so that no peer acts on a leadership that was given
// up here while somebody still reads under it.
func (n *Node) pass(now host.Now, got *arrivals) {
	if now.Mono >= n.host.Deadline() {
		n.host.Tick(now)
	}
	n.deliver(now, got)
	n.host.Settle(now)
	if n.catalogChanged {
		n.catalogChanged = false
		n.reconcile(now)
		n.host.Settle(now)
	}
	// Not while there is more of the catalog than the table is made of: a lease counts when the table has come as far as it.
	if n.leases.changed && !n.catalogChanged {
		n.leases.changed = false
		n.followLeases(now)
		n.host.Settle(now)
	}
	n.heal(now)
	n.write(now)
	n.publish()
	n.publishRoom()
	for _, p := range n.everyPeer() {
		p.flush()
	}
	n.recycle()
}

func (n *Node) deliver(now host.Now, got *arrivals) {
	for i := range got.synced {
		n.healing.synced(got.synced[i].batch.Seq)
		n.host.Synced(now, got.synced[i].batch)
		n.writing, n.needsRoll = false, got.synced[i].needsRoll
	}
	for _, f := range got.calls {
		f(now)
	}
	for i := range got.frames {
		for j := range got.frames[i].parcels {
			n.receive(now, got.frames[i].from, &got.frames[i].parcels[j])
		}
		n.parcels.put(got.frames[i].parcels)
	}
	unsent := n.unsent
	n.unsent = n.unsentSpare[:0]
	for _, u := range unsent {
		n.host.Returned(now, u.node, u.id, kv.Result{Code: kv.NotLeader, Detail: "the leader's node cannot be reached"})
	}
	n.unsentSpare = unsent
	for _, s := range got.submissions {
		n.admit(now, s)
	}
	clear(got.submissions)
	got.submissions = got.submissions[:0] // they are the host's now, whatever becomes of the pass
}

func (n *Node) receive(now host.Now, from core.NodeID, p *parcel) {
	switch p.kind {
	case parcelMessage:
		// A node speaks for its own replicas only.
		if s := n.table.Load().groups[p.envelope.Group]; s != nil && s.where[p.envelope.From] == from {
			n.host.Receive(now, p.envelope)
		}
	case parcelForward:
		if p.forward.Read && n.table.Load().views[p.forward.Group] != nil {
			n.callForLease(now.Mono)
		}
		n.host.Forwarded(now, from, p.forward)
	case parcelReturn:
		n.host.Returned(now, from, p.id, p.result)
	case parcelWant:
		n.serveValue(from, p.id, p.place)
	case parcelValue:
		n.values.fetches.deliver(uint64(p.id), fetched{p.finding, p.value, true})
	}
}

// write hands the open batch to the log's writer when that has nothing to do.
func (n *Node) write(now host.Now) {
	if n.writing || n.failed.Load() != nil {
		return
	}
	if n.needsRoll {
		n.host.Roll(now)
		n.host.Settle(now)
	}
	b, ok := n.host.TakeBatch(now)
	if !ok {
		return
	}
	if b.Roll {
		b.Items = n.appendOrphans(b.Items)
	}
	n.healing.taken(b.Seq)
	n.writing = true
	n.batches <- b
}

// publish tells connections and doors what the replicas know of their leaders, and how long their states may be read.
func (n *Node) publish() {
	for _, r := range n.running {
		leader := core.ReplicaID(0)
		if r.led != nil {
			leader = r.led.Leader()
		}
		if uint32(leader) != r.shard.ledBy.Load() {
			r.shard.ledBy.Store(uint32(leader))
			r.shard.leader.Store(uint32(r.shard.where[leader]))
			r.shard.window.forget()
		}
		if r.divided != nil {
			// Before the permits: who finds one must not read by older bounds.
			if b := r.divided.Bounds(); b != r.shard.bounds.Load() {
				r.shard.bounds.Store(b)
			}
		}
		if r.locking != nil {
			if locked := r.locking.Locked(); locked != r.shard.locked.Load() {
				r.shard.locked.Store(locked)
			}
		}
		if r.leased != nil {
			if until := int64(r.leased.ReadUntil()); until != r.shard.readUntil.Load() {
				r.shard.readUntil.Store(until)
			}
		}
		if r.timed != nil {
			if safe := uint64(r.timed.SafeTime()); safe != r.shard.safe.Load() {
				r.shard.safe.Store(safe)
			}
		}
		if r.fresh != nil {
			if f := r.fresh.Freshness(); f != *r.shard.fresh.Load() {
				kept := f // or f were on the heap in every pass
				r.shard.fresh.Store(&kept)
			}
		}
	}
}

// running is a replica that the host runs, by the faces it has.
type running struct {
	shard  *shard
	state  *replicaState
	led    core.Led
	leased core.Leased
	timed  core.Timed
	// locking is nil for a protocol without transactions.
	locking core.Locking
	fresh   core.Fresh
	// bounded is nil for a protocol that refuses nothing as busy.
	bounded core.Bounded
	// divided is nil for a protocol whose groups are not split.
	divided interface{ Bounds() *machine.Bounds }
	// told is what the replica was told of its view.
	told []byte
}

// unsent is a forwarded command that could not leave.
type unsent struct {
	node core.NodeID
	id   core.RequestID
}

// Message carries a protocol message to a peer (host.Port). While the peer cannot be reached it is lost.
func (n *Node) Message(to core.NodeID, m host.Envelope) {
	p := n.peer(to)
	if p == nil || !p.connected.Load() || p.full() {
		return
	}
	p.grew(appendMessage(p.frame(), m))
}

// Forward carries a command to the leader's node (host.Port). One that cannot leave, or whose answer could not come back,
// returns in the next pass.
func (n *Node) Forward(to core.NodeID, f host.Forward) {
	p := n.peer(to)
	if p == nil || !p.connected.Load() || !p.hearing.Load() || p.full() {
		n.unsent = append(n.unsent, unsent{to, f.ID})
		return
	}
	p.grew(appendForward(p.frame(), f))
}

// Return carries an answer to the node that asked (host.Port). Answers are never dropped silently: a peer that does not
// take them is hung up on, so that it knows that it does not know. Large answers to reads, which may be asked again, are refused
// before it comes to that: else one client that asks for more than the connection carries takes it from everybody.
func (n *Node) Return(to core.NodeID, id core.RequestID, r kv.Result, read bool) {
	p := n.peer(to)
	if p == nil {
		return
	}
	if !p.connected.Load() || p.full() {
		p.hangUp()
		return
	}
	if read && p.crowded() && answerBytes(&r) > smallAnswer {
		r = kv.Result{Code: kv.Busy, Detail: "the answers on their way to the node that asks are more than its connection carries; retry after a pause"}
	}
	p.grew(appendReturn(p.frame(), id, &r))
}

// Note takes what a replica told of itself (host.Port).
func (n *Node) Note(g core.GroupID, note core.Note) {
	switch note := note.(type) {
	case core.CheckpointNote:
		n.checkpoints.keep(g, note.Index, n.disk.Group(g).Snapshot(), n.clocks.mono())
		n.noteCheckpoint(g, note.Index)
	case core.DamageNote:
		n.noteDamage(g, note)
	case core.SplitNote:
		n.log.Info("a replica has given keys away", "group", g, "to", note.Child, "from", note.Key)
		n.catalogChanged = true // the child's replica can begin
	case core.LockNote:
		// Before the vote leaves that took the first lock: from then on the transaction may be answered as done elsewhere.
		if sh := n.table.Load().groups[g]; sh != nil {
			sh.locked.Store(true)
		}
	default:
		n.catalogChanged = n.catalogChanged || keyspace.IsInstalled(note) // a child's replica may wait for its parent's state
		n.noteLogged(g, note)
	}
}
