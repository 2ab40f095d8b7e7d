package referee

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// ledger is a history taken apart for the checkers that look for cycles: who wrote what, who read whose write, and in
// which order the writes of each key stand, as far as answers tell. Operations that were not executed are left out, and
// those of unknown outcome too, unless somebody saw what they wrote.
type ledger struct {
	ops    []*Op // in the order of their calls
	keys   []*item
	reads  []read
	writes []write
	// readsOf and writesOf are the reads and writes of each operation.
	readsOf, writesOf [][]int32
	// faults are reads that no order of the operations explains.
	faults []fault
	named  map[string]int32
}

// item is a key and all that happened to it.
type item struct {
	name string
	// plain is a key that was never counted with or appended to; a list was only appended to.
	plain, list bool
	writes      []int32
	reads       []int32
	// gone are the writes after which the key may be missing. open says that a delete of unknown outcome was tried, or a
	// write that ends by itself, so that it may be missing at any time.
	gone    []int32
	open    bool
	byValue map[string]int32
	byRank  map[rank]int32
	// longest is the longest read of a list, and ends where in it the list ends behind each write.
	longest string
	ends    map[int]int32
	// steps are the writes by place in the order, those of one place together. loose are those whose place is not known.
	steps []step
	loose []int32
}

// step are the writes of one place.
type step struct {
	pos    int32
	writes []int32
}

// rank is a version or a stamp; zero is none.
type rank struct{ high, low uint64 }

func (r rank) less(s rank) bool { return r.high < s.high || (r.high == s.high && r.low < s.low) }

func rankOf(version uint64, s Stamp) rank {
	if !s.IsZero() {
		return rank{uint64(s.Time), uint64(s.Origin) + 1}
	}
	return rank{high: version}
}

// before is a rank that nothing else has, right before another one.
func (r rank) before() rank {
	if r.low == 0 {
		return rank{r.high - 1, math.MaxUint64}
	}
	return rank{r.high, r.low - 1}
}

func (r rank) String() string {
	if r.low > math.MaxUint32+1 {
		return fmt.Sprintf("right before version %d", r.high+1)
	}
	if r.low != 0 {
		return "stamp " + Stamp{kv.HLC(r.high), uint32(r.low - 1)}.String()
	}
	return "version " + strconv.FormatUint(r.high, 10)
}

// Places in the order of a key's writes. The beginning is 0, writes have even places, and an odd place is that of a write
// that is known by its version only. A list's unseen elements stand behind all others.
const (
	posStart = int32(0)
	posLast  = int32(math.MaxInt32 - 1)
	posOpen  = int32(math.MaxInt32)
)

// write is one write that took effect.
type write struct {
	op, key int32
	value   string
	gone    bool // a delete
	fades   bool // it has a time to live
	inner   bool // overwritten by its own txn
	rank    rank
	pos     int32 // posStart: not known
}

// read is one read: of a value, or of nothing.
type read struct {
	op, key int32
	got     string
	absent  bool
	rank    rank
	// source is the write that was seen; -1: none, or not known.
	source int32
	// low and high bound the place of what was seen.
	low, high int32
}

// fault is a read that is wrong whatever the order is.
type fault struct {
	pattern string
	key     int32
	proof   []*Op
	why     string
}

// newLedger takes a history apart. judged tells the reads that count.
func newLedger(h History, judged func(*Op) bool) *ledger {
	l := &ledger{named: map[string]int32{}}
	b := builder{ledger: l, history: h, seen: seenIn(h)}
	for i := range h {
		if o := &h[i]; b.counts(o, judged) {
			l.ops = append(l.ops, o)
		}
	}
	slices.SortStableFunc(l.ops, func(a, b *Op) int {
		switch {
		case a.Call < b.Call:
			return -1
		case a.Call > b.Call:
			return 1
		}
		return a.ID - b.ID
	})
	l.readsOf, l.writesOf = make([][]int32, len(l.ops)), make([][]int32, len(l.ops))
	for i, o := range l.ops {
		b.take(int32(i), o)
	}
	b.families()
	for k := range l.keys {
		b.order(l.keys[k])
	}
	for i := range l.reads {
		b.resolve(&l.reads[i])
	}
	return l
}

// accesses are what an operation does, one Sub for each key and kind.
func (o *Op) accesses() []Sub {
	if o.Kind == Txn {
		return o.Subs
	}
	return []Sub{{Kind: o.Kind, Key: o.Key, Value: o.Value, Expect: o.Expect, Delta: o.Delta, TTL: o.TTL,
		Code: o.Code, Got: o.Got, Int: o.Int, Version: o.Version, Stamp: o.Stamp}}
}

// keyed is a value at a key.
type keyed struct{ key, value string }

