package host

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func asRead(c *Command)  { c.Read = true }
func asAgain(c *Command) { c.Again = true }

func TestLeaderAnswersItsOwnClients(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, &puppet{leader: 1, on: answerAll(kv.OK)})
	b.submit(1)
	b.wantAnswer(1, kv.OK)
	if b.host.Pending() != 0 {
		t.Errorf("%d pending", b.host.Pending())
	}
}

func TestCommandsOfOnePassAreHandedOverTogether(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 1}
	b.add(1, p)
	for token := range uint64(3) {
		b.host.Submit(b.now, Command{Token: token, Group: 1, Deadline: b.now.Mono + ms})
	}
	b.host.Settle(b.now)
	if n := len(p.events); p.events[n-2] != "3 requests" || p.events[n-1] != "core.Flush" {
		t.Errorf("%q", p.events)
	}
}

func TestCommandsWaitForALeader(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{on: answerAll(kv.OK)}
	b.add(1, p)
	b.submit(1)
	b.wantAnswer(1, none)
	p.leader = 1
	b.pass(ms)
	b.wantAnswer(1, kv.OK)
}

func TestOverdueCommandsEndAsWhatIsKnownOfThem(t *testing.T) {
	cases := []struct {
		name   string
		leader core.ReplicaID
		change func(*Command)
		want   kv.Code
	}{
		{"no leader was known", 0, func(*Command) {}, kv.Unavailable},
		{"a write was handed over", 1, func(*Command) {}, kv.Unknown},
		{"a read was handed over", 1, asRead, kv.Unavailable},
		{"a write was forwarded", 2, func(*Command) {}, kv.Unknown},
		{"a read was forwarded", 2, asRead, kv.Unavailable},
	}
	for _, c := range cases {
		b := newBench(t, Options{})
		b.add(1, &puppet{leader: c.leader})
		b.submit(1, c.change)
		b.pass(999 * ms)
		if len(b.answers[1]) != 0 {
			t.Errorf("%s: answered too early", c.name)
		}
		b.pass(sweepEvery)
		if got := b.answers[1]; len(got) != 1 || got[0].Code != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestBoundsAnswerBusy(t *testing.T) {
	for name, o := range map[string]Options{"requests": {RequestsMax: 2}, "bytes": {BytesMax: 10}, "disk": {OpenBytesMax: 64}} {
		b := newBench(t, o)
		p := speaker()
		b.add(1, p)
		switch name {
		case "disk":
			b.receive(1, "write "+string(make([]byte, 64)))
		default:
			b.submit(1)
			b.submit(2)
		}
		b.submit(3)
		if b.answers[3] == nil || b.answers[3][0].Code != kv.Busy {
			t.Errorf("%s: %+v", name, b.answers[3])
		}
		b.host.Forwarded(b.now, 2, Forward{ID: 9, Group: 1, Within: ms})
		if r := b.returns[9]; len(r) != 1 || r[0].Code != kv.Busy {
			t.Errorf("%s: a forwarded command: %+v", name, r)
		}
	}
}

func TestForwardedWriteSurvivesItsLeader(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 2}
	b.add(1, p)
	b.submit(1)
	b.host.PeerDown(b.now, 2)
	b.wantAnswer(1, none)
	p.leader = 3
	b.pass(ms)
	if len(b.sent) != 2 || b.sentTo[0] != 2 || b.sentTo[1] != 3 || !bytes.Equal(b.sent[0].Encoded, b.sent[1].Encoded) {
		t.Fatalf("sent %+v to %v", b.sent, b.sentTo)
	}
	// Sent twice, it must be under a session.
	var c kv.Command
	if err := kv.DecodeCommand(b.sent[0].Encoded, &c); err != nil || c.Session.IsZero() {
		t.Errorf("%v, session %+v", err, c.Session)
	}
	b.host.Returned(b.now, 2, b.sent[0].ID, kv.Result{Code: kv.Busy}) // late, of the node that lost it
	b.wantAnswer(1, none)
	b.host.Returned(b.now, 3, b.sent[1].ID, kv.Result{})
	b.host.Returned(b.now, 3, b.sent[1].ID, kv.Result{})
	b.wantAnswer(1, kv.OK)
}

// TestRefusedRetryIsUnknown: the second try was refused, the first one may still be executed.
func TestRefusedRetryIsUnknown(t *testing.T) {
	for _, code := range []kv.Code{kv.Busy, kv.TooOld, kv.Sealed, kv.DiskFull} {
		b := newBench(t, Options{})
		p := &puppet{leader: 2}
		b.add(1, p)
		b.submit(1, asAgain)
		b.host.PeerDown(b.now, 2)
		p.leader = 3
		b.pass(ms)
		b.host.Returned(b.now, 3, b.sent[1].ID, kv.Result{Code: code})
		b.wantAnswer(1, kv.Unknown)
	}
	// Without an earlier try the refusal is certain.
	b := newBench(t, Options{})
	b.add(1, &puppet{leader: 2})
	b.submit(1, asAgain)
	b.host.Returned(b.now, 2, b.sent[0].ID, kv.Result{Code: kv.Busy})
	b.wantAnswer(1, kv.Busy)
}

func TestNotLeaderSendsACommandOn(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 2}
	b.add(1, p)
	b.submit(1)
	b.host.Returned(b.now, 2, b.sent[0].ID, kv.Result{Code: kv.NotLeader})
	p.leader, p.on = 1, answerAll(kv.OK)
	b.pass(ms)
	b.wantAnswer(1, kv.OK)
}

