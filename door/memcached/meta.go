package memcached

import (
	"encoding/base64"

	"github.com/gamutdb/gamut/kv"
)

// metaHead is what all meta commands have: a key, and flags. at is the first word that is a flag.
func (p *pipeline) metaHead(line []byte, words, at int, tooMany string) (key, flags []byte, f metaFlags, failure string) {
	key = p.tokens[1]
	if len(key) > keyMax {
		return nil, nil, f, badFormat
	}
	if words > metaWordsMax {
		return nil, nil, f, tooMany
	}
	f.delta = 1
	list := p.tokens[at:words]
	if failure = f.parse(list); failure != "" {
		return nil, nil, f, failure
	}
	if f.binary {
		from := len(p.keys)
		decoded, err := base64.StdEncoding.AppendDecode(p.keys, key)
		if err != nil || len(decoded) == from {
			return nil, nil, f, badKey
		}
		p.keys = decoded
		key = decoded[from:len(decoded):len(decoded)]
	} else if !validKey(key) {
		return nil, nil, f, badFormat
	}
	for ; at > 0; at-- {
		_, line = nextWord(line)
	}
	return key, line, f, p.carry(key, &f)
}

// getPlan says which results of a meta get's operations hold what.
type getPlan struct {
	view uint8 // the record
	ttl  uint8 // the expiry that t shows
	// zeroTTL: t stood before N, so that a record which N made shows none.
	zeroTTL bool
}

// metaGet takes mg <key> <flags>*.
func (p *pipeline) metaGet(line []byte, words int) {
	if words < 2 {
		p.say(badCommand)
		return
	}
	key, flags, f, failure := p.metaHead(line, words, 2, longGetFlags)
	switch {
	case failure != "":
		p.say(failure)
		return
	case f.hit || f.access:
		p.say(noHits)
		return
	case opaqueTooLong(p.tokens[2:words]):
		p.say(longOpaque)
		return
	}
	r := request{kind: answerMetaGet, quiet: f.quiet, binary: f.binary, flags: flags}
	first := p.addMeta(r, key, &f)
	if first == nil {
		return
	}
	if f.value {
		p.reads++
	}
	p.tally.count(cmdMeta)
	p.peek(p.tokens[1])
	p.planGet(&p.requests[len(p.requests)-1].plan, key, &f)
}

// planGet turns the flags of mg into operations, in the order in which memcached minds them: T changes the expiry where
// it stands among t, N and R.
func (p *pipeline) planGet(plan *getPlan, key []byte, f *metaFlags) {
	calls := p.batch.Calls()
	c := &calls[len(calls)-1].Command
	c.Ops = c.Ops[:0]
	gate := f.vivify || f.recache
	earlyTTL := f.touch && f.atTTL > 0 && f.atTTL < f.atTouch
	atGate := max(f.atVivify, f.atRecache)
	touchFirst := f.touch && gate && f.atTouch < atGate
	plan.zeroTTL = f.vivify && f.atTTL > 0 && f.atTTL < f.atVivify
	if earlyTTL && (!gate || touchFirst) {
		o := addOp(c, key)
		o.Kind, o.Quiet = kv.OpGet, true
	}
	if touchFirst {
		touchOp(addOp(c, key), f)
	}
	plan.view = uint8(len(c.Ops))
	switch {
	case gate:
		recacheOp(addOp(c, key), f)
	case f.touch:
		touchOp(addOp(c, key), f)
	default:
		o := addOp(c, key)
		o.Kind, o.Quiet = kv.OpGet, !f.value
	}
	plan.ttl = plan.view
	if f.touch && gate && !touchFirst {
		touchOp(addOp(c, key), f)
		plan.ttl = uint8(len(c.Ops) - 1)
	}
	if earlyTTL {
		plan.ttl = 0
	}
}

func touchOp(o *kv.Op, f *metaFlags) {
	o.Kind, o.Quiet = kv.OpExpire, !f.value
	setExpiry(o, f.ttl)
}

func recacheOp(o *kv.Op, f *metaFlags) {
	o.Kind, o.HasInitial, o.Quiet, o.NewVersion = kv.OpRecache, f.vivify, !f.value, f.newVersion
	setExpiry(o, f.vivifyTTL)
	if f.recacheTTL > 0 && f.recacheTTL <= relativeMax {
		o.Delta = f.recacheTTL * 1000
	}
}

// metaSet takes ms <key> <length> <flags>* and the data. After an error the data is swallowed, if its length was read.
func (p *pipeline) metaSet(buf, line []byte, words, length int) int {
	if words < 2 {
		p.say(badCommand)
		return length
	}
	size, ok := int64(0), false
	if words > 2 {
		size, ok = parseInt(p.tokens[2])
	}
	switch {
	case len(p.tokens[1]) > keyMax || !ok || size < 0 || size > valueLengthMax:
		p.say(badFormat)
		return length
	case words > metaWordsMax:
		p.say(longFlags)
		return length
	}
	key, flags, f, failure := p.metaHead(line, words, 3, longFlags)
	verb, known := metaVerb(&f)
	switch {
	case failure != "":
	case !known:
		failure = "CLIENT_ERROR invalid mode for ms M token"
	case opaqueTooLong(p.tokens[3:words]):
		failure = longOpaque
	case size > valueMax:
		failure = tooLarge
	}
	if failure != "" {
		p.conn.swallow = size + 2
		p.say(failure)
		return length
	}
	data, n, ok := p.data(buf, length, int(size), false)
	if !ok {
		return n
	}
	r := request{kind: answerMetaSet, quiet: f.quiet, binary: f.binary, flags: flags, missing: verb.missing, size: int(size)}
	if o := p.addMeta(r, key, &f); o != nil {
		o.Kind, o.When, o.Value, o.Flags, o.Version, o.NewVersion = verb.kind, verb.when, data, f.clientFlags, f.version, f.newVersion
		setExpiry(o, f.ttl)
		if verb.kind != kv.OpSet {
			setExpiry(o, f.vivifyTTL)
		}
		p.tally.count(cmdSet)
		p.tally.count(cmdMeta)
	}
	return n
}

