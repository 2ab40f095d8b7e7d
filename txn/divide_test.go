package txn

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// byDigit puts a key into the group that its last byte names.
func byDigit(_ *kv.Keyspace, key []byte) uint64 { return uint64(key[len(key)-1] - '0') }

func space(c kv.Consistency) *kv.Keyspace { return &kv.Keyspace{Name: "ks", Consistency: c} }

func setIn(ks *kv.Keyspace, key string, size int) kv.TxnOp {
	return kv.TxnOp{Keyspace: ks, Op: kv.Op{Kind: kv.OpSet, Key: []byte(key), Value: make([]byte, size)}}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	good := space(kv.Linearizable)
	for want, bad := range map[string]*kv.Txn{
		"at least one operation":                                 {},
		"ks is sequential and cannot take part":                  {Then: []kv.TxnOp{setIn(space(kv.Sequential), "a1", 1)}},
		"ks is quorum and cannot take part":                      {Then: []kv.TxnOp{setIn(good, "a1", 1)}, Else: []kv.TxnOp{setIn(space(kv.Quorum), "a1", 1)}},
		"ks is causal and cannot take part":                      {Then: []kv.TxnOp{setIn(good, "a1", 1)}, Conds: []kv.TxnCond{{Keyspace: space(kv.Causal)}}},
		"ks is atomic and cannot take part":                      {Then: []kv.TxnOp{setIn(space(kv.Atomic), "a1", 1)}},
		"of 1048580 bytes; the limit is 1048576":                 {Then: []kv.TxnOp{setIn(good, "a1", kv.TxnBytesMax/2), setIn(good, "a2", kv.TxnBytesMax/2)}},
		"scans, and clearing a keyspace, cannot be part":         {Then: []kv.TxnOp{{Keyspace: good, Op: kv.Op{Kind: kv.OpScan}}}},
		"a transaction of 4097 operations or conditions; the li": {Then: make([]kv.TxnOp, kv.OpsMax+1)},
	} {
		if err := Check(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
	if err := Check(&kv.Txn{Then: []kv.TxnOp{setIn(good, "a1", 5)}}); err != nil {
		t.Error(err)
	}
}

func TestDivideAndGather(t *testing.T) {
	ks := space(kv.Linearizable)
	conds := []kv.TxnCond{{Keyspace: ks, Cond: kv.Cond{Key: []byte("c2"), Kind: kv.CondAbsent}}, {Keyspace: ks, Cond: kv.Cond{Key: []byte("d3"), Kind: kv.CondAbsent}},
		{Keyspace: ks, Cond: kv.Cond{Key: []byte("e2"), Kind: kv.CondAbsent}}}
	d, err := Divide(conds, []kv.TxnOp{setIn(ks, "a2", 1), setIn(ks, "b1", 1), setIn(ks, "c2", 1)}, byDigit)
	if err != nil || len(d.Parts) != 3 || d.Parts[0].Group != 1 || len(d.Parts[1].Ops) != 2 || len(d.Parts[2].Ops) != 0 || len(d.Parts[1].Conds) != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	if d.Cond(2, 1) != 2 || d.Cond(3, 0) != 1 {
		t.Errorf("conditions %d and %d", d.Cond(2, 1), d.Cond(3, 0))
	}
	results := map[uint64][]kv.Result{1: {{Int: 10}}, 2: {{Int: 20}, {Int: 21}}}
	items, ok := d.Gather(func(g uint64) []kv.Result { return results[g] })
	if !ok || items[0].Int != 20 || items[1].Int != 10 || items[2].Int != 21 {
		t.Errorf("%+v, %t", items, ok)
	}
	delete(results, 1)
	if _, ok := d.Gather(func(g uint64) []kv.Result { return results[g] }); ok {
		t.Error("a result that is lost was not missed")
	}
	rename := kv.TxnOp{Keyspace: ks, Op: kv.Op{Kind: kv.OpRename, Key: []byte("a1"), Key2: []byte("a2")}}
	if _, err := Divide(nil, []kv.TxnOp{rename}, byDigit); err == nil || err.(*kv.Error).Code != kv.CrossShard {
		t.Errorf("a rename over two shards: %v", err)
	}
	big := kv.TxnOp{Keyspace: ks, Op: kv.Op{Kind: kv.OpGet, Key: make([]byte, kv.KeyMax+1)}}
	if _, err := Divide(nil, []kv.TxnOp{big}, byDigit); err == nil || err.(*kv.Error).Code != kv.Invalid {
		t.Errorf("a key that is too long: %v", err)
	}
}

// TestElseGoesBackAndForth: each attempt relies on what the one before found out.
func TestElseGoesBackAndForth(t *testing.T) {
	ks := space(kv.Linearizable)
	a, err := NewAttempts(&kv.Txn{Conds: []kv.TxnCond{{Keyspace: ks, Cond: kv.Cond{Key: []byte("c2"), Kind: kv.CondAbsent}}},
		Then: []kv.TxnOp{setIn(ks, "a1", 1)}, Else: []kv.TxnOp{setIn(ks, "b3", 1)}}, kv.TxID{Age: 5, Nonce: 6}, byDigit)
	if err != nil {
		t.Fatal(err)
	}
	for attempt, want := range []struct {
		first uint64
		kind  kv.CondKind
	}{{1, kv.CondAbsent}, {2, kv.CondPresent}, {1, kv.CondAbsent}} {
		id, parts := a.ID(), a.Parts()
		if id.Age != 5 || id.Nonce != 6 || id.Attempt != uint32(attempt) || id.Anchor != want.first || parts[0].Group != want.first {
			t.Errorf("attempt %d: %+v, %+v", attempt, id, parts)
		}
		for i := range parts {
			if len(parts[i].Conds) > 0 && parts[i].Conds[0].Kind != want.kind {
				t.Errorf("attempt %d relies on %+v", attempt, parts[i].Conds)
			}
		}
		if _, again := a.Next(Refusal{Group: 2, Reason: kv.TxCondition}); !again {
			t.Errorf("attempt %d is the last", attempt)
		}
	}
	if res, again := a.Next(Refusal{Group: 1, Reason: kv.TxConflict}); !again || res.Code != kv.Aborted {
		t.Errorf("a conflict: %+v, %t", res, again)
	}
	if res, again := a.Next(Refusal{Group: 1, Result: kv.Result{Code: kv.Unavailable}}); again || res.Code != kv.Unavailable {
		t.Errorf("a group that is not there: %+v, %t", res, again)
	}
}

// TestSnapshotNeedsTwoEqualReadings is a table of what two readings say.
func TestSnapshotNeedsTwoEqualReadings(t *testing.T) {
	ks := space(kv.Linearizable)
	reads := &kv.Txn{Then: []kv.TxnOp{{Keyspace: ks, Op: kv.Op{Kind: kv.OpGet, Key: []byte("a1")}}, {Keyspace: ks, Op: kv.Op{Kind: kv.OpGet, Key: []byte("b2")}}}}
	v := func(version uint64) kv.Result { return kv.Result{Version: version} }
	none := kv.Result{Code: kv.NotFound}
	for _, c := range []struct {
		name     string
		readings [][2]kv.Result
		ok       bool
		code     kv.Code
	}{
		{"equal", [][2]kv.Result{{v(1), v(2)}, {v(1), v(2)}}, true, kv.OK},
		{"changed once", [][2]kv.Result{{v(1), v(2)}, {v(1), v(3)}, {v(1), v(3)}, {v(1), v(3)}}, true, kv.OK},
		{"changed again and again", [][2]kv.Result{{v(1), v(2)}, {v(1), v(3)}, {v(1), v(3)}, {v(2), v(3)}, {v(4), v(3)}, {v(5), v(3)}}, false, kv.OK},
		{"missing", [][2]kv.Result{{v(1), none}, {v(1), none}}, false, kv.OK},
		{"no answer", [][2]kv.Result{{v(1), {Code: kv.Unavailable}}}, true, kv.Unavailable},
	} {
		s, err := NewSnapshot(reads, byDigit, NoMutation)
		if err != nil {
			t.Fatal(err)
		}
		done := false
		for i, r := range c.readings {
			if done {
				t.Errorf("%s: done after %d readings", c.name, i)
			}
			s.Reads()
			s.Answer(1, &r[0])
			s.Answer(2, &r[1])
			done = s.Round()
		}
		if res, ok := s.Result(); !done || ok != c.ok || res.Code != c.code {
			t.Errorf("%s: done %t, %+v, %t", c.name, done, res, ok)
		}
	}
}

func TestSweepWaitsItsTurn(t *testing.T) {
	var s Sweep
	first, second := &Unfinished{Group: 1, ID: kv.TxID{Nonce: 1}, Participants: []uint64{1, 2}}, &Unfinished{Group: 2, ID: kv.TxID{Nonce: 1}, Participants: []uint64{1, 2}}
	due := func(now int64) (bool, bool) {
		s.Begin()
		return s.Due(now, first), s.Due(now, second)
	}
	for _, c := range []struct {
		at   int64
		a, b bool
	}{{0, false, false}, {sweepAfter - 1, false, false}, {sweepAfter, true, false}, {sweepAfter + sweepStep, false, true}, {2 * sweepAfter, false, false}, {3 * sweepAfter, true, false}, {7*sweepAfter - 1, false, true}, {7 * sweepAfter, true, false}} {
		if a, b := due(c.at); a != c.a || b != c.b {
			t.Errorf("at %d: %t, %t", c.at, a, b)
		}
	}
	s.Begin() // both have ended meanwhile
	if a, b := due(9 * sweepAfter); a || b {
		t.Error("what is met anew is due at once")
	}
}

// TestDroppedKeyspaceIsNamed: between the look at the shards and the division a keyspace may go.
func TestDroppedKeyspaceIsNamed(t *testing.T) {
	ks := space(kv.Linearizable)
	gone := func(*kv.Keyspace, []byte) uint64 { return 0 }
	for _, x := range []*kv.Txn{
		{Then: []kv.TxnOp{setIn(ks, "a1", 1)}},
		{Conds: []kv.TxnCond{{Keyspace: ks}}, Then: []kv.TxnOp{setIn(ks, "a1", 1)}},
	} {
		if _, err := NewAttempts(x, kv.TxID{}, gone); err == nil || err.Error() != "no such keyspace: keyspace ks was dropped" {
			t.Errorf("%v", err)
		}
	}
}

// TestMissedIsDueAgain: what nobody had time for has not been tried.
func TestMissedIsDueAgain(t *testing.T) {
	var s Sweep
	o := &Unfinished{Group: 1, Participants: []uint64{1}}
	for _, at := range []int64{0, sweepAfter, sweepAfter + 1, sweepAfter + 2} {
		s.Begin()
		due := s.Due(at, o)
		if due != (at > 0) {
			t.Errorf("at %d: %t", at, due)
		}
		if due {
			s.Missed(at, o)
		}
	}
}
