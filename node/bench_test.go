package node

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// BenchmarkCausal lets clients of one node write and read a causal keyspace whose replicas are on three.
func BenchmarkCausal(b *testing.B) {
	c := newCluster(b, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default", Consistency: kv.Causal})
	c.hasKeyspace("default")
	mustSet(b, c.nodes[1], "default", "key", string(make([]byte, 100)))
	for name, command := range map[string]kv.Command{"get": get("key"), "set": set("key", string(make([]byte, 100)))} {
		for _, clients := range []int{1, 50, 256} {
			b.Run(fmt.Sprintf("%s/clients=%d", name, clients), func(b *testing.B) { load(b, c.nodes[1], clients, 1, command) })
		}
	}
}

// benchmarkCluster is three nodes with a keyspace of one shard, and the node that leads it.
func benchmarkCluster(b *testing.B) (leader, other *Node) {
	c := newCluster(b, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	mustSet(b, c.nodes[1], "default", "key", string(make([]byte, 100)))
	at := c.nodes[1].table.Load().byName["default"].shards[0].leader.Load()
	for id, n := range c.nodes {
		if uint32(id) == at {
			leader = n
		} else {
			other = n
		}
	}
	return leader, other
}

// load runs b.N commands from a number of clients, each with batches of a depth.
func load(b *testing.B, n *Node, clients, depth int, command kv.Command) {
	ks := n.Keyspace("default")
	b.ResetTimer()
	b.ReportAllocs()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			var batch kv.Batch
			for i := 0; i < b.N/clients+1; i += depth {
				batch.Reset(time.Now().Add(patience))
				for range depth {
					call := batch.Add()
					call.Keyspace = ks
					call.Command.Ops = append(call.Command.Ops, command.Ops...)
				}
				n.Submit(&batch)
				batch.Wait()
			}
		})
	}
	wg.Wait()
}

func BenchmarkSubmit(b *testing.B) {
	leader, other := benchmarkCluster(b)
	for _, at := range []struct {
		name string
		node *Node
	}{{"leader", leader}, {"other", other}} {
		for name, command := range map[string]kv.Command{"get": get("key"), "set": set("key", string(make([]byte, 100)))} {
			for _, shape := range [][2]int{{1, 1}, {64, 1}, {64, 16}} {
				b.Run(fmt.Sprintf("%s/%s/clients=%d/depth=%d", name, at.name, shape[0], shape[1]), func(b *testing.B) {
					load(b, at.node, shape[0], shape[1], command)
				})
			}
		}
	}
}
