package redis

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// redisVersion is the Redis whose behaviour this door follows; clients choose their commands by it.
const redisVersion = "7.0.15"

// infoSections writes INFO's sections in their order.
var infoSections = []struct {
	name  string
	write func(c *conn, line func(name string, value any))
}{
	{"server", func(c *conn, line func(string, any)) {
		up := int(time.Since(c.server.started).Seconds())
		line("redis_version", redisVersion)
		line("redis_mode", "standalone")
		line("gamut_version", c.server.options.Version)
		line("os", runtime.GOOS+" "+runtime.GOARCH)
		line("arch_bits", 64)
		line("process_id", os.Getpid())
		line("uptime_in_seconds", up)
		line("uptime_in_days", up/86400)
	}},
	{"clients", func(c *conn, line func(string, any)) {
		c.server.mu.Lock()
		n := len(c.server.conns)
		c.server.mu.Unlock()
		line("connected_clients", n)
		line("maxclients", c.server.options.ConnectionsMax)
		line("blocked_clients", 0)
	}},
	{"memory", func(c *conn, line func(string, any)) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		line("used_memory", m.HeapAlloc)
		line("used_memory_rss", m.Sys)
		line("maxmemory", 0)
		line("maxmemory_policy", "noeviction")
	}},
	{"persistence", func(c *conn, line func(string, any)) {
		line("loading", 0)
		line("rdb_changes_since_last_save", 0)
		line("rdb_last_bgsave_status", "ok")
		line("aof_enabled", 1)
		line("aof_last_write_status", "ok")
	}},
	{"stats", func(c *conn, line func(string, any)) {
		line("total_connections_received", c.server.accepted.Load())
		line("total_commands_processed", c.server.commands.Load())
		line("rejected_connections", c.server.rejected.Load())
		line("client_output_buffer_limit_disconnections", c.server.cut.Load())
	}},
	{"replication", func(c *conn, line func(string, any)) {
		line("role", "master")
		line("connected_slaves", 0)
	}},
	{"cluster", func(c *conn, line func(string, any)) { line("cluster_enabled", 0) }},
	{"gamut", func(c *conn, line func(string, any)) {
		line("keyspace", c.keyspaceName)
		if c.server.options.Info == nil {
			return
		}
		fields := c.server.options.Info()
		names := make([]string, 0, len(fields))
		for name := range fields {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			line(name, fields[name])
		}
	}},
	{"keyspace", func(c *conn, line func(string, any)) {}},
}

func runInfo(c *conn, w *writer, args [][]byte) {
	wanted := map[string]bool{}
	for _, arg := range args[1:] {
		wanted[strings.ToLower(cText(arg, 32))] = true
	}
	all := len(wanted) == 0 || wanted["all"] || wanted["default"] || wanted["everything"]
	var b strings.Builder
	for _, section := range infoSections {
		if !all && !wanted[section.name] {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		fmt.Fprintf(&b, "# %s\r\n", strings.ToUpper(section.name[:1])+section.name[1:])
		section.write(c, func(name string, value any) { fmt.Fprintf(&b, "%s:%v\r\n", name, value) })
	}
	w.verbatim(b.String())
}

// configuration is what CONFIG GET knows: what clients and redis-benchmark ask for.
func (s *Server) configuration() [][2]string {
	return [][2]string{
		{"appendfsync", "always"},
		{"appendonly", "yes"},
		{"databases", "16"},
		{"maxclients", fmt.Sprint(s.options.ConnectionsMax)},
		{"maxmemory", "0"},
		{"maxmemory-policy", "noeviction"},
		{"proto-max-bulk-len", fmt.Sprint(kv.ValueMax)},
		{"save", ""},
		{"timeout", "0"},
	}
}

func runConfigGet(c *conn, w *writer, args [][]byte) {
	var found [][2]string
	for _, pair := range c.server.configuration() {
		if slices.ContainsFunc(args[2:], func(pattern []byte) bool {
			return globMatch([]byte(strings.ToLower(string(pattern))), []byte(pair[0]))
		}) {
			found = append(found, pair)
		}
	}
	w.mapping(len(found))
	for _, pair := range found {
		w.text(pair[0])
		w.text(pair[1])
	}
}

func runTime(c *conn, w *writer, args [][]byte) {
	now := time.Now()
	w.array(2)
	w.text(fmt.Sprint(now.Unix()))
	w.text(fmt.Sprint(now.Nanosecond() / 1000))
}

// runLastSave answers with now: every acknowledged write is on disk already.
func runLastSave(c *conn, w *writer, args [][]byte) { w.integer(time.Now().Unix()) }

// runWait answers 0 at once: there are no asynchronous replicas to wait for. A write that was acknowledged before is on
// as many disks as its keyspace promises, a majority for a linearizable one, or it would not have been acknowledged.
func runWait(c *conn, w *writer, args [][]byte) {
	replicas, ok1 := parseInt(args[1])
	patience, ok2 := parseInt(args[2])
	switch {
	case !ok1 || replicas < 0:
		w.fail(faultNotInteger)
	case !ok2:
		w.fail("ERR timeout is not an integer or out of range")
	case patience < 0:
		w.fail("ERR timeout is negative")
	default:
		w.integer(0)
	}
}

// helpLines answers the HELP of a command with subcommands.
func helpLines(container string) func(c *conn, w *writer, args [][]byte) {
	return func(c *conn, w *writer, args [][]byte) {
		names := subcommandNames(container)
		w.array(len(names) + 1)
		w.simple(strings.ToUpper(container) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
		for _, name := range names {
			w.simple(strings.ToUpper(name))
		}
	}
}

// refuseWith answers with an error that says why a command is not offered.
func refuseWith(text string) func(c *conn, w *writer, args [][]byte) {
	return func(c *conn, w *writer, args [][]byte) { w.fail(text) }
}
