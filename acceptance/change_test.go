package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gamutdb/gamut/internal/freeport"
)

// change is what becomes of members under load.
type change struct {
	c     *cluster
	loads []*keyspaceLoad
	// each is how many writes every load must get through between two steps.
	each int64
	// lossServed says that writes go on while a node is lost and not replaced yet.
	lossServed bool
}

func (x *change) more() {
	for _, l := range x.loads {
		l.awaitMore(x.each)
	}
}

// happen lets a fourth node join three, drains one of these, and has another one, killed with its disk wiped, replaced by a fifth. What
// was acknowledged meanwhile is read back at nodes old and new, and the replicas of each keyspace that are left are equal.
func (x *change) happen(keyspaces ...string) {
	c := x.c
	c.t.Helper()
	x.more()
	fourth := c.join("four")
	x.more()
	c.must("node", "drain", "2")
	x.more()
	c.join("five")
	c.kill(3)
	if err := os.RemoveAll(c.nodes[3].dir); err != nil {
		c.t.Fatal(err)
	}
	if x.lossServed {
		x.more()
	}
	c.must("node", "replace", "3")
	x.more()
	for _, l := range x.loads {
		l.end()
		c.t.Logf("%s: %d writes acknowledged, %d tries failed", l.keyspace, len(l.keys), l.failed.Load())
		l.readBack(c.redisAt(c.addr(1, redisDoor)))
		l.readBack(c.redisAt(fourth))
	}
	for _, keyspace := range keyspaces {
		await(c.t, patience, func() error {
			if code, out := c.gamut("verify", "--keyspace", keyspace); code != 0 || strings.Contains(out, "not checked") {
				return fmt.Errorf("verify exits with %d:\n%s", code, out)
			}
			return nil
		})
	}
}

// must runs a command that must succeed.
func (c *cluster) must(args ...string) string {
	c.t.Helper()
	code, out := c.gamut(args...)
	if code != 0 {
		c.t.Fatalf("gamut %v exits with %d:\n%s", args, code, out)
	}
	return out
}

// join starts one more node and returns where redis clients meet it. It ends with the test.
func (c *cluster) join(name string) (redisAddress string) {
	c.t.Helper()
	base, n := freeport.Block(c.t, 1), &node{log: new(lastLines), ended: make(chan struct{})}
	n.cmd = exec.Command(program, "start", "--join", c.addr(1, peerDoor), "--dir", filepath.Join(c.dir, name), "--base-port", fmt.Sprint(base))
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := startProcess(n.cmd); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = n.cmd.Wait() // the test kills it
		close(n.ended)
	}()
	c.t.Cleanup(func() {
		_ = n.cmd.Process.Kill() // it may have ended
		<-n.ended
		if c.t.Failed() {
			c.t.Logf("last lines of node %s:\n%s", name, n.log)
		}
	})
	await(c.t, patience, func() error {
		resp, err := httpClient.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", base+httpDoor))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			return fmt.Errorf("node %s is not ready: %s", name, resp.Status)
		}
		return nil
	})
	return fmt.Sprintf("127.0.0.1:%d", base+redisDoor)
}

func (c *cluster) redisAt(address string) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: 5 * time.Second,
		DialerRetries: 1, DisableIdentity: true, PoolSize: 1})
	c.t.Cleanup(func() { client.Close() })
	return client
}

// keyspaceLoad writes different keys to a keyspace through a node that stays up.
type keyspaceLoad struct {
	c            *cluster
	keyspace     string
	stop         chan struct{}
	all          sync.WaitGroup
	done, failed atomic.Int64
	keys         []string
}

func (c *cluster) load(keyspace string, through int) *keyspaceLoad {
	l := &keyspaceLoad{c: c, keyspace: keyspace, stop: make(chan struct{})}
	client := c.redisAt(c.addr(through, redisDoor))
	l.all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				return
			default:
			}
			key := fmt.Sprintf("node %d key %d", through, i)
			if l.do(client, "SET", key, key) == nil {
				l.keys = append(l.keys, key)
				l.done.Add(1)
			} else {
				l.failed.Add(1)
			}
		}
	})
	return l
}

// do sends a command to the keyspace, on a connection that has chosen it.
func (l *keyspaceLoad) do(client *redis.Client, args ...any) error {
	conn := client.Conn()
	defer conn.Close()
	ctx := context.Background()
	if err := conn.Do(ctx, "SELECT", l.keyspace).Err(); err != nil {
		return err
	}
	return conn.Do(ctx, args...).Err()
}

func (l *keyspaceLoad) awaitMore(n int64) {
	l.c.t.Helper()
	before := l.done.Load()
	await(l.c.t, patience, func() error { return atLeast(l.done.Load()-before, n) })
}

func (l *keyspaceLoad) end() {
	close(l.stop)
	l.all.Wait()
}

// readBack reads by majorities what was acknowledged.
func (l *keyspaceLoad) readBack(client *redis.Client) {
	l.c.t.Helper()
	conn := client.Conn()
	defer conn.Close()
	ctx := context.Background()
	if err := conn.Do(ctx, "SELECT", l.keyspace).Err(); err != nil {
		l.c.t.Fatal(err)
	}
	for _, key := range l.keys {
		if got, err := conn.Do(ctx, "GET", key).Text(); err != nil || got != key {
			l.c.t.Fatalf("keyspace %s reads %q as %q, %v", l.keyspace, key, got, err)
		}
	}
}
