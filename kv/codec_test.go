package kv

import (
	"bytes"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fullOp has every field set, each to another value, so that no two can be mixed up.
var fullOp = Op{
	Kind: OpInvalidate, When: IfVersionOrOlder, Expiry: ExpireIn, ExpireWhen: ExpireIfLess, Old: true, HasInitial: true,
	KeysOnly: true, Quiet: true, Touch: true, Key: []byte("key"), Key2: []byte("key2"), End: []byte("end"), Value: []byte("value"),
	Expect: []byte("expect"), Flags: math.MaxUint32, Version: math.MaxUint64, NewVersion: 1, Expire: math.MinInt64, Delta: -2,
	Down: true, Magnitude: 1 << 63, Initial: 5, Float: -0.5, Offset: 6, Limit: 7,
}

var commands = map[string]Command{
	"get":     {Ops: []Op{{Kind: OpGet, Key: []byte("k")}}},
	"set":     {Ops: []Op{{Kind: OpSet, Key: []byte("k"), Value: []byte("v"), Expiry: ExpireAt, Expire: 1 << 41}}},
	"barrier": {Ops: []Op{{}}},
	"full":    {Ops: []Op{fullOp, {Kind: OpGet}, fullOp}},
	"conditions": {Conds: []Cond{{Key: []byte("a"), Kind: CondValue, Value: []byte("x")}, {Key: []byte("b"), Kind: CondVersion, Version: 9}},
		Ops: []Op{{Kind: OpDelete, Key: []byte("a")}}},
	"prepare": {Tx: &Tx{Step: TxPrepare, ID: TxID{Age: 1, Anchor: 2, Nonce: 3, Attempt: 4}, Participants: []uint64{2, 300}},
		Conds: []Cond{{Key: []byte("a"), Kind: CondOtherValue, Value: []byte("x")}}, Ops: []Op{{Kind: OpIncr, Key: []byte("n"), Delta: 1}}},
	"forget many":         {Tx: &Tx{Step: TxForgetMany, ID: TxID{Nonce: 1}, Others: []TxID{{Age: 2, Nonce: 3}, {Anchor: 4, Attempt: 5}}}},
	"resolve":             {Tx: &Tx{Step: TxResolve, ID: TxID{Nonce: math.MaxUint64}, Commit: true}},
	"session":             {Session: Session{Client: [16]byte{1, 15: 2}, Seq: 300, Acked: 299}, Ops: []Op{{Kind: OpIncr, Key: []byte("n"), Delta: math.MaxInt64}}},
	"bounded levels":      {Level: BoundedAge(BoundedAgeMax), Ops: []Op{{Kind: OpGet, Key: []byte("k")}}},
	"bounded by versions": {Level: BoundedVersions(BoundedVersionsMax), Ops: []Op{{Kind: OpGet, Key: []byte("k")}}},
	"receipt":             {Receipt: true, Token: []byte("seen"), Ops: []Op{{Kind: OpGet, Key: []byte("k")}}},
	"context":             {Token: []byte("seen"), Context: []byte("read"), Ops: []Op{{Kind: OpSet, Key: []byte("k")}}},
	"merge":               {Conds: []Cond{{Key: []byte("a"), Kind: CondAbsent}}, Ops: []Op{{Kind: OpSet, Key: []byte("a"), Value: []byte("v")}}, Merge: &Merge{Kind: MergeMax}},
	"alternatives": {Conds: []Cond{{Key: []byte("a"), Kind: CondAbsent}}, Ops: []Op{{Kind: OpSet, Key: []byte("a")}}, Merge: &Merge{Kind: MergeAlternatives,
		Alternatives: []Alternative{{Conds: []Cond{{Key: []byte("b"), Kind: CondVersion, Version: 7}}, Ops: []Op{fullOp}}, {Ops: []Op{{Kind: OpDelete, Key: []byte("c")}}}}}},
	"level and token":            {Level: LevelQuorum, Token: []byte("seen"), Ops: []Op{{Kind: OpGet, Key: []byte("k")}}},
	"negative zero and infinity": {Ops: []Op{{Kind: OpIncrFloat, Float: math.Copysign(0, -1)}, {Kind: OpIncrFloat, Float: math.Inf(1)}}},
}

func TestFullOpSetsEveryField(t *testing.T) {
	v := reflect.ValueOf(fullOp)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the field %s is not tried", v.Type().Field(i).Name)
		}
	}
}

