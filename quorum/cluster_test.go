package quorum

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// memoryState is a group's state in a map.
type memoryState struct{ pairs, staged map[string][]byte }

func newMemoryState() *memoryState { return &memoryState{map[string][]byte{}, map[string][]byte{}} }

func (s *memoryState) Get(key []byte) ([]byte, bool) {
	v, ok := s.pairs[string(key)]
	return bytes.Clone(v), ok
}

func (s *memoryState) Scan(from, to []byte, f func(key, value []byte) bool) {
	for _, k := range slices.Sorted(maps.Keys(s.pairs)) {
		if k >= string(from) && (to == nil || k < string(to)) && !f([]byte(k), s.pairs[k]) {
			return
		}
	}
}

func (s *memoryState) Snapshot() core.Snapshot { return &memoryState{pairs: maps.Clone(s.pairs)} }
func (s *memoryState) Close()                  {}

func (s *memoryState) apply(changes []core.Change) {
	for _, c := range changes {
		switch c.Kind {
		case core.Put:
			s.pairs[string(c.Key)] = bytes.Clone(c.Value)
		case core.Delete:
			delete(s.pairs, string(c.Key))
		case core.DeleteRange:
			maps.DeleteFunc(s.pairs, func(k string, _ []byte) bool {
				return k >= string(c.Key) && (c.End == nil || k < string(c.End))
			})
		case core.Stage:
			s.staged[string(c.Key)] = bytes.Clone(c.Value)
		case core.Unstage:
			clear(s.staged)
		case core.Install:
			s.pairs, s.staged = s.staged, map[string][]byte{}
		}
	}
}

// packet is a message on its way.
type packet struct {
	from, to core.ReplicaID
	message  core.Message
}

// member is one replica with a disk that syncs when it is told to.
type member struct {
	id      core.ReplicaID
	replica *Replica // nil: crashed
	rand    *rand.Rand
	state   *memoryState
	flushed *memoryState // what a crash leaves of the state
	durable []core.Record
	open    []core.Record
	// batch numbers the open batch, synced is the last durable one, wrote the last one that holds a record.
	batch, synced, wrote int
	held                 []heldOutput
	stamp                kv.HLC
	ahead                int64 // of its wall clock, in milliseconds
	damaged              bool
}

// heldOutput leaves when a batch is durable.
type heldOutput struct {
	batch int
	out   core.Output
}

// cluster steps replicas by hand: nothing is delivered, synced or ticked unless the caller says so.
type cluster struct {
	options  Options
	config   Config
	now      core.Time
	members  []*member
	network  []packet
	aside    map[string][]packet
	told     *Config // the newest word of the catalog
	requests core.RequestID
	out      strings.Builder
}

const millisecond = core.Time(1e6)

func newCluster(n int, config Config, options Options) *cluster {
	c := &cluster{options: options, config: config, now: 1000 * millisecond, aside: map[string][]packet{}}
	for i := range n {
		c.config.Members = append(c.config.Members, core.ReplicaID(i+1))
	}
	for _, id := range c.config.Members {
		m := &member{id: id, rand: rand.New(rand.NewPCG(uint64(id), 7)), state: newMemoryState(), flushed: newMemoryState(), batch: 1}
		c.members = append(c.members, m)
		c.boot(m, core.Start{Config: c.config.AppendTo(nil)})
	}
	for _, m := range c.members {
		for _, id := range c.config.Members {
			c.step(m, core.PeerUp{Peer: id})
		}
	}
	return c
}

func (c *cluster) boot(m *member, first any) {
	m.replica = New(m.id, c.options)
	c.step(m, first)
}

func (c *cluster) member(id core.ReplicaID) *member { return c.members[id-1] }

// join adds a replica that is no member yet, connected to all.
func (c *cluster) join(id core.ReplicaID) {
	m := &member{id: id, rand: rand.New(rand.NewPCG(uint64(id), 7)), state: newMemoryState(), flushed: newMemoryState(), batch: 1}
	c.members = append(c.members, m)
	if c.member(id) != m {
		panic("replicas join in the order of their ids")
	}
	c.boot(m, core.Start{Config: c.config.AppendTo(nil)})
	for _, o := range c.members {
		if o.replica != nil {
			c.step(o, core.PeerUp{Peer: id})
			c.step(m, core.PeerUp{Peer: o.id})
		}
	}
}

// configure tells a member the word of the catalog.
func (c *cluster) configure(m *member, word Config) {
	word.Atomic, word.ClientStamps = c.config.Atomic, c.config.ClientStamps
	c.told = &word
	c.step(m, core.Configured{Config: word.AppendTo(nil)})
}

func (c *cluster) say(format string, args ...any) { fmt.Fprintf(&c.out, format+"\n", args...) }

// wall is a member's clock in milliseconds; a run begins at one second.
func (c *cluster) wall(m *member) int64 { return int64(c.now/millisecond) + m.ahead }

// step does what a host does: one event, then all that the replica asked itself.
func (c *cluster) step(m *member, event any) {
	for again := true; again && m.replica != nil; event = (core.Again{}) {
		again = c.stepOnce(m, event)
	}
}

