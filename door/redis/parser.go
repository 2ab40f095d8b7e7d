package redis

import (
	"bytes"
	"fmt"

	"github.com/gamutdb/gamut/kv"
)

// outcome is what the parser has found.
type outcome uint8

const (
	// incomplete: the buffer holds no further whole command.
	incomplete outcome = iota
	// complete: parser.args is a command. It points into the buffer.
	complete
	// refused: a command has gone by that was too large to keep; parser.fault says why. The connection goes on.
	refused
	// broken: the input is not the protocol; parser.fault says why. The connection ends, as with Redis.
	broken
)

// parser cuts a stream of bytes into commands. It keeps its place within a command, so that a value which arrives in a
// thousand pieces is looked at once. What is too large is counted through and thrown away, never buffered.
type parser struct {
	buf []byte
	// buf[r:w] is what was read and not yet handed out; r is where the present command begins.
	r, w int
	// pos is how far the present command has been parsed, from r.
	pos int
	// left is the number of arguments still to come; -1 before the header.
	left int
	// bulk is the length of the argument that is arriving; -1 before its header.
	bulk int
	// skip is the number of bytes still to be thrown away of an argument that is not kept.
	skip  int
	spans []span
	args  [][]byte
	fault string
}

// span is an argument's place, from parser.r, so that it stays true when the buffer moves.
type span struct{ from, to int }

func newParser() parser { return parser{left: -1, bulk: -1} }

// next looks for one command in what has been read.
func (p *parser) next() outcome {
	for p.left < 0 {
		if p.r == p.w {
			return incomplete
		}
		if p.buf[p.r] != '*' {
			return p.inline()
		}
		if got := p.header(); got != complete {
			return got
		}
	}
	for p.left > 0 || p.skip > 0 {
		if got := p.argument(); got != complete {
			p.drop()
			return got
		}
	}
	return p.finish()
}

// finish ends the present command and hands it out.
func (p *parser) finish() outcome {
	p.args = p.args[:0]
	for _, s := range p.spans {
		p.args = append(p.args, p.buf[p.r+s.from:p.r+s.to:p.r+s.to])
	}
	p.r += p.pos
	p.pos, p.left = 0, -1
	p.spans = p.spans[:0]
	if p.fault != "" {
		return refused
	}
	return complete
}

// answered forgets the fault that the caller has told its client.
func (p *parser) answered() { p.fault = "" }

// drop frees what is in the buffer of a command that is not kept.
func (p *parser) drop() {
	if p.fault != "" {
		p.r += p.pos
		p.pos = 0
	}
}

// line finds the next header line, without its first byte and its end. Like Redis it trusts that \n follows \r.
func (p *parser) line(tooLong string) ([]byte, outcome) {
	from := p.r + p.pos
	i := bytes.IndexByte(p.buf[from:p.w], '\r')
	if i < 0 && p.w-from > inlineMax {
		return nil, p.fail(tooLong)
	}
	if i < 0 || from+i+2 > p.w {
		return nil, incomplete
	}
	p.pos += i + 2
	return p.buf[from : from+i], complete
}

// header reads "*count". A count of zero or less is an empty command: it is passed over in silence.
func (p *parser) header() outcome {
	line, got := p.line("too big mbulk count string")
	if got != complete {
		return got
	}
	n, ok := parseInt(line[1:])
	if !ok || n > 1<<31-1 {
		return p.fail("invalid multibulk length")
	}
	if n <= 0 {
		p.r += p.pos
		p.pos = 0
		return complete
	}
	p.left = int(n)
	if n > argumentsMax {
		p.refuse(fmt.Sprintf("ERR request has %d arguments, more than the limit of %d", n, argumentsMax))
	}
	return complete
}

// argument reads one "$length", then its bytes.
func (p *parser) argument() outcome {
	if p.skip > 0 {
		n := min(p.skip, p.w-p.r-p.pos)
		p.pos += n
		p.skip -= n
		if p.skip > 0 {
			return incomplete
		}
		return complete
	}
	if p.bulk < 0 {
		if got := p.bulkHeader(); got != complete || p.bulk < 0 {
			return got
		}
	}
	if p.w-p.r-p.pos < p.bulk+2 {
		return incomplete
	}
	p.spans = append(p.spans, span{p.pos, p.pos + p.bulk})
	p.pos += p.bulk + 2
	p.bulk = -1
	p.left--
	return complete
}

