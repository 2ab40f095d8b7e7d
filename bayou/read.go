package bayou

import (
	"bytes"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Read answers a command that changes nothing from the state, from any goroutine. now is the reader's time. needsStep says
// that the replica has to take the command: it is behind what the session has seen.
func Read(view core.View, c *kv.Command, now kv.HLC) (res kv.Result, needsStep bool) {
	raw, ok := view.Get(metaKey)
	if !ok {
		return res, true
	}
	if raw[0]&orderedFlag != 0 {
		return readOrdered(view, c, now)
	}
	if len(c.Ops) == 1 && c.Ops[0].Kind == kv.OpGet {
		// A view moves on between two looks at it, but never back. Nothing changed in between: that was one moment.
		for range 3 {
			var whole bool
			if res, whole, needsStep = readAt(view, raw, c, now); needsStep || whole {
				return res, needsStep
			}
			after, _ := view.Get(metaKey)
			if bytes.Equal(raw, after) {
				return res, false
			}
			raw = after
		}
	}
	s := view.Snapshot()
	defer s.Close()
	if raw, ok = s.Get(metaKey); !ok {
		return res, true
	}
	res, _, needsStep = readAt(s, raw, c, now)
	return res, needsStep
}

// readAt answers from a state with its meta record at hand. whole says that the answer shows nothing that the meta record does not
// speak of, though the state may have moved on in between: what is shown is one write, and that is among those.
func readAt(view core.View, raw []byte, c *kv.Command, now kv.HLC) (res kv.Result, whole, needsStep bool) {
	m := decodeMeta(raw)
	token, err := openToken(m.binding, c.Token)
	if err != nil {
		return kv.Failed(err), true, false
	}
	read, written := token.needs(c.Level, false)
	behind, err := m.judge(read, written)
	switch {
	case err != nil:
		return kv.Failed(err), true, false
	case behind:
		return res, true, true
	}
	if len(c.Ops) != 1 || c.Ops[0].Kind != kv.OpGet {
		return m.answer(view, c, now), false, false
	}
	res = kv.Result{Code: kv.NotFound}
	if b, ok := view.Get(dataKey(c.Ops[0].Key)); ok {
		rec := mustDecodeRecord(c.Ops[0].Key, b)
		res = rec.result(&c.Ops[0], now)
		// What was forgotten leaves no trace, and of runs one may hide behind another.
		whole = len(rec.runs)+len(rec.parts) == 0 && m.vector.Has(rec.base)
	}
	m.sign(&res, c, now)
	return res, whole, false
}

// answer reads; the session is served.
func (m *meta) answer(view core.View, c *kv.Command, now kv.HLC) kv.Result {
	res := readOps(view, c.Ops, now)
	m.sign(&res, c, now)
	return res
}

// sign says in an answer what its session has seen with it.
func (m *meta) sign(res *kv.Result, c *kv.Command, now kv.HLC) {
	seen := Token{Binding: m.binding, Read: m.brief(m.vector)}
	res.Token, res.Level, res.AsOf = seen.AppendTo(make([]byte, 0, 16+10*len(seen.Read))), met(c.Level), now.UnixMilli()
}

// met is the level that was given: what was asked for, the session's four guarantees if nothing was.
func met(asked kv.Level) kv.Level {
	if asked == kv.LevelDefault {
		return kv.LevelSession
	}
	return asked
}

func readOps(view core.View, ops []kv.Op, now kv.HLC) kv.Result {
	if len(ops) == 1 {
		return readOne(view, &ops[0], now)
	}
	res := kv.Result{Items: make([]kv.Result, len(ops))}
	room := kv.AnswerMax
	for i := range ops {
		res.Items[i] = readOne(view, &ops[i], now)
		if room -= size(&res.Items[i]); room < 0 {
			res.Items[i], room = kv.TooMuch(true), 0
		}
	}
	return res
}

func size(r *kv.Result) int {
	n := kv.ValueSize(r.Value)
	for i := range r.Items {
		n += len(r.Items[i].Key) + kv.ValueSize(r.Items[i].Value)
	}
	return n
}

func readOne(view core.View, o *kv.Op, now kv.HLC) kv.Result {
	switch o.Kind {
	case kv.OpScan:
		return scan(view, o, now)
	case kv.OpGet, kv.OpMembers, kv.OpMember, kv.OpSiblings:
		b, ok := view.Get(dataKey(o.Key))
		if !ok {
			return kv.Result{Code: kv.NotFound}
		}
		rec := mustDecodeRecord(o.Key, b)
		return rec.read(o, now)
	}
	return kv.Result{}
}

// scanBytes bounds the values of one scan's answer.
const scanBytes = 4 << 20

func scan(view core.View, o *kv.Op, now kv.HLC) (res kv.Result) {
	limit := int(o.Limit)
	if limit == 0 || limit > kv.ScanMax {
		limit = kv.ScanMax
	}
	to := []byte{dataKind + 1}
	if len(o.End) > 0 {
		to = dataKey(o.End)
	}
	size := 0
	view.Scan(dataKey(o.Key), to, func(k, v []byte) bool {
		if len(res.Items) == limit || size > scanBytes {
			res.Key = slices.Clone(k[1:])
			return false
		}
		rec := mustDecodeRecord(k[1:], v)
		item := rec.result(&kv.Op{Kind: kv.OpGet, Quiet: rec.isSet()}, now)
		if item.Code != kv.OK {
			return true
		}
		item.Key, item.Value = slices.Clone(k[1:]), slices.Clone(item.Value)
		if o.KeysOnly {
			item.Value = nil
		}
		if item.Marks&kv.MarkSet != 0 && !o.KeysOnly {
			item.Items = membersOf(&rec)
			size += rec.bytesOf(true)
		}
		size += len(item.Key) + kv.ValueSize(item.Value)
		res.Items = append(res.Items, item)
		return true
	})
	return res
}
