package quorum

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

const (
	// rangeRecords is how many records one message about a range covers at most, rangeEntries how many it names.
	rangeRecords = 4000
	rangeEntries = 1000
	// answerWithin is how long a peer has to answer each message of a comparison.
	answerWithin = core.Time(3e9)
	// urgent is the pause between comparisons that cannot wait: of a replica that lost something, or that hints were dropped for.
	urgent = core.Time(200e6)
)

// entropy makes this replica and its peers equal, two at a time (rule Q10).
type entropy struct {
	session *session
	at      core.Time
	turn    int
	cured   mask // whom a suspect replica has been compared with
	// settled are those that this replica has been compared with by the configuration of now, all that they took before included.
	settled mask
	repairs uint64
}

// session is a comparison that this replica conducts. The peer keeps nothing of it.
type session struct {
	id      uint64
	peer    int
	number  uint64
	buckets []byte
	from    []byte
	to      []byte // of the range that was asked about
	next    []byte // where to go on; nil: at the end
	at      core.Time
	suspect bool // the peer is
	partial bool // something of the peer's was refused here
	refused bool // the peer refused something
	unequal bool // what one of them refused is below the line of the repair
	repair  bool // a repair waits for it
	epoch   uint64
}

func (e *entropy) deadline() core.Time {
	if e.session != nil {
		return e.session.at
	}
	return e.at
}

func (r *Replica) entropyTick() {
	e := &r.entropy
	if e.session != nil {
		if e.session.at <= r.in.Now {
			r.endSession(false)
		}
		return
	}
	if e.at > r.in.Now {
		return
	}
	e.at = r.in.Now + r.entropyPause()
	if r.repair.phase != idle {
		return
	}
	if i := r.choosePeer(); i >= 0 {
		r.startSession(i, r.disk.meta.Suspect, false)
	}
}

func (r *Replica) entropyPause() core.Time {
	if r.disk.meta.Suspect || r.disk.meta.Behind&r.up != 0 || r.settles() {
		return urgent
	}
	half := int64(r.options.EntropyEvery / 2)
	return core.Time(half + r.in.Rand.Int64N(2*half))
}

// compareSoon does not let those wait for the next comparison that hints were dropped for, once they can be reached.
func (r *Replica) compareSoon(m mask) {
	if r.disk.meta.Behind&r.up&m != 0 {
		r.entropy.at = min(r.entropy.at, r.in.Now+urgent)
	}
}

// choosePeer is whom to compare with: who needs it most.
func (r *Replica) choosePeer() int {
	others := r.up &^ (1 << r.me)
	switch {
	case r.disk.meta.Suspect:
		r.judgeCure()
		others = (others & r.old).less(r.entropy.cured)
	case r.settles():
		others = (others & r.old).less(r.entropy.settled)
	case others&r.disk.meta.Behind != 0:
		return (others & r.disk.meta.Behind).first()
	}
	r.entropy.turn++
	for k := range r.places {
		if i := (r.entropy.turn + k) % len(r.places); others.has(i) {
			return i
		}
	}
	return -1
}

// startSession begins to compare. all leaves nothing to the sums.
func (r *Replica) startSession(peer int, all, repair bool) {
	s := &session{id: r.next(), peer: peer, at: r.in.Now + answerWithin, repair: repair}
	r.entropy.session = s
	m := Probe{Epoch: r.config.Epoch, Session: s.id, Purge: r.disk.shown.Purge}
	if !all {
		m.Root = r.tree.root()
	}
	r.tell(peer, m)
}

// tell sends what is true of durable records only, and promises nothing.
func (r *Replica) tell(member int, m core.Message) {
	// Early: the state shows only what is durable, and a question or a description of it promises nothing more.
	r.out.SendEarly(r.places[member], m)
}

// adopt raises the purge line to a peer's: it was drawn when all replicas were equal below it, this one among them.
func (r *Replica) adopt(purge kv.HLC) {
	r.setMeta(func(m *meta) { m.Purge, m.Refuse = max(m.Purge, purge), max(m.Refuse, purge) })
}

