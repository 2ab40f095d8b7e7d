package sim

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// judgeQuorum checks what a leaderless keyspace promises: what a majority has acknowledged, every later read of a majority
// sees, or something newer; such reads never go back; nothing is read that nobody wrote; what is there at the end is no
// older than what was acknowledged; and what was deleted does not come back.
func judgeQuorum(h referee.History, final referee.Final) []referee.Verdict {
	byKey := map[string]referee.History{}
	var keys []string
	for _, o := range h {
		if byKey[o.Key] == nil {
			keys = append(keys, o.Key)
		}
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	slices.Sort(keys)
	for _, key := range keys {
		k := newStamped(key, byKey[key])
		for _, rule := range []func() *referee.Verdict{k.made, k.seen, func() *referee.Verdict { return k.ending(final) }} {
			if v := rule(); v != nil {
				return []referee.Verdict{*v}
			}
		}
	}
	return []referee.Verdict{{Check: "quorum", Decision: referee.Holds}}
}

// stamped is one key and what was done to it.
type stamped struct {
	key    string
	ops    referee.History
	writes map[string]referee.Op // by value
	// gone is the newest stamp that a deletion may have; unsure: some deletion's is not known.
	gone   referee.Stamp
	unsure bool
}

func newStamped(key string, ops referee.History) *stamped {
	k := &stamped{key: key, ops: ops, writes: map[string]referee.Op{}}
	for _, o := range ops {
		switch {
		case o.Kind == referee.Set && o.Outcome != referee.Refused:
			k.writes[o.Value] = o
		case o.Kind == referee.Delete && o.Outcome == referee.Unknown:
			k.unsure = true
		case o.Kind == referee.Delete && o.Outcome == referee.Done && o.Stamp.Compare(k.gone) > 0:
			k.gone = o.Stamp
		}
	}
	return k
}

func (k *stamped) broken(check string, proof []referee.Op, why string, args ...any) *referee.Verdict {
	return &referee.Verdict{Check: check, Decision: referee.Broken, Key: k.key, Proof: proof, Why: fmt.Sprintf(why, args...)}
}

// major reports whether an operation was answered by a majority, however many replicas there are.
func major(o *referee.Op) bool {
	few := []string{kv.LevelOne.String(), kv.LevelTwo.String(), kv.LevelEventual.String()}
	return o.Outcome == referee.Done && !slices.Contains(few, o.Level)
}

// made: what is read was written by somebody who was not refused, and had called by then.
func (k *stamped) made() *referee.Verdict {
	for _, o := range k.ops {
		if o.Kind != referee.Get || o.Outcome != referee.Done || o.Code != kv.OK {
			continue
		}
		if w, ok := k.writes[o.Got]; !ok || w.Call > o.Return {
			return k.broken("quorum", []referee.Op{o}, "nobody has written what was read")
		}
	}
	return nil
}

// seen: reads of a majority return no less than what a majority had acknowledged, or shown, before they began. A key that is
// missing without a trace was deleted, by something at least as new.
func (k *stamped) seen() *referee.Verdict {
	for i := range k.ops {
		r := &k.ops[i]
		if r.Kind != referee.Get || !major(r) {
			continue
		}
		for j := range k.ops {
			w := &k.ops[j]
			if !major(w) || w.Stamp.IsZero() || w.Return >= r.Call || w.Stamp.Compare(r.Stamp) <= 0 {
				continue
			}
			if r.Stamp.IsZero() && (k.unsure || k.gone.Compare(w.Stamp) >= 0) {
				continue
			}
			return k.broken("quorum", []referee.Op{*w, *r}, "a read of a majority returns %v, though a majority had %v before", r.Stamp, w.Stamp)
		}
	}
	return nil
}

// ending: what is left is no older than anything that a majority acknowledged, and was written by somebody.
func (k *stamped) ending(final referee.Final) *referee.Verdict {
	value, present := final[k.key]
	var newest referee.Op
	for _, o := range k.ops {
		if o.Kind.Writes() && major(&o) && o.Stamp.Compare(newest.Stamp) > 0 {
			newest = o
		}
	}
	w, made := k.writes[value]
	switch {
	case present && !made:
		return k.broken("durability", nil, "what is left, %q, was written by nobody", value)
	case present && w.Outcome == referee.Done && w.Stamp.Compare(newest.Stamp) < 0:
		return k.broken("durability", []referee.Op{w, newest}, "what is left is older than what a majority acknowledged")
	case !present && newest.Kind == referee.Set && !k.unsure && k.gone.Compare(newest.Stamp) < 0:
		return k.broken("durability", []referee.Op{newest}, "the key is missing, though nobody deleted what a majority acknowledged")
	}
	return nil
}
