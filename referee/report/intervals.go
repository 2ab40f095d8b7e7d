package report

import (
	"slices"

	"github.com/gamutdb/gamut/referee"
)

// intervals count the whole history by time: each operation in the interval in which its client heard the answer or gave up.
type intervals struct {
	// Width is the length of each, in nanoseconds.
	Width   int64 `json:"width"`
	Done    []int `json:"done"`
	Refused []int `json:"refused"`
	Unknown []int `json:"unknown"`
	// P50, P95 and P99 are latencies of done operations in nanoseconds, by the nearest rank; -1 where there is none.
	P50 []int64 `json:"p50"`
	P95 []int64 `json:"p95"`
	P99 []int64 `json:"p99"`
}

// intervalsMax is more than a screen has room for; opsPerInterval lets a percentile mean something.
const (
	intervalsMax   = 400
	intervalsMin   = 24
	opsPerInterval = 25
)

// intervalWidth is a round length, so that the axis' marks fall between intervals.
func intervalWidth(span int64, ops int) int64 {
	n := int64(min(intervalsMax, max(intervalsMin, ops/opsPerInterval)))
	want := max(1, span/n)
	for step := int64(1); ; step *= 10 {
		for _, digit := range []int64{1, 2, 5} {
			if digit*step >= want {
				return digit * step
			}
		}
	}
}

func newIntervals(h referee.History, start, end int64) intervals {
	width := intervalWidth(end-start, len(h))
	n := int((end-start)/width) + 1
	t := intervals{Width: width, Done: make([]int, n), Refused: make([]int, n), Unknown: make([]int, n),
		P50: make([]int64, n), P95: make([]int64, n), P99: make([]int64, n)}
	took := make([][]int64, n)
	for i := range h {
		o := &h[i]
		at := (max(o.Call, o.Return) - start) / width
		switch o.Outcome {
		case referee.Done:
			t.Done[at]++
			took[at] = append(took[at], o.Return-o.Call)
		case referee.Refused:
			t.Refused[at]++
		default:
			t.Unknown[at]++
		}
	}
	for i := range took {
		slices.Sort(took[i])
		t.P50[i], t.P95[i], t.P99[i] = percentile(took[i], 50), percentile(took[i], 95), percentile(took[i], 99)
	}
	return t
}

// percentile is the smallest value that so many in a hundred do not pass; -1 of none.
func percentile(sorted []int64, percent int) int64 {
	if len(sorted) == 0 {
		return -1
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}
