package memcached

import (
	"bytes"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// Errors that memcached has one text for.
const (
	badCommand  = "ERROR"
	badFormat   = "CLIENT_ERROR bad command line format"
	badData     = "CLIENT_ERROR bad data chunk"
	badExptime  = "CLIENT_ERROR invalid exptime argument"
	badDelta    = "CLIENT_ERROR invalid numeric delta argument"
	notNumber   = "CLIENT_ERROR cannot increment or decrement non-numeric value"
	tooLarge    = "SERVER_ERROR object too large for cache"
	badDelete   = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"
	noLimit     = "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust"
	noShutdown  = "ERROR: shutdown not enabled"
	noDump      = "CLIENT_ERROR stats cachedump not allowed"
	detailUsage = "CLIENT_ERROR usage: stats detail on|off|dump"
)

// dispatch takes the command of a line, and with it the data that follows. length is the line's, its end included.
func (p *pipeline) dispatch(buf, line []byte, length int) (n int, closing bool) {
	t := &p.tokens
	words := split(line, t)
	if words == 0 || len(t[0]) < 2 {
		p.say(badCommand)
		return length, false
	}
	if p.mustWait(words) {
		return 0, false
	}
	switch string(t[0]) {
	case "get", "gets", "gat", "gats":
		return p.get(buf, line, words, length), false
	case "set", "add", "replace", "append", "prepend", "cas":
		return p.store(buf, words, length), false
	case "ms":
		return p.metaSet(buf, line, words, length), false
	case "quit":
		return length, true
	}
	if p.short(line, words) {
		return length, false
	}
	if bytes.HasPrefix(t[words-1], []byte("HTTP/")) {
		return length, true
	}
	p.say(badCommand)
	return length, false
}

// short takes a command that is one line.
func (p *pipeline) short(line []byte, words int) bool {
	switch string(p.tokens[0]) {
	case "incr":
		p.count(words, false)
	case "decr":
		p.count(words, true)
	case "delete":
		p.delete(words)
	case "touch":
		p.touch(words)
	case "mg":
		p.metaGet(line, words)
	case "md":
		p.metaDelete(line, words)
	case "ma":
		p.metaNumber(line, words)
	case "me":
		p.metaDebug(words)
	case "mn":
		p.say("MN")
	default:
		return p.administer(words)
	}
	return true
}

// administer takes a command that is not about keys.
func (p *pipeline) administer(words int) bool {
	switch string(p.tokens[0]) {
	case "flush_all":
		p.flushAll(words)
	case "version":
		p.say("VERSION " + p.server.options.Version)
	case "verbosity":
		p.verbosity(words)
	case "stats":
		p.stats(words)
	case "shutdown":
		p.say(noShutdown)
	case "cache_memlimit":
		p.memoryLimit(words)
	default:
		return false
	}
	return true
}

func (p *pipeline) noreply(words int) bool { return string(p.tokens[words-1]) == "noreply" }

// storeVerb is what a storage command asks of the record that is there.
type storeVerb struct {
	kind    kv.OpKind
	when    kv.When
	missing string // the answer if the record is not there
}

func storeVerbOf(name []byte) storeVerb {
	switch string(name) {
	case "add":
		return storeVerb{kv.OpSet, kv.IfAbsent, "NOT_STORED"}
	case "replace":
		return storeVerb{kv.OpSet, kv.IfPresent, "NOT_STORED"}
	case "append":
		return storeVerb{kv.OpAppend, kv.IfPresent, "NOT_STORED"}
	case "prepend":
		return storeVerb{kv.OpPrepend, kv.IfPresent, "NOT_STORED"}
	case "cas":
		return storeVerb{kv.OpSet, kv.IfVersion, "NOT_FOUND"}
	}
	return storeVerb{kv.OpSet, kv.Always, "NOT_STORED"}
}

// store takes <command> <key> <flags> <exptime> <bytes> [cas unique] [noreply], and the data.
func (p *pipeline) store(buf []byte, words, length int) int {
	t := &p.tokens
	verb := storeVerbOf(t[0])
	cas := verb.when == kv.IfVersion
	least := 5
	if cas {
		least = 6
	}
	if words != least && words != least+1 {
		p.say(badCommand)
		return length
	}
	quiet := p.noreply(words)
	flags, ok1 := parseUint32(t[2])
	exptime, ok2 := parseInt(t[3])
	size, ok3 := parseInt(t[4])
	version, ok4 := uint64(0), true
	if cas {
		version, ok4 = parseUint(t[5])
	}
	if !validKey(t[1]) || !ok1 || !ok2 || !ok3 || !ok4 || size < 0 || size > valueLengthMax {
		p.sayUnlessQuiet(badFormat, quiet)
		return length
	}
	data, n, ok := p.data(buf, length, int(size), quiet)
	if !ok {
		return n
	}
	o := p.add(request{kind: answerStored, quiet: quiet, missing: verb.missing, version: cas}, t[1])
	if o != nil {
		o.Kind, o.When, o.Value, o.Flags, o.Version = verb.kind, verb.when, data, flags, version
		if verb.kind == kv.OpSet {
			setExpiry(o, exptime)
		}
		p.tally.count(cmdSet)
	}
	return n
}

// data finds the data block behind a line. If it is not all there, or is no good and was answered, ok is false and n is
// how much of the buffer was used.
func (p *pipeline) data(buf []byte, length, size int, quiet bool) (data []byte, n int, ok bool) {
	total := length + size + 2
	switch {
	case size > valueMax:
		p.conn.swallow = int64(size) + 2
		p.sayUnlessQuiet(tooLarge, quiet)
		return nil, length, false
	case len(buf) < total:
		p.conn.want = total
		return nil, 0, false
	case buf[total-2] != '\r' || buf[total-1] != '\n':
		p.sayUnlessQuiet(badData, quiet)
		return nil, total, false
	}
	return buf[length : length+size : length+size], total, true
}

// count takes incr|decr <key> <delta> [noreply].
func (p *pipeline) count(words int, down bool) {
	t := &p.tokens
	if words != 3 && words != 4 {
		p.say(badCommand)
		return
	}
	quiet := p.noreply(words)
	delta, ok := parseUint(t[2])
	switch {
	case !validKey(t[1]):
		p.sayUnlessQuiet(badFormat, quiet)
	case !ok:
		p.sayUnlessQuiet(badDelta, quiet)
	default:
		if o := p.add(request{kind: answerNumber, quiet: quiet}, t[1]); o != nil {
			o.Kind, o.Down, o.Magnitude, o.Expiry = kv.OpCounter, down, delta, kv.ExpireKeep
		}
	}
}

// delete takes delete <key> [0] [noreply].
func (p *pipeline) delete(words int) {
	t := &p.tokens
	if words < 2 || words > 4 {
		p.say(badCommand)
		return
	}
	quiet := words > 2 && p.noreply(words)
	zero := words > 2 && string(t[2]) == "0"
	if words == 3 && !zero && !quiet || words == 4 && !(zero && quiet) {
		p.sayUnlessQuiet(badDelete, quiet)
		return
	}
	if !validKey(t[1]) {
		p.sayUnlessQuiet(badFormat, quiet)
		return
	}
	if o := p.add(request{kind: answerDeleted, quiet: quiet}, t[1]); o != nil {
		o.Kind = kv.OpDelete
	}
}

// touch takes touch <key> <exptime> [noreply].
func (p *pipeline) touch(words int) {
	t := &p.tokens
	if words != 3 && words != 4 {
		p.say(badCommand)
		return
	}
	quiet := p.noreply(words)
	exptime, ok := parseInt(t[2])
	switch {
	case !validKey(t[1]):
		p.sayUnlessQuiet(badFormat, quiet)
	case !ok:
		p.sayUnlessQuiet(badExptime, quiet)
	default:
		if o := p.add(request{kind: answerTouched, quiet: quiet}, t[1]); o != nil {
			o.Kind, o.Quiet = kv.OpExpire, true
			setExpiry(o, exptime)
		}
	}
}

func (p *pipeline) verbosity(words int) {
	if words != 2 && words != 3 {
		p.say(badCommand)
		return
	}
	quiet := p.noreply(words)
	if _, ok := parseUint(p.tokens[1]); !ok {
		p.sayUnlessQuiet(badFormat, quiet)
		return
	}
	// What is logged is the operator's choice, not a client's.
	p.sayUnlessQuiet("OK", quiet)
}

func (p *pipeline) memoryLimit(words int) {
	if words != 2 && words != 3 {
		p.say(badCommand)
		return
	}
	quiet := p.noreply(words)
	n, ok := parseUint(p.tokens[1])
	switch {
	case !ok:
		p.sayUnlessQuiet(badCommand, quiet)
	case n < 8:
		p.sayUnlessQuiet("MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m", quiet)
	default:
		p.sayUnlessQuiet(noLimit, quiet)
	}
}

// getKeys is a get of any number of keys on its way through the rounds.
type getKeys struct {
	active  bool
	version bool
	touch   bool
	exptime int64
	// failed: an error was answered for it, and what is left of its line means nothing any more.
	failed bool
}

// get takes get|gets <key>* and gat|gats <exptime> <key>*. All keys are checked before the first is read.
func (p *pipeline) get(buf, line []byte, words, length int) int {
	t := &p.tokens
	g := getKeys{active: true, version: strings.HasSuffix(string(t[0]), "s"), touch: string(t[0][:2]) == "ga"}
	if words < 2 {
		p.say(badCommand)
		return length
	}
	_, keys := nextWord(line)
	if g.touch {
		var ok bool
		if g.exptime, ok = parseInt(t[1]); !ok {
			p.say(badExptime)
			return length
		}
		_, keys = nextWord(keys)
	}
	for word, rest := nextWord(keys); len(word) > 0; word, rest = nextWord(rest) {
		if !validKey(word) {
			p.say(badFormat)
			return length
		}
	}
	p.conn.keys = g
	return p.getMore(buf, len(line)-len(keys))
}

// getMore adds keys of a multi-get, which stand in the buffer from an offset to the end of the line, as far as the round
// takes them. It returns how much of the buffer is done.
func (p *pipeline) getMore(buf []byte, from int) int {
	g := &p.conn.keys
	end := bytes.IndexByte(buf, '\n')
	if g.failed {
		*g = getKeys{}
		return end + 1
	}
	stop := end
	if stop > from && buf[stop-1] == '\r' {
		stop--
	}
	keys := buf[from:stop]
	r := request{kind: answerValues, version: g.version, from: len(p.batch.Calls())}
	for !p.full(0) {
		key, rest := nextWord(keys)
		if len(key) == 0 {
			r.last = true
			break
		}
		space, b := p.keyspace(key)
		if space == nil {
			// An error instead of END takes back what was answered of this get.
			r.to = len(p.batch.Calls())
			p.requests = append(p.requests, r)
			p.say(p.noKeyspace(b.keyspace))
			g.active = false
			return end + 1
		}
		p.getOne(space, key, g)
		keys = rest
	}
	r.to = len(p.batch.Calls())
	p.requests = append(p.requests, r)
	g.active = !r.last
	if r.last {
		return end + 1
	}
	return stop - len(keys)
}

func (p *pipeline) getOne(space *kv.Keyspace, key []byte, g *getKeys) {
	call := p.batch.Add()
	call.Keyspace, call.Command.Level = space, p.server.options.Level
	call.Command.Token = p.conn.sessions.Token(space)
	o := addOp(&call.Command, key)
	o.Kind = kv.OpGet
	if g.touch {
		o.Kind = kv.OpExpire
		setExpiry(o, g.exptime)
	}
	p.reads++
}
