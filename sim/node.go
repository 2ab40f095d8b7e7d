package sim

import (
	"math"
	"math/rand/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
	"github.com/gamutdb/gamut/values"
)

// node is one process and its machine: a host, a disk and clocks. What reaches it waits in its inbox until the next pass,
// as it does in a real process, so that commands are batched and a paused node takes everything late.
type node struct {
	w     *world
	index int
	id    core.NodeID
	clock clock
	disk  *store.Memory
	rng   *rand.Rand

	host *host.Host
	up   bool
	// gone says that the disk was lost, and the node with it.
	gone bool
	// hadState are the groups that had a state when the disk was opened.
	hadState map[core.GroupID]bool
	// unfit says that this node should lead nothing, whenever it runs; full, that its disk has no room for writes.
	unfit, full bool
	// life counts the starts; whatever was meant for an earlier one is dropped.
	life   int
	paused bool
	pauses int // counts beginnings and ends

	inbox   []func(now host.Now)
	spare   []func(now host.Now)
	passing bool
	wakeAt  core.Time

	writing   bool
	batch     host.Batch
	hung      bool // the disk takes nothing
	syncExtra core.Time
	failSync  bool
	// tear ends the process in the middle of its next write; nil: nothing does.
	tear func()
	// known is the life of each peer as far as this node knows, 0 while there is no connection.
	known  []int
	tokens map[uint64]func(kv.Result)
	placed map[uint64]placed
	// maps are the numbers of the newest maps that the node has heard of, by their roots. carries are the merges that it carries on.
	maps    map[core.GroupID]int
	carries map[*merging]bool
	token   uint64
	// heard is what the node knows of the catalog's word on each group, forgets what a crash may leave of that.
	heard, forgets map[core.GroupID]*keyspace.Descriptor
	// recovered is what was on the disk when it was opened, of groups that do not run yet.
	recovered store.Recovered
	// keeper and shelf are where long values are; nil: in the state.
	keeper *values.Keeper
	shelf  *outsideStore
}

func newNode(w *world, i int) *node {
	n := &node{w: w, index: i, id: core.NodeID(i + 1), rng: stream(w.options.Seed, "node", i)}
	n.disk = store.NewMemory(store.MemoryOptions{SegmentBytes: w.options.Faults.SegmentBytes, MemTableBytes: w.options.Faults.MemTableBytes,
		OneReleases: w.options.oneReleases})
	n.known, n.maps = make([]int, w.options.Nodes), map[core.GroupID]int{}
	n.heard, n.forgets = map[core.GroupID]*keyspace.Descriptor{}, map[core.GroupID]*keyspace.Descriptor{}
	n.clock = clock{mono: core.Time(n.rng.Int64N(int64(1000 * Second))), rate: w.options.Faults.drawRate(n.rng),
		wall: n.rng.Int64N(20) - 10}
	return n
}

func (n *node) now() host.Now { return n.clock.at(n.w.now) }

// start starts the process unless it runs, or has nothing to run on.
func (n *node) start() {
	if !n.up && !n.gone {
		n.boot()
	}
}

// boot starts the process on what its disk holds.
func (n *node) boot() {
	w := n.w
	n.life++
	n.up, n.paused, n.passing, n.writing, n.wakeAt = true, false, false, false, 0
	n.inbox, n.tokens, n.placed, n.tear = nil, map[uint64]func(kv.Result){}, map[uint64]placed{}, nil
	clear(n.known)
	n.carries = map[*merging]bool{}
	now := n.now()
	r := n.openDisk()
	n.bootValues()
	n.host = host.New((*port)(n), stream(w.options.Seed, "host", n.index<<20+n.life), r.HLCUpper, now, host.Options{})
	w.trace.line("n%d starts, life %d, %q", n.id, n.life, r.Reports)
	if n.life > 1 {
		w.event("start", "", n)
	}
	n.recovered = r
	for _, g := range w.groups {
		if g.roster != nil {
			n.reopen(g, &r)
		}
		if self, _, _ := g.seat(n); self != 0 && g.split == nil {
			n.run(now, g, &r)
			delete(n.recovered.Groups, g.id)
		}
		if g.truth != nil {
			n.hearLater(g)
		}
	}
	n.tendChildren(n.life)
	w.catalog.boot(n)
	n.host.SetUnfit(n.unfit)
	n.arrive(func(host.Now) {})
	for _, peer := range w.nodes {
		if peer != n {
			w.network.dial(n, peer)
		}
	}
}

