package bayou

import (
	"math"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// earlyMax bounds the offers that wait for their base.
const earlyMax = 64

// earlyWrites are offered writes whose base is not there yet.
type earlyWrites struct {
	peer    *peer
	message Writes
}

func (r *Replica) peerUp(id core.ReplicaID) {
	if !slices.Contains(r.up, id) {
		r.up = append(r.up, id)
	}
	if p := r.peer(id); p != nil && !p.gone {
		p.up, p.met, p.claim = true, false, nil
		r.pull(p)
	}
}

func (r *Replica) peerDown(id core.ReplicaID) {
	r.up = slices.DeleteFunc(r.up, func(one core.ReplicaID) bool { return one == id })
	if p := r.peer(id); p != nil {
		p.up = false
		p.stopSending()
		r.transfer.lose(p)
	}
}

// ask is the round with a peer (rule B3). While writes are offered to it and by it as they are made, what it was heard to hold and is
// not here is on its way, and to ask for it would only bring it twice: so it is asked when something does not come, and
// told what is here meanwhile.
func (r *Replica) ask(p *peer) {
	if p.claim != nil && r.in.Now >= p.claimedAt+r.patience() {
		missing := !r.held.Covers(p.claim)
		p.claim = nil
		if missing {
			r.pull(p)
			return
		}
	}
	switch {
	case r.in.Now < p.nextPull:
	case !p.met, r.suspect, !r.joined(), r.ordering.on, p.toldEpoch != r.obeyed, p.known.Equal(r.meta.vector):
		r.pull(p)
	default:
		p.nextPull = r.later(r.options.Interval)
		r.claims(p, p.known)
		if r.in.Now >= p.toldAt+r.options.Interval/2 {
			r.report(p)
		}
	}
}

// patience is how long what a peer holds may be on its way here before this replica asks for it.
func (r *Replica) patience() core.Time { return r.options.Interval / 5 }

// claims takes note of what a peer holds, if something of it is not here.
func (r *Replica) claims(p *peer, v Vector) {
	if p.claim == nil && !r.held.Covers(v) {
		p.claim, p.claimedAt = slices.Clone(v), r.in.Now
	}
}

// later is a time around so much later, so that replicas do not all ask at once.
func (r *Replica) later(every core.Time) core.Time {
	return r.in.Now + every*3/4 + core.Time(r.in.Rand.Int64N(int64(every/2)))
}

// report tells a peer what this replica holds, and asks for nothing.
func (r *Replica) report(p *peer) {
	p.toldAt = r.in.Now
	// Early: the vector tells only what is durable here.
	r.out.SendEarly(p.id, Writes{Vector: r.meta.briefFor(r.meta.vector, p.known), Life: r.life, Clocks: r.clocks(p)})
}

// pull tells a peer what this replica holds, and asks for the rest (rule B3).
func (r *Replica) pull(p *peer) {
	every := r.options.Interval
	if p.known.Equal(r.meta.vector) {
		every *= 4
	}
	p.nextPull = r.later(every)
	if r.transfer.running() {
		return // it asks for its own parts; another beginning would end it
	}
	p.pulled, p.toldAt, p.toldEpoch = r.in.Now, r.in.Now, r.obeyed
	if r.ordering.on {
		r.tellCuts(p, math.MaxUint64)
	}
	// Early: the vector tells only what is durable here.
	r.out.SendEarly(p.id, Pull{Vector: r.meta.briefFor(r.meta.vector, p.known), Life: r.life, Suspect: r.suspect, Epoch: r.obeyed, Clocks: r.clocks(p)})
}

// pullSoon pulls now, or a little after the last time.
func (r *Replica) pullSoon(p *peer) {
	if again := p.pulled + r.options.Interval/5; p.pulled != 0 && r.in.Now < again {
		p.nextPull = min(p.nextPull, again)
		return
	}
	r.pull(p)
}

// hear takes a peer's report of what it holds.
func (r *Replica) hear(p *peer, v Vector) {
	p.heard, p.met = r.in.Now, true
	p.known.Merge(v)
	r.claims(p, v)
	if p.reported == nil {
		p.reported = v
	}
	r.settle(p)
	if v.At(r.self) > r.held.At(r.self) && !r.suspect && r.options.Mutation != ReuseStamps {
		// The peer has writes of this replica that it has not: its disk has lost them, and nobody noticed.
		r.becomeSuspect()
	}
}

// settle takes note of a report once all writes that its sender had made by then are here: all that it will ever make
// follow what the report covers.
func (r *Replica) settle(p *peer) {
	if p.reported != nil && r.meta.vector.At(p.id) >= p.reported.At(p.id) {
		p.settled.Merge(p.reported)
		p.reported = nil
	}
}

// formerMax bounds the runs of a peer that are remembered to be over.
const formerMax = 8

// over reports whether a message is of a run of the peer that has ended with a loss. Runs are numbered by the clock's bound,
// which grows, unless that was lost, too: so a run that says it has lost something may have any number but a former one's.
func (p *peer) over(life uint64, suspect bool) bool {
	if p.ended(life) && (!suspect || slices.Contains(p.former, life)) {
		return true
	}
	if suspect && life != p.life {
		for _, old := range []uint64{p.life, p.latest} {
			if old != 0 && old != life {
				p.former = append(p.former, old)
			}
		}
		p.former = p.former[max(0, len(p.former)-formerMax):]
		p.life, p.known, p.settled, p.reported, p.obeyed, p.vow = life, nil, nil, nil, 0, nil
		p.cut, p.cutsHeard = 0, false
		p.stopSending()
	}
	p.latest = life
	return false
}

func (p *peer) ended(life uint64) bool { return slices.Contains(p.former, life) || life < p.life }

// onPull answers with what the peer lacks: the log and the vector are of one moment, that before this Step (trap T4.1).
func (r *Replica) onPull(p *peer, m Pull) {
	if p.over(m.Life, m.Suspect) {
		return
	}
	_, member := r.meta.member(p.id)
	if p.asks = !member; p.obeyed != m.Epoch {
		p.obeyed, p.vow = m.Epoch, m.Vector
	}
	r.hear(p, m.Vector)
	r.hearTime(p, m.Life, m.Clocks, m.Vector.At(p.id))
	switch lacks := !m.Vector.Covers(r.meta.vector); {
	case m.Suspect && (r.underWay() || r.transfer.running()):
		// What it has lost may be on its way to the disk here: it will ask again.
	case len(m.Page) > 0:
		r.sendPage(p, m)
	case lacks && !m.Vector.Covers(lowest(r.meta.dropped, r.meta.vector)), r.lacksCuts(p):
		r.startSending(p, m)
	case lacks || m.Suspect:
		r.sendWrites(p, m)
	}
}

func (r *Replica) sendWrites(p *peer, m Pull) {
	vector := r.meta.vector
	if r.options.Mutation == LateVector {
		vector = r.held
	}
	answer := Writes{Base: r.meta.briefFor(m.Vector, p.known), Vector: r.meta.briefFor(vector, p.known), Life: r.life, Answer: m.Life, Clocks: r.clocks(p)}
	from := Dot{Stamp: ^kv.HLC(0)}
	for _, e := range r.meta.vector {
		if has := m.Vector.At(e.Replica); has < e.Stamp {
			from.Stamp = min(from.Stamp, has+1)
		}
	}
	size := 0
	r.eachLogged(from, func(d Dot, raw []byte) bool {
		if m.Vector.Has(d) {
			return true
		}
		if size >= r.options.ChunkBytes {
			answer.More = true
			return false
		}
		w, err := decodeWrite(slices.Clone(raw))
		if err != nil {
			panic("bayou: the write log holds something else: " + err.Error())
		}
		answer.List = append(answer.List, w)
		size += len(raw)
		return true
	})
	// Early: what the log shows is durable here.
	r.out.SendEarly(p.id, answer)
}

// onWrites takes writes for which all that precedes them is here; others wait until it is.
func (r *Replica) onWrites(p *peer, m Writes) {
	if p.over(m.Life, false) {
		return
	}
	r.hear(p, m.Vector)
	r.hearTime(p, m.Life, m.Clocks, m.Vector.At(p.id))
	if m.Answer == r.life {
		p.surveyed = true
	}
	switch {
	case r.transfer.running():
	case r.held.Covers(m.Base) || r.options.Mutation == IgnoreBase:
		r.takeWrites(m)
		p.more = p.more || m.More
	case m.Answer == 0:
		if len(r.early) == earlyMax {
			r.early = slices.Delete(r.early, 0, 1)
		}
		r.early = append(r.early, earlyWrites{p, m})
	}
}

// takeWrites writes to the log what is new. An offer waits for the record that is on its way: then there is one for all that came
// meanwhile, of all peers, and what is accepted here goes with it.
func (r *Replica) takeWrites(m Writes) {
	var list []*Write
	for _, w := range m.List {
		if r.has(w.Dot) {
			continue
		}
		if w.Replica == r.self && !r.suspect {
			if r.options.Mutation != ReuseStamps {
				r.becomeSuspect()
			}
			return
		}
		list = append(list, w)
	}
	if len(list) == 0 {
		return
	}
	if r.arrived == nil {
		r.arrived = &flight{}
	}
	for _, w := range list {
		r.arrived.add(w)
		r.hold(w)
	}
	if r.options.Mutation == CopyVector {
		r.arrived.copied.Merge(m.Vector)
		r.held.Merge(m.Vector)
	}
	if m.Answer != 0 || !r.company() || len(r.arrived.writes) >= flightCommands || r.arrived.size >= flightBytes {
		r.flyArrived()
	}
}

// has says that a write is here already, or will never be: its replica has retired, and all that counts of it is here.
func (r *Replica) has(d Dot) bool {
	if _, was := r.meta.former(d.Replica); was {
		return true
	}
	return r.held.Has(d)
}

// retryEarly takes the offers whose base has come.
func (r *Replica) retryEarly() {
	for again := true; again && !r.transfer.running(); {
		again = false
		kept := r.early[:0]
		for _, e := range r.early {
			switch {
			case e.peer.ended(e.message.Life):
			case r.held.Covers(e.message.Base):
				r.takeWrites(e.message)
				again = true
			default:
				kept = append(kept, e)
			}
		}
		clear(r.early[len(kept):])
		r.early = kept
	}
}

// offer sends the peers what was just accepted here, and goes on asking those that had more than they could send.
func (r *Replica) offer() {
	if len(r.fresh) > 0 {
		for _, p := range r.peers {
			m := Writes{Base: r.meta.briefFor(r.base, p.known), Vector: r.meta.briefFor(r.meta.vector, p.known), Life: r.life, List: r.fresh, Clocks: r.clocks(p)}
			if p.up && !p.gone && r.options.Mutation != OfferUnsynced {
				p.toldAt = r.in.Now
				// Early: the writes are durable here.
				r.out.SendEarly(p.id, m)
			}
		}
		r.fresh = nil
		r.base = slices.Clone(r.meta.vector)
	}
	for _, p := range r.peers {
		if p.more && !r.underWay() && !p.gone {
			p.more = false
			r.pull(p)
		}
	}
}
