package node

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/quorum"
)

// TestQuorumShardsMoveWhileTheyServe moves the replicas of leaderless shards, one at a time and all at once, and back to nodes that
// had one before, while clients write and read: no acknowledged write is lost, and no read of a majority goes back.
func TestQuorumShardsMoveWhileTheyServe(t *testing.T) {
	for _, spec := range []kv.CreateKeyspace{{Name: "plain"}, {Name: "atomic", Atomic: true}} {
		t.Run(spec.Name, func(t *testing.T) {
			c := newCluster(t, 5)
			c.start(1, 2, 3, 4, 5)
			c.ready()
			spec.Consistency, spec.Shards = kv.Quorum, 2
			c.create(1, spec)
			c.hasKeyspace(spec.Name)
			for i := range 50 {
				mustSet(t, c.nodes[1], spec.Name, fmt.Sprint("k", i), fmt.Sprint("v", i))
			}
			stop := c.climb(spec.Name, spec.Atomic)
			for round, to := range [][]uint32{{2, 3, 4}, {1, 4, 5}, {1, 2, 3, 4, 5}, {1, 2, 3}} {
				for shard := range 2 {
					c.move(spec.Name, shard, to)
				}
				if round == 1 {
					c.close(4)
					c.start(4)
				}
			}
			stop()
			for _, n := range c.nodes {
				for i := range 50 {
					mustGet(t, n, spec.Name, fmt.Sprint("k", i), fmt.Sprint("v", i))
				}
			}
		})
	}
}

// climb lets two clients write to keys of their own and read them, until stop, through nodes that stay up. A read is never of an
// older stamp than what was acknowledged, or read, before; of the values of an atomic keyspace that is true as well.
func (c *cluster) climb(name string, atomic bool) (stop func()) {
	var wait sync.WaitGroup
	done := make(chan struct{})
	nodes := []*Node{c.nodes[1], c.nodes[2], c.nodes[3]}
	for client := range 2 {
		wait.Go(func() {
			key, least, newest, acked := fmt.Sprint("climb", client), 0, quorum.Stamp{}, 0
			stamp := func(r *kv.Result) quorum.Stamp {
				return quorum.Stamp{Time: kv.HLC(r.Version), Origin: core.ReplicaID(r.Origin)}
			}
			for i := 1; ; i++ {
				select {
				case <-done:
					if acked == 0 {
						c.t.Errorf("client %d: nothing was acknowledged", client)
					}
					return
				default:
				}
				n := nodes[i%3]
				if r := submit(n, name, set(key, strconv.Itoa(i)))[0]; r.Code == kv.OK {
					least, acked = i, acked+1
					if s := stamp(&r); s.Compare(newest) > 0 {
						newest = s
					}
				}
				r := submit(n, name, get(key))[0]
				if r.Code.Refused() || r.Code == kv.Unknown {
					continue
				}
				got, _ := strconv.Atoi(string(r.Value))
				if stamp(&r).Compare(newest) < 0 || atomic && got < least {
					c.t.Errorf("client %d reads %q (%v) at %v after %d at %v", client, r.Value, r.Code, stamp(&r), least, newest)
					return
				}
				least, newest = got, stamp(&r)
			}
		})
	}
	return func() { close(done); wait.Wait() }
}
