// Package live makes a cluster of real processes a world that the lab may attack.
//
// Its commands and its faults travel through the nodes' HTTP doors, to the paths under /v1/lab that only nodes started with
// --lab serve; processes are killed, stopped and started by their owner, and what happens to a disk at rest is done to the
// files of a stopped node. A cluster that somebody else started may be attacked as well if all its nodes allow it, but its
// processes are not ours to end.
//
// Others rely on this: an operation is called unknown unless the node answered or certainly was not reached; a fault that
// was set outlives the process that it was set in; what is set on a paused node takes effect when it goes on.
//
// Start with World, then attack.go and observe.go; fuzz.go draws faults from a seed and judges what clients saw.
package live

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
)

// Processes are the nodes of a cluster that was started here.
type Processes interface {
	// Start starts a node that does not run, on what its folder holds.
	Start(node core.NodeID) error
	// Signal sends a signal to a node that runs. After SIGKILL the process is gone on return.
	Signal(node core.NodeID, s os.Signal) error
	// Runs says whether the process is there, Ended how the last one ended.
	Runs(node core.NodeID) bool
	Ended(node core.NodeID) string
	// Dir is the folder of a node's data.
	Dir(node core.NodeID) string
	// Stop ends all, within the time given.
	Stop(wait time.Duration)
}

// World is a live cluster. It is a lab.World.
type World struct {
	processes Processes // nil: somebody else's
	nodes     []core.NodeID
	members   map[core.NodeID]*member
	began     time.Time
	about     string

	// mu guards what the goroutines of operations leave behind.
	mu       sync.Mutex
	answered []answered
	wake     chan struct{}
}

var _ lab.World = (*World)(nil)

// member is one node as the world knows it.
type member struct {
	id     core.NodeID
	remote *remote.Node
	paused bool
	// later is what was set while the node was paused.
	later []remote.Request
}

type answered struct {
	operation *lab.Operation
	at        time.Duration
	result    kv.Result
}

// patience bounds what a healthy node does at once: answer, start listening.
const patience = 20 * time.Second

// New makes a world of processes that were started here, of which none needs to run yet; addresses are those of the HTTP
// doors. It does not own them before it is returned.
func New(processes Processes, nodes []core.NodeID, addresses map[core.NodeID]string) *World {
	w := newWorld(nodes, addresses)
	w.processes = processes
	w.about = fmt.Sprintf("%d real nodes on this machine", len(nodes))
	return w
}

func newWorld(nodes []core.NodeID, addresses map[core.NodeID]string) *World {
	w := &World{nodes: nodes, members: map[core.NodeID]*member{}, began: time.Now(), wake: make(chan struct{}, 1)}
	// Each answer is bounded by the context of what asked for it.
	cluster := remote.New(nil, time.Minute)
	for _, id := range nodes {
		w.members[id] = &member{id: id, remote: cluster.Node(addresses[id])}
	}
	return w
}

// Attach makes a world of a cluster that runs elsewhere, found by the HTTP addresses of some of its nodes. Every node must
// have been started with --lab.
func Attach(ctx context.Context, addresses []string) (*World, error) {
	members, err := remote.New(addresses, patience).Members(ctx)
	if err != nil {
		return nil, err
	}
	doors := map[core.NodeID]string{}
	var nodes []core.NodeID
	for _, m := range members {
		if m.Err != nil {
			return nil, fmt.Errorf("node %d does not answer: %w", m.ID, m.Err)
		}
		if !m.Status.Lab {
			return nil, fmt.Errorf("node %d at %s: %w: start it with gamut start --lab", m.ID, m.Address, lab.ErrNotOurs)
		}
		nodes = append(nodes, core.NodeID(m.ID))
		doors[core.NodeID(m.ID)] = m.Address
	}
	w := newWorld(nodes, doors)
	w.about = fmt.Sprintf("%d real nodes that run at %s", len(nodes), addresses[0])
	return w, nil
}

// Describe is lab.World's.
func (w *World) Describe() string { return w.about }

// Nodes is lab.World's.
func (w *World) Nodes() []core.NodeID { return w.nodes }

// Running is lab.World's. Of a cluster that was started elsewhere all nodes are taken to run.
func (w *World) Running(node core.NodeID) (up, paused bool) {
	m := w.members[node]
	return m != nil && w.runs(node), m != nil && m.paused
}

// Now is lab.World's.
func (w *World) Now() time.Duration { return time.Since(w.began) }

