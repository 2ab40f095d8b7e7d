package bayou

import (
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// What a peer reports counts once its writes have come, and while one report waits others do not take its place.
func TestWhatIsKnownOfAPeerWaitsForItsWrites(t *testing.T) {
	type report struct {
		at         core.Time
		until, has kv.HLC
	}
	for _, x := range []struct {
		name    string
		reports []report
		has     kv.HLC
		want    core.Time
	}{
		{"nothing was heard", nil, 9, 0},
		{"all was here", []report{{10, 5, 5}}, 5, 10},
		{"a write is missing", []report{{10, 5, 4}}, 4, 0},
		{"the write has come", []report{{10, 5, 4}}, 5, 10},
		{"the latest counts", []report{{10, 5, 5}, {20, 5, 5}}, 5, 20},
		{"a later report waits", []report{{10, 5, 5}, {20, 6, 5}}, 5, 10},
		{"what waits is not replaced", []report{{10, 5, 4}, {20, 9, 4}}, 5, 10},
		{"but followed", []report{{10, 5, 4}, {20, 9, 5}}, 9, 20},
		{"an old report takes nothing back", []report{{20, 5, 5}, {10, 5, 5}}, 5, 20},
	} {
		var a recency
		for _, r := range x.reports {
			a.report(r.at, r.until, r.has)
		}
		if got := a.at(x.has); got != x.want {
			t.Errorf("%s: %d, not %d", x.name, got, x.want)
		}
	}
}

// TestAReplicaKnowsUntilWhenItLacksNothing lets two replicas talk, cuts them apart while one writes, and links them again: what each
// says of its state is true at each moment, stands still while they are apart, and goes on behind the missing write alone.
func TestAReplicaKnowsUntilWhenItLacksNothing(t *testing.T) {
	c := newCouple()
	talk := func(d core.Time) {
		for until := c.now + d; c.now < until; c.now += 50 * millisecond {
			c.step(0, core.Tick{})
			c.step(1, core.Tick{})
		}
	}
	whole := func(i int) core.Time { return c.replicas[i].Freshness().Whole }
	talk(10_000 * millisecond)
	for i := range 2 {
		if age := c.now - whole(i); age < 0 || age > 3000*millisecond {
			t.Errorf("replica %d, in touch with its peer, knows its state to be %v ms old", i+1, age/millisecond)
		}
	}
	c.link(false)
	before, cut := whole(1), c.now
	talk(10_000 * millisecond)
	c.set(0, 0, 1, 1)
	if whole(1) != before || before > cut {
		t.Errorf("cut off at %d, a replica knows its state to be whole as of %d, then %d", cut, before, whole(1))
	}
	c.link(true)
	talk(5_000 * millisecond)
	if a, b := Digest(&c.states[0]), Digest(&c.states[1]); a != b || whole(1) <= cut {
		t.Errorf("linked again, the states are %x and %x, and whole as of %d", a, b, whole(1))
	}
}

// A replica without peers lacks nothing, and one that has heard of nobody knows nothing.
func TestAgeWithoutPeersAndWithoutWord(t *testing.T) {
	alone := newCluster(1, Options{})
	if got := alone.Members[0].Replica.Freshness().Whole; got != always {
		t.Errorf("alone: %d", got)
	}
	c := newCouple()
	if got := New(1, Options{}).Freshness(); got.Whole != 0 {
		t.Errorf("before it began: %d", got.Whole)
	}
	c.link(false)
	before := c.replicas[0].Freshness().Whole
	c.now += 1000 * millisecond
	for _, x := range []struct {
		life uint64
		want core.Time
	}{{c.replicas[0].life - 1, before}, {c.replicas[0].life, c.now}} {
		peer := c.replicas[1]
		c.step(0, core.Received{From: 2, Message: Pull{Vector: peer.meta.vector, Life: peer.life, Clocks: Clocks{Sent: 1, Life: x.life, Told: c.now}}})
		if got := c.replicas[0].Freshness().Whole; got != x.want {
			t.Errorf("a word about run %d of %d: %d, not %d", x.life, c.replicas[0].life, got, x.want)
		}
	}
}
