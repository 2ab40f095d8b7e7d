package referee

import (
	"fmt"
	"strings"
)

// Decision is what a checker found.
type Decision string

// Decisions. Undecided means that the checker could not tell; it is not a pass.
const (
	Holds     Decision = "holds"
	Broken    Decision = "broken"
	Undecided Decision = "undecided"
)

// Relation is why one operation comes before another.
type Relation string

// Relations. They are the names of the field: program order, reads-from, write-write, read-write, real time; conflict is
// the order that causality forces on two writes of which one was seen instead of the other.
const (
	PO Relation = "program order"
	RF Relation = "reads-from"
	WW Relation = "write-write"
	RW Relation = "read-write"
	RT Relation = "real time"
	CF Relation = "conflict"
)

// Link says that one operation of a proof comes before another, and why.
type Link struct {
	From     int      `json:"from"` // IDs of operations
	To       int      `json:"to"`
	Relation Relation `json:"relation"`
	Why      string   `json:"why"`
}

// Verdict is a checker's answer.
type Verdict struct {
	// Check is the promise that was judged, the name of its checker.
	Check    string   `json:"check"`
	Decision Decision `json:"decision"`
	// Judged counts the operations that it rests on.
	Judged int `json:"judged"`
	// Pattern is the field's name for what is wrong (G-single, WriteCORead, ...), where it has one.
	Pattern string `json:"pattern,omitempty"`
	Key     string `json:"key,omitempty"`
	// Why says in words what is wrong, or what could not be decided. Proof are the few operations that show it; Links, if
	// there are any, order them into a cycle or a chain.
	Why   string `json:"why,omitempty"`
	Proof []Op   `json:"proof,omitempty"`
	Links []Link `json:"links,omitempty"`
}

// OK reports whether the promise was found to hold. An undecided verdict is not OK.
func (v Verdict) OK() bool { return v.Decision == Holds }

// String is the verdict with its proof.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", v.Check, v.Decision)
	if v.Pattern != "" {
		fmt.Fprintf(&b, " (%s)", v.Pattern)
	}
	if v.Key != "" {
		fmt.Fprintf(&b, " at key %q", v.Key)
	}
	if v.Why != "" {
		b.WriteString(": " + v.Why)
	}
	for _, o := range v.Proof {
		b.WriteString("\n  " + o.String())
	}
	for _, l := range v.Links {
		fmt.Fprintf(&b, "\n  #%d before #%d: %s", l.From, l.To, l.Why)
	}
	return b.String()
}

func broken(check, key string, proof []Op, why string, args ...any) Verdict {
	return Verdict{Check: check, Decision: Broken, Key: key, Why: fmt.Sprintf(why, args...), Proof: proof}
}

func undecided(check, key string, why string, args ...any) Verdict {
	return Verdict{Check: check, Decision: Undecided, Key: key, Why: fmt.Sprintf(why, args...)}
}
