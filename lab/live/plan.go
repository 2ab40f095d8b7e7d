package live

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
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

// pick finds kinds by name; no names mean all that this world can inflict.
func (w *World) pick(names []string) (list []*kind, err error) {
	for i := range kinds {
		k := &kinds[i]
		named := slices.Contains(names, k.name)
		switch {
		case named && k.process && w.processes == nil:
			return nil, fmt.Errorf("fault %s: %w", k.name, errElsewhere)
		case named || len(names) == 0 && (!k.process || w.processes != nil):
			list = append(list, k)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(kinds, func(k kind) bool { return k.name == name }) {
			return nil, fmt.Errorf("there is no fault %q; there are %v", name, KindNames())
		}
	}
	return list, nil
}

// KindNames are the faults that Fuzz can draw.
func KindNames() (names []string) {
	for i := range kinds {
		names = append(names, kinds[i].name)
	}
	return names
}
