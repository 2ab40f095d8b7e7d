package paxos

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// resetDeadline waits a random election time-out from now on, and no shorter than the lease that was granted.
func (r *Replica) resetDeadline() {
	spread := int64(r.options.ElectionMax - r.options.ElectionMin)
	r.deadline = max(r.in.Now+r.options.ElectionMin+core.Time(r.in.Rand.Int64N(spread)), r.grantUntil)
}

// firstPatience spreads the first election: the preferred replica at once, the others later.
func (r *Replica) firstPatience() core.Time {
	if r.config.Preferred == r.self || len(r.config.electorate()) == 1 {
		return core.Time(r.in.Rand.Int64N(int64(r.options.Heartbeat)))
	}
	return r.options.ElectionMin + core.Time(r.in.Rand.Int64N(int64(r.options.ElectionMin)))
}

// electionTick nominates this replica when no leader was heard for long enough (rule E1).
func (r *Replica) electionTick() {
	if r.suspect || r.blank() || r.in.Unfit || !slices.Contains(r.electors(), r.self) {
		r.follow(0) // who led has fallen silent: commands wait here for the next leader
		r.resetDeadline()
		return
	}
	if r.in.Now < r.grantUntil {
		r.deadline = r.grantUntil
		return
	}
	r.follow(0)
	if len(r.survivors) > 0 {
		r.stand(Ballot{}) // others need not find its log good enough first: it takes theirs
		return
	}
	if r.in.Reluctant && r.reluctance < reluctantFor && len(r.config.electorate()) > 1 {
		r.reluctance++
		r.resetDeadline()
		return
	}
	r.role = Nominee
	r.resetDeadline()
	ballot := Ballot{Round: r.maxRound + 1, Replica: r.self}
	r.votes = map[core.ReplicaID]Promise{r.self: {}}
	last := r.log.last()
	r.otherVoters(func(id core.ReplicaID) {
		// Early: it asks, and promises nothing.
		r.out.SendEarly(id, Nominate{Ballot: ballot, LastBallot: last.Ballot, LastIndex: last.Index})
	})
	r.tryCandidacy(Ballot{})
}

// reluctantFor is how many elections a replica lets others go first whose node's stamps are ahead.
const reluctantFor = 3

// onNominate answers whether this replica would promise (rule E2): not while a leader may be alive, so that a replica
// that was cut off cannot disturb the others by high ballots, and not to a log that lacks what this one has.
func (r *Replica) onNominate(from core.ReplicaID, m Nominate) {
	last := r.log.last()
	silent := r.leaderDown || r.leader == 0 || r.in.Now-r.heard >= r.options.ElectionMin
	grant := r.promised.Less(m.Ballot) && !r.granted() && silent && r.role != Leader && !r.suspect &&
		!before(m.LastBallot, m.LastIndex, last.Ballot, last.Index)
	// Early: nothing changed here, and the answer promises nothing.
	r.out.SendEarly(from, NominateReply{Ballot: m.Ballot, Grant: grant, Promised: r.promised})
}

// granted says that a lease granted here has not run out.
func (r *Replica) granted() bool {
	return r.in.Now < r.grantUntil && r.options.Mutation != PromiseDuringLease
}

// before says whether one log's end is older than another's: by last ballot, then length.
func before(aBallot Ballot, aIndex uint64, bBallot Ballot, bIndex uint64) bool {
	return aBallot.Less(bBallot) || (aBallot == bBallot && aIndex < bIndex)
}

func (r *Replica) onNominateReply(from core.ReplicaID, m NominateReply) {
	r.maxRound = max(r.maxRound, m.Promised.Round)
	if r.role != Nominee || m.Ballot.Replica != r.self || !m.Grant {
		return
	}
	r.votes[from] = Promise{}
	r.tryCandidacy(Ballot{})
}

// tryCandidacy goes on to phase 1 once a majority would promise (rule E3): first this replica's own promise goes to disk,
// so that a candidate that crashes never uses a ballot twice, then the Prepare leaves.
func (r *Replica) tryCandidacy(handoff Ballot) {
	if r.elected() || handoff != (Ballot{}) {
		r.stand(handoff)
	}
}

// stand asks for promises.
func (r *Replica) stand(handoff Ballot) {
	r.follow(0)
	r.role = Candidate
	r.handoffOf, r.recovering, r.fetched = handoff, 0, nil
	r.votes = map[core.ReplicaID]Promise{}
	r.promise(Ballot{Round: r.maxRound + 1, Replica: r.self})
	r.resetDeadline()
	r.otherVoters(func(id core.ReplicaID) { r.out.Send(id, r.prepare()) })
	r.out.Send(r.self, r.ownPromise())
}

// ownPromise tells how late it is here, so that the new leader's blocks are later than what anyone may have been told by
// this replica's word.
func (r *Replica) ownPromise() Promise {
	last := r.log.last()
	return Promise{Ballot: r.promised, OK: true, Promised: r.promised, LastBallot: last.Ballot, LastIndex: last.Index,
		LastHash: last.Hash, Time: r.promisedTime()}
}

