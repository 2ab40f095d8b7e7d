package report

import (
	"fmt"

	"github.com/gamutdb/gamut/referee"
)

// World is where a run took place. The words stand on the page.
type World string

// Worlds. A simulated run is a function of its seed; a live one has only its workload and faults from it.
const (
	Simulated World = "simulated"
	Live      World = "live"
)

// Run is a judged run: what the referee knows of it, and what people want to be told beside that.
type Run struct {
	// Run has the name, the seed, the word that was promised, the history and the events. The history must be sorted and
	// numbered (History.Sort): verdicts name operations by their numbers.
	*referee.Run
	World World
	// Replay is the command that brings the run back, ready for a shell; empty if there is none.
	Replay   string
	Keyspace string
	// Promise says in a sentence what the consistency means; empty: as the checker of that name says it.
	Promise string
	// Nodes is how many there are, from 1 on. Nodes that the run names beyond that are shown too.
	Nodes    int
	Verdicts []referee.Verdict
	// Counters are what else was counted, shown in this order.
	Counters []Counter
}

// Counter is a number with its name.
type Counter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Validate names the first thing in the run that cannot be drawn truthfully.
func (r *Run) Validate() error {
	if r.Run == nil {
		return fmt.Errorf("report: no run; Run.Run is what the referee judged")
	}
	if r.World != Simulated && r.World != Live {
		return fmt.Errorf("report: the world is %q; it is %q or %q", r.World, Simulated, Live)
	}
	if r.Consistency == "" {
		return fmt.Errorf("report: no consistency; a verdict needs the word that was promised")
	}
	for i := range r.History {
		if o := &r.History[i]; o.ID != i {
			return fmt.Errorf("report: operation %d of the history is numbered #%d; History.Sort numbers them", i, o.ID)
		}
		if i > 0 && r.History[i].Call < r.History[i-1].Call {
			return fmt.Errorf("report: operation #%d was called before #%d; History.Sort orders them", i, i-1)
		}
	}
	for i := range r.Verdicts {
		for _, o := range r.Verdicts[i].Proof {
			if o.ID < 0 || o.ID >= len(r.History) || r.History[o.ID].Call != o.Call {
				return fmt.Errorf("report: the verdict %q names an operation #%d that is not in the history; judge the run after History.Sort", r.Verdicts[i].Check, o.ID)
			}
		}
	}
	return nil
}

// decision is what all verdicts say together: broken if one is, and undecided if one is or if there is none at all.
func (r *Run) decision() referee.Decision {
	sum := referee.Holds
	if len(r.Verdicts) == 0 {
		sum = referee.Undecided
	}
	for _, v := range r.Verdicts {
		switch {
		case v.Decision == referee.Broken:
			return referee.Broken
		case !v.OK():
			sum = referee.Undecided
		}
	}
	return sum
}

// nodeIDs are the nodes of the run, in order.
func (r *Run) nodeIDs() (ids []uint32) {
	highest := uint32(max(0, r.Nodes))
	for i := range r.History {
		highest = max(highest, r.History[i].Node)
	}
	for i := range r.Events {
		for _, id := range r.Events[i].Nodes {
			highest = max(highest, id)
		}
	}
	for id := uint32(1); id <= min(highest, nodesMax); id++ {
		ids = append(ids, id)
	}
	return ids
}

// nodesMax bounds the lanes that a wrong number in a history can ask for.
const nodesMax = 1000
