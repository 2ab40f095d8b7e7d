package paxos

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestResetKeepsOnlyWhatFollows: behind the place of an installed state stay the blocks that follow from it, and no others (trap T1.13).
func TestResetKeepsOnlyWhatFollows(t *testing.T) {
	chain := func(time int) *blockLog {
		l := &blockLog{}
		for i := range 4 {
			l.append(newBlock(l.last(), Ballot{1, 1}, l.last().Time+kv.HLC(1+i+time), Noop, make([]byte, headerSize)))
		}
		l.durable = 4
		return l
	}
	other := chain(7)
	for name, c := range map[string]struct {
		at   position
		left int
		last position
	}{
		"of this chain":           {chain(0).at(2).position(), 2, chain(0).last()},
		"of its end":              {chain(0).last(), 0, chain(0).last()},
		"of another chain":        {other.at(2).position(), 0, other.at(2).position()},
		"behind all that is here": {position{Index: 9, Time: 1 << 40, Hash: Hash{1}}, 0, position{Index: 9, Time: 1 << 40, Hash: Hash{1}}},
	} {
		l := chain(0)
		l.reset(c.at)
		if len(l.blocks) != c.left || l.last() != c.last || l.durable < c.at.Index {
			t.Errorf("%s: %d blocks are left up to %+v, durable %d", name, len(l.blocks), l.last(), l.durable)
		}
	}
}