// Close ends the processes, or heals what does not belong to this world.
func (w *World) Close() error {
	if w.processes != nil {
		w.processes.Stop(patience)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var failed error
	for _, id := range w.nodes {
		failed = errors.Join(failed, w.set(ctx, id, remote.Request{Method: "DELETE", Path: "/v1/lab/faults"}))
	}
	return failed
}

// CreateKeyspace is lab.World's.
func (w *World) CreateKeyspace(ctx context.Context, spec kv.CreateKeyspace) error {
	m, err := w.someone()
	if err != nil {
		return err
	}
	if err := m.remote.CreateKeyspace(ctx, spec); err != nil {
		return err
	}
	// Whoever asks another node next must not be told that there is no such keyspace, or that its replicas do not run yet.
	_, err = w.Until(ctx, patience, func() bool { return w.everywhere(ctx, spec.Name) && w.begun(ctx, spec.Name) })
	return err
}

// begun says whether all replicas of a keyspace run, as far as their nodes do.
func (w *World) begun(ctx context.Context, keyspace string) bool {
	list, err := w.Replicas(ctx, keyspace)
	return err == nil && !slices.ContainsFunc(list, func(r lab.Replica) bool { return r.Up && !r.Paused && r.Status.Role == "" })
}

// everywhere says whether all nodes that can be asked know a keyspace.
func (w *World) everywhere(ctx context.Context, keyspace string) bool {
	for _, id := range w.nodes {
		m := w.members[id]
		if m.paused || !w.runs(id) {
			continue
		}
		once, cancel := context.WithTimeout(ctx, time.Second)
		_, err := m.remote.Keyspace(once, keyspace)
		cancel()
		var e *kv.Error
		if errors.As(err, &e) && e.Code == kv.NoKeyspace {
			return false
		}
	}
	return true
}

// Begin is lab.World's.
func (w *World) Begin(r lab.Request) *lab.Operation {
	op := &lab.Operation{Request: r, Called: w.Now()}
	go func() {
		result := w.Do(r)
		w.mu.Lock()
		w.answered = append(w.answered, answered{op, w.Now(), result})
		w.mu.Unlock()
		select {
		case w.wake <- struct{}{}:
		default: // whoever waits is about to look
		}
	}()
	return op
}

// Do gives a command to a node and waits for its result. Unlike the methods of lab.World it may be called by many at once.
func (w *World) Do(r lab.Request) kv.Result {
	m := w.members[r.Node]
	if m == nil {
		return kv.Result{Code: kv.Invalid, Detail: fmt.Sprintf("there is no node %d", r.Node)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.Timeout+answerGrace)
	defer cancel()
	query := url.Values{"keyspace": {r.Keyspace}, "shard": {strconv.Itoa(r.Shard)},
		"timeout": {r.Timeout.String()}}
	resp, err := m.remote.Do(ctx, remote.Request{Method: "POST", Path: "/v1/lab/command", Query: query, Body: kv.AppendCommand(nil, &r.Command)})
	var result kv.Result
	if err != nil {
		result = failed(r.Node, err)
	} else {
		defer resp.Body.Close()
		result = readResult(resp.Body)
	}
	if result.Code == kv.Unknown && r.Command.ReadOnly() {
		result.Code = kv.Unavailable // a read changed nothing, whatever became of its answer
	}
	return result
}

// answerGrace is how much longer than the node's own deadline a client waits, so that at the deadline it is the node that says
// what became of the request.
const answerGrace = time.Second

// failed is the result of a request that got none: refused only if it certainly did not arrive.
func failed(node core.NodeID, err error) kv.Result {
	var e *kv.Error
	switch {
	case errors.As(err, &e):
		return kv.Result{Code: e.Code, Detail: e.Detail}
	case errors.Is(err, remote.ErrNoAnswer):
		return kv.Result{Code: kv.Unavailable, Detail: fmt.Sprintf("node %d cannot be reached", node)}
	}
	return kv.Result{Code: kv.Unknown, Detail: err.Error()}
}

// collect lets operations know their answers.
func (w *World) collect() {
	w.mu.Lock()
	list := w.answered
	w.answered = nil
	w.mu.Unlock()
	for _, a := range list {
		a.operation.Done, a.operation.Returned, a.operation.Result = true, a.at, a.result
	}
}

// Wait is lab.World's.
func (w *World) Wait(ctx context.Context, operations ...*lab.Operation) error {
	_, err := w.Until(ctx, time.Duration(1<<62), func() bool {
		for _, o := range operations {
			if !o.Done {
				return false
			}
		}
		return true
	})
	return err
}

// Sleep is lab.World's.
func (w *World) Sleep(ctx context.Context, d time.Duration) error {
	_, err := w.Until(ctx, d, func() bool { return false })
	return err
}

// lookEvery is how often Until asks when nothing happens.
const lookEvery = 5 * time.Millisecond

// Until is lab.World's.
func (w *World) Until(ctx context.Context, limit time.Duration, done func() bool) (bool, error) {
	end := time.NewTimer(limit)
	defer end.Stop()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		w.collect()
		if done() {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-end.C:
			w.collect()
			return done(), nil
		case <-w.wake:
		case <-ticker.C:
		}
	}
}

// Setup starts a cluster: nodes of which absent ones do not run, on ports from base on.
type Setup func(nodes, basePort int) (processes Processes, addresses map[core.NodeID]string, err error)

// Opener makes worlds of processes.
func Opener(setup Setup) lab.Open {
	return func(ctx context.Context, s lab.Setting) (lab.World, error) {
		return Open(ctx, s, setup)
	}
}

// Open starts a cluster and waits until the nodes that it begins with are ready.
func Open(ctx context.Context, s lab.Setting, setup Setup) (*World, error) {
	if s.Tie != "" {
		return nil, fmt.Errorf("tie %s: real nodes stamp writes by their clocks: %w; use the simulator, or leave it out", s.Tie, lab.ErrCannot)
	}
	nodes := s.Nodes
	if nodes == 0 {
		nodes = 3
	}
	processes, addresses, err := setup(nodes, s.BasePort)
	if err != nil {
		return nil, err
	}
	var ids []core.NodeID
	for i := range nodes {
		ids = append(ids, core.NodeID(i+1))
	}
	w := New(processes, ids, addresses)
	if err := w.begin(ctx, s.Absent); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) begin(ctx context.Context, absent []core.NodeID) error {
	away := map[core.NodeID]bool{}
	for _, id := range absent {
		away[id] = true
	}
	var present []core.NodeID
	for _, id := range w.nodes {
		if !away[id] {
			present = append(present, id)
		}
	}
	if err := w.Start(ctx, present...); err != nil {
		return err
	}
	return w.AwaitReady(ctx, 2*patience, present...)
}

// random is a stream of chance for one concern.
func random(seed uint64, concern uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, concern)) }
