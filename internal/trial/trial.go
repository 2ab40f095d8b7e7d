// Package trial runs a small cluster in one process, for tests.
//
// Its nodes are real ones, on loopback and in a temporary folder, with the HTTP door alone.
//
// Others rely on this: when Start returns every node is ready, and when Close returns nothing of them is left.
//
// Start with Start.
package trial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/node"
)

// patience bounds what must happen eventually.
const patience = 30 * time.Second

// Cluster is some nodes.
type Cluster struct {
	dir     string
	nodes   []*node.Node
	doors   []*doorhttp.Server
	http    []net.Listener
	serving sync.WaitGroup
}

// Start runs so many nodes and waits until each can serve.
func Start(size int) (c *Cluster, err error) {
	c = &Cluster{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.dir, err = os.MkdirTemp("", "gamut-trial-"); err != nil {
		return c, err
	}
	peers := map[core.NodeID]string{}
	for i := range size {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return c, err
		}
		peers[core.NodeID(i+1)] = ln.Addr().String()
		ln.Close()
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return c, err
		}
		c.http = append(c.http, ln)
	}
	for i := range size {
		if err := c.start(core.NodeID(i+1), peers); err != nil {
			return c, err
		}
	}
	return c, c.await(func(n *node.Node) error { return n.Ready() })
}

func (c *Cluster) start(id core.NodeID, peers map[core.NodeID]string) error {
	ln := c.http[id-1]
	n, err := node.Start(node.Config{Dir: filepath.Join(c.dir, fmt.Sprint("node", id)), Node: id, Cluster: peers, DiskReserveBytes: 1,
		Advertise: map[string]string{"http": ln.Addr().String()}})
	if err != nil {
		return fmt.Errorf("node %d: %w", id, err)
	}
	door := doorhttp.New(n, n, doorhttp.Options{Log: slog.New(slog.DiscardHandler)})
	c.nodes, c.doors = append(c.nodes, n), append(c.doors, door)
	c.serving.Go(func() {
		if err := door.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	})
	return nil
}

// await asks every node until it is content.
func (c *Cluster) await(content func(*node.Node) error) error {
	end := time.Now().Add(patience)
	for _, n := range c.nodes {
		for {
			err := content(n)
			if err == nil {
				break
			}
			if time.Now().After(end) {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// Addresses are those of the HTTP doors.
func (c *Cluster) Addresses() (list []string) {
	for _, ln := range c.http {
		list = append(list, ln.Addr().String())
	}
	return list
}

// Create makes a keyspace and waits until every node serves it.
func (c *Cluster) Create(spec kv.CreateKeyspace) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[0].CreateKeyspace(ctx, spec); err != nil {
		return err
	}
	return c.await(func(n *node.Node) error {
		if n.Keyspace(spec.Name) == nil {
			return fmt.Errorf("a node does not know keyspace %s", spec.Name)
		}
		return n.Ready()
	})
}

// Close ends the nodes and removes what they stored.
func (c *Cluster) Close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, d := range c.doors {
		err = errors.Join(err, d.Shutdown(ctx))
	}
	for _, ln := range c.http {
		ln.Close() // of a node that did not start
	}
	c.serving.Wait()
	var closing sync.WaitGroup
	failed := make([]error, len(c.nodes))
	for i, n := range c.nodes {
		closing.Go(func() { failed[i] = n.Close(ctx) })
	}
	closing.Wait()
	return errors.Join(err, errors.Join(failed...), os.RemoveAll(c.dir))
}
