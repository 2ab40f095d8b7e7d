package machine

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// prepare asks for a vote on a transaction that began now.
func (w *world) prepare(nonce uint64, conds []kv.Cond, ops ...kv.Op) (kv.TxID, *kv.TxAnswer, []kv.Result) {
	id := kv.TxID{Age: w.stamp(), Anchor: 1, Nonce: nonce}
	r := w.entry(kv.Command{Tx: &kv.Tx{Step: kv.TxPrepare, ID: id, Participants: []uint64{1, 2}}, Conds: conds, Ops: ops})[0]
	return id, r.Tx, r.Items
}

func (w *world) tx(step kv.TxStep, id kv.TxID, commit bool) kv.Result {
	return w.entry(kv.Command{Tx: &kv.Tx{Step: step, ID: id, Commit: commit}})[0]
}

func setOp(key, value string) kv.Op {
	return kv.Op{Kind: kv.OpSet, Key: []byte(key), Value: []byte(value)}
}

func getOp(key string) kv.Op { return kv.Op{Kind: kv.OpGet, Key: []byte(key)} }

// TestVoteHasTheResultsThatTakeEffect: versions and expiry included, whatever happens to other keys in between.
func TestVoteHasTheResultsThatTakeEffect(t *testing.T) {
	w := newWorld()
	w.one(setOp("n", "5"))
	mortal := setOp("m", "x")
	mortal.Expiry, mortal.Expire = kv.ExpireIn, 60_000
	id, vote, items := w.prepare(1, nil, kv.Op{Kind: kv.OpIncr, Key: []byte("n"), Delta: 2}, mortal, getOp("n"))
	if vote.State != kv.TxYes || items[0].Int != 7 || string(items[2].Value) != "7" {
		t.Fatalf("%+v %+v", vote, items)
	}
	again := w.entry(kv.Command{Tx: &kv.Tx{Step: kv.TxPrepare, ID: id}})[0]
	if again.Items[0].Version != items[0].Version || again.Items[1].ExpireAt != items[1].ExpireAt {
		t.Errorf("asked again: %+v, not %+v", again.Items, items)
	}
	w.now += 5000
	w.one(setOp("other", "y"))
	if r := w.tx(kv.TxResolve, id, true); r.Tx == nil || r.Tx.State != kv.TxCommitted {
		t.Fatalf("%+v", r)
	}
	for i, key := range []string{"n", "m"} {
		if r := w.one(getOp(key)); r.Version != items[i].Version || r.ExpireAt != items[i].ExpireAt {
			t.Errorf("%s: %+v, the vote said %+v", key, r, items[i])
		}
	}
	if r := w.one(setOp("n", "1")); r.Version <= items[0].Version {
		t.Errorf("version %d behind %d", r.Version, items[0].Version)
	}
}

// TestLocksAndWhoWaits is a table of what a lock keeps out.
func TestLocksAndWhoWaits(t *testing.T) {
	w := newWorld()
	w.one(setOp("relied", "1"))
	w.prepare(1, []kv.Cond{{Key: []byte("relied"), Kind: kv.CondPresent}}, setOp("written", "1"), getOp("read"))
	for _, c := range []struct {
		name string
		op   kv.Op
		want kv.Code
	}{
		{"a write of what is relied on", setOp("relied", "2"), kv.Locked},
		{"a read of it", getOp("relied"), kv.OK},
		{"a write of what is read", setOp("read", "2"), kv.Locked},
		{"a read of it", getOp("read"), kv.NotFound},
		{"a read of what is written", getOp("written"), kv.Locked},
		{"a copy onto it", kv.Op{Kind: kv.OpCopy, Key: []byte("relied"), Key2: []byte("written")}, kv.Locked},
		{"a clear", kv.Op{Kind: kv.OpClear}, kv.Locked},
		{"another key", setOp("free", "1"), kv.OK},
		{"a barrier", kv.Op{Kind: kv.OpNone}, kv.OK},
	} {
		if r := w.one(c.op); r.Code != c.want {
			t.Errorf("%s: %v, not %v", c.name, r.Code, c.want)
		}
	}
	if Locks(w) != 3 {
		t.Errorf("%d locks", Locks(w))
	}
	scan := &kv.Op{Kind: kv.OpScan, Key: []byte("w")}
	if got := Writers(w, scan, w.stamp()); len(got) != 1 {
		t.Errorf("a scan waits for %v", got)
	}
	scan.Key = []byte("x")
	if got := Writers(w, scan, w.stamp()); len(got) != 0 {
		t.Errorf("a scan behind it waits for %v", got)
	}
}

