package quorum

import "slices"

// openReads are those without an answer, those that wait for their repair included.
func (r *Replica) openReads() (list []*read) {
	seen := map[*read]bool{}
	add := func(q *read) {
		if !seen[q] {
			seen[q] = true
			list = append(list, q)
		}
	}
	for _, id := range r.reads.order {
		if round := r.reads.rounds[id]; round != nil {
			for _, q := range round.reads {
				if !q.over {
					add(q)
				}
			}
		}
	}
	for _, id := range r.writes.order {
		if b := r.writes.batches[id]; b != nil {
			for i := range b.ops {
				if o := &b.ops[i]; o.read != nil && !o.done {
					add(o.read)
				}
			}
		}
	}
	for _, q := range r.reads.begun {
		add(q)
	}
	clear(r.reads.rounds)
	r.reads.order, r.reads.begun = r.reads.order[:0], nil
	return list
}

// readAnew begins a read again: what answered may not be enough by now, and what is repaired would be so on too few.
func (r *Replica) readAnew(q *read) {
	q.over, q.asked, q.answered, q.newest = false, 0, 0, nil
	q.records = [MembersMax][]byte{}
	r.askFor(q)
}

func (r *Replica) scanAnew() {
	open := r.scans.list()
	clear(r.scans.open)
	r.scans.order = r.scans.order[:0]
	for _, s := range open {
		s.over, s.hedged, s.asked, s.answered = false, false, 0, 0
		s.pages = [MembersMax]Page{}
		r.askScan(s)
	}
}

// sendAnew sends what clients write and is not answered to all that have to have it now. What else is on its way ends: reads and
// comparisons begin anew, hints are sent again.
func (r *Replica) sendAnew(replaced mask) {
	w := &r.writes
	gone := ^r.all | replaced
	for _, id := range slices.Clone(w.order) {
		b := w.batches[id]
		switch {
		case b == nil:
			continue
		case b.source != FromClient:
			r.hintInterrupted(b)
			r.endBatch(b)
			continue
		}
		b.targets = r.up | b.targets.less(gone)
		b.acked, b.again = b.acked.less(gone), 0
		for i := range b.ops {
			b.ops[i].refused = b.ops[i].refused.less(gone)
		}
		r.sendTo(b, (r.up).less(b.acked))
		r.judgeBatch(b)
	}
}

// judgeBatch ends what a batch has enough replicas for, or can have no more of.
func (r *Replica) judgeBatch(b *batch) {
	r.count(b)
	r.letGo(b, false)
	if b.acked == b.targets {
		r.endBatch(b)
	}
}

func (r *Replica) hintInterrupted(b *batch) {
	if b.hint != nil {
		h := &r.hints[b.hint.member]
		h.sending, h.replayAt = false, r.in.Now
	}
}

// includeInWrites sends what is not answered to a member that can be reached at last, if it may be needed for that.
func (r *Replica) includeInWrites(i int) {
	if !r.config.moving() {
		return
	}
	for _, id := range slices.Clone(r.writes.order) {
		if b := r.writes.batches[id]; b != nil && b.source == FromClient && !b.acked.has(i) {
			b.targets = b.targets.with(i)
			r.sendTo(b, mask(0).with(i))
		}
	}
}
