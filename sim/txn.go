package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/txn"
)

// TxnOptions say what to run with transactions over groups: the real coordinators and sweeps, driven as package node does.
type TxnOptions struct {
	Options
	// Coordinator plants a bug in coordinators; one in the groups comes with the protocol.
	Coordinator txn.Mutation
	// SameIDs plants trap T2.12: ids that depend on chance alone, and on too little of it.
	SameIDs bool
	// Workload is bank, lists, skew, scans, mortal, pipelines or drops; empty: drawn.
	Workload string
	// DropUnsealed plants a bug: a keyspace is dropped while transactions in it are open.
	DropUnsealed bool
	// ScansEnd says that every scan must be answered, for there are no faults that could keep it waiting.
	ScansEnd bool
	// step is called before each command that a coordinator sends, and after each answer that it takes.
	step func(r *txnRun)
}

// DrawTransactions draws the settings of linearizable groups that transactions go over.
func DrawTransactions(seed uint64, mutation machine.Mutation) Protocol {
	options, lease := drawPaxos(seed, paxos.NoMutation)
	options.Transactions = mutation
	p := Transactions(options, lease)
	p.Name = namePaxos("transactions", options, lease)
	return p
}

// Transactions runs linearizable groups whose reads beside the steps look at locks.
func Transactions(options paxos.Options, lease core.Time) Protocol {
	p := Paxos(options, lease)
	p.Here = func(r core.Replica, view core.View, c *kv.Command, now host.Now) (kv.Result, bool) {
		known := permitOf(r, now)
		unlocked := known.Unlocked || options.Transactions == machine.ReadersIgnoreLocks
		result, how := paxos.Serve(view, c, paxos.Permit{Lease: known.Lease, Safe: known.Safe, Now: known.Now, Unlocked: unlocked})
		return result, how == paxos.Answered
	}
	return p
}

// txnWorld is a world whose clients run transactions.
type txnWorld struct {
	*world
	options  TxnOptions
	keyspace *kv.Keyspace
	clients  []*txnClient
	// workload draws the next transaction or operation of a client.
	workload txnWorkload
	draining bool
	dropping
	// forgets are the commands to forget that each node has collected in its present life.
	forgets map[*node]*collected
}

// collected are commands to forget, which a node sends together, as package node does.
type collected struct {
	life  int
	sends []txn.Send
	// last is who has collected the last of them.
	last *txnRun
}

// RunTxn runs one seed of transactions over three groups or more.
func RunTxn(o TxnOptions) Result { return runTxnOf(o, nil) }

// runTxnOf runs a workload; nil: one that is drawn.
func runTxnOf(o TxnOptions, workload txnWorkload) Result {
	if o.Groups == 0 {
		o.Groups = 3 + int(o.Seed%2)
	}
	if o.TraceLines == 0 {
		o.TraceLines = 2000
	}
	clients := o.Clients
	o.Options = o.withDefaults(stream(o.Seed, "options", 0))
	if clients == 0 {
		o.Clients = 4 + int(o.Seed%4)
	}
	w := &txnWorld{world: bareWorld(o.Options), options: o, forgets: map[*node]*collected{}}
	w.keyspace = &kv.Keyspace{Name: "t", ID: 1, Consistency: kv.Linearizable, Shards: o.Groups}
	w.spare = &kv.Keyspace{Name: "spare", ID: 2, Consistency: kv.Linearizable, Shards: 1}
	for g := range o.Groups {
		w.addGroup(w.newGroup(g))
	}
	w.addWings()
	if w.workload = workload; workload == nil {
		w.workload = drawTxnWorkload(o.Workload, w.rng)
	}
	_, w.network.streams = w.workload.(txnPipelines)
	for i := range o.Clients {
		w.clients = append(w.clients, newTxnClient(w, i))
	}
	w.eventsMax = 2 * eventsMax
	w.run()
	r := w.result()
	r.Parameters += ", " + w.workload.name()
	r.History, r.Final = w.history()
	return r
}

// rootOf is the group that a key began in: a letter, then the group.
func (w *txnWorld) rootOf(key []byte) *group { return w.byID[core.GroupID(key[1]-'0')] }

// groupsOf are the groups of keys as far as a node knows.
func (w *txnWorld) groupsOf(n *node) func(ks *kv.Keyspace, key []byte) uint64 {
	return func(ks *kv.Keyspace, key []byte) uint64 {
		if ks == w.spare && w.knowsDrop(n) {
			return 0
		}
		root := w.rootOf(key)
		return uint64(root.owner(key, n.maps[root.id]).id)
	}
}

