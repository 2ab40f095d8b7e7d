package referee

import (
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/kv"
)

// record is a key as the model sees it. hash stands for all of it, so that the search compares values seldom.
type record struct {
	present bool
	value   string
	hash    uint64
	// version is the last one that was told. Versions grow along the order of writes, which leaves the search few choices.
	version uint64
	// fades is from when on the record may have ended by itself; 0: never.
	fades int64
}

func recordOf(value string, version uint64) record {
	return record{present: true, value: value, hash: xxhash.Sum64String(value), version: version}
}

// early is how much sooner than its time to live a key may end, by the time of its log: a node that was started again stamps ahead
// of its clock, up to six seconds before it gives up leading, and two clocks of a cluster may differ by half a second each way.
const early = int64(7 * time.Second)

// ended is the record as an operation may find it: gone, if its time may be over and the answer says that it is missing.
func (s record) ended(o *Op) record {
	if !s.present || s.fades == 0 || o.end() < s.fades {
		return s
	}
	switch {
	case o.Outcome == Unknown && o.Kind == Create, o.Outcome == Done && o.Code == kv.NotFound, o.Kind == Create && o.Code == kv.OK:
		return record{version: s.version}
	}
	return s
}

// ordered reports whether an answer's version fits behind this record: a write makes a greater one, a read finds this
// one, or a greater one that a write of unknown outcome made.
func (s record) ordered(o *Op) bool {
	if o.Version == 0 || o.Outcome != Done || o.Code != kv.OK {
		return true
	}
	return o.Version > s.version || (!o.Kind.Writes() && o.Version == s.version)
}

// apply executes an operation: what the record is then, and whether an answer with this result is right.
func (s record) apply(o *Op) (record, bool) {
	s = s.ended(o)
	set := func(value string) (record, bool) {
		next := recordOf(value, max(s.version, o.Version))
		if o.TTL > 0 {
			next.fades = max(1, o.Call+o.TTL*int64(time.Millisecond)-early)
		}
		return next, o.Code == kv.OK && s.ordered(o)
	}
	refuse := func(c kv.Code) (record, bool) { return s, o.Code == c }
	switch o.Kind {
	case Get:
		if !s.present {
			return refuse(kv.NotFound)
		}
		next := s
		next.version = max(s.version, o.Version)
		return next, o.Code == kv.OK && o.Got == s.value && s.ordered(o)
	case Set:
		return set(o.Value)
	case Create:
		if s.present {
			return refuse(kv.ConditionFailed)
		}
		return set(o.Value)
	case Cas:
		switch {
		case !s.present:
			return refuse(kv.NotFound)
		case s.value != o.Expect:
			return refuse(kv.ConditionFailed)
		}
		return set(o.Value)
	case Delete:
		if !s.present {
			return refuse(kv.NotFound)
		}
		return record{version: s.version}, o.Code == kv.OK
	case Incr:
		return s.incr(o)
	}
	return set(s.value + o.Value)
}

func (s record) incr(o *Op) (record, bool) {
	n := int64(0)
	if s.present {
		var err error
		if n, err = strconv.ParseInt(s.value, 10, 64); err != nil {
			return s, o.Code == kv.NotInteger
		}
	}
	if (o.Delta > 0 && n > math.MaxInt64-o.Delta) || (o.Delta < 0 && n < math.MinInt64-o.Delta) {
		return s, o.Code == kv.Overflow
	}
	n += o.Delta
	return recordOf(strconv.FormatInt(n, 10), max(s.version, o.Version)), o.Code == kv.OK && o.Int == n && s.ordered(o)
}

