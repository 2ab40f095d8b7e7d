package live

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/referee/workload"
)

// clients work on a world until they are told to finish, and write down what they saw.
type clients struct {
	world   *World
	options Options
	stop    chan struct{}
	running sync.WaitGroup

	// mu guards the workload and the history.
	mu       sync.Mutex
	workload *workload.Mix
	history  referee.History
	sessions map[string]*session

	// unread says which keys could not be read at the end. It is for after the finish.
	unread []string
}

func newClients(w *World, o Options, work []workload.Definition) *clients {
	return &clients{world: w, options: o, stop: make(chan struct{}), sessions: map[string]*session{},
		workload: workload.NewMix(random(o.Seed, 3), workload.Options{Clients: o.Clients, Kinds: workload.Offers[o.promise()], Levels: workload.Levels(o.promise())}, work)}
}

func (c *clients) start() {
	for id := range c.options.Clients {
		c.running.Go(func() { c.work(id) })
	}
}

func (c *clients) finish() {
	close(c.stop)
	c.running.Wait()
}

const (
	// thinkMax is the longest pause between two operations of a client.
	thinkMax = 30 * time.Millisecond
	// refusedPause comes on top after a refusal: a node that is away answers at once, and would fill the history.
	refusedPause = 20 * time.Millisecond
)

// work is one client: one operation after the other.
func (c *clients) work(id int) {
	chance := random(c.options.Seed, 100+uint64(id))
	node := c.draw(chance)
	for {
		c.mu.Lock()
		step := c.workload.Next(id)
		c.mu.Unlock()
		c.bound(id, &step)
		if step.Move {
			node = c.draw(chance)
		}
		pause := between(chance, 0, thinkMax)
		if step.Hurry {
			pause = 0
		}
		op := c.do(id, node, step)
		c.mu.Lock()
		c.workload.Observe(id, &op)
		c.history = append(c.history, op)
		c.mu.Unlock()
		if op.Outcome == referee.Refused {
			pause += refusedPause
			node = c.draw(chance)
		}
		select {
		case <-c.stop:
			return
		case <-time.After(pause):
		}
	}
}

// bounds are how old the reads of every fourth client may be, where keyspaces give that: at a few heartbeats followers are just
// fresh enough, and what was cut off soon is not.
var bounds = []kv.Level{kv.BoundedAge(400 * time.Millisecond), kv.BoundedVersions(5)}

// bound has a client of those read from any replica that is fresh enough.
func (c *clients) bound(client int, step *workload.Step) {
	if client%4 != 3 || step.Op.Kind != referee.Get || !lab.Bounded(c.options.Consistency) {
		return
	}
	level := bounds[client/4%len(bounds)]
	step.Command.Level, step.Op.Level = level, level.String()
}

func (c *clients) draw(chance *rand.Rand) core.NodeID {
	return c.world.nodes[chance.IntN(len(c.world.nodes))]
}

// session is what a client has seen, which it takes from node to node; lives counts how often it had to begin anew.
type session struct {
	token []byte
	lives int
}

// session finds one by its name; what a client does outside of those that are named is one of its own.
func (c *clients) session(client int, name string) *session {
	name = cmp.Or(name, strconv.Itoa(client))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[name] == nil {
		c.sessions[name] = &session{}
	}
	return c.sessions[name]
}

// learn keeps what an answer says that the session has seen. One that no node can take up any more begins anew.
func (s *session) learn(c kv.Consistency, r *kv.Result) {
	merge := lab.MergeTokens(c)
	switch {
	case merge == nil:
	case len(s.token) > 0 && (r.Code == kv.ClockSkew || r.Code == kv.SessionLost):
		s.token, s.lives = nil, s.lives+1
	case len(r.Token) > 0:
		s.token = merge(s.token, r.Token)
	}
}

// do carries one operation out.
func (c *clients) do(client int, node core.NodeID, step workload.Step) referee.Op {
	op, s := step.Op, c.session(client, step.Op.Session)
	if s.lives > 0 {
		op.Session = fmt.Sprintf("%s, life %d", cmp.Or(op.Session, strconv.Itoa(client)), s.lives)
	}
	step.Command.Token = s.token
	op.Client, op.Node, op.Call = client, uint32(node), int64(c.world.Now())
	var result kv.Result
	if c.options.Canary && op.Kind == referee.Get {
		result = c.peek(node, op.Key)
	} else {
		result = c.world.Do(lab.Request{Node: node, Keyspace: c.options.Keyspace, Command: step.Command, Timeout: c.options.Timeout})
	}
	s.learn(c.options.Consistency, &result)
	op.Answer(int64(c.world.Now()), &result)
	if err := result.Err(); err != nil {
		op.Where = err.Error()
	}
	return op
}

// peek is the canary's read: what one replica holds, however old that is.
func (c *clients) peek(node core.NodeID, key string) kv.Result {
	ctx, cancel := context.WithTimeout(context.Background(), c.options.Timeout)
	defer cancel()
	items, err := c.world.hold(ctx, c.world.members[node], c.options.Keyspace)
	if err != nil {
		return kv.Result{Code: kv.Unavailable, Detail: err.Error()}
	}
	for _, item := range items {
		if string(item.Key) == key {
			return kv.Result{Value: item.Value, Version: item.Version, Origin: item.Origin}
		}
	}
	return kv.Result{Code: kv.NotFound}
}

// final reads every key through a node, after the clients have finished. The reads belong to the history.
func (c *clients) final(node core.NodeID) referee.Final {
	ends := referee.Final{}
	for _, step := range c.workload.Close() {
		if c.options.Consistency == kv.Sequential {
			// Any replica may answer, and be a little behind; the end of the run is what its leader holds.
			step.Command.Level, step.Op.Level = kv.LevelLinearizable, kv.LevelLinearizable.String()
		}
		if c.options.CommitOrder {
			step.Command.Level, step.Op.Level = kv.LevelCommitted, kv.LevelCommitted.String()
		}
		op := c.do(c.options.Clients, node, step)
		c.history = append(c.history, op)
		switch {
		case op.Outcome != referee.Done:
			c.unread = append(c.unread, fmt.Sprintf("key %q cannot be read through node %d: %s", op.Key, node, op.Where))
		case op.Code == kv.OK:
			ends[op.Key] = op.Got
		}
	}
	return ends
}
