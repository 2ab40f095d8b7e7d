package host

import (
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// sleeper is a puppet that may rest.
type sleeper struct {
	puppet
	rests bool
}

func (s *sleeper) Rests() bool { return s.rests }

// TestAHostWhoseReplicasRestWritesNothing lets time pass over replicas that rest, and then over one that does not.
func TestAHostWhoseReplicasRestWritesNothing(t *testing.T) {
	b := newBench(t, Options{})
	p, q := &sleeper{rests: true}, &sleeper{rests: true}
	b.add(1, p)
	b.add(2, q)
	batches := func() (n int) {
		for range 20 {
			b.pass(100 * ms)
			if batch, ok := b.host.TakeBatch(b.now); ok {
				b.host.Synced(b.now, batch)
				n++
			}
		}
		return n
	}
	if n := batches(); n != 0 {
		t.Errorf("%d batches although all rest", n)
	}
	q.rests = false
	b.receive(2, "wake")
	if n := batches(); n < 4 {
		t.Errorf("%d batches in two seconds although one does not rest", n)
	}
	b.host.Remove(b.now, 2)
	if n := batches(); n != 0 {
		t.Errorf("%d batches although all that are left rest", n)
	}
}

// TestCommandsAfterARestHaveTheTimeOfTheirArrival lets a command come after an hour of rest: its stamp must not be the one at which
// the rest began, and must lie below a durable bound (rule H3).
func TestCommandsAfterARestHaveTheTimeOfTheirArrival(t *testing.T) {
	b := newBench(t, Options{})
	p := &sleeper{rests: true}
	var stamp, bound kv.HLC
	p.on = func(in *core.Input, out *core.Effects) {
		if e, ok := in.Event.(core.Requests); ok {
			stamp, bound = in.Stamp, in.StampMax
			out.ReplyEarly(e.List[0].ID, kv.Result{})
		}
	}
	p.leader = 1
	b.add(1, p)
	b.pass(3_600_000 * ms)
	if _, ok := b.host.TakeBatch(b.now); ok {
		t.Fatal("a batch although all rest")
	}
	b.submit(7)
	if stamp != 0 {
		t.Fatalf("handed over at stamp %d of %d, before the clock was right", stamp.UnixMilli(), b.now.Wall)
	}
	b.wantAnswer(7, none)
	b.sync()
	b.wantAnswer(7, kv.OK)
	if stamp.UnixMilli() != b.now.Wall || stamp >= bound {
		t.Errorf("stamp %d under the bound %d, at %d", stamp.UnixMilli(), bound.UnixMilli(), b.now.Wall)
	}
	b.submit(8) // nothing is waited for now
	b.wantAnswer(8, kv.OK)
}
