package bayou

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// part is one of several that stand in a record together: a member of a set, or a sibling, one of several values whose writers
// did not know of each other. Its dot names the write that put it there, and whoever takes parts away names what its writer had
// seen: so a part goes with a write that had seen it, and with no other (rule B11). Nothing is kept of what has gone: a replica
// applies a write after all that its writer had seen, so what comes cannot be older than what took it away.
type part struct {
	Dot
	member bool
	flags  uint32 // siblings
	value  []byte
}

// compare is the order of parts: siblings by dot, then members by value.
func (p *part) compare(o *part) int {
	switch {
	case p.member != o.member:
		return cmp.Compare(p.order(), o.order())
	case !p.member:
		return p.Compare(o.Dot)
	}
	return cmp.Or(bytes.Compare(p.value, o.value), p.Compare(o.Dot))
}

func (p *part) order() int {
	if p.member {
		return 1
	}
	return 0
}

// partCost is what a part counts for beside its value, in bytes.
const partCost = 16

func (p *part) size() int { return partCost + len(p.value) }

// saw says that the writer of a write had seen another one, or that both are of one command.
func (w *Write) saw(d Dot) bool { return w.Seen.Has(d) || d == w.Dot }

// put adds a part.
func (r *record) put(p part) {
	at, _ := slices.BinarySearchFunc(r.parts, p, func(a, b part) int { return a.compare(&b) })
	r.parts = slices.Insert(r.parts, at, p)
}

// take takes those away of the parts from one to another that a function names; false: there were none.
func (r *record) take(from, to int, which func(*part) bool) bool {
	kept := from
	for i := from; i < to; i++ {
		if !which(&r.parts[i]) {
			r.parts[kept] = r.parts[i]
			kept++
		}
	}
	r.parts = slices.Delete(r.parts, kept, to)
	return kept < to
}

// find says which of the parts say that a value is a member.
func (r *record) find(value []byte) (from, to int) {
	from, _ = slices.BinarySearchFunc(r.parts, value, func(p part, value []byte) int {
		if !p.member {
			return -1
		}
		return bytes.Compare(p.value, value)
	})
	for to = from; to < len(r.parts) && bytes.Equal(r.parts[to].value, value); to++ {
	}
	return from, to
}

// include lets a value become a member of the set. Of one replica the latest such write is enough: who has seen it has seen
// those before.
func (r *record) include(w *Write, o *Op, saw sawFunc) {
	from, to := r.find(o.Value)
	r.take(from, to, func(p *part) bool { return p.Replica == w.Replica || saw(p.Dot) })
	r.put(part{Dot: w.Dot, member: true, value: o.Value})
}

// exclude takes a value out of the set, as far as the writer had seen it put there.
func (r *record) exclude(o *Op, saw sawFunc) bool {
	from, to := r.find(o.Value)
	return r.take(from, to, func(p *part) bool { return saw(p.Dot) })
}

// keep puts a value beside those that its writer had not seen.
func (r *record) keep(w *Write, o *Op, saw sawFunc) {
	r.takeAll(saw)
	r.put(part{Dot: w.Dot, flags: o.Flags, value: o.Value})
}

// takeAll takes away all that a writer had seen.
func (r *record) takeAll(saw sawFunc) bool {
	return r.take(0, len(r.parts), func(p *part) bool { return saw(p.Dot) })
}

// sawFunc is Write.saw, or a bug in its place.
type sawFunc func(Dot) bool

// Details of WrongType.
const (
	aSet  = "the key holds a set"
	noSet = "the key holds no set"
)

// members are the set's, in the order of their bytes; none: the record shows no set.
func (r *record) members() (list [][]byte) {
	for i := range r.parts {
		if p := &r.parts[i]; p.member && (len(list) == 0 || !bytes.Equal(list[len(list)-1], p.value)) {
			list = append(list, p.value)
		}
	}
	return list
}

// isSet says that the record shows a set. A set is shown before a value that did not know of it.
func (r *record) isSet() bool { return len(r.parts) > 0 && r.parts[len(r.parts)-1].member }

func (r *record) has(value []byte) bool {
	from, to := r.find(value)
	return from < to
}

// siblings are the values that did not know of each other, the newest last.
func (r *record) siblings() []part {
	n := slices.IndexFunc(r.parts, func(p part) bool { return p.member })
	if n < 0 {
		n = len(r.parts)
	}
	return r.parts[:n]
}

// bytesOf is what the parts of one kind count for.
func (r *record) bytesOf(members bool) (n int) {
	for i := range r.parts {
		if r.parts[i].member == members {
			n += r.parts[i].size()
		}
	}
	return n
}

