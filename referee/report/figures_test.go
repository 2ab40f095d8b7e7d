package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// many is a history of n operations, every tenth unknown, every twentieth refused.
func many(n int) (h referee.History) {
	for i := range n {
		o := referee.Op{ID: i, Client: i % 7, Key: fmt.Sprint("k", i%11), Kind: referee.Get, Call: int64(i) * 1000, Return: int64(i)*1000 + 700, Outcome: referee.Done}
		switch {
		case i%20 == 0:
			o.Outcome, o.Code = referee.Refused, kv.Busy
		case i%10 == 0:
			o.Outcome, o.Code = referee.Unknown, kv.Unknown
		}
		h = append(h, o)
	}
	return h
}

func TestSample(t *testing.T) {
	h := many(1000)
	keep := map[int]bool{3: true, 777: true}
	for _, room := range []int{0, 2, 10, 100, 500, 999, 1000} {
		shown := sample(h, keep, room, 1<<30)
		if len(shown) != max(room, len(keep)) {
			t.Errorf("room for %d: %d are shown", room, len(shown))
		}
		odd := 0
		for i := range shown {
			if i > 0 && shown[i].ID <= shown[i-1].ID {
				t.Errorf("room for %d: #%d stands behind #%d", room, shown[i].ID, shown[i-1].ID)
			}
			if shown[i].Outcome != referee.Done {
				odd++
			}
		}
		for id := range keep {
			if !slices.ContainsFunc(shown, func(o referee.Op) bool { return o.ID == id }) {
				t.Errorf("room for %d: #%d is left out", room, id)
			}
		}
		if room == 100 && odd != 24 {
			t.Errorf("%d of 100 are without an answer, want a quarter of what the proofs leave", odd)
		}
	}
	h[5].Got = strings.Repeat("x", 1<<20)
	if shown := sample(h, keep, 1000, 1<<19); len(shown) > 500 {
		t.Errorf("%d operations are shown where there is room for a fraction of their bytes", len(shown))
	}
}

func TestSampledPageSaysSo(t *testing.T) {
	r := &Run{Run: &referee.Run{Consistency: "linearizable", History: many(opsMax * 4)}, World: Live}
	p, shown := newPage(r)
	if len(shown) != opsMax || !strings.Contains(p.Sampled, "50,000 of 200,000") {
		t.Errorf("%d are shown; the page says %q", len(shown), p.Sampled)
	}
	if answered(p.Intervals) != len(r.History) {
		t.Errorf("%d are counted", answered(p.Intervals))
	}
	if p, _ := newPage(&Run{Run: &referee.Run{Consistency: "linearizable", History: many(100)}, World: Live}); p.Sampled != "" {
		t.Errorf("a whole page says %q", p.Sampled)
	}
}

func answered(t intervals) (n int) {
	for i := range t.Done {
		n += t.Done[i] + t.Refused[i] + t.Unknown[i]
	}
	return n
}

func TestIntervals(t *testing.T) {
	h := many(1000)
	got := newIntervals(h, 0, 1_000_000)
	if answered(got) != 1000 || got.Width != 50_000 || got.P50[0] != 700 || got.P99[0] != 700 {
		t.Errorf("got %+v", got)
	}
	if got := newIntervals(nil, 0, 1000); answered(got) != 0 || got.P50[0] != -1 {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]int64, 100)
	for i := range hundred {
		hundred[i] = int64(i + 1)
	}
	for _, c := range []struct {
		sorted  []int64
		percent int
		want    int64
	}{{nil, 50, -1}, {[]int64{7}, 50, 7}, {[]int64{7}, 99, 7}, {[]int64{1, 2}, 50, 1}, {[]int64{1, 2}, 95, 2}, {hundred, 50, 50}, {hundred, 95, 95}, {hundred, 99, 99}, {hundred[:10], 99, 10}} {
		if got := percentile(c.sorted, c.percent); got != c.want {
			t.Errorf("percentile %d of %v is %d, want %d", c.percent, c.sorted, got, c.want)
		}
	}
}

func TestIntervalWidth(t *testing.T) {
	for _, c := range []struct {
		span int64
		ops  int
		want int64
	}{{1000, 0, 50}, {4e9, 2000, 50e6}, {4e9, 1e6, 10e6}, {1, 1, 1}} {
		if got := intervalWidth(c.span, c.ops); got != c.want {
			t.Errorf("%d operations in %d: %d, want %d", c.ops, c.span, got, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	seen := map[string]string{}
	for key, want := range map[string]string{
		"cart:17": "cart:17", "käse 7": "käse 7", "": `""`, `"`: `"\""`, `""`: `"\"\""`, "a\xff": `"a\xff"`, "a\ufffd": "a\ufffd",
		"a\n": `"a\n"`, " a": `" a"`, "a\u202eb": "\"a\\u202eb\"", "a\u00a0b": "\"a\\u00a0b\"",
	} {
		got := printable(key)
		if got != want {
			t.Errorf("%q is shown as %s, want %s", key, got, want)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q look the same", key, other)
		}
		seen[got] = key
	}
}

func TestWords(t *testing.T) {
	for ns, want := range map[int64]string{0: "0 ns", 999: "999 ns", 1000: "1 µs", 1234: "1.23 µs", 4e6: "4 ms", 101.4e6: "101 ms", 12345e9: "12345 s"} {
		if got := duration(ns); got != want {
			t.Errorf("%d is %q, want %q", ns, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	if got := quote(strings.Repeat("a", 50) + "end"); got != `"aaaaaaa…aaaaaaaaaaaaend"` {
		t.Errorf("got %s", got)
	}
}
