package paxos

import (
	"fmt"

	"github.com/gamutdb/gamut/kv"
)

// blockLog is the part of the chain that this replica holds in memory: everything behind base, gapless.
type blockLog struct {
	base   position
	blocks []*Block
	bytes  int
	// gen counts truncations: the notice that a block became durable speaks of the log as it was when it was written, and
	// must not be taken for a block that replaced it (trap T1.10).
	gen uint64
	// durable is the highest index up to which the log as it is now is on disk.
	durable uint64
}

func (l *blockLog) last() position {
	if n := len(l.blocks); n > 0 {
		return l.blocks[n-1].position()
	}
	return l.base
}

// at returns the block at an index; nil if it is not in memory.
func (l *blockLog) at(index uint64) *Block {
	if index <= l.base.Index || index > l.base.Index+uint64(len(l.blocks)) {
		return nil
	}
	return l.blocks[index-l.base.Index-1]
}

// position returns what the chain continues from behind an index.
func (l *blockLog) position(index uint64) (position, bool) {
	if index == l.base.Index {
		return l.base, true
	}
	if b := l.at(index); b != nil {
		return b.position(), true
	}
	return position{}, false
}

// append adds the next block of the chain.
func (l *blockLog) append(b *Block) {
	last := l.last()
	if b.Index != last.Index+1 || b.Prev != last.Hash || b.Time <= last.Time || b.Ballot.Less(last.Ballot) {
		panic(fmt.Sprintf("paxos: block %d (ballot %v, time %d) does not follow %d (ballot %v, time %d)",
			b.Index, b.Ballot, b.Time, last.Index, last.Ballot, last.Time))
	}
	l.blocks = append(l.blocks, b)
	l.bytes += len(b.raw)
}

// truncate forgets the block at an index and all behind it.
func (l *blockLog) truncate(index uint64) {
	keep := index - l.base.Index - 1
	for _, b := range l.blocks[keep:] {
		l.bytes -= len(b.raw)
	}
	clear(l.blocks[keep:])
	l.blocks = l.blocks[:keep]
	l.gen++
	l.durable = min(l.durable, index-1)
}

// compact forgets the blocks up to an index; the chain goes on from it.
func (l *blockLog) compact(index uint64) {
	p, ok := l.position(index)
	if !ok {
		return
	}
	drop := index - l.base.Index
	for _, b := range l.blocks[:drop] {
		l.bytes -= len(b.raw)
	}
	rest := len(l.blocks) - int(drop)
	if rest < cap(l.blocks)/4 {
		l.blocks = append(make([]*Block, 0, 2*rest+16), l.blocks[drop:]...)
	} else {
		clear(l.blocks[:drop])
		l.blocks = l.blocks[drop:]
	}
	l.base = p
}

// reset starts the log anew behind a position, keeping what follows it if the chain agrees there (rule S2).
func (l *blockLog) reset(p position) {
	if mine, ok := l.position(p.Index); ok && mine.Hash == p.Hash {
		l.compact(p.Index)
	} else {
		l.blocks, l.bytes = nil, 0
		l.gen++
		l.base = p
	}
	l.durable = max(min(l.durable, l.last().Index), p.Index)
}

// time is later than every block's, and no earlier than now.
func (l *blockLog) nextTime(now kv.HLC) kv.HLC { return max(now, l.last().Time+1) }
