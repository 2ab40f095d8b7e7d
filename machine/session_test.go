package machine

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/kv"
)

func client(created int64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(created)<<16|7)
	return id
}

func increment(s kv.Session) kv.Command {
	return kv.Command{Session: s, Ops: []kv.Op{{Kind: kv.OpIncr, Key: key("n"), Delta: 1}}}
}

func TestCommandSentAgainGetsTheSameAnswer(t *testing.T) {
	w, me := newWorld(), client(epoch)
	first := w.entry(increment(kv.Session{Client: me, Seq: 1}))[0]
	w.now += 500
	// Both in a later entry and twice in one.
	for _, again := range w.entry(increment(kv.Session{Client: me, Seq: 1}), increment(kv.Session{Client: me, Seq: 1})) {
		if diff := cmp.Diff(first, again); diff != "" {
			t.Error(diff)
		}
	}
	r := w.entry(increment(kv.Session{Client: me, Seq: 2}), increment(kv.Session{Client: me, Seq: 2}), increment(kv.Session{Client: me, Seq: 1}))
	if r[0].Int != 2 || r[1].Int != 2 || r[2].Int != 1 {
		t.Errorf("%d %d %d", r[0].Int, r[1].Int, r[2].Int)
	}
	// A condition that failed stays failed, though it would hold now.
	c := kv.Command{Session: kv.Session{Client: me, Seq: 3}, Conds: []kv.Cond{{Key: key("new"), Kind: kv.CondPresent}}, Ops: []kv.Op{del("new")}}
	failed := w.entry(c)[0]
	w.do(set("new", "1"))
	if again := w.entry(c)[0]; failed.Code != kv.ConditionFailed || again.Code != kv.ConditionFailed {
		t.Errorf("%v, then %v", failed.Code, again.Code)
	}
}

func TestForgetfulMachineExecutesTwice(t *testing.T) {
	w := newWorld()
	w.machine.Forgetful = true
	w.entry(increment(kv.Session{Client: client(epoch), Seq: 1}))
	if r := w.entry(increment(kv.Session{Client: client(epoch), Seq: 1}))[0]; r.Int != 2 {
		t.Errorf("the planted bug does nothing: %d", r.Int)
	}
}

func TestAcknowledgedAnswersAreForgotten(t *testing.T) {
	w, me := newWorld(), client(epoch)
	for seq := range uint64(3 * sessionResults) {
		s := kv.Session{Client: me, Seq: seq + 1, Acked: seq}
		if r := w.entry(increment(s))[0]; r.Code != kv.OK || r.Int != int64(seq+1) {
			t.Fatalf("command %d: %+v", seq+1, r)
		}
	}
	row := mustDecodeSession(w.pairs[string(append([]byte{sessionKind}, me[:]...))])
	if len(row.results) != 1 {
		t.Errorf("%d answers are kept", len(row.results))
	}
	if r := w.entry(increment(kv.Session{Client: me, Seq: 5}))[0]; r.Code != kv.TooOld {
		t.Errorf("an acknowledged command sent again: %+v", r)
	}
	if r := w.one(get("n")); string(r.Value) != "192" {
		t.Errorf("n is %q", r.Value)
	}
}

func TestSessionWithTooManyOpenAnswersIsBusy(t *testing.T) {
	w, me := newWorld(), client(epoch)
	for seq := range uint64(sessionResults) {
		w.entry(increment(kv.Session{Client: me, Seq: seq + 1}))
	}
	next := kv.Session{Client: me, Seq: sessionResults + 1}
	if r := w.entry(increment(next))[0]; r.Code != kv.Busy {
		t.Errorf("%+v", r)
	}
	if r := w.entry(increment(kv.Session{Client: me, Seq: 9}))[0]; r.Int != 9 {
		t.Errorf("the answers that it has are gone: %+v", r)
	}
	next.Acked = 1
	if r := w.entry(increment(next))[0]; r.Int != sessionResults+1 {
		t.Errorf("after an acknowledgement: %+v", r)
	}
}

func TestUnknownSessionMustBeYoung(t *testing.T) {
	for _, c := range []struct {
		created int64
		want    kv.Code
	}{
		{epoch, kv.OK}, {epoch - sessionWindow, kv.OK}, {epoch - sessionWindow - 1, kv.TooOld},
		{epoch + sessionWindow/2, kv.OK}, {epoch + sessionWindow/2 + 1, kv.TooOld}, {0, kv.TooOld},
	} {
		w := newWorld()
		r := w.entry(increment(kv.Session{Client: client(c.created), Seq: 1}))[0]
		if r.Code != c.want || (w.one(get("n")).Code == kv.OK) != (c.want == kv.OK) {
			t.Errorf("created %+d: %v", c.created-epoch, r.Code)
		}
	}
}

// TestForgottenSessionCannotBeginAgain is rule X2: whenever a session is forgotten, a late retry is too old to be taken up.
func TestForgottenSessionCannotBeginAgain(t *testing.T) {
	for _, created := range []int64{epoch - sessionWindow, epoch, epoch + sessionWindow/2} {
		w, s := newWorld(), kv.Session{Client: client(created), Seq: 1}
		w.entry(increment(s))
		for range 100 {
			w.now += sessionWindow / 10
			w.expire()
			if r := w.entry(increment(s))[0]; r.Code != kv.OK && r.Code != kv.TooOld {
				t.Fatalf("created %+d, now %+d: %+v", created-epoch, w.now-epoch, r)
			}
			if n := w.one(get("n")); string(n.Value) != "1" {
				t.Fatalf("created %+d, now %+d: executed again", created-epoch, w.now-epoch)
			}
		}
		if w.left(sessionKind) != 0 || w.left(idleKind) != 0 {
			t.Errorf("%d sessions, %d idle entries are left", w.left(sessionKind), w.left(idleKind))
		}
	}
}

func TestActiveSessionIsNotForgotten(t *testing.T) {
	w, me := newWorld(), client(epoch)
	for seq := range uint64(40) {
		if r := w.entry(increment(kv.Session{Client: me, Seq: seq + 1, Acked: seq}))[0]; r.Code != kv.OK {
			t.Fatalf("command %d: %+v", seq+1, r)
		}
		w.now += sessionIdle - 1
		w.expire()
	}
	if w.left(idleKind) != 1 {
		t.Errorf("%d idle entries", w.left(idleKind))
	}
}

// TestRepeatedAnswersOutliveTheirEntry: they leave when the entry is durable, and the next one may be under way by then.
func TestRepeatedAnswersOutliveTheirEntry(t *testing.T) {
	w := newWorld()
	w.do(set("n", "a value of some length"))
	c := kv.Command{Session: kv.Session{Client: client(epoch), Seq: 1}, Ops: []kv.Op{get("n"), set("m", "x")}}
	r := w.entry(c, c)
	for range 3 {
		w.do(set("o", "something else that goes through the same memory, at greater length than the answer"))
	}
	for i := range r {
		if got := string(r[i].Items[0].Value); got != "a value of some length" {
			t.Errorf("answer %d became %q", i, got)
		}
	}
}
