package quorum

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// Seen is what the coordinator on a node has seen: how long each of the nodes took for one write, until the answer that the record is
// on its disk, and for one read, which costs next to nothing but the ways there and back. Each row has a time for each of Nodes, the
// coordinator's own among them, or Unheard.
type Seen struct {
	From          core.NodeID
	Nodes         []core.NodeID
	Writes, Reads [][]core.Time
}

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

// Estimate tells how old what a read from so many replicas misses of writes that so many have acknowledged, by drawing: one coordinator
// of a group writes and another one reads, and the times of all messages of the one and of the other are drawn from those that were seen
// (Bailis et al., Probabilistically Bounded Staleness, 2012). What was seen of one write is drawn whole, and what was seen of one read: what
// makes one replica slow often makes all of them slow, and then nothing is missed for it. Of a round trip of a write the way back is
// taken to be half a read's, in either direction; between nodes that never read from each other it is taken to be nothing, which makes the
// estimate too old and never too young.
// Unlike there, a read asks no more replicas than it needs, its coordinator's own first; and a write that one replica
// acknowledges is its coordinator's own to acknowledge. Not modelled are replicas that are down, hints, changes of the members, and what
// delays a write and the read after it at once. ok is false if too little was seen.
func Estimate(seen []Seen, read, write, draws int, chance *rand.Rand) (s Staleness, ok bool) {
	sides := make([]side, len(seen))
	for i := range seen {
		sides[i] = sideOf(&seen[i])
	}
	for i := range sides {
		sides[i].borrow(sides)
	}
	var pairs []pair
	for i := range sides {
		pairs = append(pairs, sides[i].pairs(sides, read)...)
	}
	if len(pairs) == 0 || draws < 1 {
		return s, false
	}
	d := dice{chance}
	for range draws {
		s.ends = append(s.ends, d.end(&pairs[chance.IntN(len(pairs))], read, write))
	}
	slices.Sort(s.ends)
	return s, true
}

// side is a coordinator that writes or reads.
type side struct {
	*Seen
	// whole are the writes of which every time is known.
	whole [][]core.Time
	// each has what every node took for reads.
	each [][]core.Time
}

func sideOf(seen *Seen) side {
	s := side{Seen: seen, each: make([][]core.Time, len(seen.Nodes))}
	for _, row := range seen.Writes {
		if !slices.Contains(row, Unheard) {
			s.whole = append(s.whole, row)
		}
	}
	for _, row := range seen.Reads {
		for i, t := range row {
			if t != Unheard {
				s.each[i] = append(s.each[i], t)
			}
		}
	}
	return s
}

// borrow takes reads the other way for those that were not seen: the way there and back is the same.
func (s *side) borrow(all []side) {
	self := slices.Index(s.Nodes, s.From)
	for i, node := range s.Nodes {
		if o := find(all, node, s.Nodes); len(s.each[i]) == 0 && i != self && o != nil {
			s.each[i] = o.each[self]
		}
	}
}

// find is the side of a node in a group; nil: it has seen nothing.
func find(all []side, node core.NodeID, group []core.NodeID) *side {
	for i := range all {
		if all[i].From == node && slices.Equal(all[i].Nodes, group) {
			return &all[i]
		}
	}
	return nil
}

// pair is who writes, and at which of its nodes is read. by has what was seen there, if anything was.
type pair struct {
	writer *side
	reader int
	by     *side
}

// pairs lists those who may read what a writer has written, if enough was seen.
func (s *side) pairs(all []side, read int) (list []pair) {
	if len(s.whole) == 0 {
		return nil
	}
	for reader, node := range s.Nodes {
		by := find(all, node, s.Nodes)
		switch {
		case node == s.From:
		case read == 1:
			list = append(list, pair{s, reader, nil})
		case by != nil && by.reads(reader):
			list = append(list, pair{s, reader, by})
		}
	}
	return list
}

// reads reports whether it was seen how long every other node takes for a read.
func (s *side) reads(self int) bool {
	for i := range s.each {
		if i != self && len(s.each[i]) == 0 {
			return false
		}
	}
	return true
}

type dice struct{ chance *rand.Rand }

// end draws a write and a read, and tells for how long after the acknowledgement the read misses the write. A read that begins so
// long after it and comes to a replica before the write has come there misses it; one replica that has it is enough.
func (d *dice) end(p *pair, read, write int) core.Time {
	w, n := p.writer, len(p.writer.Nodes)
	took := w.whole[d.chance.IntN(len(w.whole))]
	var arrived, order [MembersMax]core.Time
	for i := range n {
		arrived[i] = max(0, took[i]-d.draw(w.each[i])/2)
	}
	copy(order[:], took)
	slices.Sort(order[:n])
	done := order[min(write, n)-1]
	if write == 1 {
		done = took[slices.Index(w.Nodes, w.From)]
	}
	end, asked := arrived[p.reader]-done, 1
	if read == 1 {
		return max(end, 0)
	}
	round := slices.Repeat([]core.Time{Unheard}, n)
	if len(p.by.Reads) > 0 {
		round = p.by.Reads[d.chance.IntN(len(p.by.Reads))]
	}
	for _, i := range d.chance.Perm(n) {
		if asked == read || i == p.reader {
			continue
		}
		way := round[i]
		if way == Unheard {
			way = d.draw(p.by.each[i])
		}
		end = min(end, arrived[i]-way/2-done)
		asked++
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
