package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// names are what the statements above a line have declared.
type names struct {
	// nodes maps what a script calls a node to its id. In a script that joins its servers these differ.
	nodes   map[int]core.NodeID
	clients map[int]bool
}

func (n *names) list() string {
	labels := []string{}
	for _, label := range sortedKeys(n.nodes) {
		labels = append(labels, strconv.Itoa(label))
	}
	return strings.Join(labels, ", ")
}

// target is whom a statement means by a word: one node, or a role that is looked up when the statement runs.
type target struct {
	node core.NodeID
	role string
}

// roles are the words that stand for nodes.
var roles = []string{"leader", "follower", "followers", "all"}

// path is one link or several: from and to may be roles, both says that the other direction is meant too.
type path struct {
	from, to target
	both     bool
}

// end is one end of a connection of a client, or of a link.
type end struct {
	client int
	node   core.NodeID
	is     string // "client" or "node"
}

// kind is what an argument of a statement may be.
type kind struct {
	name string // as it stands in forms
	doc  string
	read func(n *names, w word) (any, error)
}

// kinds are all of them. A name in a form is one of these, or of one of these with a number behind it.
var kinds = []kind{
	{"KEY", "a key: one word, or a text in quotes, or a literal in brackets", readText},
	{"VALUE", "a value, written like a key", readText},
	{"TEXT", "a text, written like a key", readText},
	{"CLIENT", "the number of a client that joined above", readClient},
	{"NODE", "the number of a node, or `leader`, or `follower` (the lowest-numbered node that runs and does not lead)", readNode},
	{"NODES", "a NODE, or `followers` (all nodes that run and do not lead), or `all`", readNodes},
	{"SIDES", "a NODES, or `|` between two sides", readSides},
	{"PEER", "a NODE, or its port in the courses' numbering: 8000 and the node's number", readPeer},
	{"END", "the number of a client that joined above, or else of a node", readEnd},
	{"LINK", "`1-2` (both directions), `1->2` (one), or `all`; for a number may stand what is a NODES", readLink},
	{"NUMBER", "a whole number, 0 or more", readNumber},
	{"COUNT", "a whole number, 1 or more", readCount},
	{"DELTA", "a whole number", readDelta},
	{"DURATION", "a time as 300ms, 5s or 1m30s", readDuration},
	{"OFFSET", "a time that may be negative: -5s, +1h", readOffset},
	{"PERCENT", "a chance from 0% to 100%", readPercent},
	{"LEVEL", "what one request asks for: " + strings.Join(levelWords(), ", "), readLevel},
	{"CONSISTENCY", "a keyspace's promise: linearizable, sequential, atomic, quorum, causal or eventual", readConsistency},
	{"KEYSPACE", "the name of a keyspace", readName},
}

func kindNamed(name string) *kind {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == strings.TrimRight(name, "0123456789") })
	if i < 0 {
		panic("lab: no kind of argument is called " + name)
	}
	return &kinds[i]
}

func readText(_ *names, w word) (any, error) { return w.text, nil }

func readName(_ *names, w word) (any, error) {
	if w.text == "" {
		return nil, fmt.Errorf("a keyspace needs a name")
	}
	return w.text, nil
}

func readClient(n *names, w word) (any, error) {
	id, err := strconv.Atoi(w.text)
	if err != nil || w.quoted {
		return nil, fmt.Errorf("%q is no client's number", w.text)
	}
	if !n.clients[id] {
		return nil, fmt.Errorf("no client %d has joined above", id)
	}
	return id, nil
}

func readNode(n *names, w word) (any, error) {
	if w.text == "leader" || w.text == "follower" {
		return target{role: w.text}, nil
	}
	label, err := strconv.Atoi(w.text)
	if err != nil || w.quoted {
		return nil, fmt.Errorf("%q is no node; give its number, or leader, or follower", w.text)
	}
	id, ok := n.nodes[label]
	if !ok {
		return nil, fmt.Errorf("there is no node %d; the nodes are %s", label, n.list())
	}
	return target{node: id}, nil
}

func readNodes(n *names, w word) (any, error) {
	if !w.quoted && slices.Contains(roles, w.text) {
		return target{role: w.text}, nil
	}
	return readNode(n, w)
}

// bar stands between the sides of a partition.
const bar = "|"

func readSides(n *names, w word) (any, error) {
	if w.text == bar {
		return target{role: bar}, nil
	}
	return readNodes(n, w)
}

