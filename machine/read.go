package machine

import (
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// LogTime is the time of the last log entry that a state holds: the eight bytes behind the index at core.AppliedKey.
func LogTime(view core.View) kv.HLC {
	b, ok := view.Get(core.AppliedKey)
	if !ok || len(b) < 16 {
		return 0
	}
	return kv.HLC(binary.BigEndian.Uint64(b[8:]))
}

// applied is the log index that a state is known to hold, before it is looked at: 0 unless the command asks for a receipt.
func applied(view core.View, c *kv.Command) uint64 {
	if !c.Receipt {
		return 0
	}
	b, ok := view.Get(core.AppliedKey)
	if !ok || len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Read evaluates a command that changes nothing, without a place in the log, from any goroutine. now is the reader's
// time. needsLog is true when the answer hangs on whether a key has ended, and the log has not said so yet: only a log
// entry may end a key, so the command has to be ordered like a write.
func Read(view core.View, c *kv.Command, now kv.HLC) (res kv.Result, needsLog bool) {
	position := applied(view, c)
	if len(c.Conds) > 0 || !c.Session.IsZero() || len(c.Ops) != 1 {
		res, needsLog = readSeveral(view, c, now)
	} else {
		res, needsLog = readOne(view, &c.Ops[0], now)
		res.AsOf = now.UnixMilli()
	}
	res.Position = position
	return res, needsLog
}

// readSeveral reads over one snapshot, so that the answers belong to one moment.
func readSeveral(view core.View, c *kv.Command, now kv.HLC) (res kv.Result, needsLog bool) {
	if len(c.Conds) > 0 || !c.Session.IsZero() {
		return res, true
	}
	snapshot := view.Snapshot()
	defer snapshot.Close()
	res = kv.Result{AsOf: now.UnixMilli(), Items: make([]kv.Result, len(c.Ops))}
	room := kv.AnswerMax
	for i := range c.Ops {
		if res.Items[i], needsLog = readOne(snapshot, &c.Ops[i], now); needsLog {
			return res, true
		}
		res.Items[i].AsOf = res.AsOf
		room = fit(&res.Items[i], room, true)
	}
	return res, false
}

func readOne(view core.View, o *kv.Op, now kv.HLC) (kv.Result, bool) {
	if o.Kind == kv.OpScan {
		return scan(view, o, LogTime(view), now)
	}
	var space [256]byte
	key := append(append(space[:0], DataKind), o.Key...)
	b, ok := view.Get(key)
	if !ok {
		return kv.Result{Code: kv.NotFound}, false
	}
	r := mustDecode(o.Key, b)
	if r.ExpireAt != 0 {
		// The log may be ahead of the reader's clock: what it has ended stays ended.
		if log := LogTime(view); r.expired(max(now, log)) {
			return kv.Result{Code: kv.NotFound}, !r.expired(log)
		}
	}
	return found(o)(r, true), false
}

// ReadAt evaluates a command that changes nothing as of a time of the log: that of the last entry that the state holds, or
// safe if that is later, for which the caller knows that no entry in between will ever come. All answers belong to that
// moment, and keys end by it. needsLog is true for a command that only the log can answer.
func ReadAt(view core.View, c *kv.Command, safe kv.HLC) (res kv.Result, at kv.HLC, needsLog bool) {
	if len(c.Conds) > 0 || !c.Session.IsZero() {
		return res, 0, true
	}
	position := applied(view, c)
	if len(c.Ops) == 1 {
		before := LogTime(view)
		at = max(safe, before)
		res = readOneAt(view, &c.Ops[0], at)
		if LogTime(view) == before {
			res.AsOf, res.Position = at.UnixMilli(), position
			return res, at, false
		}
		// An entry was applied meanwhile, and nobody knows on which side of it the answer lies.
	}
	snapshot := view.Snapshot()
	defer snapshot.Close()
	at = max(safe, LogTime(snapshot))
	res = readAllAt(snapshot, c.Ops, at)
	res.Position = position
	return res, at, false
}

func readAllAt(view core.View, ops []kv.Op, at kv.HLC) kv.Result {
	if len(ops) == 1 {
		res := readOneAt(view, &ops[0], at)
		res.AsOf = at.UnixMilli()
		return res
	}
	res := kv.Result{AsOf: at.UnixMilli(), Items: make([]kv.Result, len(ops))}
	room := kv.AnswerMax
	for i := range ops {
		res.Items[i] = readOneAt(view, &ops[i], at)
		res.Items[i].AsOf = res.AsOf
		room = fit(&res.Items[i], room, true)
	}
	return res
}

func readOneAt(view core.View, o *kv.Op, at kv.HLC) kv.Result {
	if o.Kind == kv.OpScan {
		res, _ := scan(view, o, at, at)
		return res
	}
	var space [256]byte
	b, ok := view.Get(append(append(space[:0], DataKind), o.Key...))
	if ok {
		if r := mustDecode(o.Key, b); !r.expired(at) {
			return found(o)(r, true)
		}
	}
	return kv.Result{Code: kv.NotFound}
}

// ranger is as much of a core.View as a scan needs.
type ranger interface {
	Scan(from, to []byte, f func(key, value []byte) bool)
}

// scanBytes bounds the values of one scan's answer.
const scanBytes = 4 << 20

// scan lists the records of a range that live at the log's time. undecided says that one of them is past its expiry by
// the reader's time only.
func scan(view ranger, o *kv.Op, logTime, now kv.HLC) (res kv.Result, undecided bool) {
	limit := int(o.Limit)
	if limit == 0 || limit > kv.ScanMax {
		limit = kv.ScanMax
	}
	from := append([]byte{DataKind}, o.Key...)
	to := []byte{DataKind + 1}
	if len(o.End) > 0 {
		to = append([]byte{DataKind}, o.End...)
	}
	bytes := 0
	view.Scan(from, to, func(k, v []byte) bool {
		if len(res.Items) == limit || bytes > scanBytes {
			res.Key = append([]byte(nil), k[1:]...)
			return false
		}
		r := mustDecode(k, v)
		if r.expired(logTime) {
			return true
		}
		undecided = undecided || r.expired(now)
		item := found(o)(r, true)
		item.Key = append([]byte(nil), k[1:]...)
		item.Value = nil
		if !o.KeysOnly {
			item.Value = append([]byte(nil), r.Value...)
		}
		bytes += len(item.Key) + kv.ValueSize(item.Value)
		res.Items = append(res.Items, item)
		return true
	})
	return res, undecided
}
