package node

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab/inject"
)

// attackable gives every node of a cluster an injector.
func (c *cluster) attackable() map[core.NodeID]*inject.Injector {
	c.t.Helper()
	all := map[core.NodeID]*inject.Injector{}
	for id, config := range c.configs {
		i, err := inject.New(config.Dir)
		if err != nil {
			c.t.Fatal(err)
		}
		config.Faults, all[id] = i, i
		c.configs[id] = config
	}
	return all
}

func hurt(t *testing.T, i *inject.Injector, path, body string) {
	t.Helper()
	if err := i.Change(func(s *inject.Settings) error { return s.Request("PUT", "/v1/lab/"+path, []byte(body)) }); err != nil {
		t.Fatal(err)
	}
}

// Commands and answers between nodes are neither doubled nor overtaken, however protocol messages fare.
func TestHostileLinksCostNoIncrement(t *testing.T) {
	c := newCluster(t, 3)
	all := c.attackable()
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	for id, i := range all {
		for peer := range all {
			if peer != id {
				hurt(t, i, fmt.Sprintf("links/%d/in", peer), `{"delay":"1ms","jitter":"2ms","loss":0.1,"duplicate":0.5,"reorder":0.3}`)
			}
		}
	}
	done, unknown := 0, 0
	for done < 20 {
		id := core.NodeID((done+unknown)%3 + 1)
		r := submit(c.nodes[id], "default", kv.Command{Ops: []kv.Op{{Kind: kv.OpIncr, Key: []byte("n"), Delta: 1}}})[0]
		switch {
		case r.Code == kv.OK:
			done++
		case r.Code == kv.Unknown:
			unknown++
		}
	}
	r := submit(c.nodes[1], "default", kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("n")}}})[0]
	if n, err := strconv.Atoi(string(r.Value)); err != nil || n < done || n > done+unknown {
		t.Errorf("the counter stands at %q after %d increments and %d unknown ones", r.Value, done, unknown)
	}
	st := c.nodes[2].Status()
	if !st.Lab || !strings.Contains(strings.Join(st.Alarms, "\n"), `the lab hurts this node: from node 1 {"delay":"1ms"`) {
		t.Errorf("the status says lab %v, %q", st.Lab, st.Alarms)
	}
}

// A leader behind a cut is replaced, and does not answer from what it holds; when the cut is over it follows.
func TestACutLeaderIsReplaced(t *testing.T) {
	c := newCluster(t, 3)
	all := c.attackable()
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	mustSet(t, c.nodes[1], "default", "a", "old")
	leads := func(id core.NodeID) core.NodeID {
		return core.NodeID(c.nodes[id].table.Load().byName["default"].shards[0].leader.Load())
	}
	leader := leads(1)
	heir := leader%3 + 1
	for peer := range all {
		if peer != leader {
			hurt(t, all[leader], fmt.Sprintf("links/%d/in", peer), `{"down":true}`)
			hurt(t, all[leader], fmt.Sprintf("links/%d/out", peer), `{"down":true}`)
		}
	}
	eventually(t, "another leader", func() error {
		if now := leads(heir); now == 0 || now == leader {
			return fmt.Errorf("node %d takes node %d for the leader", heir, now)
		}
		return nil
	})
	mustSet(t, c.nodes[heir], "default", "a", "new")
	var b kv.Batch
	b.Reset(time.Now().Add(300 * time.Millisecond))
	call := b.Add()
	call.Keyspace, call.Command = c.nodes[leader].Keyspace("default"), kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("a")}}}
	c.nodes[leader].Submit(&b)
	b.Wait()
	if call.Result.Code == kv.OK {
		t.Errorf("the old leader answers %q", call.Result.Value)
	}
	hurt(t, all[leader], "faults", `{}`)
	mustGet(t, c.nodes[leader], "default", "a", "new")
}

// spy counts what a node asks its faults.
type spy struct {
	*inject.Injector
	arrived atomic.Int64
}

func (s *spy) Arrive(from core.NodeID, ordered bool, deliver func()) {
	s.arrived.Add(1)
	s.Injector.Arrive(from, ordered, deliver)
}

// The seam is where all that peers say passes: a node whose frames went round it could not be hurt.
func TestEveryFramePassesTheFaults(t *testing.T) {
	c := newCluster(t, 3)
	all := c.attackable()
	spies := map[core.NodeID]*spy{}
	for id, config := range c.configs {
		spies[id] = &spy{Injector: all[id]}
		config.Faults = spies[id]
		c.configs[id] = config
	}
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	for id, s := range spies {
		before := s.arrived.Load()
		mustSet(t, c.nodes[id], "default", "k", "v")
		eventually(t, "frames arrive", func() error {
			if s.arrived.Load() == before {
				return fmt.Errorf("no frame has passed the faults of node %d", id)
			}
			return nil
		})
	}
}
