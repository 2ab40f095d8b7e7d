package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// headline says how the run ended, in a few words and in a sentence.
func (r *Run) headline(verdicts []verdict, faults int) (headline, sentence string) {
	over := fmt.Sprintf("over %s of %s", plural(len(r.History), "operation"), plural(r.clients(), "client"))
	if faults > 0 {
		over += ", through " + plural(faults, "fault")
	}
	switch r.decision() {
	case referee.Broken:
		return "The promise is broken.", brokenSentence(verdicts)
	case referee.Holds:
		return "The promise held.", fmt.Sprintf("%s found nothing against it, %s.", capital(plural(len(verdicts), "check")), over)
	}
	for _, v := range verdicts {
		if v.Decision != referee.Holds {
			return "It could not be decided.", fmt.Sprintf("The check %q gave up (%s), %s. That does not count as holding.", v.Check, v.Why, over)
		}
	}
	return "Nothing was judged.", fmt.Sprintf("No check was made %s. That does not count as holding.", over)
}

func brokenSentence(verdicts []verdict) string {
	best := ""
	for _, v := range verdicts {
		switch {
		case v.Decision != referee.Broken:
		case v.Proof != nil && v.Proof.Sentence != v.Why:
			return v.Proof.Sentence
		case best == "":
			best = capital(strings.TrimSuffix(v.Why, ".")) + "."
		}
	}
	return best
}

func (r *Run) clients() int {
	seen := map[int]bool{}
	for i := range r.History {
		seen[r.History[i].Client] = true
	}
	return len(seen)
}

// facts are the figures that stand beside the verdict.
func (r *Run) facts(nodes, faults int, span int64) []Counter {
	var done, refused, unknown int
	for i := range r.History {
		switch r.History[i].Outcome {
		case referee.Done:
			done++
		case referee.Refused:
			refused++
		default:
			unknown++
		}
	}
	list := []Counter{
		{"operations", thousands(len(r.History))}, {"done", thousands(done)}, {"refused", thousands(refused)}, {"unknown", thousands(unknown)},
		{"clients", thousands(r.clients())}, {"nodes", thousands(nodes)}, {"faults", thousands(faults)}, {"length", duration(span)},
	}
	if nodes == 0 {
		// The history does not say which were asked.
		list = slices.DeleteFunc(list, func(c Counter) bool { return c.Name == "nodes" })
	}
	return list
}

// label is an operation in the fewest words.
func label(o *referee.Op) string {
	switch o.Kind {
	case referee.Get:
		return "get" + answer(o)
	case referee.Txn:
		return "txn of " + plural(len(o.Subs), "operation")
	case referee.Delete:
		return "delete"
	case referee.Cas:
		return "cas " + quote(o.Expect) + " → " + quote(o.Value)
	case referee.Incr:
		if o.Outcome == referee.Done && o.Code == kv.OK {
			return fmt.Sprintf("incr by %d = %d", o.Delta, o.Int)
		}
		return fmt.Sprintf("incr by %d", o.Delta)
	}
	return string(o.Kind) + " " + quote(o.Value)
}

// answer is what a read found, as it follows a word.
func answer(o *referee.Op) string {
	switch {
	case o.Outcome != referee.Done:
		return ""
	case o.Code == kv.OK:
		return " " + quote(o.Got)
	case o.Code == kv.NotFound:
		return " nothing"
	}
	return " " + o.Code.String()
}

// opSentence is an operation and its end in a sentence.
func opSentence(o *referee.Op) string {
	did := fmt.Sprintf("Client %d %s", o.Client, tried(o))
	if name := nodeName(o.Node); name != "" {
		did += " at " + name
	}
	took := duration(max(0, o.Return-o.Call))
	switch {
	case o.Outcome == referee.Unknown:
		return fmt.Sprintf("%s: no answer within %s, so it may have happened, or may happen yet.", did, took)
	case o.Outcome == referee.Refused:
		return fmt.Sprintf("%s: refused after %s (%s), so it did not happen.", did, took, o.Code)
	case o.Kind == referee.Get && (o.Code == kv.OK || o.Code == kv.NotFound):
		return fmt.Sprintf("%s, in %s%s.", did, took, ofVersion(o))
	case o.Code == kv.OK:
		return fmt.Sprintf("%s: done after %s%s.", did, took, ofVersion(o))
	}
	return fmt.Sprintf("%s: %s, after %s.", did, o.Code, took)
}

func ofVersion(o *referee.Op) string {
	if o.Version == 0 {
		return ""
	}
	return fmt.Sprintf(", version %d", o.Version)
}

// tried is what the client asked for, in the past tense.
func tried(o *referee.Op) string {
	switch o.Kind {
	case referee.Get:
		return "read" + answer(o)
	case referee.Set:
		return "set " + quote(o.Value)
	case referee.Create:
		return "created " + quote(o.Value)
	case referee.Cas:
		return "swapped " + quote(o.Expect) + " for " + quote(o.Value)
	case referee.Delete:
		return "deleted it"
	case referee.Incr:
		return fmt.Sprintf("added %d", o.Delta)
	case referee.Append:
		return "appended " + quote(o.Value)
	case referee.Txn:
		return "asked for " + subs(o) + " together"
	}
	return "asked for " + string(o.Kind)
}

// subs are the operations of a transaction, with their answers if it was executed.
func subs(o *referee.Op) string {
	var list []string
	for i := range o.Subs {
		list = append(list, o.Subs[i].String(o.Executed()))
	}
	return "[" + strings.Join(list, "; ") + "]"
}

// quoteMax is how much of a value a picture has room for.
const quoteMax = 24

// quote is a value in quotes, its middle left out if it is long: lists differ at their ends.
func quote(s string) string {
	q := strconv.Quote(s)
	if utf8.RuneCountInString(q) <= quoteMax+2 {
		return q
	}
	runes := []rune(q)
	return string(runes[:quoteMax/3]) + "…" + string(runes[len(runes)-quoteMax*2/3:])
}

// duration is a length of time with three digits at most behind its first one.
func duration(ns int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= unit.size {
			return strconv.FormatFloat(float64(ns)/float64(unit.size), 'g', max(3, digits(ns/unit.size)), 64) + " " + unit.name
		}
	}
	return fmt.Sprintf("%d ns", ns)
}

func digits(n int64) int { return len(strconv.FormatInt(n, 10)) }

// thousands is a number with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

func capital(s string) string {
	if s == "" {
		return s
	}
	first, size := utf8.DecodeRuneInString(s)
	return strings.ToUpper(string(first)) + s[size:]
}
