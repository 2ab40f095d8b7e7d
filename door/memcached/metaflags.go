package memcached

import "github.com/gamutdb/gamut/kv"

// metaFlags is what the flags of a meta command say.
type metaFlags struct {
	binary, quiet, value, invalidate, drop bool
	hit, access                            bool
	vivify, touch, recache, compare        bool
	// When a flag stood, counted from 1; 0: it did not. The order of t, T, N and R matters to mg.
	atTTL, atTouch, atVivify, atRecache int

	mode                       byte
	ttl, vivifyTTL, recacheTTL int64
	version, newVersion        uint64
	delta, initial             uint64
	clientFlags                uint32

	// session is the token of O@token, inSession says that there is one, empty or not. level is that of L@level.
	session   []byte
	inSession bool
	level     kv.Level
	// wrong is what is wrong with these two.
	wrong error
}

// Errors of meta flags.
const (
	duplicateFlag = "CLIENT_ERROR duplicate flag"
	invalidFlag   = "CLIENT_ERROR invalid flag"
	badToken      = "CLIENT_ERROR bad token in command line format"
	badKey        = "CLIENT_ERROR error decoding key"
	badMode       = "CLIENT_ERROR incorrect length for M token"
	badInitial    = "CLIENT_ERROR invalid numeric initial value"
	badDeltaValue = "CLIENT_ERROR invalid numeric delta value"
	longFlags     = "CLIENT_ERROR options flags too long"
	longGetFlags  = "CLIENT_ERROR options flags are too long"
	longOpaque    = "CLIENT_ERROR opaque token too long"
	wrongFlag     = "CLIENT_ERROR invalid or duplicate flag"
	noHits        = "CLIENT_ERROR the flags h and l are not offered: they would turn every read into a write"
)

// metaWordsMax is how many words a meta command may have; opaqueMax how long an opaque token, its letter included.
const (
	metaWordsMax = 19
	opaqueMax    = 32
)

// parse reads the words behind the key (and the length of ms). It returns the error's text, or "". As in memcached an
// unknown flag ends the parsing, while of several bad tokens the last is told.
func (f *metaFlags) parse(words [][]byte) (failure string) {
	var seen [128]bool
	for i, w := range words {
		if w[0] >= 127 || seen[w[0]] {
			return duplicateFlag
		}
		seen[w[0]] = true
		bad, known := f.flag(w, i+1)
		if !known {
			return invalidFlag
		}
		// F has no text of its own in memcached, and takes none away.
		if bad != "" && (bad != badFormat || failure == "") {
			failure = bad
		}
	}
	return failure
}

// flag reads one flag.
func (f *metaFlags) flag(w []byte, at int) (bad string, known bool) {
	token := w[1:]
	ok := true
	switch w[0] {
	case 'b':
		f.binary = true
	case 'N':
		f.vivify, f.atVivify = true, at
		f.vivifyTTL, ok = parseInt(token)
	case 'T':
		f.touch, f.atTouch = true, at
		f.ttl, ok = parseInt(token)
	case 'R':
		f.recache, f.atRecache = true, at
		f.recacheTTL, ok = parseInt(token)
	case 'C':
		f.compare = true
		f.version, ok = parseUint(token)
	case 'E':
		f.newVersion, ok = parseUint(token)
	case 't':
		f.atTTL = at
	case 'O', 'L':
		f.ours(w[0], token)
	case 'k', 's', 'c', 'f', 'u', 'P':
	case 'h':
		f.hit = true
	case 'l':
		f.access = true
	case 'v':
		f.value = true
	case 'q':
		f.quiet = true
	case 'x':
		f.drop = true
	case 'I':
		f.invalidate = true
	default:
		return f.number(w)
	}
	if !ok {
		return badToken, true
	}
	return "", true
}

// ours reads what this server makes of flags that mean nothing to memcached, if their tokens begin with @.
func (f *metaFlags) ours(flag byte, token []byte) {
	switch {
	case len(token) == 0 || token[0] != '@':
	case flag == 'O':
		f.session, f.inSession = token[1:], true
	default:
		if f.level, f.wrong = kv.ParseLevel(string(token[1:])); f.wrong == nil && f.level == kv.LevelDefault {
			f.wrong = kv.Errorf(kv.Invalid, "L@ needs a level, such as L@eventual")
		}
	}
}

// number reads the flags that have an error text of their own.
func (f *metaFlags) number(w []byte) (bad string, known bool) {
	ok := true
	switch w[0] {
	case 'F':
		f.clientFlags, ok = parseUint32(w[1:])
		bad = badFormat
	case 'M':
		ok, bad = len(w) == 2, badMode
		if ok {
			f.mode = w[1]
		}
	case 'J':
		f.initial, ok = parseUint(w[1:])
		bad = badInitial
	case 'D':
		f.delta, ok = parseUint(w[1:])
		bad = badDeltaValue
	default:
		return "", false
	}
	if ok {
		bad = ""
	}
	return bad, true
}

// opaqueTooLong looks for an opaque token that is longer than memcached allows. One that carries a session may be.
func opaqueTooLong(words [][]byte) bool {
	for _, w := range words {
		if w[0] == 'O' && len(w) > opaqueMax && w[1] != '@' {
			return true
		}
	}
	return false
}
