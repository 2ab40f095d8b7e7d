package sim

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Bug is a mistake that can be planted around any replica, to show that the checkers find it. Bugs inside a protocol are
// that protocol's own to plant.
type Bug uint8

// Bugs, with the trap that each one falls into.
const (
	// HeldLeavesEarly lets everything leave before the sync that it depends on (T1.1).
	HeldLeavesEarly Bug = iota + 1
	// RecordsVanish loses one record in twenty on its way to the log.
	RecordsVanish
	// PositionLags writes the applied position now and then without the data of its Step (T1.12).
	PositionLags
	// PermitNeverEnds lets a replica that had a permit to be read keep it (T1.6).
	PermitNeverEnds
)

var bugNames = [...]string{"none", "held leaves early", "records vanish", "position lags", "permit never ends"}

// String names the bug.
func (b Bug) String() string { return bugNames[b] }

// Bugs lists all of them.
func Bugs() (list []Bug) {
	for b := HeldLeavesEarly; b <= PermitNeverEnds; b++ {
		list = append(list, b)
	}
	return list
}

// Plant returns a replica of a led protocol with a bug around it.
func (b Bug) Plant(r core.Replica) core.Replica { return &mutant{Replica: r, bug: b} }

// mutant is a replica whose effects are changed on their way to the host.
type mutant struct {
	core.Replica
	bug Bug
	now core.Time
	had bool
}

func (m *mutant) Unwrap() core.Replica { return m.Replica }

func (m *mutant) Leader() core.ReplicaID { return m.Replica.(core.Led).Leader() }

func (m *mutant) ReadUntil() core.Time {
	leased, ok := m.Replica.(core.Leased)
	if !ok {
		return 0
	}
	until := leased.ReadUntil()
	m.had = m.had || until > m.now
	if m.bug == PermitNeverEnds && m.had {
		return m.now + 3600*Second
	}
	return until
}

func (m *mutant) Freshness() core.Freshness { return m.Replica.(core.Fresh).Freshness() }

func (m *mutant) SafeTime() kv.HLC { return m.Replica.(core.Timed).SafeTime() }

func (m *mutant) Step(in *core.Input, out *core.Effects) {
	m.now = in.Now
	m.Replica.Step(in, out)
	switch m.bug {
	case HeldLeavesEarly:
		out.Early = append(out.Early, out.Held...)
		out.Held = out.Held[:0]
	case RecordsVanish:
		kept := out.Log[:0]
		for _, r := range out.Log {
			if in.Rand.IntN(20) > 0 {
				kept = append(kept, r)
			}
		}
		out.Log = kept
	case PositionLags:
		if len(out.State) > 1 && in.Rand.IntN(20) == 0 {
			out.State = onlyPosition(out.State)
		}
	}
}

func onlyPosition(changes []core.Change) (kept []core.Change) {
	for _, c := range changes {
		if string(c.Key) == string(core.AppliedKey) {
			kept = append(kept, c)
		}
	}
	return kept
}
