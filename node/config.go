package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/store"
)

// Config is all that a node is told from outside. Validate fills in what is zero.
type Config struct {
	// Dir is the node's folder. It belongs to one node of one cluster.
	Dir  string
	Node core.NodeID
	// Cluster lists where the peers of each node reach it, this node included. It is the same on all nodes.
	Cluster map[core.NodeID]string
	// ClusterName, if given, tells this cluster from others instead of the list, whose addresses may change then.
	ClusterName string
	// Joined is what a member of the cluster answered when this node asked to join; nil: it is one of the list from the start.
	Joined *Membership
	// Listen is where this node waits for its peers; default: its own entry in Cluster.
	Listen string
	// Zone is what may fail at once with others in it; empty is a zone like any other.
	Zone string
	// Advertise holds the addresses of the doors for the catalog, by name: http, redis, memcached.
	Advertise map[string]string
	// Version is the program's, for the status.
	Version string

	Timing Timing
	// DiskReserveBytes is what must stay free on the file system; below it the node takes no writes. Default: 64 MiB or
	// 1 % of it, whichever is more.
	DiskReserveBytes int64

	Logger *slog.Logger
	// Fatal is told of the error after which the node must not go on, after it was logged. Default: exit with code 1.
	Fatal func(error)
	Host  host.Options
	Store store.Options
	// Faults hurt the node on purpose; nil in every node that was not started to be attacked.
	Faults Faults
	// ValueStore is where replicas of keyspaces with store node keep long values: one beside the node, Pebble or Memory. nil: none was
	// told, and values that come all the same stay on the node's own disk.
	ValueStore ValueStore
	// StoreMemoryBytes is the most that values take that are kept in memory; what is beyond stays on disk.
	// Default 1 GiB.
	StoreMemoryBytes int64

	// wall is the wall clock; tests set it wrong.
	wall func() time.Time
	// level is the newest feature level that the program knows; tests play other releases.
	level int
	// coldLooks is for how many looks in a row shards must be cold before they are merged; tests do not wait so long.
	coldLooks int
}

// Timing is the same on all nodes of a cluster; networks of long ways need more.
type Timing struct {
	// Heartbeat is how often a leader is heard of. Default 50 ms.
	Heartbeat time.Duration
	// ElectionMin and ElectionMax bound the random wait without a leader after which a replica nominates itself.
	// Default 500 ms and twice ElectionMin.
	ElectionMin, ElectionMax time.Duration
	// Lease is how long a leader that was heard may read without asking. Default: ElectionMin.
	Lease time.Duration
	// Flush is how old the state on disk may get. Default 60 s.
	Flush time.Duration
	// Request is the deadline of a call that brings none. Default 5 s.
	Request time.Duration
}

