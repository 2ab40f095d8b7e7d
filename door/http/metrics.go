package http

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gamutdb/gamut/kv"
)

// Metrics is what /metrics shows: requests as the doors count them, and the node's own status at the time of asking.
// It has a registry of its own, so that several nodes live in one process.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  latencies
	http     *DoorMetrics
}

// NewMetrics makes the registry of one node.
func NewMetrics(admin kv.Admin) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gamut_requests_total", Help: "Requests answered by the database or the HTTP door, by door and by code: HTTP's status, elsewhere the outcome.",
		}, []string{"door", "code"}),
	}
	m.http = m.Door("http")
	m.registry.MustRegister(m.requests, &m.seconds, statusCollector{admin},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observeHTTP counts one answered request of this door.
func (m *Metrics) observeHTTP(status int, took time.Duration) {
	m.requests.WithLabelValues("http", strconv.Itoa(status)).Inc()
	m.http.took.add(1, took)
}

// Handler is the page itself.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// statusCollector shows kv.Status as metrics.
type statusCollector struct{ admin kv.Admin }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gamut_"+name, help, labels, nil)
}

var (
	descReady    = describe("ready", "1 if the node can serve.")
	descAlarms   = describe("alarms", "Alarms raised at this moment; /v1/status has their texts.")
	descAnswered = describe("commands_total", "Commands that the node took from all doors.")
	descRefused  = describe("commands_refused_total", "Commands refused because a bounded queue was full.")
	descUnknown  = describe("commands_unknown_total", "Commands that ended with an unknown outcome.")
	descSyncs    = describe("log_syncs_total", "Batches made durable by the node's log.")
	descBytes    = describe("log_synced_bytes_total", "Bytes made durable by the node's log.")
	descBlocks   = describe("log_blocks_total", "Blocks appended by all groups of the node.")

	descOpenTxns = describe("transactions_open", "Votes for transactions that have not ended, in groups that this node leads.")
	descEnded    = describe("transactions_recovered_total", "Transactions whose ends this node looked after, for their coordinators had not.")

	descPeerUp   = describe("peer_up", "1 if the peer's connection stands.", "peer")
	descPeerRTT  = describe("peer_rtt_seconds", "Round trip to the peer.", "peer")
	descPeerSkew = describe("peer_clock_skew_seconds", "The peer's clock minus this node's.", "peer")

	groupLabels = []string{"group", "keyspace", "shard"}
	descLeading = describe("group_leading", "1 if this node's replica leads the group.", groupLabels...)
	descCommit  = describe("group_commit_index", "Highest index known to be committed.", groupLabels...)
	descApplied = describe("group_applied_index", "Highest index that the state shows.", groupLabels...)
	descDurable = describe("group_durable_index", "Highest index durable on this node.", groupLabels...)
	descLast    = describe("group_last_index", "Highest index in this node's log.", groupLabels...)
	descSuspect = describe("group_suspect", "1 if the replica's log was damaged, so that it does not vote.", groupLabels...)
	descLag     = describe("group_replica_lag", "Leader only: indexes by which a replica's durable log is behind.", append(append([]string{}, groupLabels...), "replica")...)

	descValues        = describe("values_total", "What became of long values that are kept in a store, by what happened.", "store", "event")
	descValuesWaiting = describe("values_waiting", "Long values on this node's disk that their store has still to take.", "store")
	descValuesUp      = describe("values_store_up", "1 if the store of long values works.", "store")

	descReadAge    = describe("read_age_seconds", "How old at most what was read from this node's own states was: as of when they were known to hold all that was acknowledged.", "keyspace", "level")
	descReadMissed = describe("read_missed_age_seconds", "Of some reads of quorum keyspaces at levels that may miss writes: how long before the read the record had been stamped that it missed; 0: it missed none.", "keyspace", "level")

	statusDescs = []*prometheus.Desc{
		descReady, descAlarms, descAnswered, descRefused, descUnknown, descSyncs, descBytes, descBlocks, descOpenTxns, descEnded, descPeerUp, descPeerRTT,
		descPeerSkew, descLeading, descCommit, descApplied, descDurable, descLast, descSuspect, descLag,
		descReadAge, descReadMissed, descValues, descValuesWaiting, descValuesUp,
	}
)

// Describe implements prometheus.Collector.
func (c statusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range statusDescs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c statusCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	st := c.admin.Status()
	gauge(descReady, truth(st.Ready))
	gauge(descAlarms, float64(len(st.Alarms)))
	counter(descAnswered, st.Counters.Requests)
	counter(descRefused, st.Counters.Refused)
	counter(descUnknown, st.Counters.UnknownCount)
	counter(descSyncs, st.Counters.Syncs)
	counter(descBytes, st.Counters.SyncBytes)
	counter(descBlocks, st.Counters.Blocks)
	gauge(descOpenTxns, float64(len(st.Transactions)))
	counter(descEnded, st.Counters.Recovered)
	for _, n := range st.Nodes {
		if n.Node == st.Node {
			continue
		}
		peer := strconv.FormatUint(uint64(n.Node), 10)
		gauge(descPeerUp, truth(n.Up), peer)
		gauge(descPeerRTT, float64(n.RTTMicros)/1e6, peer)
		gauge(descPeerSkew, float64(n.SkewMillis)/1e3, peer)
	}
	for i := range st.Stores {
		collectValues(out, &st.Stores[i])
	}
	for i := range st.Reads {
		out <- readAgeMetric(&st.Reads[i])
	}
	for _, g := range st.Groups {
		labels := []string{strconv.FormatUint(g.Group, 10), g.Keyspace, strconv.Itoa(g.Shard)}
		gauge(descLeading, truth(g.Leader == st.Node), labels...)
		gauge(descCommit, float64(g.Commit), labels...)
		gauge(descApplied, float64(g.Applied), labels...)
		gauge(descDurable, float64(g.Durable), labels...)
		gauge(descLast, float64(g.Last), labels...)
		gauge(descSuspect, truth(g.Suspect), labels...)
		for replica, match := range g.Match {
			lag := float64(g.Last) - float64(match)
			gauge(descLag, max(lag, 0), labels[0], labels[1], labels[2], replica)
		}
	}
}

func collectValues(out chan<- prometheus.Metric, v *kv.StoreStatus) {
	events := map[string]uint64{"hit": v.Hits, "miss": v.Misses, "wrong": v.Wrong, "error": v.Errors, "inside": v.Inside, "stored": v.Stored,
		"removed": v.Removed, "too_long": v.TooLong, "refetched": v.Refetched, "lost": v.Lost, "evicted": v.Evicted}
	for event, n := range events {
		out <- prometheus.MustNewConstMetric(descValues, prometheus.CounterValue, float64(n), v.Store, event)
	}
	out <- prometheus.MustNewConstMetric(descValuesWaiting, prometheus.GaugeValue, float64(v.Waiting), v.Store)
	out <- prometheus.MustNewConstMetric(descValuesUp, prometheus.GaugeValue, truth(v.Trouble == ""), v.Store)
}

// readAgeMetric is a histogram. Its sum takes each read for as old as its bucket allows.
func readAgeMetric(r *kv.ReadAges) prometheus.Metric {
	buckets, sum, below := map[float64]uint64{}, 0.0, uint64(0)
	for i, most := range kv.AgeBuckets {
		below += r.Counts[i]
		buckets[most.Seconds()] = below
		sum += most.Seconds() * float64(r.Counts[i])
	}
	desc := descReadAge
	if r.Checked {
		desc = descReadMissed
	}
	return prometheus.MustNewConstHistogram(desc, r.Reads, sum, buckets, r.Keyspace, r.Level)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
