package redis

import (
	"math"
	"strconv"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Options of SET and GETEX, as bits.
const (
	optIfAbsent uint32 = 1 << iota
	optIfPresent
	optGet
	optKeepTTL
	optPersist
	optEX
	optPX
	optEXAT
	optPXAT
)

const optExpires = optEX | optPX | optEXAT | optPXAT

// setOptions are the options of a SET or GETEX, parsed.
type setOptions struct {
	bits   uint32
	expire int64 // milliseconds
}

// setOption names an option and those that it cannot stand with.
var setOptionTable = []struct {
	word     string
	bit      uint32
	conflict uint32
	forGetEx bool
	forSet   bool
}{
	{"NX", optIfAbsent, optIfPresent, false, true},
	{"XX", optIfPresent, optIfAbsent, false, true},
	{"GET", optGet, 0, false, true},
	{"KEEPTTL", optKeepTTL, optPersist | optExpires, false, true},
	{"PERSIST", optPersist, optKeepTTL | optExpires, true, false},
	{"EX", optEX, optKeepTTL | optPersist | optExpires&^optEX, true, true},
	{"PX", optPX, optKeepTTL | optPersist | optExpires&^optPX, true, true},
	{"EXAT", optEXAT, optKeepTTL | optPersist | optExpires&^optEXAT, true, true},
	{"PXAT", optPXAT, optKeepTTL | optPersist | optExpires&^optPXAT, true, true},
}

func parseSetOptions(args [][]byte, name string) (o setOptions, fault string) {
	var amount []byte
	for i := 0; i < len(args); i++ {
		found := false
		for _, row := range setOptionTable {
			if !is(args[i], row.word) || name == "set" && !row.forSet || name == "getex" && !row.forGetEx {
				continue
			}
			takesAmount := row.bit&optExpires != 0
			if o.bits&row.conflict != 0 || takesAmount && (o.bits&row.bit != 0 || i+1 == len(args)) {
				return o, faultSyntax
			}
			o.bits |= row.bit
			found = true
			if takesAmount {
				i++
				amount = args[i]
			}
			break
		}
		if !found {
			return o, faultSyntax
		}
	}
	if amount != nil {
		o.expire, fault = parseExpire(amount, o.bits&(optEX|optEXAT) != 0, o.bits&(optEX|optPX) != 0, name)
	}
	return o, fault
}

// parseExpire reads the time of SET, SETEX and GETEX, which must lie in the future of 1970.
func parseExpire(arg []byte, seconds, relative bool, name string) (milliseconds int64, fault string) {
	n, ok := parseInt(arg)
	if !ok {
		return 0, faultNotInteger
	}
	if n <= 0 || seconds && n > math.MaxInt64/1000 {
		return 0, invalidExpire(name)
	}
	if seconds {
		n *= 1000
	}
	if relative && n > math.MaxInt64-time.Now().UnixMilli() {
		return 0, invalidExpire(name)
	}
	return n, ""
}

// expiry is what the options mean to an operation.
func (o *setOptions) expiry() kv.Expiry {
	switch {
	case o.bits&optKeepTTL != 0:
		return kv.ExpireKeep
	case o.bits&(optEX|optPX) != 0:
		return kv.ExpireIn
	case o.bits&(optEXAT|optPXAT) != 0:
		return kv.ExpireAt
	}
	return kv.ExpireNever
}

func planGet(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: args[1]})
	o.render = renderValue
	return ""
}

func planSet(args [][]byte, command *kv.Command, o *reply) string {
	op := kv.Op{Kind: kv.OpSet, Key: args[1], Value: args[2]}
	o.render = renderSet
	if len(args) > 3 {
		options, fault := parseSetOptions(args[3:], "set")
		if fault != "" {
			return fault
		}
		op.Expiry, op.Expire = options.expiry(), options.expire
		op.When = when(options.bits)
		op.Old = options.bits&optGet != 0
		if op.Old {
			o.render = renderOld
		}
	}
	command.Ops = append(command.Ops, op)
	return ""
}

// planStampedSet and planStampedDel plan what stands behind a stamp.
func planStampedSet(args [][]byte, command *kv.Command, o *reply) string {
	return planSet(args[1:], command, o)
}

func planStampedDel(args [][]byte, command *kv.Command, o *reply) string {
	return planEach(kv.Op{Kind: kv.OpDelete})(args[1:], command, o)
}

