package workload

import "github.com/gamutdb/gamut/referee"

// sets adds members that were never there, removes those that anybody has added, and reads. A set that has had enough of them is
// left for a new one: every read carries all.
type sets struct {
	*lists
	// added are the members of each key, whoever added them.
	added map[string][]string
}

func newSets(d *draw) *sets { return &sets{lists: newLists(d), added: map[string][]string{}} }

func (w *sets) Next(client int) Step {
	key := w.key()
	o := referee.Op{Key: key, Kind: w.among("include include include include exclude exclude members members members members")}
	if w.rng.IntN(30) == 0 {
		o.Kind = referee.Delete
	}
	switch known := w.added[key]; {
	case o.Kind == referee.Include:
		o.Value = w.value(client)
		w.added[key] = append(known, o.Value)
		if len(known) == listMax {
			w.leave(key)
		}
	case o.Kind == referee.Exclude && len(known) == 0:
		o.Kind = referee.Members
	case o.Kind == referee.Exclude:
		o.Expect = known[w.rng.IntN(len(known))]
	}
	step := w.step(o)
	step.Move = w.rng.IntN(4) == 0
	return step
}

// Close reads all sets, those that were left, too.
func (w *sets) Close() (steps []Step) {
	for _, s := range w.lists.Close() {
		o := referee.Op{Kind: referee.Members, Key: s.Op.Key}
		steps = append(steps, Step{Op: o, Command: Command(&o)})
	}
	return steps
}
