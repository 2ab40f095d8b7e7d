package bayou

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// The catalog says who the members shall be; writes of the log say who they are. A replica joins by a write of a member, which
// precedes all writes of its own: so whoever waits for all members before it forgets something either knows the new one, or
// knows that all that this one will ever write follows what is forgotten. A replica retires by a write of another member,
// which follows all of its writes: so whoever has that write needs no entry for the retired one in vectors any more (rule B8).

// membership is a replica that may have written something that is still on its way.
type membership struct {
	id core.ReplicaID
	// joined is the write by which it did; zero for the founders of the group.
	joined Dot
}

// former is a replica that was a member and is none any more.
type former struct {
	id core.ReplicaID
	// last is the stamp of its last write; whoever has seen a later one has seen what is lost.
	last kv.HLC
	// retired are the writes by which it did, one of each member that noted it. Whoever holds one of them holds all that it
	// ever wrote.
	retired []Dot
}

func (m *meta) member(id core.ReplicaID) (membership, bool) {
	i := slices.IndexFunc(m.members, func(o membership) bool { return o.id == id })
	if i < 0 {
		return membership{}, false
	}
	return m.members[i], true
}

func (m *meta) former(id core.ReplicaID) (former, bool) {
	i := slices.IndexFunc(m.formers, func(o former) bool { return o.id == id })
	if i < 0 {
		return former{}, false
	}
	return m.formers[i], true
}

// join lets a replica be a member. If several members have let it in, the first of these writes counts.
func (m *meta) join(one membership) {
	if _, was := m.former(one.id); was {
		return
	}
	m.members = slices.Clone(m.members)
	if i := slices.IndexFunc(m.members, func(o membership) bool { return o.id == one.id }); i >= 0 {
		if one.joined.Compare(m.members[i].joined) < 0 {
			m.members[i] = one
		}
		return
	}
	m.members = append(m.members, one)
	slices.SortFunc(m.members, func(a, b membership) int { return cmp.Compare(a.id, b.id) })
}

// retire lets a replica be a member no more.
func (m *meta) retire(one former) {
	m.members = slices.DeleteFunc(slices.Clone(m.members), func(o membership) bool { return o.id == one.id })
	m.formers = slices.Clone(m.formers)
	if i := slices.IndexFunc(m.formers, func(o former) bool { return o.id == one.id }); i >= 0 {
		old := m.formers[i]
		one.retired = slices.Concat(old.retired, one.retired)
		slices.SortFunc(one.retired, Dot.Compare)
		one.retired, one.last = slices.Compact(one.retired), max(one.last, old.last)
		m.formers = slices.Delete(m.formers, i, i+1)
	}
	m.formers = append(m.formers, one)
	slices.SortFunc(m.formers, func(a, b former) int { return a.retired[0].Compare(b.retired[0]) })
}

// knownTo says that a vector describes a write by which the replica retired.
func (f *former) knownTo(v Vector) bool { return slices.ContainsFunc(f.retired, v.Has) }

// brief is a vector as sessions carry it: without those who have retired, if it describes the writes by which they did.
func (m *meta) brief(v Vector) Vector { return m.briefFor(v, v) }

// briefFor is a vector as it travels to a peer that is known to hold so much: without those of whom it knows that they have retired.
func (m *meta) briefFor(v, known Vector) Vector {
	if len(m.formers) == 0 {
		return slices.Clone(v) // whoever keeps it must not see it grow
	}
	short := make(Vector, 0, len(v))
	for _, e := range v {
		f, was := m.former(e.Replica)
		knows := func(d Dot) bool { return v.Has(d) && known.Has(d) }
		if !was || e.Stamp != f.last || !slices.ContainsFunc(f.retired, knows) {
			short = append(short, e)
		}
	}
	return short
}

