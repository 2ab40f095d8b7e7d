package machine

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/gamutdb/gamut/kv"
)

// Rule X2: a session that is not in the table is taken up only while it is young by log time, and forgotten only when it
// has been idle for longer than that, so a late retry can never find its session gone and start it anew.
const (
	sessionWindow = 10 * 60 * 1000 // milliseconds: W
	sessionIdle   = 2 * sessionWindow
	// sessionResults is how many answers a session may leave unacknowledged.
	sessionResults = 64
)

// session is a client's row in the table of sessions.
type session struct {
	client  [16]byte
	known   bool // it is in the table
	dirty   bool
	active  int64 // log time of its last command, Unix milliseconds
	acked   uint64
	results []answered
	// last is the highest number that may be among the results.
	last uint64
}

type answered struct {
	seq    uint64
	result []byte
}

// applyOnce executes a command of a session unless it was executed before (rule X1): then it gives the same answer again.
func (m *Machine) applyOnce(c *kv.Command) kv.Result {
	id := c.Session
	s := m.session(id.Client)
	if !s.known {
		if refusal := m.admit(id); refusal != nil {
			return *refusal
		}
	}
	if r, done := s.find(id.Seq); done {
		return r
	}
	if m.blocked(c) {
		return kv.Result{Code: kv.Locked} // it is sent again with the same number
	}
	s.forget(id.Acked)
	if len(s.results) >= sessionResults {
		return kv.Result{Code: kv.Busy, Detail: "the session has 64 answers that it did not acknowledge"}
	}
	res := m.execute(c)
	m.remember(s, id.Seq, &res)
	return res
}

// remember keeps the answer to a number.
func (m *Machine) remember(s *session, seq uint64, res *kv.Result) {
	if !s.known {
		m.put(m.stateKey(idleKind, timeKey(m.now.UnixMilli()+sessionIdle), s.client[:]), nil)
	}
	s.known, s.dirty, s.active = true, true, m.now.UnixMilli()
	from := len(m.arena)
	m.arena = kv.AppendResult(m.arena, res)
	s.results, s.last = append(s.results, answered{seq, m.arena[from:len(m.arena):len(m.arena)]}), max(s.last, seq)
}

// session opens a client's row for the rest of the entry; Finish writes it back once, however many commands it had.
func (m *Machine) session(client [16]byte) *session {
	// Commands of one client come together.
	if n := len(m.sessions); n > 0 && m.sessions[n-1].client == client {
		return m.sessions[n-1]
	}
	if at, ok := m.sessionAt[client]; ok {
		return m.sessions[at]
	}
	s := m.openSession()
	s.client = client
	if b, ok := m.view.Get(m.stateKey(sessionKind, client[:])); ok {
		s.mustDecode(b)
		s.known = true
	}
	if m.sessionAt == nil {
		m.sessionAt = map[[16]byte]int{}
	}
	m.sessionAt[client] = len(m.sessions)
	m.sessions = append(m.sessions, s)
	return s
}

// openSession is an empty row, in memory of an earlier entry if there is some.
func (m *Machine) openSession() *session {
	s := new(session)
	if at := len(m.sessions); at < cap(m.sessions) {
		if old := m.sessions[:at+1][at]; old != nil {
			clear(old.results)
			*old = session{results: old.results[:0]}
			s = old
		}
	}
	return s
}

// writeSessions writes the rows that the entry changed, in the order in which it met them.
func (m *Machine) writeSessions() {
	for _, s := range m.sessions {
		if s.dirty {
			from := len(m.arena)
			m.arena = appendSession(m.arena, s)
			row := m.arena[from:len(m.arena):len(m.arena)]
			m.put(m.stateKey(sessionKind, s.client[:]), row)
		}
	}
	m.sessions = m.sessions[:0]
	clear(m.sessionAt)
}

// admit judges a session that is not in the table.
func (m *Machine) admit(id kv.Session) *kv.Result {
	created := int64(binary.BigEndian.Uint64(id.Client[:8]) >> 16)
	now := m.now.UnixMilli()
	if created < now-sessionWindow || created > now+sessionWindow/2 {
		return &kv.Result{Code: kv.TooOld, Detail: "the session is not known and was not created within the last 10 minutes; start a new one"}
	}
	return nil
}

// endSession forgets a session that was idle too long; one that was not is looked at again later.
func (m *Machine) endSession(_ int64, client []byte) {
	key := m.stateKey(sessionKind, client)
	b, ok := m.get(key)
	if !ok {
		return
	}
	s := mustDecodeSession(b)
	if ends := s.active + sessionIdle; ends > m.now.UnixMilli() {
		m.put(m.stateKey(idleKind, timeKey(ends), client), nil)
		return
	}
	m.delete(key)
}

// find returns the answer that a command was given before. One that was acknowledged is gone.
func (s *session) find(seq uint64) (kv.Result, bool) {
	if seq <= s.acked {
		return kv.Result{Code: kv.TooOld, Detail: "this request was answered and acknowledged before"}, true
	}
	if seq > s.last {
		return kv.Result{}, false
	}
	for i := range s.results {
		if s.results[i].seq == seq {
			var r kv.Result
			// A copy: the answer outlives the arena, where the row's newest results are.
			if _, err := kv.DecodeResult(bytes.Clone(s.results[i].result), &r); err != nil {
				panic("machine: a session's result cannot be decoded")
			}
			return r, true
		}
	}
	return kv.Result{}, false
}

func (s *session) forget(acked uint64) {
	if acked <= s.acked {
		return
	}
	s.acked = acked
	kept := s.results[:0]
	for _, r := range s.results {
		if r.seq > s.acked {
			kept = append(kept, r)
		}
	}
	s.results = kept
}

func appendSession(b []byte, s *session) []byte {
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(s.active))
	b = binary.AppendUvarint(b, s.acked)
	b = binary.AppendUvarint(b, uint64(len(s.results)))
	for _, r := range s.results {
		b = binary.AppendUvarint(b, r.seq)
		b = binary.AppendUvarint(b, uint64(len(r.result)))
		b = append(b, r.result...)
	}
	return b
}

func mustDecodeSession(b []byte) (s session) {
	s.mustDecode(b)
	return s
}

// mustDecode reads a row. Its results point into b.
func (s *session) mustDecode(b []byte) {
	bad := len(b) == 0 || b[0] != recordVersion
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad = true
			return 0
		}
		b = b[n:]
		return v
	}
	if !bad {
		b = b[1:]
	}
	s.active, s.acked = int64(next()), next()
	n := next()
	if n <= uint64(len(b)) {
		s.results = slices.Grow(s.results, int(n)+1) // and the one that is about to be added
	}
	for ; n > 0 && !bad; n-- {
		seq, size := next(), next()
		if bad = bad || size > uint64(len(b)); !bad {
			s.results, s.last = append(s.results, answered{seq, b[:size:size]}), max(s.last, seq)
			b = b[size:]
		}
	}
	if bad || len(b) > 0 {
		panic("machine: a session's row cannot be decoded")
	}
}