// TestLockedKeyDoesNotEnd: what a transaction relies on lives until it is decided, and is seen by nobody once it is past its time.
func TestLockedKeyDoesNotEnd(t *testing.T) {
	w := newWorld()
	mortal := setOp("k", "1")
	mortal.Expiry, mortal.Expire = kv.ExpireIn, 1000
	w.one(mortal)
	id, vote, _ := w.prepare(1, []kv.Cond{{Key: []byte("k"), Kind: kv.CondPresent}}, setOp("j", "1"))
	if vote.State != kv.TxYes {
		t.Fatalf("%+v", vote)
	}
	w.now += 2000
	w.expire()
	if _, there := w.pairs[string(DataKind)+"k"]; !there {
		t.Error("it has ended under the lock")
	}
	if r := w.one(getOp("k")); r.Code != kv.Locked {
		t.Errorf("a read: %v", r.Code)
	}
	if r := w.one(kv.Op{Kind: kv.OpScan}); r.Code != kv.Locked {
		t.Errorf("a scan: %v, %d keys", r.Code, len(r.Items))
	}
	if got := Writers(w, &kv.Op{Kind: kv.OpScan}, w.stamp()); len(got) != 1 || got[0] != id {
		t.Errorf("a scan waits for %v, not %v", got, id)
	}
	if got := Writers(w, &kv.Op{Kind: kv.OpScan, Key: []byte("l")}, w.stamp()); len(got) != 0 {
		t.Errorf("a scan behind it waits for %v", got)
	}
	if _, vote, _ := w.prepare(2, []kv.Cond{{Key: []byte("k"), Kind: kv.CondAbsent}}, setOp("i", "1")); vote.Reason != kv.TxConflict {
		t.Errorf("a transaction that relies on its being gone: %+v", vote)
	}
	if at, ok := Next(w); !ok || at <= w.now {
		t.Errorf("the end of a locked key is looked for without pause: %d, now is %d", at, w.now)
	}
	w.tx(kv.TxResolve, id, false)
	w.now += 2 * lockedFor
	w.expire()
	if _, there := w.pairs[string(DataKind)+"k"]; there {
		t.Error("it has not ended behind the lock")
	}
}

// TestMarksGoWithTheirAge: nothing is left of old transactions but those that are not over.
func TestMarksGoWithTheirAge(t *testing.T) {
	w := newWorld()
	done, _, _ := w.prepare(1, nil, setOp("a", "1"))
	w.tx(kv.TxResolve, done, true)
	w.tx(kv.TxForget, done, true)
	kept, _, _ := w.prepare(2, nil, setOp("b", "1"))
	w.tx(kv.TxResolve, kept, true)
	refused, vote, _ := w.prepare(3, []kv.Cond{{Key: []byte("a"), Kind: kv.CondAbsent}}, setOp("c", "1"))
	if vote.State != kv.TxRefused || vote.Reason != kv.TxCondition {
		t.Fatalf("%+v", vote)
	}
	at, ok := Next(w)
	if !ok || at != done.Age.UnixMilli()+floorMillis+1 {
		t.Errorf("the first mark goes at %d", at-epoch)
	}
	w.now += floorMillis + 10
	w.expire()
	var left []kv.TxID
	Transactions(w, func(id kv.TxID, _ kv.TxState) { left = append(left, id) })
	if len(left) != 1 || left[0] != kept {
		t.Errorf("left are %v, not %v; refused was %v", left, kept, refused)
	}
	for _, id := range []kv.TxID{done, refused} {
		if r := w.tx(kv.TxRefuse, id, false); r.Tx.State != kv.TxNone {
			t.Errorf("%v: %+v", id, r.Tx)
		}
	}
}

// TestOutcomesThatContradictTheVoteAreRefused: they change nothing.
func TestOutcomesThatContradictTheVoteAreRefused(t *testing.T) {
	w := newWorld()
	unknown := kv.TxID{Age: w.stamp(), Nonce: 9}
	if r := w.tx(kv.TxResolve, unknown, true); r.Code != kv.Invalid {
		t.Errorf("a commit without a vote: %+v", r)
	}
	id, _, _ := w.prepare(1, nil, setOp("a", "1"))
	if r := w.tx(kv.TxForget, id, true); r.Code != kv.Invalid {
		t.Errorf("forgotten before its outcome: %+v", r)
	}
	w.tx(kv.TxResolve, id, true)
	if r := w.tx(kv.TxResolve, id, false); r.Code != kv.Invalid {
		t.Errorf("an abort behind a commit: %+v", r)
	}
	if r := w.one(getOp("a")); string(r.Value) != "1" || Locks(w) != 0 {
		t.Errorf("%+v, %d locks", r, Locks(w))
	}
}

// TestSealOfAWrongClockIsNoSeal: one whose age says that it has come to nothing seals nothing, and whoever puts it on must hear that.
func TestSealOfAWrongClockIsNoSeal(t *testing.T) {
	w := newWorld()
	w.now += 2 * floorMillis
	old := kv.TxID{Age: w.stamp() - kv.HLCOf(floorMillis+60_000), Nonce: 1}
	if r := w.tx(kv.TxSeal, old, true); r.Code != kv.ClockSkew {
		t.Errorf("%+v", r)
	}
	if _, vote, _ := w.prepare(2, nil, setOp("k", "1")); vote.State != kv.TxYes {
		t.Errorf("vote %+v", vote)
	}
	if r := w.tx(kv.TxSeal, kv.TxID{Age: w.stamp(), Nonce: 3}, true); r.Code != kv.OK || r.Int != 1 {
		t.Errorf("%+v", r)
	}
	if _, vote, _ := w.prepare(4, nil, setOp("j", "1")); vote.State != kv.TxRefused || vote.Reason != kv.TxDropped {
		t.Errorf("vote under a seal: %+v", vote)
	}
}
