package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/referee/workload"
	"github.com/gamutdb/gamut/store"
)

// Result tells how a run went.
type Result struct {
	Seed uint64
	// Failure is the first thing that went wrong; empty if nothing did. Kind says of what kind it is.
	Failure string
	Kind    Kind
	// Parameters are what was drawn for the run.
	Parameters string
	// TraceHash sums up all that happened.
	TraceHash uint64
	// Trace is the end of the trace, if asked for.
	Trace []string

	History referee.History
	Final   referee.Final
	// Events are the faults and the leaders, for people.
	Events []referee.Event
	// Hits count how often each fault struck, by the names of Classes.
	Hits map[string]int
	// Verdicts are what the referee said of a run of workloads that came to its end.
	Verdicts []referee.Verdict
	Stats    Stats
}

// Stats count what a run did, to show that it did anything.
type Stats struct {
	Events, Messages, Syncs, Crashes, Acked, Unknown, Refused, LeaseReads int
	// ToldDone and ToldNotDone count writes of unknown outcome whose clients asked, by what they were told.
	ToldDone, ToldNotDone int
	// Strikes are the timed faults that began, crashes among them.
	Strikes int
	// Changes are how often the members of a group changed.
	Changes int
	// Undecided are promises that the referee could not judge by what the clients saw.
	Undecided int
	// Healed and Converged are how long after the heal all nodes took writes, and all replicas were equal.
	Healed, Converged core.Time
	End               core.Time
}

// world is everything there is in a run.
type world struct {
	options Options
	now     core.Time
	heap    eventHeap
	seq     uint64

	nodes  []*node
	groups []*group
	// served are those that clients speak to: all but companions.
	served []*group
	// undivided is a group that is not split; nil: there is none.
	undivided *group
	byID      map[core.GroupID]*group
	network   *network
	clients   []*client
	// mix is what the clients do, if they have work.
	mix      *workload.Mix
	verdicts []referee.Verdict
	// hits count what went wrong, by the names of the classes of faults.
	hits    map[string]int
	faults  *strikes
	checks  *checks
	catalog *catalog
	// lease is how long the leases of nodes are.
	lease core.Time
	// crashed is told of each node that dies. Who has set it starts the node again.
	crashed func(*node)
	// eventsMax ends a run that does not come to rest; 0: it may go on.
	eventsMax int

	kind    Kind
	failure string
	trace   trace
	stats   Stats
	events  []referee.Event
	rng     *rand.Rand
}

// group is one replica group.
type group struct {
	id       core.GroupID
	protocol *Protocol
	// members are by the index of their node; 0: that node has no replica. nodes are where they live, homes those nodes in
	// the order in which a node without a replica asks them.
	members []core.ReplicaID
	nodes   map[core.ReplicaID]core.NodeID
	homes   []core.NodeID
	config  []byte
	// truth is the catalog's word, if it says who the members are, and they change.
	truth *keyspace.Descriptor
	// voters are those that a leader went by last.
	voters []core.ReplicaID
	// roster is what a catalog says of the members, for protocols that go by that; nil: they are these.
	roster *roster
	// split is what it came to be by; nil: the world began with it.
	split *splitting
	// root is the group in whose keys this one's lie; nil: it is a root. maps are what the catalog has said of a root's keys.
	root *group
	maps []shardMap
	// merge is the merge by which the group retires; nil: there is none. merges counts those by which it absorbs others.
	merge  *merging
	merges uint64
	// absorbed are the groups that this one has absorbed.
	absorbed []absorbed
	// companion is the group that the replicas consult; nil: none. serves is the group whose companion this one is.
	companion, serves *group
}

// Run runs one seed.
func Run(o Options) Result {
	w := newWorld(o)
	w.run()
	return w.result()
}

// RunTold is Run; a failing run is run again to tell how it came to it.
func RunTold(o Options) Result {
	r := Run(o)
	if r.Failure == "" || o.Trace {
		return r
	}
	o.Trace = true
	again := Run(o)
	if again.TraceHash != r.TraceHash {
		again.Failure += "; and the run is not a function of its seed: its second trace differs"
	}
	return again
}

func newWorld(o Options) *world {
	o = o.withDefaults(stream(o.Seed, "options", 0))
	w := bareWorld(o)
	// Short leases let views change often.
	w.lease = []core.Time{300 * Millisecond, Second, leaseLength}[stream(o.Seed, "catalog", 0).IntN(3)]
	for g := range o.Groups {
		gr := w.newGroup(g)
		w.addGroup(gr)
		if p := gr.protocol.Companion; p != nil {
			w.addGroup(w.newCompanion(gr, p))
		}
	}
	w.addWings()
	if o.Work != nil {
		w.mix = w.newMix()
	}
	for i := range o.Clients {
		w.clients = append(w.clients, newClient(w, i))
	}
	w.eventsMax = eventsMax * int(max(1, o.Faulty/faultyDefault))
	return w
}