func (w *txnWorld) run() {
	defer w.recover()
	for _, n := range w.nodes {
		n.boot()
		w.sweeps(n)
	}
	for _, c := range w.clients {
		w.after(core.Time(c.rng.Int64N(int64(100*Millisecond))), c.next)
	}
	w.faults.start()
	w.dropLater()
	w.splitLater()
	w.mergeLater()
	w.runUntil(w.options.Faulty, nil)
	w.settle()
	w.stats.End = w.now
	if w.failure == "" {
		w.judge()
	}
}

// settle ends all faults. Then every client ends, every lock goes, and all replicas become equal.
func (w *txnWorld) settle() {
	if w.failure != "" {
		return
	}
	w.trace.line("heal")
	w.event("heal", "")
	w.faults.heal()
	w.draining = true
	from := w.now
	w.runUntil(from+2*w.options.HealMax, w.settled)
	w.agreed() // first: groups that do not agree may never settle, and that is not what is wrong
	if w.failure == "" && !w.settled() {
		w.fail(Liveness, "not live: %s after the heal clients wait, locks are held or replicas differ: %s%s", clockText(w.now-from), w.describeTxns(), w.describe())
	}
	w.stats.Converged = w.now - from
}

func (w *txnWorld) settled() bool {
	for _, c := range w.clients {
		if !c.done {
			return false
		}
	}
	for _, n := range w.living() {
		for _, g := range w.groups {
			view := n.disk.Group(g.id)
			if w.gone(g.id) {
				continue
			}
			if machine.Locks(view) > 0 || len(machine.OpenTxs(view, kv.TxID{}, 1)) > 0 {
				return false
			}
		}
	}
	return w.converged()
}

func (w *txnWorld) describeTxns() (text string) {
	for _, c := range w.clients {
		if !c.done {
			text += fmt.Sprintf("\n  client %d waits for %s", c.id, c.op.String())
		}
	}
	for _, g := range w.groups {
		for _, o := range machine.OpenTxs(w.living()[0].disk.Group(g.id), kv.TxID{}, 5) {
			text += fmt.Sprintf("\n  group %d: transaction %s, committed %t, among %d", g.id, o.ID, o.Committed, o.Participants)
		}
	}
	return text
}

// agreed is the invariant over all groups: none holds as committed what another one refused or took back.
func (w *txnWorld) agreed() {
	committed := map[kv.TxID]core.GroupID{}
	var against []kv.TxID
	for _, g := range w.groups {
		for _, n := range w.living() {
			machine.Transactions(n.disk.Group(g.id), func(id kv.TxID, state kv.TxState) {
				switch state {
				case kv.TxCommitted:
					committed[id] = g.id
				case kv.TxRefused, kv.TxAborted:
					against = append(against, id)
				}
			})
		}
	}
	for _, id := range against {
		if g, ok := committed[id]; ok {
			w.fail(Invariant, "transaction %s is committed in group %d, and another group refused it", id, g)
		}
	}
}

func (w *txnWorld) judge() {
	h, final := w.history()
	run := &referee.Run{Consistency: string(kv.Linearizable), History: h, Final: final, Bank: w.workload.bank(w)}
	verdicts := referee.CheckAll(run)
	serializable, _ := referee.CheckerNamed("serializable")
	for _, v := range append(verdicts, serializable.Check(run)) {
		if !v.OK() && v.Decision != referee.Undecided {
			w.fail(kindOf(v), "the referee rejects the history: %s", v)
			return
		}
	}
}

func (w *txnWorld) history() (referee.History, referee.Final) {
	var h referee.History
	for _, c := range w.clients {
		h = append(h, c.history...)
	}
	h.Sort()
	final := referee.Final{}
	for _, key := range w.workload.keys(w) {
		c := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte(key)}}}
		root := w.rootOf([]byte(key))
		at := root.owner([]byte(key), root.latest())
		view := w.living()[0].disk.Group(at.id)
		if r, _ := machine.Read(view, &c, 0); r.Code == kv.OK {
			final[key] = string(r.Value)
		}
	}
	return h, final
}

// sweeps lets a node look after open transactions of the groups that it leads, as package node does.
func (w *txnWorld) sweeps(n *node) {
	sweep, life := &txn.Sweep{}, n.life
	var round func()
	round = func() {
		w.after(250*Millisecond, round)
		if !n.up || n.paused {
			return
		}
		if n.life != life {
			sweep, life = &txn.Sweep{}, n.life
		}
		n.arrive(func(now host.Now) {
			sweep.Begin()
			for _, g := range w.groups {
				w.sweepGroup(n, g, sweep, now)
			}
		})
	}
	w.after(core.Time(n.rng.Int64N(int64(250*Millisecond))), round)
}

