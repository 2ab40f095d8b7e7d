package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// topologyLife is how old what is known of the cluster may get before it is asked for again, beside the operations.
const topologyLife = 5 * time.Second

// topology is what the client knows of the cluster. All of it is a hint: any node takes any request.
type topology struct {
	client *Client

	mu    sync.Mutex
	at    time.Time // when it was learned; zero: it is to be learned again
	asked bool      // somebody is asking
	// places are the keyspaces by name, nodes the HTTP addresses of nodes by number.
	places map[string]*place
	nodes  map[uint32]string
	nearness
	// failed is when an address was last found dead.
	failed map[string]time.Time
}

// place is where a keyspace's keys are.
type place struct {
	info    kv.KeyspaceInfo
	shardOf func(key []byte) int
	// replicas are the nodes of each shard, leaders the one that leads it; 0: none is known.
	replicas [][]uint32
	leaders  []uint32
}

// led says that writes of the keyspace go to the leader of their shard, and that it executes numbered writes once.
func (p *place) led() bool { return keyspace.Led(p.info.Consistency) }

// place is where a keyspace is, asked for if need be.
func (t *topology) place(ctx context.Context, name string) (*place, error) {
	t.mu.Lock()
	p, old := t.places[name], time.Since(t.at) > topologyLife
	fresh, measured := !t.at.IsZero(), len(t.distances) > 0
	t.mu.Unlock()
	if p != nil && fresh {
		if old {
			t.askBeside(t.refresh)
		}
		return p, nil
	}
	if err := t.refresh(ctx); err != nil {
		return nil, nothingSent(err)
	}
	if !measured {
		t.askBeside(func(context.Context) error { return nil })
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p = t.places[name]; p == nil {
		return nil, kv.Errorf(kv.NoKeyspace, "there is no keyspace %q", name)
	}
	return p, nil
}

// nothingSent says that an operation did not come to be sent: whatever became of the question where to leaves nothing open.
func nothingSent(err error) error {
	var e *kv.Error
	if errors.Is(err, remote.ErrNoAnswer) || errors.As(err, &e) && e.Code.Refused() {
		return err
	}
	return kv.Errorf(kv.Unavailable, "no node tells where the keyspace is, nothing was sent: %v", err)
}

// askBeside asks something, then how far the nodes are, while operations go on with what is known.
func (t *topology) askBeside(f func(context.Context) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked {
		return
	}
	t.asked = true
	t.client.beside.Go(func() {
		ctx, cancel := context.WithTimeout(t.client.ctx, t.client.options.Timeout)
		defer cancel()
		err := f(ctx)
		if err == nil {
			t.measure(ctx)
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.asked = t.client.ctx.Err() != nil
		if err != nil {
			t.at = time.Time{} // an operation will find out
		}
	})
}

// known is where a keyspace is as far as is known without asking; nil: it is not.
func (t *topology) known(name string) *place {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.places[name]
}

// forget has the topology asked for again before the next try.
func (t *topology) forget(address string, dead bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = time.Time{}
	if dead {
		t.failed[address] = time.Now()
	}
}

// refresh asks the first node that answers for the keyspaces and the nodes, and, where it does not know a shard's leader,
// nobody else: that is found by asking any replica.
func (t *topology) refresh(ctx context.Context) error {
	infos, status, err := t.ask(ctx)
	if err != nil {
		return err
	}
	places := map[string]*place{}
	for i := range infos {
		p, err := newPlace(infos[i])
		if err != nil {
			return err
		}
		places[infos[i].Name] = p
	}
	for _, g := range status.Groups {
		if p := places[g.Keyspace]; p != nil && !g.Retired && g.Shard < len(p.leaders) {
			p.leaders[g.Shard] = g.Leader
		}
	}
	nodes := map[uint32]string{}
	for _, n := range status.Nodes {
		if a := n.Addresses["http"]; a != "" {
			nodes[n.Node] = a
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.places, t.nodes = time.Now(), places, nodes
	return nil
}

// ask asks all addresses that are known, those that were given first.
func (t *topology) ask(ctx context.Context) (infos []kv.KeyspaceInfo, status kv.Status, err error) {
	for _, address := range t.everyone() {
		node := t.client.wire.Node(address)
		within, cancel := context.WithTimeout(ctx, askWithin)
		if infos, err = node.Keyspaces(within); err == nil {
			status, err = node.Status(within)
		}
		cancel()
		if err == nil || ctx.Err() != nil {
			return infos, status, err
		}
	}
	return nil, status, err
}

// askWithin is how long one node may take to describe the cluster before another one is asked.
const askWithin = 3 * time.Second

func (t *topology) everyone() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Clone(t.client.wire.Addresses())
	for _, a := range t.nodes {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	slices.SortStableFunc(list, func(a, b string) int { return t.failed[a].Compare(t.failed[b]) })
	return list
}

func newPlace(info kv.KeyspaceInfo) (*place, error) {
	shards, shardOf, err := keyspace.Sharding(info.CreateKeyspace)
	if err != nil {
		return nil, fmt.Errorf("keyspace %q: %w", info.Name, err)
	}
	p := &place{info: info, shardOf: shardOf, replicas: make([][]uint32, shards), leaders: make([]uint32, shards)}
	for _, g := range info.Groups {
		if g.Shard < shards {
			for _, node := range g.Replicas {
				p.replicas[g.Shard] = append(p.replicas[g.Shard], node)
			}
			slices.Sort(p.replicas[g.Shard])
		}
	}
	return p, nil
}

// route lists the addresses to ask for a key, the best first: the leader of its shard if it must be, else its replicas, the
// nearest first; then all others, which pass requests on.
func (t *topology) route(p *place, key []byte, leader bool) []string {
	shard := p.shardOf(key)
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []string
	add := func(a string) {
		if a != "" && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	for _, node := range p.replicas[shard] {
		add(t.nodes[node])
	}
	if !leader {
		t.order(list)
	}
	if leader && p.leaders[shard] != 0 {
		if a := t.nodes[p.leaders[shard]]; a != "" {
			list = slices.Insert(slices.DeleteFunc(list, func(b string) bool { return a == b }), 0, a)
		}
	}
	for _, a := range t.nodes {
		add(a)
	}
	for _, a := range t.client.wire.Addresses() {
		add(a)
	}
	slices.SortStableFunc(list, func(a, b string) int {
		return compareFailures(time.Since(t.failed[a]) < failedFor, time.Since(t.failed[b]) < failedFor)
	})
	return list
}

// failedFor is how long a dead address is asked last.
const failedFor = 2 * time.Second

func compareFailures(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// answered takes note that an address lives.
func (t *topology) answered(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.failed, address)
}