var model = porcupine.Model{
	Init: func() any { return record{} },
	Step: func(state, input, _ any) (bool, any) {
		o := input.(*Op)
		next, right := state.(record).apply(o)
		return right || o.Outcome == Unknown, next
	},
	Equal: func(a, b any) bool {
		x, y := a.(record), b.(record)
		return x.hash == y.hash && x.present == y.present && x.version == y.version && x.fades == y.fades && x.value == y.value
	},
	Hash: func(state any) uint64 {
		s := state.(record)
		return s.hash ^ s.version*0x9e3779b97f4a7c15
	},
}

// CheckLinearizable judges whether each key's operations could have happened one after another, each at an instant
// between its call and its return. limit bounds the search per key.
func CheckLinearizable(h History, limit time.Duration) Verdict {
	const check = "linearizable"
	names, byKey := h.keys()
	judged := 0
	for _, key := range names {
		ops := relevant(byKey[key])
		judged += len(ops)
		switch porcupine.CheckOperationsTimeout(model, operations(ops, math.MaxInt64), limit) {
		case porcupine.Illegal:
			at := shortest(ops, limit)
			v := broken(check, key, around(ops, at), "no order of the operations explains the answer of #%d, given what returned before", ops[at].ID)
			v.Judged = judged
			return v
		case porcupine.Unknown:
			v := undecided(check, key, "the search for an order of its %d operations was given up after %v; nothing is known of the keys behind it either", len(ops), limit)
			v.Judged = judged - len(ops)
			return v
		}
	}
	return Verdict{Check: check, Decision: Holds, Judged: judged}
}

// relevant leaves out what proves nothing: refused operations, reads of a weaker level, and reads and unseen appends whose outcome is unknown. What
// is left is in the order of return.
func relevant(h History) []Op {
	var ops []Op
	unseen := unseenAppends(h)
	for _, o := range h {
		if !o.Kind.Writes() && (!strong(&o) || o.Level == "sequential" || o.Level == "session") {
			continue
		}
		if (o.Outcome == Done || (o.Outcome == Unknown && o.Kind.Writes())) && !unseen(&o) {
			ops = append(ops, o)
		}
	}
	sort.SliceStable(ops, func(i, j int) bool { return ops[i].end() < ops[j].end() })
	return ops
}

// unseenAppends tells the unknown appends that no read has seen, on a key that is only appended to: had one happened
// before a read, the read would show it, so leaving it out changes nothing but the time that the search takes.
func unseenAppends(h History) func(o *Op) bool {
	only := true
	longest := ""
	for i := range h {
		only = only && (h[i].Kind == Append || h[i].Kind == Get)
		if len(h[i].Got) > len(longest) {
			longest = h[i].Got
		}
	}
	return func(o *Op) bool {
		return only && o.Outcome == Unknown && o.Kind == Append && !strings.Contains(longest, o.Value)
	}
}

// operations are those called until a time; what had not returned by then is open.
func operations(ops []Op, until int64) (list []porcupine.Operation) {
	for i := range ops {
		o := &ops[i]
		if o.Call > until {
			continue
		}
		if o.end() > until && o.Outcome == Done {
			if !o.Kind.Writes() {
				continue
			}
			open := *o
			open.Outcome = Unknown
			o = &open
		}
		list = append(list, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: o.end()})
	}
	return list
}

// shortest is the operation with whose return the history stops being linearizable.
func shortest(ops []Op, limit time.Duration) int {
	return sort.Search(len(ops)-1, func(i int) bool {
		return porcupine.CheckOperationsTimeout(model, operations(ops, ops[i].end()), limit) == porcupine.Illegal
	})
}

// around are the operation and the few before it that it contradicts most likely.
func around(ops []Op, at int) []Op {
	const few = 8
	var proof []Op
	for i := at; i >= 0 && len(proof) < few; i-- {
		proof = append([]Op{ops[i]}, proof...)
	}
	for i := at + 1; i < len(ops) && len(proof) < 2*few; i++ {
		if o := ops[i]; o.Kind.Writes() && o.Call < ops[at].end() && o.end() > ops[at].Call {
			proof = append(proof, o)
		}
	}
	return proof
}
