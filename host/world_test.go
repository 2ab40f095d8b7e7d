package host

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// text is a message that says itself.
type text string

func (m text) AppendTo(b []byte) []byte { return append(b, m...) }

// puppet is a replica that does what the test says.
type puppet struct {
	on       func(in *core.Input, out *core.Effects)
	leader   core.ReplicaID
	deadline core.Time
	events   []string
	requests []core.Request
}

func (p *puppet) Step(in *core.Input, out *core.Effects) {
	switch e := in.Event.(type) {
	case core.Received:
		p.events = append(p.events, fmt.Sprintf("%d: %s", e.From, e.Message))
	case core.Requests:
		p.requests = append(p.requests, e.List...)
		p.events = append(p.events, fmt.Sprintf("%d requests", len(e.List)))
	default:
		p.events = append(p.events, fmt.Sprintf("%T", e))
	}
	if p.on != nil {
		p.on(in, out)
	}
}

func (p *puppet) Deadline() (core.Time, bool) { return p.deadline, p.deadline != 0 }
func (p *puppet) Leader() core.ReplicaID      { return p.leader }

// blank is a state that nobody reads.
type blank struct{ core.View }

func (blank) Apply([]core.Change) error { return nil }

// bench is a host of node 1 under test, and all that left it.
type bench struct {
	t    *testing.T
	host *Host
	now  Now
	left []string
	// answers by token, and returns to node 2 by id.
	answers map[uint64][]kv.Result
	returns map[core.RequestID][]kv.Result
	// place is where commands belong whose groups gave their keys away, by token.
	place  map[uint64]Placement
	sent   []Forward
	sentTo []core.NodeID
}

const ms = core.Time(1e6)

func newBench(t *testing.T, o Options) *bench {
	b := &bench{t: t, now: Now{Mono: 1000 * ms, Wall: 1_700_000_000_000}, answers: map[uint64][]kv.Result{}, returns: map[core.RequestID][]kv.Result{}}
	b.host = New(b, rand.New(rand.NewPCG(1, 1)), 0, b.now, o)
	b.sync() // the clock's first bound
	return b
}

func (b *bench) Message(to core.NodeID, m Envelope) {
	b.left = append(b.left, fmt.Sprintf("%s to %d", m.Message, to))
}

func (b *bench) Forward(to core.NodeID, f Forward) {
	b.sent, b.sentTo = append(b.sent, f), append(b.sentTo, to)
}

func (b *bench) Return(to core.NodeID, id core.RequestID, r kv.Result, _ bool) {
	if to != 2 {
		b.t.Errorf("returned to node %d", to)
	}
	b.returns[id] = append(b.returns[id], r)
}

func (b *bench) Reply(token uint64, r kv.Result) { b.answers[token] = append(b.answers[token], r) }

func (b *bench) Place(token uint64) Placement { return b.place[token] }

func (b *bench) Configure(_ core.GroupID, w Wish) {
	b.left = append(b.left, fmt.Sprintf("%s for %s", w.Wanted, w.Told))
}

func (b *bench) Note(_ core.GroupID, n core.Note) { b.left = append(b.left, n.String()) }

// add runs a puppet as replica 1 of three.
func (b *bench) add(g core.GroupID, p core.Replica) {
	b.host.Add(b.now, Replica{Group: g, Self: 1, Nodes: map[core.ReplicaID]core.NodeID{1: 1, 2: 2, 3: 3}, Core: p, State: blank{}, First: core.Start{}})
}

func (b *bench) pass(d core.Time) {
	b.now.Mono += d
	b.now.Wall += int64(d / ms)
	b.host.Tick(b.now)
	b.host.Settle(b.now)
}

func (b *bench) receive(g core.GroupID, m string) {
	b.host.Receive(b.now, Envelope{Group: g, From: 2, To: 1, Message: text(m)})
}

func (b *bench) sync() {
	if batch, ok := b.host.TakeBatch(b.now); ok {
		b.host.Synced(b.now, batch)
	}
	b.host.Settle(b.now)
}

// submit sends a write without a session, with a second to live.
func (b *bench) submit(token uint64, change ...func(*Command)) {
	c := Command{Token: token, Group: 1, Encoded: kv.AppendCommand(nil, &kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte{byte(token)}}}}),
		Deadline: b.now.Mono + 1000*ms}
	for _, f := range change {
		f(&c)
	}
	b.host.Submit(b.now, c)
	b.host.Settle(b.now)
}

func (b *bench) wantLeft(want ...string) {
	b.t.Helper()
	if fmt.Sprint(b.left) != fmt.Sprint(want) {
		b.t.Errorf("left: %q, not %q", b.left, want)
	}
	b.left = nil
}

// wantAnswer checks that a command has had one answer, or none (kv.Code 255).
func (b *bench) wantAnswer(token uint64, code kv.Code) {
	b.t.Helper()
	got := b.answers[token]
	switch {
	case code == none && len(got) != 0, code != none && (len(got) != 1 || got[0].Code != code):
		b.t.Errorf("command %d: %+v, not once %v", token, got, code)
	}
}

const none = kv.Code(255)

// answerAll lets a puppet answer every request with a code.
func answerAll(code kv.Code) func(*core.Input, *core.Effects) {
	return func(in *core.Input, out *core.Effects) {
		if e, ok := in.Event.(core.Requests); ok {
			for _, q := range e.List {
				out.ReplyEarly(q.ID, kv.Result{Code: code})
			}
		}
	}
}