// full is a vector that has travelled, with the entries that brief left out. Who noted that somebody retired may have retired
// itself since.
func (m *meta) full(v Vector) Vector {
	if len(m.formers) == 0 {
		return v
	}
	v = slices.Clone(v)
	for again := true; again; {
		again = false
		for i := range m.formers {
			if f := &m.formers[i]; v.At(f.id) < f.last && f.knownTo(v) {
				v.Raise(f.id, f.last)
				again = true
			}
		}
	}
	return v
}

// configured is a replica's word to itself: what the catalog said is durable here.
type configured struct{ Epoch uint64 }

// AppendTo is never called: the message does not leave the replica.
func (configured) AppendTo(b []byte) []byte { panic("bayou: a message to oneself has no encoding") }

// learn takes what the catalog says. It is durable before this replica lets the others know that it goes by it: they count on
// that after a crash as well, when the catalog's copy here may be an older one.
func (r *Replica) learn(config []byte) {
	c, err := DecodeConfig(config)
	if err != nil {
		panic("bayou: " + err.Error())
	}
	if c.Epoch <= r.config.Epoch {
		return
	}
	r.flyArrived()
	r.config, r.configPos = c, r.pos
	r.writeMark()
	r.out.Send(r.self, configured{c.Epoch})
	r.meet()
}

