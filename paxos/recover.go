package paxos

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Kinds of records in the node's log.
const (
	recordHard  = 1 // promised ballot, suspect flag, whose it is
	recordBlock = 2
)

// Version 1 did not say whose the record is.
const hardVersion = 2

// hard is what must survive besides blocks.
type hard struct {
	promised Ballot
	suspect  bool
	// self is the replica that wrote it: another one of the same group may have lived on this disk before (rule M5).
	self core.ReplicaID
}

func appendHard(b []byte, h hard) []byte {
	w := writer{wire.Writer{B: append(b, hardVersion)}}
	w.ballot(h.promised)
	w.Bool(h.suspect)
	w.Uint(uint64(h.self))
	return w.B
}

var errHard = errors.New("malformed hard state")

func decodeHard(b []byte) (h hard, err error) {
	if len(b) == 0 || b[0] < 1 || b[0] > hardVersion {
		return h, errHard
	}
	rd := reader{wire.Reader{B: b[1:]}}
	h.promised, h.suspect = rd.ballot(), rd.Bool()
	if b[0] > 1 {
		h.self = core.ReplicaID(rd.Uint())
	}
	if rd.Bad || len(rd.B) > 0 {
		return h, errHard
	}
	return h, nil
}

// Writer is the replica that wrote the last of the records that say whose they are; 0: none does.
func Writer(records []core.Record) core.ReplicaID {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].Kind == recordHard {
			if h, err := decodeHard(records[i].Body); err == nil {
				return h.self
			}
		}
	}
	return 0
}

// own are the records behind the last one of another replica that lived on this disk before.
func (r *Replica) own(records []core.Record) []core.Record {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].Kind != recordHard {
			continue
		}
		if h, err := decodeHard(records[i].Body); err == nil && h.self != 0 && h.self != r.self {
			return records[i+1:]
		}
	}
	return records
}

// configKey is where the state keeps the configuration as of what is applied.
var configKey = []byte{'m', 'c'}

// metaSize is the size of the value at core.AppliedKey: index, time, ballot, hash.
const metaSize = 8 + 8 + 12 + sha256.Size

func appendMeta(b []byte, p position) []byte {
	b = binary.BigEndian.AppendUint64(b, p.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Time))
	b = appendBallot(b, p.Ballot)
	return append(b, p.Hash[:]...)
}

func decodeMeta(b []byte) (p position) {
	if len(b) != metaSize {
		panic(fmt.Sprintf("paxos: the applied position takes %d bytes instead of %d", len(b), metaSize))
	}
	p.Index = binary.BigEndian.Uint64(b)
	p.Time = kv.HLC(binary.BigEndian.Uint64(b[8:]))
	p.Ballot = ballotAt(b[16:])
	copy(p.Hash[:], b[28:])
	return p
}

// start begins with nothing: an empty log behind the genesis, whose hash names the group. Of a group that came to be by a split,
// the state holds what it begins with.
func (r *Replica) start(config []byte) {
	r.genesis(config)
	r.loadState()
	r.log.durable = r.log.last().Index
	r.writeHard()
	// Nothing was ever granted, so the first election need not wait for a lease; the preferred replica goes first.
	r.deadline = r.in.Now + r.firstPatience()
}

func (r *Replica) genesis(config []byte) {
	c, err := DecodeConfig(config)
	if err != nil {
		panic("paxos: initial configuration: " + err.Error())
	}
	r.config, r.configs = c, []placedConfig{{0, c}}
	r.log.base = position{Hash: sha256.Sum256(append([]byte("gamut genesis"), config...))}
	r.applied = r.log.base
}

// recover folds the records of the log over the applied position that the state holds. Blocks that the state holds
// already are not applied again; a record of a block replaces whatever stood at its index and behind it.
func (r *Replica) recover(e core.Recover) {
	r.genesis(e.Config)
	r.loadState()
	suspect := e.Suspect
	for _, rec := range r.own(e.Records) {
		if !r.replay(rec) {
			suspect = true
		}
	}
	r.locks = machine.Locks(r.in.View)
	r.keepApplied()
	r.log.durable = r.log.last().Index
	if suspect && !r.suspect {
		r.suspect = true
		r.out.Note(SuspectNote{true})
	}
	r.writeHard()
	// It may have granted a lease just before it went down, and has forgotten it.
	if r.options.Mutation != ForgetGrant {
		r.grantUntil = r.in.Now + r.config.lease()
	}
	r.resetDeadline()
}

// replay puts a record back; whole is false if it is not what was written.
func (r *Replica) replay(rec core.Record) (whole bool) {
	switch rec.Kind {
	case recordHard:
		h, err := decodeHard(rec.Body)
		if err != nil {
			panic("paxos: " + err.Error())
		}
		r.suspect = h.suspect
		if r.promised.Less(h.promised) {
			r.promised = h.promised
		}
		r.maxRound = max(r.maxRound, h.promised.Round)
	case recordBlock:
		return r.replayBlock(rec)
	default:
		panic(fmt.Sprintf("paxos: log record of kind %d", rec.Kind))
	}
	return true
}

// replayBlock puts a block back. One that does not follow the chain was written before a snapshot replaced the log, or
// behind a damaged part of it; it is not part of this replica's log any more. One that its own hash does not cover was
// altered behind the checksums of the disk: it is lost, and what follows it with it, unless the state holds it already.
func (r *Replica) replayBlock(rec core.Record) (whole bool) {
	b, err := DecodeBlock(rec.Body)
	if err != nil {
		return rec.Pos <= r.log.base.Index
	}
	if b.Index <= r.log.base.Index {
		r.replayed = follow(r.replayed, b)
		return true
	}
	if b.Index <= r.log.last().Index {
		r.log.truncate(b.Index)
		r.revertConfigs()
	}
	if last := r.log.last(); b.Index != last.Index+1 || b.Prev != last.Hash {
		return true
	}
	// A damaged log may have kept the block and lost the promise that came before it.
	if r.promised.Less(b.Ballot) {
		r.promised = b.Ballot
		r.maxRound = max(r.maxRound, b.Ballot.Round)
	}
	r.log.append(b)
	if b.Kind == Configuration {
		r.placeConfig(b)
	}
	return true
}

// follow puts a block behind a run of blocks, instead of what stands at its index and behind it; a block that does not fit
// begins a new run.
func follow(run []*Block, b *Block) []*Block {
	for n := len(run); n > 0 && run[n-1].Index >= b.Index; n-- {
		run = run[:n-1]
	}
	if n := len(run); n > 0 && (run[n-1].Index+1 != b.Index || run[n-1].Hash != b.Prev) {
		run = run[:0]
	}
	return append(run, b)
}

// keepApplied keeps the blocks that the state holds already, as far as they lead up to it and memory allows: a follower that
// lags by a few of them need not be sent the whole state after a restart, and an audit has something to compare.
func (r *Replica) keepApplied() {
	run := r.replayed
	r.replayed = nil
	if n := len(run); n == 0 || run[n-1].Index != r.applied.Index || run[n-1].Hash != r.applied.Hash {
		return
	}
	from, bytes := len(run), r.log.bytes
	for from > 0 && bytes+len(run[from-1].raw) <= r.options.RetainBytes {
		from--
		bytes += len(run[from].raw)
	}
	if from == len(run) {
		return
	}
	// Neither time nor ballot of the base are known. They are not asked for: what stands behind it is applied, and so the
	// log never ends at it.
	first := run[from]
	r.log.base = position{Index: first.Index - 1, Hash: first.Prev}
	r.log.blocks = append(slices.Clone(run[from:]), r.log.blocks...)
	r.log.bytes = bytes
}
