package paxos

import (
	"bytes"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/machine"
)

// chunkBytes bounds one part of a snapshot.
const chunkBytes = 512 << 10

// sending is a snapshot on its way to a peer. One part is under way at a time: it is the slow path, and the memory of both
// sides is bounded by a part.
type sending struct {
	snapshot core.Snapshot
	at       position
	from     []byte // where the next part begins
	chunk    SnapshotChunk
}

func (p *peer) stopSending() {
	if p.sending != nil {
		p.sending.snapshot.Close()
		p.sending = nil
	}
}

// startSnapshot begins to send the state as it is now to a peer whose next block is no longer held (rule S2).
func (r *Replica) startSnapshot(p *peer) {
	p.stopSending()
	p.state, p.moved = snapshotting, r.in.Now
	s := &sending{snapshot: r.in.View.Snapshot()}
	b, ok := s.snapshot.Get(core.AppliedKey)
	if !ok {
		panic("paxos: a state without an applied position was asked for as a snapshot")
	}
	s.at = decodeMeta(b)
	p.sending = s
	s.fill(r.promised, 0)
	r.sendChunk(p)
}

// fill makes the next part.
func (s *sending) fill(ballot Ballot, n uint32) {
	s.chunk = SnapshotChunk{Ballot: ballot, At: s.at, N: n, Done: true}
	size := 0
	s.snapshot.Scan(s.from, nil, func(key, value []byte) bool {
		if size >= chunkBytes {
			s.chunk.Done = false
			s.from = bytes.Clone(key)
			return false
		}
		s.chunk.Pairs = append(s.chunk.Pairs, Pair{bytes.Clone(key), bytes.Clone(value)})
		size += len(key) + len(value)
		return true
	})
}

func (r *Replica) sendChunk(p *peer) {
	// Early: a snapshot holds only what is committed.
	r.out.SendEarly(p.id, p.sending.chunk)
}

func (p *peer) resendChunk(r *Replica) {
	if p.state == snapshotting && p.sending != nil {
		r.sendChunk(p)
	}
}

func (r *Replica) onSnapshotReply(from core.ReplicaID, m SnapshotReply) {
	if r.role != Leader || m.Ballot != r.promised {
		return
	}
	p := r.lead.peer(from)
	if p == nil || p.state != snapshotting {
		return
	}
	p.heard, p.moved = r.in.Now, r.in.Now
	switch s := p.sending; {
	case m.Done:
		p.stopSending()
		p.match = max(p.match, min(m.Match, r.commit))
		p.state = probing
		p.probe(p.match + 1)
	case m.N == s.chunk.N+1 && !s.chunk.Done:
		s.fill(r.promised, m.N)
		r.sendChunk(p)
	case m.N < s.chunk.N:
		r.startSnapshot(p) // the peer lost what it had collected, or began again at a second copy of the first part
	}
}

// staging is a snapshot that is being received.
type staging struct {
	at     position
	ballot Ballot
	next   uint32 // the part that is wanted
	from   core.ReplicaID
	// ready: all parts are staged, the next Step installs them; installed: that Step is over.
	ready, installed bool
}

// onSnapshotChunk collects a snapshot. One that is not ahead of what is committed here is of no use (rule S3).
func (r *Replica) onSnapshotChunk(from core.ReplicaID, m SnapshotChunk) {
	if m.Ballot.Less(r.promised) || r.staging.ready {
		return
	}
	r.heed(from, m.Ballot)
	s := &r.staging
	if m.At.Index <= r.commit && r.options.Mutation != InstallOldSnapshot {
		r.out.Send(from, SnapshotReply{Ballot: m.Ballot, Done: true, Match: r.commit})
		return
	}
	if m.N == 0 {
		r.staging = staging{at: m.At, ballot: m.Ballot, from: from}
		r.out.State = append(r.out.State, core.Change{Kind: core.Unstage})
	}
	if s.at != m.At || s.ballot != m.Ballot || m.N != s.next {
		r.askChunk(from, m.Ballot)
		return
	}
	for _, p := range m.Pairs {
		r.out.State = append(r.out.State, core.Change{Kind: core.Stage, Key: p.Key, Value: p.Value})
	}
	s.next++
	if !m.Done {
		r.askChunk(from, m.Ballot)
		return
	}
	s.ready = true
	r.out.Again = true
}

func (r *Replica) askChunk(from core.ReplicaID, ballot Ballot) {
	r.out.Send(from, SnapshotReply{Ballot: ballot, N: r.staging.next})
}

// install replaces the state by what was staged, in a Step that changes nothing else.
func (r *Replica) install() {
	r.staging.installed = true
	r.out.State = append(r.out.State, core.Change{Kind: core.Install})
	r.out.Again = true
}

// finishInstall, a Step later, starts the log anew behind the new state. Install is durable when it was applied, so nothing
// of it is in the log.
func (r *Replica) finishInstall() {
	s := r.staging
	b, ok := r.in.View.Get(core.AppliedKey)
	if !ok || decodeMeta(b) != s.at {
		panic(fmt.Sprintf("paxos: the installed snapshot is not of %d", s.at.Index))
	}
	r.staging = staging{}
	r.loseWaiters(s.at.Index)
	r.log.reset(s.at)
	r.applied, r.commit = s.at, max(r.commit, s.at.Index)
	r.takeConfigs(s.at.Index)
	r.locks, r.machine.Bounds = machine.Locks(r.in.View), machine.BoundsOf(r.in.View)
	r.out.Note(InstalledNote{s.at.Index})
	r.out.Send(s.from, SnapshotReply{Ballot: s.ballot, Done: true, Match: s.at.Index})
}

// takeConfigs takes the configuration of an installed state, and those of the blocks that were kept behind it.
func (r *Replica) takeConfigs(index uint64) {
	b, ok := r.in.View.Get(configKey)
	if !ok {
		panic("paxos: the installed snapshot has no configuration")
	}
	c, err := DecodeConfig(b)
	if err != nil {
		panic("paxos: configuration in the snapshot: " + err.Error())
	}
	r.config, r.configs = c, []placedConfig{{index, c}}
	for _, b := range r.log.blocks {
		if b.Kind == Configuration {
			r.placeConfig(b)
		}
	}
}
