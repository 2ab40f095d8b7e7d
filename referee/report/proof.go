package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// proof is a counterexample as it is drawn: few operations, in the order of their calls, and what binds them.
type proof struct {
	// Sentence says what is wrong with them.
	Sentence string       `json:"sentence"`
	Ops      []provenOp   `json:"ops"`
	Arrows   []proofArrow `json:"arrows"`
	// More counts what the checker gave beyond these; the timeline shows it.
	More int `json:"more,omitempty"`
}

type provenOp struct {
	ID     int    `json:"id"`
	Client int    `json:"client"`
	Node   string `json:"node,omitempty"`
	Call   int64  `json:"call"`
	Return int64  `json:"return"`
	Style  int    `json:"style"`
	// Accused is the operation whose answer cannot be.
	Accused bool `json:"accused,omitempty"`
	// Label stands on the bar; Words are a sentence beside it.
	Label string `json:"label"`
	Words string `json:"words"`
}

// proofArrow goes from one of the proof's operations to another, both by their places.
type proofArrow struct {
	From     int              `json:"from"`
	To       int              `json:"to"`
	Relation referee.Relation `json:"relation"`
	Label    string           `json:"label"`
	// Why is a sentence, where the checker gave one.
	Why string `json:"why,omitempty"`
}

// provenMax is how many bars a reader follows in one picture.
const provenMax = 8

// newProof draws the proof of a verdict; nil if it has none.
func newProof(r *Run, v *referee.Verdict, start int64) *proof {
	if len(v.Proof) == 0 {
		return nil
	}
	accused := accusedOf(v)
	var ops []referee.Op
	sentence := v.Why
	if inRealTime[v.Check] && len(v.Links) == 0 {
		ops, sentence = stale(ofKey(r.History, accused.Key), accused)
	}
	if ops == nil {
		ops, sentence = nearest(whole(r.History, v.Proof), accused), v.Why
	}
	slices.SortStableFunc(ops, func(a, b referee.Op) int { return compareTimes(a.Call, b.Call) })
	p := &proof{Sentence: sentence, Ops: []provenOp{}, Arrows: arrows(ops, accused)}
	if len(v.Links) > 0 {
		p.Arrows = given(ops, v.Links)
	}
	for i := range ops {
		o := &ops[i]
		p.Ops = append(p.Ops, provenOp{o.ID, o.Client, nodeName(o.Node), o.Call - start, max(o.Call, o.Return) - start, style(o), o.ID == accused.ID, label(o), opSentence(o)})
	}
	for _, o := range whole(r.History, v.Proof) {
		if !slices.ContainsFunc(ops, func(drawn referee.Op) bool { return drawn.ID == o.ID }) {
			p.More++
		}
	}
	return p
}