func (r *Replica) onProbe(from core.ReplicaID, m Probe) {
	r.adopt(m.Purge)
	a := Leaves{Epoch: r.change.shown, Session: m.Session, Refuse: r.disk.shown.Refuse, Purge: r.disk.shown.Purge, Suspect: r.disk.meta.Suspect}
	root := r.tree.root()
	switch {
	case m.Root != 0 && m.Root == root:
		a.Same = true
	case m.Root != 0 && root != 0:
		a.Sums = r.tree.leaves[:]
	}
	// Encoded when the pass ends, so the sums must be a copy.
	a.Sums = append([]sum(nil), a.Sums...)
	r.tell(r.place(from), a)
}

// current is the session that an answer belongs to, if it is still awaited.
func (r *Replica) current(peer int, id uint64) *session {
	if s := r.entropy.session; s != nil && s.id == id && s.peer == peer {
		s.at = r.in.Now + answerWithin
		return s
	}
	return nil
}

func (r *Replica) onLeaves(i int, m Leaves) {
	s := r.current(i, m.Session)
	if s == nil {
		return
	}
	r.adopt(m.Purge)
	s.suspect, s.epoch = m.Suspect, m.Epoch
	if s.repair && (m.Suspect || m.Refuse < r.repair.line && r.options.Mutation != PurgeWithoutRefusal) {
		// Its disk lost something since it drew the line.
		r.endSession(false)
		return
	}
	if r.disk.meta.Suspect {
		r.setMeta(func(d *meta) { d.Refuse = max(d.Refuse, m.Refuse) })
		r.bound(m)
	}
	if m.Same {
		r.endSession(true)
		return
	}
	if len(m.Sums) > 0 && r.tree.built {
		s.buckets = r.tree.differing(m.Sums)
	}
	s.from = []byte{DataKind}
	r.sendRange(s)
}

// sendRange names this replica's records in the next part of the keys.
func (r *Replica) sendRange(s *session) {
	s.number++
	s.to = nil
	m := Range{Session: s.id, Number: s.number, Purge: r.disk.shown.Purge, Buckets: s.buckets, From: s.from}
	n := 0
	r.in.View.Scan(s.from, []byte{DataKind + 1}, func(key, record []byte) bool {
		if n == rangeRecords || len(m.Entries) == rangeEntries {
			s.to = bytes.Clone(key)
			return false
		}
		n++
		if in(s.buckets, key) && r.counts(record) {
			m.Entries = append(m.Entries, Entry{bytes.Clone(key), StampOf(record), xxhash.Sum64(record)})
		}
		return true
	})
	m.To = s.to
	r.tell(s.peer, m)
}

// counts reports whether a record is to be compared: what may be forgotten is not, or it would be repaired for ever (T3.13).
func (r *Replica) counts(record []byte) bool {
	return !dead(record, r.disk.shown.Purge) || r.options.Mutation == CompareDead
}

// onRange compares the records that a peer names with those here.
func (r *Replica) onRange(from core.ReplicaID, m Range) {
	r.adopt(m.Purge)
	d := Difference{Session: m.Session, Number: m.Number, Purge: r.disk.shown.Purge}
	end := m.To
	if len(end) == 0 {
		end = []byte{DataKind + 1}
	}
	entries, n := m.Entries, 0
	theirs := func(below []byte) {
		for len(entries) > 0 && (below == nil || bytes.Compare(entries[0].Key, below) < 0) {
			d.Wanted = append(d.Wanted, entries[0].Key)
			entries = entries[1:]
		}
	}
	r.in.View.Scan(m.From, end, func(key, record []byte) bool {
		if n == rangeRecords || len(d.Items) > pageBytes {
			d.Until = bytes.Clone(key)
			return false
		}
		n++
		if !in(m.Buckets, key) {
			return true
		}
		theirs(key)
		named := len(entries) > 0 && bytes.Equal(entries[0].Key, key)
		switch {
		case !named && r.counts(record):
			d.Items = appendItem(d.Items, key, record)
		case named:
			r.compareEntry(&d, &entries[0], key, record)
			entries = entries[1:]
		}
		return true
	})
	if d.Until == nil {
		theirs(nil)
	} else {
		theirs(d.Until)
	}
	r.tell(r.place(from), d)
}

func (r *Replica) compareEntry(d *Difference, e *Entry, key, record []byte) {
	switch c := StampOf(record).Compare(e.Stamp); {
	case c > 0:
		d.Items = appendItem(d.Items, key, record)
	case c < 0:
		d.Wanted = append(d.Wanted, e.Key)
	case e.Hash != xxhash.Sum64(record):
		// Two clients gave one stamp: both sides choose alike once both have both.
		d.Items = appendItem(d.Items, key, record)
		d.Wanted = append(d.Wanted, e.Key)
	}
}

