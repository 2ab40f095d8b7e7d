// Package member runs one node with its doors.
//
// It opens every address before the node begins, so that a port in use is an error at the start, and closes in the order
// that loses nothing: first the node says that it is not ready, then the doors finish what they were asked, then the node
// hands its leaderships over.
//
// Others rely on this: a member is ready only when the keyspaces of its settings exist.
//
// Start with Start.
package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
	"github.com/gamutdb/gamut/core"
	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/memcached"
	"github.com/gamutdb/gamut/door/redis"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab/inject"
	"github.com/gamutdb/gamut/node"
	"github.com/gamutdb/gamut/values/outside"
)

// Member is a running node.
type Member struct {
	settings settings.Node
	log      *slog.Logger
	node     *node.Node
	gate     *gate
	doors    []door
	debug    *http.Server
	// lab hurts the node on purpose; nil unless the settings ask for it.
	lab *inject.Injector
	// store is the one beside the node; nil: there is none.
	store   outside.Store
	stop    context.CancelFunc
	serving sync.WaitGroup
}

type door struct {
	name     string
	offset   int
	listener net.Listener
	server   interface {
		Serve(net.Listener) error
		Shutdown(context.Context) error
	}
}

// Start runs a node as its settings say.
func Start(s settings.Node, version string, log *slog.Logger) (*Member, error) {
	m := &Member{settings: s, log: log}
	m.doors = []door{{name: "http", offset: settings.HTTPPort}, {name: "redis", offset: settings.RedisPort}, {name: "memcached", offset: settings.MemcachedPort}}
	var err error
	if s.Lab {
		if m.lab, err = inject.New(s.Dir); err != nil {
			return nil, fmt.Errorf("node %d: %w", s.Node, err)
		}
	}
	if err := m.listen(); err != nil {
		return nil, err
	}
	config := m.config(version)
	err = m.join(&config)
	if err == nil {
		m.node, err = node.Start(config)
	}
	if err != nil {
		m.closeListeners()
		return nil, fmt.Errorf("node %d: %w", m.settings.Node, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.gate = &gate{Node: m.node, wanted: s.Keyspaces}
	m.serving.Go(func() { m.gate.makeKeyspaces(ctx, log) })
	m.openDoors(version)
	return m, nil
}

// joinTimeout is how long a cluster may take to answer a node that asks to join.
const joinTimeout = 15 * time.Second

// join makes this node a member of the cluster that the settings name, if they name one.
func (m *Member) join(c *node.Config) error {
	if m.settings.Join == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), joinTimeout)
	defer cancel()
	joined, err := node.Join(ctx, c.Dir, m.settings.Join, m.settings.Advertised(settings.PeerPort))
	if err != nil {
		return err
	}
	c.Joined, c.Node, c.Cluster = joined, joined.Node, joined.Peers
	m.settings.Node = uint32(joined.Node)
	return nil
}

// Number is the node's own in the cluster.
func (m *Member) Number() uint32 { return m.settings.Node }

func (m *Member) listen() error {
	for i := range m.doors {
		d := &m.doors[i]
		var err error
		if d.listener, err = net.Listen("tcp", m.settings.Address(d.offset)); err != nil {
			m.closeListeners()
			return fmt.Errorf("node %d, %s door: %w", m.settings.Node, d.name, err)
		}
	}
	if m.settings.Debug == "" {
		return nil
	}
	ln, err := doorhttp.ListenDebug(m.settings.Debug)
	if err != nil {
		m.closeListeners()
		return err
	}
	m.debug = doorhttp.NewDebug()
	go m.debug.Serve(ln)
	return nil
}

func (m *Member) closeListeners() {
	for _, d := range m.doors {
		if d.listener != nil {
			d.listener.Close()
		}
	}
	if m.debug != nil {
		m.debug.Close()
	}
}

func (m *Member) config(version string) node.Config {
	c := node.Config{
		Dir: m.settings.Dir, Node: core.NodeID(m.settings.Node), Cluster: map[core.NodeID]string{}, ClusterName: m.settings.Name,
		Zone: m.settings.Zone, Listen: m.settings.Address(settings.PeerPort), Advertise: map[string]string{}, Version: version, Logger: m.log,
	}
	for id, address := range m.settings.Peers() {
		c.Cluster[core.NodeID(id)] = address
	}
	for _, d := range m.doors {
		c.Advertise[d.name] = m.settings.Advertised(d.offset)
	}
	if m.lab != nil {
		c.Faults = m.lab
	}
	c.StoreMemoryBytes = m.settings.StoreMemoryBytes()
	switch s := m.settings.Store; s {
	case "":
	case "pebble":
		c.ValueStore = node.Pebble
	case "memory":
		c.ValueStore = node.Memory
	default:
		m.store, _ = outside.Open(s) // the settings were checked
		c.ValueStore = m.store
	}
	return c
}

