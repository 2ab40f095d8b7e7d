package machine

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// split divides a world at a key.
func (w *world) split(at string) (done bool) {
	w.index++
	w.machine.Begin(w, w.index, w.stamp())
	done = w.machine.Split(9, []byte(at), []core.Change{{Key: []byte("mc"), Value: []byte("config")}})
	w.finish()
	return done
}

// born is the child's world.
func (w *world) born(t testing.TB) *world {
	t.Helper()
	child := newWorld()
	child.index, child.now = w.index, w.now
	var last []byte
	err := Birth(w, 9, func(k, v []byte) error {
		if bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("%q follows %q", k, last)
		}
		last = bytes.Clone(k)
		child.pairs[string(k)] = bytes.Clone(v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	child.machine.Bounds = BoundsOf(child)
	return child
}

func TestBounds(t *testing.T) {
	b := &Bounds{From: key("d"), To: key("m")}
	one := func(o kv.Op) *kv.Command { return &kv.Command{Ops: []kv.Op{o}} }
	scanOf := func(from, end string) kv.Op { return kv.Op{Kind: kv.OpScan, Key: key(from), End: key(end)} }
	for _, c := range []struct {
		name       string
		bounds     *Bounds
		command    *kv.Command
		has, whole bool
	}{
		{"no bounds", nil, one(get("a")), true, true},
		{"the first key", b, one(get("d")), true, true},
		{"before it", b, one(get("c")), false, false},
		{"the last key", b, one(get("lzz")), true, true},
		{"behind it", b, one(get("m")), false, false},
		{"one key of two", b, &kv.Command{Ops: []kv.Op{get("e"), get("x")}}, false, false},
		{"a condition elsewhere", b, &kv.Command{Conds: []kv.Cond{{Key: key("x"), Kind: kv.CondAbsent}}, Ops: []kv.Op{get("e")}}, false, false},
		{"a rename out of it", b, one(kv.Op{Kind: kv.OpRename, Key: key("e"), Key2: key("z")}), false, false},
		{"a scan within", b, one(scanOf("d", "m")), true, true},
		{"a scan beyond", b, one(scanOf("e", "n")), true, false},
		{"a scan without end", b, one(scanOf("e", "")), true, false},
		{"a scan from before", b, one(scanOf("a", "e")), false, false},
		{"a barrier", b, one(kv.Op{Kind: kv.OpNone}), true, true},
	} {
		if has, whole := c.bounds.Has(c.command), c.bounds.Whole(c.command); has != c.has || whole != c.whole {
			t.Errorf("%s: has %v, whole %v", c.name, has, whole)
		}
	}
	for at, want := range map[string]bool{"d": false, "e": true, "m": false, "a": false, "": false} {
		if got := b.Divides(key(at)); got != want {
			t.Errorf("divides at %q: %v", at, got)
		}
	}
}

// TestSplitDividesAState: what is asked of either side afterwards is what would have been answered without the split.
func TestSplitDividesAState(t *testing.T) {
	w := newWorld()
	mortal := with(set("k9", "ends"), func(o *kv.Op) { o.Expiry, o.Expire = kv.ExpireIn, 1000 })
	session := kv.Session{Client: client(w.now), Seq: 1}
	versions := w.do(set("k1", "one"), set("k5", "five"), mortal)
	w.entry(kv.Command{Session: session, Ops: []kv.Op{{Kind: kv.OpIncr, Key: key("k7"), Delta: 1}}})
	if !w.split("k5") {
		t.Fatal("not divided")
	}
	w.one(set("k2", "later"))
	child := w.born(t)
	for at, want := range map[string]kv.Code{"k1": kv.OK, "k2": kv.OK, "k5": kv.Moved, "k7": kv.Moved, "k9": kv.Moved, "z": kv.Moved} {
		if r := w.one(get(at)); r.Code != want {
			t.Errorf("the parent on %s: %v", at, r.Code)
		}
	}
	if r := child.one(get("k5")); string(r.Value) != "five" || r.Version != versions[1].Version {
		t.Errorf("the child on k5: %+v", r)
	}
	if r := child.one(get("k1")); r.Code != kv.Moved {
		t.Errorf("the child on k1: %+v", r)
	}
	again := child.entry(kv.Command{Session: session, Ops: []kv.Op{{Kind: kv.OpIncr, Key: key("k7"), Delta: 1}}})[0]
	if r := child.one(get("k7")); again.Int != 1 || string(r.Value) != "1" {
		t.Errorf("a command that was executed before the split: %+v, then %q", again, r.Value)
	}
	if r := child.one(set("k5", "six")); r.Version <= versions[1].Version {
		t.Errorf("version %d behind %d", r.Version, versions[1].Version)
	}
	child.now += 2000
	child.expire()
	if _, there := child.pairs["dk9"]; there {
		t.Error("what was written with an end before the split has none in the child")
	}
}

// TestSplitIsToldFromAnEarlierOne: a replica that lags behind has given the key away before, for a child that was merged again since,
// and must not take that for the split that its log has yet to come to.
func TestSplitIsToldFromAnEarlierOne(t *testing.T) {
	w := newWorld()
	w.do(set("k1", "one"), set("k7", "seven"))
	if Divided(w, 9) {
		t.Error("divided before the split")
	}
	if !w.split("k5") {
		t.Fatal("not divided")
	}
	if BoundsOf(w).Holds(key("k7")) || !Divided(w, 9) || Divided(w, 10) {
		t.Errorf("bounds %+v, divided for 9: %v, for 10: %v", BoundsOf(w), Divided(w, 9), Divided(w, 10))
	}
}

// TestSplitWaitsForTransactions: while one holds locks the entry does nothing. A split that did not wait would lose its writes.
func TestSplitWaitsForTransactions(t *testing.T) {
	for _, bug := range []SplitMutation{NoSplitMutation, SplitOverLocks} {
		w := newWorld()
		w.machine.SplitMutation = bug
		w.do(set("a", "1"), set("z", "1"))
		id, _, _ := w.prepare(1, nil, setOp("a", "2"), setOp("z", "2"))
		early := w.split("m")
		var child *world
		if early {
			child = w.born(t)
		}
		w.tx(kv.TxResolve, id, true)
		if !early {
			if !w.split("m") {
				t.Fatal("not divided after the transaction")
			}
			child = w.born(t)
		}
		a, z := w.one(get("a")), child.one(get("z"))
		whole := string(a.Value) == "2" && string(z.Value) == "2"
		if whole != (bug == NoSplitMutation) {
			t.Errorf("%v: a is %q, z is %q", bug, a.Value, z.Value)
		}
	}
}

// TestClearAndScanEndAtTheBounds and say where to go on.
func TestClearAndScanEndAtTheBounds(t *testing.T) {
	w := newWorld()
	w.do(set("a", "1"), set("b", "1"), set("m", "1"), set("n", "1"))
	w.split("m")
	r := w.one(kv.Op{Kind: kv.OpScan})
	if len(r.Items) != 2 || string(r.Key) != "m" {
		t.Errorf("a scan: %d items, on at %q", len(r.Items), r.Key)
	}
	if r = w.one(kv.Op{Kind: kv.OpScan, Limit: 1}); len(r.Items) != 1 || string(r.Key) != "b" {
		t.Errorf("a page: %d items, on at %q", len(r.Items), r.Key)
	}
	if r = w.one(kv.Op{Kind: kv.OpScan, End: key("c")}); len(r.Items) != 2 || r.Key != nil {
		t.Errorf("a scan that ends before: %d items, on at %q", len(r.Items), r.Key)
	}
	if r = w.one(kv.Op{Kind: kv.OpClear}); r.Code != kv.OK || string(r.Key) != "m" {
		t.Errorf("a clear: %+v", r)
	}
	if child := w.born(t); child.one(get("m")).Code != kv.OK || w.one(get("a")).Code != kv.NotFound {
		t.Error("the parent was cleared, and the child keeps what it has")
	}
}

// TestWeanedStatesAreAlike: whether a replica has let go of its child's records shows nowhere.
func TestWeanedStatesAreAlike(t *testing.T) {
	w := newWorld()
	w.do(set("a", "1"), set("m", "1"), with(set("n", "1"), func(o *kv.Op) { o.Expiry, o.Expire = kv.ExpireIn, 100 }))
	w.split("m")
	weaned := newWorld()
	weaned.pairs, weaned.index, weaned.now, weaned.machine.Bounds = maps.Clone(w.pairs), w.index, w.now, w.machine.Bounds
	for _, c := range Weaned(weaned, 9) {
		maps.DeleteFunc(weaned.pairs, func(k string, _ []byte) bool { return k >= string(c.Key) && k < string(c.End) })
	}
	if len(Births(w)) != 1 || len(Births(weaned)) != 0 || Born(weaned, 9) {
		t.Error("births before and after")
	}
	for _, both := range []*world{w, weaned} {
		both.now += 1000
		both.do(set("b", "2"), del("a"))
		both.expire()
	}
	if a, b := seen(w), seen(weaned); !maps.Equal(a, b) {
		t.Errorf("%q\nand %q", a, b)
	}
}

// seen is what all replicas have alike.
func seen(w *world) map[string]string {
	list, visible := map[string]string{}, Visible(w)
	for k, v := range w.pairs {
		if visible([]byte(k)) {
			list[k] = string(v)
		}
	}
	return list
}

// TestSplitKeepsEveryRecord divides a state of any keys at any key, twice.
func TestSplitKeepsEveryRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		keys := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 1, 4, -1), 1, 20).Draw(t, "keys")
		for i, k := range keys {
			w.one(set(k, fmt.Sprint(i)))
		}
		all := maps.Clone(w.pairs)
		at := rapid.SampledFrom(keys).Draw(t, "at")
		if !w.split(at) {
			t.Fatalf("not divided at %q", at)
		}
		child := newWorld()
		if err := Birth(w, 9, func(k, v []byte) error { child.pairs[string(k)] = bytes.Clone(v); return nil }); err != nil {
			t.Fatal(err)
		}
		parts := map[string]string{}
		for _, side := range []*world{w, child} {
			EachRecord(side, nil, func(k, v []byte) bool {
				if parts[string(k)] != "" {
					t.Fatalf("%q is on both sides", k)
				}
				parts[string(k)] = string(v)
				return true
			})
		}
		for k, v := range all {
			if k[0] == DataKind && parts[k[1:]] != string(v) {
				t.Fatalf("%q is %q, not %q", k, parts[k[1:]], v)
			}
		}
	})
}

