package referee

import (
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// CheckDurable judges the final state: no acknowledged write is lost, none is there that nobody made, a refused one
// least of all, and none took effect twice. Values must be unique for it to see that.
func CheckDurable(h History, final Final) Verdict { return checkDurable(h, final, false) }

// checkDurable is CheckDurable. placed says that a write's place hangs neither on stamps nor on time, so that any may have come last.
func checkDurable(h History, final Final, placed bool) Verdict {
	names, byKey := h.keys()
	for _, key := range names {
		value, present := final[key]
		k := ending{key: key, value: value, present: present, ops: byKey[key], placed: placed}
		for _, rule := range []func(*ending) (Verdict, bool){(*ending).counter, (*ending).list, (*ending).register} {
			if v, applies := rule(&k); applies {
				if v.Judged = len(h); !v.OK() {
					return v
				}
				break
			}
		}
	}
	return Verdict{Check: durable, Decision: Holds, Judged: len(h)}
}

const durable = "durability"

// ending is a key, what was done to it and what became of it.
type ending struct {
	key     string
	value   string
	present bool
	ops     []Op
	placed  bool
}

// only reports whether nothing but this kind of write was tried on the key.
func (e *ending) only(kind Kind) bool {
	some := false
	for i := range e.ops {
		if k := e.ops[i].Kind; k == kind {
			some = true
		} else if k.Writes() {
			return false
		}
	}
	return some
}

var holds = Verdict{Check: durable, Decision: Holds}

// counter: the sum of all acknowledged increments, and of any of the unknown ones.
func (e *ending) counter() (Verdict, bool) {
	if !e.only(Incr) {
		return Verdict{}, false
	}
	low, high := int64(0), int64(0)
	for i := range e.ops {
		o := &e.ops[i]
		switch {
		case o.Kind != Incr || o.Outcome == Refused || (o.Outcome == Done && o.Code != kv.OK):
		case o.Outcome == Done:
			low += o.Delta
			high += o.Delta
		case o.Delta < 0:
			low += o.Delta
		default:
			high += o.Delta
		}
	}
	n := int64(0)
	if e.present {
		var err error
		if n, err = strconv.ParseInt(e.value, 10, 64); err != nil {
			return broken(durable, e.key, nil, "a key that was only incremented holds %q", e.value), true
		}
	}
	if n < low || n > high {
		return broken(durable, e.key, e.last(), "the counter stands at %d, but the acknowledged increments, with or without the unknown ones, give %d to %d", n, low, high), true
	}
	return holds, true
}

func (e *ending) last() []Op { return e.ops[max(0, len(e.ops)-8):] }

// list: every acknowledged append is there once, every unknown one at most once, and nothing else is.
func (e *ending) list() (Verdict, bool) {
	if !e.only(Append) {
		return Verdict{}, false
	}
	rest := e.value
	for i := range e.ops {
		o := &e.ops[i]
		if o.Kind != Append {
			continue
		}
		n := strings.Count(e.value, o.Value)
		switch {
		case n > 1:
			return broken(durable, e.key, []Op{*o}, "#%d took effect %d times", o.ID, n), true
		case n == 0 && o.Outcome == Done && o.Code == kv.OK:
			return broken(durable, e.key, []Op{*o}, "#%d was acknowledged, but what it appended is not in the final value", o.ID), true
		case n == 1 && (o.Outcome == Refused || (o.Outcome == Done && o.Code != kv.OK)):
			return broken(durable, e.key, []Op{*o}, "#%d was not executed, as the store said, but what it appends is in the final value", o.ID), true
		}
		if n == 1 {
			rest = strings.Replace(rest, o.Value, "", 1)
		}
	}
	if rest != "" {
		return broken(durable, e.key, nil, "the final value holds %q, which nobody appended", rest), true
	}
	return holds, true
}

// register: the final value was written by someone, and no acknowledged write came certainly later.
func (e *ending) register() (Verdict, bool) {
	for i := range e.ops {
		if k := e.ops[i].Kind; k == Incr || k == Append {
			return Verdict{}, false
		}
	}
	source, over := e.sources()
	if len(source) == 0 {
		if !e.present {
			if over.called == nil {
				return holds, true
			}
			return broken(durable, e.key, []Op{*over.called}, "the key is missing, though #%d was acknowledged and nobody deleted it", over.called.ID), true
		}
		return broken(durable, e.key, e.last(), "the key holds %q, which nobody wrote", e.value), true
	}
	for i := range source {
		if e.placed || over.later(&source[i]) == nil {
			return holds, true
		}
	}
	s := &source[len(source)-1]
	o := over.later(s)
	return broken(durable, e.key, []Op{*s, *o}, "the key ends as #%d left it, though #%d was acknowledged and came later", s.ID, o.ID), true
}

// overwriters are the acknowledged writes of another state that were called last, and stamped last.
type overwriters struct{ called, stamped *Op }

// later is an overwriter that came certainly after a write: by their stamps, where the newest stamp wins whatever clocks
// say, else by real time.
func (w overwriters) later(o *Op) *Op {
	switch {
	case !o.Stamp.IsZero() && w.stamped != nil:
		if w.stamped.Stamp.Compare(o.Stamp) > 0 {
			return w.stamped
		}
	case w.called != nil && w.called.Call > o.end():
		return w.called
	}
	return nil
}

// sources are the writes that may have left the key as it is, and those that would have left it otherwise.
func (e *ending) sources() (source []Op, over overwriters) {
	for i := range e.ops {
		o := &e.ops[i]
		if !o.Kind.Writes() || o.Outcome == Refused || (o.Outcome == Done && o.Code != kv.OK) {
			continue
		}
		left := o.Kind != Delete && o.Value == e.value
		if !e.present {
			left = o.Kind == Delete || o.TTL > 0
		}
		if left {
			source = append(source, *o)
			continue
		}
		if o.Outcome == Done && (over.called == nil || o.Call > over.called.Call) {
			over.called = o
		}
		if o.Outcome == Done && !o.Stamp.IsZero() && (over.stamped == nil || o.Stamp.Compare(over.stamped.Stamp) > 0) {
			over.stamped = o
		}
	}
	return source, over
}
