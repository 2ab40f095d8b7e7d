package redis

import (
	"math"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// planEach plans one operation for each key, and the answer is how many of them found theirs.
func planEach(op kv.Op) planFunc {
	return func(args [][]byte, command *kv.Command, o *reply) string {
		for _, key := range args[1:] {
			op := op
			op.Key = key
			command.Ops = append(command.Ops, op)
		}
		o.render = renderCount
		return ""
	}
}

func renderCount(w *writer, o *reply, items []kv.Result) {
	n := int64(0)
	for i := range items {
		if items[i].Code == kv.OK {
			n++
		}
	}
	w.integer(n)
}

func planType(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: args[1], Quiet: true})
	o.render = func(w *writer, o *reply, items []kv.Result) {
		switch {
		case items[0].Code != kv.OK:
			w.simple("none")
		case items[0].Marks&kv.MarkSet != 0:
			w.simple("set")
		default:
			w.simple("string")
		}
	}
	return ""
}

// Conditions of EXPIRE, as bits.
const (
	expireNX uint32 = 1 << iota
	expireXX
	expireGT
	expireLT
)

func parseExpireWhen(args [][]byte) (kv.ExpireWhen, string) {
	bits := uint32(0)
	for _, arg := range args {
		switch {
		case is(arg, "NX"):
			bits |= expireNX
		case is(arg, "XX"):
			bits |= expireXX
		case is(arg, "GT"):
			bits |= expireGT
		case is(arg, "LT"):
			bits |= expireLT
		default:
			return 0, "ERR Unsupported option " + cText(arg, len(arg))
		}
	}
	switch {
	case bits&expireNX != 0 && bits != expireNX:
		return 0, "ERR NX and XX, GT or LT options at the same time are not compatible"
	case bits&expireGT != 0 && bits&expireLT != 0:
		return 0, "ERR GT and LT options at the same time are not compatible"
	case bits&expireGT != 0:
		// A key without expiry ends never, so nothing is greater: XX is implied.
		return kv.ExpireIfGreater, ""
	case bits == expireLT|expireXX:
		return kv.ExpireIfSomeAndLess, ""
	case bits == expireLT:
		return kv.ExpireIfLess, ""
	case bits == expireXX:
		return kv.ExpireIfSome, ""
	case bits == expireNX:
		return kv.ExpireIfNone, ""
	}
	return kv.ExpireAlways, ""
}

// longPast stands for every time before 1970: as an expiry it deletes.
const longPast = 1

// planExpire is EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT.
func planExpire(seconds, relative bool, name string) planFunc {
	return func(args [][]byte, command *kv.Command, o *reply) string {
		condition, fault := parseExpireWhen(args[3:])
		if fault != "" {
			return fault
		}
		n, ok := parseInt(args[2])
		if !ok {
			return faultNotInteger
		}
		if seconds {
			if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
				return invalidExpire(name)
			}
			n *= 1000
		}
		if relative && n > math.MaxInt64-time.Now().UnixMilli() {
			return invalidExpire(name)
		}
		op := kv.Op{Kind: kv.OpExpire, Key: args[1], ExpireWhen: condition, Expiry: kv.ExpireAt, Expire: n, Quiet: true}
		switch {
		case n <= 0:
			op.Expire = longPast
		case relative:
			op.Expiry = kv.ExpireIn
		}
		command.Ops = append(command.Ops, op)
		o.render = renderDone
		return ""
	}
}

func planPersist(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpExpire, Key: args[1], Expiry: kv.ExpireNever, ExpireWhen: kv.ExpireIfSome, Quiet: true})
	o.render = renderDone
	return ""
}

// planTTL is TTL, PTTL, EXPIRETIME and PEXPIRETIME.
func planTTL(seconds, relative bool) planFunc {
	render := func(w *writer, o *reply, items []kv.Result) {
		r := &items[0]
		switch {
		case r.Code != kv.OK:
			w.integer(-2)
		case r.ExpireAt == 0:
			w.integer(-1)
		default:
			at := r.ExpireAt
			if relative {
				at = max(at-r.AsOf, 0)
			}
			if seconds {
				at = (at + 500) / 1000
			}
			w.integer(at)
		}
	}
	return func(args [][]byte, command *kv.Command, o *reply) string {
		command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: args[1], Quiet: true})
		o.render = render
		return ""
	}
}