func TestForwardedCommandsAreReturned(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 3, on: answerAll(kv.NotLeader)}
	b.add(1, p)
	b.host.Forwarded(b.now, 2, Forward{ID: 5, Group: 1, Within: 100 * ms})
	b.host.Settle(b.now)
	if r := b.returns[5]; len(r) != 1 || r[0].Code != kv.NotLeader || len(b.sent) != 0 {
		t.Errorf("%+v, forwarded again: %d", r, len(b.sent))
	}
	b.host.Forwarded(b.now, 2, Forward{ID: 6, Group: 9})
	if r := b.returns[6]; len(r) != 1 || r[0].Code != kv.NotLeader {
		t.Errorf("a group that is not here: %+v", r)
	}
	p.on = nil
	b.host.Forwarded(b.now, 2, Forward{ID: 7, Group: 1, Within: 100 * ms})
	b.host.Settle(b.now)
	b.pass(151 * ms)
	if r := b.returns[7]; len(r) != 1 || r[0].Code != kv.Unknown {
		t.Errorf("overdue: %+v", r)
	}
}

func TestNobodyIsToldWhatHisNodeCannotHear(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 1}
	b.add(1, p)
	b.host.Forwarded(b.now, 2, Forward{ID: 5, Group: 1, Within: 100 * ms})
	b.host.Settle(b.now)
	b.host.PeerDown(b.now, 2)
	p.on = func(in *core.Input, out *core.Effects) {
		if _, ok := in.Event.(core.Tick); ok {
			out.ReplyEarly(p.requests[0].ID, kv.Result{})
		}
	}
	b.host.Event(b.now, 1, core.Tick{})
	if len(b.returns) != 0 || b.host.Pending() != 0 {
		t.Errorf("%+v, %d pending", b.returns, b.host.Pending())
	}
}

func TestGroupsThatLiveElsewhereAreAskedInTurn(t *testing.T) {
	b := newBench(t, Options{})
	b.place = map[uint64]Placement{1: {Group: 1}}
	elsewhere := func(c *Command) { c.Nodes = []core.NodeID{2, 3} }
	b.submit(1, asRead, elsewhere)
	for try := range 4 {
		if len(b.sent) != try+1 || b.sentTo[try] != core.NodeID(2+try%2) {
			t.Fatalf("try %d: sent to %v", try, b.sentTo)
		}
		b.host.Returned(b.now, b.sentTo[try], b.sent[try].ID, kv.Result{Code: kv.NotLeader})
		b.pass(0)
		if asked := len(b.sent); try%2 == 1 && asked != try+1 {
			t.Fatalf("try %d: all have refused, and no pause", try)
		}
		if try%2 == 1 {
			b.pass(b.host.Deadline() - b.now.Mono)
		}
	}
	b.host.Returned(b.now, 2, b.sent[4].ID, kv.Result{Code: kv.NotLeader})
	b.pass(0)
	b.host.Returned(b.now, 3, b.sent[5].ID, kv.Result{})
	b.wantAnswer(1, kv.OK)
	b.submit(2, asRead, elsewhere)
	if last := b.sentTo[len(b.sentTo)-1]; last != 3 {
		t.Errorf("the next command went to node %d, but node 3 orders them", last)
	}
	b.submit(3)
	b.wantAnswer(3, kv.Unavailable)
}

