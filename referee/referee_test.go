package referee

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// ok makes a done operation; times are in arbitrary units.
func ok(client int, kind Kind, call, ret int64, set func(o *Op)) Op {
	o := Op{Client: client, Key: "k", Kind: kind, Call: call, Return: ret, Outcome: Done}
	if set != nil {
		set(&o)
	}
	return o
}

func value(v string) func(o *Op) { return func(o *Op) { o.Value = v } }
func got(v string) func(o *Op)   { return func(o *Op) { o.Got = v } }
func missing(o *Op)              { o.Code = kv.NotFound }
func unknown(v string) func(o *Op) {
	return func(o *Op) { o.Value, o.Outcome, o.Code = v, Unknown, kv.Unknown }
}
func refused(v string) func(o *Op) {
	return func(o *Op) { o.Value, o.Outcome, o.Code = v, Refused, kv.Busy }
}
func version(v uint64) func(o *Op)  { return func(o *Op) { o.Version = v } }
func sum(by, now int64) func(o *Op) { return func(o *Op) { o.Delta, o.Int = by, now } }
func cas(from, to string, c kv.Code) func(o *Op) {
	return func(o *Op) { o.Expect, o.Value, o.Code = from, to, c }
}

func TestLinearizable(t *testing.T) {
	for _, c := range []struct {
		name string
		h    History
		want Decision
	}{
		{"empty", nil, Holds},
		{"read after write", History{ok(0, Set, 1, 2, value("a")), ok(1, Get, 3, 4, got("a"))}, Holds},
		{"concurrent read may see either", History{ok(0, Set, 1, 2, value("a")), ok(0, Set, 3, 9, value("b")), ok(1, Get, 4, 5, got("b")), ok(2, Get, 6, 7, got("b"))}, Holds},
		{"unknown write seen late", History{ok(0, Set, 1, 2, unknown("a")), ok(1, Get, 3, 4, missing), ok(1, Get, 50, 60, got("a"))}, Holds},
		{"unknown write never seen", History{ok(0, Set, 1, 2, unknown("a")), ok(1, Get, 3, 4, missing)}, Holds},
		{"cas", History{ok(0, Set, 1, 2, value("a")), ok(1, Cas, 3, 4, cas("a", "b", kv.OK)), ok(1, Cas, 5, 6, cas("a", "c", kv.ConditionFailed)), ok(1, Get, 7, 8, got("b"))}, Holds},
		{"counter", History{ok(0, Incr, 1, 4, sum(1, 3)), ok(1, Incr, 2, 5, sum(2, 2))}, Holds},

		{"stale read", History{ok(0, Set, 1, 2, value("a")), ok(0, Set, 3, 4, value("b")), ok(1, Get, 5, 6, got("a"))}, Broken},
		{"new then old", History{ok(0, Set, 1, 2, value("a")), ok(0, Set, 3, 20, value("b")), ok(1, Get, 4, 5, got("b")), ok(2, Get, 6, 7, got("a"))}, Broken},
		{"lost write", History{ok(0, Set, 1, 2, value("a")), ok(1, Get, 3, 4, missing)}, Broken},
		{"refused write seen", History{ok(0, Set, 1, 2, refused("a")), ok(1, Get, 3, 4, got("a"))}, Broken},
		{"unknown write seen before its call", History{ok(1, Get, 1, 2, got("a")), ok(0, Set, 3, 4, unknown("a"))}, Broken},
		{"unknown write seen twice", History{ok(0, Set, 1, 2, unknown("a")), ok(1, Get, 3, 4, got("a")), ok(1, Set, 5, 6, value("b")), ok(1, Get, 7, 8, got("b")), ok(1, Get, 9, 10, got("a"))}, Broken},
		{"two winners", History{ok(0, Set, 1, 2, value("a")), ok(1, Cas, 3, 6, cas("a", "b", kv.OK)), ok(2, Cas, 4, 7, cas("a", "c", kv.OK))}, Broken},
		{"lost increment", History{ok(0, Incr, 1, 2, sum(1, 1)), ok(1, Incr, 3, 4, sum(1, 1))}, Broken},
		{"append lost", History{ok(0, Append, 1, 2, value("<1>")), ok(0, Append, 3, 4, value("<2>")), ok(1, Get, 5, 6, got("<2>"))}, Broken},
		{"deleted key read", History{ok(0, Set, 1, 2, value("a")), ok(0, Delete, 3, 4, nil), ok(1, Get, 5, 6, got("a"))}, Broken},
	} {
		v := CheckLinearizable(c.h, 10*time.Second)
		if v.Decision != c.want {
			t.Errorf("%s: %s, want %s", c.name, v, c.want)
		}
		if c.want == Broken && (len(v.Proof) == 0 || !strings.Contains(v.String(), "client")) {
			t.Errorf("%s: no proof in %q", c.name, v)
		}
	}
}

// TestUndecidedIsNotOK: what a search could not decide must not pass.
func TestUndecidedIsNotOK(t *testing.T) {
	if (Verdict{Decision: Undecided}).OK() {
		t.Error("an undecided verdict passes")
	}
}

