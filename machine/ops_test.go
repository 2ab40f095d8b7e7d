package machine

import (
	"fmt"
	"math"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// line is a result in short: what most cases differ in.
func line(r kv.Result) string {
	s := r.Code.String()
	if r.Existed {
		s += " existed"
	}
	if r.Value != nil {
		s += fmt.Sprintf(" %q", r.Value)
	}
	if r.Int != 0 && r.Int != int64(len(r.Value)) { // a read's Int is the length of its value
		s += fmt.Sprintf(" int %d", r.Int)
	}
	if r.Flags != 0 {
		s += fmt.Sprintf(" flags %d", r.Flags)
	}
	if r.Marks != 0 {
		s += fmt.Sprintf(" marks %d", r.Marks)
	}
	if r.ExpireAt != 0 {
		s += fmt.Sprintf(" ends %+d", r.ExpireAt-epoch)
	}
	return s
}

// operations begin with a=1 (flags 7, ends at +1000), n=10, f=1.5, t=text.
var operations = []struct {
	name string
	op   kv.Op
	want string
	// then is what reading "a" and "x" says afterwards; empty: not looked at.
	a, x string
}{
	{"get", get("a"), `ok existed "1" flags 7 ends +1000`, "", ""},
	{"get nothing", get("x"), "not found", "", ""},
	{"get quietly", with(get("t"), func(o *kv.Op) { o.Quiet = true }), "ok existed int 4", "", ""},
	{"none", kv.Op{}, "ok", "", ""},
	{"set replaces all", set("a", "2"), "ok", `ok existed "2"`, ""},
	{"set keeps the expiry", with(set("a", "2"), func(o *kv.Op) { o.Expiry = kv.ExpireKeep }), "ok existed ends +1000", `ok existed "2" ends +1000`, ""},
	{"set with an end", with(set("x", "2"), func(o *kv.Op) { o.Expiry, o.Expire, o.Flags = kv.ExpireIn, 50, 3 }), "ok ends +50", "", `ok existed "2" flags 3 ends +50`},
	{"set with an end in the past", with(set("a", "2"), func(o *kv.Op) { o.Expiry, o.Expire = kv.ExpireAt, 1 }), fmt.Sprintf("ok ends %d", 1-epoch), "not found", ""},
	{"set and get old", with(set("a", "2"), func(o *kv.Op) { o.Old = true }), `ok existed "1" flags 7`, `ok existed "2"`, ""},
	{"add what is there", with(set("a", "2"), func(o *kv.Op) { o.When = kv.IfAbsent }), "condition failed existed", `ok existed "1" flags 7 ends +1000`, ""},
	{"add", with(set("x", "2"), func(o *kv.Op) { o.When = kv.IfAbsent }), "ok", "", `ok existed "2"`},
	{"replace nothing", with(set("x", "2"), func(o *kv.Op) { o.When = kv.IfPresent }), "not found", "", "not found"},
	{"compare and set of another version", with(set("a", "2"), func(o *kv.Op) { o.When, o.Version = kv.IfVersion, 1 }), "condition failed existed", `ok existed "1" flags 7 ends +1000`, ""},
	{"compare and set", with(set("a", "2"), func(o *kv.Op) { o.When, o.Version = kv.IfVersion, 1<<versionBits+1 }), "ok existed", `ok existed "2"`, ""},
	{"compare and set nothing", with(set("x", "2"), func(o *kv.Op) { o.When, o.Version = kv.IfVersion, 1 }), "not found", "", "not found"},
	{"set of an older version", with(set("a", "2"), func(o *kv.Op) { o.When, o.Version = kv.IfVersionOrOlder, 1 }), "ok existed ends +1000", `ok existed "2" marks 4 ends +1000`, ""},
	{"set of a version to come", with(set("a", "2"), func(o *kv.Op) { o.When, o.Version = kv.IfVersionOrOlder, math.MaxUint64 }), "condition failed existed", "", ""},
	{"set if the value is", with(set("a", "2"), func(o *kv.Op) { o.When, o.Expect = kv.IfValue, key("1") }), "ok existed", `ok existed "2"`, ""},
	{"set if the value is another", with(set("a", "2"), func(o *kv.Op) { o.When, o.Expect = kv.IfValue, key("0") }), "condition failed existed", "", ""},
	{"delete", del("a"), "ok existed", "not found", ""},
	{"delete nothing", del("x"), "not found", "", ""},
	{"get and delete", with(del("a"), func(o *kv.Op) { o.Old = true }), `ok existed "1" flags 7`, "not found", ""},
	{"delete of another version", with(del("a"), func(o *kv.Op) { o.When, o.Version = kv.IfVersion, 1 }), "condition failed existed", `ok existed "1" flags 7 ends +1000`, ""},
	{"incr keeps flags and end", kv.Op{Kind: kv.OpIncr, Key: key("a"), Delta: 41}, "ok existed int 42 flags 7 ends +1000", `ok existed "42" flags 7 ends +1000`, ""},
	{"incr nothing", kv.Op{Kind: kv.OpIncr, Key: key("x"), Delta: -3}, "ok int -3", "", `ok existed "-3"`},
	{"incr text", kv.Op{Kind: kv.OpIncr, Key: key("t"), Delta: 1}, "not an integer existed", "", ""},
	{"incr too far", kv.Op{Kind: kv.OpIncr, Key: key("n"), Delta: math.MaxInt64 - 9}, "overflow existed", "", ""},
	{"decr too far", kv.Op{Kind: kv.OpIncr, Key: key("x"), Delta: math.MinInt64}, "ok int -9223372036854775808", "", ""},
	{"incr by a fraction", kv.Op{Kind: kv.OpIncrFloat, Key: key("f"), Float: 0.25}, `ok existed "1.75"`, "", ""},
	{"incr text by a fraction", kv.Op{Kind: kv.OpIncrFloat, Key: key("t"), Float: 1}, "not a number existed", "", ""},
	{"counter up", kv.Op{Kind: kv.OpCounter, Key: key("n"), Magnitude: 5, Expiry: kv.ExpireKeep}, `ok existed "15"`, "", ""},
	{"counter up over the end", kv.Op{Kind: kv.OpCounter, Key: key("n"), Magnitude: math.MaxUint64, Expiry: kv.ExpireKeep}, `ok existed "9"`, "", ""},
	{"counter down to the floor", kv.Op{Kind: kv.OpCounter, Key: key("n"), Magnitude: 11, Down: true, Expiry: kv.ExpireKeep}, `ok existed "0"`, "", ""},
	{"counter of nothing", kv.Op{Kind: kv.OpCounter, Key: key("x"), Magnitude: 1}, "not found", "", "not found"},
	{"counter of nothing with a start", kv.Op{Kind: kv.OpCounter, Key: key("x"), HasInitial: true, Initial: 9, Magnitude: 1}, `ok "9"`, "", `ok existed "9"`},
	{"counter of text", kv.Op{Kind: kv.OpCounter, Key: key("t")}, "not an integer existed", "", ""},
	{"append", kv.Op{Kind: kv.OpAppend, Key: key("a"), Value: key("!")}, "ok existed int 2 flags 7 ends +1000", `ok existed "1!" flags 7 ends +1000`, ""},
	{"append creates", kv.Op{Kind: kv.OpAppend, Key: key("x"), Value: key("!")}, "ok int 1", "", `ok existed "!"`},
	{"append to nothing", kv.Op{Kind: kv.OpAppend, Key: key("x"), Value: key("!"), When: kv.IfPresent}, "not found", "", "not found"},
	{"prepend", kv.Op{Kind: kv.OpPrepend, Key: key("a"), Value: key("!")}, "ok existed int 2 flags 7 ends +1000", `ok existed "!1" flags 7 ends +1000`, ""},
	{"append creates with flags and end", kv.Op{Kind: kv.OpAppend, Key: key("x"), Value: key("!"), Flags: 3, Expiry: kv.ExpireIn, Expire: 50}, "ok int 1 flags 3 ends +50", "", `ok existed "!" flags 3 ends +50`},
	{"counter that may begin keeps the end", kv.Op{Kind: kv.OpCounter, Key: key("a"), HasInitial: true, Magnitude: 1, Expiry: kv.ExpireIn, Expire: 50}, `ok existed "2" flags 7 ends +1000`, "", ""},
	{"counter that touches", kv.Op{Kind: kv.OpCounter, Key: key("a"), HasInitial: true, Touch: true, Magnitude: 1, Expiry: kv.ExpireIn, Expire: 50}, `ok existed "2" flags 7 ends +50`, "", ""},
	{"expire what never ends, only if it ends later", kv.Op{Kind: kv.OpExpire, Key: key("n"), Expiry: kv.ExpireIn, Expire: 2, ExpireWhen: kv.ExpireIfSomeAndLess}, `condition failed existed "10"`, "", ""},
	{"expire only if it ends later", kv.Op{Kind: kv.OpExpire, Key: key("a"), Expiry: kv.ExpireIn, Expire: 2, ExpireWhen: kv.ExpireIfSomeAndLess}, `ok existed "1" flags 7 ends +2`, "", ""},
	{"invalidate all of it", kv.Op{Kind: kv.OpInvalidate, Key: key("a"), Expiry: kv.ExpireKeep, KeysOnly: true}, "ok existed ends +1000", `ok existed "" marks 4 ends +1000`, ""},
	{"append too much", kv.Op{Kind: kv.OpAppend, Key: key("a"), Value: make([]byte, kv.ValueMax)}, "value too long existed", "", ""},
	{"set a range", kv.Op{Kind: kv.OpSetRange, Key: key("a"), Value: key("zz"), Offset: 3}, "ok existed int 5 flags 7 ends +1000", `ok existed "1\x00\x00zz" flags 7 ends +1000`, ""},
	{"set an empty range", kv.Op{Kind: kv.OpSetRange, Key: key("x"), Offset: 3}, "ok", "", "not found"},
	{"expire later", kv.Op{Kind: kv.OpExpire, Key: key("a"), Expiry: kv.ExpireIn, Expire: 2000}, `ok existed "1" flags 7 ends +2000`, `ok existed "1" flags 7 ends +2000`, ""},
	{"persist", kv.Op{Kind: kv.OpExpire, Key: key("a")}, `ok existed "1" flags 7`, `ok existed "1" flags 7`, ""},
	{"expire only if sooner", kv.Op{Kind: kv.OpExpire, Key: key("a"), Expiry: kv.ExpireIn, Expire: 2000, ExpireWhen: kv.ExpireIfLess}, `condition failed existed "1" flags 7 ends +1000`, "", ""},
	{"expire only if later, and it never ends", kv.Op{Kind: kv.OpExpire, Key: key("n"), Expiry: kv.ExpireIn, Expire: 2000, ExpireWhen: kv.ExpireIfGreater}, `condition failed existed "10"`, "", ""},
	{"expire only if it never ends", kv.Op{Kind: kv.OpExpire, Key: key("a"), Expiry: kv.ExpireIn, Expire: 2, ExpireWhen: kv.ExpireIfNone}, `condition failed existed "1" flags 7 ends +1000`, "", ""},
	{"expire only if it ends", kv.Op{Kind: kv.OpExpire, Key: key("n"), Expiry: kv.ExpireIn, Expire: 2, ExpireWhen: kv.ExpireIfSome}, `condition failed existed "10"`, "", ""},
	{"expire in the past", kv.Op{Kind: kv.OpExpire, Key: key("a"), Expiry: kv.ExpireAt, Expire: epoch}, `ok existed "1" flags 7 ends +0`, "not found", ""},
	{"expire nothing", kv.Op{Kind: kv.OpExpire, Key: key("x")}, "not found", "", ""},
	{"rename", kv.Op{Kind: kv.OpRename, Key: key("a"), Key2: key("x")}, "ok ends +1000", "not found", `ok existed "1" flags 7 ends +1000`},
	{"rename over another", kv.Op{Kind: kv.OpRename, Key: key("n"), Key2: key("a")}, "ok existed", `ok existed "10"`, ""},
	{"rename but not over another", kv.Op{Kind: kv.OpRename, Key: key("n"), Key2: key("a"), When: kv.IfAbsent}, "condition failed existed", `ok existed "1" flags 7 ends +1000`, ""},
	{"rename to itself", kv.Op{Kind: kv.OpRename, Key: key("a"), Key2: key("a")}, "ok existed", `ok existed "1" flags 7 ends +1000`, ""},
	{"rename nothing", kv.Op{Kind: kv.OpRename, Key: key("x"), Key2: key("a")}, "not found", `ok existed "1" flags 7 ends +1000`, ""},
	{"copy", kv.Op{Kind: kv.OpCopy, Key: key("a"), Key2: key("x")}, "ok ends +1000", `ok existed "1" flags 7 ends +1000`, `ok existed "1" flags 7 ends +1000`},
	{"clear", kv.Op{Kind: kv.OpClear}, "ok", "not found", "not found"},
	{"recache of nothing", kv.Op{Kind: kv.OpRecache, Key: key("x")}, "not found", "", "not found"},
	{"recache wins", kv.Op{Kind: kv.OpRecache, Key: key("x"), HasInitial: true, Expiry: kv.ExpireIn, Expire: 30}, "ok marks 1 ends +30", "", `ok existed "" marks 2 ends +30`},
	{"recache early", kv.Op{Kind: kv.OpRecache, Key: key("a"), Delta: 2000}, `ok existed "1" flags 7 marks 1 ends +1000`, `ok existed "1" flags 7 marks 2 ends +1000`, ""},
	{"recache too early", kv.Op{Kind: kv.OpRecache, Key: key("a"), Delta: 500}, `ok existed "1" flags 7 ends +1000`, "", ""},
	{"invalidate", kv.Op{Kind: kv.OpInvalidate, Key: key("a"), Expiry: kv.ExpireKeep}, "ok existed ends +1000", `ok existed "1" flags 7 marks 4 ends +1000`, ""},
	{"invalidate nothing", kv.Op{Kind: kv.OpInvalidate, Key: key("x")}, "not found", "", "not found"},
	{"an operation of the future", kv.Op{Kind: 200, Key: key("a")}, "invalid request", "", ""},
}

func prepared() *world {
	w := newWorld()
	w.do(with(set("a", "1"), func(o *kv.Op) { o.Flags, o.Expiry, o.Expire = 7, kv.ExpireIn, 1000 }), set("n", "10"), set("f", "1.5"), set("t", "text"))
	return w
}

func TestOperations(t *testing.T) {
	for _, c := range operations {
		w := prepared()
		if got := line(w.one(c.op)); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
		for k, want := range map[string]string{"a": c.a, "x": c.x} {
			if got := line(w.one(get(k))); want != "" && got != want {
				t.Errorf("%s: then %s is %s, not %s", c.name, k, got, want)
			}
		}
	}
}

// TestOperationsSeeTheirOwnEntry runs each case in the entry that prepares its keys: the changes of an entry are in view
// for its later commands.
func TestOperationsSeeTheirOwnEntry(t *testing.T) {
	for _, c := range operations {
		w := newWorld()
		results := w.do(with(set("a", "1"), func(o *kv.Op) { o.Flags, o.Expiry, o.Expire = 7, kv.ExpireIn, 1000 }), set("n", "10"),
			set("f", "1.5"), set("t", "text"), c.op, get("a"), get("x"))
		if got := line(results[4]); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
		if got := line(results[5]); c.a != "" && got != c.a {
			t.Errorf("%s: then a is %s, not %s", c.name, got, c.a)
		}
		if got := line(results[6]); c.x != "" && got != c.x {
			t.Errorf("%s: then x is %s, not %s", c.name, got, c.x)
		}
	}
}

func TestReadsTellTheLength(t *testing.T) {
	w := prepared()
	if full, quiet := w.one(get("t")), w.one(with(get("t"), func(o *kv.Op) { o.Quiet = true })); full.Int != 4 || quiet.Int != 4 || quiet.Value != nil {
		t.Errorf("%d, %d %q", full.Int, quiet.Int, quiet.Value)
	}
}

func TestVersionsGrowWithEveryChange(t *testing.T) {
	w := newWorld()
	last := uint64(0)
	for i, o := range []kv.Op{set("a", "1"), set("a", "1"), {Kind: kv.OpAppend, Key: key("a")}, {Kind: kv.OpIncr, Key: key("n")},
		{Kind: kv.OpInvalidate, Key: key("a")}, {Kind: kv.OpCopy, Key: key("a"), Key2: key("b")}, del("a"), {Kind: kv.OpClear}} {
		r := w.do(o, get("a"))[0]
		if r.Code != kv.OK || r.Version <= last {
			t.Errorf("change %d: %v, version %d after %d", i, r.Code, r.Version, last)
		}
		last = r.Version
	}
	own := w.do(with(set("a", "1"), func(o *kv.Op) { o.NewVersion = 5 }), get("a"))
	if own[0].Version != 5 || own[1].Version != 5 {
		t.Errorf("a version that was asked for is %d, then %d", own[0].Version, own[1].Version)
	}
}

func TestSeveralOperationsAreOneCommand(t *testing.T) {
	w := prepared()
	r := w.entry(kv.Command{Conds: []kv.Cond{{Key: key("a"), Kind: kv.CondValue, Value: key("0")}}, Ops: []kv.Op{del("n"), del("t")}})[0]
	if r.Code != kv.ConditionFailed || r.Items != nil || line(w.one(get("n"))) != `ok existed "10"` {
		t.Errorf("%+v", r)
	}
	r = w.entry(kv.Command{Ops: []kv.Op{set("x", "1"), {Kind: kv.OpIncr, Key: key("t")}, {Kind: kv.OpIncr, Key: key("x"), Delta: 1}, get("x")}})[0]
	got := ""
	for _, item := range r.Items {
		got += line(item) + "; "
	}
	if want := `ok; not an integer existed; ok existed int 2; ok existed "2"; `; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestConditions(t *testing.T) {
	version := uint64(1<<versionBits + 2) // of n
	cases := []struct {
		cond kv.Cond
		want bool
	}{
		{kv.Cond{Key: key("n"), Kind: kv.CondPresent}, true}, {kv.Cond{Key: key("x"), Kind: kv.CondPresent}, false},
		{kv.Cond{Key: key("n"), Kind: kv.CondAbsent}, false}, {kv.Cond{Key: key("x"), Kind: kv.CondAbsent}, true},
		{kv.Cond{Key: key("n"), Kind: kv.CondVersion, Version: version}, true}, {kv.Cond{Key: key("n"), Kind: kv.CondVersion, Version: version + 1}, false},
		{kv.Cond{Key: key("x"), Kind: kv.CondVersion}, true}, {kv.Cond{Key: key("n"), Kind: kv.CondVersion}, false},
		{kv.Cond{Key: key("n"), Kind: kv.CondValue, Value: key("10")}, true}, {kv.Cond{Key: key("x"), Kind: kv.CondValue}, false},
		{kv.Cond{Key: key("n"), Kind: 99}, false},
	}
	for i, c := range cases {
		r := prepared().entry(kv.Command{Conds: []kv.Cond{c.cond}, Ops: []kv.Op{set("y", "1")}})[0]
		if (r.Code == kv.OK) != c.want {
			t.Errorf("condition %d: %v", i, r.Code)
		}
	}
}

func TestClearHidesWhatStoodBeforeItInTheSameEntry(t *testing.T) {
	w := prepared()
	r := w.do(set("x", "1"), kv.Op{Kind: kv.OpClear}, get("x"), get("a"), set("a", "new"), get("a"), kv.Op{Kind: kv.OpScan})
	want := []string{"ok", "ok", "not found", "not found", "ok", `ok existed "new"`}
	for i, s := range want {
		if line(r[i]) != s {
			t.Errorf("result %d: %s, not %s", i, line(r[i]), s)
		}
	}
	if len(r[6].Items) != 1 || string(r[6].Items[0].Key) != "a" {
		t.Errorf("the scan finds %+v", r[6].Items)
	}
	if n := w.left(DataKind); n != 1 || w.left(expiryKind) != 0 {
		t.Errorf("%d keys, %d expiries are left", n, w.left(expiryKind))
	}
}

func TestLoggedScanSeesItsOwnEntry(t *testing.T) {
	w := newWorld()
	w.do(set("a", "1"), set("c", "1"), set("e", "1"), set("g", "1"))
	scan := kv.Op{Kind: kv.OpScan, Key: key("a"), End: key("g"), Limit: 3}
	r := w.do(set("b", "2"), del("c"), set("e", "2"), set("e", "3"), set("f", "2"), set("0", "2"), set("h", "2"), scan)
	last, got := r[len(r)-1], ""
	for _, item := range last.Items {
		got += fmt.Sprintf("%s=%s ", item.Key, item.Value)
	}
	if got != "a=1 b=2 e=3 " || string(last.Key) != "f" {
		t.Errorf("%s, goes on at %q", got, last.Key)
	}
}

func TestUndecodableCommandIsInvalidEverywhere(t *testing.T) {
	w := newWorld()
	w.machine.Begin(w, 1, w.stamp())
	if r := w.machine.Apply([]byte("rubbish"), true); r.Code != kv.Invalid {
		t.Errorf("%+v", r)
	}
	if c := w.machine.Finish(); len(c) != 0 {
		t.Errorf("it changes %+v", c)
	}
}
