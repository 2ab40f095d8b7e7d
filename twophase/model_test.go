package twophase

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// The model explores, breadth first, every order in which the events of a small schedule can happen to real replicas: each
// message arrives at any time or never, each disk syncs at any time, nodes crash and start again, leases end, time-outs come early,
// the catalog grants what is asked of it and is heard of at any time. In every state it asks each replica what a read would be
// answered there, by a Step and beside them, and holds that against rule W8: once a value was shown or acknowledged, nobody
// answers with an older one; what was told to have failed is never shown.

// modelled is a state of the model.
type modelled struct {
	*cluster
	// shown is the highest value that was acknowledged or that some replica would have answered with; failed are those that
	// were told to have failed, a bit each.
	shown, failed int
	written       int // values given to a coordinator
	left          schedule
	broken        string
	how           *happened // how it came to this
}

// schedule is how often things may still happen.
type schedule struct{ writes, crashes, timeouts, lapses, lends, changes int }

// happened is an event and those before it.
type happened struct {
	what   string
	before *happened
}

func (h *happened) String() string {
	var list []string
	for ; h != nil; h = h.before {
		list = append(list, h.what)
	}
	slices.Reverse(list)
	return strings.Join(list, "\n  ")
}

// still is a source of chance that always gives the same.
type still struct{}

func (still) Uint64() uint64 { return 0x9e3779b97f4a7c15 }

// newModel is a group whose first epoch has begun.
func newModel(members, joiners int, left schedule, mutation Mutation) *modelled {
	m := &modelled{cluster: newCluster(members, joiners, Config{}, Options{Mutation: mutation, Window: 2}), left: left}
	for _, x := range m.members {
		x.rand = rand.New(still{})
	}
	m.watch()
	m.settle()
	m.still = true
	m.forgetBeats()
	return m
}

func (m *modelled) watch() {
	m.onAnswer = func(id core.RequestID, r kv.Result) {
		v := int(id)
		switch {
		case r.Code == kv.OK:
			m.shown = max(m.shown, v)
			if m.failed&(1<<v) != 0 {
				m.broken = fmt.Sprintf("value %d was told to have failed, and is acknowledged", v)
			}
		case r.Code == kv.Unavailable:
			m.failed |= 1 << v
		}
	}
}

// forgetBeats loses what only says that a member lives.
func (m *modelled) forgetBeats() {
	var kept []packet
	for _, p := range m.network {
		beat, from := false, p.from
		switch p.message.(type) {
		case Heartbeat:
			beat, from = true, p.to
		case Alive:
			beat = true
		}
		// What fills a joiner is kept, once.
		joins := beat && !m.config.has(from) && !slices.Contains(kept, p)
		if !beat || joins {
			kept = append(kept, p)
		}
	}
	m.network = kept
}

// clone copies all that can change.
func (m *modelled) clone() *modelled {
	c := *m.cluster
	n := &modelled{cluster: &c, shown: m.shown, failed: m.failed, written: m.written, left: m.left, how: m.how}
	c.out = strings.Builder{}
	c.network = slices.Clone(m.network)
	c.members = make([]*member, len(m.members))
	for i, x := range m.members {
		y := *x
		y.state, y.flushed = x.state.clone(), x.flushed.clone()
		y.durable, y.open, y.syncing, y.held = slices.Clip(x.durable), slices.Clone(x.open), slices.Clip(x.syncing), slices.Clone(x.held)
		if x.replica != nil {
			y.replica = x.replica.clone()
		}
		c.members[i] = &y
	}
	n.watch()
	return n
}

func (s *memoryState) clone() *memoryState {
	return &memoryState{maps.Clone(s.pairs), maps.Clone(s.staged)}
}

func (r *Replica) clone() *Replica {
	c := *r
	c.meta = make([]byte, 0, metaSize)
	c.slots.list = slices.Clone(r.slots.list)
	for i, s := range c.slots.list {
		if s != nil {
			t := *s
			c.slots.list[i] = &t
		}
	}
	c.waiting, c.reads = slices.Clone(r.waiting), slices.Clone(r.reads)
	if r.lead != nil {
		l := *r.lead
		l.queue.list, l.fed = slices.Clone(l.queue.list), slices.Clone(l.fed)
		l.peers = make([]*peer, len(r.lead.peers))
		for i, p := range r.lead.peers {
			q := *p
			if p.sending != nil {
				s := *p.sending
				q.sending = &s
			}
			l.peers[i] = &q
		}
		c.lead = &l
	}
	return &c
}

