package acceptance

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/kv"
)

// outsideStore is a memcached or a redis-server as a process.
type outsideStore struct {
	t       *testing.T
	kind    string
	address string
	args    []string
	cmd     *exec.Cmd
}

// newOutsideStore starts a store; one that is small has room for a megabyte or two, and evicts.
func newOutsideStore(t *testing.T, kind, address string, small bool) *outsideStore {
	t.Helper()
	host, port, _ := net.SplitHostPort(address)
	s := &outsideStore{t: t, kind: kind, address: address}
	switch kind {
	case "memcached":
		s.args = []string{"memcached", "-u", "nobody", "-l", host, "-p", port, "-U", "0"}
		if small {
			s.args = append(s.args, "-m", "2")
		}
	case "redis":
		s.args = []string{"redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir()}
		if small {
			s.args = append(s.args, "--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru")
		}
	}
	if _, err := exec.LookPath(s.args[0]); err != nil {
		lacks(t, "no %s: install Debian's", s.args[0])
	}
	s.start()
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *outsideStore) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	if err := startProcess(s.cmd); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, patience, func() error {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// kill ends the store with all that it has.
func (s *outsideStore) kill() {
	s.cmd.Process.Kill() // one that has ended needs no signal
	s.cmd.Wait()         // it was killed
}

func (s *outsideStore) url() string { return s.kind + "://" + s.address }

// outsideCluster is three nodes with a store each.
func outsideCluster(t *testing.T, kind string, small bool) (*cluster, map[int]*outsideStore) {
	c := layOut(t)
	stores := map[int]*outsideStore{}
	base := freeport.Block(t, 1)
	for id := 1; id <= 3; id++ {
		stores[id] = newOutsideStore(t, kind, fmt.Sprintf("127.0.0.1:%d", base+id), small)
		c.nodes[id].flags = []string{"--store", stores[id].url()}
	}
	c.startAll()
	return c, stores
}

// valueStatus is what a node says of its store.
func (c *cluster) valueStatus(id int) kv.StoreStatus {
	c.t.Helper()
	var v kv.StoreStatus
	await(c.t, patience, func() error {
		members, err := c.remote(id).Members(context.Background())
		if err != nil {
			return err
		}
		for _, m := range members {
			if int(m.ID) == id && m.Err == nil && len(m.Status.Stores) == 1 {
				v = m.Status.Stores[0]
				return nil
			}
		}
		return fmt.Errorf("node %d says nothing of its store: %+v", id, members)
	})
	return v
}

// in is a client of a node that works in a keyspace.
func (c *cluster) in(id int, keyspace string) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: c.addr(id, redisDoor), MaxRetries: -1, ReadTimeout: 10 * time.Second, DisableIdentity: true,
		OnConnect: func(ctx context.Context, conn *redis.Conn) error { return conn.Do(ctx, "select", keyspace).Err() }})
	c.t.Cleanup(func() { client.Close() })
	return client
}

var everyConsistency = []string{"linearizable", "sequential", "atomic", "quorum", "causal", "eventual"}

// longValue is a value of its own for each key and number.
func longValue(key string, n int) string {
	return strings.Repeat(fmt.Sprintf("<%s %d>", key, n), 20+137*(n%40))
}

// load writes values to every keyspace, by turns through each node.
func loadOutside(c *cluster, from, to int) {
	c.t.Helper()
	for _, keyspace := range everyConsistency {
		for n := from; n < to; n++ {
			key := fmt.Sprint("k", n)
			client := c.in(1+n%3, keyspace)
			await(c.t, patience, func() error { return client.Set(context.Background(), key, longValue(keyspace+key, n), 0).Err() })
			client.Close()
		}
	}
}

// readOutside reads all of it back at a node: nothing is missing, nothing else is served.
func readOutside(c *cluster, id, count int) {
	c.t.Helper()
	for _, keyspace := range everyConsistency {
		client := c.in(id, keyspace)
		for n := range count {
			key := fmt.Sprint("k", n)
			want := longValue(keyspace+key, n)
			await(c.t, patience, func() error {
				got, err := client.Get(context.Background(), key).Result()
				if err == nil && got != want {
					c.t.Fatalf("node %d, %s: %s is %.60q, %d bytes; want %.60q, %d bytes", id, keyspace, key, got, len(got), want, len(want))
				}
				if err != nil {
					return fmt.Errorf("node %d, %s, %s: %w", id, keyspace, key, err)
				}
				return nil
			})
		}
		client.Close()
	}
}