// seenIn are all values, and elements of lists, that a read has shown, or a compare-and-set that was executed.
func seenIn(h History) map[keyed]bool {
	seen := map[keyed]bool{}
	longest := map[string]string{} // by key: what another read shows the beginning of is taken apart already
	var open []Sub                 // compare-and-sets that were executed if what they wrote was seen
	for i := range h {
		o := &h[i]
		for _, s := range o.accesses() {
			switch {
			case s.Kind == Cas && o.Outcome == Unknown:
				open = append(open, s)
			case s.Code != kv.OK || !o.Executed():
			case s.Kind == Cas:
				seen[keyed{s.Key, s.Expect}] = true
			case s.Kind == Get:
				seen[keyed{s.Key, s.Got}] = true
				if strings.HasPrefix(longest[s.Key], s.Got) {
					continue
				}
				longest[s.Key] = s.Got
				for _, e := range Elements(s.Got) {
					seen[keyed{s.Key, e}] = true
				}
			}
		}
	}
	for again := true; again; {
		again = false
		for _, s := range open {
			if seen[keyed{s.Key, s.Value}] && !seen[keyed{s.Key, s.Expect}] {
				seen[keyed{s.Key, s.Expect}], again = true, true
			}
		}
	}
	return seen
}

// Elements are the parts of a list's value: each appended value is in angle brackets.
func Elements(value string) (parts []string) {
	for value != "" {
		part, rest, ok := strings.Cut(value, ">")
		if !ok {
			return append(parts, value)
		}
		parts = append(parts, part+">")
		value = rest
	}
	return parts
}

func isElement(v string) bool {
	return len(v) > 2 && v[0] == '<' && strings.IndexByte(v, '>') == len(v)-1
}

type builder struct {
	*ledger
	history History
	seen    map[keyed]bool
	// refused are the values of operations that were not executed, made when the first read needs them.
	refused map[keyed]*Op
}

// counts reports whether the operation was executed for certain and matters.
func (b *builder) counts(o *Op, judged func(*Op) bool) bool {
	switch {
	case o.Outcome == Refused:
		return false
	case o.Outcome == Done:
		return o.Executed() && (o.Writes() || judged(o))
	}
	for _, s := range o.accesses() {
		if s.TTL > 0 {
			b.item(s.Key).open = true // it may have been written, and have ended, unseen
		}
		switch s.Kind {
		case Set, Create, Cas, Append:
			if b.seen[keyed{s.Key, s.Value}] {
				return true
			}
		case Delete:
			b.item(s.Key).open = true
		}
	}
	return false
}

func (b *builder) item(name string) *item { return b.keys[b.key(name)] }

func (b *builder) key(name string) int32 {
	k, ok := b.named[name]
	if !ok {
		k = int32(len(b.keys))
		b.named[name] = k
		b.keys = append(b.keys, &item{name: name, byValue: map[string]int32{}, byRank: map[rank]int32{}})
	}
	return k
}

// take notes the reads and writes of an operation.
func (b *builder) take(i int32, o *Op) {
	for _, s := range o.accesses() {
		done := o.Outcome == Done
		if !done {
			s.Code = kv.OK
		}
		switch {
		case s.Code == kv.NotFound:
			b.read(i, &s, "", true, done)
		case s.Code != kv.OK:
		case s.Kind == Get:
			if done {
				b.read(i, &s, s.Got, false, true)
			}
		default:
			b.change(i, &s)
		}
	}
}

func (b *builder) change(i int32, s *Sub) {
	value := s.Value
	switch s.Kind {
	case Create:
		b.read(i, s, "", true, false)
	case Cas:
		b.read(i, s, s.Expect, false, false)
	case Incr:
		value = strconv.FormatInt(s.Int, 10)
	}
	k := b.key(s.Key)
	for _, w := range b.writesOf[i] {
		if b.writes[w].key == k {
			b.writes[w].inner = true
		}
	}
	b.writesOf[i] = append(b.writesOf[i], int32(len(b.writes)))
	b.keys[k].writes = append(b.keys[k].writes, int32(len(b.writes)))
	b.writes = append(b.writes, write{op: i, key: k, value: value, gone: s.Kind == Delete, fades: s.TTL > 0, rank: rankOf(s.Version, s.Stamp)})
}

// read notes a read, unless the operation has written the key itself before. ranked says that the version of the answer
// is that of what was read.
func (b *builder) read(i int32, s *Sub, got string, absent, ranked bool) {
	k := b.key(s.Key)
	for _, w := range b.writesOf[i] {
		if b.writes[w].key == k {
			return
		}
	}
	r := read{op: i, key: k, got: got, absent: absent, source: -1}
	if ranked {
		r.rank = rankOf(s.Version, s.Stamp)
	}
	b.readsOf[i] = append(b.readsOf[i], int32(len(b.reads)))
	b.keys[k].reads = append(b.keys[k].reads, int32(len(b.reads)))
	b.reads = append(b.reads, r)
}

// families finds out what each key is used as, with all operations in view, those too that have left no trace.
func (b *builder) families() {
	for _, k := range b.keys {
		k.plain, k.list = true, true
	}
	for i := range b.history {
		o := &b.history[i]
		if o.Outcome == Refused {
			continue
		}
		for _, s := range o.accesses() {
			k := b.item(s.Key)
			switch s.Kind {
			case Get:
			case Append:
				k.plain = false
				k.list = k.list && isElement(s.Value)
			case Incr:
				k.plain, k.list = false, false
			default:
				k.list = false
			}
		}
	}
}
