package memcached

import (
	"bytes"
	"math"
)

// tokensMax is how many words of a line are told apart; only gets may have more.
const tokensMax = 24

// split cuts a line at its spaces into tokens; further words are left out, but no command that is not a get takes as many.
func split(line []byte, tokens *[tokensMax][]byte) int {
	n := 0
	for n < tokensMax {
		var word []byte
		word, line = nextWord(line)
		if len(word) == 0 {
			break
		}
		tokens[n] = word
		n++
	}
	return n
}

// nextWord is the next word of a line and what follows it; no word: the line has ended.
func nextWord(line []byte) (word, rest []byte) {
	for len(line) > 0 && line[0] == ' ' {
		line = line[1:]
	}
	end := bytes.IndexByte(line, ' ')
	if end < 0 {
		return line, nil
	}
	return line[:end], line[end:]
}

// validKey reports whether a text key is within memcached's rules.
func validKey(key []byte) bool {
	if len(key) == 0 || len(key) > keyMax {
		return false
	}
	for _, b := range key {
		if b <= ' ' || b == 0x7f {
			return false
		}
	}
	return true
}

// parseUint reads a decimal number as memcached does: a plus sign is welcome, a minus sign is not.
func parseUint(b []byte) (n uint64, ok bool) {
	if len(b) > 1 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		digit := uint64(d - '0')
		if n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}

func parseUint32(b []byte) (uint32, bool) {
	n, ok := parseUint(b)
	return uint32(n), ok && n <= math.MaxUint32
}

// parseInt reads a decimal number with a sign. It takes more than memcached's 32 bits, so that times after 2038 mean
// what they say.
func parseInt(b []byte) (int64, bool) {
	negative := len(b) > 1 && b[0] == '-'
	if negative {
		b = b[1:]
		if b[0] == '+' {
			return 0, false
		}
	}
	n, ok := parseUint(b)
	if !ok || n > math.MaxInt64 {
		return 0, false
	}
	if negative {
		return -int64(n), true
	}
	return int64(n), true
}