// mergeParts joins the parts of two records, each with what it has seen: what one lacks although it had seen it was taken away
// there.
func mergeParts(mine []part, seen Vector, theirs []part, theirSeen Vector) (all []part) {
	for len(mine) > 0 || len(theirs) > 0 {
		order := 0
		switch {
		case len(theirs) == 0:
			order = -1
		case len(mine) == 0:
			order = 1
		default:
			order = mine[0].compare(&theirs[0])
		}
		switch {
		case order < 0:
			if !theirSeen.Has(mine[0].Dot) {
				all = append(all, mine[0])
			}
			mine = mine[1:]
		case order > 0:
			if !seen.Has(theirs[0].Dot) {
				all = append(all, theirs[0])
			}
			theirs = theirs[1:]
		default:
			all, mine, theirs = append(all, mine[0]), mine[1:], theirs[1:]
		}
	}
	return all
}

func appendParts(b []byte, parts []part) []byte {
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for i := range parts {
		p := &parts[i]
		b = appendDot(wire.AppendBool(b, p.member), p.Dot)
		b = wire.AppendBytes(binary.AppendUvarint(b, uint64(p.flags)), p.value)
	}
	return b
}

// parts decodes parts, which must come in their order.
func (r *reader) parts() (list []part) {
	for n := r.Count(12); n > 0 && !r.Bad; n-- {
		p := part{member: r.Bool(), Dot: r.dot(), flags: uint32(r.Uint()), value: r.Bytes()}
		r.Bad = r.Bad || len(list) > 0 && list[len(list)-1].compare(&p) >= 0
		list = append(list, p)
	}
	return list
}

// readSet answers OpMembers and OpMember.
func (r *record) readSet(o *kv.Op, now kv.HLC) kv.Result {
	_, there := r.show(now)
	switch {
	case !there:
		return kv.Result{Code: kv.NotFound}
	case !r.isSet():
		return kv.Result{Code: kv.WrongType, Existed: true, Detail: noSet}
	}
	d := r.dot()
	res := kv.Result{Existed: true, Version: uint64(d.Stamp), Origin: uint32(d.Replica)}
	if o.Kind == kv.OpMember {
		if r.has(o.Value) {
			res.Int = 1
		}
		return res
	}
	res.Int = int64(len(r.members()))
	if !o.Quiet {
		res.Items = membersOf(r)
	}
	return res
}

// membersOf is a result for each member of a set.
func membersOf(r *record) (items []kv.Result) {
	for _, value := range r.members() {
		items = append(items, kv.Result{Existed: true, Value: slices.Clone(value)})
	}
	return items
}

// readSiblings answers OpSiblings: all values that are there, the newest first.
func (r *record) readSiblings(now kv.HLC) kv.Result {
	res := r.result(&kv.Op{Kind: kv.OpGet}, now)
	if res.Code != kv.OK {
		return res
	}
	list := r.siblings()
	for i := len(list) - 1; i >= 0; i-- {
		p := &list[i]
		res.Items = append(res.Items, kv.Result{Existed: true, Value: p.value, Flags: p.flags, Version: uint64(p.Stamp), Origin: uint32(p.Replica)})
	}
	if len(list) == 0 {
		one := res
		res.Items = []kv.Result{one}
	}
	res.Value, res.Int = nil, int64(len(res.Items))
	return res
}

// read answers any operation that reads a record.
func (r *record) read(o *kv.Op, now kv.HLC) kv.Result {
	switch o.Kind {
	case kv.OpMembers, kv.OpMember:
		return r.readSet(o, now)
	case kv.OpSiblings:
		return r.readSiblings(now)
	}
	return r.result(o, now)
}

// shown is the part as a plain value: a member is none.
func (p *part) shown() []byte {
	if p.member {
		return nil
	}
	return p.value
}

// resultOfParts is what a plain read answers: the newest of siblings, and how many there are beside it.
func (r *record) resultOfParts(o *kv.Op) kv.Result {
	newest := &r.parts[len(r.parts)-1]
	d := r.dot()
	out := kv.Result{Existed: true, Version: uint64(d.Stamp), Origin: uint32(d.Replica)}
	switch {
	case !newest.member:
		out.Flags, out.Int, out.Siblings = newest.flags, int64(len(newest.value)), uint32(len(r.parts)-1)
		if !o.Quiet {
			out.Value = newest.value
		}
	case o.Quiet:
		out.Marks = kv.MarkSet
	default:
		out.Code, out.Detail = kv.WrongType, aSet
	}
	return out
}
