package acceptance

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestRollingRestart stops and starts all nodes one after the other under load. An interrupt drains the doors, hands the
// leadership over and ends with 0; a client that turns to another node when one goes sees no request fail.
func TestRollingRestart(t *testing.T) {
	c := newCluster(t)
	w := newWriters(c, 4)
	for _, id := range []int{1, 2, 3} {
		w.awaitMore(100)
		leads := c.leader() == id
		if code := c.interrupt(id); code != 0 {
			t.Errorf("an interrupt ends node %d with %d", id, code)
		}
		if leads {
			c.ledAtOnce(id)
		}
		w.awaitMore(50)
		c.start(id)
		c.awaitReady(id)
	}
	w.awaitMore(50)
	w.end()
	t.Logf("%d writes, %d of them after a retry; longest gap between two successes %v", w.done.Load(), w.retried.Load(), w.gap.Round(time.Millisecond))
	w.readBack()
	c.checkReplicas()
}

// ledAtOnce checks that somebody else leads by the time the old leader has ended: handed over, not elected when the
// silence was noticed.
func (c *cluster) ledAtOnce(gone int) {
	c.t.Helper()
	for _, id := range others(gone) {
		g, err := c.replica(id, "default")
		if err == nil && g.Leader == uint32(id) {
			return
		}
	}
	c.t.Errorf("node %d has ended, and nobody leads what it led", gone)
}

// writers write different keys, each through some node, and turn to the next node when one fails.
type writers struct {
	c             *cluster
	stop          chan struct{}
	all           sync.WaitGroup
	done, retried atomic.Int64

	mu   sync.Mutex
	keys []string
	last time.Time
	gap  time.Duration
}

func newWriters(c *cluster, n int) *writers {
	w := &writers{c: c, stop: make(chan struct{}), last: time.Now()}
	for id := range n {
		nodes := []*redis.Client{c.redis(1, 2*time.Second), c.redis(2, 2*time.Second), c.redis(3, 2*time.Second)}
		w.all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-w.stop:
					return
				default:
					w.write(nodes, id, fmt.Sprintf("writer %d key %d", id, i))
				}
			}
		})
	}
	return w
}

// write tries until it is done: setting a value twice is setting it once.
func (w *writers) write(nodes []*redis.Client, at int, key string) {
	deadline := time.Now().Add(patience)
	for try := 0; ; try++ {
		err := nodes[(at+try)%len(nodes)].Set(context.Background(), key, key, 0).Err()
		if err == nil {
			break
		}
		if try == 0 {
			w.retried.Add(1)
		}
		if time.Now().After(deadline) {
			w.c.t.Errorf("%s fails on every node, at last with: %v", key, err)
			return
		}
	}
	w.done.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = append(w.keys, key)
	w.gap, w.last = max(w.gap, time.Since(w.last)), time.Now()
}

func (w *writers) awaitMore(n int64) {
	w.c.t.Helper()
	before := w.done.Load()
	await(w.c.t, patience, func() error { return atLeast(w.done.Load()-before, n) })
}

func (w *writers) end() {
	close(w.stop)
	w.all.Wait()
}

// readBack reads what was acknowledged through every node.
func (w *writers) readBack() {
	w.c.t.Helper()
	for id := 1; id <= 3; id++ {
		client := w.c.redis(id, 10*time.Second)
		for at := 0; at < len(w.keys); at += 1000 {
			part := w.keys[at:min(at+1000, len(w.keys))]
			values, err := client.MGet(context.Background(), part...).Result()
			if err != nil {
				w.c.t.Fatalf("read back through node %d: %v", id, err)
			}
			for i, value := range values {
				if value != part[i] {
					w.c.t.Errorf("node %d reads %q as %v", id, part[i], value)
				}
			}
		}
	}
}
