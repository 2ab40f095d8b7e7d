package quorum

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// Times are round trips between a coordinator and a replica. Write is until the answer that the record is on the replica's disk; Read
// is until the answer of a read, which costs next to nothing but the ways there and back.
type Times struct{ Write, Read []core.Time }

// Way is from a coordinator to a replica, by their nodes. They are the same for the coordinator's own replica.
type Way struct{ From, To core.NodeID }

// Staleness is an estimate of how old what a read misses may be.
type Staleness struct {
	// ends are, in order, for how long after its acknowledgement each drawn write can be missed; 0: never.
	ends []core.Time
}

// Missing is the probability, from 0 to 1, that a read misses a write that was acknowledged so long before it, or longer.
func (s *Staleness) Missing(age core.Time) float64 {
	seen, _ := slices.BinarySearchFunc(s.ends, age, func(end, age core.Time) int {
		if end <= age {
			return -1
		}
		return 1
	})
	return float64(len(s.ends)-seen) / float64(len(s.ends))
}

// Within is an age that what is missed does not pass with a probability, from 0 to 1.
func (s *Staleness) Within(part float64) core.Time {
	at := int(math.Ceil(part*float64(len(s.ends)))) - 1
	return s.ends[min(max(at, 0), len(s.ends)-1)]
}

// Estimate tells how old what a read from so many replicas misses of writes that so many have acknowledged, by drawing: of a group,
// given by the nodes of its replicas, one coordinator writes and another one reads, and the time of each message is drawn from those
// that were measured (Bailis et al., Probabilistically Bounded Staleness, 2012). Of a round trip of a write the way back is taken to
// be half a read's; what was never read from is taken to answer at once, which makes the estimate too old and never too young.
// Unlike there, a read asks no more replicas than it needs, its coordinator's own first; and a write that one replica
// acknowledges is its coordinator's own to acknowledge. Not modelled are replicas that are down, hints, changes of the members, and what delays many
// messages at once. ok is false if too little was measured.
func Estimate(groups [][]core.NodeID, ways map[Way]Times, read, write, draws int, chance *rand.Rand) (s Staleness, ok bool) {
	var pairs []pair
	for _, group := range groups {
		pairs = append(pairs, pairsOf(group, ways, read)...)
	}
	if len(pairs) == 0 || draws < 1 {
		return s, false
	}
	d := dice{ways: ways, chance: chance}
	for range draws {
		s.ends = append(s.ends, d.end(&pairs[chance.IntN(len(pairs))], read, write))
	}
	slices.Sort(s.ends)
	return s, true
}

// pair is who writes and who reads.
type pair struct {
	group          []core.NodeID
	writer, reader core.NodeID
}

// pairsOf lists the pairs of a group of which enough was measured.
func pairsOf(group []core.NodeID, ways map[Way]Times, read int) (list []pair) {
	for _, writer := range group {
		if slices.ContainsFunc(group, func(to core.NodeID) bool { return len(ways[Way{writer, to}].Write) == 0 }) {
			continue
		}
		for _, reader := range group {
			unread := func(to core.NodeID) bool { return to != reader && len(ways[Way{reader, to}].Read) == 0 }
			if reader != writer && (read == 1 || !slices.ContainsFunc(group, unread)) {
				list = append(list, pair{group, writer, reader})
			}
		}
	}
	return list
}

type dice struct {
	ways   map[Way]Times
	chance *rand.Rand
}

// end draws a write and a read, and tells for how long after the acknowledgement the read misses the write. A read that begins so
// long after it and comes to a replica before the write has come there misses it; one replica that has it is enough.
func (d *dice) end(p *pair, read, write int) core.Time {
	n := len(p.group)
	var acked, arrived, order [MembersMax]core.Time
	own := core.Time(0)
	for i, node := range p.group {
		way := d.ways[Way{p.writer, node}]
		acked[i] = d.draw(way.Write)
		arrived[i] = max(0, acked[i]-d.draw(way.Read)/2)
		if order[i] = acked[i]; node == p.writer {
			own = acked[i]
		}
	}
	slices.Sort(order[:n])
	done := order[min(write, n)-1]
	if write == 1 {
		done = own
	}
	end, asked := core.Time(math.MaxInt64), 0
	ask := func(i int, way core.Time) {
		asked++
		end = min(end, arrived[i]-way-done)
	}
	ask(slices.Index(p.group, p.reader), 0)
	for _, i := range d.chance.Perm(n) {
		if asked < read && p.group[i] != p.reader {
			ask(i, d.draw(d.ways[Way{p.reader, p.group[i]}].Read)/2)
		}
	}
	return max(end, 0)
}

// draw is one of some times; 0 if there is none.
func (d *dice) draw(from []core.Time) core.Time {
	if len(from) == 0 {
		return 0
	}
	return from[d.chance.IntN(len(from))]
}
