package machine

import (
	"bytes"
	"math"
	"math/big"
	"strconv"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// do executes one operation as package kv describes it.
func (m *Machine) do(o *kv.Op) kv.Result {
	switch o.Kind {
	case kv.OpNone:
		return kv.Result{}
	case kv.OpGet:
		return found(o)(m.load(o.Key))
	case kv.OpScan:
		within, next := m.Bounds.Within(*o)
		r, _ := scan(&overlay{m}, &within, m.now, m.now)
		if r.Key == nil {
			r.Key = next
		}
		return r
	case kv.OpSet:
		return m.set(o)
	case kv.OpDelete:
		return m.remover(o)
	case kv.OpIncr:
		return m.incr(o)
	case kv.OpIncrFloat:
		return m.incrFloat(o)
	case kv.OpCounter:
		return m.counter(o)
	case kv.OpAppend, kv.OpPrepend:
		return m.extend(o)
	case kv.OpSetRange:
		return m.setRange(o)
	case kv.OpExpire:
		return m.expire(o)
	case kv.OpRename, kv.OpCopy:
		return m.move(o)
	case kv.OpClear:
		return m.clearAll(o)
	case kv.OpRecache:
		return m.recache(o)
	case kv.OpInvalidate:
		return m.invalidate(o)
	case kv.OpAbsorb:
		return m.absorb(o.Value)
	}
	return kv.Result{Code: kv.Invalid, Detail: "an operation that this version does not know"}
}

// found is the result of a read.
func found(o *kv.Op) func(Record, bool) kv.Result {
	return func(r Record, ok bool) kv.Result {
		if !ok {
			return kv.Result{Code: kv.NotFound}
		}
		out := kv.Result{Existed: true, Flags: r.Flags, Version: r.Version, ExpireAt: r.ExpireAt, Marks: r.marks(),
			Int: int64(kv.ValueSize(r.Value))}
		if !o.Quiet {
			out.Value = r.Value
		}
		return out
	}
}

// allowed judges an operation's condition.
func allowed(o *kv.Op, r *Record, ok bool) kv.Code {
	switch {
	case o.When == kv.Always:
		return kv.OK
	case o.When == kv.IfAbsent:
		if ok {
			return kv.ConditionFailed
		}
		return kv.OK
	case !ok:
		return kv.NotFound
	case o.When == kv.IfVersion && r.Version != o.Version,
		o.When == kv.IfVersionOrOlder && r.Version < o.Version,
		o.When == kv.IfValue && !kv.SameValue(r.Value, o.Expect):
		return kv.ConditionFailed
	}
	return kv.OK
}

// expiry is the new expiry of a record.
func (m *Machine) expiry(o *kv.Op, present int64) int64 {
	switch o.Expiry {
	case kv.ExpireKeep:
		return present
	case kv.ExpireAt:
		return max(o.Expire, 1) // 0 would mean never
	case kv.ExpireIn:
		return max(m.now.UnixMilli()+o.Expire, 1)
	}
	return 0
}

// before fills in the record as it was, for those who asked.
func before(o *kv.Op, res *kv.Result, r *Record, ok bool) {
	res.Existed = ok
	if o.Old && ok {
		res.Value, res.Flags = r.Value, r.Flags
	}
}

func (m *Machine) set(o *kv.Op) (res kv.Result) {
	next := Record{Value: o.Value, Flags: o.Flags, Version: o.NewVersion}
	if o.When == kv.Always && o.Expiry != kv.ExpireKeep && !o.Old {
		// The common write needs no look at the record that it replaces.
		next.ExpireAt = m.expiry(o, 0)
		res.Version, res.ExpireAt = m.store(o.Key, &next), next.ExpireAt
		return res
	}
	old, ok := m.load(o.Key)
	before(o, &res, &old, ok)
	if res.Code = allowed(o, &old, ok); res.Code != kv.OK {
		return res
	}
	next.ExpireAt = m.expiry(o, old.ExpireAt)
	if o.When == kv.IfVersionOrOlder && o.Version < old.Version {
		next.Stale, next.Sent, next.ExpireAt = true, old.Sent, old.ExpireAt
	}
	res.Version, res.ExpireAt = m.store(o.Key, &next), next.ExpireAt
	return res
}

func (m *Machine) remover(o *kv.Op) (res kv.Result) {
	old, ok := m.load(o.Key)
	before(o, &res, &old, ok)
	if !ok {
		res.Code = kv.NotFound
		return res
	}
	if res.Code = allowed(o, &old, ok); res.Code == kv.OK {
		m.remove(o.Key)
		res.Version = m.nextVersion()
	}
	return res
}

// rewrite stores a new value under the record's old flags and expiry.
func (m *Machine) rewrite(o *kv.Op, old *Record, value []byte) kv.Result {
	next := Record{Value: value, Flags: old.Flags, ExpireAt: old.ExpireAt, Version: o.NewVersion}
	existed := old.Version != 0
	return kv.Result{Version: m.store(o.Key, &next), ExpireAt: next.ExpireAt, Flags: next.Flags, Existed: existed}
}

func (m *Machine) incr(o *kv.Op) kv.Result {
	old, ok := m.load(o.Key)
	n := int64(0)
	if ok {
		var valid bool
		if n, valid = parseInteger(old.Value); !valid {
			return kv.Result{Code: kv.NotInteger, Existed: true}
		}
	}
	if (o.Delta > 0 && n > math.MaxInt64-o.Delta) || (o.Delta < 0 && n < math.MinInt64-o.Delta) {
		return kv.Result{Code: kv.Overflow, Existed: ok}
	}
	res := m.rewrite(o, &old, strconv.AppendInt(nil, n+o.Delta, 10))
	res.Int = n + o.Delta
	return res
}

// parseInteger accepts what Redis calls an integer: no sign but a minus, no leading zero, no space.
func parseInteger(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != string(b) {
		return 0, false
	}
	return n, true
}

// floatMax is the longest text in bytes that is taken for a number.
const floatMax = 256

// floatBits is the mantissa of the long double in which Redis adds.
const floatBits = 64

func (m *Machine) incrFloat(o *kv.Op) kv.Result {
	old, ok := m.load(o.Key)
	sum := new(big.Float).SetPrec(floatBits)
	if ok {
		if res, is := elsewhere(&old); is && kv.ValueSize(old.Value) <= floatMax {
			return res
		}
		if _, valid := sum.SetString(string(old.Value)); !valid || len(old.Value) > floatMax {
			return kv.Result{Code: kv.NotFloat, Existed: true}
		}
	}
	if math.IsNaN(o.Float) || math.IsInf(o.Float, 0) || sum.IsInf() {
		return kv.Result{Code: kv.Overflow, Existed: ok}
	}
	// The decimal that the client wrote is meant, not the binary fraction next to it.
	delta, _ := new(big.Float).SetPrec(floatBits).SetString(strconv.FormatFloat(o.Float, 'g', -1, 64))
	sum.Add(sum, delta)
	if f, _ := sum.Float64(); math.IsInf(f, 0) {
		return kv.Result{Code: kv.Overflow, Existed: ok}
	}
	if sum.MantExp(nil) < -floatBits { // nothing is left of it with 17 decimals, and to write out its zeros could take for ever
		sum.SetInt64(0)
	}
	text := trimZeros(sum.Text('f', 17))
	res := m.rewrite(o, &old, text)
	res.Value = text
	res.Float, _ = sum.Float64()
	return res
}

func trimZeros(s string) []byte {
	b := bytes.TrimRight([]byte(s), "0")
	b = bytes.TrimSuffix(b, []byte("."))
	if string(b) == "-0" {
		return []byte("0")
	}
	return b
}

func (m *Machine) counter(o *kv.Op) kv.Result {
	old, ok := m.load(o.Key)
	if !ok {
		if !o.HasInitial {
			return kv.Result{Code: kv.NotFound}
		}
		text := strconv.AppendUint(nil, o.Initial, 10)
		next := Record{Value: text, Flags: o.Flags, ExpireAt: m.expiry(o, 0), Version: o.NewVersion}
		return kv.Result{Version: m.store(o.Key, &next), ExpireAt: next.ExpireAt, Value: text}
	}
	if code := allowed(o, &old, ok); code != kv.OK {
		return kv.Result{Code: code, Existed: true}
	}
	n, err := strconv.ParseUint(string(bytes.TrimRight(old.Value, " ")), 10, 64)
	if err != nil || len(old.Value) > 20 {
		return kv.Result{Code: kv.NotInteger, Existed: true}
	}
	switch {
	case !o.Down:
		n += o.Magnitude // wraps, as memcached does
	case o.Magnitude > n:
		n = 0
	default:
		n -= o.Magnitude
	}
	text := strconv.AppendUint(nil, n, 10)
	if o.Expiry != kv.ExpireKeep && (!o.HasInitial || o.Touch) {
		old.ExpireAt = m.expiry(o, old.ExpireAt)
	}
	res := m.rewrite(o, &old, text)
	res.Value = text
	return res
}

// Elsewhere is the answer to an operation that needs a value which is kept outside of the state: nothing was executed. No
// replica may wait for a store of its own while it applies the log, and what one of them finds there must not decide.
func Elsewhere(r *kv.Result) bool { return r.Code == kv.Unsupported && r.Detail == elsewhereDetail }

const elsewhereDetail = "the operation needs the present value, which is kept outside of the log; read it and write the new one whole, under the condition that the version is still the same"

// elsewhere is the answer if a record's value is not at hand.
func elsewhere(r *Record) (res kv.Result, is bool) {
	if _, is = kv.ParseReference(r.Value); is {
		res = kv.Result{Code: kv.Unsupported, Existed: true, Detail: elsewhereDetail}
	}
	return res, is
}

// forged is the answer to an operation that would make a value which looks like a reference.
func forged(value []byte) (res kv.Result, is bool) {
	if _, is = kv.ParseReference(value); is {
		res = kv.Result{Code: kv.Invalid, Detail: "the new value would begin like a reference of ours; no such value can be stored"}
	}
	return res, is
}

func (m *Machine) extend(o *kv.Op) kv.Result {
	old, ok := m.load(o.Key)
	if code := allowed(o, &old, ok); code != kv.OK {
		return kv.Result{Code: code, Existed: ok}
	}
	if res, is := elsewhere(&old); is {
		return res
	}
	if len(old.Value)+len(o.Value) > kv.ValueMax {
		return kv.Result{Code: kv.TooLong, Existed: ok}
	}
	value := make([]byte, 0, len(old.Value)+len(o.Value))
	if o.Kind == kv.OpAppend {
		value = append(append(value, old.Value...), o.Value...)
	} else {
		value = append(append(value, o.Value...), old.Value...)
	}
	if res, is := forged(value); is {
		return res
	}
	if !ok {
		old.Flags, old.ExpireAt = o.Flags, m.expiry(o, 0)
	}
	res := m.rewrite(o, &old, value)
	res.Int = int64(len(value))
	return res
}

func (m *Machine) setRange(o *kv.Op) kv.Result {
	old, ok := m.load(o.Key)
	end := int(o.Offset) + len(o.Value)
	if end > kv.ValueMax {
		return kv.Result{Code: kv.TooLong, Existed: ok}
	}
	if len(o.Value) == 0 {
		return kv.Result{Int: int64(kv.ValueSize(old.Value)), Existed: ok, Version: old.Version}
	}
	if res, is := elsewhere(&old); is {
		return res
	}
	value := make([]byte, max(end, len(old.Value)))
	copy(value, old.Value)
	copy(value[o.Offset:], o.Value)
	if res, is := forged(value); is {
		return res
	}
	res := m.rewrite(o, &old, value)
	res.Int = int64(len(value))
	return res
}

func (m *Machine) expire(o *kv.Op) kv.Result {
	r, ok := m.load(o.Key)
	if !ok {
		return kv.Result{Code: kv.NotFound}
	}
	res := found(o)(r, true)
	next := m.expiry(o, r.ExpireAt)
	if !expireAllowed(o.ExpireWhen, r.ExpireAt, next) {
		res.Code = kv.ConditionFailed
		return res
	}
	if next != r.ExpireAt {
		r.ExpireAt = next
		if o.NewVersion != 0 {
			r.Version = o.NewVersion
		}
		m.store(o.Key, &r)
	}
	res.ExpireAt = next
	return res
}

func expireAllowed(when kv.ExpireWhen, present, next int64) bool {
	const never = math.MaxInt64
	p, n := present, next
	if p == 0 {
		p = never
	}
	if n == 0 {
		n = never
	}
	switch when {
	case kv.ExpireIfNone:
		return present == 0
	case kv.ExpireIfSome:
		return present != 0
	case kv.ExpireIfGreater:
		return n > p
	case kv.ExpireIfLess:
		return n < p
	case kv.ExpireIfSomeAndLess:
		return present != 0 && n < p
	}
	return true
}

func (m *Machine) move(o *kv.Op) kv.Result {
	r, ok := m.load(o.Key)
	if !ok {
		return kv.Result{Code: kv.NotFound}
	}
	_, taken := m.load(o.Key2)
	if taken && o.When == kv.IfAbsent {
		return kv.Result{Code: kv.ConditionFailed, Existed: true}
	}
	same := bytes.Equal(o.Key, o.Key2)
	if same {
		return kv.Result{Existed: taken, Version: r.Version}
	}
	if res, is := elsewhere(&r); is {
		return res // its place outside goes by its key
	}
	next := Record{Value: r.Value, Flags: r.Flags, ExpireAt: r.ExpireAt}
	version := m.store(o.Key2, &next)
	if o.Kind == kv.OpRename {
		m.remove(o.Key)
	}
	return kv.Result{Existed: taken, Version: version, ExpireAt: next.ExpireAt}
}

func (m *Machine) clearAll(o *kv.Op) kv.Result {
	if m.Bounds != nil {
		return m.clearWithin(o)
	}
	for _, kind := range []byte{DataKind, expiryKind} {
		m.changes = append(m.changes, core.Change{Kind: core.DeleteRange, Key: []byte{kind}, End: []byte{kind + 1}})
	}
	m.cleared, m.wiped = len(m.changes), true
	return kv.Result{Version: m.nextVersion()}
}

// clearWithin removes the records that a split has left to the group. The index of expiries may be out of date.
func (m *Machine) clearWithin(o *kv.Op) kv.Result {
	from, to := m.Bounds.records()
	m.changes = append(m.changes, core.Change{Kind: core.DeleteRange, Key: from, End: to})
	m.cleared, m.wiped = len(m.changes), true
	_, next := m.Bounds.Within(*o)
	return kv.Result{Version: m.nextVersion(), Key: next}
}

func (m *Machine) recache(o *kv.Op) kv.Result {
	r, ok := m.load(o.Key)
	if !ok {
		if !o.HasInitial {
			return kv.Result{Code: kv.NotFound}
		}
		next := Record{ExpireAt: m.expiry(o, 0), Sent: true, Version: o.NewVersion}
		return kv.Result{Version: m.store(o.Key, &next), ExpireAt: next.ExpireAt, Marks: kv.MarkWon}
	}
	res := found(o)(r, true)
	ends := o.Delta > 0 && r.ExpireAt != 0 && r.ExpireAt-m.now.UnixMilli() < o.Delta
	if (r.Stale || ends) && !r.Sent {
		res.Marks |= kv.MarkWon
		r.Sent = true
		m.store(o.Key, &r)
	}
	return res
}

func (m *Machine) invalidate(o *kv.Op) kv.Result {
	r, ok := m.load(o.Key)
	if !ok {
		return kv.Result{Code: kv.NotFound}
	}
	if code := allowed(o, &r, ok); code != kv.OK {
		return kv.Result{Code: code, Existed: true}
	}
	r.Stale, r.Sent, r.Version = true, false, o.NewVersion
	if o.KeysOnly {
		r.Value, r.Flags = nil, 0
	}
	r.ExpireAt = m.expiry(o, r.ExpireAt)
	return kv.Result{Existed: true, Version: m.store(o.Key, &r), ExpireAt: r.ExpireAt}
}
