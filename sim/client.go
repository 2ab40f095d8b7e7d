package sim

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// requestTimeout is the deadline that clients give a node; answerSlack is how much longer a node may take to say so.
const (
	requestTimeout = 1500 * Millisecond
	answerSlack    = 300 * Millisecond
)

// client is a closed loop: it does one operation after the other, on few hot keys, with values that are never used twice.
type client struct {
	w   *world
	id  int
	rng *rand.Rand
	// think is the mean pause between operations.
	think core.Time
	// roams says that it asks another node each time.
	roams   bool
	home    int
	session kv.Session
	// tokens are what each session of the client has seen of each group, where the protocol says so.
	tokens map[scope][]byte
	// reads are the tokens of its latest read of each group.
	reads map[core.GroupID][]byte
	// lives counts how often it had to begin anew, without a token.
	lives int

	count   int
	current *operation
	seen    map[string]string // the last value read, for cas
	history referee.History

	// open are the writes that the client can still ask for.
	open []openWrite

	wantsProof bool
	proofs     []proof
	proven     bool
	finishing  bool
	done       bool
}

// proof is a write that must succeed after the heal.
type proof struct {
	node  int
	group *group
}

// operation is what a client is doing now: one command, tried once or, with a session or while it was surely not executed, again.
type operation struct {
	op      referee.Op
	group   *group
	command kv.Command
	encoded []byte
	node    int
	// recorded is false for operations that the model of the referee does not know (a time to live).
	recorded bool
	// session is its name in the workload.
	session string
	tries   int
	// maybe says that an earlier try may have been executed.
	maybe  bool
	proof  bool
	answer bool // the current try has ended
	// hurry says that the client goes on at once.
	hurry bool
	// asks says that it is a question for the outcome of another operation.
	asks bool
}

// scope is what a token is about: a session, which has no name if it is the client's only one, and a group, or 0 for all groups.
type scope struct {
	session string
	group   core.GroupID
}

func newClient(w *world, i int) *client {
	c := &client{w: w, id: i, rng: stream(w.options.Seed, "client", i), seen: map[string]string{}, tokens: map[scope][]byte{}, reads: map[core.GroupID][]byte{}}
	c.think = Millisecond * core.Time(10+c.rng.Int64N(80))
	if w.options.Think > 0 {
		c.think = w.options.Think
	}
	c.roams, c.home = c.rng.IntN(2) == 0, c.rng.IntN(w.options.Nodes)
	if c.rng.IntN(2) == 0 && !w.options.Protocol.Sessionless {
		c.newSession()
	}
	at := 0
	for n := range w.options.Nodes {
		for _, g := range w.roots() {
			if at%w.options.Clients == i {
				c.proofs = append(c.proofs, proof{n, g})
			}
			at++
		}
	}
	c.proven = len(c.proofs) == 0
	return c
}

func (c *client) newSession() {
	c.session = kv.Session{Seq: 1}
	binary.BigEndian.PutUint64(c.session.Client[:], uint64(epoch+int64(c.w.now/Millisecond))<<16)
	binary.BigEndian.PutUint64(c.session.Client[8:], c.rng.Uint64())
}

func (c *client) start() { c.w.after(core.Time(c.rng.Int64N(int64(c.think))), c.next) }

// prove asks for a write through every node that can still take one.
func (c *client) prove() {
	c.wantsProof = true
	c.proofs = slices.DeleteFunc(c.proofs, func(p proof) bool { return c.w.nodes[p.node].gone })
	c.proven = len(c.proofs) == 0 && len(c.open) == 0
}

// finish ends the loop after the current operation.
func (c *client) finish() {
	c.finishing = true
	if c.current == nil {
		c.done = true
	}
}

func (c *client) describe() string {
	if c.current == nil {
		return fmt.Sprintf("nothing, proofs left %d", len(c.proofs))
	}
	return fmt.Sprintf("%s at node %d, %d tries, proofs left %d", c.current.op.String(), c.current.node+1, c.current.tries, len(c.proofs))
}

// next begins an operation.
func (c *client) next() {
	if c.finishing {
		c.done = true
		return
	}
	if c.asks() {
		c.ask()
		return
	}
	c.count++
	o := c.draw()
	c.current = o
	o.op.Client, o.op.Call = c.id, int64(c.w.now)
	if c.session.Seq > 0 && !o.command.ReadOnly() {
		o.command.Session = c.session
		o.command.Session.Acked = c.session.Seq - 1
	}
	if level := c.w.options.Protocol.Level; level != nil && !o.proof && !c.w.wantsMajorities(o) {
		o.command.Level = level(c.rng, o.command.ReadOnly())
	}
	if dress := c.w.options.Protocol.Dress; dress != nil && !o.proof {
		dress(c.rng, &o.command)
	}
	o.op.Level = levelText(o.command.Level)
	o.session = o.op.Session
	o.command.Token = c.tokens[c.scope(o)]
	if c.lives > 0 {
		o.op.Session = fmt.Sprintf("%s, life %d", cmp.Or(o.session, strconv.Itoa(c.id)), c.lives)
	}
	o.encoded = kv.AppendCommand(nil, &o.command)
	c.try(o)
}

