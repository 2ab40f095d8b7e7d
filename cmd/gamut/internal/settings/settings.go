// Package settings is what a node is told at its start.
//
// A setting comes from the config file, is overridden by the environment (GAMUT_…), then by a flag. All three spell it
// alike: base-port in the file, GAMUT_BASE_PORT, --base-port.
//
// Others rely on this: a Node that Resolve returned is complete and free of contradictions, and what is wrong is said in
// the words of the place that it came from.
//
// Start with Node, then Resolve.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/values/outside"
)

// Offsets of a node's ports from its base port.
const (
	HTTPPort      = 0
	PeerPort      = 1
	RedisPort     = 2
	MemcachedPort = 3
	// PortStep is between two nodes of one machine.
	PortStep = 10
	// BasePort is the first node's.
	BasePort = 7400
)

// Node is all that a node is told.
type Node struct {
	// Node is this node's number in Cluster.
	Node uint32 `toml:"node"`
	// Dir is where its data lies; gamut-data/nodeN.
	Dir string `toml:"dir"`
	// Host is the address to bind; the one that Cluster names for this node.
	Host string `toml:"host"`
	// BasePort is the HTTP port, the others follow; one below the peer port that Cluster names for this node.
	BasePort int `toml:"base-port"`
	// Cluster lists all nodes as number=host:peerport.
	Cluster []string `toml:"cluster"`
	// Join is where a member of a running cluster meets its peers, host:peerport: this node asks it to join. It is given its
	// number, so neither Node nor Cluster is told.
	Join string `toml:"join"`
	// Name tells this cluster from others; without it the list does, and the addresses can never change.
	Name string `toml:"name"`
	// Zone is what may fail at once with others in it, such as a rack or a building: replicas are spread over zones.
	Zone string `toml:"zone"`
	// Keyspaces are made at the start if they are not there yet; default.
	Keyspaces []string `toml:"keyspaces"`
	// MemcachedKeyspace is where memcached clients work, MemcachedLevel what their requests ask of it, since their protocol
	// has words for neither; default, and the keyspace's own promise.
	MemcachedKeyspace string `toml:"memcached-keyspace"`
	MemcachedLevel    string `toml:"memcached-level"`
	// Store is where this node keeps long values of keyspaces with store node: pebble, memory, or one beside it, such as
	// memcached://host:port; none, so that such keyspaces are refused.
	Store string `toml:"store"`
	// StoreMemory is the most that values take which are kept in memory, such as 512MiB; 1GiB.
	StoreMemory string `toml:"store-memory"`
	// Insecure allows addresses other than the loopback: until there is TLS, whoever reaches them may read and write all.
	Insecure bool `toml:"insecure"`
	// Lab lets whoever reaches the HTTP door hurt this node on purpose, for tests and demonstrations.
	Lab bool `toml:"lab"`
	// Debug is a loopback address for profiles; none.
	Debug string `toml:"debug"`
	// Drain is how long a stopping node may take to finish requests and hand over; 10s.
	Drain string `toml:"drain"`

	drain       time.Duration
	storeMemory int64
	peers       map[uint32]string
}

// Error is a setting that cannot be used.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// ReadFile reads a config file. Unknown keys are errors: a misspelt setting must not be the default in silence.
func ReadFile(path string) (Node, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Node{}, wrong("config file: %v", err)
	}
	n, err := parse(b)
	if err != nil {
		return Node{}, wrong("%s: %v", path, err)
	}
	return n, nil
}

func parse(b []byte) (n Node, err error) {
	err = toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(&n)
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var all []string
		for _, e := range strict.Errors {
			line, _ := e.Position()
			all = append(all, fmt.Sprintf("line %d: there is no setting %q", line, strings.Join(e.Key(), ".")))
		}
		return n, errors.New(strings.Join(all, "; "))
	}
	var syntax *toml.DecodeError
	if errors.As(err, &syntax) {
		line, column := syntax.Position()
		return n, fmt.Errorf("line %d, column %d: %w", line, column, err)
	}
	return n, err
}