// TestOutsideStores runs keyspaces of every consistency over real stores, which evict, hang, die and start empty.
func TestOutsideStores(t *testing.T) {
	for _, kind := range []string{"memcached", "redis"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // it mostly waits
			testOutsideStores(t, kind)
		})
	}
}

func testOutsideStores(t *testing.T, kind string) {
	const count = 60
	c, stores := outsideCluster(t, kind, false)
	for _, consistency := range everyConsistency {
		c.must("keyspace", "create", consistency, "--consistency", consistency, "--store", "node")
	}
	loadOutside(c, 0, count)
	for id := 1; id <= 3; id++ {
		readOutside(c, id, count)
	}
	settled(c, 1, 2)
	for id := 1; id <= 3; id++ {
		readOutside(c, id, count)
	}
	if v := c.valueStatus(1); v.Hits == 0 || v.Wrong != 0 || v.Stored == 0 {
		t.Errorf("the store of node 1 was not used: %+v", v)
	}
	tooLong(c, kind)
	hung(c, stores[1], count)

	stores[2].kill()
	readOutside(c, 2, count/10)
	stores[2].start()
	before := c.valueStatus(2).Refetched
	await(t, patience, func() error {
		if v := c.valueStatus(2); v.Refetched == before || v.Trouble != "" {
			return fmt.Errorf("node 2 does not refill its store: %+v", v)
		}
		return nil
	})
	readOutside(c, 2, count)

	c.kill(3)
	c.start(3)
	c.awaitReady(3)
	readOutside(c, 3, count)
	for _, consistency := range everyConsistency {
		if code, out := c.gamut("verify", "--keyspace", consistency); code != 0 || strings.Contains(out, "not checked") || !strings.Contains(out, "values read from stores") {
			t.Errorf("verify of %s exits with %d:\n%s", consistency, code, out)
		}
	}
	for id := 1; id <= 3; id++ {
		if v := c.valueStatus(id); v.Lost != 0 {
			t.Errorf("node %d lost values that others had: %+v", id, v)
		}
	}
	settled(c, 1, 2, 3)
	allGone(c, stores)
}

// TestOutsideStoresThatEvict gives stores more than they have room for: a value is read as it was written, or called lost, and
// what no store would keep stays inside.
func TestOutsideStoresThatEvict(t *testing.T) {
	const count, keyspace = 700, "linearizable" // 10 MB in stores of 2
	c, _ := outsideCluster(t, "memcached", true)
	c.must("keyspace", "create", keyspace, "--store", "node")
	ctx, client := context.Background(), c.in(1, keyspace)
	for n := range count {
		key := fmt.Sprint("k", n)
		await(t, patience, func() error { return client.Set(ctx, key, longValue(key, 39), 0).Err() })
	}
	for id := 1; id <= 3; id++ {
		client, lost := c.in(id, keyspace), 0
		for n := range count {
			key := fmt.Sprint("k", n)
			switch got, err := client.Get(ctx, key).Result(); {
			case err != nil && strings.HasPrefix(err.Error(), "VALUELOST"):
				lost++
			case err != nil || got != longValue(key, 39):
				t.Fatalf("node %d: %s is %.60q, %v", id, key, got, err)
			}
		}
		t.Logf("node %d: %d of %d values are lost: %+v", id, lost, count, c.valueStatus(id))
	}
	if v := c.valueStatus(1); v.Note == "" {
		t.Errorf("nobody says that the store evicts: %+v", v)
	}
}

// settled waits until the stores of nodes have all values, and their disks none.
func settled(c *cluster, ids ...int) {
	c.t.Helper()
	for _, id := range ids {
		await(c.t, patience, func() error {
			if v := c.valueStatus(id); v.Waiting+v.Settling > 0 || v.Refilling {
				return fmt.Errorf("node %d still has values inside: %+v", id, v)
			}
			return nil
		})
	}
}

