package redis

// globMatch reports whether s matches a pattern of KEYS and SCAN: ? * [abc] [^a] [a-z] and \ before what is meant as it
// stands. Instead of recursing at each star it returns to the last one, so that no pattern takes exponential time.
func globMatch(pattern, s []byte) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, i
			p++
			continue
		}
		if next, ok := globOne(pattern, p, s[i]); ok {
			p = next
			i++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// globOne matches one byte against the element of the pattern at p and returns where the next element begins.
func globOne(pattern []byte, p int, b byte) (next int, ok bool) {
	if p >= len(pattern) {
		return p, false
	}
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return globClass(pattern, p+1, b)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, pattern[p] == b
}

// globClass matches the class that begins behind its bracket. Like Redis it forgives a missing end.
func globClass(pattern []byte, p int, b byte) (next int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	match := false
	for ; p < len(pattern) && pattern[p] != ']'; p++ {
		switch {
		case pattern[p] == '\\' && p+1 < len(pattern):
			p++
			match = match || pattern[p] == b
		case p+2 < len(pattern) && pattern[p+1] == '-':
			low, high := pattern[p], pattern[p+2]
			if low > high {
				low, high = high, low
			}
			p += 2
			match = match || low <= b && b <= high
		default:
			match = match || pattern[p] == b
		}
	}
	if p < len(pattern) {
		p++
	}
	return p, match != not
}

// globPrefix is the text with which every match of the pattern begins.
func globPrefix(pattern []byte) []byte {
	for i, b := range pattern {
		if b == '*' || b == '?' || b == '[' || b == '\\' {
			return pattern[:i]
		}
	}
	return pattern
}

// prefixEnd is the first key beyond all that begin with the prefix; nil if there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
