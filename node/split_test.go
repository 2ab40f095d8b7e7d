package node

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func (c *cluster) split(at core.NodeID, name, key string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[at].SplitShard(ctx, name, []byte(key)); err != nil {
		c.t.Fatalf("split %s at %s: %v", name, key, err)
	}
}

func incr(key string) kv.Command {
	return kv.Command{Ops: []kv.Op{{Kind: kv.OpIncr, Key: []byte(key), Delta: 1}}}
}

// scanAll reads all keys of a keyspace as doors do: shard by shard of the map at hand, page by page.
func scanAll(n *Node, name string, page uint32) (keys []string, err error) {
	ks := n.Keyspace(name)
	for shard := range ks.Shards {
		for next, more := []byte(nil), true; more; {
			var b kv.Batch
			b.Reset(time.Now().Add(patience))
			call := b.Add()
			call.Keyspace, call.Shard, call.Command.Level = ks, shard, kv.LevelLinearizable
			call.Command.Ops = []kv.Op{{Kind: kv.OpScan, Key: next, Limit: page, KeysOnly: true}}
			n.Submit(&b)
			b.Wait()
			if err := call.Result.Err(); err != nil {
				return nil, err
			}
			for i := range call.Result.Items {
				keys = append(keys, string(call.Result.Items[i].Key))
			}
			next, more = call.Result.Key, call.Result.Key != nil
		}
	}
	return keys, nil
}

// TestSplitUnderLoad splits a shard again and again while clients count at all nodes: no request fails, no increment is lost or
// counted twice, no scan skips a key or shows one twice.
func TestSplitUnderLoad(t *testing.T) {
	for _, consistency := range []kv.Consistency{kv.Linearizable, kv.Sequential} {
		t.Run(string(consistency), func(t *testing.T) { splitUnderLoad(t, consistency) })
	}
}

func splitUnderLoad(t *testing.T, consistency kv.Consistency) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "o", Consistency: consistency, Partitioner: "ordered"})
	key := func(i int) string { return fmt.Sprintf("k%02d", i) }
	const keys = 40
	for i := range keys {
		submit(c.nodes[1], "o", set(key(i), "0"))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	counted := map[string]int{}
	for id, n := range c.nodes {
		wg.Add(2)
		go func() {
			defer wg.Done()
			for i := int(id); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k := key(i * 7 % keys)
				r := submit(n, "o", incr(k))[0]
				if r.Code != kv.OK {
					t.Errorf("incr %s at node %d: %v %s", k, id, r.Code, r.Detail)
					return
				}
				mu.Lock()
				counted[k]++
				mu.Unlock()
			}
		}()
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				list, err := scanAll(n, "o", 7)
				if err != nil || len(list) != keys {
					t.Errorf("a scan at node %d shows %d keys: %v %q", id, len(list), err, list)
					return
				}
			}
		}()
	}
	for i, at := range []string{"k20", "k10", "k30", "k31"} {
		time.Sleep(100 * time.Millisecond)
		c.split(core.NodeID(i%3+1), "o", at)
	}
	time.Sleep(100 * time.Millisecond)
	close(stop)
	wg.Wait()
	for i := range keys {
		r := submit(c.nodes[2], "o", kv.Command{Level: kv.LevelLinearizable, Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte(key(i))}}})[0]
		if want := fmt.Sprint(counted[key(i)]); string(r.Value) != want {
			t.Errorf("%s is %q after %s increments", key(i), r.Value, want)
		}
	}
	if got := c.nodes[1].Keyspace("o").Shards; got != 5 {
		t.Errorf("%d shards, not 5", got)
	}
	for i, g := range c.nodes[1].DescribeKeyspaces()[1].Groups {
		want := []string{"", "k10", "k20", "k30", "k31", ""}
		if !bytes.Equal(g.From, []byte(want[i])) || !bytes.Equal(g.To, []byte(want[i+1])) {
			t.Errorf("shard %d has %q to %q", i, g.From, g.To)
		}
	}
}
