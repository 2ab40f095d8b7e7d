package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// sample is what one turn of one system gave. What a workload does not measure is 0.
type sample struct {
	OpsPerSecond float64 `json:"ops_per_second,omitempty"`
	P50Millis    float64 `json:"p50_ms,omitempty"`
	P99Millis    float64 `json:"p99_ms,omitempty"`
	MaxMillis    float64 `json:"max_ms,omitempty"`
	// ServerMicros and ClientMicros are processor time per operation done: of all servers together, and of this program.
	ServerMicros float64 `json:"server_cpu_us,omitempty"`
	ClientMicros float64 `json:"client_cpu_us,omitempty"`

	OfferedPerSecond float64 `json:"offered_per_second,omitempty"`
	RefusedPerSecond float64 `json:"refused_per_second,omitempty"`
	FailedPerSecond  float64 `json:"failed_per_second,omitempty"`
	// HeldPerSecond were due but not sent, as too many of their client were under way.
	HeldPerSecond float64 `json:"held_back_per_second,omitempty"`
	// SentP99Millis is the 99th percentile from when an operation was sent, not from when it was due; LateP99Millis is
	// that of the time between the two: what the load generator itself is to blame for.
	SentP99Millis float64 `json:"p99_since_sent_ms,omitempty"`
	LateP99Millis float64 `json:"late_p99_ms,omitempty"`

	MemoryMB float64 `json:"memory_mb,omitempty"`
	// IdlePercent is the processor time of all servers while nobody asks, in percent of one core.
	IdlePercent float64 `json:"idle_percent,omitempty"`
	GapMillis   float64 `json:"gap_ms,omitempty"`
	// BeforePerSecond are the operations before a node joined, CostPercent how many of them it cost while it caught up, at CatchUpMB
	// megabytes of keys and values a second.
	BeforePerSecond float64 `json:"before_per_second,omitempty"`
	CostPercent     float64 `json:"cost_percent,omitempty"`
	CatchUpMB       float64 `json:"catch_up_mb_per_second,omitempty"`

	FirstError string `json:"first_error,omitempty"`
}

// median takes the median of each figure by itself.
func median(samples []sample) sample {
	var m sample
	for _, figure := range figures {
		values := make([]float64, len(samples))
		for i := range samples {
			values[i] = *figure(&samples[i])
		}
		*figure(&m) = middle(values)
	}
	for _, s := range samples {
		if s.FirstError != "" {
			m.FirstError = s.FirstError
			break
		}
	}
	return m
}

var figures = []func(*sample) *float64{
	func(s *sample) *float64 { return &s.OpsPerSecond },
	func(s *sample) *float64 { return &s.P50Millis },
	func(s *sample) *float64 { return &s.P99Millis },
	func(s *sample) *float64 { return &s.MaxMillis },
	func(s *sample) *float64 { return &s.ServerMicros },
	func(s *sample) *float64 { return &s.ClientMicros },
	func(s *sample) *float64 { return &s.OfferedPerSecond },
	func(s *sample) *float64 { return &s.RefusedPerSecond },
	func(s *sample) *float64 { return &s.FailedPerSecond },
	func(s *sample) *float64 { return &s.HeldPerSecond },
	func(s *sample) *float64 { return &s.SentP99Millis },
	func(s *sample) *float64 { return &s.LateP99Millis },
	func(s *sample) *float64 { return &s.MemoryMB },
	func(s *sample) *float64 { return &s.IdlePercent },
	func(s *sample) *float64 { return &s.GapMillis },
	func(s *sample) *float64 { return &s.BeforePerSecond },
	func(s *sample) *float64 { return &s.CostPercent },
	func(s *sample) *float64 { return &s.CatchUpMB },
}

// middle is the median; of an even number of values, the mean of the two in the middle.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// newHistogram counts times from 1 us to 100 s, exact to 1 %.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(100*time.Second), 2)
}

// record counts the time for each of n operations.
func record(h *hdrhistogram.Histogram, d time.Duration, n int) {
	d = min(max(d, time.Microsecond), 100*time.Second)
	if err := h.RecordValues(int64(d), int64(n)); err != nil {
		panic(fmt.Sprintf("latency %v: %v", d, err))
	}
}

func percentile(h *hdrhistogram.Histogram, p float64) float64 {
	return float64(h.ValueAtQuantile(p)) / float64(time.Millisecond)
}

func fillLatency(h *hdrhistogram.Histogram, s *sample) {
	s.P50Millis, s.P99Millis = percentile(h, 50), percentile(h, 99)
	s.MaxMillis = float64(h.Max()) / float64(time.Millisecond)
}

// clocks are the time and the processor time used so far.
type clocks struct {
	at          time.Time
	server, own time.Duration
}

func readClocks(s *servers) (clocks, error) {
	used, err := s.cpu()
	return clocks{at: time.Now(), server: used, own: ownCPU()}, err
}

// fillRates divides what was counted between two readings of the clocks.
func fillRates(t *tally, begin, end clocks, s *sample) {
	seconds := end.at.Sub(begin.at).Seconds()
	s.OpsPerSecond = float64(t.done) / seconds
	s.RefusedPerSecond = float64(t.refused) / seconds
	s.FailedPerSecond = float64(t.failed) / seconds
	s.FirstError = t.firstError
	if t.done > 0 {
		s.ServerMicros = float64((end.server - begin.server).Nanoseconds()) / 1000 / float64(t.done)
		s.ClientMicros = float64((end.own - begin.own).Nanoseconds()) / 1000 / float64(t.done)
	}
}
