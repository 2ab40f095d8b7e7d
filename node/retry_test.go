package node

import (
	"slices"
	"testing"

	"github.com/gamutdb/gamut/core"
)

// TestPausesGrow tries something that cannot be done for two minutes: each pause is twice the one before, up to the longest, and a new word
// of it ends the pause.
func TestPausesGrow(t *testing.T) {
	const ms = core.Time(1e6)
	var r retries[string]
	r.add("a")
	tried := func(from, to core.Time) (at []core.Time) {
		for now := from; now < to; now += 50 * ms {
			for _, what := range r.due(now) {
				at = append(at, (now-from)/ms)
				r.failed(what, now)
			}
		}
		return at
	}
	want := []core.Time{0, 250, 750, 1750, 3750, 7750, 15750, 31750, 47750, 63750, 79750, 95750, 111750}
	if got := tried(0, 120_000*ms); !slices.Equal(got, want) {
		t.Errorf("tried at %v ms, wanted %v", got, want)
	}
	if r.add("a") {
		t.Error("it was there twice")
	}
	if got := tried(120_000*ms, 120_600*ms); !slices.Equal(got, []core.Time{0, 250}) {
		t.Errorf("after a new word it is tried at %v ms", got)
	}
	r.done("a")
	if got := r.due(300_000 * ms); len(got) > 0 {
		t.Errorf("%v is tried although it was done", got)
	}
}