func TestMeasureFindsTheMiddle(t *testing.T) {
	w := newWorld()
	for i := range 1000 {
		w.one(set(fmt.Sprintf("k%04d", i), "0123456789"))
	}
	size, middle, late := Measure(w, func() bool { return false })
	if size < 15_000 || string(middle) < "k0450" || string(middle) > "k0550" {
		t.Errorf("%d bytes, the middle is %q", size, middle)
	}
	if string(late) < "k0860" || string(late) > "k0890" {
		t.Errorf("seven eighths lie before %q", late)
	}
	single := newWorld()
	single.one(set("only", "x"))
	if _, middle, _ := Measure(single, func() bool { return false }); middle != nil {
		t.Errorf("one record is divided at %q", middle)
	}
}

func FuzzDecodeBounds(f *testing.F) {
	f.Add((&Bounds{From: key("a"), To: key("b")}).AppendTo(nil))
	f.Add((&Bounds{From: key("a")}).AppendTo(nil))
	f.Add((&Bounds{To: []byte{}}).AppendTo(nil))
	f.Add([]byte{1, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		bounds, err := DecodeBounds(b)
		if err != nil {
			return
		}
		again, err := DecodeBounds(bounds.AppendTo(nil))
		if err != nil || !slices.Equal(again.From, bounds.From) || !slices.Equal(again.To, bounds.To) || (again.To == nil) != (bounds.To == nil) {
			t.Errorf("%+v became %+v, %v", bounds, again, err)
		}
	})
}