// onPrepare promises (rule E4), unless a higher ballot was promised, or a lease was granted that has not run out and its
// leader did not hand over. A refusal changes nothing.
func (r *Replica) onPrepare(from core.ReplicaID, m Prepare) {
	r.maxRound = max(r.maxRound, m.Ballot.Round)
	granted := r.granted() && (m.Handoff == (Ballot{}) || m.Handoff != r.grantBallot)
	if r.suspect {
		return
	}
	if m.Ballot.Less(r.promised) || (granted && r.promised.Less(m.Ballot)) {
		// Early: a refusal says what stands, and binds to nothing.
		r.out.SendEarly(from, Promise{Ballot: m.Ballot, Promised: r.promised})
		return
	}
	if r.promised.Less(m.Ballot) {
		r.stepDown("promised a higher ballot")
		r.follow(0)
		r.promise(m.Ballot)
		r.resetDeadline()
	}
	r.out.Send(from, r.ownPromise())
}

func (r *Replica) onPromise(from core.ReplicaID, m Promise) {
	r.maxRound = max(r.maxRound, m.Promised.Round)
	if r.role != Candidate || m.Ballot != r.promised || r.recovering != 0 {
		return
	}
	if !m.OK {
		if r.promised.Less(m.Promised) {
			r.follow(0)
			r.resetDeadline()
		}
		return
	}
	if own, ok := r.votes[r.self]; ok && contradict(own, m) {
		r.noteContradiction(r.self, from, m.LastIndex, m.LastBallot)
		return
	}
	r.votes[from] = m
	if r.elected() {
		r.adoptBest()
	}
}

// contradict says that two logs end with different blocks of one ballot at one index. Its leader made one of them, so a disk
// that holds the other does not hold what was written (rule L5).
func contradict(a, b Promise) bool {
	return a.LastBallot == b.LastBallot && a.LastIndex == b.LastIndex && a.LastHash != b.LastHash
}

func (r *Replica) noteContradiction(a, b core.ReplicaID, index uint64, ballot Ballot) {
	r.out.Note(core.DamageNote{Text: fmt.Sprintf("replicas %d and %d hold different blocks %d of ballot %v, which made only one",
		a, b, index, ballot)})
}

// elected says that those who would promise, or did, are enough.
func (r *Replica) elected() bool {
	if len(r.survivors) > 0 {
		return r.allSurvivorsPromised()
	}
	return r.config.decided(func(id core.ReplicaID) bool {
		_, ok := r.votes[id]
		return ok
	})
}

// adoptBest takes over the best log among the promises (rule E5): the one with the highest last ballot, then the longest,
// this replica's own if it is as good. Its blocks stay as they are.
func (r *Replica) adoptBest() {
	best, own := r.self, r.votes[r.self]
	top := own
	for _, id := range r.electors() {
		if v, ok := r.votes[id]; ok && before(top.LastBallot, top.LastIndex, v.LastBallot, v.LastIndex) {
			best, top = id, v
		}
	}
	for _, id := range r.electors() {
		if v, ok := r.votes[id]; ok && contradict(top, v) {
			// Which of the two is right cannot be told from here: somebody who holds one of them should lead.
			r.noteContradiction(best, id, v.LastIndex, v.LastBallot)
			r.follow(0)
			r.resetDeadline()
			return
		}
	}
	if best == r.self || r.options.Mutation == KeepOwnLog {
		r.finishElection()
		return
	}
	r.recovering = best
	r.fetch()
}

// fetch asks for the part of the best log behind what is committed here, which all logs of the majority share.
func (r *Replica) fetch() {
	from := r.commit + 1 + uint64(len(r.fetched))
	// Early: it asks for what the other already promised to have.
	r.out.SendEarly(r.recovering, Fetch{Ballot: r.promised, From: from, To: r.votes[r.recovering].LastIndex})
}

// fetchBytes bounds one answer to Fetch.
const fetchBytes = 4 << 20

func (r *Replica) onFetch(from core.ReplicaID, m Fetch) {
	if m.Ballot != r.promised {
		return
	}
	reply := Blocks{Ballot: m.Ballot}
	bytes := 0
	for i := m.From; i <= m.To && bytes < fetchBytes; i++ {
		b := r.log.at(i)
		if b == nil {
			break
		}
		reply.Blocks = append(reply.Blocks, b)
		bytes += len(b.raw)
	}
	r.out.Send(from, reply)
}

