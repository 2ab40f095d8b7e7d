package acceptance

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// splitKeys are counters over the whole range of a keyspace that is split while they are counted up.
const splitKeys = 60

// counting is clients that count through all nodes while shards are split and a node is killed.
type counting struct {
	c              *cluster
	acked, unknown [splitKeys]atomic.Int64
	scans          atomic.Int64
}

func counter(i int) string { return fmt.Sprintf("counter%02d", i) }

// TestSplitsUnderLoad splits the shards of ordered keyspaces of real processes while clients count, scan and one node is killed with -9. No
// request fails at nodes that live, no increment is lost or counted twice, no scan skips a key or shows one twice.
func TestSplitsUnderLoad(t *testing.T) {
	c := newCluster(t)
	if code, out := c.gamut("keyspace", "create", "counters", "--partitioner", "ordered", "--split-bytes", "off", "--split-writes", "off"); code != 0 {
		t.Fatalf("create: %s", out)
	}
	n := &counting{c: c}
	for i := range splitKeys {
		if code, out := c.gamut("put", counter(i), "0", "--keyspace", "counters"); code != 0 {
			t.Fatalf("put: %s", out)
		}
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for id := 1; id <= 3; id++ {
		clients.Go(func() { n.count(id, stop) })
	}
	clients.Go(func() { n.scan(stop) })
	for round, at := range []string{counter(30), counter(15), counter(45), counter(50), counter(7)} {
		if round == 2 {
			c.kill(3)
		}
		if code, out := c.gamut("keyspace", "split", "counters", at); code != 0 {
			t.Errorf("split at %s: %s", at, out)
		}
	}
	c.start(3)
	c.awaitReady(1, 2, 3)
	await(t, patience, func() error { return atLeast(n.scans.Load(), 3) })
	close(stop)
	clients.Wait()
	n.judge(t, 6)
	c.checkReplicas()
}

// TestMergesUnderLoad merges the shards of an ordered keyspace of real processes, and splits them again, while clients count, scan and one
// node is killed with -9. No request fails at nodes that live, no increment is lost or counted twice, no scan skips a key or shows one twice.
func TestMergesUnderLoad(t *testing.T) {
	c := newCluster(t)
	if code, out := c.gamut("keyspace", "create", "counters", "--partitioner", "ordered", "--splits", strings.Join([]string{counter(15), counter(30), counter(45)}, ","),
		"--split-bytes", "off", "--split-writes", "off"); code != 0 {
		t.Fatalf("create: %s", out)
	}
	n := &counting{c: c}
	for i := range splitKeys {
		if code, out := c.gamut("put", counter(i), "0", "--keyspace", "counters"); code != 0 {
			t.Fatalf("put: %s", out)
		}
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for id := 1; id <= 3; id++ {
		clients.Go(func() { n.count(id, stop) })
	}
	clients.Go(func() { n.scan(stop) })
	for round, step := range [][2]string{{"merge", counter(30)}, {"merge", counter(15)}, {"split", counter(20)}, {"merge", counter(45)}, {"merge", counter(20)}} {
		if round == 3 {
			c.kill(3)
		}
		await(t, patience, func() error {
			if code, out := c.gamut("keyspace", step[0], "counters", step[1]); code != 0 {
				return fmt.Errorf("%s at %s: %s", step[0], step[1], out)
			}
			return nil
		})
	}
	c.start(3)
	c.awaitReady(1, 2, 3)
	await(t, patience, func() error { return atLeast(n.scans.Load(), 3) })
	close(stop)
	clients.Wait()
	n.judge(t, 1)
	c.checkReplicas()
}

// client is a Redis client of one node, in the keyspace.
func (n *counting) client(id int) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: n.c.addr(id, redisDoor), MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: 10 * time.Second,
		DialerRetries: 1, DisableIdentity: true, OnConnect: func(ctx context.Context, cn *redis.Conn) error {
			return cn.Do(ctx, "SELECT", "counters").Err()
		}})
	n.c.t.Cleanup(func() { client.Close() })
	return client
}

// count counts all counters up in turn. Node 3 dies: what it does not answer may have been executed. So may what node 3 led and others
// had asked of it, which they say.
func (n *counting) count(id int, stop <-chan struct{}) {
	client := n.client(id)
	for i := id * 20; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		at := i % splitKeys
		err := client.Incr(context.Background(), counter(at)).Err()
		switch {
		case err == nil:
			n.acked[at].Add(1)
		case id == 3 || strings.Contains(err.Error(), "UNKNOWN"):
			n.unknown[at].Add(1)
			time.Sleep(10 * time.Millisecond)
		default:
			n.c.t.Errorf("node %d, %s: %v", id, counter(at), err)
			return
		}
	}
}

// scan reads all keys again and again, in small pages.
func (n *counting) scan(stop <-chan struct{}) {
	client := n.client(1)
	for {
		select {
		case <-stop:
			return
		default:
		}
		seen := map[string]int{}
		cursor := uint64(0)
		for first := true; first || cursor != 0; first = false {
			page, next, err := client.Scan(context.Background(), cursor, "", 7).Result()
			if err != nil {
				n.c.t.Errorf("scan: %v", err)
				return
			}
			for _, key := range page {
				seen[key]++
			}
			cursor = next
		}
		for i := range splitKeys {
			if seen[counter(i)] != 1 {
				n.c.t.Errorf("a scan shows %s %d times", counter(i), seen[counter(i)])
			}
		}
		n.scans.Add(1)
	}
}

// judge holds each counter against what the clients were told.
func (n *counting) judge(t *testing.T, shards int) {
	client := n.client(2)
	total, unknown := int64(0), int64(0)
	for i := range splitKeys {
		text, err := client.Get(context.Background(), counter(i)).Result()
		if err != nil {
			t.Fatal(err)
		}
		value, err := strconv.ParseInt(text, 10, 64)
		acked, maybe := n.acked[i].Load(), n.unknown[i].Load()
		if err != nil || value < acked || value > acked+maybe {
			t.Errorf("%s is %s, %d increments were acknowledged and %d are unknown", counter(i), text, acked, maybe)
		}
		total, unknown = total+acked, unknown+maybe
	}
	code, out := n.c.gamut("keyspace", "describe", "counters")
	if got := strings.Count(out, "\n"); code != 0 || got != shards {
		t.Errorf("%d shards:\n%s", got, out)
	}
	t.Logf("%d increments acknowledged, %d unknown, %d scans", total, unknown, n.scans.Load())
}