// Override replaces one setting by a text of the environment or of a flag. where names that place in errors.
func (n *Node) Override(name, text, where string) error {
	var err error
	switch name {
	case "node":
		var id uint64
		id, err = strconv.ParseUint(text, 10, 32)
		n.Node = uint32(id)
	case "dir":
		n.Dir = text
	case "host":
		n.Host = text
	case "base-port":
		n.BasePort, err = strconv.Atoi(text)
	case "cluster":
		n.Cluster = List(text)
	case "join":
		n.Join = text
	case "name":
		n.Name = text
	case "zone":
		n.Zone = text
	case "keyspaces":
		n.Keyspaces = List(text)
	case "memcached-keyspace":
		n.MemcachedKeyspace = text
	case "memcached-level":
		n.MemcachedLevel = text
	case "store":
		n.Store = text
	case "store-memory":
		n.StoreMemory = text
	case "insecure":
		n.Insecure, err = strconv.ParseBool(text)
	case "lab":
		n.Lab, err = strconv.ParseBool(text)
	case "debug":
		n.Debug = text
	case "drain":
		n.Drain = text
	default:
		panic("there is no setting " + name)
	}
	if err != nil {
		return wrong("%s: %q is not what %s takes", where, text, name)
	}
	return nil
}

// Names are all settings.
var Names = []string{"node", "dir", "host", "base-port", "cluster", "join", "name", "zone", "keyspaces", "memcached-keyspace", "memcached-level", "store", "store-memory", "insecure", "lab", "debug", "drain"}