// tooLong writes a value that memcached does not take: it stays inside.
func tooLong(c *cluster, kind string) {
	c.t.Helper()
	big, ctx := strings.Repeat("big ", 1<<19), context.Background()
	if err := c.in(1, "linearizable").Set(ctx, "big", big, 0).Err(); err != nil {
		c.t.Fatal(err)
	}
	for id := 1; id <= 2; id++ {
		if got, err := c.in(id, "linearizable").Get(ctx, "big").Result(); err != nil || got != big {
			c.t.Errorf("node %d reads %d bytes, %v; want %d", id, len(got), err, len(big))
		}
	}
	await(c.t, patience, func() error {
		if v := c.valueStatus(1); kind == "memcached" && v.TooLong == 0 {
			return fmt.Errorf("memcached took a value of 2 MiB: %+v", v)
		}
		return nil
	})
	if err := c.in(1, "linearizable").Del(ctx, "big").Err(); err != nil {
		c.t.Error(err)
	}
}

// hung stops a store without ending it: its node goes on, reads from others, and hands over what waits when it is back.
func hung(c *cluster, s *outsideStore, count int) {
	c.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	loadOutside(c, 0, count/20)
	readOutside(c, 1, count/10)
	if v := c.valueStatus(1); v.Trouble == "" || v.Waiting == 0 {
		c.t.Errorf("a store that hangs is no trouble: %+v", v)
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Fatal(err)
	}
	await(c.t, patience, func() error {
		if v := c.valueStatus(1); v.Trouble != "" || v.Waiting > 0 {
			return fmt.Errorf("a store that goes on is not used again: %+v", v)
		}
		return nil
	})
	readOutside(c, 1, count/10)
}

// allGone empties all stores at once: what is lost then is called lost, keeps its version, and can be written anew.
func allGone(c *cluster, stores map[int]*outsideStore) {
	c.t.Helper()
	ctx := context.Background()
	for _, s := range stores {
		s.kill()
	}
	for _, s := range stores {
		s.start()
	}
	client := c.in(1, "linearizable")
	await(c.t, patience, func() error {
		if _, err := client.Get(ctx, "k1").Result(); err == nil || !strings.HasPrefix(err.Error(), "VALUELOST") {
			return fmt.Errorf("a value without a copy is answered %v", err)
		}
		return nil
	})
	if n, err := client.Exists(ctx, "k1").Result(); err != nil || n != 1 {
		c.t.Errorf("the key whose value is lost exists %d times, %v", n, err)
	}
	if err := client.Set(ctx, "k1", longValue("anew", 1), 0).Err(); err != nil {
		c.t.Fatal(err)
	}
	for id := 1; id <= 3; id++ {
		if got, err := c.in(id, "linearizable").Get(ctx, "k1").Result(); err != nil || got != longValue("anew", 1) {
			c.t.Errorf("node %d reads %.40q, %v", id, got, err)
		}
	}
	if v := c.valueStatus(1); v.Lost == 0 {
		c.t.Errorf("nothing is told as lost: %+v", v)
	}
	// A store that was away is left alone for a moment, and until it is asked again nothing is called lost.
	await(c.t, patience, func() error {
		if code, out := c.gamut("verify", "--keyspace", "linearizable"); code != 6 || !strings.Contains(out, "values are lost on all replicas") || !strings.Contains(out, "missing") {
			return fmt.Errorf("verify of lost values exits with %d:\n%s", code, out)
		}
		return nil
	})
}

// TestValuesInMemory keeps values in the nodes' memory: a stopped node brings them along, a killed one has them from others.
func TestValuesInMemory(t *testing.T) {
	const count = 30
	c := newCluster(t, "--store-memory", "1MiB")
	for _, consistency := range everyConsistency {
		c.must("keyspace", "create", consistency, "--consistency", consistency, "--store", "memory")
	}
	loadOutside(c, 0, count)
	c.kill(1)
	c.start(1)
	c.awaitReady(1)
	readOutside(c, 1, count)
	c.stopAll()
	c.startAll()
	for id := 1; id <= 3; id++ {
		readOutside(c, id, count)
	}
	if v := c.valueStatus(1); v.Lost != 0 || v.Store != "memory" {
		t.Errorf("after a stop in order: %+v", v)
	}
}