func TestNobodyElsewhereLeads(t *testing.T) {
	b := newBench(t, Options{})
	b.place = map[uint64]Placement{1: {Group: 1}}
	b.submit(1, func(c *Command) { c.Nodes = []core.NodeID{2, 3} })
	for b.answers[1] == nil {
		for i, f := range b.sent {
			b.host.Returned(b.now, b.sentTo[i], f.ID, kv.Result{Code: kv.NotLeader})
		}
		b.pass(max(0, b.host.Deadline()-b.now.Mono))
	}
	b.wantAnswer(1, kv.Unavailable)
	if n := len(b.sent); n < 10 || n > 60 {
		t.Errorf("asked %d times within a second", n)
	}
}

func TestRefusedCommandsWaitForAnotherLeaderOrAWhile(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 2}
	b.add(1, p)
	b.submit(1)
	refuse := func() {
		b.host.Returned(b.now, 2, b.sent[len(b.sent)-1].ID, kv.Result{Code: kv.NotLeader})
		b.pass(0)
	}
	refuse()
	if len(b.sent) != 1 {
		t.Fatal("sent again at once to the one that refused")
	}
	b.pass(retryMin)
	if len(b.sent) != 2 {
		t.Fatalf("sent %d times after the pause", len(b.sent))
	}
	refuse()
	b.pass(retryMin)
	if len(b.sent) != 2 {
		t.Fatal("the second pause is no longer than the first")
	}
	p.leader = 3
	b.pass(0)
	if len(b.sent) != 3 || b.sentTo[2] != 3 {
		t.Fatalf("sent to %v: another leader need not be waited for", b.sentTo)
	}
}

func TestWritesTriedAgainKeepTheirOrder(t *testing.T) {
	for name, change := range map[string]func(*Command){"replica here": func(*Command) {},
		"elsewhere": func(c *Command) { c.Group, c.Nodes = 9, []core.NodeID{2, 3} }} {
		b := newBench(t, Options{})
		p := &puppet{leader: 2}
		b.add(1, p)
		const commands = 8
		// Places in the table that were used before are given out in another order.
		for token := range uint64(commands) {
			b.submit(token, change)
		}
		for i := range commands {
			b.host.Returned(b.now, 2, b.sent[i].ID, kv.Result{})
		}
		for token := range uint64(commands) {
			b.submit(100+token, change)
		}
		b.sent = nil
		b.host.PeerDown(b.now, 2)
		p.leader = 3
		b.pass(0)
		if len(b.sent) != commands {
			t.Fatalf("%s: %d commands were sent again", name, len(b.sent))
		}
		for i, f := range b.sent {
			var c kv.Command
			if err := kv.DecodeCommand(f.Encoded, &c); err != nil || c.Ops[0].Key[0] != byte(100+i) {
				t.Errorf("%s: command %d is %v, %v", name, i, c.Ops, err)
			}
		}
	}
}

func TestLateAnswerFindsNoneButItsOwnCommand(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 1}
	b.add(1, p)
	b.submit(1)
	b.pass(1000*ms + sweepEvery)
	b.submit(2) // takes the place of the first
	p.on = func(in *core.Input, out *core.Effects) {
		if _, ok := in.Event.(core.Tick); ok {
			out.ReplyEarly(p.requests[0].ID, kv.Result{Code: kv.NotFound})
		}
	}
	b.host.Event(b.now, 1, core.Tick{})
	b.wantAnswer(1, kv.Unknown)
	b.wantAnswer(2, none)
}

func TestParkedCommandsThatRanOutOfTimeAreForgotten(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, &puppet{})
	for round := range 20 {
		for i := range uint64(10) {
			b.submit(uint64(round)*10+i, func(c *Command) { c.Deadline = b.now.Mono + ms })
		}
		b.pass(sweepEvery)
	}
	if n := len(b.host.index[1].parked); n != 0 || b.host.Pending() != 0 || b.host.requests.bytes != 0 {
		t.Errorf("%d parked, %d pending, %d bytes", n, b.host.Pending(), b.host.requests.bytes)
	}
}