// onBlocks collects the best log and adopts it in one step: a log that was replaced in parts could lose what was chosen
// (trap T1.4).
func (r *Replica) onBlocks(from core.ReplicaID, m Blocks) {
	if r.role != Candidate || m.Ballot != r.promised || from != r.recovering {
		return
	}
	want, had := r.votes[from], len(r.fetched)
	for _, b := range m.Blocks {
		prev, ok := r.log.position(r.commit)
		if n := len(r.fetched); n > 0 {
			prev, ok = r.fetched[n-1].position(), true
		}
		if b.Index <= prev.Index {
			continue // a second copy of the message
		}
		if !ok || b.Index != prev.Index+1 || b.Prev != prev.Hash {
			break
		}
		r.fetched = append(r.fetched, b)
	}
	switch n := len(r.fetched); {
	case n > 0 && r.fetched[n-1].Hash == want.LastHash:
		r.adopt(r.fetched)
		r.finishElection()
	case len(m.Blocks) == 0:
		// It no longer holds them in memory (rule E6): somebody else should lead.
		r.follow(0)
		r.resetDeadline()
	case n > had:
		r.fetch()
	}
	// Else it is a second copy, or of no use: the time-out ends a candidacy that gets no further.
}

// adopt makes blocks behind what is committed part of the log, replacing what differs.
func (r *Replica) adopt(blocks []*Block) {
	for _, b := range blocks {
		r.store(b)
	}
}

// finishElection begins to lead, if the promises are enough under the configuration that the log ends with, too. A
// candidate that had not heard of a change may have adopted it just now: what the new voters chose since, only they can
// tell. They are asked for the same ballot, and the best log is sought once more (trap T1.14).
func (r *Replica) finishElection() {
	if r.elected() || r.options.Mutation == TrustOldConfig {
		r.becomeLeader()
		return
	}
	r.recovering, r.fetched = 0, nil
	r.votes[r.self] = r.ownPromise()
	r.otherVoters(func(id core.ReplicaID) {
		if _, ok := r.votes[id]; !ok {
			r.out.Send(id, r.prepare())
		}
	})
}

// prepare asks for a promise of the ballot under which this replica is a candidate.
func (r *Replica) prepare() Prepare {
	last := r.log.last()
	return Prepare{Ballot: r.promised, LastBallot: last.Ballot, LastIndex: last.Index, Handoff: r.handoffOf}
}

// store puts a block at its place in the log: nothing if it is there, else instead of what is there (rule A3). What lies
// beyond is never cut without such a reason.
func (r *Replica) store(b *Block) {
	if mine := r.log.at(b.Index); mine != nil {
		if mine.Hash == b.Hash {
			return
		}
		if b.Index <= r.commit {
			panic("paxos: a committed block would be replaced")
		}
		if mine.Ballot == b.Ballot {
			with := r.leader
			if r.role == Candidate {
				with = r.recovering
			}
			r.noteContradiction(r.self, with, b.Index, b.Ballot)
		}
		r.log.truncate(b.Index)
		r.revertConfigs()
	}
	r.write(b)
}

// becomeLeader starts a leadership: a first block of its own ballot, later than anything a promise told of, through which
// all before it will be committed (rule E5, C1).
func (r *Replica) becomeLeader() {
	latest := kv.HLC(0)
	for _, id := range r.electors() {
		latest = max(latest, r.votes[id].Time)
	}
	r.role, r.leader, r.leaderDown = Leader, r.self, false
	r.out.Note(LedNote{r.promised, r.log.last().Index})
	r.startLeading()
	kind, payload := Noop, []byte(nil)
	if r.log.last().Index == 0 {
		kind, payload = Configuration, r.config.AppendTo(nil)
	}
	if r.options.Mutation == RestampBlocks {
		r.restamp()
	}
	r.appendBlock(kind, payload, max(r.stamp(), latest+1))
	r.lead.first = r.log.last().Index
	r.inheritLockers()
	r.votes, r.fetched = nil, nil
	r.leadSurvivors()
	r.leaderTick()
}

// follow makes this replica a follower of a leader, or of nobody.
func (r *Replica) follow(leader core.ReplicaID) {
	r.stepDown("follows another")
	r.role = Follower
	if r.leader != leader {
		r.leaderDown = false
	}
	r.leader = leader
	if leader != 0 {
		r.survivors = nil // there is a majority after all
	}
	r.votes, r.fetched, r.recovering = nil, nil, 0
}

// onHandoffNow takes over at the leader's wish: its lease grants are void for us, since it serves no reads any more (rule E8).
func (r *Replica) onHandoffNow(from core.ReplicaID, m HandoffNow) {
	if m.Ballot != r.promised || r.leader != from || r.role != Follower || r.suspect || r.in.Unfit {
		return
	}
	r.votes = map[core.ReplicaID]Promise{}
	r.tryCandidacy(m.Ballot)
}

// peerDown hurries: a broken connection to the leader is worth a nomination as soon as the lease has run out.
func (r *Replica) peerDown(peer core.ReplicaID) {
	switch {
	case r.role == Leader:
		if p := r.lead.peer(peer); p != nil {
			// Nothing is sent at once: it would only be told again that nobody is there. An answer to a heartbeat says
			// when the peer is back.
			p.probe(p.match + 1)
			p.asked = true
		}
	case peer == r.leader && r.role == Follower:
		r.leaderDown = true
		hurry := core.Time(r.in.Rand.Int64N(int64(r.options.Heartbeat) * 2))
		r.deadline = min(r.deadline, max(r.in.Now, r.grantUntil)+hurry)
	}
}
