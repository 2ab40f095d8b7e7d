package paxos

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/transfer"
	"github.com/gamutdb/gamut/machine"
)

// sending is the state as of some position on its way to a peer.
type sending struct {
	*transfer.Sending
	at position
}

func (p *peer) stopSending() {
	if p.sending != nil {
		p.sending.Close()
		p.sending = nil
	}
}

// startSnapshot begins to send the state as it is now to a peer whose next block is no longer held (rule S2).
func (r *Replica) startSnapshot(p *peer) {
	p.stopSending()
	p.state, p.moved = snapshotting, r.in.Now
	s := transfer.Send(r.in.View)
	b, ok := s.Applied()
	if !ok {
		panic("paxos: a state without an applied position was asked for as a snapshot")
	}
	p.sending = &sending{s, decodeMeta(b)}
	r.sendChunk(p)
}

func (r *Replica) sendChunk(p *peer) {
	// Early: a snapshot holds only what is committed.
	r.out.SendEarly(p.id, SnapshotChunk{r.promised, p.sending.at, p.sending.Part})
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
	if m.Done {
		p.stopSending()
		p.match = max(p.match, min(m.Match, r.commit))
		p.state = probing
		p.probe(p.match + 1)
		return
	}
	switch made, lost := p.sending.Next(m.N); {
	case made:
		r.sendChunk(p)
	case lost:
		r.startSnapshot(p) // the peer lost what it had collected, or began again at a second copy of the first part
	}
}

// origin is what a received state is of.
type origin struct {
	at     position
	ballot Ballot
}

// onSnapshotChunk collects a snapshot. One that is not ahead of what is committed here is of no use (rule S3).
func (r *Replica) onSnapshotChunk(from core.ReplicaID, m SnapshotChunk) {
	if m.Ballot.Less(r.promised) || r.staging.Ready() {
		return
	}
	r.heed(from, m.Ballot)
	if m.At.Index <= r.commit && r.options.Mutation != InstallOldSnapshot {
		r.out.Send(from, SnapshotReply{Ballot: m.Ballot, Done: true, Match: r.commit})
		return
	}
	if !r.staging.Take(r.out, from, origin{m.At, m.Ballot}, &m.Part) {
		r.out.Send(from, SnapshotReply{Ballot: m.Ballot, N: r.staging.Wanted})
	}
}

// finishInstall, a Step later, starts the log anew behind the new state. Install is durable when it was applied, so nothing
// of it is in the log.
func (r *Replica) finishInstall() {
	s := r.staging
	b, ok := r.in.View.Get(core.AppliedKey)
	if !ok || decodeMeta(b) != s.Of.at {
		panic(fmt.Sprintf("paxos: the installed snapshot is not of %d", s.Of.at.Index))
	}
	r.staging = transfer.Staging[origin]{}
	r.loseWaiters(s.Of.at.Index)
	r.log.reset(s.Of.at)
	r.applied, r.commit = s.Of.at, max(r.commit, s.Of.at.Index)
	r.takeConfigs(s.Of.at.Index)
	r.locks = machine.Locks(r.in.View)
	r.takeBounds()
	if r.options.Transactions != machine.KeepOldLocks {
		r.machine.StateReplaced()
	}
	r.out.Note(InstalledNote{s.Of.at.Index})
	r.out.Send(s.From, SnapshotReply{Ballot: s.Of.ballot, Done: true, Match: s.Of.at.Index})
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
