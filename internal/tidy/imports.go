package tidy

import (
	"strconv"
	"strings"
)

// pure are the rooms that a simulator replays: the same inputs must give the same outputs, byte for byte.
var pure = []string{"kv", "core", "machine", "paxos", "twophase", "quorum", "bayou", "txn", "host", "keyspace"}

// allowed says which rooms of ours a room may import, tests excepted. A room that is missing here must be added, with its
// place on the map, before it can be built.
var allowed = map[string][]string{
	"kv":                {},
	"core":              {"kv"},
	"core/wire":         {},
	"core/load":         {"core"},
	"core/transfer":     {"core/wire", "core"},
	"core/coretest":     {"core", "kv"},
	"machine":           {"core", "kv"},
	"paxos":             {"machine", "core/transfer", "core/wire", "core/load", "core", "kv"},
	"twophase":          {"machine", "core/transfer", "core/wire", "core", "kv"},
	"bayou":             {"machine", "core/load", "core/wire", "core", "kv"},
	"quorum":            {"core/wire", "core/load", "core", "kv"},
	"keyspace":          {"bayou", "paxos", "quorum", "twophase", "machine", "core", "kv"},
	"host":              {"core", "kv"},
	"store":             {"core", "kv"},
	"values":            {"store", "core", "kv"},
	"values/outside":    {"values"},
	"txn":               {"kv"},
	"node":              {"values", "txn", "keyspace", "machine", "host", "store", "core", "kv"},
	"door/redis":        {"kv"},
	"door/memcached":    {"kv"},
	"door/http":         {"kv"},
	"door/http/remote":  {"door/http", "kv"},
	"client":            {"door/http/remote", "door/http", "keyspace", "kv"},
	"examples/visits":   {"client"},
	"internal/freeport": {},
	"internal/trial":    {"node", "door/http", "core", "kv"},
	"referee":           {"kv"},
	"referee/report":    {"referee", "kv"},
	"referee/workload":  {"referee", "kv"},
	"audit":             {"machine", "kv"},
	"snapshot":          {"kv"},
	"sim":               {"values", "txn", "keyspace", "bayou", "quorum", "paxos", "twophase", "machine", "host", "store", "referee", "referee/workload", "core", "kv"},
	"lab":               {"sim", "referee", "referee/workload", "keyspace", "core", "kv"},
	"lab/inject":        {"door/http", "core", "kv"},
	"lab/live":          {"lab", "lab/inject", "door/http/remote", "machine", "referee", "referee/workload", "core", "kv"},
	"lab/maelstrom":     {"keyspace", "host", "store", "core", "kv"},
	"internal/tidy":     {},
}

// everything are rooms that may import all others, and that nothing else imports.
var everything = []string{"cmd"}

// banned are imports that one kind of room must not have, each with its reason.
var banned = []struct {
	rooms  []string
	prefix string
	reason string
	except map[string]string // room + " " + import: why it may
}{
	{pure, "os", "a pure room knows no files and no environment: the simulator could not replay it", map[string]string{
		"core/coretest os": "it reads the golden scripts of tests, and nothing else imports it",
	}},
	{pure, "net", "a pure room knows no network: messages are values that the host carries", nil},
	{pure, "log", "a pure room tells what happened by Notes, which traces compare", nil},
	{pure, "sync", "a pure room is stepped by one goroutine at a time: a lock would hide that two do", map[string]string{
		"kv sync/atomic": "Batch is how a door waits for a node; nothing behind the line uses it",
	}},
	{pure, "crypto/rand", "chance comes from Input.Rand, which the seed decides", nil},
	{pure, "math/rand", "chance comes from Input.Rand, which the seed decides; the old package cannot be told apart from its global functions", map[string]string{
		"core math/rand/v2": "it declares Input.Rand", "paxos math/rand/v2": "it takes Input.Rand's type", "host math/rand/v2": "it makes Input.Rand from the host's seed",
		"keyspace math/rand/v2": "it takes Input.Rand's type", "quorum math/rand/v2": "an estimate draws from a source that it is given", "core/coretest math/rand/v2": "it makes Input.Rand, as a host does",
	}},
	{[]string{"."}, "github.com/stretchr/testify", "plain comparisons and go-cmp say what differs, without a second language in tests", nil},
	{[]string{"."}, "github.com/hashicorp", "its libraries own clocks and goroutines, so they cannot be simulated", nil},
	{[]string{"."}, "io/ioutil", "it is deprecated; use os and io", nil},
	{[]string{"."}, "unsafe", "no gain was ever measured here that is worth it", nil},
}

// importMap checks every import against the map and the bans.
func importMap(m *Module) (found []string) {
	for _, f := range m.files {
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				found = append(found, m.at(spec.Pos(), "import %s", spec.Path.Value))
				continue
			}
			if !f.Test {
				found = append(found, banProblems(m, f, name, m.at(spec.Pos(), ""))...)
			}
			if room, ours := strings.CutPrefix(name, Prefix); ours {
				found = append(found, roomProblems(f, room, m.at(spec.Pos(), ""))...)
			}
		}
	}
	return found
}

func banProblems(_ *Module, f *File, name, where string) (found []string) {
	for _, ban := range banned {
		concerned := ban.rooms[0] == "." || below(f.Room, ban.rooms...)
		if concerned && below(name, ban.prefix) && ban.except[f.Room+" "+name] == "" {
			found = append(found, where+f.Room+" must not import "+name+": "+ban.reason)
		}
	}
	return found
}

func roomProblems(f *File, imported, where string) []string {
	switch {
	case below(imported, everything...) && !below(f.Room, everything...):
		return []string{where + "nothing imports " + imported + ": a room that needs it has put logic into the command"}
	case below(f.Room, everything...) || f.Test:
		return nil
	}
	list, known := allowed[f.Room]
	if !known {
		return []string{where + "room " + f.Room + " is not on the map in internal/tidy/imports.go: give it its place and say so in docs/ARCHITECTURE.md"}
	}
	for _, room := range list {
		if imported == room {
			return nil
		}
	}
	return []string{where + f.Room + " must not import " + imported + ": no arrow of docs/ARCHITECTURE.md leads there"}
}