func (w *txnWorld) sweepGroup(n *node, g *group, sweep *txn.Sweep, now host.Now) {
	if w.gone(g.id) && w.knowsDrop(n) {
		return
	}
	if g.members[n.index] == 0 || !n.host.Has(g.id) || n.host.Replica(g.id).(core.Led).Leader() != g.members[n.index] {
		return
	}
	for _, o := range machine.OpenTxs(n.disk.Group(g.id), kv.TxID{}, 1024) {
		u := &txn.Unfinished{Group: uint64(g.id), ID: o.ID, Committed: o.Committed, Participants: o.Participants}
		if !sweep.Due(int64(now.Mono), u) {
			continue
		}
		w.trace.tellf("n%d recovers %s of g%d", n.id, o.ID, g.id)
		r := &txnRun{w: w, node: n, life: n.life, timeout: requestTimeout}
		var sends []txn.Send
		r.c, sends = txn.Recover(o.ID, o.Participants, w.options.Coordinator)
		r.send(sends)
	}
}

// txnRun is a coordinator at work on a node; it dies with the node.
type txnRun struct {
	w       *txnWorld
	node    *node
	life    int
	c       *txn.Coordinator
	timeout core.Time
	// decided is called once, when the outcome is known or there is nothing left to wait for; nil for a sweep's.
	decided func()
}

func (r *txnRun) send(sends []txn.Send) {
	for i := range sends {
		s := &sends[i]
		if s.Command.Tx.Step == kv.TxForget {
			r.forgetLater(*s)
			continue
		}
		if !r.steps() {
			return
		}
		c, step := r.c, s.Command.Tx.Step
		r.w.trace.tellf("n%d txn %s: step %d to g%d, commit %t", r.node.id, r.c.ID(), step, s.Group, s.Command.Tx.Commit)
		answer := func(res kv.Result) { r.answer(c, s, res) }
		if res, gone := r.w.absent(r.node, core.GroupID(s.Group), s.Command.Tx); gone {
			r.w.after(0, func() { answer(res) })
			continue
		}
		r.node.submit(r.w.byID[core.GroupID(s.Group)], kv.AppendCommand(nil, &s.Command), false, true, r.timeout, answer)
	}
}

// forgetAfter is how long a node collects commands to forget.
const forgetAfter = 200 * Millisecond

// steps tells who watches that a coordinator is about to do something, and whether it still lives then.
func (r *txnRun) steps() bool {
	if r.w.options.step != nil {
		r.w.options.step(r)
	}
	return r.node.life == r.life && r.node.up
}

// forgetLater collects a command to forget. What a node has collected when it dies is for the sweeps to find.
func (r *txnRun) forgetLater(s txn.Send) {
	n := r.node
	f := r.w.forgets[n]
	if f == nil || f.life != n.life {
		f = &collected{life: n.life}
		r.w.forgets[n] = f
	}
	f.sends, f.last = append(f.sends, s), r
	if len(f.sends) == 1 {
		r.w.after(forgetAfter, func() {
			list := txn.Together(f.sends)
			f.sends = nil
			f.last.forget(list)
		})
	}
}

func (r *txnRun) forget(list []txn.Send) {
	for i := range list {
		if !r.steps() {
			return
		}
		tx := list[i].Command.Tx
		r.w.trace.tellf("n%d txn %s and %d more: step %d to g%d", r.node.id, tx.ID, len(tx.Others), tx.Step, list[i].Group)
		r.node.submit(r.w.byID[core.GroupID(list[i].Group)], kv.AppendCommand(nil, &list[i].Command), false, true, r.timeout, func(kv.Result) {
			r.steps()
		})
	}
}

func (r *txnRun) answer(c *txn.Coordinator, s *txn.Send, res kv.Result) {
	if r.node.life != r.life || !r.node.up {
		return
	}
	r.w.trace.mix('T', s.Group, uint64(s.Command.Tx.Step)<<8|uint64(res.Code), nil)
	next := c.Answer(s, &res)
	if !r.steps() {
		return
	}
	if decided := r.decided; c == r.c && decided != nil && (c.Outcome() != txn.Open || c.Done() && len(next) == 0) {
		r.decided = nil
		decided()
	}
	r.sendOf(c, next)
}

// sendOf sends what an earlier attempt still has to say.
func (r *txnRun) sendOf(c *txn.Coordinator, sends []txn.Send) {
	if c == r.c {
		r.send(sends)
		return
	}
	old := &txnRun{w: r.w, node: r.node, life: r.life, c: c, timeout: r.timeout}
	old.send(sends)
}

// newID names a transaction that begins on a node now.
func (w *txnWorld) newID(n *node, rng *rand.Rand) kv.TxID {
	if w.options.SameIDs {
		return kv.TxID{Age: kv.HLCOf(epoch), Nonce: rng.Uint64N(50)}
	}
	return kv.TxID{Age: kv.HLCOf(n.now().Wall), Nonce: rng.Uint64()}
}
