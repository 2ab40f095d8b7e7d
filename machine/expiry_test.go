package machine

import (
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

func ending(k string, in int64) kv.Op {
	return with(set(k, "v"), func(o *kv.Op) { o.Expiry, o.Expire = kv.ExpireIn, in })
}

func TestKeysEndByLogTime(t *testing.T) {
	w := newWorld()
	w.do(ending("a", 100))
	for _, c := range []struct {
		after int64
		want  kv.Code
	}{{0, kv.OK}, {99, kv.OK}, {100, kv.NotFound}, {101, kv.NotFound}} {
		w.now = epoch + c.after
		if r := w.one(get("a")); r.Code != c.want {
			t.Errorf("after %d ms: %v", c.after, r.Code)
		}
	}
	// What has ended is missing for every operation, swept or not.
	if r := w.one(with(set("a", "new"), func(o *kv.Op) { o.When = kv.IfPresent })); r.Code != kv.NotFound {
		t.Errorf("replaced a key that has ended: %v", r.Code)
	}
	if r := w.one(kv.Op{Kind: kv.OpAppend, Key: key("a"), Value: key("!")}); r.Int != 1 || r.ExpireAt != 0 {
		t.Errorf("appended to a key that has ended: %+v", r)
	}
}

func TestExpireEndsOnlyWhatIsDue(t *testing.T) {
	w := newWorld()
	w.do(ending("a", 100), ending("b", 200), ending("c", 100), set("d", "v"))
	w.do(ending("c", 300), kv.Op{Kind: kv.OpExpire, Key: key("b")})
	if at, ok := Next(w); !ok || at != epoch+100 {
		t.Errorf("next at %+d, %t", at-epoch, ok)
	}
	w.now += 250
	w.expire()
	got := ""
	for _, k := range []string{"a", "b", "c", "d"} {
		if _, ok := w.pairs[string(DataKind)+k]; ok {
			got += k
		}
	}
	if got != "bcd" || w.left(expiryKind) != 1 {
		t.Errorf("%s are left, and %d expiries", got, w.left(expiryKind))
	}
	w.now += 100
	w.expire()
	if _, ok := Next(w); ok || w.left(DataKind) != 2 {
		t.Errorf("%d keys are left", w.left(DataKind))
	}
}

func TestOneEntryEndsABoundedNumberOfKeys(t *testing.T) {
	w := newWorld()
	for i := range expireBatch + 10 {
		w.do(ending(fmt.Sprint(i), 1))
	}
	w.now++
	w.expire()
	if n := w.left(DataKind); n != 10 {
		t.Errorf("%d keys are left", n)
	}
	w.expire()
	if n := w.left(DataKind); n != 0 {
		t.Errorf("%d keys are left in the end", n)
	}
}

// TestReadEndsNoKey: only the log may end a key, so a reader whose clock is ahead has to ask the log.
func TestReadEndsNoKey(t *testing.T) {
	w := newWorld()
	w.do(ending("a", 100), set("b", "v"))
	command := func(o kv.Op) *kv.Command { return &kv.Command{Ops: []kv.Op{o}} }
	if r, needsLog := Read(w, command(get("a")), kv.HLCOf(epoch+99)); needsLog || r.Code != kv.OK {
		t.Errorf("before its end: %v %t", r.Code, needsLog)
	}
	for _, o := range []kv.Op{get("a"), {Kind: kv.OpScan}} {
		if _, needsLog := Read(w, command(o), kv.HLCOf(epoch+100)); !needsLog {
			t.Errorf("operation %d judged the end of a key by the reader's clock", o.Kind)
		}
	}
	if _, needsLog := Read(w, command(get("b")), kv.HLCOf(epoch+100)); needsLog {
		t.Error("a key without end needs no log")
	}
	w.now += 100
	w.do(set("c", "v"))
	for _, now := range []int64{150, 50} { // a reader's clock may be behind the log's
		if r, needsLog := Read(w, command(get("a")), kv.HLCOf(epoch+now)); needsLog || r.Code != kv.NotFound {
			t.Errorf("once the log is past its end, %d ms after the beginning: %v %t", now, r.Code, needsLog)
		}
	}
}