func (p *parser) bulkHeader() outcome {
	line, got := p.line("too big bulk count string")
	if got != complete {
		return got
	}
	// An empty line has \r where '$' should be, and Redis prints that byte.
	if len(line) == 0 || line[0] != '$' {
		first := byte('\r')
		if len(line) > 0 {
			first = line[0]
		}
		return p.fail(fmt.Sprintf("expected '$', got '%s'", string([]byte{first})))
	}
	n, ok := parseInt(line[1:])
	if !ok || n < 0 || n > bulkMax {
		return p.fail("invalid bulk length")
	}
	p.bulk = int(n)
	switch {
	case p.fault != "":
		p.throwAway()
	case n > kv.ValueMax:
		p.refuse(fmt.Sprintf("ERR argument has %d bytes, more than the limit of %d (8 MiB) for a value", n, kv.ValueMax))
	case p.pos+p.bulk+2 > requestMax:
		p.refuse(fmt.Sprintf("ERR request is longer than the limit of %d bytes (16 MiB)", requestMax))
	}
	return complete
}

// refuse makes the present command one that is read to its end and not kept.
func (p *parser) refuse(text string) {
	p.fault = text
	p.spans = p.spans[:0]
	if p.bulk >= 0 {
		p.throwAway()
	}
	p.drop()
}

func (p *parser) throwAway() {
	p.skip = p.bulk + 2
	p.bulk = -1
	p.left--
}

func (p *parser) fail(text string) outcome {
	p.fault = "ERR Protocol error: " + text
	return broken
}

// inline reads a command written as a line of words, as people type it.
func (p *parser) inline() outcome {
	i := bytes.IndexByte(p.buf[p.r:p.w], '\n')
	if i < 0 {
		if p.w-p.r > inlineMax {
			return p.fail("too big inline request")
		}
		return incomplete
	}
	line := p.buf[p.r : p.r+i]
	p.r += i + 1
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	args, ok := splitLine(line, p.args[:0])
	p.args = args
	if !ok {
		return p.fail("unbalanced quotes in request")
	}
	if len(args) == 0 {
		return p.next()
	}
	return complete
}

// splitLine cuts a line into words, with Redis' two kinds of quotes. It decodes in place: a word never grows.
func splitLine(line []byte, args [][]byte) ([][]byte, bool) {
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return args, true
		}
		from, to, next, ok := word(line, i)
		if !ok {
			return args, false
		}
		args = append(args, line[from:to:to])
		i = next
	}
}

// word decodes the word at i in place and says where the text behind it begins.
func word(line []byte, i int) (from, to, next int, ok bool) {
	from, to = i, i
	for i < len(line) && !isSpace(line[i]) && line[i] != 0 {
		quote := line[i]
		if quote != '"' && quote != '\'' {
			line[to] = quote
			to, i = to+1, i+1
			continue
		}
		for i++; ; {
			if i >= len(line) {
				return 0, 0, 0, false
			}
			if line[i] == quote {
				i++
				break
			}
			line[to], i = unescape(line, i, quote)
			to++
		}
		// A closing quote must end the word.
		if i < len(line) && !isSpace(line[i]) {
			return 0, 0, 0, false
		}
		return from, to, i, true
	}
	if i < len(line) && line[i] == 0 {
		i = len(line)
	}
	return from, to, i, true
}

// unescape decodes one byte within quotes.
func unescape(line []byte, i int, quote byte) (byte, int) {
	if line[i] != '\\' || i+1 >= len(line) {
		return line[i], i + 1
	}
	next := line[i+1]
	if quote == '\'' {
		if next == '\'' {
			return '\'', i + 2
		}
		return '\\', i + 1
	}
	if next == 'x' && i+3 < len(line) && isHex(line[i+2]) && isHex(line[i+3]) {
		return hexValue(line[i+2])<<4 | hexValue(line[i+3]), i + 4
	}
	switch next {
	case 'n':
		next = '\n'
	case 'r':
		next = '\r'
	case 't':
		next = '\t'
	case 'b':
		next = '\b'
	case 'a':
		next = '\a'
	}
	return next, i + 2
}

func isSpace(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

func hexValue(b byte) byte {
	switch {
	case b >= 'a':
		return b - 'a' + 10
	case b >= 'A':
		return b - 'A' + 10
	}
	return b - '0'
}

// parseInt reads a decimal int64 as strictly as Redis' string2ll: no sign but minus, no space, no leading zero.
func parseInt(b []byte) (int64, bool) {
	if len(b) == 1 && b[0] >= '0' && b[0] <= '9' {
		return int64(b[0] - '0'), true
	}
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 || b[0] < '1' || b[0] > '9' {
		return 0, false
	}
	var n uint64
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + uint64(d-'0')
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}
