package acceptance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gamutdb/gamut/referee"
)

// TestKillLoop lets eight clients work on all nodes while every second one node is killed with -9, or stopped for a
// second; then the referee judges what they saw.
func TestKillLoop(t *testing.T) {
	length := 15 * time.Second
	if text := os.Getenv("GAMUT_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t)
	r := newRecorder(c)
	stop := make(chan struct{})
	clients := r.clients(8, 3*time.Second, stop)
	chance := rand.New(rand.NewPCG(uint64(r.began.UnixNano()), 99))
	kills, stops := 0, 0
	for end := time.Now().Add(length); time.Now().Before(end); {
		next := time.Now().Add(time.Second)
		id := 1 + chance.IntN(3)
		down := time.Duration(chance.Int64N(int64(800 * time.Millisecond)))
		if chance.IntN(4) == 0 {
			stops++
			c.signal(id, syscall.SIGSTOP)
			pause(next)
			c.signal(id, syscall.SIGCONT)
			continue
		}
		kills++
		c.kill(id)
		pause(time.Now().Add(down))
		c.start(id)
		pause(next)
	}
	c.awaitReady(1, 2, 3)
	healed := r.done.Load()
	await(t, patience, func() error { return atLeast(r.done.Load()-healed, 100) })
	close(stop)
	clients.Wait()
	t.Logf("%d kills, %d stops: %s; longest gap %v", kills, stops, r.counts(), r.longestGap().Round(time.Millisecond))
	if healed < int64(length/time.Second)*10 {
		t.Errorf("only %d operations in %v: the cluster hardly served", healed, length)
	}
	r.judge()
	c.checkReplicas()
}

// pause is part of a test's plan, not a wait for something to happen.
func pause(until time.Time) { time.Sleep(time.Until(until)) }

// TestStoppedLeader stops the leader for three seconds under load. The others take over, nothing acknowledged is lost, and
// when it wakes up believing that it leads, nobody may read the past from it.
func TestStoppedLeader(t *testing.T) {
	c := newCluster(t)
	r := newRecorder(c)
	stop := make(chan struct{})
	clients := r.clients(4, 10*time.Second, stop)
	for round := range 2 {
		leader := c.leader()
		before := r.done.Load()
		await(t, patience, func() error { return atLeast(r.done.Load()-before, 200) })
		waiting := r.readers(leader, 6)
		stopped := time.Now()
		c.signal(leader, syscall.SIGSTOP)
		// The clients of the stopped node hang; one of each other node goes on writing what a stale read would miss.
		heir := r.writeUntil(others(leader), stopped.Add(3*time.Second))
		c.signal(leader, syscall.SIGCONT)
		close(waiting.goOn)
		waiting.done.Wait()
		c.awaitReady(leader)
		if heir == 0 {
			t.Errorf("round %d: nobody took over from node %d", round, leader)
		}
	}
	close(stop)
	clients.Wait()
	t.Logf("%s; longest gap %v", r.counts(), r.longestGap().Round(time.Millisecond))
	r.judge()
	c.checkReplicas()
}

// sharedKey is written while the leader sleeps and read from it as soon as it wakes up.
const sharedKey = "written while the leader slept"

// sleepers are clients connected to a node, each about to read.
type sleepers struct {
	goOn chan struct{}
	done sync.WaitGroup
}

// readers connects n clients to a node. When goOn is closed each reads the shared key at once, and a few times more.
func (r *recorder) readers(node, n int) *sleepers {
	r.c.t.Helper()
	w := &sleepers{goOn: make(chan struct{})}
	for id := range n {
		client := r.c.redis(node, 5*time.Second)
		if err := client.Ping(context.Background()).Err(); err != nil {
			r.c.t.Fatalf("reader of node %d: %v", node, err)
		}
		w.done.Go(func() {
			<-w.goOn
			for range 10 {
				r.do(client, referee.Op{Client: 200 + id, Kind: referee.Get, Key: sharedKey, Where: fmt.Sprint("just woken node ", node)})
			}
		})
	}
	return w
}

// writeUntil writes the shared key through the nodes in turn until a time, and counts what was done.
func (r *recorder) writeUntil(nodes []int, end time.Time) (done int) {
	clients := []*redis.Client{r.c.redis(nodes[0], time.Second), r.c.redis(nodes[1], time.Second)}
	for i := 0; time.Now().Before(end); i++ {
		op := r.do(clients[i%2], referee.Op{Client: 100, Kind: referee.Set, Key: sharedKey, Value: fmt.Sprint(r.now()), Where: "beside the stopped leader"})
		if op.Outcome == referee.Done {
			done++
		}
		pause(time.Now().Add(20 * time.Millisecond)) // a history that the search for an order can bear
	}
	return done
}

func atLeast(n, want int64) error {
	if n < want {
		return fmt.Errorf("%d operations done, not yet %d", n, want)
	}
	return nil
}
