package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/twophase"
)

// Class is a word for some faults, as people ask for them.
type Class struct {
	Name, Doc string
	// timed are the names of faults that strike from time to time; quiet ends what is a matter of chance, or of degree.
	timed []string
	quiet func(*Faults)
}

// Classes are all of them: every fault of a swarm is in one.
var Classes = []Class{
	{Name: "partition", Doc: "links cut: halves, one way, bridges, single nodes, flapping; young leaders cut off",
		timed: []string{"cut", "partition", "flap"}},
	{Name: "loss", Doc: "messages lost", quiet: func(f *Faults) { f.Drop = 0 }},
	{Name: "duplication", Doc: "messages doubled", quiet: func(f *Faults) { f.Duplicate = 0 }},
	{Name: "reordering", Doc: "messages that overtake others", quiet: func(f *Faults) { f.Reorder = 0 }},
	{Name: "delay", Doc: "stragglers and slow links", timed: []string{"slow-link"}, quiet: func(f *Faults) { f.Straggle = 0 }},
	{Name: "crash", Doc: "nodes killed, young leaders among them, and power lost by all at once",
		timed: []string{"crash", "crash-all"}, quiet: func(f *Faults) { f.Coup = 0 }},
	{Name: "pause", Doc: "processes that stop for a while", timed: []string{"pause"}},
	{Name: "clock", Doc: "wall clocks that jump, and clocks that run too fast or too slow",
		timed: []string{"wall-jump", "rate-change"}, quiet: func(f *Faults) { f.RateMax = 0 }},
	{Name: "disk", Doc: "syncs that are slow, hang or fail", timed: []string{"sync-slow", "sync-hang", "sync-error"}},
	{Name: "damage", Doc: "bits flipped in the logs of a minority", timed: []string{"damage"}},
	{Name: "wipe", Doc: "disks of a minority lost for ever", timed: []string{"wipe"}},
	{Name: "lead", Doc: "leaderships handed over and refused", timed: []string{"handoff", "unfit"}},
	{Name: "members", Doc: "voters that change", timed: []string{"change"}},
}

// Only leaves out of what is drawn for a run all classes of faults but those named. An unknown name is an error.
func (o *Options) Only(names []string) error {
	var known []string
	for _, c := range Classes {
		known = append(known, c.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("there are no faults called %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	o.quiet = nil
	for _, c := range Classes {
		if slices.Contains(names, c.Name) {
			continue
		}
		o.Without = append(o.Without, c.timed...)
		if c.quiet != nil {
			o.quiet = append(o.quiet, c.quiet)
		}
	}
	return nil
}

// Draw is the protocol of a consistency with settings drawn from the seed. One that has no protocol is refused as a
// keyspace of it would be.
func Draw(c kv.Consistency, seed uint64) (Protocol, error) {
	switch c {
	case kv.Linearizable:
		return DrawPaxos(seed, paxos.NoMutation), nil
	case kv.Atomic:
		return DrawTwophase(seed, twophase.NoMutation), nil
	case kv.Causal:
		return DrawBayou(seed, bayou.NoMutation), nil
	case kv.Sequential:
		return DrawSequential(seed, paxos.NoMutation), nil
	}
	_, _, err := keyspace.Plan(kv.CreateKeyspace{Name: "drawn", Consistency: c}, []core.NodeID{1}, keyspace.FirstNext())
	if err == nil {
		err = kv.Errorf(kv.Unsupported, "the simulator cannot draw settings for consistency %q yet", c)
	}
	return Protocol{}, err
}