func (m *Member) openDoors(version string) {
	options := doorhttp.Options{Log: m.log}
	if m.lab != nil {
		options.Lab = m.lab.Handler(m.node)
	}
	web := doorhttp.New(m.node, m.gate, options)
	m.doors[0].server = web
	m.doors[1].server = redis.New(m.node, redis.Options{Version: version, Logger: m.log, Explain: m.explain, Observe: web.Metrics().Door("redis").Observe})
	m.doors[2].server = memcached.New(m.node, memcached.Options{Logger: m.log, Keyspace: m.settings.MemcachedKeyspace, Level: m.settings.Level(), Observe: web.Metrics().Door("memcached").Observe})
	for _, d := range m.doors {
		m.serving.Go(func() {
			if err := d.server.Serve(d.listener); err != nil && !errors.Is(err, redis.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				m.log.Error("a door closed", "door", d.name, "error", err)
			}
		})
	}
}

func (m *Member) explain(keyspace string) ([]string, bool) {
	for _, info := range m.node.DescribeKeyspaces() {
		if info.Name == keyspace {
			return info.Explain, true
		}
	}
	return nil, false
}

// Close lets the doors finish what they were asked and the node hand over. When ctx ends first, what is left is cut off.
func (m *Member) Close(ctx context.Context) error {
	m.gate.stopping.Store(true)
	m.stop()
	// The doors get half of the time: a client that keeps one busy must not cost the hand-over.
	doorTime := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		doorTime = time.Until(deadline) / 2
	}
	doorCtx, cancel := context.WithTimeout(ctx, doorTime)
	defer cancel()
	var closing sync.WaitGroup
	for _, d := range m.doors {
		closing.Go(func() {
			if err := d.server.Shutdown(doorCtx); err != nil {
				m.log.Warn("requests were cut off", "door", d.name, "error", err)
			}
		})
	}
	closing.Wait()
	if m.debug != nil {
		m.debug.Close()
	}
	m.serving.Wait()
	err := m.node.Close(ctx)
	if m.store != nil {
		err = errors.Join(err, m.store.Close())
	}
	if err != nil {
		return fmt.Errorf("node %d: %w", m.settings.Node, err)
	}
	return nil
}

// gate is a node that is not ready before its keyspaces are there, nor while it stops.
type gate struct {
	*node.Node
	wanted   []string
	made     atomic.Bool
	stopping atomic.Bool
}

// Ready is kv.Admin's.
func (g *gate) Ready() error {
	if g.stopping.Load() {
		return errors.New("the node is stopping")
	}
	if err := g.Node.Ready(); err != nil {
		return err
	}
	if !g.made.Load() {
		return fmt.Errorf("keyspace %s is not there yet", g.missing())
	}
	return nil
}

// Status is kv.Admin's.
func (g *gate) Status() kv.Status {
	st := g.Node.Status()
	if err := g.Ready(); err != nil {
		st.Ready, st.NotReady = false, err.Error()
	}
	return st
}

func (g *gate) missing() string {
	for _, name := range g.wanted {
		if g.Node.Keyspace(name) == nil {
			return name
		}
	}
	return ""
}

// makeStep is between two looks at whether a keyspace has appeared.
const makeStep = 50 * time.Millisecond

// makeKeyspaces creates what is missing. Every node of the cluster tries, and one succeeds.
func (g *gate) makeKeyspaces(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		name := g.missing()
		if name == "" {
			g.made.Store(true)
			return
		}
		if g.Node.Ready() == nil {
			spec := kv.CreateKeyspace{Name: name, Consistency: kv.Linearizable}
			// A keyspace that is named after a consistency has it.
			if c := kv.Consistency(name); keyspace.Known(c) {
				spec.Consistency = c
			}
			err := g.Node.CreateKeyspace(ctx, spec)
			var e *kv.Error
			if err != nil && ctx.Err() == nil && !(errors.As(err, &e) && e.Code == kv.Exists) {
				log.Debug("keyspace not made yet", "keyspace", name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(makeStep):
		}
	}
}
