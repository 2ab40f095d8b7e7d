package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/quorum"
	"github.com/gamutdb/gamut/twophase"
)

// Class is a word for a fault, or for several, as people ask for them.
type Class struct {
	Name, Doc string
	// Of are the classes that it stands for; none: it is one fault, and what follows says which.
	Of []string
	// timed are the names of faults that strike from time to time; of those that take several shapes it is one shape.
	timed []string
	// chance is the chance of each message, or the degree, at which it happens; nil: it is no matter of chance.
	chance func(*Faults) *float64
	// quiet ends what neither of these does.
	quiet func(*Faults)
}

// Classes are all of them: every fault of a swarm is in one. The live world draws from the same words.
var Classes = []Class{
	{Name: "partition", Doc: "links cut, in all of the five shapes below, and nodes that are deserted", Of: []string{"halves", "one-way", "bridge", "single-link", "flapping", "desertion"}},
	{Name: "halves", Doc: "the cluster falls into two parts", timed: []string{"partition"}},
	{Name: "one-way", Doc: "what a node says is lost and what it hears is not, or the other way round", timed: []string{"cut"}},
	{Name: "bridge", Doc: "the cluster falls into two parts that share one node", timed: []string{"partition"}},
	{Name: "single-link", Doc: "two nodes lose each other, and nobody else", timed: []string{"cut"}},
	{Name: "flapping", Doc: "a link that is cut and mended again and again", timed: []string{"flap"}},
	{Name: "desertion", Doc: "a node loses one peer after the other", timed: []string{"cut"}},
	{Name: "link", Doc: "delay, loss, duplication and reordering", Of: []string{"delay", "loss", "duplication", "reordering"}},
	{Name: "delay", Doc: "messages late: some by chance, all of a link for a while", timed: []string{"slow-link"}, chance: func(f *Faults) *float64 { return &f.Straggle }},
	{Name: "loss", Doc: "messages lost", chance: func(f *Faults) *float64 { return &f.Drop }},
	{Name: "duplication", Doc: "messages doubled", chance: func(f *Faults) *float64 { return &f.Duplicate }},
	{Name: "reordering", Doc: "messages that overtake others", chance: func(f *Faults) *float64 { return &f.Reorder }},
	{Name: "crash", Doc: "nodes that end, in all of the five ways below", Of: []string{"kill", "power-loss", "torn-write", "restart-all", "coup"}},
	{Name: "kill", Doc: "processes killed: what they were writing is on their disks", timed: []string{"crash"}},
	{Name: "power-loss", Doc: "machines that lose their power: what was not synced is gone", timed: []string{"crash"}},
	{Name: "torn-write", Doc: "power lost in the middle of a write: some sectors of it are on the disk", timed: []string{"crash"}},
	{Name: "restart-all", Doc: "all nodes end at once, or all but the leader, and start again", timed: []string{"crash-all"}},
	{Name: "coup", Doc: "young leaders killed, or cut off", quiet: func(f *Faults) { f.Coup = 0 }},
	{Name: "pause", Doc: "processes that stop for a while", timed: []string{"pause"}},
	{Name: "clock", Doc: "wrong clocks, in both ways below", Of: []string{"clock-jump", "clock-rate"}},
	{Name: "clock-jump", Doc: "wall clocks that jump", timed: []string{"wall-jump"}},
	{Name: "clock-rate", Doc: "clocks that run too fast or too slow", timed: []string{"rate-change"}, quiet: func(f *Faults) { f.RateMax = 0 }},
	{Name: "disk", Doc: "sick disks, in all of the four ways below", Of: []string{"slow-disk", "hung-disk", "sync-error", "full-disk"}},
	{Name: "slow-disk", Doc: "syncs that take long", timed: []string{"sync-slow"}},
	{Name: "hung-disk", Doc: "syncs that do not return", timed: []string{"sync-hang"}},
	{Name: "sync-error", Doc: "a sync that fails, which ends the node", timed: []string{"sync-error"}},
	{Name: "full-disk", Doc: "no room: the node takes no writes", timed: []string{"full"}},
	{Name: "damage", Doc: "is bit-flip", Of: []string{"bit-flip"}},
	{Name: "bit-flip", Doc: "bits flipped in the logs of a minority", timed: []string{"damage"}},
	{Name: "wipe", Doc: "disks of a minority lost for ever", timed: []string{"wipe"}},
	{Name: "lead", Doc: "leaderships handed over and refused", timed: []string{"handoff", "unfit"}},
	{Name: "members", Doc: "voters that change", timed: []string{"change"}},
}

