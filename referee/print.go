package referee

import (
	"fmt"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// String is the operation in a line.
func (o Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d client %d", o.ID, o.Client)
	if o.Session != "" {
		fmt.Fprintf(&b, " session %s", o.Session)
	}
	if o.Kind == Txn {
		b.WriteString(" txn")
		for i := range o.Subs {
			s := &o.Subs[i]
			b.WriteString(" [" + s.String(o.Executed()) + "]")
		}
	} else {
		b.WriteString(" " + o.asked())
	}
	fmt.Fprintf(&b, " [%.6fs, ", float64(o.Call)/1e9)
	switch o.Outcome {
	case Unknown:
		b.WriteString("open) unknown")
	case Refused:
		fmt.Fprintf(&b, "%.6fs] refused: %s", float64(o.Return)/1e9, o.Code)
	default:
		fmt.Fprintf(&b, "%.6fs] %s", float64(o.Return)/1e9, o.answered())
	}
	b.WriteString(o.place())
	return b.String()
}

// asked is what was called for.
func (o *Op) asked() string {
	s := string(o.Kind) + " " + o.Key
	switch o.Kind {
	case Set, Create, Append, Include:
		s += fmt.Sprintf(" %q", o.Value)
	case Cas:
		s += fmt.Sprintf(" %q -> %q", o.Expect, o.Value)
	case Exclude:
		s += fmt.Sprintf(" %q", o.Expect)
	case Incr:
		s += fmt.Sprintf(" by %d", o.Delta)
	}
	if o.TTL > 0 {
		s += fmt.Sprintf(" for %d ms", o.TTL)
	}
	return s
}

// answered is what came back.
func (o *Op) answered() string {
	s := o.Code.String()
	if (o.Kind == Get || o.Kind == Members) && o.Code == kv.OK {
		s += fmt.Sprintf(" %q", o.Got)
	}
	if o.Kind == Incr && o.Code == kv.OK {
		s += fmt.Sprintf(" %d", o.Int)
	}
	if o.Version != 0 {
		s += fmt.Sprintf(" version %d", o.Version)
	}
	if !o.Stamp.IsZero() {
		s += " stamp " + o.Stamp.String()
	}
	return s
}

// place is where and how it was asked.
func (o *Op) place() string {
	var parts []string
	if o.Node != 0 {
		parts = append(parts, fmt.Sprintf("node %d", o.Node))
	}
	if o.Level != "" {
		parts = append(parts, "level "+o.Level)
	}
	if o.Met != "" && o.Met != o.Level {
		parts = append(parts, "met "+o.Met)
	}
	if o.Where != "" {
		parts = append(parts, o.Where)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// String is the sub-operation in words, with its answer if it was executed.
func (s *Sub) String(executed bool) string {
	o := Op{Kind: s.Kind, Key: s.Key, Value: s.Value, Expect: s.Expect, Delta: s.Delta, TTL: s.TTL,
		Code: s.Code, Got: s.Got, Int: s.Int, Version: s.Version, Stamp: s.Stamp}
	if !executed {
		return o.asked()
	}
	return o.asked() + ": " + o.answered()
}