// try sends the operation to its node.
func (c *client) try(o *operation) {
	w := c.w
	o.tries++
	o.answer = false
	n := w.nodes[o.node]
	o.op.Node, o.op.Group, o.op.Where = uint32(n.id), uint64(o.group.id), ""
	try := o.tries
	answered := func(r kv.Result) { w.after(c.travel(), func() { c.answered(o, try, r) }) }
	read := o.command.ReadOnly()
	w.after(c.travel(), func() {
		if o.tries != try {
			return
		}
		if !n.up {
			answered(kv.Result{Code: kv.Unavailable, Detail: "connection refused"})
			return
		}
		if n.full && !read {
			answered(kv.Result{Code: kv.DiskFull, Detail: "the disk is full"})
			return
		}
		life, pauses := n.life, n.pauses
		w.after(requestTimeout+answerSlack, func() {
			if o.tries == try && !o.answer {
				if n.up && n.life == life && n.pauses == pauses && !n.paused {
					w.fail(Liveness, "node %d has not answered %s by its deadline", n.id, o.op)
				}
				c.answered(o, try, kv.Result{Code: kv.Unknown, Detail: "no answer"})
			}
		})
		if read && c.rng.IntN(2) == 0 {
			o.op.Where = "by permit if any"
			n.read(o.group, o.encoded, requestTimeout, answered)
			return
		}
		n.submit(o.group, o.encoded, read, !o.command.Session.IsZero(), requestTimeout, answered)
	})
}

func (c *client) travel() core.Time { return core.Time(20e3 + c.rng.Int64N(200e3)) }

// answered takes the answer of a try: the end of the operation, or a reason to try again.
func (c *client) answered(o *operation, try int, r kv.Result) {
	w := c.w
	if o.tries != try || o.answer {
		return
	}
	o.answer = true
	w.trace.mix('A', uint64(c.id), uint64(r.Code), r.Value)
	if r.Code == kv.Unknown && !o.command.ReadOnly() {
		o.maybe = true
	}
	if again := (r.Code == kv.Unknown && (!o.command.Session.IsZero() || o.command.ReadOnly())) || (r.Code.Refused() && r.Code != kv.TooOld && r.Code != kv.SessionLost && !refusesToken(o, &r)); again && !w.stopping() && (o.proof || c.rng.IntN(10) > 0) {
		o.node = c.rng.IntN(w.options.Nodes)
		w.after(core.Time(c.rng.Int64N(int64(50*Millisecond))), func() { c.try(o) })
		return
	}
	c.end(o, r)
}

func (c *client) end(o *operation, r kv.Result) {
	w := c.w
	if o.asks {
		c.told(&r)
		return
	}
	if o.maybe && (r.Code.Refused() || (r.Code != kv.Unknown && o.command.Session.IsZero())) {
		r = kv.Result{Code: kv.Unknown, Detail: "an earlier try may have been executed"}
	}
	o.op.Answer(int64(w.now), &r)
	o.op.Level, o.op.Group = levelText(o.command.Level), uint64(o.group.id)
	if o.op.Outcome == referee.Done && r.Origin != 0 {
		o.op.Stamp, o.op.Met = referee.Stamp{Time: kv.HLC(r.Version), Origin: r.Origin}, levelText(r.Level)
	}
	w.trace.tellf("client %d: %s %s", c.id, o.op, r.Detail)
	c.countOutcome(&o.op)
	if w.mix != nil && !o.proof {
		w.mix.Observe(c.id, &o.op)
	}
	if o.recorded {
		c.history = append(c.history, o.op)
	}
	c.keepOpen(o)
	if merge := w.options.Protocol.MergeTokens; merge != nil && len(r.Token) > 0 {
		if w.options.Protocol.Shards && string(merge(o.command.Token, r.Token)) != string(r.Token) {
			w.fail(Linearizability, "a session stands at %x and is put back to %x by %s", o.command.Token, r.Token, o.op)
		}
		c.tokens[c.scope(o)] = merge(c.tokens[c.scope(o)], r.Token)
	}
	if refusesToken(o, &r) {
		clear(c.tokens)
		c.lives++
	}
	if r.Code == kv.SessionLost {
		delete(c.tokens, c.scope(o))
		delete(c.reads, o.group.id)
	}
	c.learn(o, &r)
	c.current = nil
	if o.proof && o.op.Outcome == referee.Done {
		c.proofs = c.proofs[1:]
	}
	c.proven = len(c.proofs) == 0 && len(c.open) == 0
	if o.op.Outcome == referee.Done && o.op.Version > 0 && o.recorded && w.options.Protocol.SplitEvery+w.options.Protocol.MergeEvery == 0 {
		w.checks.acked(o.group, o.op.Version, &o.op)
	}
	w.after(c.pause(o.hurry), c.next)
}