// bareWorld has nodes that have not been started, and neither groups nor clients.
func bareWorld(o Options) *world {
	w := &world{options: o, rng: stream(o.Seed, "world", 0), lease: leaseLength, byID: map[core.GroupID]*group{}, hits: map[string]int{}}
	w.trace.start(w, o.Trace, o.TraceLines)
	w.checks = newChecks(w)
	w.network, w.catalog = newNetwork(w), newCatalog(w)
	for i := range o.Nodes {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	w.faults = newStrikes(w)
	return w
}

// newGroup gives replicas ids that are not their nodes', so that who confuses the two is found out.
func (w *world) newGroup(g int) *group {
	gr := &group{id: core.GroupID(g + 1), protocol: &w.options.Protocol, nodes: map[core.ReplicaID]core.NodeID{}}
	for i := range w.options.Nodes {
		id := core.ReplicaID(10*(g+1) + (i+g)%w.options.Nodes + 1)
		gr.members = append(gr.members, id)
		gr.nodes[id] = core.NodeID(i + 1)
	}
	if w.options.Protocol.Rosters {
		w.found(gr)
		return gr
	}
	voters := gr.members
	if w.options.Faults.Change > 0 && gr.protocol.Describe != nil {
		gr.truth = w.described(gr)
		voters = gr.truth.Shards[0].Voters()
		for _, n := range w.nodes {
			n.heard[gr.id], n.forgets[gr.id] = gr.truth, gr.truth
		}
	} else if w.options.Faults.Change > 0 {
		voters = votersOf(gr, w.rng.Perm(w.options.Nodes)[:3])
	}
	gr.config = gr.protocol.Config(voters)
	return gr
}

// companionID is how much higher the id of a companion is than that of its group.
const companionID = 100

// newCompanion has a member on every node.
func (w *world) newCompanion(of *group, p *Protocol) *group {
	gr := &group{id: of.id + companionID, protocol: p, nodes: map[core.ReplicaID]core.NodeID{}, serves: of}
	of.companion = gr
	for i := range w.options.Nodes {
		id := core.ReplicaID(i + 1)
		gr.members = append(gr.members, id)
		gr.nodes[id] = core.NodeID(i + 1)
	}
	gr.config = p.Config(gr.members)
	return gr
}

func (w *world) addGroup(g *group) {
	w.groups = append(w.groups, g)
	if g.root == nil {
		g.maps = []shardMap{{{group: g}}}
	}
	if g.serves == nil {
		w.served = append(w.served, g)
	}
	w.byID[g.id] = g
	w.catalog.add(g)
}

// votersOf are the replicas of a group on some nodes, in order.
func votersOf(g *group, nodes []int) (voters []core.ReplicaID) {
	for _, i := range nodes {
		voters = append(voters, g.members[i])
	}
	slices.Sort(voters)
	return voters
}

func (w *world) run() {
	defer w.recover()
	for _, n := range w.nodes {
		n.boot()
	}
	for _, c := range w.clients {
		c.start()
	}
	w.faults.start()
	w.splitLater()
	w.mergeLater()
	if w.options.Protocol.Values != nil {
		w.strikeShelf()
	}
	if w.options.Faults.Change > 0 && w.options.Protocol.Describe != nil {
		w.pollMoves()
	}
	w.runUntil(w.options.Faulty, w.changed())
	w.heal()
	w.stats.End = w.now
	if w.failure == "" {
		w.judge()
	}
}

// changed says that the members of groups have changed as often as was asked for; nil: nobody asked.
func (w *world) changed() func() bool {
	if w.options.Changes == 0 {
		return nil
	}
	return func() bool { return w.stats.Changes >= w.options.Changes }
}

// recover makes a panic of the host or a protocol the failure of the run: there, a broken invariant panics.
func (w *world) recover() {
	if p := recover(); p != nil {
		stack := strings.Split(string(debug.Stack()), "\n")
		w.fail(Invariant, "panic: %v\n%s", p, strings.Join(stack[min(9, len(stack)):min(21, len(stack))], "\n"))
	}
}

// eventsMax is some ten times what a busy run of the default length takes.
const eventsMax = 500_000

// runUntil takes events until the time, or until done says so.
func (w *world) runUntil(end core.Time, done func() bool) {
	for w.failure == "" && len(w.heap) > 0 && w.heap[0].at <= end {
		e := w.heap.pop()
		w.now = e.at
		if w.stats.Events++; w.eventsMax > 0 && w.stats.Events > w.eventsMax {
			w.fail(Storm, "%d events: someone talks without end", w.stats.Events)
		}
		e.do()
		if done != nil && done() {
			return
		}
	}
	if w.failure == "" && done == nil {
		w.now = end
	}
}

// at runs do after a while.
func (w *world) after(d core.Time, do func()) {
	w.seq++
	w.heap.push(event{w.now + max(d, 0), w.seq, do})
}

// event notes what happens to some nodes for people, and returns its place, to say later when it ended.
func (w *world) event(what, detail string, nodes ...*node) int {
	e := referee.Event{What: what, At: int64(w.now), Detail: detail}
	for _, n := range nodes {
		e.Nodes = append(e.Nodes, uint32(n.id))
	}
	w.events = append(w.events, e)
	return len(w.events) - 1
}

// hit counts a fault that struck.
func (w *world) hit(class string) { w.hits[class]++ }

func (w *world) eventEnds(place int) { w.events[place].End = int64(w.now) }

// fail ends the run; the first failure counts.
func (w *world) fail(kind Kind, format string, args ...any) {
	if w.failure == "" {
		w.kind, w.failure = kind, fmt.Sprintf("%s at %s: ", kind, clockText(w.now))+fmt.Sprintf(format, args...)
		w.trace.line("FAILURE %s", w.failure)
	}
}

// heal ends all faults and checks that the cluster comes back: everyone writes, every request is answered, all are equal.
func (w *world) heal() {
	if w.failure != "" {
		return
	}
	w.trace.line("heal")
	w.event("heal", "")
	w.faults.heal()
	from := w.now
	for _, c := range w.clients {
		c.prove()
	}
	w.runUntil(from+w.options.HealMax, w.allProven)
	if w.failure == "" && !w.allProven() {
		w.fail(Liveness, "not live: %s after the heal not every client has had a write acknowledged: %s", clockText(w.now-from), w.describe())
	}
	w.stats.Healed = w.now - from
	for _, c := range w.clients {
		c.finish()
	}
	from = w.now
	w.runUntil(from+w.options.HealMax, w.converged)
	if w.failure == "" && !w.converged() {
		w.fail(Liveness, "not live: %s after the last client ended the replicas are not equal or requests are open: %s", clockText(w.now-from), w.describe())
	}
	w.stats.Converged = w.now - from
}

func (w *world) allProven() bool {
	for _, c := range w.clients {
		if !c.proven {
			return false
		}
	}
	return true
}

// converged reports whether every client is done, nothing is under way, and all living replicas of each group hold the same state.
func (w *world) converged() bool {
	for _, c := range w.clients {
		if !c.done {
			return false
		}
	}
	living := w.living()
	for _, n := range living {
		if !n.up || n.host.Pending() > 0 {
			return false
		}
	}
	for _, g := range w.groups {
		if !w.rests(living, g) || !w.rested(g) {
			return false
		}
		seated := w.seatedNodes(g)
		for _, n := range seated[1:] {
			if !w.equal(n.disk, seated[0].disk, g.id) {
				return false
			}
		}
	}
	return true
}

// rests reports whether no replica of a group has anything left to do.
func (w *world) rests(living []*node, g *group) bool {
	if g.split != nil && !w.begun(living, g) || g.merge.halfway(living, g) {
		return false
	}
	if g.protocol.Rests == nil {
		return true
	}
	return !slices.ContainsFunc(living, func(n *node) bool { return n.host.Has(g.id) && !g.protocol.Rests(w.checks.unwrap(n, g)) })
}

// equal reports whether two replicas of a group hold the same.
func (w *world) equal(a, b *store.Memory, g core.GroupID) bool {
	if digest := w.byID[g].protocol.Digest; digest != nil {
		return digest(a.Group(g)) == digest(b.Group(g))
	}
	return a.Group(g).Applied() == b.Group(g).Applied() && a.Digest(g) == b.Digest(g)
}

// living are the nodes that still have their disks.
func (w *world) living() (list []*node) {
	for _, n := range w.nodes {
		if !n.gone {
			list = append(list, n)
		}
	}
	return list
}

func (w *world) describe() string {
	text := ""
	for _, c := range w.clients {
		if !c.done && !c.proven {
			text += fmt.Sprintf("\n  client %d waits for %s", c.id, c.describe())
		}
	}
	for _, n := range w.nodes {
		text += fmt.Sprintf("\n  node %d up=%v gone=%v paused=%v", n.id, n.up, n.gone, n.paused)
		for _, g := range w.groups {
			if s := n.shard(g); s != nil {
				text += fmt.Sprintf(" epoch %d replica %d", s.Epoch, s.On(n.id))
				if n.up && n.host.Has(g.id) {
					text += fmt.Sprintf(" %+v", keyspace.Report(w.checks.unwrap(n, g), nil, 0))
				}
			}
			text += fmt.Sprintf(" group %d: applied=%d digest=%x", g.id, n.disk.Group(g.id).Applied(), n.disk.Digest(g.id))
			if n.up && g.looked(n) {
				text += fmt.Sprintf(" %+v", w.checks.look(n, g))
			}
			text += ";"
		}
		if n.up {
			text += fmt.Sprintf(" pending=%d stalled=%v", n.host.Pending(), n.host.Stalled())
		}
	}
	return text
}

// judge gives the clients' histories to the referee.
func (w *world) judge() {
	if w.mix != nil {
		w.judgeWork()
		return
	}
	h, final := w.history()
	judge := w.options.Protocol.Judge
	if judge == nil {
		judge = judgeLinearizable
	}
	for _, v := range judge(h, final) {
		if !v.OK() {
			w.fail(kindOf(v), "the referee rejects the history: %s", v)
			return
		}
	}
}

func judgeLinearizable(h referee.History, final referee.Final) []referee.Verdict {
	return referee.CheckAll(&referee.Run{Consistency: string(kv.Linearizable), History: h, Final: final})
}

func (w *world) history() (referee.History, referee.Final) {
	var h referee.History
	final := referee.Final{}
	for _, c := range w.clients {
		h = append(h, c.history...)
	}
	h.Sort()
	if w.mix != nil {
		return h, w.worked()
	}
	for _, g := range w.roots() {
		w.finalState(g, final)
	}
	return h, final
}

func (w *world) result() Result {
	h, final := w.history()
	return Result{Seed: w.options.Seed, Failure: w.failure, Kind: w.kind, Parameters: w.options.String(), TraceHash: w.trace.sum(),
		Trace: w.trace.lines(), History: h, Final: final, Events: w.events, Hits: w.hits, Verdicts: w.verdicts, Stats: w.stats}
}

// event is something that will happen. seq makes the order of simultaneous events that of their scheduling.
type event struct {
	at  core.Time
	seq uint64
	do  func()
}

func (e *event) before(f *event) bool { return e.at < f.at || (e.at == f.at && e.seq < f.seq) }

type eventHeap []event

func (h *eventHeap) push(e event) {
	*h = append(*h, e)
	list := *h
	i := len(list) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !list[i].before(&list[parent]) {
			break
		}
		list[i], list[parent] = list[parent], list[i]
		i = parent
	}
}