// sum identifies a state.
func (m *modelled) sum() uint64 {
	var b []byte
	number := func(list ...int) {
		for _, n := range list {
			b = binary.AppendVarint(b, int64(n))
		}
	}
	l := m.left
	number(m.shown, m.failed, m.written, l.writes, l.crashes, l.timeouts, l.lapses, l.lends, l.changes)
	b = m.config.AppendTo(b)
	for _, x := range m.members {
		b = x.append(b)
	}
	var packets []string
	for _, p := range m.network {
		packets = append(packets, string(p.message.AppendTo([]byte{byte(p.from), byte(p.to)})))
	}
	slices.Sort(packets)
	for _, p := range packets {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return xxhash.Sum64(b)
}

func (x *member) append(b []byte) []byte {
	if b = append(b, 'M'); x.replica == nil {
		b = append(b, 'x')
	} else {
		b = x.replica.append(b, x)
	}
	for _, list := range [][]core.Record{x.durable, x.syncing, x.open} {
		b = append(b, 'L')
		for _, r := range list {
			b = append(append(b, r.Kind, byte(r.Pos)), r.Body...)
		}
	}
	for _, h := range x.held {
		b = append(b, 'H', byte(h.batch-x.synced), byte(h.out.To), byte(h.out.ID), byte(h.out.Result.Code))
		if h.out.Message != nil {
			b = h.out.Message.AppendTo(b)
		}
		if h.wish != nil {
			b = append(append(b, h.wish.told...), h.wish.wanted...)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(x.state.pairs)) {
		b = append(append(b, k...), x.state.pairs[k]...)
	}
	if x.wish != nil {
		b = append(append(append(b, 'W'), x.wish.told...), x.wish.wanted...)
	}
	return append(append(b, x.told...), byte(x.lease>>60))
}

func (r *Replica) append(b []byte, x *member) []byte {
	b = fmt.Appendf(b, "%v %v %v %d %d %d %d %d %d;", r.fenced, r.told, r.suspect, r.joined, r.resolved, r.applied, r.time, r.sums.at(r.applied), r.waiting)
	b = fmt.Appendf(b, "%d %d %v;", (x.clock()-r.heard)/millisecond, min(x.clock()-r.asked, r.options.Suspect)/millisecond, r.staging)
	for _, s := range r.slots.list {
		if s == nil {
			b = append(b, 'n')
			continue
		}
		b = fmt.Appendf(b, "%d %v %d %d %d %v;", s.n, s.aborted, s.need, s.yes, s.gone, x.clock()-s.since > r.options.VoteWithin)
		b = append(b, s.batch.raw...)
	}
	l := r.lead
	if l == nil {
		return append(b, 'n')
	}
	b = fmt.Appendf(b, "%d %v %d %d %d %d %d;", l.epoch, l.opening, l.next, l.time, l.announced, len(l.queue.list), len(l.fed))
	for _, p := range l.peers {
		b = fmt.Appendf(b, "%v %v %d %d %v %d %v %d;", p.sick, p.joined, p.match, p.sent, p.entered, p.from, p.sending != nil, (x.clock()-p.heard)/millisecond)
		if p.fenced != nil {
			b = p.fenced.AppendTo(b)
		}
	}
	return b
}

// clock is the replica's own: only its time-outs move it.
func (x *member) clock() core.Time { return 1000*millisecond + x.late }

// event is something that can happen in a state.
type event struct {
	name string
	do   func(m *modelled)
}

// events are all that can happen.
func (m *modelled) events() (list []event) {
	add := func(do func(m *modelled), name string, args ...any) {
		list = append(list, event{fmt.Sprintf(name, args...), do})
	}
	seen := map[string]bool{}
	for i, p := range m.network {
		if key := string(p.message.AppendTo([]byte{byte(p.from), byte(p.to)})); !seen[key] {
			seen[key] = true
			add(func(m *modelled) {
				m.network = slices.Delete(m.network, i, i+1)
				m.arrive(p)
			}, "%d->%d %s", p.from, p.to, describeMessage(p.message))
		}
	}
	for i, x := range m.members {
		m.memberEvents(i, x, add)
	}
	return list
}

func (m *modelled) memberEvents(i int, x *member, add func(func(*modelled), string, ...any)) {
	if x.replica == nil {
		add(func(m *modelled) { m.restart(m.members[i]) }, "restart %d", x.id)
		return
	}
	if len(x.open) > 0 {
		add(func(m *modelled) { m.sync(m.members[i]) }, "sync %d", x.id)
	}
	if m.left.crashes > 0 {
		add(func(m *modelled) { m.left.crashes--; m.crash(m.members[i]) }, "crash %d", x.id)
	}
	if m.left.timeouts > 0 {
		add(func(m *modelled) {
			m.left.timeouts--
			m.members[i].late += 10_000 * millisecond
			m.step(m.members[i], core.Tick{})
		}, "time-out at %d", x.id)
	}
	if m.left.lapses > 0 && x.lease > 0 {
		add(func(m *modelled) { m.left.lapses--; m.members[i].lease = 0 }, "the lease of %d lapses", x.id)
	}
	current := bytes.Equal(x.told, m.config.AppendTo(nil))
	if m.left.lends > 0 && x.lease == 0 && current && m.config.has(x.id) {
		add(func(m *modelled) { m.left.lends--; m.members[i].lease = forever }, "%d has a lease", x.id)
	}
	if !current {
		add(func(m *modelled) { m.tell(m.members[i]) }, "%d hears of epoch %d", x.id, m.config.Epoch)
	}
	if x.wish != nil && m.left.changes > 0 {
		if n := m.clone(); strings.HasPrefix(n.grant(n.members[i]), "epoch") {
			add(func(m *modelled) { m.left.changes--; m.grant(m.members[i]) }, "the catalog: %v", n.config)
		}
	}
	if m.left.writes > 0 && x.replica.lead != nil && !x.replica.lead.opening {
		add(func(m *modelled) {
			m.left.writes--
			m.written++
			value := []byte(strconv.Itoa(m.written))
			m.submit(m.members[i], m.request(&kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k"), Value: value}}}))
		}, "%d is asked to write %d", x.id, m.written+1)
	}
}

// check asks every replica what it would answer a read with.
func (m *modelled) check() {
	read := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("k")}}}
	for _, x := range m.members {
		if x.replica == nil {
			continue
		}
		r := x.replica.clone() // a look changes nothing but what it remembers of keys
		r.in = &core.Input{Now: x.clock(), Stamp: x.stamp, View: x.state}
		r.now, r.lease = x.clock(), x.lease
		if result, how := r.look(&read); how == answered {
			m.answers(x.id, &result)
		}
		if r.ReadUntil() > x.clock() {
			if result, ok := Read(x.state, &read, x.stamp); ok {
				m.answers(x.id, &result)
			}
		}
	}
	m.agree()
}

func (m *modelled) answers(id core.ReplicaID, r *kv.Result) {
	v := 0
	if r.Code == kv.OK {
		v, _ = strconv.Atoi(string(r.Value))
	}
	if v < m.shown {
		m.broken = fmt.Sprintf("replica %d answers with value %d, and %d was shown or acknowledged before", id, v, m.shown)
	}
	if m.failed&(1<<v) != 0 && v > 0 {
		m.broken = fmt.Sprintf("replica %d answers with value %d, which was told to have failed", id, v)
	}
	m.shown = max(m.shown, v)
}

// agree: equal positions have equal histories.
func (m *modelled) agree() {
	at := map[uint64]uint64{}
	for _, x := range m.members {
		if x.replica == nil || x.replica.applied == 0 {
			continue
		}
		n, sum := x.replica.applied, x.replica.sums.at(x.replica.applied)
		if other, ok := at[n]; ok && other != sum {
			m.broken = fmt.Sprintf("replicas have applied different things up to %d", n)
		}
		at[n] = sum
	}
}

// happen lets an event happen in a copy of the state.
func (m *modelled) happen(e event) (n *modelled) {
	n = m.clone()
	n.how = &happened{e.name, m.how}
	defer func() {
		if p := recover(); p != nil {
			n.broken = fmt.Sprint("panic: ", p)
		}
	}()
	e.do(n)
	n.forgetBeats()
	if strings.Contains(n.out.String(), "damage: ") {
		n.broken = n.out.String()
	}
	n.check()
	return n
}

// explore visits every state that can be reached, at most limit of them, and returns the first that breaks a promise.
func explore(start *modelled, limit int) (states int, whole bool, broken *modelled) {
	seen := map[uint64]struct{}{start.sum(): {}}
	layer := []*modelled{start}
	for len(layer) > 0 {
		var next []*modelled
		for i, m := range layer {
			layer[i] = nil
			for _, e := range m.events() {
				n := m.happen(e)
				if n.broken != "" {
					return len(seen), false, n
				}
				sum := n.sum()
				if _, known := seen[sum]; known {
					continue
				}
				if seen[sum] = struct{}{}; len(seen) >= limit {
					return len(seen), false, nil
				}
				next = append(next, n)
			}
		}
		layer = next
	}
	return len(seen), true, nil
}

// models are the schedules that are explored to the end.
var models = []struct {
	name             string
	members, joiners int
	left             schedule
	deep             bool // it takes minutes
}{
	{"two members, one write and a change", 2, 0, schedule{writes: 1, timeouts: 1, lapses: 1, changes: 1}, false},
	{"two members, one write, a crash and a change", 2, 0, schedule{writes: 1, crashes: 1, timeouts: 1, lapses: 1, lends: 1, changes: 1}, false},
	{"two members, two writes and a change", 2, 0, schedule{writes: 2, timeouts: 1, lapses: 1, changes: 1}, true},
	{"three members, one write and a change", 3, 0, schedule{writes: 1, timeouts: 1, lapses: 1, changes: 1}, true},
	{"a member, a joiner, one write and a change", 1, 1, schedule{writes: 1, timeouts: 2, lends: 1, changes: 1}, true},
	{"two members, one write, a crash and two changes", 2, 0, schedule{writes: 1, crashes: 1, timeouts: 2, lapses: 1, lends: 1, changes: 2}, true},
}

var deepFlag = flag.Bool("deep", false, "explore the larger schedules, too")

// TestEveryOrderOfEvents is rule W8, and W1 to W5 with it, over all orders of small schedules.
func TestEveryOrderOfEvents(t *testing.T) {
	for _, c := range models {
		t.Run(c.name, func(t *testing.T) {
			if c.deep && !*deepFlag {
				t.Skip("needs -deep")
			}
			states, whole, broken := explore(newModel(c.members, c.joiners, c.left, NoMutation), 5_000_000)
			if broken != nil {
				t.Fatalf("%s\n  %s", broken.broken, broken.how)
			}
			if !whole {
				t.Errorf("not explored to the end")
			}
			t.Logf("%d states", states)
		})
	}
}

// TestModelFindsWrongRules plants the mistakes that a small schedule can show, the two wrong rules of recovery and of answering
// among them: a model that lets one pass is none.
func TestModelFindsWrongRules(t *testing.T) {
	change := schedule{writes: 1, timeouts: 2, lapses: 1, changes: 1}
	crash := schedule{writes: 1, crashes: 1, timeouts: 1, lapses: 1, lends: 1, changes: 1}
	for _, c := range []struct {
		mutation Mutation
		members  int
		joiners  int
		left     schedule
	}{
		{FailAtTimeout, 2, 0, change},
		{CommitIfTold, 2, 0, crash},
		{VoteBeforeSync, 2, 0, schedule{writes: 1, crashes: 1, timeouts: 1, lapses: 2, lends: 1, changes: 1}},
		{AbortAlone, 2, 0, change},
		{ForgetAtRestart, 2, 0, crash},
		{ReadInFlight, 2, 0, change},
		{IgnoreLease, 2, 0, change},
		{SkipMember, 3, 0, change},
		{CommitUnvoted, 3, 0, change},
		{PrepareAnew, 2, 0, change},
		{KeepEpoch, 2, 0, schedule{writes: 2, crashes: 1, timeouts: 1}},
	} {
		t.Run(c.mutation.String(), func(t *testing.T) {
			states, _, broken := explore(newModel(c.members, c.joiners, c.left, c.mutation), 200_000)
			if broken == nil {
				t.Fatalf("not found within %d states", states)
			}
			t.Logf("after %d states: %s\n  %s", states, broken.broken, broken.how)
		})
	}
}