func (c *client) scope(o *operation) scope {
	if c.w.options.Protocol.Shards {
		return scope{o.session, 0}
	}
	return scope{o.session, o.group.id}
}

// refusesToken says that the client's session stands later than some clocks, which have been set back.
func refusesToken(o *operation, r *kv.Result) bool {
	return r.Code == kv.ClockSkew && len(o.command.Token) > 0
}

// levelText is a level as histories have it: nothing for the keyspace's own promise.
func levelText(l kv.Level) string {
	if l == kv.LevelDefault {
		return ""
	}
	return l.String()
}

func (c *client) countOutcome(op *referee.Op) {
	switch op.Outcome {
	case referee.Done:
		c.w.stats.Acked++
	case referee.Unknown:
		c.w.stats.Unknown++
	default:
		c.w.stats.Refused++
	}
}

// learn keeps what the next operations build on: the value for a cas, the session's position.
func (c *client) learn(o *operation, r *kv.Result) {
	if o.op.Outcome == referee.Done && o.op.Code == kv.OK {
		switch o.op.Kind {
		case referee.Get:
			c.seen[o.op.Key] = o.op.Got
		case referee.Set, referee.Cas, referee.Create:
			c.seen[o.op.Key] = o.op.Value
		}
	}
	if o.op.Kind == referee.Get && len(r.Token) > 0 && r.Code < kv.Unavailable {
		c.reads[o.group.id] = r.Token
	}
	if o.command.Session.IsZero() {
		return
	}
	switch {
	case r.Code == kv.TooOld:
		c.session = kv.Session{}
	case o.op.Outcome == referee.Unknown:
		// A command of unknown fate must never be mixed up with a later one: its number is not acknowledged, so start anew.
		c.newSession()
	default:
		c.session.Seq++
	}
}

// linearizable are the families of a keyspace that offers everything. a: only appends; c: only increments; r: everything a
// register can; m: all of it; t: keys with a time to live.
var linearizable = []Family{
	{Letter: "a", Kinds: []referee.Kind{referee.Append, referee.Append, referee.Get}},
	{Letter: "c", Kinds: []referee.Kind{referee.Incr, referee.Incr, referee.Get}},
	{Letter: "r", Kinds: []referee.Kind{referee.Set, referee.Set, referee.Cas, referee.Cas, referee.Create, referee.Delete, referee.Get, referee.Get, referee.Get}},
	{Letter: "m", Kinds: []referee.Kind{referee.Set, referee.Incr, referee.Append, referee.Cas, referee.Delete, referee.Get, referee.Get}},
	{Letter: "t", Kinds: []referee.Kind{referee.Set, referee.Get}, Mortal: true},
}

func (w *world) families() []Family {
	if w.options.Protocol.Families != nil {
		return w.options.Protocol.Families
	}
	return linearizable
}

// draw chooses the next operation.
func (c *client) draw() *operation {
	if c.wantsProof && len(c.proofs) > 0 {
		p := c.proofs[0]
		o := c.build(p.group, fmt.Sprintf("r%d", p.group.id), referee.Set)
		o.node, o.proof = p.node, true
		o.recorded = c.w.mix == nil // no workload knows of it
		return o
	}
	if c.w.mix != nil {
		return c.work()
	}
	roots := c.w.roots()
	g := roots[c.rng.IntN(len(roots))]
	families := c.w.families()
	f := &families[c.rng.IntN(len(families))]
	o := c.build(g, fmt.Sprintf("%s%d", f.Letter, g.id), f.Kinds[c.rng.IntN(len(f.Kinds))])
	if f.Mortal {
		o.recorded = false
		o.command.Ops[0].Expiry, o.command.Ops[0].Expire = kv.ExpireIn, 1+c.rng.Int64N(500)
	}
	if f.White {
		o.recorded = false
		o.command.Context = c.context(o)
	}
	return o
}

// context is, half of the time, what the client's latest read of the group had seen, where siblings are kept.
func (c *client) context(o *operation) []byte {
	if !c.w.options.Protocol.Siblings || o.op.Kind != referee.Set || c.rng.IntN(2) == 0 {
		return nil
	}
	return c.reads[o.group.id]
}

