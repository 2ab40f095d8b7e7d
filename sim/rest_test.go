package sim

import (
	"testing"

	"github.com/gamutdb/gamut/paxos"
)

// resting are small clusters whose clients pause for longer than a group takes to rest, under every fault: leaders of groups at
// rest die and are cut off, and commands meet clocks that stood still.
func resting(seed uint64) Options {
	options, lease := drawPaxos(seed, paxos.NoMutation)
	options.Heartbeat, options.ElectionMin, options.ElectionMax = quick.Heartbeat, quick.ElectionMin, quick.ElectionMax
	return Options{Seed: seed, Protocol: Paxos(options, lease), Clients: 2, Groups: 2, Think: Second, Faulty: 8 * Second,
		HealMax: 120 * Second}
}

// TestRestingSeeds lets groups rest between the commands of few and slow clients.
func TestRestingSeeds(t *testing.T) { runAll(t, resting) }

// TestGroupsAtRestCostLittle counts what a calm cluster says and writes while one client asks for something twice a minute.
func TestGroupsAtRestCostLittle(t *testing.T) {
	r := Run(Options{Seed: 1, Protocol: Paxos(paxos.Options{}, 500*Millisecond), Nodes: 3, Groups: 3, Clients: 1, Think: 30 * Second, Faults: Calm(),
		Faulty: 60 * Second, HealMax: 3600 * Second})
	if r.Failure != "" {
		t.Fatal(r.Failure)
	}
	// Three groups, two followers each, a heartbeat and its answer every 150 ms, which makes 80 messages a second.
	seconds := int(r.Stats.End / Second)
	if most := 100 * seconds; r.Stats.Messages > most {
		t.Errorf("%d messages in %d s at rest, more than %d", r.Stats.Messages, seconds, most)
	}
	// Clocks that ran on would take fifteen syncs a second.
	if r.Stats.Syncs > 3*seconds {
		t.Errorf("%d syncs in %d s at rest", r.Stats.Syncs, seconds)
	}
	t.Logf("at rest: %s", r.Stats)
}
