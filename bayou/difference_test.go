package bayou

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tidwall/btree"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// tree is a state that can hold a million keys.
type tree struct {
	pairs btree.Map[string, []byte]
}

func (s *tree) Get(key []byte) ([]byte, bool) { return s.pairs.Get(string(key)) }

func (s *tree) Scan(from, to []byte, f func(key, value []byte) bool) {
	s.pairs.Ascend(string(from), func(k string, v []byte) bool {
		return (to == nil || k < string(to)) && f([]byte(k), v)
	})
}

func (s *tree) Snapshot() core.Snapshot { return &tree{pairs: *s.pairs.Copy()} }

func (s *tree) Close() {}

func (s *tree) apply(changes []core.Change) {
	for _, c := range changes {
		switch c.Kind {
		case core.Put:
			s.pairs.Set(string(c.Key), bytes.Clone(c.Value))
		case core.Delete:
			s.pairs.Delete(string(c.Key))
		case core.DeleteRange:
			var gone []string
			s.pairs.Ascend(string(c.Key), func(k string, _ []byte) bool {
				gone = append(gone, k)
				return k < string(c.End)
			})
			for _, k := range gone {
				if k < string(c.End) {
					s.pairs.Delete(k)
				}
			}
		default:
			panic("a state is moved as a whole")
		}
	}
}

// couple is two replicas whose disks are fast, and what has passed between them.
type couple struct {
	replicas [2]*Replica
	states   [2]tree
	rand     *rand.Rand
	now      core.Time
	stamp    kv.HLC
	apart    bool
	moved    int
	answered int
}

func newCouple() *couple {
	c := &couple{rand: rand.New(rand.NewPCG(1, 1)), now: 1000 * millisecond}
	config := Config{Binding: 1, Members: []core.ReplicaID{1, 2}}
	for i := range c.replicas {
		c.replicas[i] = New(core.ReplicaID(i+1), Options{})
		c.step(i, core.Start{Config: config.AppendTo(nil)})
	}
	c.link(true)
	return c
}

func (c *couple) link(up bool) {
	c.apart = !up
	for i := range c.replicas {
		if peer := core.ReplicaID(2 - i); up {
			c.step(i, core.PeerUp{Peer: peer})
		} else {
			c.step(i, core.PeerDown{Peer: peer})
		}
	}
}

// step steps a replica, and then all that follows from it.
func (c *couple) step(i int, event any) {
	for again := true; again; event = (core.Again{}) {
		var out core.Effects
		c.stamp = max(c.stamp+1, kv.HLCOf(int64(c.now/millisecond)))
		c.replicas[i].Step(&core.Input{Now: c.now, Stamp: c.stamp, StampMax: c.stamp + 1<<30, Rand: c.rand, View: &c.states[i], Event: event}, &out)
		c.states[i].apply(out.State)
		again = out.Again
		for _, o := range append(out.Held, out.Early...) {
			c.send(i, &o)
		}
	}
}

func (c *couple) send(i int, o *core.Output) {
	switch {
	case o.To == 0:
		c.answered++
	case o.To == core.ReplicaID(i+1):
		c.step(i, core.Received{From: o.To, Message: o.Message})
	case !c.apart:
		b := o.Message.AppendTo(nil)
		c.moved += len(b)
		m, err := DecodeMessage(b)
		if err != nil {
			panic(err)
		}
		c.step(1-i, core.Received{From: core.ReplicaID(i + 1), Message: m})
	}
}

// set writes keys at a replica, several in one command.
func (c *couple) set(i, from, to, together int) {
	for ; from < to; from += together {
		var command kv.Command
		for k := from; k < min(to, from+together); k++ {
			command.Ops = append(command.Ops, kv.Op{Kind: kv.OpSet, Key: fmt.Appendf(nil, "key%09d", k), Value: bytes.Repeat([]byte{byte(k)}, 100)})
		}
		q := core.Request{ID: core.RequestID(c.answered + 1), Command: kv.AppendCommand(nil, &command), Deadline: c.now + 1000*millisecond}
		c.step(i, core.Requests{List: []core.Request{q}})
		c.step(i, core.Flush{})
		c.now += 2 * millisecond
		c.step(i, core.Tick{})
	}
}

// around lets both ask each other for a while.
func (c *couple) around() {
	for range 20 {
		c.now += 300 * millisecond
		for i := range c.replicas {
			c.step(i, core.Tick{})
		}
	}
}

// TestAntiEntropyMovesTheDifference: two replicas that hold the same keys but for one in a hundred, which each of them has set half
// of while they were apart, become equal by messages that are little longer than those writes.
func TestAntiEntropyMovesTheDifference(t *testing.T) {
	difference, moved := antiEntropy(t, 20_000)
	if moved > difference+difference/20+4096 {
		t.Errorf("for a difference of %d bytes %d were moved", difference, moved)
	}
}

// BenchmarkAntiEntropyOfAMillionKeys tells how much is moved for a difference of one in a hundred keys.
func BenchmarkAntiEntropyOfAMillionKeys(b *testing.B) {
	for b.Loop() {
		difference, moved := antiEntropy(b, 1_000_000)
		b.ReportMetric(float64(difference), "different-bytes")
		b.ReportMetric(float64(moved), "moved-bytes")
	}
}

func antiEntropy(t testing.TB, keys int) (difference, moved int) {
	c := newCouple()
	c.set(0, 0, keys, 1000)
	c.around()
	c.link(false)
	half := keys / 200
	c.set(0, 0, half, 1)
	c.set(1, half, 2*half, 1)
	for i := range c.replicas {
		for _, w := range c.replicas[i].Newest(2 * keys)(&c.states[i]) {
			if self := core.ReplicaID(i + 1); w.Replica == self && w.Stamp > c.replicas[1-i].meta.vector.At(self) {
				difference += w.Size()
			}
		}
	}
	c.moved = 0
	c.link(true)
	c.around()
	a, b := Digest(&c.states[0]), Digest(&c.states[1])
	if a != b || difference < 2*half*100 || c.answered != keys/1000+2*half {
		t.Fatalf("digests %x and %x, %d bytes of difference, %d answers", a, b, difference, c.answered)
	}
	return difference, c.moved
}
