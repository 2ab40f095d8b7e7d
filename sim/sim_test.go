package sim

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/paxos"
)

var (
	withoutFlag = flag.String("without", "", "leave out these faults, by their names, with commas between")
	seedFlag    = flag.Uint64("seed", 0, "run only this seed")
	seedsFlag   = flag.Int("seeds", 200, "how many seeds to run")
	firstFlag   = flag.Uint64("first", 1, "the first seed")
)

// runSeeds runs the seeds that the flags ask for and tells the first that fails.
func runSeeds(t *testing.T, protocol func(seed uint64) Protocol) {
	runAll(t, func(seed uint64) Options { return Options{Seed: seed, Protocol: protocol(seed)} })
}

func runAll(t *testing.T, draw func(seed uint64) Options) {
	first, count := *firstFlag, *seedsFlag
	if *seedFlag != 0 {
		first, count = *seedFlag, 1
	}
	var total Stats
	for seed := first; seed < first+uint64(count); seed++ {
		o := draw(seed)
		o.Without = strings.Split(*withoutFlag, ",")
		r := RunTold(o)
		if r.Failure != "" {
			t.Fatalf("%s\nreplay: go test ./sim -run '^%s$' -seed=%d -v\nseed %d, %s\n%s", r.Failure, t.Name(), seed, seed, r.Parameters,
				strings.Join(r.Trace, "\n"))
		}
		total.add(r.Stats)
	}
	t.Logf("%d seeds: %s", count, total)
}

func (s *Stats) add(o Stats) {
	s.Events += o.Events
	s.Messages += o.Messages
	s.Syncs += o.Syncs
	s.Crashes += o.Crashes
	s.Changes += o.Changes
	s.Acked += o.Acked
	s.Unknown += o.Unknown
	s.Refused += o.Refused
	s.ToldDone += o.ToldDone
	s.ToldNotDone += o.ToldNotDone
	s.LeaseReads += o.LeaseReads
	s.Healed = max(s.Healed, o.Healed)
	s.Converged = max(s.Converged, o.Converged)
	s.End += o.End
}

func (s Stats) String() string {
	return fmt.Sprintf("%s virtual, %d events, %d messages, %d syncs, %d crashes, %d changes of members, %d acknowledged, %d unknown (%d told to be done, %d not), %d refused, %d reads by permit, healed within %s, equal within %s",
		clockText(s.End), s.Events, s.Messages, s.Syncs, s.Crashes, s.Changes, s.Acked, s.Unknown, s.ToldDone, s.ToldNotDone, s.Refused, s.LeaseReads, clockText(s.Healed), clockText(s.Converged))
}

// TestSeeds runs the protocol of linearizable keyspaces under every fault.
func TestSeeds(t *testing.T) {
	runSeeds(t, func(seed uint64) Protocol { return DrawPaxos(seed, paxos.NoMutation) })
}

// toyOptions leaves out what the toy cannot bear: it knows no suspects, and has one leader for ever.
func toyOptions(seed uint64) Options {
	o := Options{Seed: seed, Protocol: toyProtocol()}
	f := drawFaults(stream(seed, "toy", 0), 3)
	f.Damage, f.Wipe, f.Coup = 0, 0, 0
	o.Faults = &f
	return o
}

func TestToy(t *testing.T) {
	var total Stats
	for seed := uint64(1); seed <= 30; seed++ {
		r := RunTold(toyOptions(seed))
		if r.Failure != "" {
			t.Fatalf("seed %d: %s\n%s\n%s", seed, r.Failure, r.Parameters, strings.Join(r.Trace, "\n"))
		}
		total.add(r.Stats)
	}
	t.Log(total)
}

func TestSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		all := drawFaults(stream(seed, "all", 0), 3)
		for _, k := range all.kinds() {
			*k.every = max(*k.every, Second)
		}
		all.Drop, all.Duplicate, all.Reorder, all.Straggle, all.Coup = 0.05, 0.1, 0.2, 0.05, Second
		for _, o := range []Options{toyOptions(seed), {Seed: seed, Protocol: DrawPaxos(seed, paxos.NoMutation), Faults: &all}} {
			a, b := Run(o), Run(o)
			if a.TraceHash != b.TraceHash || fmt.Sprint(a.History) != fmt.Sprint(b.History) || a.Stats != b.Stats {
				t.Errorf("%s, seed %d: traces %x and %x", o.Protocol.Name, seed, a.TraceHash, b.TraceHash)
			}
			if a.Failure != "" {
				t.Errorf("%s, seed %d: %s", o.Protocol.Name, seed, a.Failure)
			}
		}
	}
}