func compareTimes(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// inRealTime are the checks under which a read must show whatever was acknowledged before it was called. Under a weaker
// promise an old value is no proof of anything.
var inRealTime = map[string]bool{"linearizable": true, "versions": true}

// named are the numbers that a sentence of a checker names, as #12.
var named = regexp.MustCompile(`#[0-9]+`)

// accusedOf is the operation of the proof that the verdict's words name first; the last one if they name none.
func accusedOf(v *referee.Verdict) *referee.Op {
	for _, name := range named.FindAllString(v.Why, -1) {
		for i := range v.Proof {
			if name == fmt.Sprintf("#%d", v.Proof[i].ID) {
				return &v.Proof[i]
			}
		}
	}
	return &v.Proof[len(v.Proof)-1]
}

// ofKey are the operations on a key; none if some of them lie in transactions, of which a short story would not be true.
func ofKey(h referee.History, key string) (ops []referee.Op) {
	for i := range h {
		switch {
		case slices.ContainsFunc(h[i].Subs, func(s referee.Sub) bool { return s.Key == key }):
			return nil
		case h[i].Key == key && len(h[i].Subs) == 0:
			ops = append(ops, h[i])
		}
	}
	return ops
}

// stale looks for the shortest proof there is: a read of what had been overwritten, or of nothing where something had been
// stored, before it was called. Values that were written twice prove nothing this way; then there are no operations.
func stale(ops []referee.Op, read *referee.Op) ([]referee.Op, string) {
	if read.Kind != referee.Get || read.Outcome != referee.Done {
		return nil, ""
	}
	source, many := sourceOf(ops, read)
	if many {
		return nil, ""
	}
	var newer *referee.Op
	for i := range ops {
		o := &ops[i]
		acknowledged := o.Kind == referee.Set && o.Outcome == referee.Done && o.Code == kv.OK && o.Return < read.Call
		if acknowledged && (source == nil || surelyBefore(source, o)) && (newer == nil || o.Return > newer.Return) {
			newer = o
		}
	}
	switch {
	case newer == nil:
		return nil, ""
	case read.Code == kv.NotFound && source == nil && newer.TTL == 0:
		return []referee.Op{*newer, *read}, fmt.Sprintf("Client %d found nothing at %s, %s after client %d was told that %s is stored; nobody had deleted it.",
			read.Client, printable(read.Key), duration(read.Call-newer.Return), newer.Client, quote(newer.Value))
	case read.Code == kv.OK && source != nil:
		return []referee.Op{*source, *newer, *read}, fmt.Sprintf("Client %d read %s from %s, %s after client %d was told that %s is stored in its place.",
			read.Client, quote(read.Got), printable(read.Key), duration(read.Call-newer.Return), newer.Client, quote(newer.Value))
	}
	return nil, ""
}

// sourceOf is the write whose state a read shows, of those that may have been executed by then; many if it may be one of several.
func sourceOf(ops []referee.Op, read *referee.Op) (source *referee.Op, many bool) {
	for i := range ops {
		o := &ops[i]
		if !leaves(o, read) || o.Call > read.Return {
			continue
		}
		if source != nil {
			return source, true
		}
		source = o
	}
	return source, false
}

// leaves tells whether a write may have left what a read shows. An append leaves its value at the end.
func leaves(write, read *referee.Op) bool {
	if !write.Kind.Writes() || write.Outcome == referee.Refused || (write.Outcome == referee.Done && write.Code != kv.OK) {
		return false
	}
	switch {
	case read.Code == kv.NotFound:
		return write.Kind == referee.Delete
	case read.Code != kv.OK || write.Kind == referee.Delete:
		return false
	case write.Kind == referee.Append:
		return write.Value != "" && strings.HasSuffix(read.Got, write.Value)
	case write.Kind == referee.Incr:
		return write.Outcome == referee.Done && read.Got == fmt.Sprint(write.Int)
	}
	return write.Value == read.Got
}

// surelyBefore tells whether an operation had returned before another was called. One of unknown outcome never has.
func surelyBefore(a, b *referee.Op) bool { return a.Outcome != referee.Unknown && a.Return < b.Call }

// whole are the operations of a proof as the history has them, each once: a checker that looks at keys takes transactions apart.
func whole(h referee.History, proof []referee.Op) (ops []referee.Op) {
	for i := range proof {
		id := proof[i].ID
		if !slices.ContainsFunc(ops, func(o referee.Op) bool { return o.ID == id }) {
			ops = append(ops, h[id])
		}
	}
	return ops
}

// nearest are the accused operation and those of the proof that lie closest to it in time.
func nearest(ops []referee.Op, accused *referee.Op) []referee.Op {
	near := slices.Clone(ops)
	distance := func(o referee.Op) int64 {
		if o.ID == accused.ID {
			return -1
		}
		return max(o.Call-accused.Return, accused.Call-max(o.Call, o.Return), 0)
	}
	slices.SortStableFunc(near, func(a, b referee.Op) int { return compareTimes(distance(a), distance(b)) })
	return near[:min(len(near), provenMax)]
}

// given are the checker's own links between the operations that are drawn.
func given(ops []referee.Op, links []referee.Link) []proofArrow {
	list := []proofArrow{}
	place := func(id int) int { return slices.IndexFunc(ops, func(o referee.Op) bool { return o.ID == id }) }
	for _, l := range links {
		if from, to := place(l.From), place(l.To); from >= 0 && to >= 0 {
			list = append(list, proofArrow{from, to, l.Relation, string(l.Relation), l.Why})
		}
	}
	return list
}

// arrows bind the operations, sorted by call: every read to its write, and the order in time where no other arrow says it
// already. Of many operations only the order around the accused is drawn: more would hide it.
func arrows(ops []referee.Op, accused *referee.Op) []proofArrow {
	list := []proofArrow{}
	for i := range ops {
		if ops[i].Kind == referee.Get && ops[i].Outcome == referee.Done {
			if source, many := sourceOf(ops, &ops[i]); source != nil && !many {
				from := slices.IndexFunc(ops, func(o referee.Op) bool { return o.ID == source.ID })
				list = append(list, proofArrow{from, i, referee.RF, "read by", ""})
			}
		}
	}
	for a := range ops {
		for b := range ops {
			around := len(ops) <= 4 || ops[a].ID == accused.ID || ops[b].ID == accused.ID
			if around && follows(ops, a, b) {
				list = append(list, proofArrow{a, b, referee.RT, duration(ops[b].Call-ops[a].Return) + " later", ""})
			}
		}
	}
	return list
}

// follows tells whether b was called after a had returned, with nothing of the proof wholly in between.
func follows(ops []referee.Op, a, b int) bool {
	if !surelyBefore(&ops[a], &ops[b]) {
		return false
	}
	for c := range ops {
		if surelyBefore(&ops[a], &ops[c]) && surelyBefore(&ops[c], &ops[b]) {
			return false
		}
	}
	return true
}