// metaVerb is what the mode, C, I and N of ms come to.
func metaVerb(f *metaFlags) (v storeVerb, known bool) {
	v = storeVerb{kv.OpSet, kv.Always, "NS"}
	switch f.mode {
	case 0, 'S':
	case 'R':
		v.when = kv.IfPresent
	case 'E':
		v.when = kv.IfAbsent
		return v, true
	case 'A', 'P':
		v.kind, v.when = kv.OpAppend, kv.IfPresent
		if f.mode == 'P' {
			v.kind = kv.OpPrepend
		}
		switch {
		case f.compare && f.version != 0:
			v.when = kv.IfVersion
		case f.vivify:
			v.when = kv.Always
		}
		return v, true
	default:
		return v, false
	}
	if f.compare {
		v.when, v.missing = kv.IfVersion, "NF"
		// To memcached 0 is no version, and never an older one.
		if f.invalidate && f.version != 0 {
			v.when = kv.IfVersionOrOlder
		}
	}
	return v, true
}

// metaDelete takes md <key> <flags>*.
func (p *pipeline) metaDelete(line []byte, words int) {
	if words < 2 {
		p.say(badCommand)
		return
	}
	key, flags, f, failure := p.metaHead(line, words, 2, longFlags)
	if failure = plainer(failure); failure == "" && opaqueTooLong(p.tokens[2:words]) {
		failure = longOpaque
	}
	if failure != "" {
		p.say(failure)
		return
	}
	o := p.addMeta(request{kind: answerMetaDelete, quiet: f.quiet, binary: f.binary, flags: flags}, key, &f)
	if o == nil {
		return
	}
	p.tally.count(cmdMeta)
	o.Kind, o.Version = kv.OpDelete, f.version
	if f.compare {
		o.When = kv.IfVersion
	}
	switch {
	case f.invalidate:
		o.Kind, o.KeysOnly, o.Expiry, o.NewVersion = kv.OpInvalidate, f.drop, kv.ExpireKeep, f.newVersion
		if f.touch {
			setExpiry(o, f.ttl)
		}
	case f.drop:
		o.Kind, o.Expiry, o.NewVersion = kv.OpSet, kv.ExpireKeep, f.newVersion
		if !f.compare {
			o.When = kv.IfPresent
		}
	}
}

// plainer is the one text that md and ma have for all errors of flags.
func plainer(failure string) string {
	switch failure {
	case "", badFormat, longFlags:
		return failure
	}
	if ourFault(failure) {
		return failure
	}
	return wrongFlag
}

// metaNumber takes ma <key> <flags>*.
func (p *pipeline) metaNumber(line []byte, words int) {
	if words < 2 {
		p.say(badCommand)
		return
	}
	key, flags, f, failure := p.metaHead(line, words, 2, longFlags)
	failure = plainer(failure)
	down := f.mode == 'D' || f.mode == '-'
	switch {
	case failure != "":
	case !down && f.mode != 0 && f.mode != 'I' && f.mode != '+':
		failure = "CLIENT_ERROR invalid mode for ma M token"
	case opaqueTooLong(p.tokens[2:words]):
		failure = longOpaque
	}
	if failure != "" {
		p.say(failure)
		return
	}
	o := p.addMeta(request{kind: answerMetaNumber, quiet: f.quiet, binary: f.binary, flags: flags}, key, &f)
	if o == nil {
		return
	}
	p.tally.count(cmdMeta)
	o.Kind, o.Down, o.Magnitude, o.NewVersion = kv.OpCounter, down, f.delta, f.newVersion
	if f.compare && f.version != 0 {
		o.When, o.Version = kv.IfVersion, f.version
	}
	o.Expiry = kv.ExpireKeep
	if f.vivify {
		o.HasInitial, o.Initial, o.Touch = true, f.initial, f.touch
		setExpiry(o, f.vivifyTTL)
	}
	// T speaks of a present record; one that is made at once gets it too.
	if f.touch {
		setExpiry(o, f.ttl)
	}
}

// metaDebug takes me <key> [b].
func (p *pipeline) metaDebug(words int) {
	key, binary := p.tokens[1], words > 2 && string(p.tokens[2]) == "b"
	if words < 2 || len(key) > keyMax || !binary && !validKey(key) {
		p.say(badFormat)
		return
	}
	if binary {
		from := len(p.keys)
		decoded, err := base64.StdEncoding.AppendDecode(p.keys, key)
		if err != nil || len(decoded) == from {
			p.say(badKey)
			return
		}
		p.keys = decoded
		key = decoded[from:]
	}
	if o := p.add(request{kind: answerMetaDebug, binary: binary}, key); o != nil {
		o.Kind, o.Quiet = kv.OpGet, true
		p.tally.count(cmdMeta)
	}
}