func when(bits uint32) kv.When {
	switch {
	case bits&optIfAbsent != 0:
		return kv.IfAbsent
	case bits&optIfPresent != 0:
		return kv.IfPresent
	}
	return kv.Always
}

func planSetNX(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpSet, Key: args[1], Value: args[2], When: kv.IfAbsent})
	o.render = renderDone
	return ""
}

func planSetEX(seconds bool, name string) planFunc {
	return func(args [][]byte, command *kv.Command, o *reply) string {
		expire, fault := parseExpire(args[2], seconds, true, name)
		if fault != "" {
			return fault
		}
		command.Ops = append(command.Ops, kv.Op{Kind: kv.OpSet, Key: args[1], Value: args[3], Expiry: kv.ExpireIn, Expire: expire})
		o.render = renderSet
		return ""
	}
}

func planGetSet(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpSet, Key: args[1], Value: args[2], Old: true})
	o.render = renderOld
	return ""
}

func planGetDel(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpDelete, Key: args[1], Old: true})
	o.render = renderOld
	return ""
}

func planGetEx(args [][]byte, command *kv.Command, o *reply) string {
	options, fault := parseSetOptions(args[2:], "getex")
	if fault == faultSyntax {
		return fault
	}
	if fault != "" {
		planIfPresent(args[1], command, o, fault)
		return ""
	}
	op := kv.Op{Kind: kv.OpGet, Key: args[1]}
	if options.bits != 0 {
		op.Kind, op.Expiry, op.Expire = kv.OpExpire, options.expiry(), options.expire
	}
	command.Ops = append(command.Ops, op)
	o.render = renderValue
	return ""
}

// planIfPresent answers with a fault if the key is there, else with null: the order in which Redis looks at things.
func planIfPresent(key []byte, command *kv.Command, o *reply, fault string) {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: key, Quiet: true})
	o.render = func(w *writer, o *reply, items []kv.Result) {
		if items[0].Code == kv.OK {
			w.fail(fault)
		} else {
			w.null()
		}
	}
}

func planMGet(args [][]byte, command *kv.Command, o *reply) string {
	for _, key := range args[1:] {
		command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: key})
	}
	o.render = renderValues
	return ""
}

func planMSet(args [][]byte, command *kv.Command, o *reply) string {
	if len(args)%2 == 0 {
		return wrongArity("mset")
	}
	for i := 1; i < len(args); i += 2 {
		command.Ops = append(command.Ops, kv.Op{Kind: kv.OpSet, Key: args[i], Value: args[i+1]})
	}
	o.render = renderSet
	return ""
}

func planMSetNX(args [][]byte, command *kv.Command, o *reply) string {
	if len(args)%2 == 0 {
		return wrongArity("msetnx")
	}
	for i := 1; i < len(args); i += 2 {
		command.Conds = append(command.Conds, kv.Cond{Key: args[i], Kind: kv.CondAbsent})
		command.Ops = append(command.Ops, kv.Op{Kind: kv.OpSet, Key: args[i], Value: args[i+1]})
	}
	o.render = renderAllSet
	return ""
}

func planAppend(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpAppend, Key: args[1], Value: args[2], Expiry: kv.ExpireKeep})
	o.render = renderInt
	return ""
}

func planStrlen(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: args[1], Quiet: true})
	o.render = func(w *writer, o *reply, items []kv.Result) {
		if items[0].Marks&kv.MarkSet != 0 {
			w.fail(faultWrongType)
			return
		}
		renderInt(w, o, items)
	}
	return ""
}

func planGetRange(args [][]byte, command *kv.Command, o *reply) string {
	from, ok1 := parseInt(args[2])
	to, ok2 := parseInt(args[3])
	if !ok1 || !ok2 {
		return faultNotInteger
	}
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: args[1]})
	o.number, o.limit, o.render = from, to, renderRange
	return ""
}

func planSetRange(args [][]byte, command *kv.Command, o *reply) string {
	offset, ok := parseInt(args[2])
	if !ok {
		return faultNotInteger
	}
	if offset < 0 {
		return "ERR offset is out of range"
	}
	o.render = renderInt
	if len(args[3]) == 0 {
		command.Ops = append(command.Ops, kv.Op{Kind: kv.OpGet, Key: args[1], Quiet: true})
		return ""
	}
	if offset > kv.ValueMax-int64(len(args[3])) {
		return faultTooLong
	}
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpSetRange, Key: args[1], Value: args[3], Offset: uint32(offset), Expiry: kv.ExpireKeep})
	return ""
}

