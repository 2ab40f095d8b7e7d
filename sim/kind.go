package sim

import "github.com/gamutdb/gamut/referee"

// Kind says which of the checkers a failure comes from.
type Kind string

// Kinds of failures.
const (
	// Divergence: replicas have applied different things at one position.
	Divergence Kind = "divergence"
	// Linearizability: a client saw an order that no single copy would show, or could have: a replica may be read that
	// lacks what was acknowledged.
	Linearizability Kind = "linearizability"
	// Durability: something acknowledged or promised is gone, or something refused is there.
	Durability Kind = "durability"
	// Invariant: the host, a protocol or the inside of a replica broke one of its own.
	Invariant Kind = "invariant"
	// Staleness: a replica said that its state was newer than it is.
	Staleness Kind = "staleness"
	// Liveness: something that must happen has not, although it had the time.
	Liveness Kind = "liveness"
	// Storm: messages answer each other without end.
	Storm Kind = "storm"
)

func kindOf(v referee.Verdict) Kind {
	if v.Check == "durability" {
		return Durability
	}
	return Linearizability
}
