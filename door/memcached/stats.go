package memcached

import (
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Counters as the stats command names them. A round counts in its tally and adds that up once.
const (
	cmdGet = iota
	cmdSet
	cmdFlush
	cmdTouch
	cmdMeta
	getHits
	getMisses
	deleteMisses
	deleteHits
	incrMisses
	incrHits
	decrMisses
	decrHits
	casMisses
	casHits
	casBadValue
	touchHits
	touchMisses
	refused
	unknown
	counterCount
)

var counterNames = [counterCount]string{"cmd_get", "cmd_set", "cmd_flush", "cmd_touch", "cmd_meta", "get_hits", "get_misses",
	"delete_misses", "delete_hits", "incr_misses", "incr_hits", "decr_misses", "decr_hits", "cas_misses", "cas_hits",
	"cas_badval", "touch_hits", "touch_misses", "gamut_refused", "gamut_unknown"}

type tally struct {
	n     [counterCount]uint32
	dirty bool
}

func (t *tally) count(what int) {
	t.n[what]++
	t.dirty = true
}

func (t *tally) countIf(condition bool, what int) {
	if condition {
		t.count(what)
	}
}

// either counts a hit or a miss.
func (t *tally) either(hit bool, hits, misses int) {
	if hit {
		t.count(hits)
	} else {
		t.count(misses)
	}
}

func (t *tally) got(touch, hit bool) {
	if touch {
		t.touched(hit)
		return
	}
	t.count(cmdGet)
	t.either(hit, getHits, getMisses)
}

func (t *tally) touched(hit bool) {
	t.count(cmdTouch)
	t.either(hit, touchHits, touchMisses)
}

func (t *tally) deleted(hit bool) { t.either(hit, deleteHits, deleteMisses) }

func (t *tally) counted(down, hit bool) {
	if down {
		t.either(hit, decrHits, decrMisses)
	} else {
		t.either(hit, incrHits, incrMisses)
	}
}

func (t *tally) failed(code kv.Code) {
	if code == kv.Unknown {
		t.count(unknown)
	} else if code.Refused() {
		t.count(refused)
	}
}

type counters struct {
	n                                              [counterCount]atomic.Uint64
	bytesRead, bytesWritten, connections, rejected atomic.Uint64
}

func (c *counters) add(t *tally) {
	if !t.dirty {
		return
	}
	for i, n := range t.n {
		if n > 0 {
			c.n[i].Add(uint64(n))
		}
	}
}

func (c *counters) reset() {
	for i := range c.n {
		c.n[i].Store(0)
	}
	c.bytesRead.Store(0)
	c.bytesWritten.Store(0)
	c.connections.Store(0)
	c.rejected.Store(0)
}

// stats takes stats [group].
func (p *pipeline) stats(words int) {
	if words == 1 {
		p.requests = append(p.requests, request{kind: answerStats})
		return
	}
	switch name := string(p.tokens[1]); name {
	case "reset":
		p.server.counters.reset()
		p.say("RESET")
	case "settings", "items", "slabs", "sizes", "conns":
		p.requests = append(p.requests, request{kind: answerStats, text: name})
	case "cachedump":
		p.say(noDump)
	case "detail":
		p.statsDetail(words)
	default:
		p.say(badCommand)
	}
}

func (p *pipeline) statsDetail(words int) {
	switch {
	case words > 2 && (string(p.tokens[2]) == "on" || string(p.tokens[2]) == "off"):
		p.say("OK")
	case words > 2 && string(p.tokens[2]) == "dump":
		p.say("END")
	default:
		p.say(detailUsage)
	}
}

// statsWriter writes STAT lines.
type statsWriter struct{ b []byte }

func (w *statsWriter) text(name, value string) {
	w.b = append(append(append(append(w.b, "STAT "...), name...), ' '), value...)
	w.b = append(w.b, '\r', '\n')
}

func (w *statsWriter) number(name string, n uint64) {
	w.b = append(append(append(w.b, "STAT "...), name...), ' ')
	w.b = append(appendUint(w.b, n), '\r', '\n')
}

func (s *Server) appendStats(b []byte, group string) []byte {
	w := statsWriter{b}
	switch group {
	case "":
		s.generalStats(&w)
	case "settings":
		s.settingsStats(&w)
	case "slabs":
		w.number("active_slabs", 0)
		w.number("total_malloced", 0)
	case "sizes":
		w.text("sizes_status", "disabled")
	}
	return append(w.b, "END\r\n"...)
}

func (s *Server) generalStats(w *statsWriter) {
	now := time.Now()
	w.number("pid", uint64(os.Getpid()))
	w.number("uptime", uint64(now.Sub(s.started)/time.Second))
	w.number("time", uint64(now.Unix()))
	w.text("version", s.options.Version)
	w.number("pointer_size", 32<<(^uint(0)>>63))
	w.number("max_connections", uint64(s.options.ConnectionsMax))
	w.number("curr_connections", uint64(s.connectionCount()))
	w.number("total_connections", s.counters.connections.Load())
	w.number("rejected_connections", s.counters.rejected.Load())
	for i := range s.counters.n {
		w.number(counterNames[i], s.counters.n[i].Load())
	}
	w.number("bytes_read", s.counters.bytesRead.Load())
	w.number("bytes_written", s.counters.bytesWritten.Load())
	w.number("threads", uint64(runtime.GOMAXPROCS(0)))
	// Nothing is ever evicted.
	w.number("evictions", 0)
}

func (s *Server) settingsStats(w *statsWriter) {
	w.number("maxconns", uint64(s.options.ConnectionsMax))
	w.text("evictions", "off")
	w.text("cas_enabled", "yes")
	w.text("flush_enabled", "yes")
	w.text("dump_enabled", "no")
	w.text("shutdown_command", "no")
	w.text("binding_protocol", "ascii")
	w.text("auth_enabled_ascii", "no")
	w.number("item_size_max", valueMax)
	w.number("num_threads", uint64(runtime.GOMAXPROCS(0)))
	w.text("gamut_keyspace", s.options.Keyspace)
	for _, b := range s.bindings[:len(s.bindings)-1] {
		w.text("gamut_prefix_"+b.prefix, b.keyspace)
	}
}