func TestLanesAcknowledgeOnlyWhatIsAnswered(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, &puppet{leader: 2})
	sessions := map[[16]byte]bool{}
	for token := range uint64(3 * laneWidth) {
		b.submit(token)
		var c kv.Command
		if err := kv.DecodeCommand(b.sent[token].Encoded, &c); err != nil {
			t.Fatal(err)
		}
		sessions[c.Session.Client] = true
		if c.Session.Seq-c.Session.Acked > laneWidth {
			t.Fatalf("command %d of a lane acknowledges %d", c.Session.Seq, c.Session.Acked)
		}
	}
	if len(sessions) != 3 {
		t.Errorf("%d commands travel on %d lanes", 3*laneWidth, len(sessions))
	}
	for token, f := range b.sent {
		b.host.Returned(b.now, 2, f.ID, kv.Result{})
		b.wantAnswer(uint64(token), kv.OK)
	}
	b.submit(1000)
	var c kv.Command
	if err := kv.DecodeCommand(b.sent[len(b.sent)-1].Encoded, &c); err != nil || c.Session.Acked != c.Session.Seq-1 {
		t.Errorf("%v, %+v: all before it were answered", err, c.Session)
	}
}

// sessionOf is the session of the command that was forwarded last.
func (b *bench) sessionOf(t *testing.T) kv.Session {
	t.Helper()
	var c kv.Command
	if err := kv.DecodeCommand(b.sent[len(b.sent)-1].Encoded, &c); err != nil || c.Session.IsZero() {
		t.Fatalf("forwarded %+v, %v", c, err)
	}
	return c.Session
}

func TestRefusedLaneIsReplaced(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, &puppet{leader: 2})
	b.submit(1)
	refused := b.sessionOf(t)
	b.submit(2)
	b.host.Returned(b.now, 2, b.sent[0].ID, kv.Result{Code: kv.TooOld})
	b.wantAnswer(1, kv.ClockSkew)
	b.submit(3)
	if b.sessionOf(t).Client == refused.Client {
		t.Error("a command follows on a lane that was refused")
	}
	b.host.Returned(b.now, 2, b.sent[1].ID, kv.Result{})
	b.wantAnswer(2, kv.OK)
}

// TestRequestsOfAnEarlierRunAreNotThoseOfThisOne: a peer may still hold the answer to a command of the node's last run.
func TestRequestsOfAnEarlierRunAreNotThoseOfThisOne(t *testing.T) {
	ids := map[core.RequestID]bool{}
	for run := range uint64(3) {
		b := newBench(t, Options{})
		b.host = New(b, rand.New(rand.NewPCG(run, 1)), 0, b.now, Options{})
		b.add(1, &puppet{leader: 2})
		for token := range uint64(4) {
			b.submit(token)
			if id := b.sent[token].ID; ids[id] {
				t.Errorf("run %d: id %x was given before", run, id)
			} else {
				ids[id] = true
			}
		}
	}
}

// TestDisplacedWriteKeepsItsSession: the group that had it may have executed it before it gave the keys away, so the other one must be
// able to tell.
func TestDisplacedWriteKeepsItsSession(t *testing.T) {
	b := newBench(t, Options{})
	p, child := &puppet{leader: 2}, &puppet{leader: 3}
	b.add(1, p)
	b.add(2, child)
	b.place = map[uint64]Placement{1: {Group: 1}}
	b.submit(1)
	b.host.PeerDown(b.now, 2) // it may have been executed
	p.leader = 3
	b.pass(ms)
	b.host.Returned(b.now, 3, b.sent[1].ID, kv.Result{Code: kv.Moved})
	b.pass(0) // nobody knows yet whose the keys are
	b.place[1] = Placement{Group: 2}
	b.pass(retryMin)
	if len(b.sent) != 3 || b.sent[2].Group != 2 || !bytes.Equal(b.sent[2].Encoded, b.sent[0].Encoded) {
		t.Fatalf("sent %+v", b.sent)
	}
	b.wantAnswer(1, none)
	b.host.Returned(b.now, 3, b.sent[2].ID, kv.Result{})
	b.wantAnswer(1, kv.OK)
}

