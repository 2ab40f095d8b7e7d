package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/referee"
)

// fault is an event as it is drawn: a band, or a mark if it took no time.
type fault struct {
	Kind string `json:"kind"`
	// Nodes are places in the page's nodes; none means that it concerns all.
	Nodes []int  `json:"nodes"`
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	Words string `json:"words"`
}

// endedBy names the event that ends a lasting one, where an event does not tell its own end.
var endedBy = map[string]string{"crash": "start", "pause": "resume", "cut": "mend"}

// heals ends all that lasts.
const heals = "heal"

// faultsOf turns events into bands and marks. An end that belongs to a beginning is told by its band alone.
func faultsOf(r *Run, start, end int64) []fault {
	list := []fault{}
	events := slices.Clone(r.Events)
	slices.SortStableFunc(events, func(a, b referee.Event) int { return compareTimes(a.At, b.At) })
	told := make([]bool, len(events))
	for i := range events {
		e := &events[i]
		if told[i] {
			continue
		}
		to := max(e.At, e.End)
		if _, lasts := endedBy[e.What]; lasts && e.End == 0 {
			to = end
			if at := ending(events, told, i); at >= 0 {
				to, told[at] = events[at].At, events[at].What != heals
			}
		}
		nodes := []int{}
		for _, id := range e.Nodes {
			if id >= 1 && id <= nodesMax {
				nodes = append(nodes, int(id)-1)
			}
		}
		list = append(list, fault{e.What, nodes, e.At - start, to - start, eventWords(e)})
	}
	return list
}

// ending is the place of the event that ends another; -1 if it lasts to the end.
func ending(events []referee.Event, told []bool, of int) int {
	began := &events[of]
	for i := of + 1; i < len(events); i++ {
		e := &events[i]
		same := len(e.Nodes) == 0 || slices.Equal(e.Nodes, began.Nodes)
		if e.What == heals || (e.What == endedBy[began.What] && same && !told[i]) {
			return i
		}
	}
	return -1
}

func eventWords(e *referee.Event) string {
	var names []string
	for _, id := range e.Nodes {
		names = append(names, nodeName(id))
	}
	words := e.What
	if len(names) > 0 {
		words += " " + strings.Join(names, ", ")
	}
	if e.Detail != "" {
		words += ": " + e.Detail
	}
	return words
}

// lasting counts the faults that went on for a while; marks such as a new leader are none.
func lasting(faults []fault) (n int) {
	for _, f := range faults {
		if f.To > f.From {
			n++
		}
	}
	return n
}

func nodeName(id uint32) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("node %d", id)
}