// Variable is the name of a setting in the environment.
func Variable(name string) string {
	return "GAMUT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// List takes a comma-separated list apart.
func List(text string) (out []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// Resolve fills in what was left out and refuses what cannot be meant.
func (n *Node) Resolve() error {
	if n.Join != "" {
		return n.resolveJoin()
	}
	if n.Node == 0 {
		return wrong("which node is this? say --node N, with N from the cluster list, from 1")
	}
	if len(n.Cluster) == 0 {
		return wrong("which nodes are there? say --cluster 1=host:7401,2=host:7401,3=host:7401")
	}
	if err := n.resolvePeers(); err != nil {
		return err
	}
	own, ok := n.peers[n.Node]
	if !ok {
		return wrong("node %d is not in the cluster list %s", n.Node, strings.Join(n.Cluster, ","))
	}
	if err := n.resolveAddress(own); err != nil {
		return err
	}
	if n.Dir == "" {
		n.Dir = fmt.Sprintf("gamut-data/node%d", n.Node)
	}
	return n.resolveRest()
}

// resolveJoin is Resolve for a node that is not in any list yet.
func (n *Node) resolveJoin() error {
	if n.Node != 0 || len(n.Cluster) > 0 || n.Name != "" {
		return wrong("a node that joins is told its number, its peers and its cluster's name by the cluster: leave out --node, --cluster and --name")
	}
	if host, port, err := net.SplitHostPort(n.Join); err != nil || host == "" || port == "" {
		return wrong("--join %q is not host:peerport, such as 10.0.0.1:7401, where a member meets its peers", n.Join)
	}
	if n.Dir == "" {
		return wrong("where shall the data lie? say --dir D, an empty folder, or the one with which the node has joined before")
	}
	if n.Host == "" {
		n.Host = "127.0.0.1"
	}
	if n.BasePort == 0 {
		n.BasePort = BasePort
	}
	if err := n.resolveAddress(net.JoinHostPort(n.Host, strconv.Itoa(n.BasePort+PeerPort))); err != nil {
		return err
	}
	return n.resolveRest()
}

func (n *Node) resolveRest() error {
	if len(n.Keyspaces) == 0 {
		n.Keyspaces = []string{"default"}
	}
	if _, err := kv.ParseLevel(n.MemcachedLevel); err != nil {
		return wrong("memcached-level: %v", err)
	}
	if n.Drain == "" {
		n.Drain = "10s"
	}
	if n.Store != "" && n.Store != "pebble" && n.Store != "memory" {
		if _, err := outside.Open(n.Store); err != nil {
			return wrong("store: %v", err)
		}
	}
	var err error
	if n.storeMemory, err = size(n.StoreMemory); err != nil {
		return wrong("store-memory %q is not a size such as 512MiB or 2GiB", n.StoreMemory)
	}
	if n.drain, err = time.ParseDuration(n.Drain); err != nil || n.drain < 0 {
		return wrong("drain %q is not a duration such as 10s", n.Drain)
	}
	return nil
}

func (n *Node) resolvePeers() error {
	n.peers = map[uint32]string{}
	taken := map[string]uint64{}
	for _, entry := range n.Cluster {
		idText, address, ok := strings.Cut(entry, "=")
		id, err := strconv.ParseUint(idText, 10, 32)
		if !ok || err != nil || id == 0 {
			return wrong("cluster entry %q is not number=host:port, such as 1=10.0.0.1:7401", entry)
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" {
			return wrong("cluster entry %q: %q is not host:port", entry, address)
		}
		if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
			return wrong("cluster entry %q: port %q is not from 1 to 65535", entry, port)
		}
		if _, twice := n.peers[uint32(id)]; twice {
			return wrong("cluster entry %q: node %d is there twice", entry, id)
		}
		if other, twice := taken[address]; twice {
			return wrong("nodes %d and %d have one address, %s; each node needs its own", other, id, address)
		}
		n.peers[uint32(id)], taken[address] = address, id
	}
	return nil
}

func (n *Node) resolveAddress(own string) error {
	host, portText, err := net.SplitHostPort(own)
	if err != nil {
		return wrong("cluster entry of node %d: %v", n.Node, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return wrong("cluster entry of node %d: port %q", n.Node, portText)
	}
	if n.Host == "" {
		n.Host = host
	}
	if n.BasePort == 0 {
		n.BasePort = port - PeerPort
	}
	if n.BasePort+PeerPort != port {
		return wrong("base-port %d puts the peer port at %d, and the cluster list says %s for node %d", n.BasePort, n.BasePort+PeerPort, own, n.Node)
	}
	if n.BasePort < 1 || n.BasePort+MemcachedPort > 65535 {
		return wrong("base-port %d: the ports from %d to %d must lie between 1 and 65535", n.BasePort, n.BasePort, n.BasePort+MemcachedPort)
	}
	if !n.Insecure && !loopback(n.Host) {
		return wrong("host %s can be reached from elsewhere, and there is no TLS yet: whoever reaches this node may read and write everything; say --insecure if the network is yours alone", n.Host)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Exposed tells whether the node can be reached from other machines.
func (n *Node) Exposed() bool { return !loopback(n.Host) }

// Peers are the nodes' peer addresses by number.
func (n *Node) Peers() map[uint32]string { return n.peers }

// Level is MemcachedLevel; Resolve has checked it.
func (n *Node) Level() kv.Level {
	level, _ := kv.ParseLevel(n.MemcachedLevel)
	return level
}

// size reads a number of bytes; none is 0.
func size(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	digits, unit := strings.TrimRight(text, "KMGiB"), int64(1)
	switch text[len(digits):] {
	case "KiB":
		unit = 1 << 10
	case "MiB":
		unit = 1 << 20
	case "GiB":
		unit = 1 << 30
	case "B":
	default:
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err == nil && n < 1 {
		err = strconv.ErrRange
	}
	return n * unit, err
}

// StoreMemoryBytes is StoreMemory as a number; 0: the default.
func (n *Node) StoreMemoryBytes() int64 { return n.storeMemory }

// DrainTime is Drain as a duration.
func (n *Node) DrainTime() time.Duration { return n.drain }

// Address is where one of the node's doors listens.
func (n *Node) Address(offset int) string {
	return net.JoinHostPort(n.Host, strconv.Itoa(n.BasePort+offset))
}

// Advertised is what others dial to reach one of the node's doors: the host of the cluster list, since the bound one may
// be a wildcard.
func (n *Node) Advertised(offset int) string {
	host, _, err := net.SplitHostPort(n.peers[n.Node])
	if err != nil {
		host = n.Host
	}
	return net.JoinHostPort(host, strconv.Itoa(n.BasePort+offset))
}

// Args are the flags that give these settings again.
func (n *Node) Args() []string {
	args := []string{
		"--node", strconv.FormatUint(uint64(n.Node), 10), "--dir", n.Dir, "--host", n.Host,
		"--cluster", strings.Join(n.Cluster, ","), "--keyspaces", strings.Join(n.Keyspaces, ","),
	}
	if n.Name != "" {
		args = append(args, "--name", n.Name)
	}
	if n.MemcachedKeyspace != "" {
		args = append(args, "--memcached-keyspace", n.MemcachedKeyspace)
	}
	if n.MemcachedLevel != "" {
		args = append(args, "--memcached-level", n.MemcachedLevel)
	}
	if n.Store != "" {
		args = append(args, "--store", n.Store)
	}
	if n.StoreMemory != "" {
		args = append(args, "--store-memory", n.StoreMemory)
	}
	if n.Insecure {
		args = append(args, "--insecure")
	}
	if n.Lab {
		args = append(args, "--lab")
	}
	if n.Debug != "" {
		args = append(args, "--debug", n.Debug)
	}
	return args
}

// DebugFrom gives the nodes of this machine addresses for profiles: the first one the address itself, each other one a
// port that is a step further.
func DebugFrom(nodes []Node, address string) error {
	host, text, err := net.SplitHostPort(address)
	port, bad := strconv.Atoi(text)
	if err != nil || bad != nil || port < 1 || port+PortStep*(len(nodes)-1) > 65535 {
		return wrong("--debug %q is not host:port with room for %d nodes", address, len(nodes))
	}
	for i := range nodes {
		nodes[i].Debug = net.JoinHostPort(host, strconv.Itoa(port+PortStep*i))
	}
	return nil
}

// StoresFrom gives nodes their stores: one for all, which is pebble or memory, or one for each.
func StoresFrom(nodes []Node, stores []string) error {
	if len(stores) == 1 && !strings.Contains(stores[0], "://") {
		stores = slices.Repeat(stores, len(nodes))
	}
	if len(stores) != len(nodes) {
		return wrong("--store names %d stores for %d nodes; give each its own, in order, or pebble or memory for all", len(stores), len(nodes))
	}
	for i := range nodes {
		nodes[i].Store = stores[i]
		if err := nodes[i].Resolve(); err != nil {
			return err
		}
	}
	return nil
}

// Local are the settings of a cluster of nodes on this machine.
func Local(nodes int, dir string, basePort int, keyspaces []string) ([]Node, error) {
	if nodes < 1 || nodes > 9 {
		return nil, wrong("--nodes %d is not from 1 to 9", nodes)
	}
	if last := basePort + PortStep*(nodes-1) + MemcachedPort; basePort < 1 || last > 65535 {
		return nil, wrong("--base-port %d: the ports from %d to %d must lie between 1 and 65535", basePort, basePort, last)
	}
	var cluster []string
	for i := range nodes {
		cluster = append(cluster, fmt.Sprintf("%d=127.0.0.1:%d", i+1, basePort+PortStep*i+PeerPort))
	}
	var all []Node
	for i := range nodes {
		// A name, so that the same data may be served on other ports.
		n := Node{Node: uint32(i + 1), Name: fmt.Sprintf("dev-%d", nodes), Dir: fmt.Sprintf("%s/node%d", dir, i+1), Cluster: slices.Clone(cluster), Keyspaces: keyspaces}
		if err := n.Resolve(); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}