// Expand turns classes of faults into those that stand for one fault each. An unknown name is an error.
func Expand(names []string) (list []string, err error) {
	for _, name := range names {
		i := slices.IndexFunc(Classes, func(c Class) bool { return c.Name == name })
		if i < 0 {
			var known []string
			for _, c := range Classes {
				known = append(known, c.Name)
			}
			return nil, fmt.Errorf("there are no faults called %q; there are %s", name, strings.Join(known, ", "))
		}
		more := Classes[i].Of
		if more == nil {
			more = []string{name}
		}
		for _, m := range more {
			if !slices.Contains(list, m) {
				list = append(list, m)
			}
		}
	}
	return list, nil
}

// Only leaves out of what is drawn for a run all classes of faults but those named. An unknown name is an error.
func (o *Options) Only(names []string) error {
	list, err := Expand(names)
	if list == nil {
		list = []string{}
	}
	o.only = list
	return err
}

// keep leaves only these classes in the swarm. If it had drawn none of them, it takes all: whoever asks for a fault wants to
// see it.
func (f *Faults) keep(list []string, rng *rand.Rand) {
	f.shapes = list
	chosen := map[string]bool{}
	for i := range Classes {
		c := &Classes[i]
		switch {
		case slices.Contains(list, c.Name):
			for _, name := range c.timed {
				chosen[name] = true
			}
		case c.Of != nil:
		case c.chance != nil:
			*c.chance(f) = 0
		case c.quiet != nil:
			c.quiet(f)
		}
	}
	for _, k := range f.kinds() {
		if !chosen[k.name] && !k.chore {
			*k.every = 0
		}
	}
	if f.none() {
		f.insist(list, chosen, rng)
	}
}

func (f *Faults) none() bool {
	for _, k := range f.kinds() {
		if *k.every > 0 && !k.chore {
			return false
		}
	}
	return f.Drop+f.Duplicate+f.Reorder+f.Straggle == 0 && f.Coup == 0
}

// insist draws how often each of the faults strikes.
func (f *Faults) insist(list []string, chosen map[string]bool, rng *rand.Rand) {
	for _, k := range f.kinds() {
		if chosen[k.name] {
			*k.every = 300*Millisecond + core.Time(rng.Int64N(int64(2*Second)))
		}
	}
	for i := range Classes {
		c := &Classes[i]
		if c.chance != nil && slices.Contains(list, c.Name) {
			*c.chance(f) = 0.02 + 0.1*rng.Float64()
		}
	}
	if slices.Contains(list, "coup") {
		f.Coup = core.Time(1+rng.Int64N(500)) * Millisecond
	}
	if f.Change > 0 {
		f.Wipe, f.Damage = 0, 0 // as in drawFaults
	}
}

// Bears says whether runs of a consistency take faults of a class at all: a protocol is not blamed for what it does not promise
// to bear.
func Bears(c kv.Consistency, commitOrder bool, class string) (bool, error) {
	const some = 20 // some settings bear what others do not
	for seed := range uint64(some) {
		p, err := Draw(c, commitOrder, seed)
		if err != nil {
			return false, err
		}
		f := *Calm()
		f.keep([]string{class}, stream(seed, "bears", 0))
		if p.Bear != nil {
			p.Bear(&f)
		}
		if !f.none() || f.RateMax > 0 {
			return true, nil
		}
	}
	return false, nil
}

// may says whether a fault may take this shape, of which a class is named.
func (f *Faults) may(shape string) bool { return f.shapes == nil || slices.Contains(f.shapes, shape) }

// Draw is the protocol of a consistency, with a commit order or without, with settings drawn from the seed. What has no protocol is
// refused as a keyspace of it would be.
func Draw(c kv.Consistency, commitOrder bool, seed uint64) (Protocol, error) {
	switch {
	case commitOrder && c == kv.Causal:
		return DrawOrdered(seed, bayou.NoMutation), nil
	case commitOrder:
		return Protocol{}, kv.Errorf(kv.Invalid, "a commit order is a term of a causal keyspace, not of a %s one", c)
	}
	switch c {
	case kv.Linearizable:
		return DrawPaxos(seed, paxos.NoMutation), nil
	case kv.Atomic:
		return DrawTwophase(seed, twophase.NoMutation), nil
	case kv.Quorum:
		return DrawQuorum(seed, quorum.NoMutation, false), nil
	case kv.Causal:
		return DrawBayou(seed, bayou.NoMutation), nil
	case kv.Eventual:
		return DrawEventual(seed, bayou.NoMutation), nil
	case kv.Sequential:
		return DrawSequential(seed, paxos.NoMutation), nil
	}
	_, _, err := keyspace.Plan(kv.CreateKeyspace{Name: "drawn", Consistency: c}, []core.NodeID{1}, keyspace.FirstNext())
	if err == nil {
		err = kv.Errorf(kv.Unsupported, "the simulator cannot draw settings for consistency %q yet", c)
	}
	return Protocol{}, err
}