// onDifference takes what is newer at the peer, and gives it what is newer here.
func (r *Replica) onDifference(i int, m Difference) {
	s := r.current(i, m.Session)
	if s == nil || m.Number != s.number {
		return
	}
	r.adopt(m.Purge)
	for _, f := range r.accept(m.Items, FromEntropy, m.Purge, 0) {
		s.partial = true
		r.leftUnequal(s, m.Items, int(f.Item))
	}
	s.next = s.to
	if len(m.Until) > 0 {
		s.next = m.Until
	}
	var list items
	for _, key := range m.Wanted {
		if record := r.shownRecord(key); len(record) > 0 {
			list = appendItem(list, key, record)
		}
	}
	r.entropy.repairs += uint64(m.Items.count() + list.count())
	if len(list) == 0 {
		r.goOn(s)
		return
	}
	s.at = never
	r.coordinate(&batch{source: FromEntropy, items: list, targets: mask(0).with(i), ops: []writeOp{{item: -1, need: needEvery, session: s}}}, 0)
}

// pushRefused takes note that the peer did not take an item.
func (r *Replica) pushRefused(s *session, list items, item int) {
	s.refused = true
	r.leftUnequal(s, list, item)
}

// leftUnequal takes note of what one of both refused below the line of a repair: a clock that was set back takes nothing new, and what
// a tombstone hides would stay there, and come back when the tombstone is gone (trap T3.3).
func (r *Replica) leftUnequal(s *session, list items, item int) {
	list.each(func(i int, _, record []byte) {
		if i == item && StampOf(record).Time < r.repair.line && r.options.Mutation != ForgetRefused {
			s.unequal = true
		}
	})
}

// pushed goes on when the peer has what it wanted.
func (r *Replica) pushed(s *session, bad kv.Result) {
	if r.entropy.session != s {
		return
	}
	if bad.Code != kv.OK {
		r.endSession(false)
		return
	}
	r.goOn(s)
}

func (r *Replica) goOn(s *session) {
	s.at = r.in.Now + answerWithin
	if len(s.next) == 0 {
		r.endSession(true)
		return
	}
	s.from = s.next
	r.sendRange(s)
}

// lost gives up the comparison with a peer whose connection broke.
func (e *entropy) lost(r *Replica, peer int) {
	if e.session != nil && e.session.peer == peer {
		r.endSession(false)
	}
}

func (r *Replica) endSession(whole bool) {
	e := &r.entropy
	s, before := e.session, e.settled
	e.session = nil
	if whole && !s.refused {
		r.setMeta(func(m *meta) { m.Behind &^= 1 << s.peer })
	}
	if whole {
		r.compared(s)
	}
	if s.repair {
		r.repairOn(whole && !s.unequal)
	}
	e.at = r.in.Now + r.entropyPause()
	if e.settled != before && (r.disk.meta.Suspect || r.settles()) {
		e.at = r.in.Now // the next one, at once
	}
}

// compared takes note of whom this replica has all from, and what follows.
func (r *Replica) compared(s *session) {
	e := &r.entropy
	if !s.suspect && !s.partial && s.epoch >= r.config.Epoch {
		e.settled = e.settled.with(s.peer)
		if r.disk.meta.Suspect {
			e.cured = e.cured.with(s.peer)
		}
	}
	r.judgeCure()
	r.report()
}

// covers says that every write that a majority of the members has acknowledged is on one of some of them. Of this replica
// itself nothing is known, unless it is among them.
func (r *Replica) covers(some mask) bool {
	n := r.old.count()
	return (some & r.old).count() > n-needMajority.of(n)
}

// judgeCure lets a replica that lost something count again when it has been compared with so many others that every
// acknowledged write is on one of them at least (rule L2).
func (r *Replica) judgeCure() {
	cured := r.entropy.cured & r.old
	if !r.disk.meta.Suspect || !r.covers(cured) && r.old.less(cured)&^(1<<r.me) != 0 {
		return
	}
	r.entropy.cured, r.doubt = 0, 0
	r.setMeta(func(m *meta) { m.Suspect = false })
	r.out.Note(SuspectNote{false})
}
