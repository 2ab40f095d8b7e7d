package kv

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// codecVersion is the first byte of every encoded command and result.
const codecVersion = 1

// errCodec answers any bytes that are not an encoding of ours; where they came from adds the context.
var errCodec = errors.New("malformed encoding")

// Presence bits of an encoded operation. A field whose bit is clear is zero and takes no bytes.
const (
	opOld = 1 << iota
	opHasInitial
	opKeysOnly
	opQuiet
	opDown
	opMods
	opKey2
	opEnd
	opValue
	opExpect
	opFlags
	opVersion
	opNewVersion
	opExpire
	opDelta
	opMagnitude
	opInitial
	opFloat
	opOffset
	opLimit
	opTouch
	opBits
)

const (
	commandSession = 1 << iota
	commandConds
	commandLevel
	commandToken
	commandReceipt
	commandTx
	commandContext
	commandMerge // the last bit of the byte
)

// AppendCommand encodes a command.
func AppendCommand(b []byte, c *Command) []byte {
	var flags byte
	if !c.Session.IsZero() {
		flags |= commandSession
	}
	if len(c.Conds) > 0 {
		flags |= commandConds
	}
	if c.Level != 0 {
		flags |= commandLevel
	}
	if len(c.Token) > 0 {
		flags |= commandToken
	}
	if c.Receipt {
		flags |= commandReceipt
	}
	if c.Tx != nil {
		flags |= commandTx
	}
	if len(c.Context) > 0 {
		flags |= commandContext
	}
	if c.Merge != nil {
		flags |= commandMerge
	}
	b = append(b, codecVersion, flags)
	if flags&commandSession != 0 {
		b = append(b, c.Session.Client[:]...)
		b = binary.AppendUvarint(b, c.Session.Seq)
		b = binary.AppendUvarint(b, c.Session.Acked)
	}
	if flags&commandLevel != 0 {
		b = appendLevel(b, c.Level)
	}
	if flags&commandToken != 0 {
		b = appendBytes(b, c.Token)
	}
	if flags&commandContext != 0 {
		b = appendBytes(b, c.Context)
	}
	if flags&commandTx != 0 {
		b = appendTx(b, c.Tx)
	}
	if flags&commandConds != 0 {
		b = appendConds(b, c.Conds)
	}
	if b = appendOps(b, c.Ops); flags&commandMerge != 0 {
		b = appendMerge(b, c.Merge)
	}
	return b
}

// AppendWithSession appends an encoded command that has no session as the same command of a session.
func AppendWithSession(b, encoded []byte, s Session) []byte {
	b = slices.Grow(b, len(encoded)+len(s.Client)+2*binary.MaxVarintLen64)
	b = append(b, codecVersion, encoded[1]|commandSession)
	b = append(b, s.Client[:]...)
	b = binary.AppendUvarint(b, s.Seq)
	b = binary.AppendUvarint(b, s.Acked)
	return append(b, encoded[2:]...)
}

// appendLevel encodes a level: its kind, and the bound of a bounded one.
func appendLevel(b []byte, l Level) []byte {
	b = append(b, byte(l.Kind()))
	if l.Kind() == LevelBounded {
		b = binary.AppendUvarint(b, uint64(l>>8))
	}
	return b
}

func (r *reader) level() Level {
	l := Level(r.byte())
	if l == LevelBounded {
		l |= Level(r.uvarint()) << 8
	}
	r.bad = r.bad || !l.valid()
	return l
}

func appendCond(b []byte, c *Cond) []byte {
	b = append(b, byte(c.Kind))
	b = appendBytes(b, c.Key)
	b = binary.AppendUvarint(b, c.Version)
	return appendBytes(b, c.Value)
}

func appendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// opMask tells which fields of an operation are worth bytes.
func opMask(o *Op) (mask uint64) {
	set := func(bit uint64, on bool) {
		if on {
			mask |= bit
		}
	}
	set(opOld, o.Old)
	set(opHasInitial, o.HasInitial)
	set(opKeysOnly, o.KeysOnly)
	set(opQuiet, o.Quiet)
	set(opDown, o.Down)
	set(opTouch, o.Touch)
	set(opMods, o.When != 0 || o.Expiry != 0 || o.ExpireWhen != 0)
	set(opKey2, len(o.Key2) > 0)
	set(opEnd, len(o.End) > 0)
	set(opValue, len(o.Value) > 0)
	set(opExpect, len(o.Expect) > 0)
	set(opFlags, o.Flags != 0)
	set(opVersion, o.Version != 0)
	set(opNewVersion, o.NewVersion != 0)
	set(opExpire, o.Expire != 0)
	set(opDelta, o.Delta != 0)
	set(opMagnitude, o.Magnitude != 0)
	set(opInitial, o.Initial != 0)
	set(opFloat, o.Float != 0)
	set(opOffset, o.Offset != 0)
	set(opLimit, o.Limit != 0)
	return mask
}

func appendOp(b []byte, o *Op) []byte {
	mask := opMask(o)
	b = append(b, byte(o.Kind))
	b = binary.AppendUvarint(b, mask)
	b = appendBytes(b, o.Key)
	if mask&opMods != 0 {
		b = append(b, byte(o.When), byte(o.Expiry), byte(o.ExpireWhen))
	}
	for _, f := range o.byteFields() {
		if mask&f.bit != 0 {
			b = appendBytes(b, *f.at)
		}
	}
	for _, f := range o.numberFields() {
		if mask&f.bit != 0 {
			b = binary.AppendUvarint(b, f.get())
		}
	}
	return b
}

type byteField struct {
	bit uint64
	at  *[]byte
}

func (o *Op) byteFields() [4]byteField {
	return [4]byteField{{opKey2, &o.Key2}, {opEnd, &o.End}, {opValue, &o.Value}, {opExpect, &o.Expect}}
}

// numberField reads and writes one numeric field as a uint64, whatever its type.
type numberField struct {
	bit uint64
	u64 *uint64
	i64 *int64
	u32 *uint32
	f64 *float64
}

func (o *Op) numberFields() [10]numberField {
	return [10]numberField{
		{bit: opFlags, u32: &o.Flags}, {bit: opVersion, u64: &o.Version}, {bit: opNewVersion, u64: &o.NewVersion},
		{bit: opExpire, i64: &o.Expire}, {bit: opDelta, i64: &o.Delta}, {bit: opMagnitude, u64: &o.Magnitude},
		{bit: opInitial, u64: &o.Initial}, {bit: opFloat, f64: &o.Float}, {bit: opOffset, u32: &o.Offset},
		{bit: opLimit, u32: &o.Limit},
	}
}

func (f *numberField) get() uint64 {
	switch {
	case f.u64 != nil:
		return *f.u64
	case f.i64 != nil:
		return uint64(*f.i64)<<1 ^ uint64(*f.i64>>63)
	case f.u32 != nil:
		return uint64(*f.u32)
	}
	return math.Float64bits(*f.f64)
}

func (f *numberField) set(v uint64) {
	switch {
	case f.u64 != nil:
		*f.u64 = v
	case f.i64 != nil:
		*f.i64 = int64(v>>1) ^ -int64(v&1)
	case f.u32 != nil:
		*f.u32 = uint32(v)
	default:
		*f.f64 = math.Float64frombits(v)
	}
}

// reader takes an encoding apart. After a malformed part it stays bad and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		r.b = nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// count reads a number of parts of at least size bytes each, so that a lie cannot make us allocate.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

// DecodeCommand decodes into c, reusing its slices. Byte fields point into b.
func DecodeCommand(b []byte, c *Command) error {
	r := reader{b: b}
	c.Conds, c.Ops = c.Conds[:0], c.Ops[:0]
	flags := r.head(c)
	if flags&commandConds != 0 {
		c.Conds = r.conds(c.Conds)
	}
	if c.Ops = r.ops(c.Ops); flags&commandMerge != 0 {
		c.Merge = r.merge()
	}
	if r.bad || len(r.b) > 0 {
		return errCodec
	}
	return nil
}

// DecodeHead reads a command's session, level, token and step of a transaction alone; like DecodeCommand, it keeps b.
func DecodeHead(b []byte) (c Command, err error) {
	r := reader{b: b}
	if r.head(&c); r.bad {
		return Command{}, errCodec
	}
	return c, nil
}

