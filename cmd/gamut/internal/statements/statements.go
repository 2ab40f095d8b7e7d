// Package statements reads transactions as people write them: one statement a line.
//
//	if stock present            conditions: absent, present, is VALUE, version N
//	incr stock -1               operations: get, put, delete, incr, append, prepend, expire, persist
//	in orders                   what follows is about another keyspace
//	put 4711 "one chair" ttl 1h
//	else                        what follows happens if a condition does not hold
//	get stock
//
// In a keyspace with a commit order, alternatives and merge procedures say what happens where the conditions do not hold:
//
//	if blue absent
//	put blue Ann
//	or                          then the first alternative whose conditions hold
//	if green absent
//	put green Ann
//	merge max                   or, instead of alternatives: append, max, min, sum, copy
//
// Words are parted by blanks; one in double quotes is read as Go reads it. # begins a comment.
//
// Others rely on this: what Parse takes is what POST /v1/txn takes, and an error names the line and what is wrong with it.
// Start with Parse.
package statements

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	doorhttp "github.com/gamutdb/gamut/door/http"
)

// lineMax bounds a statement.
const lineMax = 2 << 20

// Parse reads a transaction. A text that begins with a brace is JSON, as POST /v1/txn takes it.
func Parse(text []byte, keyspace string) (*doorhttp.Txn, error) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		return parseJSON(trimmed, keyspace)
	}
	p := parser{txn: &doorhttp.Txn{Keyspace: keyspace}}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, lineMax)
	for n := 1; lines.Scan(); n++ {
		words, err := Words(lines.Text())
		if err == nil && len(words) > 0 {
			err = p.statement(words)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("a line of more than %d bytes: %w", lineMax, err)
	}
	if len(p.txn.Operations) == 0 {
		return nil, fmt.Errorf("a transaction has at least one of get, put, delete, incr, append, prepend, expire, persist")
	}
	return p.txn, nil
}

func parseJSON(text []byte, keyspace string) (*doorhttp.Txn, error) {
	t := &doorhttp.Txn{Keyspace: keyspace}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(t); err != nil {
		return nil, fmt.Errorf("the transaction is not the JSON that is expected: %w", err)
	}
	return t, nil
}

// Words parts a line into words.
func Words(line string) (words []string, err error) {
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" || line[0] == '#' {
			return words, nil
		}
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("%s is not a quoted word; it ends with a double quote, and \\\" stands for one within", line)
			}
			word, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("%s is not a quoted word", quoted)
			}
			words, line = append(words, word), line[len(quoted):]
			continue
		}
		end := strings.IndexAny(line, " \t\r")
		if end < 0 {
			end = len(line)
		}
		words, line = append(words, line[:end]), line[end:]
	}
}

type parser struct {
	txn *doorhttp.Txn
	// keyspace is what in has named.
	keyspace string
	orElse   bool
}

func (p *parser) statement(words []string) error {
	switch words[0] {
	case "if":
		return p.condition(words[1:])
	case "in":
		if len(words) != 2 {
			return fmt.Errorf("in names one keyspace")
		}
		p.keyspace = words[1]
		return nil
	case "or":
		if len(words) != 1 || p.orElse || len(p.txn.Conditions) == 0 || len(p.operations()) == 0 {
			return fmt.Errorf("or stands alone, behind conditions and operations, before else")
		}
		p.txn.Alternatives = append(p.txn.Alternatives, doorhttp.TxnAlternative{})
		return nil
	case "merge":
		if len(words) != 2 || len(p.txn.Conditions) == 0 {
			return fmt.Errorf("merge names one merge procedure, behind conditions")
		}
		p.txn.Merge = words[1]
		return nil
	case "else":
		if p.orElse || len(words) != 1 || len(p.txn.Conditions) == 0 {
			return fmt.Errorf("else stands alone, once, and behind conditions")
		}
		p.orElse = true
		return nil
	}
	return p.operation(words)
}