// meet brings the peers in line with what the catalog and the log say.
func (r *Replica) meet() {
	kept := make([]*peer, 0, len(r.peers)+1)
	consider := func(id core.ReplicaID) {
		if _, was := r.meta.former(id); was || id == r.self {
			return
		}
		p := r.peer(id)
		if p == nil {
			p = &peer{id: id}
		}
		p.up = slices.Contains(r.up, id)
		p.gone = r.config.gone(id)
		kept = append(kept, p)
	}
	for _, id := range r.config.Members {
		consider(id)
	}
	for _, m := range r.meta.members {
		if !slices.Contains(r.config.Members, m.id) {
			consider(m.id)
		}
	}
	slices.SortFunc(kept, func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
	before := r.peers
	r.peers = kept
	for _, p := range before {
		if p.gone || !slices.Contains(kept, p) {
			r.leave(p)
		}
	}
	for _, p := range kept {
		if p.up && !p.gone && !slices.Contains(before, p) {
			r.pull(p)
		}
	}
}

// leave forgets what was under way with a peer of whom nothing is taken any more.
func (r *Replica) leave(p *peer) {
	p.stopSending()
	r.transfer.lose(p)
	r.early = slices.DeleteFunc(r.early, func(e earlyWrites) bool { return e.peer == p })
}

// joined says that this replica is a member: until then it serves nobody.
func (r *Replica) joined() bool {
	_, is := r.meta.member(r.self)
	return is || r.options.Mutation == ServeUnjoined
}

// leaving says that this replica gives no stamps any more.
func (r *Replica) leaving() bool {
	_, was := r.meta.former(r.self)
	return was || r.sealed
}

// obey notes that all which the latest word of the catalog asks of this replica is done: no write is under way here that was
// begun before.
func (r *Replica) obey() {
	if r.obeyed == r.config.Epoch || r.told != r.config.Epoch || r.transfer.running() || r.suspect {
		return
	}
	if slices.Contains(r.config.Leaving, r.self) && !r.sealed {
		r.seal()
		return
	}
	if len(r.flight) > 0 && r.flight[0].pos <= r.configPos {
		return
	}
	r.obeyed = r.config.Epoch
	for _, p := range r.peers {
		if p.up && !p.gone {
			r.pull(p)
		}
	}
}

// seal ends the writing of a replica that shall leave, for good, once those who come have joined: who else should let them in?
func (r *Replica) seal() {
	for _, id := range r.config.Members {
		if _, is := r.meta.member(id); r.config.stays(id) && !is {
			return
		}
	}
	r.refuseAll("this replica is leaving the group; use another one")
	r.flyArrived()
	r.sealed, r.told, r.configPos = true, 0, r.pos
	r.writeMark()
	r.out.Send(r.self, configured{r.config.Epoch})
}

// lookAfterMembers lets in who asks for it, and notes who has retired.
func (r *Replica) lookAfterMembers() {
	if r.accepting || r.suspect || r.transfer.running() || r.leaving() || !r.joined() || r.cells.changed() || len(r.out.State) > 0 {
		return
	}
	var ops []Op
	for _, p := range r.peers {
		switch _, is := r.meta.member(p.id); {
		case !is && p.asks && r.config.stays(p.id):
			ops = append(ops, Op{Kind: Join, Member: p.id})
		case r.retires(p):
			ops = append(ops, Op{Kind: Retire, Member: p.id, Since: r.meta.vector.At(p.id)})
		}
	}
	if len(ops) == 0 {
		return
	}
	r.base = slices.Clone(r.held)
	w := &Write{Dot: Dot{r.nextStamp(&Token{}), r.self}, Ops: ops}
	r.last, r.ownLast = max(r.last, w.Stamp), w.Stamp
	w.seal()
	r.accepting = true
	f := &flight{own: true}
	f.add(w)
	r.fly(f)
}

// retires says that a peer will never write again, and that all it ever wrote is here: it has said so itself; or if it is gone,
// every other member has told what it holds since it takes nothing more from that one.
func (r *Replica) retires(p *peer) bool {
	switch {
	case !p.gone && !slices.Contains(r.config.Leaving, p.id):
		return false
	case r.options.Mutation == RetireEarly:
		return true
	case r.obeyed != r.config.Epoch:
		return false
	case !p.gone:
		// Who leaves takes no cut with it that the companion may have dropped.
		return r.vowed(p) && (!r.ordering.on || p.cutsHeard && r.ordering.known() >= p.cut)
	}
	for _, o := range r.peers {
		if !o.gone && !r.vowed(o) {
			return false
		}
	}
	return true
}

// vowed says that a peer goes by the latest configuration, and that all it held when it first said so is here.
func (r *Replica) vowed(p *peer) bool {
	return p.obeyed >= r.config.Epoch && r.meta.vector.Covers(p.vow)
}

// Moved reports whether the group is what the catalog wanted in an epoch: who came serves, who left has retired, and every
// member that can be reached knows.
func (r *Replica) Moved(epoch uint64) bool {
	if r.config.Epoch != epoch || r.suspect || r.leaving() || !r.joined() {
		return false
	}
	for _, id := range r.config.Members {
		if m, is := r.meta.member(id); r.config.stays(id) && (!is || id != r.self && !r.peer(id).known.Has(m.joined)) {
			return false
		}
		f, was := r.meta.former(id)
		if r.config.stays(id) {
			continue
		}
		if !was {
			return false
		}
		for _, p := range r.peers {
			if p.up && r.config.stays(p.id) && !f.knownTo(p.known) {
				return false
			}
		}
	}
	return true
}

func (m *meta) appendMembers(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(m.members)))
	for _, o := range m.members {
		b = appendDot(binary.AppendUvarint(b, uint64(o.id)), o.joined)
	}
	b = binary.AppendUvarint(b, uint64(len(m.formers)))
	for _, o := range m.formers {
		b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, uint64(o.id)), uint64(o.last))
		b = binary.AppendUvarint(b, uint64(len(o.retired)))
		for _, d := range o.retired {
			b = appendDot(b, d)
		}
	}
	return b
}

func (r *reader) members(m *meta) {
	for n := r.Count(10); n > 0 && !r.Bad; n-- {
		m.members = append(m.members, membership{r.replica(), r.dot()})
	}
	for n := r.Count(19); n > 0 && !r.Bad; n-- {
		f := former{id: r.replica(), last: r.stamp()}
		for k := r.Count(9); k > 0 && !r.Bad; k-- {
			f.retired = append(f.retired, r.dot())
		}
		r.Bad = r.Bad || len(f.retired) == 0
		m.formers = append(m.formers, f)
	}
}