// planRename is RENAME and RENAMENX.
func planRename(onlyNew bool) planFunc {
	return func(args [][]byte, command *kv.Command, o *reply) string {
		op := kv.Op{Kind: kv.OpRename, Key: args[1], Key2: args[2]}
		o.render = renderRenamed
		if onlyNew {
			op.When = kv.IfAbsent
			o.render = renderRenamedNew
		}
		if string(args[1]) == string(args[2]) {
			op = kv.Op{Kind: kv.OpGet, Key: args[1], Quiet: true}
			o.options = 1
		}
		command.Ops = append(command.Ops, op)
		return ""
	}
}

func renderRenamed(w *writer, o *reply, items []kv.Result) {
	if items[0].Code == kv.NotFound {
		w.fail(faultNoSuchKey)
		return
	}
	w.ok()
}

func renderRenamedNew(w *writer, o *reply, items []kv.Result) {
	if items[0].Code == kv.NotFound {
		w.fail(faultNoSuchKey)
		return
	}
	w.flag(items[0].Code == kv.OK && o.options == 0)
}

func planCopy(args [][]byte, command *kv.Command, o *reply) string {
	op := kv.Op{Kind: kv.OpCopy, Key: args[1], Key2: args[2], When: kv.IfAbsent}
	for i := 3; i < len(args); i++ {
		switch {
		case is(args[i], "REPLACE"):
			op.When = kv.Always
		case is(args[i], "DB") && i+1 < len(args):
			return "ERR COPY to another keyspace is not offered: it could not be atomic"
		default:
			return faultSyntax
		}
	}
	if string(args[1]) == string(args[2]) {
		return "ERR source and destination objects are the same"
	}
	command.Ops = append(command.Ops, op)
	o.render = renderDone
	return ""
}

func planGetBit(args [][]byte, command *kv.Command, o *reply) string {
	offset, ok := parseInt(args[2])
	if !ok || offset < 0 || offset>>3 >= bulkMax {
		return "ERR bit offset is not an integer or out of range"
	}
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: args[1]})
	o.number = offset
	o.render = func(w *writer, o *reply, items []kv.Result) {
		at := o.number >> 3
		w.flag(at < int64(len(items[0].Value)) && items[0].Value[at]>>(7-o.number&7)&1 == 1)
	}
	return ""
}

// planObject is OBJECT ENCODING and OBJECT REFCOUNT.
func planObject(render renderFunc) planFunc {
	return func(args [][]byte, command *kv.Command, o *reply) string {
		command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: args[2]})
		o.render = render
		return ""
	}
}

// renderEncoding tells how Redis would hold the value, which some clients use to tell numbers from text.
func renderEncoding(w *writer, o *reply, items []kv.Result) {
	value := items[0].Value
	_, integer := parseInt(value)
	switch {
	case items[0].Code != kv.OK:
		w.null()
	case integer && len(value) <= 20:
		w.text("int")
	case len(value) <= 44:
		w.text("embstr")
	default:
		w.text("raw")
	}
}

func renderRefcount(w *writer, o *reply, items []kv.Result) {
	if items[0].Code != kv.OK {
		w.null()
		return
	}
	w.integer(1)
}

// planMemoryUsage answers with what the pair itself takes.
func planMemoryUsage(args [][]byte, command *kv.Command, o *reply) string {
	if len(args) != 3 && !(len(args) == 5 && is(args[3], "SAMPLES")) {
		return faultSyntax
	}
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: args[2], Quiet: true})
	o.number = int64(len(args[2]))
	o.render = func(w *writer, o *reply, items []kv.Result) {
		if items[0].Code != kv.OK {
			w.null()
			return
		}
		w.integer(o.number + items[0].Int)
	}
	return ""
}
