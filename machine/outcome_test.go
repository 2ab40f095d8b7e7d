package machine

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
)

func asked(s kv.Session) kv.Command {
	return kv.OutcomeCommand(kv.RequestID{Keyspace: "k", Key: key("n"), Session: s})
}

func TestOutcomeOfWhatWasExecuted(t *testing.T) {
	w, me := newWorld(), client(epoch)
	w.entry(increment(kv.Session{Client: me, Seq: 1}))
	failed := kv.Command{Session: kv.Session{Client: me, Seq: 2}, Conds: []kv.Cond{{Key: key("n"), Kind: kv.CondAbsent}}, Ops: []kv.Op{del("n")}}
	r := w.entry(failed, asked(kv.Session{Client: me, Seq: 1}), asked(kv.Session{Client: me, Seq: 2}))
	if r := r[1]; !r.Existed || r.Items[0].Int != 1 {
		t.Errorf("what was executed before: %+v", r)
	}
	if r := r[2]; !r.Existed || r.Items[0].Code != kv.ConditionFailed {
		t.Errorf("what was executed in the same entry, and found something else: %+v", r)
	}
	w.entry(increment(kv.Session{Client: me, Seq: 3, Acked: 2}))
	if r := w.entry(asked(kv.Session{Client: me, Seq: 1}))[0]; r.Code != kv.TooOld {
		t.Errorf("what was acknowledged: %+v", r)
	}
}

// TestNotDoneIsFinal: whatever comes later under the number is not executed, in the same entry or in any other.
func TestNotDoneIsFinal(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, late := newWorld(), kv.Session{Client: client(epoch), Seq: 2}
		if known {
			w.entry(increment(kv.Session{Client: late.Client, Seq: 1}))
		}
		before := w.one(get("n"))
		r := w.entry(asked(late), increment(late), asked(late))
		if r[0].Code != kv.OK || r[0].Existed || r[1].Code != kv.Fenced || r[2].Existed {
			t.Errorf("known %t: %+v", known, r)
		}
		for range 40 {
			w.now += sessionWindow / 10
			w.expire()
			if r := w.entry(increment(late))[0]; r.Code != kv.Fenced && r.Code != kv.TooOld {
				t.Fatalf("known %t, after %d ms: %+v", known, w.now-epoch, r)
			}
		}
		if after := w.one(get("n")); string(after.Value) != string(before.Value) {
			t.Errorf("known %t: %q became %q", known, before.Value, after.Value)
		}
	}
}

// TestOutcomeByAge: where the session is not in the table, its age tells what can be said.
func TestOutcomeByAge(t *testing.T) {
	for _, c := range []struct {
		created int64
		want    kv.Code
		fences  bool
	}{
		{epoch + sessionWindow/2 + 1, kv.Invalid, false}, {epoch + sessionWindow/2, kv.OK, true}, {epoch - sessionWindow, kv.OK, true},
		{epoch - sessionWindow - 1, kv.OK, false}, {epoch - sessionWindow*3/2, kv.OK, false}, {epoch - sessionWindow*3/2 - 1, kv.TooOld, false},
	} {
		w := newWorld()
		r := w.entry(asked(kv.Session{Client: client(c.created), Seq: 1}))[0]
		if r.Code != c.want || r.Existed || (w.left(sessionKind) == 1) != c.fences {
			t.Errorf("created %+d: %+v, %d sessions", c.created-epoch, r, w.left(sessionKind))
		}
	}
}

func TestFencesHaveABound(t *testing.T) {
	w, me := newWorld(), client(epoch)
	for seq := range uint64(sessionResults + fencesMax) {
		if r := w.entry(asked(kv.Session{Client: me, Seq: seq + 1}))[0]; r.Code != kv.OK {
			t.Fatalf("%d: %+v", seq+1, r)
		}
	}
	if r := w.entry(asked(kv.Session{Client: me, Seq: sessionResults + fencesMax + 1}))[0]; r.Code != kv.Busy {
		t.Errorf("%+v", r)
	}
}

// TestFenceGoesWithTheKeys: a split hands the table over (rule P3), and so what must not be executed any more.
func TestFenceGoesWithTheKeys(t *testing.T) {
	w, late := newWorld(), kv.Session{Client: client(epoch), Seq: 1}
	w.entry(asked(late))
	w.index++
	w.machine.Begin(w, w.index, w.stamp())
	if !w.machine.Split(7, key("m"), nil) {
		t.Fatal("the split did nothing")
	}
	w.finish()
	child := newWorld()
	if err := Birth(w, 7, func(k, v []byte) error {
		child.pairs[string(k)] = v
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	child.machine.Bounds = BoundsOf(child)
	if r := child.entry(increment(late))[0]; r.Code != kv.Fenced {
		t.Errorf("%+v", r)
	}
}

// TestAskingWaitsForNobody: a transaction that holds the key is no reason to wait.
func TestAskingWaitsForNobody(t *testing.T) {
	w := newWorld()
	id := kv.TxID{Age: w.stamp(), Anchor: 1, Nonce: 1}
	w.entry(kv.Command{Tx: &kv.Tx{Step: kv.TxPrepare, ID: id, Participants: []uint64{1, 2}}, Ops: []kv.Op{set("n", "1")}})
	late := kv.Session{Client: client(epoch), Seq: 1}
	r := w.entry(increment(late), asked(late))
	if r[0].Code != kv.Locked || r[1].Code != kv.OK || r[1].Existed {
		t.Errorf("%+v", r)
	}
}

func TestUnfencedMachineExecutesWhatIsNotDone(t *testing.T) {
	w, late := newWorld(), kv.Session{Client: client(epoch), Seq: 1}
	w.machine.Unfenced = true
	if r := w.entry(asked(late), increment(late)); r[0].Existed || r[1].Code != kv.OK {
		t.Errorf("the planted bug does nothing: %+v", r)
	}
}
