// Package client speaks to a Gamut cluster from Go.
//
// A Client is given some addresses, learns the nodes and shards from whichever answers, and sends each operation to where
// it costs least: a write to the leader of its shard, a read that any replica may answer to the nearest one. What is safe to
// send again is sent again until the context ends; what is not ends as an *UnknownError.
//
// Others rely on this: an operation that returned no error happened as its keyspace promises; one that ended as a
// *RefusedError never happened and never will; only an *UnknownError leaves that open. In linearizable and sequential
// keyspaces each write carries a number under which the cluster executes it once, so that sending it again is safe. A Client
// carries what its session has seen from answer to request, whichever node it asks.
//
// Start with Open, then Keyspace; Client.Update, Txn and Snapshot are about several keys at one instant. send.go has the
// rules for sending again, route.go and near.go those for where.
package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gamutdb/gamut/door/http/remote"
)

// Options of a Client. The zero value is usable.
type Options struct {
	// Timeout bounds operations whose context has no deadline. Default 10 s.
	Timeout time.Duration
	// Parallel is how many requests of a Pipeline are under way at once. Default 32.
	Parallel int
	// Session is what has been seen so far; nil: nothing. Sessions may be shared and moved, see Session.
	Session *Session
}

// Client is a connection to a cluster. It may be used by several goroutines at once; their operations are one session, unless
// Keyspace.In says otherwise.
type Client struct {
	options Options
	wire    *remote.Cluster
	session *Session
	lanes   lanes
	topology
	// beside are what runs beside the operations, until ctx ends.
	ctx    context.Context
	cancel context.CancelFunc
	beside sync.WaitGroup
}

// Open makes a client of a cluster with nodes at these host:port addresses of their HTTP doors; one that lives is enough.
// Nothing is asked before the first operation.
func Open(addresses []string, options Options) (*Client, error) {
	if len(addresses) == 0 {
		return nil, errors.New("no address of a node; give at least one host:port")
	}
	for _, a := range addresses {
		if !strings.Contains(a, ":") {
			return nil, fmt.Errorf("address %q has no port; give host:port of a node's HTTP door", a)
		}
	}
	if options.Timeout == 0 {
		options.Timeout = 10 * time.Second
	}
	if options.Parallel == 0 {
		options.Parallel = 32
	}
	if options.Session == nil {
		options.Session = NewSession()
	}
	c := &Client{options: options, session: options.Session, wire: remote.New(slices.Clone(addresses), options.Timeout)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.topology = topology{client: c, failed: map[string]time.Time{}, nearness: nearness{client: c, distances: map[string]time.Duration{}}}
	return c, nil
}

// Close ends the client's connections. Operations under way end with their answers.
func (c *Client) Close() {
	c.cancel()
	c.topology.mu.Lock()
	c.asked = true // nobody begins to ask any more
	c.topology.mu.Unlock()
	c.beside.Wait()
	c.wire.CloseIdle()
}

// Cluster is the connection for what concerns the whole cluster: keyspaces, nodes, status.
func (c *Client) Cluster() *remote.Cluster { return c.wire }

// Keyspace are the operations on one keyspace; it is asked for at the first of them.
func (c *Client) Keyspace(name string) *Keyspace {
	return &Keyspace{client: c, name: name, session: c.session}
}

// Keyspace is a named set of keys with one promise. It is a small value that may be used by several goroutines.
type Keyspace struct {
	client  *Client
	name    string
	session *Session
	options []Option
}

// In makes operations part of another session.
func (k *Keyspace) In(s *Session) *Keyspace {
	return &Keyspace{client: k.client, name: k.name, session: s, options: k.options}
}

// With gives options to all operations, as if each were called with them.
func (k *Keyspace) With(options ...Option) *Keyspace {
	return &Keyspace{client: k.client, name: k.name, session: k.session, options: append(slices.Clone(k.options), options...)}
}
