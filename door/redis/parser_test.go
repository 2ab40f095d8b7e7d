package redis

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// parseAll parses an input that arrives in pieces of a size and tells what was found. Between pieces the buffer moves.
func parseAll(input []byte, piece int) string {
	p := newParser()
	var found strings.Builder
	for len(input) > 0 {
		n := min(piece, len(input))
		moved := append([]byte(nil), p.buf[p.r:p.w]...)
		p.buf = append(moved, input[:n]...)
		p.r, p.w = 0, len(p.buf)
		input = input[n:]
		for {
			got := p.next()
			if got == incomplete {
				break
			}
			switch got {
			case complete:
				fmt.Fprintf(&found, "%q\n", p.args)
			case refused:
				fmt.Fprintf(&found, "refused %s\n", p.fault)
				p.answered()
			case broken:
				fmt.Fprintf(&found, "broken %s\n", p.fault)
				return found.String()
			}
		}
	}
	return found.String()
}

func TestParser(t *testing.T) {
	for _, test := range []struct{ input, want string }{
		{"*1\r\n$4\r\nPING\r\nECHO 'a b'\r\n", "[\"PING\"]\n[\"ECHO\" \"a b\"]\n"},
		{"*0\r\n*-1\r\n\r\nPING\n", "[\"PING\"]\n"},
		{"*2\r\n$3\r\nGET\r\n$9999999\r\n" + strings.Repeat("x", 9999999) + "\r\nPING\r\n",
			"refused ERR argument has 9999999 bytes, more than the limit of 8388608 (8 MiB) for a value\n[\"PING\"]\n"},
		{"*3\r\n$8388608\r\n" + strings.Repeat("x", 8388608) + "\r\n$8388608\r\n" + strings.Repeat("x", 8388608) + "\r\n$1\r\nx\r\nPING\r\n",
			"refused ERR request is longer than the limit of 16777216 bytes (16 MiB)\n[\"PING\"]\n"},
		{"*1048577\r\n" + strings.Repeat("$0\r\n\r\n", 1048577) + "PING\r\n",
			"refused ERR request has 1048577 arguments, more than the limit of 1048576\n[\"PING\"]\n"},
		{"*1\r\n$536870913\r\n", "broken ERR Protocol error: invalid bulk length\n"},
		{"*2\r\n$9000000\r\n" + strings.Repeat("x", 9000000) + "\r\n!", "broken ERR Protocol error: too big bulk count string\n"},
	} {
		if strings.HasSuffix(test.input, "!") {
			test.input = test.input[:len(test.input)-1] + strings.Repeat("x", 70000)
		}
		for _, piece := range []int{len(test.input), 100_001} {
			if got := parseAll([]byte(test.input), piece); got != test.want {
				t.Errorf("%.60q in pieces of %d\n got %.200q\nwant %.200q", test.input, piece, got, test.want)
			}
		}
	}
}

// TestParserKeepsNothingOfTheRefused: a value beyond the limit is thrown away as it comes.
func TestParserKeepsNothingOfTheRefused(t *testing.T) {
	p := newParser()
	p.buf = []byte(fmt.Sprintf("*2\r\n$3\r\nGET\r\n$%d\r\n", kv.ValueMax+1))
	p.w = len(p.buf)
	if got := p.next(); got != incomplete || p.r != p.w {
		t.Fatalf("outcome %d, %d bytes kept", got, p.w-p.r)
	}
	room := make([]byte, 4096)
	for range kv.ValueMax/4096 - 1 {
		p.buf, p.r, p.w = room, 0, len(room)
		if got := p.next(); got != incomplete || p.r != p.w {
			t.Fatalf("outcome %d, %d bytes kept", got, p.w-p.r)
		}
	}
}

func TestParseInt(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "-1": "-1", "9223372036854775807": "9223372036854775807", "-9223372036854775808": "-9223372036854775808",
		"9223372036854775808": "no", "-9223372036854775809": "no", "": "no", "-": "no", "-0": "no", "01": "no", "+1": "no",
		" 1": "no", "1 ": "no", "99999999999999999999": "no",
	} {
		got := "no"
		if n, ok := parseInt([]byte(text)); ok {
			got = fmt.Sprint(n)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// FuzzParser: whatever comes, and however it is cut, the parser finds the same.
func FuzzParser(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n"), 3)
	f.Add([]byte("ECHO \"a\\x41\\n\" 'b\\'c'\r\n*0\r\nPING\r\n"), 1)
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$8388609\r\nxxxx"), 5)
	f.Add([]byte("*1\r\n:1\r\n"), 2)
	f.Add([]byte("*1048577\r\n$0\r\n\r\n$1"), 4)
	f.Fuzz(func(t *testing.T, input []byte, piece int) {
		if piece < 1 {
			return
		}
		// Inline words are decoded in place, so each parse has its own copy.
		whole := parseAll(bytes.Clone(input), max(len(input), 1))
		if got := parseAll(bytes.Clone(input), piece); got != whole {
			t.Fatalf("in pieces of %d\n got %s\nwhole %s", piece, got, whole)
		}
	})
}

func TestGlob(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true}, {"", "", true}, {"", "a", false}, {"a*c", "abbc", true}, {"a*c", "abb", false}, {"?", "a", true}, {"?", "", false},
		{"h[ae]llo", "hallo", true}, {"h[^e]llo", "hello", false}, {"h[a-b]llo", "hbllo", true}, {"h[b-a]llo", "hbllo", true},
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {"[a", "a", true}, {`[\]]`, "]", true}, {"a**b", "ab", true}, {"*a*b*", "xaxbx", true},
		{`a\`, `a\`, true}, {"[^", "a", true}, {strings.Repeat("a*", 30) + "b", strings.Repeat("a", 1000), false},
	} {
		if got := globMatch([]byte(test.pattern), []byte(test.text)); got != test.want {
			t.Errorf("%q on %q: got %v", test.pattern, test.text, got)
		}
	}
}
