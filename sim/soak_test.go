package sim

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/paxos"
)

var (
	soakFlag  = flag.Bool("soak", false, "let TestSoak run, until a seed fails")
	swarmFlag = flag.String("swarm", "", "run the seeds of the test in this swarm, named like the bug that it is directed at, or members, changes, or anything")
)

// soakSwarm says in which swarm a seed is tried: a directed one for each fourth, one of changing members for another fourth, and now
// and then one of five hundred changes, for each protocol in turn.
func soakSwarm(seed uint64) (name string, s swarm) {
	list := paxos.Mutations()
	if seed%64 == 2 {
		return "changes", changing500
	}
	switch m := list[seed/4%uint64(len(list))]; seed % 4 {
	case 0:
		return m.String(), mutations[m].swarm
	case 1:
		return "members", restless
	}
	return "anything", anything
}

// restless is a cluster of five whose voters change all the time while nodes crash and part; leases, the memory for blocks
// and all other faults are drawn, but for disks that are lost; those of one node may be damaged.
func restless(seed uint64, planted paxos.Mutation) Options {
	rng := stream(seed, "restless", 0)
	f := drawFaults(rng, 5)
	f.Change, f.Wipe = 100*Millisecond+core.Time(rng.Int64N(int64(600*Millisecond))), 0
	if f.Damage = 0; rng.IntN(2) == 0 {
		f.Damage = 300*Millisecond + core.Time(rng.Int64N(int64(3*Second)))
	}
	f.Crash = 300*Millisecond + core.Time(rng.Int64N(int64(4*Second)))
	f.Partition = 500*Millisecond + core.Time(rng.Int64N(int64(4*Second)))
	return Options{Seed: seed, Protocol: DrawPaxos(seed, planted), Nodes: 5, Faults: &f}
}

// changing500 draws which protocol is tried, too.
func changing500(seed uint64, _ paxos.Mutation) Options {
	return changes(int(seed/64%uint64(len(changeful))), seed)
}

func swarmNamed(t *testing.T, name string) swarm {
	for _, m := range paxos.Mutations() {
		if m.String() == name {
			return mutations[m].swarm
		}
	}
	switch name {
	case "anything":
		return anything
	case "members":
		return restless
	case "changes":
		return changing500
	}
	t.Fatalf("no swarm is called %q", name)
	return nil
}

// TestSoak runs fresh seeds without end, or the seeds that the flags name, in all swarms, and stops at the first failure.
func TestSoak(t *testing.T) {
	if !*soakFlag {
		t.Skip("needs -soak; runs until a seed fails")
	}
	seed, end := uint64(time.Now().UnixNano()/1e6)<<20, ^uint64(0)
	if *seedFlag != 0 {
		seed, end = *seedFlag, *seedFlag+1
	} else if *firstFlag > 1 {
		seed, end = *firstFlag, *firstFlag+uint64(*seedsFlag)
	}
	from, told, count := time.Now(), time.Now(), 0
	var total Stats
	for ; seed < end; seed++ {
		name, draw := soakSwarm(seed)
		if *swarmFlag != "" {
			name, draw = *swarmFlag, swarmNamed(t, *swarmFlag)
		}
		r := RunTold(draw(seed, paxos.NoMutation))
		if r.Failure != "" {
			t.Fatalf("%s\nreplay: go test ./sim -run '^TestSoak$' -soak -swarm='%s' -seed=%d -v\nseed %d, %s\n%s", r.Failure, name,
				seed, seed, r.Parameters, strings.Join(r.Trace, "\n"))
		}
		total.add(r.Stats)
		if count++; time.Since(told) > time.Minute {
			told = time.Now()
			fmt.Printf("%s: %d seeds, last %d: %s\n", time.Since(from).Round(time.Second), count, seed, total)
		}
	}
	t.Logf("%d seeds: %s", count, total)
}
