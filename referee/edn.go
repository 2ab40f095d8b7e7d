package referee

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// ExportEDN writes the history as Jepsen keeps them, an event a line: an :invoke for every operation, then :ok, :fail or
// :info when its outcome was told. Values are lists of micro-operations, [:append k v] and [:r k [v ...]] for keys that
// are only appended to, [:w k v] and [:r k v] for others, which is what Elle's list-append and rw-register checkers read.
//
// A delete writes nil, and a failed create or compare-and-set is a :fail; one that was carried out reads and writes. A
// counter is left to the checkers here: its values do not name their writes.
func (h History) ExportEDN(w io.Writer) error {
	out := bufio.NewWriter(w)
	e := ednWriter{lists: h.lists()}
	for i := range h {
		e.add(&h[i])
	}
	slices.SortStableFunc(e.events, func(a, b ednEvent) int {
		switch {
		case a.at != b.at && a.at < b.at:
			return -1
		case a.at != b.at:
			return 1
		}
		return a.rank - b.rank
	})
	for i, event := range e.events {
		fmt.Fprintf(out, "{:index %d, :time %d, :process %d, :type %s, :f :txn, :value [%s]}\n", i, event.at, event.process, event.kind, event.value)
	}
	return out.Flush()
}

// lists are the keys that were only appended to and read.
func (h History) lists() map[string]bool {
	lists := map[string]bool{}
	for i := range h {
		for _, s := range h[i].accesses() {
			if _, known := lists[s.Key]; !known {
				lists[s.Key] = true
			}
			lists[s.Key] = lists[s.Key] && (s.Kind == Get || s.Kind == Append)
		}
	}
	for i := range h {
		for _, s := range h[i].accesses() {
			if s.Kind == Append {
				continue
			}
			lists[s.Key] = lists[s.Key] && (s.Got == "" || isList(s.Got))
		}
	}
	return lists
}

func isList(got string) bool {
	return !slices.ContainsFunc(Elements(got), func(e string) bool { return !isElement(e) })
}

type ednEvent struct {
	at      int64
	rank    int // an invocation comes before the answers of the same instant: nothing is ordered that was not
	process int
	kind    string
	value   string
}

type ednWriter struct {
	lists  map[string]bool
	events []ednEvent
}

// add makes the events of an operation. A process that does not know its outcome must not be used again, so it gets a
// name of its own from then on: Jepsen adds the number of processes, we number by operation.
func (e *ednWriter) add(o *Op) {
	process := o.Client
	if o.Outcome == Unknown {
		process = 1_000_000 + o.ID
	}
	asked, answered := e.micro(o, false), e.micro(o, true)
	if len(asked) == 0 {
		return
	}
	e.events = append(e.events, ednEvent{o.Call, 0, process, ":invoke", strings.Join(asked, " ")})
	kind := ":ok"
	switch {
	case o.Outcome == Unknown:
		kind, answered = ":info", asked
	case !o.tookEffect():
		kind, answered = ":fail", asked
	}
	e.events = append(e.events, ednEvent{o.Return, 1, process, kind, strings.Join(answered, " ")})
}

// tookEffect reports whether the operation did what it asked: a read that found nothing did.
func (o *Op) tookEffect() bool {
	if o.Outcome != Done {
		return false
	}
	return o.Code == kv.OK || (o.Code == kv.NotFound && o.Kind == Get)
}

// micro are the micro-operations of an operation, with what was read if it has been answered.
func (e *ednWriter) micro(o *Op, answered bool) (list []string) {
	for _, s := range o.accesses() {
		key := ednString(s.Key)
		read, write := "nil", ednString(s.Value)
		switch s.Kind {
		case Get:
			if answered && s.Code == kv.OK {
				read = e.value(s.Key, s.Got)
			}
			list = append(list, "[:r "+key+" "+read+"]")
			continue
		case Incr, Include, Exclude, Members:
			continue
		case Append:
			if e.lists[s.Key] {
				list = append(list, "[:append "+key+" "+write+"]")
			}
			continue
		case Cas:
			if answered {
				read = ednString(s.Expect)
			}
			list = append(list, "[:r "+key+" "+read+"]")
		case Create:
			list = append(list, "[:r "+key+" nil]")
		case Delete:
			write = "nil"
		}
		list = append(list, "[:w "+key+" "+write+"]")
	}
	return list
}

// value is what a read showed: a vector for a list.
func (e *ednWriter) value(key, got string) string {
	if !e.lists[key] {
		return ednString(got)
	}
	var parts []string
	for _, p := range Elements(got) {
		parts = append(parts, ednString(p))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// ednString quotes as EDN does: it knows fewer escapes than Go.
func ednString(s string) string {
	r := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	return `"` + r.Replace(s) + `"`
}
