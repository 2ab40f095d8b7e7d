package twophase

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
	unfit                bool
	ahead, late          core.Time // how far its wall clock, and its other clock, are ahead
	damaged              bool
	told                 []byte // the catalog's word as it was told
	lease                core.Time
	wish                 *wish
}

// heldOutput leaves when a batch is durable.
type heldOutput struct {
	batch int
	out   core.Output
	wish  *wish
}

// wish is what a replica asked of the catalog, and what it went by.
type wish struct{ told, wanted []byte }

// cluster steps replicas by hand: nothing is delivered, synced or ticked, and the catalog does nothing, unless the caller says so.
type cluster struct {
	options  Options
	config   Config // the catalog's word
	first    []byte
	now      core.Time
	members  []*member
	network  []packet
	cut      map[core.ReplicaID]bool
	aside    map[string][]packet
	requests core.RequestID
	still    bool // stamps do not grow
	out      strings.Builder
	// onAnswer sees every answer.
	onAnswer func(core.RequestID, kv.Result)
}

const millisecond = core.Time(1e6)

func newCluster(n, joiners int, config Config, options Options) *cluster {
	c := &cluster{options: options, config: config, now: 1000 * millisecond, cut: map[core.ReplicaID]bool{}, aside: map[string][]packet{}}
	c.config.Epoch, c.config.Coordinator = 1, 1
	for i := range n + joiners {
		list := &c.config.Members
		if i >= n {
			list = &c.config.Joiners
		}
		*list = append(*list, core.ReplicaID(i+1))
	}
	c.first = c.config.AppendTo(nil)
	for i := range n + joiners {
		id := core.ReplicaID(i + 1)
		m := &member{id: id, rand: rand.New(rand.NewPCG(uint64(id), 7)), state: newMemoryState(), flushed: newMemoryState(), batch: 1, told: c.first}
		if i < n {
			m.lease = forever
		}
		c.members = append(c.members, m)
		c.boot(m, core.Start{Config: c.first})
	}
	return c
}

const forever = core.Time(1 << 62)

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
		if !c.still {
			m.stamp = max(m.stamp+1, kv.HLCOf(int64((c.now+m.ahead)/millisecond)))
		}
		in := core.Input{Now: c.now + m.late, Stamp: m.stamp, Rand: m.rand, View: m.state, Unfit: m.unfit, LeaseUntil: m.lease, Event: event}
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
		m.held = append(m.held, heldOutput{batch: m.wrote, out: o})
	}
	if out.Configure != nil {
		m.held = append(m.held, heldOutput{batch: m.wrote, wish: &wish{m.told, out.Configure}})
	}
	c.releaseHeld(m)
}

func (m *member) flush() { m.flushed = &memoryState{maps.Clone(m.state.pairs), map[string][]byte{}} }

// releaseHeld lets go what depends on durable batches only. What it releases to the replica itself may hold back more.
func (c *cluster) releaseHeld(m *member) {
	for len(m.held) > 0 && m.held[0].batch <= m.synced {
		h := m.held[0]
		m.held = m.held[1:]
		if h.wish != nil {
			m.wish = h.wish
			continue
		}
		c.release(m, h.out)
	}
}

func (c *cluster) release(m *member, o core.Output) {
	switch {
	case o.To == 0:
		c.say("%d answers request %d: %s", m.id, o.ID, describeResult(&o.Result))
		if c.onAnswer != nil {
			c.onAnswer(o.ID, o.Result)
		}
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
	m.lease, m.told = 0, nil
}

// restart starts a replica on what its disk holds, and tells it the catalog's word as it is now. Its node renews its lease later.
func (c *cluster) restart(m *member) {
	if len(m.durable) == 0 && len(m.state.pairs) == 0 && !m.damaged {
		c.boot(m, core.Start{Config: c.first})
	} else {
		c.boot(m, core.Recover{Config: c.first, Records: m.durable, Suspect: m.damaged})
	}
	c.tell(m)
}

// tell gives a replica the catalog's word.
func (c *cluster) tell(m *member) {
	if m.replica == nil {
		return
	}
	m.told = c.config.AppendTo(nil)
	if !c.config.has(m.id) {
		m.lease = 0
	}
	c.step(m, core.Configured{Config: m.told})
}

// grant lets the catalog take a replica's wish for its word: if it went by what stands there, and nobody is left out who may count
// itself a member.
func (c *cluster) grant(m *member) string {
	w := m.wish
	m.wish = nil
	if w == nil {
		return "no wish"
	}
	wanted, err := DecodeConfig(w.wanted)
	if err != nil {
		panic(err)
	}
	if !bytes.Equal(w.told, c.config.AppendTo(nil)) {
		return "void: the catalog says something else by now"
	}
	for _, id := range c.config.Members {
		if !wanted.has(id) && c.member(id).lease > c.now {
			m.wish = w
			return fmt.Sprintf("refused: %d counts itself a member", id)
		}
	}
	if wanted.Epoch != c.config.Epoch+1 {
		return "void: not the next epoch"
	}
	c.config = wanted
	return wanted.String()
}

// deliver hands over the oldest message that matches; packets pass through their encoding.
func (c *cluster) deliver(match func(packet) bool) bool {
	at := slices.IndexFunc(c.network, match)
	if at < 0 {
		return false
	}
	p := c.network[at]
	c.network = slices.Delete(c.network, at, at+1)
	c.arrive(p)
	return true
}

func (c *cluster) arrive(p packet) {
	message, err := DecodeMessage(p.message.AppendTo(nil))
	if err != nil {
		panic(fmt.Sprintf("%T cannot be decoded: %v", p.message, err))
	}
	if m := c.member(p.to); m.replica != nil {
		c.step(m, core.Received{From: p.from, Message: message})
	}
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
	return s
}