// HasTx reports whether an encoded command is a step of a transaction; of what is no command it says nothing.
func HasTx(b []byte) bool { return len(b) > 1 && b[1]&commandTx != 0 }

// TxStepOf is the step of a transaction that an encoded command is; 0: it is none.
func TxStepOf(b []byte) TxStep {
	if !HasTx(b) {
		return 0
	}
	if b[1]&(commandSession|commandLevel|commandToken|commandContext) == 0 && len(b) > 2 {
		return TxStep(b[2]) // as nodes make them
	}
	c, err := DecodeHead(b)
	if err != nil {
		return 0
	}
	return c.Tx.Step
}

// Absorbs reports whether an encoded command is a part of a merge, and nothing but that; of what is no command it says nothing.
func Absorbs(b []byte) bool {
	if len(b) < 2 || b[1]&^commandSession != 0 {
		return false
	}
	r := reader{b: b}
	var c Command
	r.head(&c)
	return r.count(1) == 1 && OpKind(r.byte()) == OpAbsorb && !r.bad
}

// head reads what comes before a command's conditions and operations.
func (r *reader) head(c *Command) (flags byte) {
	r.bad = r.byte() != codecVersion || r.bad
	flags = r.byte()
	c.Session, c.Level, c.Token, c.Context, c.Receipt, c.Tx = Session{}, 0, nil, nil, flags&commandReceipt != 0, nil
	c.Merge = nil
	if flags&commandSession != 0 {
		r.bad = r.bad || len(r.b) < len(c.Session.Client)
		r.b = r.b[copy(c.Session.Client[:], r.b):]
		c.Session.Seq, c.Session.Acked = r.uvarint(), r.uvarint()
	}
	if flags&commandLevel != 0 {
		c.Level = r.level()
	}
	if flags&commandToken != 0 {
		c.Token = r.bytes()
	}
	if flags&commandContext != 0 {
		c.Context = r.bytes()
	}
	if flags&commandTx != 0 {
		c.Tx = r.tx()
	}
	return flags
}

func (r *reader) op(o *Op) {
	o.Kind = OpKind(r.byte())
	mask := r.uvarint()
	r.bad = r.bad || mask >= opBits
	o.Key = r.bytes()
	o.Old, o.HasInitial, o.KeysOnly = mask&opOld != 0, mask&opHasInitial != 0, mask&opKeysOnly != 0
	o.Quiet, o.Down, o.Touch = mask&opQuiet != 0, mask&opDown != 0, mask&opTouch != 0
	if mask&opMods != 0 {
		o.When, o.Expiry, o.ExpireWhen = When(r.byte()), Expiry(r.byte()), ExpireWhen(r.byte())
	}
	for _, f := range o.byteFields() {
		if mask&f.bit != 0 {
			*f.at = r.bytes()
		}
	}
	if mask < opFlags {
		return
	}
	for _, f := range o.numberFields() {
		if mask&f.bit != 0 {
			f.set(r.uvarint())
		}
	}
}

// Presence bits of an encoded result.
const (
	resultExisted = 1 << iota
	resultMarks
	resultFlags
	resultVersion
	resultExpireAt
	resultAsOf
	resultInt
	resultFloat
	resultValue
	resultKey
	resultItems
	resultDetail
	resultOrigin
	resultLevel
	resultToken
	resultPosition
	resultTx
	resultSiblings
	resultRequest
	resultBits
)

// resultDepth bounds how deep results nest: a command's, its operations', a scan's items.
const resultDepth = 4

func resultMask(r *Result) (mask uint64) {
	set := func(bit uint64, on bool) {
		if on {
			mask |= bit
		}
	}
	set(resultExisted, r.Existed)
	set(resultMarks, r.Marks != 0)
	set(resultFlags, r.Flags != 0)
	set(resultVersion, r.Version != 0)
	set(resultExpireAt, r.ExpireAt != 0)
	set(resultAsOf, r.AsOf != 0)
	set(resultInt, r.Int != 0)
	set(resultFloat, r.Float != 0)
	set(resultValue, len(r.Value) > 0)
	set(resultKey, len(r.Key) > 0)
	set(resultItems, len(r.Items) > 0)
	set(resultDetail, r.Detail != "")
	set(resultOrigin, r.Origin != 0)
	set(resultLevel, r.Level != 0)
	set(resultToken, len(r.Token) > 0)
	set(resultPosition, r.Position != 0)
	set(resultTx, r.Tx != nil)
	set(resultSiblings, r.Siblings != 0)
	set(resultRequest, r.Request != nil)
	return mask
}