func planAdd(command *kv.Command, o *reply, key []byte, delta int64) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpIncr, Key: key, Delta: delta, Expiry: kv.ExpireKeep})
	o.render = renderCounter
	return ""
}

func planIncr(args [][]byte, command *kv.Command, o *reply) string {
	return planAdd(command, o, args[1], 1)
}

func planDecr(args [][]byte, command *kv.Command, o *reply) string {
	return planAdd(command, o, args[1], -1)
}

func planIncrBy(args [][]byte, command *kv.Command, o *reply) string {
	delta, ok := parseInt(args[2])
	if !ok {
		return faultNotInteger
	}
	return planAdd(command, o, args[1], delta)
}

func planDecrBy(args [][]byte, command *kv.Command, o *reply) string {
	delta, ok := parseInt(args[2])
	if !ok {
		return faultNotInteger
	}
	if delta == math.MinInt64 {
		return "ERR decrement would overflow"
	}
	return planAdd(command, o, args[1], -delta)
}

func planIncrByFloat(args [][]byte, command *kv.Command, o *reply) string {
	delta, ok := parseFloat(args[2])
	if !ok {
		return faultNotFloat
	}
	if math.IsInf(delta, 0) {
		return "ERR increment would produce NaN or Infinity"
	}
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpIncrFloat, Key: args[1], Float: delta, Expiry: kv.ExpireKeep})
	o.render = renderFloat
	return ""
}

// parseFloat reads a number as Redis' string2ld does.
func parseFloat(arg []byte) (float64, bool) {
	for _, b := range arg {
		if b == '_' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(arg), 64)
	return f, err == nil && !math.IsNaN(f)
}

func renderValue(w *writer, o *reply, items []kv.Result) {
	if items[0].Code != kv.OK {
		w.null()
		return
	}
	w.bulk(items[0].Value)
}

func renderValues(w *writer, o *reply, items []kv.Result) {
	w.array(len(items))
	for i := range items {
		renderValue(w, o, items[i:])
	}
}

// renderOld answers with the value from before, whether or not the operation has changed it.
func renderOld(w *writer, o *reply, items []kv.Result) {
	if !items[0].Existed {
		w.null()
		return
	}
	w.bulk(items[0].Value)
}

func renderSet(w *writer, o *reply, items []kv.Result) {
	if items[0].Code != kv.OK {
		w.null()
		return
	}
	w.ok()
}

func renderDone(w *writer, o *reply, items []kv.Result) { w.flag(items[0].Code == kv.OK) }

func renderAllSet(w *writer, o *reply, items []kv.Result) {
	w.flag(len(items) > 0 && items[0].Code == kv.OK)
}

func renderInt(w *writer, o *reply, items []kv.Result) {
	if items[0].Code == kv.NotFound {
		w.integer(0)
		return
	}
	w.integer(items[0].Int)
}

func renderCounter(w *writer, o *reply, items []kv.Result) {
	if items[0].Code == kv.Overflow {
		w.fail("ERR increment or decrement would overflow")
		return
	}
	w.integer(items[0].Int)
}

func renderFloat(w *writer, o *reply, items []kv.Result) {
	switch {
	case items[0].Code == kv.Overflow:
		w.fail("ERR increment would produce NaN or Infinity")
	case items[0].Value != nil:
		w.bulk(items[0].Value)
	default:
		w.text(strconv.FormatFloat(items[0].Float, 'f', -1, 64))
	}
}

func renderRange(w *writer, o *reply, items []kv.Result) {
	w.bulk(cutRange(items[0].Value, o.number, o.limit))
}

// cutRange is the part of a value from one index to another, both included; negative ones count from the end.
func cutRange(value []byte, from, to int64) []byte {
	n := int64(len(value))
	if from < 0 && to < 0 && from > to {
		return nil
	}
	if from < 0 {
		from = max(from+n, 0)
	}
	if to < 0 {
		to = max(to+n, 0)
	}
	to = min(to, n-1)
	if from > to || n == 0 {
		return nil
	}
	return value[from : to+1]
}
