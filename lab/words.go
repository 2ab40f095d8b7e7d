package lab

import (
	"fmt"
	"strconv"
	"strings"
)

// word is one word of a line. What was quoted, or is a literal in brackets, is never taken for anything but a text.
type word struct {
	text   string
	quoted bool
}

// split cuts a line into words. Blanks part them; # at the beginning of a word starts a comment. A word in double or
// single quotes may hold blanks and the escapes of Go; one that begins with a bracket goes on to the bracket that closes it, as a
// Python literal does.
func split(line string) (words []word, err error) {
	rest := strings.TrimSpace(line)
	for rest != "" && rest[0] != '#' {
		var w word
		switch rest[0] {
		case '"', '\'':
			w.quoted = true
			w.text, rest, err = quotedWord(rest)
		case '{', '[', '(':
			w.quoted = true
			w.text, rest, err = literalWord(rest)
		default:
			end := strings.IndexAny(rest, " \t")
			if end < 0 {
				end = len(rest)
			}
			w.text, rest = rest[:end], rest[end:]
		}
		if err != nil {
			return nil, err
		}
		if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
			return nil, fmt.Errorf("a blank must follow %s", w.text)
		}
		words = append(words, w)
		rest = strings.TrimLeft(rest, " \t")
	}
	return words, nil
}

// quotedWord reads a word in quotes.
func quotedWord(text string) (word, rest string, err error) {
	quote := text[0]
	var b strings.Builder
	for rest = text[1:]; rest != "" && rest[0] != quote; {
		r, multibyte, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return "", "", fmt.Errorf("the quoted word %s holds an escape that is not one of Go's", text)
		}
		if r < 0x80 || multibyte {
			b.WriteRune(r)
		} else {
			b.WriteByte(byte(r))
		}
		rest = tail
	}
	if rest == "" {
		return "", "", fmt.Errorf("the quote before %s is not closed", text[1:])
	}
	return b.String(), rest[1:], nil
}

// literalWord reads a literal in brackets as it stands, strings in it included.
func literalWord(text string) (word, rest string, err error) {
	depth, quote := 0, byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == '\\' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{' || c == '[' || c == '(':
			depth++
		case c == '}' || c == ']' || c == ')':
			if depth--; depth == 0 {
				return text[:i+1], text[i+1:], nil
			}
		}
	}
	return "", "", fmt.Errorf("the bracket that begins %s is not closed", text)
}
