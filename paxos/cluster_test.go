package paxos

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
	open    []core.Record // written, not yet taken by the disk
	syncing []core.Record // taken, not yet durable
	// batch numbers the open batch, synced is the last durable one, wrote the last one that holds a record.
	batch, synced, wrote int
	held                 []heldOutput
	stamp                kv.HLC
	unfit, reluctant     bool
	ahead                core.Time // of its wall clock
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
	cut      map[core.ReplicaID]bool
	aside    map[string][]packet
	requests core.RequestID
	out      strings.Builder
	// onApplied sees every applied block.
	onApplied func(core.ReplicaID, AppliedNote)
}

const millisecond = core.Time(1e6)

func newCluster(n int, config Config, options Options) *cluster {
	c := &cluster{options: options, config: config, now: 1000 * millisecond, cut: map[core.ReplicaID]bool{}, aside: map[string][]packet{}}
	if c.options.ElectionMin == 0 {
		// A narrow spread makes elections happen when the caller ticks, not when chance says.
		c.options.ElectionMin, c.options.ElectionMax = 500*millisecond, 501*millisecond
	}
	for i := range n {
		c.config.Voters = append(c.config.Voters, core.ReplicaID(i+1))
	}
	c.add(n)
	return c
}

// add starts replicas that never ran; those beyond the first voters are members of nothing yet.
func (c *cluster) add(n int) {
	for range n {
		id := core.ReplicaID(len(c.members) + 1)
		m := &member{id: id, rand: rand.New(rand.NewPCG(uint64(id), 7)), state: newMemoryState(), flushed: newMemoryState(), batch: 1}
		c.members = append(c.members, m)
		c.boot(m, core.Start{Config: c.config.AppendTo(nil)})
	}
}

func (c *cluster) boot(m *member, first any) {
	m.replica = New(m.id, c.options)
	c.step(m, first)
}

func (c *cluster) member(id core.ReplicaID) *member { return c.members[id-1] }

func (c *cluster) say(format string, args ...any) { fmt.Fprintf(&c.out, format+"\n", args...) }

// step does what a host does: one event, then all that the replica asked itself.
func (c *cluster) step(m *member, event any) {
	for again := true; again && m.replica != nil; {
		var out core.Effects
		m.stamp = max(m.stamp+1, kv.HLCOf(int64((c.now+m.ahead)/millisecond)))
		in := core.Input{Now: c.now, Stamp: m.stamp, Rand: m.rand, View: m.state, Unfit: m.unfit, Reluctant: m.reluctant, Event: event}
		m.replica.Step(&in, &out)
		again, event = out.Again, core.Again{}
		c.emit(m, &out)
	}
}

func (c *cluster) emit(m *member, out *core.Effects) {
	m.state.apply(out.State)
	for _, change := range out.State {
		if change.Kind == core.Install {
			m.flush() // an install is durable at once
		}
	}
	for _, r := range out.Log {
		m.open = append(m.open, core.Record{Kind: r.Kind, Pos: r.Pos, Body: bytes.Clone(r.Body)})
		m.wrote = m.batch
	}
	for _, n := range out.Notes {
		if a, ok := n.(AppliedNote); ok {
			if c.onApplied != nil {
				c.onApplied(m.id, a)
			}
			continue
		}
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

// forge replaces a durable block by one with another payload. Its hash covers it, and nothing follows it.
func (m *member) forge(index uint64) {
	for i := len(m.durable) - 1; i >= 0; i-- {
		if r := &m.durable[i]; r.Kind == recordBlock && r.Pos == index {
			b, err := DecodeBlock(r.Body)
			if err != nil {
				panic(err)
			}
			prev := position{Index: b.Index - 1, Hash: b.Prev}
			r.Body = newBlock(prev, b.Ballot, b.Time, Noop, make([]byte, headerSize)).raw
			return
		}
	}
	panic(fmt.Sprintf("replica %d has no block %d on its disk", m.id, index))
}

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
	case !c.cut[m.id] && !c.cut[o.To]:
		c.network = append(c.network, packet{m.id, o.To, o.Message})
	}
}

// begin lets the disk take what was written; end makes it durable.
func (c *cluster) begin(m *member) bool {
	if m.replica == nil || len(m.open) == 0 || len(m.syncing) > 0 {
		return false
	}
	m.syncing, m.open = m.open, nil
	m.batch++
	return true
}

func (c *cluster) end(m *member) bool {
	if len(m.syncing) == 0 {
		return false
	}
	m.durable = append(m.durable, m.syncing...)
	m.syncing = nil
	m.synced = m.batch - 1
	m.damaged = false // the replica's own word that it is suspect is on disk now
	c.releaseHeld(m)
	return true
}

// sync makes durable what was written before it.
func (c *cluster) sync(m *member) bool {
	ended := c.end(m)
	return c.begin(m) && c.end(m) || ended
}

func (c *cluster) crash(m *member) {
	m.replica, m.open, m.syncing, m.held = nil, nil, nil, nil
	m.batch++
	m.synced, m.wrote = m.batch-1, 0
	m.state = &memoryState{maps.Clone(m.flushed.pairs), map[string][]byte{}}
}

func (c *cluster) restart(m *member) {
	c.boot(m, core.Recover{Config: c.config.AppendTo(nil), Records: m.durable, Suspect: m.damaged})
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
	if m := c.member(p.to); m.replica != nil {
		c.step(m, core.Received{From: p.from, Message: message})
	}
	return true
}

// settle delivers and syncs until nothing is left to do at this time.
func (c *cluster) settle() {
	for range 10_000 {
		busy := c.deliver(func(packet) bool { return true })
		for _, m := range c.members {
			if len(m.syncing) == 0 { // a sync that was begun by hand is ended by hand
				busy = c.sync(m) || busy
			}
		}
		if !busy {
			return
		}
	}
	panic("the cluster does not come to rest")
}

func (c *cluster) request(command *kv.Command) core.Request {
	c.requests++
	return core.Request{ID: c.requests, Command: kv.AppendCommand(nil, command), Read: command.ReadOnly()}
}

// submit hands commands to a replica and lets it propose.
func (c *cluster) submit(m *member, list ...core.Request) {
	c.step(m, core.Requests{List: list})
	c.step(m, core.Flush{})
}

func describeResult(r *kv.Result) string {
	s := r.Code.String()
	switch {
	case r.Code == kv.OK && r.Value != nil:
		s += fmt.Sprintf(" %q", r.Value)
	case r.Code == kv.OK && r.Int != 0:
		s += fmt.Sprintf(" %d", r.Int)
	}
	if r.Tx != nil {
		s += ", " + r.Tx.State.String()
	}
	if t, err := DecodeToken(r.Token); err == nil {
		s += fmt.Sprintf(", at %d ms", t.Time.UnixMilli())
	}
	return s
}