func (c *client) build(g *group, key string, kind referee.Kind) *operation {
	o := &operation{group: g, node: c.home, recorded: true, op: referee.Op{Key: key, Kind: kind}}
	if c.roams {
		o.node = c.rng.IntN(c.w.options.Nodes)
	}
	op := kv.Op{Key: []byte(key)}
	value := fmt.Sprintf("<%d.%d>", c.id, c.count)
	switch kind {
	case referee.Get:
		op.Kind = kv.OpGet
	case referee.Set:
		op.Kind = kv.OpSet
		if key[0] == 'm' && c.rng.IntN(2) == 0 {
			value = fmt.Sprint(1000*c.count + c.id)
		}
		o.op.Value = value
	case referee.Create:
		op.Kind, op.When, o.op.Value = kv.OpSet, kv.IfAbsent, value
	case referee.Cas:
		op.Kind, op.When, o.op.Value, o.op.Expect = kv.OpSet, kv.IfValue, value, c.seen[key]
		op.Expect = []byte(o.op.Expect)
	case referee.Delete:
		op.Kind = kv.OpDelete
	case referee.Incr:
		op.Kind, op.Delta = kv.OpIncr, 1+c.rng.Int64N(3)
		o.op.Delta = op.Delta
	case referee.Append:
		op.Kind, o.op.Value = kv.OpAppend, value
	case referee.Include, referee.Exclude:
		op.Kind, o.op.Value = kv.OpInclude, string(rune('p'+c.rng.IntN(5)))
		if kind == referee.Exclude {
			op.Kind = kv.OpExclude
		}
	case referee.Members:
		op.Kind = kv.OpMembers
	}
	op.Value = []byte(o.op.Value)
	o.command.Ops = []kv.Op{op}
	return o
}

// stopping says that clients should end instead of trying again.
func (w *world) stopping() bool { return w.clients[0].finishing }

// read answers a read as a node's fast path does: from the state, if the replica's permit is valid, else by the host.
func (n *node) read(g *group, encoded []byte, timeout core.Time, answer func(kv.Result)) {
	n.readOf(g, false, encoded, timeout, answer)
}

// readOf is read; fixed says that it is of this group and no other.
func (n *node) readOf(g *group, fixed bool, encoded []byte, timeout core.Time, answer func(kv.Result)) {
	answer = n.withValues(g, encoded, answer)
	n.arrive(func(now host.Now) {
		root := g
		g := g
		if !fixed {
			g = n.route(root, encoded)
		}
		if n.readHere(g, encoded, now, answer) {
			return
		}
		leased, ok := n.host.Replica(g.id).(core.Leased)
		if ok && g.protocol.Here == nil && g.protocol.Read != nil && leased.ReadUntil() > now.Mono {
			var c kv.Command
			if err := kv.DecodeCommand(encoded, &c); err != nil {
				n.w.fail(Invariant, "command does not decode: %v", err)
				return
			}
			if r, needsLog := g.protocol.Read(n.disk.Group(g.id), &c, now.Wall); !needsLog && n.whole(g, &c) {
				n.w.stats.LeaseReads++
				n.w.trace.tellf("n%d reads g%d by permit", n.id, g.id)
				answer(r)
				return
			}
		}
		n.token++
		n.tokens[n.token] = answer
		n.placed[n.token] = placed{root, encoded}
		_, _, homes := g.seat(n)
		n.host.Submit(now, host.Command{Token: n.token, Group: g.id, Encoded: encoded, Read: true, Fixed: fixed, Nodes: homes, Deadline: now.Mono + timeout})
	})
}

// readHere answers a read where the protocol has rules of its own for it.
func (n *node) readHere(g *group, encoded []byte, now host.Now, answer func(kv.Result)) bool {
	here := g.protocol.Here
	if here == nil {
		return false
	}
	var c kv.Command
	if err := kv.DecodeCommand(encoded, &c); err != nil {
		n.w.fail(Invariant, "command does not decode: %v", err)
		return false
	}
	if !n.host.Has(g.id) || !n.whole(g, &c) {
		return false
	}
	r, ok := here(n.host.Replica(g.id), n.disk.Group(g.id), &c, now)
	if ok {
		n.w.stats.LeaseReads++
		n.w.trace.tellf("n%d reads g%d by permit", n.id, g.id)
		answer(r)
	}
	return ok
}

// finalState reads every key of the histories from the first living replica, as far as the run came.
func (w *world) finalState(g *group, final referee.Final) {
	for _, f := range w.families() {
		if f.Mortal || f.White {
			continue
		}
		key := fmt.Sprintf("%s%d", f.Letter, g.id)
		c := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte(key)}}}
		if g.protocol.Read == nil {
			return
		}
		at := g.owner([]byte(key), g.latest())
		if r, _ := g.protocol.Read(w.seatedNodes(g)[0].disk.Group(at.id), &c, 0); r.Code == kv.OK {
			final[key] = w.finalValue(at, key, r)
		}
	}
}