// run lets the host run the replica of a group on what the disk holds of it.
func (n *node) run(now host.Now, g *group, r *store.Recovered) {
	w := n.w
	self, nodes, _ := g.seat(n)
	n.endLeftover(g, r)
	w.checks.opened(n, g, r.Groups[g.id], n.suspect(g.id, r))
	replica := g.protocol.New(self)
	if w.options.Mutate != nil {
		replica = w.options.Mutate(replica)
	}
	n.host.Add(now, host.Replica{Group: g.id, Self: self, Nodes: nodes, Core: replica, State: n.newState(g), First: n.first(g, r)})
	if c := g.companion; c != nil {
		n.host.SetCompanion(g.id, host.Companion{Group: c.id, Nodes: c.homes})
	}
	if g.roster != nil {
		n.configure(now, g)
	}
	w.checks.recovered(n, g)
	n.tell(now, g)
	if root := w.root(g); len(root.maps) > 1 || len(root.maps[0]) > 1 {
		n.tellOwned(now, root)
	}
}

// crash ends the process. What was being written is on disk, or is not, or in part; the state falls back.
func (n *node) crash(tail Tail, why string) {
	if !n.up {
		return
	}
	w := n.w
	w.stats.Crashes++
	if !n.writing {
		tail = TailLost // of nothing
	}
	w.trace.line("n%d crashes: %s; unsynced kept %v", n.id, why, tail == TailKept)
	w.event("crash", why, n)
	if tail == TailKept {
		n.disk.Complete()
		w.checks.synced(n)
	}
	var partly bool
	if n.disk, partly = n.disk.Crash(n.rng, tail.onDisk()); partly {
		w.trace.line("n%d's last write is torn", n.id)
		w.hit("torn-write")
	}
	n.forget()
	n.up, n.host, n.inbox = false, nil, nil
	w.network.nodeDown(n)
	if w.crashed != nil {
		w.crashed(n)
	}
}

// arrive puts something into the inbox.
func (n *node) arrive(do func(now host.Now)) {
	n.inbox = append(n.inbox, do)
	n.schedulePass()
}

func (n *node) schedulePass() {
	if n.passing || n.paused || !n.up {
		return
	}
	n.passing = true
	life := n.life
	n.w.after(5*Microsecond+core.Time(n.rng.Int64N(int64(40*Microsecond))), func() {
		if n.life == life && n.up {
			n.passing = false
			n.pass()
		}
	})
}

// pass is one turn of the process: hand over what has arrived, tick, settle, write.
func (n *node) pass() {
	if n.paused {
		return
	}
	now := n.now()
	inbox := n.inbox
	n.inbox = n.spare[:0]
	for i, do := range inbox {
		do(now)
		inbox[i] = nil
	}
	n.spare = inbox
	if n.host.Deadline() <= now.Mono {
		n.host.Tick(now)
	}
	n.host.Settle(now)
	n.write(now)
	n.w.checks.passed(n)
	n.wakeLater()
}

func (n *node) wakeLater() {
	if n.host.Deadline() == math.MaxInt64 {
		return // nothing runs here
	}
	at := n.w.now + n.clock.until(n.w.now, n.host.Deadline()) + Microsecond
	if n.wakeAt > n.w.now && n.wakeAt <= at {
		return
	}
	n.wakeAt = at
	life := n.life
	n.w.after(at-n.w.now, func() {
		if n.life == life && n.up && n.wakeAt == at {
			n.schedulePass()
		}
	})
}

