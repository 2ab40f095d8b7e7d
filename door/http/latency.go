package http

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gamutdb/gamut/kv"
)

// DoorMetrics counts the requests of one door. Counting takes no lock and allocates nothing, so that a door may do it for
// each batch of its clients.
type DoorMetrics struct {
	name     string
	requests *prometheus.CounterVec
	codes    [256]atomic.Pointer[prometheus.Counter]
	took     *latency
}

// Door begins to count for a door. It is called once for each.
func (m *Metrics) Door(name string) *DoorMetrics {
	return &DoorMetrics{name: name, requests: m.requests, took: m.seconds.door(name)}
}

// Observe counts requests that were answered together with the same outcome, each of which took so long.
func (d *DoorMetrics) Observe(code kv.Code, requests int, took time.Duration) {
	counter := d.codes[code].Load()
	if counter == nil {
		made := d.requests.WithLabelValues(d.name, code.String())
		counter = &made
		d.codes[code].Store(counter) // two that make it at a time make the same
	}
	(*counter).Add(float64(requests))
	d.took.add(uint64(requests), took)
}

// latencyFirst is the first bucket's bound, and each is twice the one before: 0.1 ms to 6.5 s, just beyond the default
// deadline.
const (
	latencyFirst   = 100 * time.Microsecond
	latencyBuckets = 17
)

// latency is a histogram of one door. Prometheus' own cannot count several observations at once.
type latency struct {
	buckets [latencyBuckets + 1]atomic.Uint64
	nanos   atomic.Uint64
}

func (l *latency) add(requests uint64, took time.Duration) {
	took = max(took, 0)
	at := 0
	if took > 0 {
		at = min(latencyBuckets, bits.Len64(uint64((took-1)/latencyFirst)))
	}
	l.buckets[at].Add(requests)
	l.nanos.Add(requests * uint64(took))
}

// latencies are the histograms of all doors.
type latencies struct {
	mu    sync.Mutex
	doors []*latency
	names []string
}

func (s *latencies) door(name string) *latency {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := new(latency)
	s.doors, s.names = append(s.doors, l), append(s.names, name)
	return l
}

var descSeconds = describe("request_seconds", "Time from a request's arrival to its answer.", "door")

// Describe implements prometheus.Collector.
func (s *latencies) Describe(out chan<- *prometheus.Desc) { out <- descSeconds }

// Collect implements prometheus.Collector.
func (s *latencies) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range s.doors {
		bounds := make(map[float64]uint64, latencyBuckets)
		count, bound := uint64(0), latencyFirst
		for b := range latencyBuckets {
			count += l.buckets[b].Load()
			bounds[bound.Seconds()] = count
			bound *= 2
		}
		count += l.buckets[latencyBuckets].Load()
		out <- prometheus.MustNewConstHistogram(descSeconds, count, float64(l.nanos.Load())/1e9, bounds, s.names[i])
	}
}
