package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gamutdb/gamut/referee"
)

// page is what the browser gets beside the history. Times count from the first thing that happened.
type page struct {
	Title       string           `json:"title"`
	World       World            `json:"world"`
	Seed        string           `json:"seed"` // text, since the browser's numbers end at 2^53; empty if there is none
	Replay      string           `json:"replay"`
	Keyspace    string           `json:"keyspace"`
	Consistency string           `json:"consistency"`
	Promise     string           `json:"promise"`
	Decision    referee.Decision `json:"decision"`
	Headline    string           `json:"headline"`
	Sentence    string           `json:"sentence"`
	Span        int64            `json:"span"`
	Nodes       []string         `json:"nodes"`
	Clients     []int            `json:"clients"`
	Keys        []string         `json:"keys"`
	Facts       []Counter        `json:"facts"`
	Counters    []Counter        `json:"counters"`
	Verdicts    []verdict        `json:"verdicts"`
	Faults      []fault          `json:"faults"`
	Ops         columns          `json:"ops"`
	Intervals   intervals        `json:"intervals"`
	// Sampled says how much of the history is here; empty if all is.
	Sampled string `json:"sampled,omitempty"`
}

type verdict struct {
	Check    string           `json:"check"`
	Doc      string           `json:"doc,omitempty"`
	Decision referee.Decision `json:"decision"`
	Judged   int              `json:"judged"`
	Pattern  string           `json:"pattern,omitempty"`
	Key      string           `json:"key,omitempty"`
	Why      string           `json:"why,omitempty"`
	Proof    *proof           `json:"proof,omitempty"`
}

// newPage also returns the part of the history that is shown.
func newPage(r *Run) (*page, referee.History) {
	start, end := bounds(r)
	p := &page{Title: r.Name, World: r.World, Seed: seedText(r.Seed), Replay: r.Replay, Keyspace: r.Keyspace,
		Consistency: r.Consistency, Promise: r.promise(), Decision: r.decision(), Span: end - start, Nodes: []string{},
		Counters: append([]Counter{}, r.Counters...), Faults: faultsOf(r, start, end), Verdicts: []verdict{}}
	for _, id := range r.nodeIDs() {
		p.Nodes = append(p.Nodes, nodeName(id))
	}
	keep := map[int]bool{}
	for i := range r.Verdicts {
		drawn := r.drawnVerdict(&r.Verdicts[i], start)
		if drawn.Proof != nil {
			for _, o := range drawn.Proof.Ops {
				keep[o.ID] = true
			}
		}
		p.Verdicts = append(p.Verdicts, drawn)
	}
	shown := sample(r.History, keep, opsMax, bytesMax)
	if len(shown) < len(r.History) {
		p.Sampled = fmt.Sprintf("%s of %s operations are drawn: those of the proofs, those without an answer and an even sample of the rest. Verdicts, latencies and availability are of all.",
			thousands(len(shown)), thousands(len(r.History)))
	}
	p.addOps(shown, start)
	p.Intervals = newIntervals(r.History, start, end)
	p.Facts = r.facts(len(p.Nodes), lasting(p.Faults), end-start)
	p.Headline, p.Sentence = r.headline(p.Verdicts, lasting(p.Faults))
	return p, shown
}

func seedText(seed uint64) string {
	if seed == 0 {
		return ""
	}
	return strconv.FormatUint(seed, 10)
}

func (r *Run) promise() string {
	if c, ok := referee.CheckerNamed(r.Consistency); r.Promise == "" && ok {
		return capital(c.Doc) + "."
	}
	return r.Promise
}

func (r *Run) drawnVerdict(v *referee.Verdict, start int64) verdict {
	c, _ := referee.CheckerNamed(v.Check)
	drawn := verdict{v.Check, c.Doc, v.Decision, v.Judged, v.Pattern, "", v.Why, newProof(r, v, start)}
	if v.Key != "" {
		drawn.Key = printable(v.Key)
	}
	return drawn
}

// bounds are the first and the last time at which anything happened, at least a microsecond apart.
func bounds(r *Run) (start, end int64) {
	first := true
	stretch := func(from, to int64) {
		if first {
			start, end, first = from, to, false
		}
		start, end = min(start, from), max(end, to)
	}
	for i := range r.History {
		stretch(r.History[i].Call, max(r.History[i].Call, r.History[i].Return))
	}
	for i := range r.Events {
		stretch(r.Events[i].At, max(r.Events[i].At, r.Events[i].End))
	}
	return start, max(end, start+1000)
}

// columns are the operations, a list for each property: that is a third of the size of a list of objects, and draws faster.
type columns struct {
	ID []int `json:"id"`
	// Client, Node and Key are places in the page's lists; node -1 is unknown.
	Client []int   `json:"client"`
	Node   []int   `json:"node"`
	Key    []int   `json:"key"`
	Call   []int64 `json:"call"`
	Return []int64 `json:"return"`
	// Also are the further keys of operations on several, by the operation's place.
	Also map[int][]int `json:"also"`
	// Style is 1 for a write, plus 2 for a refused and 4 for an unknown outcome.
	Style []int `json:"style"`
}

func (p *page) addOps(shown referee.History, start int64) {
	p.Keys, p.Clients = []string{}, []int{}
	clients := map[int]int{}
	for i := range shown {
		if _, ok := clients[shown[i].Client]; !ok {
			clients[shown[i].Client] = 0
			p.Clients = append(p.Clients, shown[i].Client)
		}
	}
	slices.Sort(p.Clients)
	for i, c := range p.Clients {
		clients[c] = i
	}
	n := len(shown)
	c := columns{make([]int, n), make([]int, n), make([]int, n), make([]int, n), make([]int64, n), make([]int64, n), map[int][]int{}, make([]int, n)}
	keys := map[string]int{}
	for i := range shown {
		o := &shown[i]
		places := p.addKeys(keys, o)
		if len(places) > 1 {
			c.Also[i] = places[1:]
		}
		c.ID[i], c.Client[i], c.Node[i], c.Key[i] = o.ID, clients[o.Client], min(int(o.Node), nodesMax)-1, places[0]
		c.Call[i], c.Return[i], c.Style[i] = o.Call-start, max(o.Call, o.Return)-start, style(o)
	}
	p.Ops = c
}

// addKeys are the places of an operation's keys in the page's list, which grows by those that are new.
func (p *page) addKeys(keys map[string]int, o *referee.Op) (places []int) {
	for _, key := range keysOf(o) {
		at, ok := keys[key]
		if !ok {
			at = len(p.Keys)
			keys[key] = at
			p.Keys = append(p.Keys, printable(key))
		}
		if !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	return places
}

func keysOf(o *referee.Op) []string {
	if len(o.Subs) == 0 {
		return []string{o.Key}
	}
	var keys []string
	for i := range o.Subs {
		keys = append(keys, o.Subs[i].Key)
	}
	return keys
}

func style(o *referee.Op) (n int) {
	if o.Writes() {
		n = 1
	}
	switch o.Outcome {
	case referee.Refused:
		n |= 2
	case referee.Unknown:
		n |= 4
	}
	return n
}

// printable is a key as it is shown: itself if every letter of it can be seen, quoted if not, so that two different keys never
// look the same.
func printable(key string) string {
	plain := utf8.ValidString(key) && key != "" && !strings.HasPrefix(key, `"`)
	for _, c := range key {
		plain = plain && unicode.IsGraphic(c) && (c == ' ' || !unicode.IsSpace(c))
	}
	if plain && strings.TrimSpace(key) == key {
		return key
	}
	return strconv.Quote(key)
}