func (c *cluster) stepOnce(m *member, event any) (again bool) {
	var out core.Effects
	m.stamp = max(m.stamp+1, kv.HLCOf(c.wall(m)))
	in := core.Input{Now: c.now, Stamp: m.stamp, StampMax: m.stamp + 1<<30, Wall: c.wall(m), Rand: m.rand, View: m.state, Event: event}
	m.replica.Step(&in, &out)
	c.emit(m, &out)
	return out.Again
}

func (c *cluster) emit(m *member, out *core.Effects) {
	m.state.apply(out.State)
	for _, r := range out.Log {
		m.open = append(m.open, core.Record{Kind: r.Kind, Pos: r.Pos, Body: bytes.Clone(r.Body)})
		m.wrote = m.batch
	}
	for _, n := range out.Notes {
		c.say("%d %s", m.id, n)
	}
	for _, o := range out.Early {
		c.release(m, o)
	}
	for _, o := range out.Held {
		m.held = append(m.held, heldOutput{m.wrote, o})
	}
	c.releaseHeld(m)
}

func (m *member) flush() { m.flushed = &memoryState{maps.Clone(m.state.pairs), map[string][]byte{}} }

// releaseHeld lets go what depends on durable batches only. What it releases to the replica itself may hold back more.
func (c *cluster) releaseHeld(m *member) {
	for len(m.held) > 0 && m.held[0].batch <= m.synced {
		o := m.held[0].out
		m.held = m.held[1:]
		c.release(m, o)
	}
}

func (c *cluster) release(m *member, o core.Output) {
	switch {
	case o.To == 0:
		c.say("%d answers request %d: %s", m.id, o.ID, describeResult(&o.Result))
	case o.To == m.id:
		c.step(m, core.Received{From: m.id, Message: o.Message})
	default:
		c.network = append(c.network, packet{m.id, o.To, o.Message})
	}
}

// sync makes durable what was written before it.
func (c *cluster) sync(m *member) bool {
	if m.replica == nil || len(m.open) == 0 {
		return false
	}
	m.durable, m.open = append(m.durable, m.open...), nil
	m.synced = m.batch
	m.batch++
	m.damaged = false
	c.releaseHeld(m)
	return true
}

func (c *cluster) crash(m *member) {
	m.replica, m.open, m.held = nil, nil, nil
	m.batch++
	m.synced, m.wrote = m.batch-1, 0
	m.state = &memoryState{maps.Clone(m.flushed.pairs), map[string][]byte{}}
	for _, o := range c.members {
		c.step(o, core.PeerDown{Peer: m.id})
	}
	c.network = slices.DeleteFunc(c.network, func(p packet) bool { return p.to == m.id })
}

func (c *cluster) restart(m *member) {
	c.boot(m, core.Recover{Config: c.config.AppendTo(nil), Records: m.durable, Suspect: m.damaged})
	if c.told != nil {
		c.step(m, core.Configured{Config: c.told.AppendTo(nil)})
	}
	for _, o := range c.members {
		if o.replica != nil {
			c.step(o, core.PeerUp{Peer: m.id})
			c.step(m, core.PeerUp{Peer: o.id})
		}
	}
}

// deliver hands over the oldest message that matches; packets pass through their encoding.
func (c *cluster) deliver(match func(packet) bool) bool {
	at := slices.IndexFunc(c.network, match)
	if at < 0 {
		return false
	}
	p := c.network[at]
	c.network = slices.Delete(c.network, at, at+1)
	message, err := DecodeMessage(p.message.AppendTo(nil))
	if err != nil {
		panic(fmt.Sprintf("%T cannot be decoded: %v", p.message, err))
	}
	c.step(c.member(p.to), core.Received{From: p.from, Message: message})
	return true
}

// settle delivers and syncs until nothing is left to do at this time.
func (c *cluster) settle() {
	for range 10_000 {
		busy := c.deliver(func(packet) bool { return true })
		for _, m := range c.members {
			busy = c.sync(m) || busy
		}
		if !busy {
			return
		}
	}
	panic("the cluster does not come to rest")
}

// run lets everybody tick again and again for a while, and settles each time.
func (c *cluster) run(d core.Time) {
	for end := c.now + d; c.now < end; {
		c.now = min(end, c.now+50*millisecond)
		for _, m := range c.members {
			c.step(m, core.Tick{})
		}
		c.settle()
	}
}

func (c *cluster) submit(m *member, command *kv.Command) {
	c.requests++
	c.say("request %d", c.requests)
	c.step(m, core.Requests{List: []core.Request{{ID: c.requests, Command: kv.AppendCommand(nil, command), Read: command.ReadOnly()}}})
	c.step(m, core.Flush{})
}

func describeResult(r *kv.Result) string {
	s := r.Code.String()
	if r.Code == kv.OK && r.Existed {
		s += fmt.Sprintf(" %q", r.Value)
	}
	if r.Version != 0 {
		s += " at " + Stamp{kv.HLC(r.Version), core.ReplicaID(r.Origin)}.String()
	}
	for i := range r.Items {
		s += fmt.Sprintf(" %s=%s", r.Items[i].Key, r.Items[i].Value)
	}
	if r.Code.Refused() || r.Code == kv.Unknown {
		s += ": " + r.Detail
	}
	return s
}