// TestDisplacedCommandsKeepTheirOrder: the first one learns earlier that its keys are another group's, and asks in vain whose; the second
// one must not be there before it.
func TestDisplacedCommandsKeepTheirOrder(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, &puppet{leader: 2})
	b.add(2, &puppet{leader: 3})
	b.place = map[uint64]Placement{1: {Group: 1}, 2: {Group: 1}}
	b.submit(1)
	b.submit(2)
	b.host.Returned(b.now, 2, b.sent[0].ID, kv.Result{Code: kv.Moved})
	b.pass(0)
	b.pass(retryMin)
	b.host.Returned(b.now, 2, b.sent[1].ID, kv.Result{Code: kv.Moved})
	b.place[1], b.place[2] = Placement{Group: 2}, Placement{Group: 2}
	b.pass(0)
	b.pass(retryMax)
	if len(b.sent) != 4 || b.sent[2].ID != b.sent[0].ID || b.sent[3].ID != b.sent[1].ID || b.sent[2].Group != 2 {
		t.Fatalf("sent %+v", b.sent)
	}
}

// TestDisplacedCommandsEnd: at their deadlines, or when they belong nowhere; those of fixed groups and of other nodes at once.
func TestDisplacedCommandsEnd(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, &puppet{leader: 1, on: answerAll(kv.Moved)})
	b.place = map[uint64]Placement{1: {Group: 1}, 2: {Refused: &kv.Result{Code: kv.CrossShard}}}
	b.submit(1)
	b.submit(2)
	b.submit(3, func(c *Command) { c.Fixed = true })
	b.host.Forwarded(b.now, 2, Forward{ID: 5, Group: 1, Within: 100 * ms})
	b.pass(ms)
	b.pass(ms)
	b.wantAnswer(1, none)
	b.wantAnswer(2, kv.CrossShard)
	b.wantAnswer(3, kv.Moved)
	if r := b.returns[5]; len(r) != 1 || r[0].Code != kv.Moved {
		t.Errorf("to another node: %+v", r)
	}
	b.pass(2 * 1000 * ms)
	b.wantAnswer(1, kv.Unavailable)
}

// TestCommandsOfAGroupThatIsGoneGoOn: what a group that has retired did not execute goes once to who has its keys.
func TestCommandsOfAGroupThatIsGoneGoOn(t *testing.T) {
	for _, retired := range []bool{true, false} {
		b := newBench(t, Options{})
		p, other := &puppet{leader: 1}, &puppet{leader: 1, on: answerAll(kv.OK)}
		b.add(1, p)
		b.add(2, other)
		b.place = map[uint64]Placement{1: {Group: 1}, 2: {Group: 1}, 3: {Group: 1}}
		b.submit(1) // the replica has it
		b.submit(2, asRead)
		p.on = answerAll(kv.Moved)
		b.submit(3) // nobody has it: it waits to be placed
		b.host.Forwarded(b.now, 2, Forward{ID: 5, Group: 1, Within: 100 * ms})
		b.host.Displace(b.now, 1, retired)
		b.host.Remove(b.now, 1)
		for token := range b.place {
			b.place[token] = Placement{Group: 2}
		}
		b.pass(retryMin)
		b.pass(retryMax)
		want := kv.OK
		if !retired {
			want = kv.Unknown // the replica may have executed it, and not heard that it has
		}
		b.wantAnswer(1, want)
		b.wantAnswer(2, kv.OK)
		b.wantAnswer(3, kv.OK)
		if r := b.returns[5]; len(r) != 1 || r[0].Code != kv.Moved {
			t.Errorf("to another node: %+v", r)
		}
	}
}

// TestGroupThatIsGoneElsewhereIsNotAskedForEver: a node without a replica of it finds out where the keys are.
func TestGroupThatIsGoneElsewhereIsNotAskedForEver(t *testing.T) {
	b := newBench(t, Options{})
	b.add(2, &puppet{leader: 1, on: answerAll(kv.OK)})
	b.place = map[uint64]Placement{1: {Group: 2}}
	b.submit(1, asRead, func(c *Command) { c.Nodes = []core.NodeID{2, 3} })
	for try := range 2 {
		b.host.Returned(b.now, b.sentTo[try], b.sent[try].ID, kv.Result{Code: kv.NotLeader})
		b.pass(0)
	}
	b.wantAnswer(1, kv.OK)
}
