package quorum

import (
	"bytes"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// pageBytes bounds what one replica answers to a scan at once.
const pageBytes = 512 << 10

// scans are ranges that are being read for clients.
type scans struct {
	open  map[uint64]*scan
	order []uint64
}

// scan is one range of keys, read from several replicas and merged. It is no snapshot: each replica answers from its own now.
type scan struct {
	id       uint64
	request  core.RequestID
	from, to []byte // of the state
	limit    int
	keysOnly bool
	need     rank
	level    kv.Level
	at       core.Time
	hedgeAt  core.Time
	hedged   bool
	asked    mask
	answered mask
	pages    [MembersMax]Page
	result   kv.Result
	over     bool
	left     int // items that are being repaired
}

func (s *scans) deadline() core.Time {
	at := never
	for _, id := range s.order {
		if q := s.open[id]; q != nil && !q.over {
			at = min(at, q.at)
			if !q.hedged {
				at = min(at, q.hedgeAt)
			}
		}
	}
	return at
}

func (s *scans) list() (list []*scan) {
	for _, id := range s.order {
		if q := s.open[id]; q != nil {
			list = append(list, q)
		}
	}
	return list
}

func (r *Replica) beginScan(id core.RequestID, o *kv.Op, need rank, met kv.Level) {
	s := &scan{request: id, limit: int(o.Limit), keysOnly: o.KeysOnly, need: need, level: met,
		at: r.in.Now + r.options.ReadWithin, hedgeAt: r.in.Now + r.options.Hedge}
	if s.limit == 0 || s.limit > kv.ScanMax {
		s.limit = kv.ScanMax
	}
	s.from = append([]byte{DataKind}, o.Key...)
	if len(o.End) > 0 {
		s.to = append([]byte{DataKind}, o.End...)
	}
	r.askScan(s)
}

// askScan asks for the pages of a scan under a number of its own.
func (r *Replica) askScan(s *scan) {
	if r.outside() {
		r.endScan(s, kv.Failed(errOutside))
		return
	}
	s.id = r.next()
	r.scans.open[s.id] = s
	r.scans.order = append(r.scans.order, s.id)
	if !r.disk.meta.Suspect {
		s.answered = s.answered.with(r.me)
		s.pages[r.me] = r.page(s.from, s.to, s.limit)
	}
	s.ask(r, r.choose(s.need, s.answered))
	if s.need.met(s.answered, r.readers()) {
		r.mergeScan(s)
	}
}

func (s *scan) ask(r *Replica, whom mask) {
	s.asked |= whom
	for rest := whom; rest != 0; rest &= rest - 1 {
		// Early: a question promises nothing.
		r.out.SendEarly(r.places[rest.first()], Scan{r.config.Epoch, s.id, s.from, s.to, uint32(s.limit)})
	}
}

func (s *scan) hedge(r *Replica) {
	if !s.hedged && !s.over {
		s.hedged = true
		s.ask(r, (r.up&r.readable()).less(s.asked)&^(1<<r.me))
	}
}

// page reads the records of a range, tombstones included: they must win over what other replicas still hold.
func (r *Replica) page(from, to []byte, limit int) (p Page) {
	if len(to) == 0 {
		to = []byte{DataKind + 1}
	}
	n := 0
	r.in.View.Scan(from, to, func(key, record []byte) bool {
		if n == limit || len(p.Items) > pageBytes {
			p.End = bytes.Clone(key)
			return false
		}
		if !dead(record, r.disk.shown.Purge) {
			p.Items = appendItem(p.Items, key, record)
			n++
		}
		return true
	})
	return p
}

func (r *Replica) onScan(from core.ReplicaID, m Scan) {
	p := r.page(m.From, m.To, int(min(m.Limit, kv.ScanMax)))
	p.ID, p.Suspect = m.ID, r.disk.meta.Suspect
	// Early: what the state shows is durable.
	r.out.SendEarly(from, p)
}

func (r *Replica) onPage(i int, m Page) {
	s := r.scans.open[m.ID]
	if s == nil || s.over || !s.asked.has(i) || s.answered.has(i) {
		return
	}
	if m.Suspect {
		s.hedge(r)
		return
	}
	s.answered = s.answered.with(i)
	s.pages[i] = m
	if s.need.met(s.answered, r.readers()) {
		r.mergeScan(s)
	}
}

// cover is the key up to which all pages reach; nil: to the end of the range.
func (s *scan) cover() (end []byte) {
	for m := s.answered; m != 0; m &= m - 1 {
		if e := s.pages[m.first()].End; len(e) > 0 && (end == nil || bytes.Compare(e, end) < 0) {
			end = e
		}
	}
	return end
}

// merge is the newest record of each key that some page has, in order, and the replicas that lack one of them.
func (s *scan) merge(end []byte) (list items, keys int, stale mask, repair items) {
	rest := s.pages
	for {
		var lowest []byte
		for m := s.answered; m != 0; m &= m - 1 {
			key, _, _, ok := rest[m.first()].Items.next()
			if ok && (end == nil || bytes.Compare(key, end) < 0) && (lowest == nil || bytes.Compare(key, lowest) < 0) {
				lowest = key
			}
		}
		if lowest == nil {
			return list, keys, stale, repair
		}
		var newest []byte
		var held [MembersMax][]byte
		for m := s.answered; m != 0; m &= m - 1 {
			i := m.first()
			if key, record, after, ok := rest[i].Items.next(); ok && bytes.Equal(key, lowest) {
				held[i], rest[i].Items = record, after
				if compare(record, newest) > 0 {
					newest = record
				}
			}
		}
		list = appendItem(list, lowest, newest)
		keys++
		differs := false
		for m := s.answered; m != 0; m &= m - 1 {
			if i := m.first(); compare(held[i], newest) != 0 {
				stale, differs = stale.with(i), true
			}
		}
		if differs {
			repair = appendItem(repair, lowest, newest)
		}
	}
}

// mergeScan answers with what all pages cover, when the replicas that were asked hold the newest of it.
func (r *Replica) mergeScan(s *scan) {
	s.over = true
	end := s.cover()
	list, _, stale, repair := s.merge(end)
	s.result = kv.Result{Level: s.level, AsOf: r.in.Wall}
	list.each(func(_ int, key, record []byte) {
		item := result(record, s.keysOnly, s.level, r.now())
		if item.Code == kv.OK && len(s.result.Items) < s.limit {
			item.Key = bytes.Clone(key[1:])
			s.result.Items = append(s.result.Items, item)
		} else if item.Code == kv.OK && s.result.Key == nil {
			s.result.Key = bytes.Clone(key[1:])
		}
	})
	if s.result.Key == nil && end != nil {
		s.result.Key = bytes.Clone(end[1:])
	}
	if stale == 0 {
		r.endScan(s, s.result)
		return
	}
	r.reads.repairs++
	r.coordinate(&batch{source: FromRead, items: repair, targets: stale, ops: repairOps(s, repair.count())}, 0)
}

// repairOps waits for the last item only where no item is refused; each item has to arrive, so each is waited for.
func repairOps(s *scan, count int) []writeOp {
	s.left = count
	ops := make([]writeOp, count)
	for i := range ops {
		ops[i] = writeOp{item: i, need: needEvery, scan: s}
	}
	return ops
}

func (r *Replica) scanRepaired(s *scan, bad kv.Result) {
	if bad.Code != kv.OK && s.result.Code == kv.OK {
		s.result = kv.Result{Code: kv.Unavailable, Detail: "the newest records could not be written to the replicas that lack them; the scan may be sent again"}
	}
	if s.left--; s.left == 0 {
		r.endScan(s, s.result)
	}
}

func (r *Replica) endScan(s *scan, result kv.Result) {
	delete(r.scans.open, s.id)
	r.scans.order = slices.DeleteFunc(r.scans.order, func(id uint64) bool { return id == s.id })
	// Early: what was read is durable on as many replicas as were asked for.
	r.out.ReplyEarly(s.request, result)
}

func (r *Replica) endScans() {
	for _, s := range r.scans.list() {
		switch {
		case s.over:
		case s.at <= r.in.Now:
			s.over = true
			r.endScan(s, kv.Result{Code: kv.Unavailable, Detail: "too few replicas answered in time; the scan may be sent again"})
		case s.hedgeAt <= r.in.Now:
			s.hedge(r)
		}
	}
}