func (h *eventHeap) pop() event {
	list := *h
	top := list[0]
	last := len(list) - 1
	list[0] = list[last]
	list[last] = event{}
	list = list[:last]
	*h = list
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if child+1 < last && list[child+1].before(&list[child]) {
			child++
		}
		if !list[child].before(&list[i]) {
			return top
		}
		list[i], list[child] = list[child], list[i]
		i = child
	}
}

// trace sums up a run, and tells it if asked.
type trace struct {
	world *world
	hash  *xxhash.Digest
	on    bool
	ring  []string
	next  int
}

func (t *trace) start(w *world, on bool, lines int) {
	t.world, t.on, t.hash = w, on, xxhash.New()
	if on {
		t.ring = make([]string, lines)
	}
}

// mix takes an event into the hash of the trace; it costs no formatting.
func (t *trace) mix(kind byte, a, b uint64, data []byte) {
	var buf [25]byte
	buf[0] = kind
	putUint64(buf[1:], uint64(t.world.now))
	putUint64(buf[9:], a)
	putUint64(buf[17:], b)
	t.hash.Write(buf[:])
	t.hash.Write(data)
}

// line takes a rare event into the hash and the telling.
func (t *trace) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.mix('L', 0, 0, []byte(text))
	t.tell(text)
}

// tellf tells an event that mix has taken into the hash.
func (t *trace) tellf(format string, args ...any) {
	if t.on {
		t.tell(fmt.Sprintf(format, args...))
	}
}

func (t *trace) tell(text string) {
	if t.on {
		t.ring[t.next%len(t.ring)] = clockText(t.world.now) + " " + text
		t.next++
	}
}

func (t *trace) sum() uint64 { return t.hash.Sum64() }

func (t *trace) lines() []string {
	if t.next <= len(t.ring) {
		return t.ring[:t.next]
	}
	at := t.next % len(t.ring)
	return append(append([]string{}, t.ring[at:]...), t.ring[:at]...)
}

func clockText(t core.Time) string { return fmt.Sprintf("%.6fs", float64(t)/1e9) }

func putUint64(b []byte, v uint64) {
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
}
