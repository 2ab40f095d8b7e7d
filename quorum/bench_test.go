package quorum

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// benchState is a state without an order: enough for writes.
type benchState struct{ pairs map[string][]byte }

func (s *benchState) Get(key []byte) ([]byte, bool) {
	v, ok := s.pairs[string(key)]
	return v, ok
}
func (s *benchState) Scan(_, _ []byte, _ func(_, _ []byte) bool) {}
func (s *benchState) Snapshot() core.Snapshot                    { panic("no snapshot of a benchmark") }

// benchReplica is a replica whose disk is as fast as memory.
type benchReplica struct {
	replica *Replica
	state   benchState
	out     core.Effects
	rand    *rand.Rand
}

type benchCluster struct {
	members  [3]*benchReplica
	now      core.Time
	stamp    kv.HLC
	answered int
}

func (c *benchCluster) step(i int, event any) {
	m := c.members[i]
	m.out.Reset()
	c.stamp++
	in := core.Input{Now: c.now, Stamp: c.stamp, StampMax: c.stamp + 1<<30, Wall: c.stamp.UnixMilli(), Rand: m.rand, View: &m.state, Event: event}
	m.replica.Step(&in, &m.out)
	for _, s := range m.out.State {
		if s.Kind == core.Put {
			m.state.pairs[string(s.Key)] = s.Value
		}
	}
	var outputs []core.Output
	outputs = append(append(outputs, m.out.Early...), m.out.Held...)
	again := m.out.Again
	for _, o := range outputs {
		if o.To == 0 {
			c.answered++
			continue
		}
		message := o.Message
		if _, own := message.(stored); !own {
			message, _ = DecodeMessage(message.AppendTo(nil))
		}
		c.step(int(o.To-1), core.Received{From: core.ReplicaID(i + 1), Message: message})
	}
	if again {
		c.step(i, core.Again{})
	}
}

// BenchmarkWrites is a write of 256 bytes at a majority of three replicas, 64 at a time, without disks and sockets.
func BenchmarkWrites(b *testing.B) {
	c := &benchCluster{now: 1e9, stamp: kv.HLCOf(1_700_000_000_000)}
	config := Config{Members: []core.ReplicaID{1, 2, 3}}
	for i := range c.members {
		c.members[i] = &benchReplica{replica: New(core.ReplicaID(i+1), Options{}), state: benchState{map[string][]byte{}}, rand: rand.New(rand.NewPCG(1, 2))}
		c.step(i, core.Start{Config: config.AppendTo(nil)})
		for id := range c.members {
			c.step(i, core.PeerUp{Peer: core.ReplicaID(id + 1)})
		}
	}
	value := make([]byte, 256)
	var list []core.Request
	for i := range 64 {
		list = append(list, core.Request{ID: core.RequestID(i + 1), Command: kv.AppendCommand(nil, &kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: fmt.Appendf(nil, "key %012d", i), Value: value}}})})
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i += len(list) {
		c.now += 1e5
		c.step(0, core.Requests{List: list})
	}
	if c.answered < b.N {
		b.Fatalf("%d of %d writes were answered", c.answered, b.N)
	}
}