func (r *Result) numberFields() [9]numberField {
	return [9]numberField{
		{bit: resultFlags, u32: &r.Flags}, {bit: resultVersion, u64: &r.Version}, {bit: resultExpireAt, i64: &r.ExpireAt},
		{bit: resultAsOf, i64: &r.AsOf}, {bit: resultInt, i64: &r.Int}, {bit: resultFloat, f64: &r.Float},
		{bit: resultOrigin, u32: &r.Origin}, {bit: resultPosition, u64: &r.Position},
		{bit: resultSiblings, u32: &r.Siblings},
	}
}

// AppendResult encodes a result.
func AppendResult(b []byte, r *Result) []byte {
	mask := resultMask(r)
	b = append(b, byte(r.Code))
	b = binary.AppendUvarint(b, mask)
	if mask&resultMarks != 0 {
		b = append(b, byte(r.Marks))
	}
	for _, f := range r.numberFields() {
		if mask&f.bit != 0 {
			b = binary.AppendUvarint(b, f.get())
		}
	}
	if mask&resultValue != 0 {
		b = appendBytes(b, r.Value)
	}
	if mask&resultKey != 0 {
		b = appendBytes(b, r.Key)
	}
	if mask&resultDetail != 0 {
		b = binary.AppendUvarint(b, uint64(len(r.Detail)))
		b = append(b, r.Detail...)
	}
	if mask&resultLevel != 0 {
		b = appendLevel(b, r.Level)
	}
	if mask&resultToken != 0 {
		b = appendBytes(b, r.Token)
	}
	if mask&resultTx != 0 {
		b = appendTxAnswer(b, r.Tx)
	}
	if mask&resultRequest != 0 {
		b = append(b, r.Request.Client[:]...)
		b = binary.AppendUvarint(b, r.Request.Seq)
	}
	if mask&resultItems != 0 {
		b = binary.AppendUvarint(b, uint64(len(r.Items)))
		for i := range r.Items {
			b = AppendResult(b, &r.Items[i])
		}
	}
	return b
}

// DecodeResult decodes one result and returns what follows it. Byte fields point into b.
func DecodeResult(b []byte, r *Result) (rest []byte, err error) {
	in := reader{b: b}
	in.result(r, resultDepth)
	if in.bad {
		return nil, errCodec
	}
	return in.b, nil
}

func (r *reader) result(out *Result, depth int) {
	*out = Result{Code: Code(r.byte())}
	mask := r.uvarint()
	if mask >= resultBits || depth == 0 {
		r.bad = true
		return
	}
	out.Existed = mask&resultExisted != 0
	if mask&resultMarks != 0 {
		out.Marks = Mark(r.byte())
	}
	for _, f := range out.numberFields() {
		if mask&f.bit != 0 {
			f.set(r.uvarint())
		}
	}
	if mask&resultValue != 0 {
		out.Value = r.bytes()
	}
	if mask&resultKey != 0 {
		out.Key = r.bytes()
	}
	if mask&resultDetail != 0 {
		out.Detail = string(r.bytes())
	}
	if mask&resultLevel != 0 {
		out.Level = r.level()
	}
	if mask&resultToken != 0 {
		out.Token = r.bytes()
	}
	if mask&resultTx != 0 {
		out.Tx = r.txAnswer()
	}
	if mask&resultRequest != 0 {
		out.Request = new(Session)
		r.bad = r.bad || len(r.b) < len(out.Request.Client)
		r.b = r.b[copy(out.Request.Client[:], r.b):]
		out.Request.Seq = r.uvarint()
	}
	if mask&resultItems != 0 {
		n := r.count(2)
		out.Items = make([]Result, 0, min(n, 1024))
		for ; n > 0 && !r.bad; n-- {
			out.Items = append(out.Items, Result{})
			r.result(&out.Items[len(out.Items)-1], depth-1)
		}
	}
}
