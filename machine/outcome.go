package machine

import (
	"encoding/binary"

	"github.com/gamutdb/gamut/kv"
)

// fencesMax is how many numbers of a session may be fenced beside the answers that it left unacknowledged.
const fencesMax = 64

// outcome tells what became of the command of a session's number, and sees to it that this is final (rule X5): a number that was not
// executed gets the answer Fenced in the table, so that whoever still brings it along finds that, and nothing is executed. What the
// table would not take up any more needs no such answer.
func (m *Machine) outcome(c *kv.Command) kv.Result {
	id := c.Session
	s := m.session(id.Client)
	if !s.known {
		if r, final := m.outcomeOfAbsent(id); final {
			return r
		}
	}
	stored, found := s.find(id.Seq)
	switch {
	case found && stored.Code == kv.TooOld:
		return kv.Result{Code: kv.TooOld, Detail: "the request was answered, and its client has acknowledged that; its outcome is not kept any more"}
	case found && stored.Code == kv.Fenced:
		return kv.Result{}
	case found:
		return kv.Result{Existed: true, Items: []kv.Result{ended(&stored)}}
	case m.Unfenced:
		return kv.Result{}
	case len(s.results) >= sessionResults+fencesMax:
		return kv.Result{Code: kv.Busy, Detail: "too many outcomes of this client are open; ask for them in the order of their numbers"}
	}
	m.remember(s, id.Seq, &kv.Result{Code: kv.Fenced, Detail: "its outcome was asked for before it was executed, and told to be: not done"})
	return kv.Result{}
}

// outcomeOfAbsent is what is known of a request whose session is not in the table; final is false if it may be taken up yet.
func (m *Machine) outcomeOfAbsent(id kv.Session) (r kv.Result, final bool) {
	created := int64(binary.BigEndian.Uint64(id.Client[:8]) >> 16)
	switch now := m.now.UnixMilli(); {
	case created > now+sessionWindow/2:
		return kv.Result{Code: kv.Invalid, Detail: "the request is of a time to come"}, true
	case created >= now-sessionWindow:
		return kv.Result{}, false
	case created >= now-sessionWindow-sessionWindow/2:
		// Too old to be taken up; and had it ever been, it would be in the table still (rule X2).
		return kv.Result{}, true
	}
	return kv.Result{Code: kv.TooOld, Detail: "nobody remembers the request: outcomes are kept for 20 minutes after their client's last request"}, true
}

// ended is how a command ended, without what it read.
func ended(r *kv.Result) kv.Result {
	e := kv.Result{Code: r.Code, Existed: r.Existed, Version: r.Version, AsOf: r.AsOf, Int: r.Int, Position: r.Position}
	for i := range r.Items {
		e.Items = append(e.Items, kv.Result{Code: r.Items[i].Code, Version: r.Items[i].Version, Int: r.Items[i].Int})
	}
	return e
}
