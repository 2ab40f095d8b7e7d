package referee

import (
	"slices"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

const setsCheck = "sets"

// CheckSets judges sets by those of their members that were put there only once. Who removed a member had seen it put there, so it is gone
// for good; who did not find it, or emptied the set before it was put there, had not, and it stays. A session sees both of its own.
func CheckSets(r *Run) Verdict {
	names, byKey := r.History.keys()
	for _, key := range names {
		s := setHistory{key: key, ops: byKey[key], sessions: r.Consistency != string(kv.Eventual)}
		if v := s.judge(r.Final); !v.OK() {
			v.Judged = len(r.History)
			return v
		}
	}
	return Verdict{Check: setsCheck, Decision: Holds, Judged: len(r.History)}
}

// setHistory is what was done to one set.
type setHistory struct {
	key string
	ops []Op
	// sessions says that a session sees what it did before.
	sessions bool
}

func (s *setHistory) judge(final Final) Verdict {
	for i := range s.ops {
		if o := &s.ops[i]; o.Kind == Members && o.Outcome == Done {
			if v := s.judgeRead(o); !v.OK() {
				return v
			}
		}
	}
	if final == nil {
		return Verdict{Check: setsCheck, Decision: Holds}
	}
	left := strings.Fields(final[s.key])
	for i := range s.ops {
		o := &s.ops[i]
		switch {
		case s.stays(o) && !slices.Contains(left, o.Value):
			return broken(setsCheck, s.key, []Op{*o}, "member %s was put there, and nobody who had seen that took it away, but it is gone in the end", o.Value)
		case s.removed(o) && slices.Contains(left, o.Expect):
			return broken(setsCheck, s.key, []Op{*o}, "member %s was taken away by who had seen it, and is back in the end", o.Expect)
		}
	}
	return Verdict{Check: setsCheck, Decision: Holds}
}

// judgeRead holds a read to what was ever put there, and to what its session did before.
func (s *setHistory) judgeRead(read *Op) Verdict {
	found := strings.Fields(read.Got)
	for _, member := range found {
		if !slices.ContainsFunc(s.ops, func(o Op) bool { return o.Kind == Include && o.Value == member && o.Outcome != Refused }) {
			return broken(setsCheck, s.key, []Op{*read}, "member %s was put there by nobody", member)
		}
	}
	if !s.sessions || read.Level != "" && read.Level != kv.LevelSession.String() {
		return Verdict{Check: setsCheck, Decision: Holds}
	}
	for i := range s.ops {
		o := &s.ops[i]
		if o.session() != read.session() || o.Return >= read.Call || o.Level != "" {
			continue
		}
		switch {
		case s.stays(o) && !slices.Contains(found, o.Value):
			return broken(setsCheck, s.key, []Op{*o, *read}, "the session put %s there, and nobody who had seen that took it away, but it does not find it", o.Value)
		case s.removed(o) && slices.Contains(found, o.Expect):
			return broken(setsCheck, s.key, []Op{*o, *read}, "the session took %s away and finds it", o.Expect)
		}
	}
	return Verdict{Check: setsCheck, Decision: Holds}
}

// removed says that an operation took a member away that it had found, and that nobody has put there again.
func (s *setHistory) removed(o *Op) bool {
	return o.Kind == Exclude && o.Outcome == Done && o.Code == kv.OK && s.puts(o.Expect) <= 1
}

// puts is how often a member was put there, or may have been.
func (s *setHistory) puts(member string) (n int) {
	for i := range s.ops {
		if o := &s.ops[i]; o.Kind == Include && o.Value == member && o.Outcome != Refused {
			n++
		}
	}
	return n
}

// stays says that an operation put a member there for certain, and that nothing else can have seen it and taken it away.
func (s *setHistory) stays(put *Op) bool {
	if put.Kind != Include || put.Outcome != Done || put.Code != kv.OK {
		return false
	}
	return !slices.ContainsFunc(s.ops, func(o Op) bool {
		all := o.Kind.Writes() && o.Kind != Include && o.Kind != Exclude
		takes := o.Kind == Exclude && o.Expect == put.Value || all && o.end() >= put.Call && o.ID != put.ID
		return takes && o.Outcome != Refused && (o.Outcome == Unknown || o.Code == kv.OK)
	})
}