// write gives the open batch to the disk.
func (n *node) write(now host.Now) {
	if n.writing {
		return
	}
	if n.disk.NeedsRoll() {
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
	n.writing, n.batch = true, b
	n.disk.Begin(logBatch(b))
	n.w.checks.taken(n)
	if tear := n.tear; tear != nil {
		n.tear = nil
		life, seq := n.life, b.Seq
		n.w.after(n.w.options.Faults.SyncMin/2, func() {
			if n.life == life && n.up && n.writing && n.batch.Seq == seq {
				tear()
			}
		})
	}
	if n.hung {
		return
	}
	n.startSync()
}

func (n *node) startSync() {
	life, seq := n.life, n.batch.Seq
	n.w.after(n.w.options.Faults.drawSync(n.rng)+n.syncExtra, func() {
		if n.life == life && n.up && n.writing && n.batch.Seq == seq {
			n.syncDone()
		}
	})
}

func (n *node) syncDone() {
	w := n.w
	switch {
	case n.failSync:
		n.failSync = false
		w.hit("sync-error")
		n.crash(keptIf(n.rng.IntN(2) == 0), "sync failed")
		if w.crashed == nil {
			w.faults.restartLater(n)
		}
	case n.hung:
		// The disk answers when it is healed.
	default:
		b := n.batch
		n.writing = false
		w.stats.Syncs++
		w.trace.mix('S', uint64(n.id), b.Seq, nil)
		w.trace.tellf("n%d synced batch %d: %d records, %d bytes", n.id, b.Seq, len(b.Items), b.Bytes)
		n.disk.Complete()
		w.checks.synced(n)
		n.arrive(func(now host.Now) { n.host.Synced(now, b) })
	}
}

// unhang lets the disk take the batch that it would not.
func (n *node) unhang() {
	n.hung = false
	if n.up && n.writing {
		n.startSync()
	}
}

func (n *node) unpause() {
	n.paused = false
	n.pauses++
	if n.up {
		n.schedulePass()
	}
}

// port is where the host's outputs go: host.Port.
type port node

func (p *port) Message(to core.NodeID, m host.Envelope) {
	n := (*node)(p)
	n.w.network.message(n, n.w.nodes[to-1], m)
}

func (p *port) Forward(to core.NodeID, f host.Forward) {
	n := (*node)(p)
	peer := n.w.nodes[to-1]
	n.w.trace.tellf("n%d forwards %d to n%d", n.id, f.ID, to)
	f.Encoded = append([]byte{}, f.Encoded...)
	n.w.network.connected(n, peer, func(now host.Now) { peer.host.Forwarded(now, n.id, f) })
}

func (p *port) Return(to core.NodeID, id core.RequestID, r kv.Result, _ bool) {
	n := (*node)(p)
	peer := n.w.nodes[to-1]
	encoded := kv.AppendResult(nil, &r)
	n.w.network.connected(n, peer, func(now host.Now) {
		var got kv.Result
		if rest, err := kv.DecodeResult(encoded, &got); err != nil || len(rest) > 0 {
			n.w.fail(Invariant, "result does not decode: %v, %d bytes left of %x", err, len(rest), encoded)
			return
		}
		peer.host.Returned(now, n.id, id, got)
	})
}

func (p *port) Reply(token uint64, r kv.Result) {
	n := (*node)(p)
	answer := n.tokens[token]
	if answer == nil {
		n.w.fail(Invariant, "node %d answers a request twice: %d", n.id, token)
		return
	}
	if at, ok := n.placed[token]; ok {
		n.w.checks.told(at.root, &r)
	}
	delete(n.tokens, token)
	delete(n.placed, token)
	answer(r)
}

func (p *port) Configure(g core.GroupID, wish host.Wish) {
	n := (*node)(p)
	n.w.catalog.wish(n, g, wish)
}

func (p *port) Note(g core.GroupID, note core.Note) {
	n := (*node)(p)
	n.w.checks.noted(n, g, note)
	if s, ok := note.(core.SplitNote); ok {
		n.w.divided(n, n.w.byID[s.Child])
	}
	if n.w.trace.on {
		n.w.trace.tellf("n%d g%d %s", n.id, g, note)
	}
}

// submit hands a client's command to the host; answer is called once, unless the process ends before.
func (n *node) submit(g *group, encoded []byte, read, again bool, timeout core.Time, answer func(kv.Result)) {
	answer = n.withValues(g, encoded, answer)
	n.arrive(func(now host.Now) {
		n.token++
		n.tokens[n.token] = answer
		n.placed[n.token] = placed{g, encoded}
		fixed, g := kv.HasTx(encoded) || kv.Absorbs(encoded), g
		if !fixed {
			g = n.route(g, encoded)
		}
		_, _, homes := g.seat(n)
		n.host.Submit(now, host.Command{Token: n.token, Group: g.id, Encoded: encoded, Read: read, Again: again, Fixed: fixed,
			Once: g.protocol.Sessionless || g.roster != nil, Tracked: !read && !fixed && !g.protocol.Sessionless, Nodes: homes, Deadline: now.Mono + timeout})
	})
}