// firstPort is where the ports of a Paxos course's servers begin.
const firstPort = 8000

func readPeer(n *names, w word) (any, error) {
	if port, err := strconv.Atoi(w.text); err == nil && port > firstPort {
		w.text = strconv.Itoa(port - firstPort)
	}
	return readNode(n, w)
}

func readEnd(n *names, w word) (any, error) {
	id, err := strconv.Atoi(w.text)
	if err != nil || w.quoted {
		return nil, fmt.Errorf("%q is neither a client's nor a node's number", w.text)
	}
	if n.clients[id] {
		return end{client: id, is: "client"}, nil
	}
	if node, ok := n.nodes[id]; ok {
		return end{node: node, is: "node"}, nil
	}
	return nil, fmt.Errorf("%d is neither a client that joined above nor a node; the nodes are %s", id, n.list())
}

func readLink(n *names, w word) (any, error) {
	if w.text == "all" {
		return path{from: target{role: "all"}, to: target{role: "all"}}, nil
	}
	from, to, oneWay := strings.Cut(w.text, "->")
	if !oneWay {
		from, to, _ = strings.Cut(w.text, "-")
	}
	a, errA := readNodes(n, word{text: from})
	b, errB := readNodes(n, word{text: to})
	switch {
	case to == "" || from == "":
		return nil, fmt.Errorf("%q is no link; give one as 1-2 or 1->2, or all", w.text)
	case errA != nil:
		return nil, errA
	case errB != nil:
		return nil, errB
	case from == to && from != "all" && from != "followers":
		return nil, fmt.Errorf("%q leads from a node to itself", w.text)
	}
	return path{a.(target), b.(target), !oneWay}, nil
}

func readNumber(_ *names, w word) (any, error) {
	n, err := strconv.ParseUint(w.text, 10, 64)
	if err != nil || w.quoted {
		return nil, fmt.Errorf("%q is no whole number from 0 on", w.text)
	}
	return n, nil
}

// countMax keeps a slip of the finger from running for hours.
const countMax = 1_000_000

func readCount(_ *names, w word) (any, error) {
	n, err := strconv.Atoi(w.text)
	if err != nil || w.quoted || n < 1 || n > countMax {
		return nil, fmt.Errorf("%q is no whole number from 1 to %d", w.text, countMax)
	}
	return n, nil
}

func readDelta(_ *names, w word) (any, error) {
	n, err := strconv.ParseInt(w.text, 10, 64)
	if err != nil || w.quoted {
		return nil, fmt.Errorf("%q is no whole number", w.text)
	}
	return n, nil
}

// durationMax is longer than any situation takes that a script is about.
const durationMax = 24 * time.Hour

func readDuration(_ *names, w word) (any, error) {
	d, err := time.ParseDuration(w.text)
	if err != nil || d < 0 || d > durationMax {
		return nil, fmt.Errorf("%q is no time up to 24h; give it as 300ms or 5s", w.text)
	}
	return d, nil
}

func readOffset(_ *names, w word) (any, error) {
	d, err := time.ParseDuration(w.text)
	if err != nil || d.Abs() > 100*365*durationMax {
		return nil, fmt.Errorf("%q is no difference of time up to 100 years; give it as -5s or +1h", w.text)
	}
	return d, nil
}

func readPercent(_ *names, w word) (any, error) {
	p, err := strconv.ParseFloat(strings.TrimSuffix(w.text, "%"), 64)
	if err != nil || !(p >= 0 && p <= 100) {
		return nil, fmt.Errorf("%q is no chance from 0%% to 100%%", w.text)
	}
	return p / 100, nil
}

// levelWords leaves out the default, which has no word in a script.
func levelWords() []string { return kv.LevelWords()[1:] }

func readLevel(_ *names, w word) (any, error) {
	if w.text == "" || w.quoted {
		return nil, fmt.Errorf("%q is no level; the levels are %s", w.text, strings.Join(levelWords(), ", "))
	}
	l, err := kv.ParseLevel(w.text)
	if err != nil {
		return nil, fmt.Errorf("%q is no level; the levels are %s", w.text, strings.Join(levelWords(), ", "))
	}
	return l, nil
}

// readConsistency takes any word: which there are is for the cluster to say.
func readConsistency(_ *names, w word) (any, error) {
	if w.text == "" || w.quoted {
		return nil, fmt.Errorf("a keyspace's promise is one word")
	}
	return kv.Consistency(w.text), nil
}
