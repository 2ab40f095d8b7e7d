package twophase

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// leadership is what a coordinator knows. All of it is volatile: whoever coordinates after a crash begins a new epoch, and asks
// the members (rule W5).
type leadership struct {
	epoch uint64
	// opening: not every member has answered Fence.
	opening bool
	peers   []*peer // all other replicas of the group: members, then joiners
	// own is this replica's bit in votes, members are those of all members.
	own, members uint64
	next         uint64 // number of the next batch
	// found is the last slot of the epochs before.
	found uint64
	time  kv.HLC // of the latest batch
	queue queue
	// announced is up to where the members were told that slots are final.
	announced uint64
	// expiring is the batch that ends keys and is not applied yet; 0: none.
	expiring uint64
	due      due
	// heir should coordinate instead; 0: nobody.
	heir core.ReplicaID
	// target are the replicas that the group is to have; nil: those that it has.
	target *target
	// fed are final slots that a joiner may lack, without holes, and their bytes.
	fed      []*slot
	fedBytes int
}

// peer is another replica of the group, as its coordinator sees it.
type peer struct {
	id     core.ReplicaID
	bit    uint64
	member bool
	// fenced is its answer to Fence; nil: none yet.
	fenced *FenceOK
	heard  core.Time
	held   uint64 // the highest slot of which its log holds a record, as it said last
	sick   bool
	joining
}

func (l *leadership) peer(id core.ReplicaID) *peer {
	for _, p := range l.peers {
		if p.id == id {
			return p
		}
	}
	return nil
}

// coordinate begins to coordinate an epoch: it is fenced here first, durably, so that no later life of this replica coordinates it
// again (trap T2.12).
func (r *Replica) coordinate(c Config) {
	again := c.Epoch == r.fenced.Epoch
	r.fence(c)
	l := &leadership{epoch: c.Epoch, opening: true, own: 1}
	bit := uint64(1)
	l.members = bit
	for _, id := range slices.Concat(c.Members, c.Joiners) {
		if id == r.self {
			continue
		}
		bit <<= 1
		p := &peer{id: id, bit: bit, member: c.has(id), heard: r.in.Now}
		if p.member {
			l.members |= bit
		}
		l.peers = append(l.peers, p)
	}
	r.lead = l
	if r.options.Mutation == KeepEpoch && again {
		l.opening, l.next, l.time = false, r.slots.last()+1, r.latestTime()
	}
	for _, p := range l.peers {
		r.out.Send(p.id, Fence{c})
	}
	r.out.Send(r.self, r.inDoubt())
}

// onFenceOK hears what a member has in doubt. When all have answered, it is known what every slot comes to.
func (r *Replica) onFenceOK(from core.ReplicaID, m FenceOK) {
	l := r.lead
	if l == nil || m.Epoch != l.epoch {
		return
	}
	if from == r.self {
		r.openIfAll()
		return
	}
	p := l.peer(from)
	if p == nil {
		return
	}
	p.heard = r.in.Now
	if p.fenced == nil {
		p.fenced = &m
	}
	if p.member {
		r.openIfAll()
	}
}

// openIfAll ends the opening when every member has answered. This replica's own fence is durable by then: its message left
// behind it.
func (r *Replica) openIfAll() {
	l := r.lead
	if !l.opening {
		return
	}
	found := []*FenceOK{}
	for _, p := range l.peers {
		if p.member && p.fenced == nil && r.options.Mutation != SkipMember {
			return
		}
		if p.member && p.fenced != nil {
			found = append(found, p.fenced)
		}
	}
	l.opening = false
	own := r.inDoubt()
	r.settleDoubts(append(found, &own))
}

// settleDoubts is rule W5. What some member knows to be final is so. Of the rest, a batch is committed if and only if every
// member has prepared it and none has aborted it: then it may have been answered as done. Any other was not, and is aborted.
func (r *Replica) settleDoubts(found []*FenceOK) {
	l, final, last := r.lead, uint64(0), uint64(0)
	for _, f := range found {
		final, last = max(final, f.Resolved), max(last, f.Resolved)
		l.time = max(l.time, f.Time)
		for _, o := range f.Open {
			last = max(last, o.N)
		}
	}
	r.resolve(final)
	if r.lead == nil {
		return // what others know to be final is not held here: it leads nothing any more
	}
	l.next, l.found, l.announced = last+1, last, 0
	note := OpenedNote{Epoch: l.epoch}
	for n := final + 1; n <= last; n++ {
		if r.preparedByAll(found, n, final) {
			s := r.slots.at(n)
			s.need, s.yes, s.since = l.members, l.members, r.in.Now
			note.Committed = append(note.Committed, n)
			continue
		}
		if r.lead == nil {
			return // members contradict each other
		}
		r.startAbort(n, l.members)
		note.Aborted = append(note.Aborted, n)
	}
	r.out.Note(note)
}

func (r *Replica) preparedByAll(found []*FenceOK, n, final uint64) bool {
	if r.options.Mutation == CommitIfTold {
		return n <= final
	}
	digest := uint64(0)
	for _, f := range found {
		at := slices.IndexFunc(f.Open, func(o OpenSlot) bool { return o.N == n })
		if at < 0 || f.Open[at].Aborted {
			return false
		}
		if digest != 0 && f.Open[at].Digest != digest {
			r.distrust("members have prepared different batches as %d", n)
			return false
		}
		digest = f.Open[at].Digest
	}
	return true
}

// stepDown ends a leadership: its epoch is over.
func (r *Replica) stepDown() {
	l := r.lead
	if l == nil {
		return
	}
	for _, q := range l.queue.list {
		// Early: nothing was recorded of the request.
		r.out.ReplyEarly(q.ID, kv.Result{Code: kv.NotLeader})
	}
	for _, p := range l.peers {
		p.stopSending()
	}
	r.lead = nil
}
