package host

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// speaker does what the message says: "write X" writes, "send X" and "early X" send to replica 2, "self X" to itself,
// joined by commas; "wish X" wishes for a configuration.
func speaker() *puppet {
	return &puppet{leader: 1, on: func(in *core.Input, out *core.Effects) {
		e, ok := in.Event.(core.Received)
		if !ok || e.From == 1 {
			return
		}
		for _, order := range strings.Split(string(e.Message.(text)), ",") {
			verb, word, _ := strings.Cut(order, " ")
			switch verb {
			case "write":
				out.Write(core.Record{Kind: 1, Body: []byte(word)})
			case "send":
				out.Send(2, text(word))
			case "early":
				out.SendEarly(2, text(word))
			case "self":
				out.Send(1, text(word))
			case "wish":
				out.Configure = []byte(word)
			}
		}
	}}
}

func bodies(b Batch) (list []string) {
	for _, item := range b.Items {
		list = append(list, string(item.Record.Body))
	}
	return list
}

func TestHeldOutputsWaitForTheirBatch(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, speaker())
	b.receive(1, "send a")
	b.wantLeft("a to 2") // nothing was written: nothing to wait for
	b.receive(1, "write x,send b,early c")
	b.wantLeft("c to 2")
	first, ok := b.host.TakeBatch(b.now)
	if !ok || !slices.Equal(bodies(first), []string{"x"}) {
		t.Fatalf("batch %v %t", bodies(first), ok)
	}
	b.receive(1, "send d")         // depends on x, which is being written
	b.receive(1, "write y,send e") // depends on y, which waits for the next batch
	b.receive(1, "send f")
	if _, ok := b.host.TakeBatch(b.now); ok {
		t.Fatal("a second batch was handed out during a sync")
	}
	b.wantLeft()
	b.host.Synced(b.now, first)
	b.wantLeft("b to 2", "d to 2")
	second, _ := b.host.TakeBatch(b.now)
	b.wantLeft()
	b.host.Synced(b.now, second)
	b.wantLeft("e to 2", "f to 2")
}

func TestWishesWaitForTheirBatchAndSayWhatTheyGoBy(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, speaker())
	b.receive(1, "wish a")
	b.wantLeft("a for ")
	b.host.Configure(b.now, 1, []byte("first"))
	b.receive(1, "write x,wish b")
	b.host.Configure(b.now, 1, []byte("second"))
	b.wantLeft()
	b.sync()
	b.wantLeft("b for first")
	b.receive(1, "write y,wish c")
	b.host.Remove(b.now, 1)
	b.sync()
	b.wantLeft() // nobody speaks for a replica that has ended
}

func TestALeaseIsTheGroupsOwnAndIsTold(t *testing.T) {
	b := newBench(t, Options{})
	until := map[core.GroupID]core.Time{}
	add := func(g core.GroupID) {
		b.add(g, &puppet{on: func(in *core.Input, _ *core.Effects) { until[g] = in.LeaseUntil }})
	}
	add(1)
	add(2)
	b.host.SetLease(b.now, 2, b.now.Mono+ms)
	b.host.Event(b.now, 1, core.Tick{})
	if until[1] != 0 || until[2] != b.now.Mono+ms {
		t.Errorf("leases %v", until)
	}
}

func TestGroupsWaitOnlyForTheirOwnRecords(t *testing.T) {
	b := newBench(t, Options{})
	b.add(1, speaker())
	b.add(2, speaker())
	b.receive(1, "write x,send a")
	b.receive(2, "send b")
	b.wantLeft("b to 2")
	b.sync()
	b.wantLeft("a to 2")
}

func TestReplicaHearsFromItselfOnceDurable(t *testing.T) {
	b := newBench(t, Options{})
	p := speaker()
	b.add(1, p)
	b.receive(1, "write x,self durable")
	b.host.Settle(b.now)
	if slices.Contains(p.events, "1: durable") {
		t.Error("it heard before the sync")
	}
	b.sync()
	if !slices.Contains(p.events, "1: durable") {
		t.Errorf("it never heard: %q", p.events)
	}
}