func TestCommandsSurviveTheirEncoding(t *testing.T) {
	var got Command // reused: nothing of one may show in the next
	for name, c := range commands {
		encoded := AppendCommand(nil, &c)
		if err := DecodeCommand(encoded, &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// -0 is encoded as the zero that it equals.
		if diff := cmp.Diff(c, got, emptyIsNil); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for n := range encoded {
			if DecodeCommand(encoded[:n], &got) == nil {
				t.Errorf("%s: the first %d of %d bytes were taken for a command", name, n, len(encoded))
			}
		}
		if DecodeCommand(append(encoded, 0), &got) == nil {
			t.Errorf("%s: a byte too many was taken", name)
		}
	}
}

var emptyIsNil = cmp.FilterValues(func(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	return x.IsValid() && y.IsValid() && x.Kind() == reflect.Slice && y.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0
}, cmp.Comparer(func(any, any) bool { return true }))

func TestAppendWithSessionIsTheCommandOfASession(t *testing.T) {
	for name, c := range commands {
		if !c.Session.IsZero() {
			continue
		}
		plain := AppendCommand(nil, &c)
		c.Session = Session{Client: [16]byte{7}, Seq: 1 << 40, Acked: 5}
		if got, want := AppendWithSession(nil, plain, c.Session), AppendCommand(nil, &c); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, not %x", name, got, want)
		}
	}
}

var results = map[string]Result{
	"ok":      {},
	"unknown": {Code: Unknown, Detail: "no answer within the deadline"},
	"full": {Code: ConditionFailed, Existed: true, Marks: MarkWon | MarkStale, Flags: 1, Version: 2, ExpireAt: -3, AsOf: 4, Int: -5, Float: 6.5, Origin: 7, Level: BoundedAge(BoundedAgeMin), Position: 8, Siblings: 9, Token: []byte("token"),
		Value: []byte("value"), Key: []byte("key"), Items: []Result{{Value: []byte("a")}, {Code: NotFound}}, Detail: "detail",
		Tx: &TxAnswer{State: TxRefused, Reason: TxCondition, Cond: 3, Participants: []uint64{2, 1 << 40}}, Request: &Session{Client: [16]byte{1, 255}, Seq: 1 << 40}},
	"scan among several": {Items: []Result{{Items: []Result{{Key: []byte("k"), Value: []byte("v")}}, Key: []byte("next")}, {Int: 1}}},
}

func TestFullResultSetsEveryField(t *testing.T) {
	v := reflect.ValueOf(results["full"])
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the field %s is not tried", v.Type().Field(i).Name)
		}
	}
}

func TestResultsSurviveTheirEncoding(t *testing.T) {
	for name, r := range results {
		encoded := AppendResult(nil, &r)
		got := Result{Code: Busy, Value: []byte("left over"), Items: make([]Result, 3)}
		rest, err := DecodeResult(append(encoded, "rest"...), &got)
		if err != nil || string(rest) != "rest" {
			t.Errorf("%s: %v, then %q", name, err, rest)
			continue
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for n := range encoded {
			if _, err := DecodeResult(encoded[:n], &got); err == nil {
				t.Errorf("%s: the first %d of %d bytes were taken for a result", name, n, len(encoded))
			}
		}
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range commands {
		f.Add(AppendCommand(nil, &c))
	}
	f.Add([]byte{codecVersion, commandConds, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again Command
		if DecodeCommand(b, &c) != nil {
			return
		}
		// A field that is present and zero has two encodings, of which we write the shorter: ours must be stable.
		once := AppendCommand(nil, &c)
		if err := DecodeCommand(once, &again); err != nil || !bytes.Equal(AppendCommand(nil, &again), once) {
			t.Fatalf("%x becomes %x, then %v", b, once, err)
		}
		_ = c.Validate()
		c.Keys(func([]byte) {})
	})
}

func FuzzDecodeResult(f *testing.F) {
	for _, r := range results {
		f.Add(AppendResult(nil, &r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Result
		if _, err := DecodeResult(b, &r); err != nil {
			return
		}
		once := AppendResult(nil, &r)
		if rest, err := DecodeResult(once, &again); err != nil || len(rest) > 0 || !bytes.Equal(AppendResult(nil, &again), once) {
			t.Fatalf("%x becomes %x, then %v", b, once, err)
		}
	})
}

// TestLiesAboutLengthsCostNoMemory feeds encodings that promise far more than they hold.
func TestLiesAboutLengthsCostNoMemory(t *testing.T) {
	huge := "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
	lies := []func() error{
		func() error { return DecodeCommand([]byte("\x01\x00"+huge+strings.Repeat("\x00", 60)), new(Command)) },
		func() error { return DecodeCommand([]byte("\x01\x02"+huge+strings.Repeat("\x00", 60)), new(Command)) },
		func() error { return DecodeCommand([]byte("\x01\x00\x01\x01\x00"+huge), new(Command)) },
		func() error { _, err := DecodeResult([]byte("\x00\x80\x08"+huge), new(Result)); return err },
		func() error { _, err := DecodeResult([]byte("\x00\x80\x02"+huge), new(Result)); return err },
	}
	for i, lie := range lies {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := lie()
		runtime.ReadMemStats(&after)
		if grew := after.TotalAlloc - before.TotalAlloc; err == nil || grew > 1<<16 {
			t.Errorf("lie %d: %v, %d bytes", i, err, grew)
		}
	}
}

func TestResultsNestNoDeeperThanAllowed(t *testing.T) {
	r := Result{}
	for range resultDepth {
		r = Result{Items: []Result{r}}
	}
	if _, err := DecodeResult(AppendResult(nil, &r), new(Result)); err == nil {
		t.Error("a result of five levels was decoded")
	}
}
