package bayou

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
	last := ""
	for _, c := range changes {
		switch c.Kind {
		case core.Put:
			s.pairs[string(c.Key)] = bytes.Clone(c.Value)
		case core.Delete:
			delete(s.pairs, string(c.Key))
		case core.DeleteRange:
			maps.DeleteFunc(s.pairs, func(k string, _ []byte) bool { return k >= string(c.Key) && k < string(c.End) })
		case core.Stage:
			if string(c.Key) <= last {
				panic(fmt.Sprintf("staged %q after %q", c.Key, last))
			}
			last = string(c.Key)
			s.staged[last] = bytes.Clone(c.Value)
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
	open    []core.Record // written, not yet durable
	// wrote and synced count batches.
	batch, synced, wrote int
	held                 []heldOutput
	stamp                kv.HLC
	skew                 core.Time // of its clock
	damaged              bool
	word                 *Config // the catalog's, as this one was told
}

type heldOutput struct {
	batch int
	out   core.Output
}

// cluster steps replicas by hand: nothing is delivered, synced or ticked unless the caller says so.
type cluster struct {
	options  Options
	now      core.Time
	members  []*member
	founders []core.ReplicaID
	// word is the latest of the catalog.
	word     *Config
	network  []packet
	cut      map[[2]core.ReplicaID]bool
	requests core.RequestID
	asked    map[core.RequestID]string // the session of a request
	sessions map[string][]byte
	out      strings.Builder
}

func newCluster(n int, options Options) *cluster {
	c := &cluster{options: options, now: 1000 * millisecond, cut: map[[2]core.ReplicaID]bool{}, asked: map[core.RequestID]string{}, sessions: map[string][]byte{}}
	for i := range n {
		id := core.ReplicaID(i + 1)
		c.members = append(c.members, newMember(id))
		c.founders = append(c.founders, id)
	}
	for _, m := range c.members {
		c.boot(m, core.Start{Config: c.config()})
		c.sync(m)
	}
	c.connect()
	return c
}

func newMember(id core.ReplicaID) *member {
	return &member{id: id, rand: rand.New(rand.NewPCG(uint64(id), 7)), state: newMemoryState(), flushed: newMemoryState(), batch: 1}
}

// tell lets replicas know what the catalog says now; those that it names for the first time are started.
func (c *cluster) tell(word *Config, to []core.ReplicaID) {
	c.word = word
	for _, id := range word.Members {
		if int(id) > len(c.members) {
			m := newMember(id)
			c.members = append(c.members, m)
			c.boot(m, core.Start{Config: c.config()})
			for _, o := range c.members {
				if o != m && o.replica != nil && !c.cut[[2]core.ReplicaID{id, o.id}] {
					c.step(m, core.PeerUp{Peer: o.id})
					c.step(o, core.PeerUp{Peer: id})
				}
			}
		}
	}
	for _, m := range c.members {
		if m.replica != nil && slices.Contains(to, m.id) {
			m.word = word
			c.step(m, core.Configured{Config: word.AppendTo(nil)})
		}
	}
}

func (c *cluster) config() []byte {
	config := Config{Binding: 77, Members: c.founders}
	return config.AppendTo(nil)
}

func (c *cluster) boot(m *member, first any) {
	m.replica = New(m.id, c.options)
	c.step(m, first)
}

// connect tells everyone of everyone that is there, and forgets what they say to it.
func (c *cluster) connect() {
	for _, m := range c.members {
		for _, o := range c.members {
			if m != o && m.replica != nil && o.replica != nil && !c.cut[[2]core.ReplicaID{m.id, o.id}] {
				c.step(m, core.PeerUp{Peer: o.id})
			}
		}
	}
	c.network = nil
}

func (c *cluster) member(id core.ReplicaID) *member { return c.members[id-1] }

func (c *cluster) say(format string, args ...any) { fmt.Fprintf(&c.out, format+"\n", args...) }

// step does what a host does: one event, then all that the replica asked itself.
func (c *cluster) step(m *member, event any) {
	for again := true; again && m.replica != nil; {
		var out core.Effects
		m.stamp = max(m.stamp+1, kv.HLCOf(int64((c.now+m.skew)/millisecond)))
		in := core.Input{Now: c.now, Stamp: m.stamp, Rand: m.rand, View: m.state, Event: event}
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
		session := c.asked[o.ID]
		c.say("%d answers %s: %s", m.id, session, describe(&o.Result))
		c.sessions[session] = MergeTokens(c.sessions[session], o.Result.Token)
	case o.To == m.id:
		c.step(m, core.Received{From: m.id, Message: o.Message})
	case !c.cut[[2]core.ReplicaID{m.id, o.To}]:
		c.network = append(c.network, packet{m.id, o.To, o.Message})
	}
}

func describe(r *kv.Result) string {
	s := r.Code.String()
	switch {
	case r.Code == kv.OK && r.Value != nil:
		s += fmt.Sprintf(" %q", r.Value)
	case r.Code == kv.OK && r.Int != 0:
		s += fmt.Sprintf(" %d", r.Int)
	}
	return s
}

// sync makes durable what a replica wrote; false: it wrote nothing.
func (c *cluster) sync(m *member) bool {
	if len(m.open) == 0 || m.replica == nil {
		return false
	}
	m.durable = append(m.durable, m.open...)
	m.open = nil
	m.synced = m.batch
	m.batch++
	c.releaseHeld(m)
	return true
}

func (c *cluster) crash(m *member) {
	m.replica, m.open, m.held = nil, nil, nil
	m.synced = m.batch
	m.batch++
	m.state = &memoryState{maps.Clone(m.flushed.pairs), map[string][]byte{}}
	c.network = slices.DeleteFunc(c.network, func(p packet) bool { return p.to == m.id })
	for _, o := range c.members {
		if o != m {
			c.step(o, core.PeerDown{Peer: m.id})
		}
	}
}

func (c *cluster) restart(m *member) {
	c.boot(m, core.Recover{Config: c.config(), Records: m.durable, Suspect: m.damaged})
	m.damaged = false
	if m.word != nil {
		c.step(m, core.Configured{Config: m.word.AppendTo(nil)})
	}
	c.sync(m)
	for _, o := range c.members {
		if o != m && o.replica != nil && !c.cut[[2]core.ReplicaID{m.id, o.id}] {
			c.step(m, core.PeerUp{Peer: o.id})
			c.step(o, core.PeerUp{Peer: m.id})
		}
	}
}

// deliver hands over the first message that matches; false: there is none.
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
			busy = c.sync(m) || busy
		}
		if !busy {
			return
		}
	}
	panic("the cluster does not come to rest")
}

// submit hands a session's command to a replica.
func (c *cluster) submit(m *member, session string, command kv.Command) {
	c.requests++
	c.asked[c.requests] = session
	command.Token = c.sessions[session]
	c.step(m, core.Requests{List: []core.Request{{ID: c.requests, Command: kv.AppendCommand(nil, &command), Read: command.ReadOnly(),
		Deadline: c.now + 1000*millisecond}}})
	c.step(m, core.Flush{})
}

func (m *member) replicaFirst() uint64 { return New(m.id, Options{}).firstPos() }
