package load

import (
	"testing"

	"github.com/gamutdb/gamut/core"
)

const millisecond = core.Time(1e6)

// busy lets a meter answer so many commands in each millisecond, for a while from a time on.
func busy(m *Meter, from core.Time, perMillisecond int, left bool) (to core.Time) {
	for i := range core.Time(1000) {
		m.Executed(perMillisecond, left)
		m.Observe(from + i*millisecond)
	}
	return from + 1000*millisecond
}

func TestLimitFollowsWhatABusyReplicaDoes(t *testing.T) {
	var m Meter
	if got := m.Limit(10); got != 1250 {
		t.Errorf("before anything is measured %d, want what 50,000 a second do in 25 ms", got)
	}
	at := busy(&m, 1000*millisecond, 8, true)
	if got := m.Limit(10); got < 190 || got > 210 {
		t.Errorf("at 8,000 a second %d, want about 200", got)
	}
	if got := m.Limit(1024); got != 1024 {
		t.Errorf("%d, want the least", got)
	}
	at = busy(&m, at, 1, false) // idle in between: it could do more
	if got := m.Limit(10); got < 190 {
		t.Errorf("a replica that had less to do is taken for a slow one: %d", got)
	}
	busy(&m, at, 40, true)
	if got := m.Limit(10); got < 900 {
		t.Errorf("at 40,000 a second %d, want about 1,000", got)
	}
}
