package machine

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// away puts a key's value elsewhere, as the state under the machine does.
func (w *world) away(k, v string) {
	w.one(set(k, v))
	stored := w.pairs[string(DataKind)+k]
	ref := kv.Kept([]byte(v), kv.InsideMax)
	w.pairs[string(DataKind)+k] = append(stored[:len(stored)-len(v):len(stored)-len(v)], ref...)
}

// TestOperationsOnValuesKeptElsewhere does what needs no value, and leaves alone what does.
func TestOperationsOnValuesKeptElsewhere(t *testing.T) {
	long := strings.Repeat("long ", 20)
	for _, c := range []struct {
		name string
		op   kv.Op
		want string
	}{
		{"length", with(get("k"), func(o *kv.Op) { o.Quiet = true }), "ok existed int 100"},
		{"set if the value is", with(set("k", "2"), func(o *kv.Op) { o.When, o.Expect = kv.IfValue, key(long) }), "ok existed"},
		{"set if the value is another", with(set("k", "2"), func(o *kv.Op) { o.When, o.Expect = kv.IfValue, key(long[1:]) }), "condition failed existed"},
		{"append", kv.Op{Kind: kv.OpAppend, Key: key("k"), Value: key("x")}, "unsupported existed"},
		{"append to another version", kv.Op{Kind: kv.OpAppend, Key: key("k"), Value: key("x"), When: kv.IfVersion, Version: 9}, "condition failed existed"},
		{"prepend", kv.Op{Kind: kv.OpPrepend, Key: key("k"), Value: key("x")}, "unsupported existed"},
		{"set a range", kv.Op{Kind: kv.OpSetRange, Key: key("k"), Value: key("x")}, "unsupported existed"},
		{"set an empty range", kv.Op{Kind: kv.OpSetRange, Key: key("k")}, "ok existed int 100"},
		{"rename", kv.Op{Kind: kv.OpRename, Key: key("k"), Key2: key("x")}, "unsupported existed"},
		{"copy", kv.Op{Kind: kv.OpCopy, Key: key("k"), Key2: key("x")}, "unsupported existed"},
		{"increment", kv.Op{Kind: kv.OpIncr, Key: key("k"), Delta: 1}, "not an integer existed"},
		{"increment a float", kv.Op{Kind: kv.OpIncrFloat, Key: key("k"), Float: 1}, "unsupported existed"},
		{"count", kv.Op{Kind: kv.OpCounter, Key: key("k"), Magnitude: 1}, "not an integer existed"},
		{"expire", kv.Op{Kind: kv.OpExpire, Key: key("k"), Expiry: kv.ExpireIn, Expire: 5}, "ok existed int 100 ends +5"},
		{"delete", del("k"), "ok existed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.away("k", long)
			r := w.one(c.op)
			if r.Value = nil; line(r) != c.want {
				t.Errorf("%s, want %s", line(r), c.want)
			}
			if unsupported := r.Code == kv.Unsupported; Elsewhere(&r) != unsupported {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestNobodyForgesAReference puts one together from parts, each of which is a value like any other.
func TestNobodyForgesAReference(t *testing.T) {
	ref := kv.Refer([]byte("secret")).AppendTo(nil)
	w := newWorld()
	w.one(set("k", string(ref[:20])))
	w.one(set("l", string(ref[20:])))
	for _, o := range []kv.Op{{Kind: kv.OpAppend, Key: key("k"), Value: ref[20:]}, {Kind: kv.OpSetRange, Key: key("k"), Offset: 20, Value: ref[20:]},
		{Kind: kv.OpPrepend, Key: key("l"), Value: ref[:20]}} {
		if r := w.one(o); r.Code != kv.Invalid {
			t.Errorf("operation %d: %s", o.Kind, line(r))
		}
	}
}