// TestSearchIsBounded: forty writes at once have more orders than can be tried, and none explains the two reads behind them. The
// search is given up, and says of what.
func TestSearchIsBounded(t *testing.T) {
	var h History
	for i := range 40 {
		h = append(h, ok(i, Set, 1, 100, value(fmt.Sprint("v", i))))
	}
	h = append(h, ok(1, Get, 101, 102, got("v1")), ok(1, Get, 103, 104, got("v2")))
	v := CheckLinearizable(h, 20*time.Millisecond)
	if v.Decision != Undecided || v.Key != "k" || !strings.Contains(v.Why, "the search for an order of its 42 operations was given up") {
		t.Error(v)
	}
}

func TestDurable(t *testing.T) {
	for _, c := range []struct {
		name  string
		h     History
		final Final
		want  Decision
	}{
		{"kept", History{ok(0, Set, 1, 2, value("a"))}, Final{"k": "a"}, Holds},
		{"overwritten", History{ok(0, Set, 1, 2, value("a")), ok(0, Set, 3, 4, value("b"))}, Final{"k": "b"}, Holds},
		{"unknown may win later", History{ok(0, Set, 1, 2, unknown("a")), ok(0, Set, 3, 4, value("b"))}, Final{"k": "a"}, Holds},
		{"deleted", History{ok(0, Set, 1, 2, value("a")), ok(0, Delete, 3, 4, nil)}, Final{}, Holds},
		{"sum", History{ok(0, Incr, 1, 2, sum(2, 2)), ok(0, Incr, 3, 4, func(o *Op) { o.Delta, o.Outcome = 3, Unknown })}, Final{"k": "5"}, Holds},
		{"list", History{ok(0, Append, 1, 2, value("<1>")), ok(0, Append, 3, 4, unknown("<2>"))}, Final{"k": "<1>"}, Holds},

		{"lost", History{ok(0, Set, 1, 2, value("a"))}, Final{}, Broken},
		{"older value is back", History{ok(0, Set, 1, 2, value("a")), ok(0, Set, 3, 4, value("b"))}, Final{"k": "a"}, Broken},
		{"invented", History{ok(0, Set, 1, 2, value("a"))}, Final{"k": "x"}, Broken},
		{"refused but there", History{ok(0, Set, 1, 2, refused("a"))}, Final{"k": "a"}, Broken},
		{"back from the dead", History{ok(0, Set, 1, 2, value("a")), ok(0, Delete, 3, 4, nil)}, Final{"k": "a"}, Broken},
		{"increment lost", History{ok(0, Incr, 1, 2, sum(2, 2)), ok(0, Incr, 3, 4, sum(1, 3))}, Final{"k": "2"}, Broken},
		{"increment doubled", History{ok(0, Incr, 1, 2, sum(2, 2))}, Final{"k": "4"}, Broken},
		{"append lost", History{ok(0, Append, 1, 2, value("<1>"))}, Final{}, Broken},
		{"append doubled", History{ok(0, Append, 1, 2, value("<1>"))}, Final{"k": "<1><1>"}, Broken},
		{"append refused but there", History{ok(0, Append, 1, 2, refused("<1>"))}, Final{"k": "<1>"}, Broken},
		{"append invented", History{ok(0, Append, 1, 2, value("<1>"))}, Final{"k": "<1><9>"}, Broken},
	} {
		if v := CheckDurable(c.h, c.final); v.Decision != c.want {
			t.Errorf("%s: %s, want %s", c.name, v, c.want)
		}
	}
}

func TestVersions(t *testing.T) {
	both := func(v string, n uint64) func(o *Op) { return func(o *Op) { o.Got, o.Version = v, n } }
	for _, c := range []struct {
		name string
		h    History
		want Decision
	}{
		{"growing", History{ok(0, Set, 1, 2, version(1)), ok(1, Get, 3, 4, both("a", 1)), ok(0, Set, 5, 6, version(2))}, Holds},
		{"concurrent", History{ok(0, Set, 1, 9, version(2)), ok(1, Set, 2, 8, version(1))}, Holds},
		{"backwards", History{ok(0, Set, 1, 2, version(5)), ok(1, Get, 3, 4, both("a", 4))}, Broken},
		{"write repeats a version", History{ok(0, Set, 1, 2, version(5)), ok(1, Set, 3, 4, version(5))}, Broken},
		{"two writes share a version", History{ok(0, Set, 1, 9, version(5)), ok(1, Set, 2, 8, version(5))}, Broken},
		{"two values share a version", History{ok(0, Get, 1, 2, both("a", 5)), ok(1, Get, 1, 2, both("b", 5))}, Broken},
	} {
		if v := CheckVersions(c.h); v.Decision != c.want {
			t.Errorf("%s: %s, want %s", c.name, v, c.want)
		}
	}
}

func TestExportImport(t *testing.T) {
	h := History{ok(0, Set, 1, 2, value("a")), ok(1, Cas, 3, 4, cas("a", "b", kv.ConditionFailed)), ok(1, Set, 5, 6, unknown("c"))}
	var b bytes.Buffer
	if err := h.Export(&b); err != nil {
		t.Fatal(err)
	}
	back, err := Import(&b)
	if err != nil || !reflect.DeepEqual(h, back.History) {
		t.Errorf("got %v, %v, want %v", back, err, h)
	}
	for _, bad := range []string{`{"kind":"jump","outcome":"done"}`, `{"kind":"get","outcome":"maybe"}`, `{"kind":"get","outcome":"done","call":2,"return":1}`, `{"what":1}`, `{`} {
		if h, err := Import(strings.NewReader(bad)); err == nil {
			t.Errorf("%s is read as %v", bad, h)
		}
	}
}
