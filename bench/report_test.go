package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedianTakesEachFigureByItself(t *testing.T) {
	got := median([]sample{
		{OpsPerSecond: 10, P99Millis: 9},
		{OpsPerSecond: 30, P99Millis: 1, FirstError: "no"},
		{OpsPerSecond: 20, P99Millis: 5},
	})
	if want := (sample{OpsPerSecond: 20, P99Millis: 5, FirstError: "no"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if even := middle([]float64{4, 1, 2, 8}); even != 3 {
		t.Errorf("the median of 1, 2, 4, 8 is %v, want 3", even)
	}
}

func TestLongestGap(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	acknowledged := []time.Time{at(0), at(900), at(1000), at(1010), at(1500), at(1490), at(1600)}
	if got := longestGap(acknowledged, at(1005)); got != 480*time.Millisecond {
		t.Errorf("the longest gap is %v, want 480ms: that before the kill does not count", got)
	}
}

func TestTablesCompareWithGamut(t *testing.T) {
	cluster := &servers{leader: func(context.Context) (int, error) { return 0, nil }}
	r := &runner{
		options: &options{workloads: []string{"write-c256"}, rounds: 3, round: 5 * time.Second},
		systems: []*system{
			{name: "gamut", title: "Gamut", servers: cluster},
			{name: "redis", title: "Redis", servers: &servers{}},
		},
	}
	w := workloads[slices.Index(workloadNames(), "write-c256")]
	for _, ops := range []float64{90, 100, 120} {
		r.result(r.systems[0], w, leader).add(sample{OpsPerSecond: ops, P50Millis: 1, P99Millis: 4, ServerMicros: 3})
	}
	r.result(r.systems[1], w, spread).add(sample{OpsPerSecond: 50, P50Millis: 2, P99Millis: 8, ServerMicros: 1, FirstError: "no luck", FailedPerSecond: 2})
	text := markdown(environment{}, r)
	for _, line := range []string{
		"| Gamut | leader | 100 | 20 % | 1.00 | 4.00 | 3.00 | 0 | | | | |",
		"| Redis | - | 50.0 | 0 % | 2.00 | 8.00 | 1.00 | 0 | 2.00 | 0.50 | 0.50 | 3.00 |",
		"Redis (spread): 2 failed and 0 refused per second, the first with: no luck",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	if strings.Contains(text, "A short run") {
		t.Error("three rounds of 5 s are called short")
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct{ arguments, want string }{
		{"-systems redis,oracle", `unknown system "oracle"`},
		{"-systems redis -workloads write", `unknown workload "write"`},
		{"-systems redis -to follower", "-to follower"},
		{"-systems gamut -gamut ./none", "make build"},
		{"-systems redis -keys 0", "-keys 0"},
		{"-systems redis -value 99999999", "-value 99999999"},
		{"-systems redis -rounds 0", "-rounds"},
		{"-systems redis -seconds 0", "-seconds"},
		{"-systems redis extra", `"extra"`},
		{"-systems redis -to leader", ""},
	} {
		_, err := parseOptions(strings.Fields(c.arguments))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.arguments, err, c.want)
		}
	}
}