// Validate checks the configuration and fills in the defaults.
func (c *Config) Validate() error {
	if err := c.checkCluster(); err != nil {
		return err
	}
	if c.Dir == "" {
		return errors.New("no folder for the node's data; give one")
	}
	if c.DiskReserveBytes < 0 {
		return fmt.Errorf("a disk reserve of %d bytes; give 0 for the default, or more", c.DiskReserveBytes)
	}
	if c.StoreMemoryBytes < 0 {
		return fmt.Errorf("%d bytes for values that are kept in memory; give 0 for the default, or more", c.StoreMemoryBytes)
	}
	if c.StoreMemoryBytes == 0 {
		c.StoreMemoryBytes = 1 << 30
	}
	if c.Listen == "" {
		c.Listen = c.Cluster[c.Node]
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Fatal == nil {
		c.Fatal = func(error) { os.Exit(1) }
	}
	if c.wall == nil {
		c.wall = time.Now
	}
	if c.level == 0 {
		c.level = keyspace.Level
	}
	if c.coldLooks == 0 {
		c.coldLooks = coldFor
	}
	return c.Timing.validate()
}

func (c *Config) checkCluster() error {
	switch n := len(c.Cluster); {
	case n == 0:
		return errors.New("the cluster list is empty; give every node as id=host:port")
	case n > keyspace.ReplicasMax && c.Joined == nil:
		return fmt.Errorf("a cluster of %d nodes; today %d is the most", n, keyspace.ReplicasMax)
	case c.Node == 0:
		return errors.New("the node has no id; give one from the cluster list, 1 or more")
	case c.Cluster[c.Node] == "":
		return fmt.Errorf("node %d is not in the cluster list %v; add it, or give another id", c.Node, c.Cluster)
	}
	owners := map[string]core.NodeID{}
	for _, id := range slices.Sorted(maps.Keys(c.Cluster)) {
		addr := c.Cluster[id]
		if !isAddress(addr) || id == 0 {
			return fmt.Errorf("node %d has the address %q in the cluster list; give host:port", id, addr)
		}
		if other, taken := owners[addr]; taken {
			return fmt.Errorf("nodes %d and %d have the same address %s in the cluster list; give each its own", other, id, addr)
		}
		owners[addr] = id
	}
	return nil
}

// isAddress says that an address is host:port, and no longer than a name of the DNS makes it.
func isAddress(address string) bool {
	host, port, err := net.SplitHostPort(address)
	n, atoi := strconv.Atoi(port)
	return err == nil && host != "" && len(host) <= 255 && atoi == nil && n >= 1 && n <= 65535
}

func (t *Timing) validate() error {
	t.Heartbeat = orDefault(t.Heartbeat, 50*time.Millisecond)
	t.ElectionMin = orDefault(t.ElectionMin, 10*t.Heartbeat)
	t.ElectionMax = orDefault(t.ElectionMax, 2*t.ElectionMin)
	t.Lease = orDefault(t.Lease, t.ElectionMin)
	t.Flush = orDefault(t.Flush, time.Minute)
	t.Request = orDefault(t.Request, 5*time.Second)
	switch {
	case t.Heartbeat < time.Millisecond:
		return fmt.Errorf("a heartbeat of %v; give 1 ms or more", t.Heartbeat)
	case t.ElectionMin < 3*t.Heartbeat:
		return fmt.Errorf("an election time-out of %v with a heartbeat of %v; give three times as much or more", t.ElectionMin, t.Heartbeat)
	case t.ElectionMax <= t.ElectionMin:
		return fmt.Errorf("the election time-out ends at %v and begins at %v; give a range", t.ElectionMax, t.ElectionMin)
	case t.Lease > t.ElectionMin || t.Lease < t.Heartbeat:
		return fmt.Errorf("a lease of %v; give between the heartbeat %v and the election time-out %v", t.Lease, t.Heartbeat, t.ElectionMin)
	case t.Flush < 0 || t.Request < 0:
		return fmt.Errorf("a negative time: flush %v, request %v", t.Flush, t.Request)
	}
	return nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// clusterID tells this cluster from others: nodes that were given the same list, or the same name, belong together.
func (c *Config) clusterID() (id [16]byte) {
	if c.Joined != nil {
		return c.Joined.Cluster
	}
	text := "name " + c.ClusterName
	if c.ClusterName == "" {
		text = "list"
		for _, n := range c.nodes() {
			text += fmt.Sprintf(" %d=%s", n, c.Cluster[n])
		}
	}
	sum := sha256.Sum256([]byte("gamut cluster " + text))
	copy(id[:], sum[:])
	return id
}

// system is the catalog's own descriptor as long as the catalog does not say otherwise.
func (c *Config) system() *keyspace.Descriptor {
	if c.Joined != nil {
		return c.Joined.System
	}
	return keyspace.System(c.nodes())
}

// nodes are the ids of the cluster list, in order.
func (c *Config) nodes() []core.NodeID { return slices.Sorted(maps.Keys(c.Cluster)) }

func (c *Config) protocolOptions() keyspace.Options {
	return keyspace.Options{Heartbeat: core.Time(c.Timing.Heartbeat), ElectionMin: core.Time(c.Timing.ElectionMin),
		ElectionMax: core.Time(c.Timing.ElectionMax), LeaseMillis: uint32(c.Timing.Lease.Milliseconds())}
}
