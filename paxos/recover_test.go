package paxos

import (
	"bytes"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
)

// TestAlteredBlockMakesSuspect: a block that the disk's checksums cover and its own hash does not was altered by somebody
// who knew the checksums, or by memory. Its replica must not vote on what it held, nor fall over.
func TestAlteredBlockMakesSuspect(t *testing.T) {
	for _, hardBehind := range []bool{false, true} {
		c := newCluster(1, Config{}, Options{})
		m := c.Member(1)
		c.Sync(m)
		genesis := m.Replica.log.base
		first := newBlock(genesis, Ballot{1, 1}, 1, Commands, append(make([]byte, headerSize), "a whole one"...))
		second := newBlock(first.position(), Ballot{1, 1}, 2, Commands, append(make([]byte, headerSize), "an altered one"...))
		altered := bytes.Replace(second.raw, []byte("altered"), []byte("Altered"), 1)
		c.Crash(m)
		m.Durable = append(m.Durable, core.Record{Kind: recordBlock, Pos: 1, Body: first.raw}, core.Record{Kind: recordBlock, Pos: 2, Body: altered})
		if hardBehind {
			m.Durable = append(m.Durable, core.Record{Kind: recordHard, Body: appendHard(nil, hard{Ballot{2, 1}, false, 1})})
		}
		c.Restart(m)
		if !m.Replica.suspect || m.Replica.log.last().Index != 1 {
			t.Errorf("suspect %v with a log up to %d; the first block is whole, the second is not", m.Replica.suspect, m.Replica.log.last().Index)
		}
	}
}

// TestAReplicaTakesNothingFromAnotherThatLivedOnItsDisk: the records of a replica that was moved away stay in the node's log
// for a while; one that comes later under another id must not vote by them (rule M5).
func TestAReplicaTakesNothingFromAnotherThatLivedOnItsDisk(t *testing.T) {
	theirs := core.Record{Kind: recordHard, Body: appendHard(nil, hard{Ballot{9, 2}, false, 1})}
	mine := core.Record{Kind: recordHard, Body: appendHard(nil, hard{Ballot{3, 2}, false, 7})}
	c := newCluster(3, Config{}, Options{})
	for _, list := range []struct {
		records []core.Record
		want    Ballot
	}{{[]core.Record{theirs}, Ballot{}}, {[]core.Record{theirs, mine}, Ballot{3, 2}}, {[]core.Record{mine, theirs}, Ballot{}}} {
		r := New(7, Options{})
		in := core.Input{View: coretest.NewState(), Event: core.Recover{Config: c.Config, Records: list.records}, Rand: c.Members[0].Rand}
		r.Step(&in, &core.Effects{})
		if r.promised != list.want {
			t.Errorf("promised %v, want %v", r.promised, list.want)
		}
	}
}
