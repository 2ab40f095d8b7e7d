package live

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
)

// strike is a fault that begins at a time and is taken back after another. What it hits is drawn from its own stream when
// it strikes, so that the plan of a seed is always the same, whatever the cluster does meanwhile.
type strike struct {
	at, lasts time.Duration
	kind      *kind
	seed      uint64
}

const (
	// swarmLength is how long one mixture of faults lasts: a bug often needs some faults to be frequent and others absent.
	swarmLength = 6 * time.Second
	// everyMin and everyMax are between which the mean time between two strikes is drawn for each kind and swarm, if there
	// are as few kinds as kindsFew. More of them strike less often each, or nothing would work that could break.
	everyMin, everyMax = 700 * time.Millisecond, 4 * time.Second
	kindsFew           = 3
)

// plan draws the strikes of a seed. The first swarm holds all kinds, each later one about two thirds of them.
func plan(seed uint64, length time.Duration, kinds []*kind) []strike {
	chance := random(seed, 1)
	crowd := time.Duration(max(1, len(kinds)/kindsFew))
	var list []strike
	for from := time.Duration(0); from < length; from += swarmLength {
		to := min(from+swarmLength, length)
		for _, k := range kinds {
			every := crowd * between(chance, everyMin, everyMax)
			if from > 0 && chance.IntN(3) == 0 {
				continue
			}
			for at := from + wait(chance, every); at < to; at += wait(chance, every) {
				list = append(list, strike{at: at, lasts: between(chance, k.lastsMin, k.lastsMax), kind: k, seed: chance.Uint64()})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b strike) int { return cmp.Compare(a.at, b.at) })
	return list
}

func between(chance *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return (low + time.Duration(chance.Int64N(int64(high-low)))).Round(time.Millisecond)
}

// wait draws the time to the next of events that happen every so often.
func wait(chance *rand.Rand, every time.Duration) time.Duration {
	return time.Duration(chance.ExpFloat64() * float64(every))
}

// pick finds kinds by the words for faults; no names mean all that this world can inflict on a keyspace of that consistency.
// A word for several means those of them that it can, and one that it cannot is an error.
func (w *World) pick(names []string, c kv.Consistency) (list []*kind, err error) {
	wanted, err := lab.ExpandFaults(names)
	if err != nil {
		return nil, err
	}
	for i := range kinds {
		k := &kinds[i]
		bad := w.cannot(k, c)
		switch {
		case slices.Contains(names, k.name) && bad != nil:
			return nil, fmt.Errorf("fault %s: %w", k.name, bad)
		case bad == nil && (len(names) == 0 || slices.Contains(wanted, k.name)):
			list = append(list, k)
		}
	}
	for _, name := range names {
		if reason := beyond[name]; reason != "" {
			return nil, fmt.Errorf("fault %s: %s: %w", name, reason, lab.ErrCannot)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("faults %v: none of them can be inflicted here: %w", names, errElsewhere)
	}
	return list, nil
}

// cannot says why a fault cannot be inflicted; nil: it can.
func (w *World) cannot(k *kind, c kv.Consistency) error {
	switch {
	case k.process && w.processes == nil:
		return errElsewhere
	case k.name == "bit-flip" && (c == kv.Causal || c == kv.Eventual):
		return fmt.Errorf("what only one disk has is lost with it, and a %s keyspace does not promise otherwise: %w", c, lab.ErrCannot)
	}
	return nil
}

// KindNames are the faults that Fuzz can draw.
func KindNames() (names []string) {
	for i := range kinds {
		names = append(names, kinds[i].name)
	}
	return names
}
