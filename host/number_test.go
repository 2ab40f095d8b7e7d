package host

import (
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func asTracked(c *Command) { c.Tracked = true }

func sessionIn(t *testing.T, encoded []byte) kv.Session {
	t.Helper()
	c, err := kv.DecodeHead(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return c.Session
}

// TestUnknownWriteIsNamed: the number that the leader's own client is told is the one in the log, and no later one acknowledges it.
func TestUnknownWriteIsNamed(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 1}
	b.add(1, p)
	b.submit(1, asTracked)
	b.pass(1100 * ms)
	b.wantAnswer(1, kv.Unknown)
	first := sessionIn(t, p.requests[0].Command)
	if r := b.answers[1][0].Request; r == nil || first.IsZero() || r.Client != first.Client || r.Seq != first.Seq {
		t.Fatalf("named %+v, sent as %+v", r, first)
	}
	b.submit(2, asTracked)
	b.pass(0)
	if next := sessionIn(t, p.requests[1].Command); next.Client == first.Client {
		t.Errorf("a write follows on the lane of an open one: %+v", next)
	}
}

// TestReadsAndUntrackedWritesGoAsTheyCame: a number would have the group keep their answers, or means nothing to it.
func TestReadsAndUntrackedWritesGoAsTheyCame(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 1}
	b.add(1, p)
	b.submit(1)
	b.submit(2, asTracked, asRead)
	b.pass(1100 * ms)
	for i, q := range p.requests {
		if s := sessionIn(t, q.Command); !s.IsZero() {
			t.Errorf("command %d has the session %+v", i, s)
		}
	}
	if r := b.answers[1][0]; r.Code != kv.Unknown || r.Request != nil {
		t.Errorf("%+v", r)
	}
}

// TestTimeOfTheGroupIsNotThisNodes: a leader whose group's time is far from its clock takes its own clients' writes without numbers.
func TestTimeOfTheGroupIsNotThisNodes(t *testing.T) {
	b := newBench(t, Options{})
	numbered := 0
	b.add(1, &puppet{leader: 1, on: func(in *core.Input, out *core.Effects) {
		q, ok := in.Event.(core.Requests)
		for i := 0; ok && i < len(q.List); i++ {
			code := kv.OK
			if s := sessionIn(t, q.List[i].Command); !s.IsZero() {
				code, numbered = kv.TooOld, numbered+1
			}
			out.Reply(q.List[i].ID, kv.Result{Code: code})
		}
	}})
	for token := range uint64(3) {
		b.submit(token, asTracked)
		b.pass(ms)
		b.wantAnswer(token, kv.OK)
	}
	if numbered != 1 {
		t.Errorf("%d commands were tried under a number", numbered)
	}
}

// TestTimeOfTheGroupThatTookTheKeysIsNotThisNodes: the command brings a number along that was made for another group.
func TestTimeOfTheGroupThatTookTheKeysIsNotThisNodes(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, &puppet{leader: 1, on: answerAll(kv.Moved)})
	b.add(2, &puppet{leader: 1, on: func(in *core.Input, out *core.Effects) {
		q, ok := in.Event.(core.Requests)
		for i := 0; ok && i < len(q.List); i++ {
			code := kv.OK
			if s := sessionIn(t, q.List[i].Command); !s.IsZero() {
				code = kv.TooOld
			}
			out.Reply(q.List[i].ID, kv.Result{Code: code})
		}
	}})
	b.place = map[uint64]Placement{1: {Group: 1}}
	b.submit(1, asTracked)
	b.pass(ms)
	b.place[1] = Placement{Group: 2}
	b.pass(retryMax)
	b.wantAnswer(1, kv.OK)
}

// TestFencedWriteIsDefinite: an earlier try may have been under way, but the answer is about the number, and so about all of them.
func TestFencedWriteIsDefinite(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{leader: 2}
	b.add(1, p)
	b.submit(1)
	b.host.PeerDown(b.now, 2)
	p.leader = 3
	b.pass(ms)
	b.host.Returned(b.now, 3, b.sent[1].ID, kv.Result{Code: kv.Fenced})
	b.wantAnswer(1, kv.Fenced)
}

// TestWriteThatMustNotBeSentAgainIsNamedAllTheSame: it ends as unknown at once, and can be asked for.
func TestWriteThatMustNotBeSentAgainIsNamedAllTheSame(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, &puppet{leader: 2})
	b.submit(1, asTracked, func(c *Command) { c.Once = true })
	s := b.sessionOf(t)
	b.host.PeerDown(b.now, 2)
	b.pass(ms)
	b.wantAnswer(1, kv.Unknown)
	if r := b.answers[1][0].Request; r == nil || r.Client != s.Client || r.Seq != s.Seq || len(b.sent) != 1 {
		t.Errorf("named %+v, sent as %+v, %d times", r, s, len(b.sent))
	}
}
