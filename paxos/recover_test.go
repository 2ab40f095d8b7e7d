package paxos

import (
	"bytes"
	"testing"

	"github.com/gamutdb/gamut/core"
)

// TestAlteredBlockMakesSuspect: a block that the disk's checksums cover and its own hash does not was altered by somebody
// who knew the checksums, or by memory. Its replica must not vote on what it held, nor fall over.
func TestAlteredBlockMakesSuspect(t *testing.T) {
	for _, hardBehind := range []bool{false, true} {
		c := newCluster(1, Config{}, Options{})
		m := c.member(1)
		c.sync(m)
		genesis := m.replica.log.base
		first := newBlock(genesis, Ballot{1, 1}, 1, Commands, append(make([]byte, headerSize), "a whole one"...))
		second := newBlock(first.position(), Ballot{1, 1}, 2, Commands, append(make([]byte, headerSize), "an altered one"...))
		altered := bytes.Replace(second.raw, []byte("altered"), []byte("Altered"), 1)
		c.crash(m)
		m.durable = append(m.durable, core.Record{Kind: recordBlock, Pos: 1, Body: first.raw}, core.Record{Kind: recordBlock, Pos: 2, Body: altered})
		if hardBehind {
			m.durable = append(m.durable, core.Record{Kind: recordHard, Body: appendHard(nil, Ballot{2, 1}, false)})
		}
		c.restart(m)
		if !m.replica.suspect || m.replica.log.last().Index != 1 {
			t.Errorf("suspect %v with a log up to %d; the first block is whole, the second is not", m.replica.suspect, m.replica.log.last().Index)
		}
	}
}