func TestHungDiskSilencesTheHost(t *testing.T) {
	b := newBench(t, Options{Stall: 100 * ms})
	p := speaker()
	unfit := false
	steps := p.on
	p.on = func(in *core.Input, out *core.Effects) { unfit = in.Unfit; steps(in, out) }
	b.add(1, p)
	b.receive(1, "write x,send a")
	batch, _ := b.host.TakeBatch(b.now)
	b.pass(50 * ms)
	b.receive(1, "early b")
	b.wantLeft("b to 2")
	b.pass(51 * ms)
	b.receive(1, "early c")
	if b.wantLeft(); !unfit {
		t.Error("a node with a hung disk thinks that it should lead")
	}
	b.host.Synced(b.now, batch)
	b.wantLeft("c to 2", "a to 2")
	b.receive(1, "early d")
	if b.wantLeft("d to 2"); unfit {
		t.Error("unfit although the disk is back")
	}
}

func TestAgainFollowsAtOnceAndSeesTheState(t *testing.T) {
	b := newBench(t, Options{})
	left := 2
	p := &puppet{on: func(in *core.Input, out *core.Effects) {
		if _, ok := in.Event.(core.Tick); ok || left < 2 {
			out.Again, left = left > 0, left-1
		}
	}}
	b.add(1, p)
	b.host.Event(b.now, 1, core.Tick{})
	if got := strings.Join(p.events, " "); got != "core.Start core.Tick core.Again core.Again" {
		t.Error(got)
	}
}

func TestTicksComeWhenTheyAreDue(t *testing.T) {
	b := newBench(t, Options{})
	p := &puppet{deadline: b.now.Mono + 100*ms}
	b.add(1, p)
	b.pass(99 * ms)
	if slices.Contains(p.events, "core.Tick") {
		t.Error("too early")
	}
	if at := b.host.Deadline(); at > p.deadline {
		t.Errorf("the host sleeps until %d, the replica wants %d", at, p.deadline)
	}
	b.pass(1 * ms)
	if !slices.Contains(p.events, "core.Tick") {
		t.Error("not at all")
	}
}

func TestRollReachesAllReplicasAndMarksTheBatch(t *testing.T) {
	b := newBench(t, Options{})
	p, q := &puppet{}, &puppet{}
	b.add(2, p)
	b.add(1, q)
	b.host.Roll(b.now)
	batch, ok := b.host.TakeBatch(b.now)
	if !ok || !batch.Roll || p.events[1] != "core.Roll" || q.events[1] != "core.Roll" {
		t.Errorf("%t %t %q %q", ok, batch.Roll, p.events, q.events)
	}
	b.host.Synced(b.now, batch)
	if next, ok := b.host.TakeBatch(b.now); ok {
		t.Errorf("a batch of nothing: %+v", next)
	}
}

func TestRemovedReplicaIsStillAndItsCommandsUnknown(t *testing.T) {
	b := newBench(t, Options{})
	p := speaker()
	b.add(1, p)
	b.submit(1)
	b.receive(1, "write x,self late")
	b.host.Remove(b.now, 1)
	n := len(p.events)
	b.sync()
	b.receive(1, "early a")
	b.pass(ms)
	if b.wantLeft(); len(p.events) != n || b.host.Has(1) {
		t.Errorf("it still hears: %q", p.events[n:])
	}
	b.wantAnswer(1, kv.Unknown)
}

// TestStampsNeverRepeat restarts the node at every durable bound, with the wall clock set back each time (rules H1, H3).
func TestStampsNeverRepeat(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	upper, last := kv.HLC(0), kv.HLC(0)
	wall := int64(1_700_000_000_000)
	for range 50 {
		now := Now{Wall: wall}
		h := New(newBench(t, Options{}), rng, upper, now, Options{})
		h.Add(now, Replica{Group: 1, Self: 1, Core: &puppet{}, State: blank{}, First: core.Start{}})
		for range 30 {
			if batch, ok := h.TakeBatch(now); ok {
				upper = batch.HLCUpper
				h.Synced(now, batch)
			}
			s := h.clock.read(h.wall())
			if s <= last || s >= upper {
				t.Fatalf("stamp %d after %d under the bound %d", s, last, upper)
			}
			last = s
			now.Wall += rng.Int64N(900)
			now.Mono += 900 * ms
			h.Tick(now)
		}
		wall = now.Wall - rng.Int64N(10_000)
	}
}
