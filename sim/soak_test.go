package sim

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/paxos"
)

var (
	soakFlag  = flag.Bool("soak", false, "let TestSoak run, until a seed fails")
	swarmFlag = flag.String("swarm", "", "run the seeds of the test in this swarm, named like the bug that it is directed at")
)

// soakSwarm says in which swarm a seed is tried: a directed one for each fourth.
func soakSwarm(seed uint64) (name string, s swarm) {
	list := paxos.Mutations()
	if m := list[seed/4%uint64(len(list))]; seed%4 == 0 {
		return m.String(), mutations[m].swarm
	}
	return "anything", anything
}

func swarmNamed(t *testing.T, name string) swarm {
	for _, m := range paxos.Mutations() {
		if m.String() == name {
			return mutations[m].swarm
		}
	}
	if name != "anything" {
		t.Fatalf("no swarm is called %q", name)
	}
	return anything
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