// operations are those of the part that is being read, or of the last alternative.
func (p *parser) operations() []doorhttp.TxnOperation {
	if n := len(p.txn.Alternatives); n > 0 {
		return p.txn.Alternatives[n-1].Operations
	}
	return p.txn.Operations
}

func (p *parser) condition(words []string) error {
	if p.orElse || len(p.operations()) > 0 {
		return fmt.Errorf("conditions stand before the operations")
	}
	if len(words) < 2 {
		return fmt.Errorf("a condition is: if KEY absent, if KEY present, if KEY is VALUE, or if KEY version N")
	}
	c := doorhttp.TxnCondition{Keyspace: p.keyspace, Key: words[0]}
	switch test, rest := words[1], words[2:]; {
	case test == "absent" && len(rest) == 0:
		c.Absent = true
	case test == "present" && len(rest) == 0:
		c.Present = true
	case test == "is" && len(rest) == 1:
		c.Value = &rest[0]
	case test == "version" && len(rest) == 1:
		n, err := strconv.ParseUint(rest[0], 10, 64)
		if err != nil {
			return fmt.Errorf("version %q is not a number", rest[0])
		}
		c.Version = &n
	default:
		return fmt.Errorf("a condition is: if KEY absent, if KEY present, if KEY is VALUE, or if KEY version N")
	}
	if n := len(p.txn.Alternatives); n > 0 {
		a := &p.txn.Alternatives[n-1]
		a.Conditions = append(a.Conditions, c)
		return nil
	}
	p.txn.Conditions = append(p.txn.Conditions, c)
	return nil
}

// shapes are the operations: how many words follow the key at least and at most.
var shapes = map[string]struct{ least, most int }{
	"get": {0, 0}, "delete": {0, 0}, "persist": {0, 0}, "incr": {0, 1}, "append": {1, 1}, "prepend": {1, 1}, "expire": {1, 1}, "put": {1, 3},
}

func (p *parser) operation(words []string) error {
	shape, known := shapes[words[0]]
	if !known {
		return fmt.Errorf("%q is not a statement; they are if, in, else, or, merge, get, put, delete, incr, append, prepend, expire, persist", words[0])
	}
	if n := len(words) - 2; n < shape.least || n > shape.most {
		return fmt.Errorf("%s takes a key and %d to %d words more, not %d", words[0], shape.least, shape.most, n)
	}
	o := doorhttp.TxnOperation{Keyspace: p.keyspace, Op: words[0], Key: words[1]}
	if err := arguments(&o, words[2:]); err != nil {
		return err
	}
	switch n := len(p.txn.Alternatives); {
	case p.orElse:
		p.txn.Else = append(p.txn.Else, o)
	case n > 0:
		p.txn.Alternatives[n-1].Operations = append(p.txn.Alternatives[n-1].Operations, o)
	default:
		p.txn.Operations = append(p.txn.Operations, o)
	}
	return nil
}

func arguments(o *doorhttp.TxnOperation, rest []string) error {
	switch o.Op {
	case "put":
		if len(rest) > 1 && (len(rest) != 3 || rest[1] != "ttl") {
			return fmt.Errorf("put is: put KEY VALUE, or put KEY VALUE ttl TIME")
		}
		if o.Value = &rest[0]; len(rest) == 3 {
			o.TTL = rest[2]
		}
	case "append", "prepend":
		o.Value = &rest[0]
	case "expire":
		o.TTL = rest[0]
	case "incr":
		if len(rest) == 1 {
			by, err := strconv.ParseInt(rest[0], 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not a 64-bit integer", rest[0])
			}
			o.By = &by
		}
	}
	if o.TTL != "" {
		if d, err := time.ParseDuration(o.TTL); err != nil || d <= 0 {
			return fmt.Errorf("%q is not a time to live, such as 90s", o.TTL)
		}
	}
	return nil
}
